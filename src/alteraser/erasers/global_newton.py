"""Hessian-free Newton on the whole model at once: the "global" second order that the paper calls
infeasible (§4.2).

The same solver as for rows, given one row that holds every parameter. It starts at the original
model and minimizes the objective on the remaining data; nothing alternates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alteraser.erasers.driver import OnPass, Outcome
from alteraser.erasers.shift import Shift, measured
from alteraser.errors import NumericFailure
from alteraser.models import Factors
from alteraser.runtime.extras import require
from alteraser.solvers.loop import AGAIN, Decided, End, Move, Plan, Until, minimize
from alteraser.solvers.trace import PassRecord

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class GlobalNewton:
    """At most ``max_passes`` Hessian-free Newton steps on all parameters together."""

    max_passes: int = 10
    products: int = 100
    """Curvature products per step, each the cost of a few epochs' gradients."""
    damping: float = 1e-2
    tolerance: float = 1e-3
    solver: str = "hf-newton"
    name: str = "global-newton"

    def erase(self, shift: Shift, on_pass: OnPass | None = None) -> Outcome:
        """See ``Eraser.erase``. Stops at the tolerance or at the cap, or where ``shift.watch`` says
        so.
        """
        require("torch", "torch", "method global-newton")
        plan: Plan[_Whole] = Plan(
            "newton",
            {"newton": _Steps()},
            {("newton", "arrived"): End("tolerance"), ("newton", "still"): End("passes")},
        )
        until = Until(self.tolerance, self.max_passes)
        found = minimize(
            lambda: (_Whole(self, shift), plan),
            until,
            on_pass=on_pass,
            watch=shift.watch,
            blas=None,
        )
        steps, rows = len(found.trace), sum(shift.after.interactions.shape)
        return Outcome(
            found.state.factors(),
            found.trace,
            found.objective,
            found.residual,
            found.converged,
            steps,
            rows * steps,
            found.state.found.products,
            0,
        )


class _Whole:
    """All parameters as one row, and the steps still to be taken from there."""

    def __init__(self, method: GlobalNewton, shift: Shift) -> None:
        import torch

        from alteraser.solvers.differentiable import RowBatch, cells_of
        from alteraser.solvers.rows.differentiated import Minimized
        from alteraser.solvers.rows.hf_newton import HFNewton

        if torch.get_num_threads() != shift.workers:
            torch.set_num_threads(shift.workers)
        self.shift, self.tolerance = shift, method.tolerance
        start = self._start = shift.original.astype(shift.after.dtype)
        (m, d), n = start.users.shape, start.items.shape[0]
        h, cells = torch.from_numpy(start.prediction), cells_of(shift.after)
        batches = cells.batches(0, 0)

        def total(outputs: tuple[Tensor, ...], x: Tensor) -> Tensor:
            P, Q = x[0, : m * d].reshape(m, d), x[0, m * d :].reshape(n, d)
            return torch.stack([cells.loss(P, Q, h, batch) for batch in batches]).sum().reshape(1)

        x = torch.from_numpy(np.concatenate([start.users.ravel(), start.items.ravel()]))[None]
        self.found = Minimized(x)
        solver = HFNewton(
            steps=max(method.max_passes, 1),
            products=method.products,
            damping=method.damping,
            small=0.0,
        )
        self.steps = solver.walk(RowBatch(lambda x: (x,), total), x)
        self.measured: tuple[float, float] | None = None

    def factors(self) -> Factors:
        """See ``solvers.loop.State``."""
        (m, d), values = self._start.users.shape, self.found.x[0].numpy()
        users, items = values[: m * d].reshape(m, d), values[m * d :].reshape(-1, d)
        return Factors(users.copy(), items.copy(), self._start.prediction)

    def measure(self) -> tuple[float, float]:
        """(residual, objective) where it is."""
        self.measured = measured(self.shift, self.factors())
        return self.measured

    def finish(self) -> tuple[float, float]:
        """See ``solvers.loop.State``."""
        residual, objective = self.measured or self.measure()
        if not np.isfinite(objective):
            raise NumericFailure(
                "the objective is not finite; raise the damping or the regularization"
            )
        return residual, objective


class _Steps(Decided):
    """Signals: ``arrived``; ``still``, the gradient is zero."""

    def move(self, state: _Whole) -> Move:
        """One step of Hessian-free Newton, and a measurement."""
        found = next(state.steps, None)
        if found is None:
            return Move(signal="still")
        state.found = found
        residual, objective = state.measure()
        rows = sum(state.shift.after.interactions.shape)
        signal = "arrived" if residual <= state.tolerance else AGAIN
        return Move(PassRecord.of("all", objective, residual, rows), signal)
