"""AltEraser (Liu et al., RecSys 2022, Algorithm 1): warm start, the touched rows, then passes over
all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alteraser.erasers.driver import OnPass, Outcome, Settings, run_passes
from alteraser.erasers.retrain import Retrain
from alteraser.erasers.shift import Shift
from alteraser.models import Factors
from alteraser.solvers import Solver, Strategy, strategy
from alteraser.solvers.collapse import collapse
from alteraser.solvers.limits import DEFAULT, Limits


@dataclass(frozen=True)
class AltEraser:
    """Alternating second-order passes from the original model.

    Starts at Θ_a and goes on until the residual is at most ``tolerance`` or ``max_passes`` are
    done. With the solver ``joint`` every step moves both sides at once
    (``alteraser.solvers.descent``). With a row solver, such as ``ah-newton``, it updates the users
    and items that occur in the forget set, then alternates over all rows, accelerated by
    safeguarded Anderson extrapolation; ``memory=0`` is the paper's method as written.
    """

    tolerance: float = 1e-3
    """Share of the deletion's push that may stay unresolved."""
    max_passes: int = 1000
    solver: Solver = "joint"
    memory: int = 6
    """How many earlier passes the extrapolation combines; 0 for plain passes."""
    touched_first: bool = True
    """The paper's first pass over the rows of the forget set alone (joint steps have no use for
    it)."""
    train_prediction: bool = False
    """Update the prediction vector after each pass (the paper's Φ step); for models that were
    trained so."""
    confirm: bool = False
    """At the tolerance, look for negative curvature with joint steps and go on if there is some
    (costly)."""
    limits: Limits | None = DEFAULT
    """With the solver ``joint``: go on from the tolerance until the model is measured to be this
    near the optimum for the remaining data (class C of a certificate). None: stop at the
    tolerance."""
    escalate: bool = True
    """Where passes and joint steps do not get there, retrain from a random start."""
    finish: bool = False
    """With a row solver, whose passes crawl near the end: joint steps from the tolerance on, as far
    as ``limits``."""
    name: str = "alteraser"

    def erase(self, shift: Shift, on_pass: OnPass | None = None) -> Outcome:
        """See ``Eraser.erase``."""
        solver = strategy(self.solver)
        # without λ any invertible change of the factors leaves L as it is: there is no optimum to
        # be near to
        determined = not self.train_prediction and shift.after.objective.regularization > 0
        limits = self.limits if (solver.joint is not None or self.finish) and determined else None
        settings = Settings(
            solver,
            self.tolerance,
            self.max_passes,
            self.memory,
            shift.workers,
            self.train_prediction,
            self.confirm,
            limits,
        )
        if not _alive(shift.original) and collapse(shift.after, shift.original.prediction) is None:
            # nothing can be built on zeros: they are a saddle
            return self._retrained(shift, solver, limits, on_pass)
        touched = (shift.touched_users, shift.touched_items) if self.touched_first else None
        outcome = run_passes(
            shift.after,
            shift.original,
            settings,
            scale=shift.push,
            touched=touched,
            origin=shift.original,
            on_pass=on_pass,
            watch=shift.watch,
        )
        arrived = (
            outcome.measured is not None and limits is not None and outcome.measured.holds(limits)
        )
        if (
            limits is None
            or not self.escalate
            or arrived
            or outcome.reason in ("tolerance", "watch")
        ):
            return outcome
        again = self._retrained(shift, solver, limits, on_pass)
        return replace(
            again,
            trace=outcome.trace + again.trace,
            passes=outcome.passes + again.passes,
            rows_updated=outcome.rows_updated + again.rows_updated,
            products=outcome.products + again.products,
            rejected=outcome.rejected + again.rejected,
            route=(*outcome.route, "retrain"),
        )

    def _retrained(
        self, shift: Shift, solver: Strategy, limits: Limits | None, on_pass: OnPass | None
    ) -> Outcome:
        again = Retrain(self.tolerance, solver=solver, memory=self.memory, limits=limits).erase(
            shift, on_pass
        )
        return replace(again, route=(*again.route, "retrain"))


def _alive(factors: Factors) -> bool:
    return bool(np.any(factors.users)) and bool(np.any(factors.items))
