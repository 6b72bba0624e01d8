"""First-order training and fine-tuning: the paper's Original, Retrain, Retrain* and Warm-Start (Liu
et al. 2022, §4.1).

AdamW (Loshchilov & Hutter, ICLR 2019) on the same objective as every other method, all missing
cells included, in mini-batches of users. The penalty λ is part of the loss and the decoupled decay
is 0: decoupled decay has another fixed point, because the missing cells' weight would not scale
with it, and is therefore a variant with its own name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from alteraser.erasers.driver import OnPass, Outcome
from alteraser.erasers.shift import Shift, measured
from alteraser.errors import InvalidInput, NumericFailure
from alteraser.models import Factors
from alteraser.runtime.extras import require
from alteraser.solvers.loop import AGAIN, End, Move, Plan, Until, minimize
from alteraser.solvers.trace import PassRecord

if TYPE_CHECKING:
    import torch

    from alteraser.solvers.differentiable.cells import Differentiable

Optimizer = Literal["adamw", "adam", "sgd"]

FLAT = 1e-4
"""Without somebody watching, an epoch counts as progress if it lowers the loss by this share."""


@dataclass(frozen=True)
class FirstOrder:
    """Epochs over mini-batches of users, from the original model (warm start) or from a random one
    (retraining).
    """

    start: Literal["original", "random"] = "original"
    optimizer: Optimizer = "adamw"
    learning_rate: float = 0.01
    batch_users: int = 2048
    """Users per mini-batch, 0 for all at once. The partition is drawn once, its order anew in every
    epoch."""
    max_passes: int = 1000
    """Cap on epochs."""
    patience: int = 10
    """Epochs without progress of the loss after which to stop, when no ``watch`` decides."""
    tolerance: float = 1e-3
    """What residual counts as converged; first-order methods do not stop by it."""
    weight_decay: float = 0.0
    """AdamW's decoupled decay, a variant; the penalty is in the loss."""
    seed: int = 1
    """Of the mini-batches and their order: the training seed."""
    initial_seed: int = 1
    """Of the random start."""
    train_prediction: bool = False
    as_recbole: bool = False
    """The loss with RecBole's padding counted as positives, to see what it does; never a good
    idea."""
    solver: str = "adamw"
    name: str = "warm-start"

    def __post_init__(self) -> None:
        if (
            not self.learning_rate > 0
            or self.batch_users < 0
            or self.max_passes < 0
            or self.patience < 1
        ):
            raise InvalidInput(
                "FirstOrder: learning_rate must be above 0, patience at least 1, batch_users and "
                "max_passes at least 0"
            )
        if self.optimizer not in ("adamw", "adam", "sgd"):
            raise InvalidInput(f"unknown optimizer {self.optimizer!r}; there are adamw, adam, sgd")

    def erase(self, shift: Shift, on_pass: OnPass | None = None) -> Outcome:
        """Epochs on L_{D_r} until the loss, or the watcher of ``shift``, sees no progress; see
        ``Eraser.erase``.
        """
        from alteraser.solvers.differentiable import cells_of

        problem = shift.after
        if self.as_recbole:
            from alteraser.solvers.differentiable.cells import SquaredCells

            cells: Differentiable = SquaredCells(
                problem, pad=_padding_vector(shift.original.rank, self.initial_seed)
            )
        else:
            cells = cells_of(problem)
        start = shift.original
        if self.start == "random":
            m, n = problem.interactions.shape
            start = Factors.random(m, n, start.rank, seed=self.initial_seed, dtype=problem.dtype)
        plan: Plan[_Training] = Plan(
            "epochs",
            {"epochs": _Epochs(self.patience, watched=shift.watch is not None)},
            {("epochs", "flat"): End("passes")},
        )

        def begin() -> tuple[_Training, Plan[_Training]]:
            return _Training(self, cells, start.astype(problem.dtype), shift), plan

        until = Until(self.tolerance, self.max_passes)
        found = minimize(begin, until, on_pass=on_pass, watch=shift.watch, blas=None)
        epochs, rows = len(found.trace), sum(problem.interactions.shape)
        return Outcome(
            found.state.factors(),
            found.trace,
            found.objective,
            found.residual,
            found.converged,
            epochs,
            rows * epochs,
            0,
            0,
        )


def warm_start(**settings: Any) -> FirstOrder:
    """Warm-Start: fine-tune the original model on the remaining data with AdamW (§4.1)."""
    require("torch", "torch", "method warm-start")
    return FirstOrder(**{"start": "original", "name": "warm-start", **_named(settings)})


def retrain_adamw(**settings: Any) -> FirstOrder:
    """Retrain: AdamW from a random start, the paper's denominator."""
    require("torch", "torch", "method retrain-adamw")
    return FirstOrder(**{"start": "random", "name": "retrain-adamw", **_named(settings)})


def _named(settings: dict[str, Any]) -> dict[str, Any]:
    solver = settings.pop("solver", None)
    if solver is not None and "optimizer" not in settings:
        settings = {**settings, "optimizer": solver, "solver": solver}
    return settings


class _Epochs:
    """Signals: ``flat``, the loss makes no progress any more; while somebody watches, that is
    theirs to say.
    """

    def __init__(self, patience: int, *, watched: bool) -> None:
        self._patience, self._watched = patience, watched
        self._loss = self._best = np.inf
        self._waited = 0

    def move(self, state: _Training) -> Move:
        """One epoch."""
        self._loss = state.epoch()
        return Move(PassRecord.of("all", self._loss, None, state.rows))

    def judge(self, state: _Training) -> str:
        """Whether it brought anything."""
        if self._watched:
            return AGAIN
        best = self._best if np.isfinite(self._best) else self._loss
        self._waited = 0 if self._loss < self._best - FLAT * abs(best) else self._waited + 1
        self._best = min(self._best, self._loss)
        return "flat" if self._waited >= self._patience else AGAIN


class _Training:
    """Parameters and optimizer."""

    def __init__(
        self, method: FirstOrder, cells: Differentiable, start: Factors, shift: Shift
    ) -> None:
        import torch

        if torch.get_num_threads() != shift.workers:
            torch.set_num_threads(shift.workers)
        self.method, self.cells, self.shift = method, cells, shift
        self.P, self.Q, self.h = (
            torch.from_numpy(np.array(x)).requires_grad_()
            for x in (start.users, start.items, start.prediction)
        )
        self.h.requires_grad_(method.train_prediction)
        self.rows = self.P.shape[0] + self.Q.shape[0]
        self.batches = cells.batches(method.batch_users, method.seed)
        self.order = np.random.default_rng([method.seed, 1])
        self.optimizer = self._optimizer()
        self._epochs = 0

    def epoch(self) -> float:
        """The mini-batches once, in a new order; the sum of their losses. NumericFailure where that
        is not finite.
        """
        loss = self._epoch()
        self._epochs += 1
        if not np.isfinite(loss):
            raise NumericFailure(
                f"the loss is not finite after {self._epochs} epochs of {self.method.optimizer}: "
                f"lower the learning rate (it is {self.method.learning_rate:g})"
            )
        return loss

    def finish(self) -> tuple[float, float]:
        """See ``solvers.loop.State``."""
        residual, objective = measured(self.shift, self.factors())
        if not np.isfinite(objective):
            raise NumericFailure(
                f"training diverged with {self.method.optimizer}: lower the learning rate"
            )
        return residual, objective

    def _epoch(self) -> float:
        total = 0.0
        for index in self.order.permutation(len(self.batches)):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.cells.loss(self.P, self.Q, self.h, self.batches[index])
            loss.backward()
            self.optimizer.step()
            total += float(loss.detach())
        return total

    def _optimizer(self) -> torch.optim.Optimizer:
        import torch

        method = self.method
        parameters = [self.P, self.Q] + ([self.h] if method.train_prediction else [])
        if method.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=method.learning_rate, momentum=0.0)
        kind: Callable[..., torch.optim.Optimizer] = (
            torch.optim.AdamW if method.optimizer == "adamw" else torch.optim.Adam
        )
        decay = {"weight_decay": method.weight_decay} if method.optimizer == "adamw" else {}
        return kind(parameters, lr=method.learning_rate, fused=True, **decay)

    def factors(self) -> Factors:
        """Copies of the parameters as they are."""
        return Factors(*(x.detach().numpy().copy() for x in (self.P, self.Q, self.h)))


def _padding_vector(rank: int, seed: int) -> torch.Tensor:
    """A vector of norm about 1: what Xavier initialization leaves in the row that padding reads."""
    import torch

    values = np.random.default_rng([seed, 2]).standard_normal(rank) / np.sqrt(rank)
    return torch.from_numpy(values)
