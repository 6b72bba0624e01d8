"""First-order methods on rows: the paper's AltEraser [AdamW], and what a second order is worth (Liu
et al. 2022, §5.1).

All rows step together; each keeps the best point it has seen, so that none ends above where it
began. The penalty is part of the loss, so AdamW's decoupled decay is 0 and AdamW is Adam here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from alteraser.errors import InvalidInput
from alteraser.runtime.extras import require
from alteraser.solvers.rows.differentiated import Minimized

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from alteraser.solvers.differentiable.rowbatch import RowBatch

Name = Literal["adamw", "adam", "sgd", "adahessian"]

POWER_ITERATIONS = 6

LONGEST = 1e3
"""SGD's first step at most, relative to 1 + ‖x‖."""

ROUNDING = 8
"""Rises of a loss below this many units of rounding are none."""


@dataclass(frozen=True)
class FirstOrderRows:
    """``steps`` steps of a first-order optimizer per row.

    ``learning_rate`` is absolute for AdamW and Adam; AdaHessian (Yao et al., AAAI 2021), whose
    steps are scaled by the Hessian's diagonal, takes ten times it. For SGD it is relative to each
    row's curvature: the step is ``learning_rate`` / L_i, with L_i the row's largest eigenvalue by
    power iteration, so that 1 is safe on a quadratic; elsewhere a row whose loss rose goes back and
    takes a quarter of the step.
    """

    optimizer: Name = "adamw"
    steps: int = 20
    learning_rate: float = 0.02
    seed: int = 0
    """Of AdaHessian's random signs and of the power iteration, the same for every row: rows never
    see each other."""

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.learning_rate > 0:
            raise InvalidInput("FirstOrderRows: steps must be at least 1 and learning_rate above 0")
        if self.optimizer not in ("adamw", "adam", "sgd", "adahessian"):
            raise InvalidInput(
                f"unknown optimizer {self.optimizer!r}; there are adamw, adam, sgd, adahessian"
            )

    def minimize(self, batch: RowBatch, x: Tensor) -> Minimized:
        """See ``Minimizer.minimize``."""
        import torch

        point = x.clone().requires_grad_()
        best, lowest = x.clone(), batch.values(x)
        products = 0
        scale = torch.ones_like(x[:, :1])
        downhill = torch.zeros_like(x)
        if self.optimizer == "sgd":
            scale, downhill, products = self._curvature(batch, x)
        generator = torch.Generator().manual_seed(self.seed)
        optimizer = self._optimizer(point)
        for _ in range(self.steps):
            losses = batch.losses(point)
            (gradient,) = torch.autograd.grad(
                losses.sum(), point, create_graph=self.optimizer == "adahessian"
            )
            diagonal: Tensor | None = None
            if self.optimizer == "adahessian":  # Hutchinson: E[z ∘ Hz] is the diagonal
                signs = (2 * torch.randint(0, 2, x.shape[1:], generator=generator) - 1).to(x)
                (bent,) = torch.autograd.grad(gradient, point, signs.expand_as(x))
                diagonal, gradient = bent * signs, gradient.detach()
                products += x.shape[0]
            with torch.no_grad():
                better = (losses < lowest)[:, None]
                best, lowest = (
                    torch.where(better, point, best),
                    torch.where(better[:, 0], losses, lowest),
                )
                if self.optimizer == "sgd":
                    rose = ~(losses <= lowest + ROUNDING * torch.finfo(x.dtype).eps * lowest.abs())[
                        :, None
                    ]
                    downhill = torch.where(better, gradient, downhill)
                    gradient = torch.where(rose, downhill, gradient)
                    point.copy_(torch.where(rose, best, point))
                    scale = torch.where(rose, 4 * scale, scale)
            point.grad = gradient / scale
            optimizer.step(**({"hessian": [diagonal]} if diagonal is not None else {}))
        better = (batch.values(point.detach()) < lowest)[:, None]
        return Minimized(torch.where(better, point.detach(), best), products)

    def _curvature(self, batch: RowBatch, x: Tensor) -> tuple[Tensor, Tensor, int]:
        """Largest eigenvalue of every row's Hessian, (B, 1), by power iteration; gradient; products
        spent.

        Where a row is nearly flat, its first step is held to LONGEST times its own size.
        """
        import torch

        _, gradient, product = batch.hessian(x)
        generator = torch.Generator().manual_seed(self.seed)
        v = torch.randn(x.shape[1], generator=generator, dtype=x.dtype).expand_as(x)
        size = v.norm(dim=1, keepdim=True)
        for _ in range(POWER_ITERATIONS):
            v = product(v / size)
            size = v.norm(dim=1, keepdim=True).clamp(min=1e-30)
        flat = gradient.norm(dim=1, keepdim=True) / (LONGEST * (1 + x.norm(dim=1, keepdim=True)))
        return torch.maximum(1.2 * size, flat), gradient, POWER_ITERATIONS * x.shape[0]

    def _optimizer(self, point: Tensor) -> torch.optim.Optimizer:
        import torch

        if self.optimizer == "sgd":
            return torch.optim.SGD([point], lr=self.learning_rate)
        if self.optimizer == "adahessian":
            require("pytorch_optimizer", "torch", "AdaHessian")
            from pytorch_optimizer import AdaHessian

            return AdaHessian([point], lr=10 * self.learning_rate)
        kind = torch.optim.AdamW if self.optimizer == "adamw" else torch.optim.Adam
        decay = {"weight_decay": 0.0} if self.optimizer == "adamw" else {}
        return kind([point], lr=self.learning_rate, **decay)
