"""First-order methods on rows: the paper's AltEraser [AdamW], and what a second order is worth (Liu et al. 2022, §5.1).

All rows step together; each keeps the best point it has seen, so that none ends above where it began. The penalty is
part of the loss, so AdamW's decoupled decay is 0 and AdamW is Adam here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from alteraser.errors import InvalidInput
from alteraser.extras import require
from alteraser.solvers.differentiated import Minimized

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from alteraser.autograd.rowbatch import RowBatch

Name = Literal["adamw", "adam", "sgd", "adahessian"]

POWER_ITERATIONS = 6


@dataclass(frozen=True)
class FirstOrderRows:
    """``steps`` steps of a first-order optimizer per row.

    ``learning_rate`` is absolute for AdamW, Adam and AdaHessian. For SGD it is relative to each row's curvature: the
    step is ``learning_rate`` / L_i, with L_i the row's largest eigenvalue by power iteration, so that 1 is safe on a
    quadratic.
    """

    optimizer: Name = "adamw"
    steps: int = 20
    learning_rate: float = 0.02
    seed: int = 0
    """Of AdaHessian's random signs and of the power iteration."""

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.learning_rate > 0:
            raise InvalidInput("FirstOrderRows: steps must be at least 1 and learning_rate above 0")
        if self.optimizer not in ("adamw", "adam", "sgd", "adahessian"):
            raise InvalidInput(f"unknown optimizer {self.optimizer!r}; there are adamw, adam, sgd, adahessian")

    def minimize(self, batch: RowBatch, x: Tensor) -> Minimized:
        """See ``Minimizer.minimize``."""
        import torch

        point = x.clone().requires_grad_()
        best, lowest = x.clone(), batch.values(x)
        products = 0
        scale: Tensor | float = 1.0
        if self.optimizer == "sgd":
            scale, products = self._curvature(batch, x)
        step = self._optimizer(point)
        for _ in range(self.steps):
            losses = batch.losses(point)
            with torch.no_grad():
                better = losses < lowest
                best[better], lowest = point[better], torch.where(better, losses, lowest)
            (gradient,) = torch.autograd.grad(losses.sum(), point, create_graph=self.optimizer == "adahessian")
            point.grad = gradient / scale if self.optimizer == "sgd" else gradient
            step.step()
            if self.optimizer == "adahessian":
                products += x.shape[0]
                point.grad = None  # the graph hangs on it
        end = batch.values(point.detach())
        better = end < lowest
        best[better] = point.detach()[better]
        return Minimized(best, products)

    def _curvature(self, batch: RowBatch, x: Tensor) -> tuple[Tensor, int]:
        """Largest eigenvalue of every row's Hessian, (B, 1), by power iteration; products spent."""
        import torch

        _, _, product = batch.hessian(x)
        generator = torch.Generator().manual_seed(self.seed)
        v = torch.randn(x.shape[1], generator=generator, dtype=x.dtype).expand_as(x)
        size = v.norm(dim=1, keepdim=True)
        for _ in range(POWER_ITERATIONS):
            v = product(v / size)
            size = v.norm(dim=1, keepdim=True).clamp(min=1e-30)
        return 1.2 * size, POWER_ITERATIONS * x.shape[0]

    def _optimizer(self, point: Tensor) -> torch.optim.Optimizer:
        import torch

        if self.optimizer == "sgd":
            return torch.optim.SGD([point], lr=self.learning_rate)
        if self.optimizer == "adahessian":
            require("pytorch_optimizer", "torch", "AdaHessian")
            from pytorch_optimizer import AdaHessian

            torch.manual_seed(self.seed)
            return AdaHessian([point], lr=10 * self.learning_rate)
        kind = torch.optim.AdamW if self.optimizer == "adamw" else torch.optim.Adam
        decay = {"weight_decay": 0.0} if self.optimizer == "adamw" else {}
        return kind([point], lr=self.learning_rate, **decay)
