"""Retraining on the remaining data from a random start: what every eraser is measured against."""

from __future__ import annotations

from dataclasses import dataclass, replace

from alteraser.erasers.driver import OnPass, Outcome
from alteraser.erasers.recipe import Recipe
from alteraser.erasers.shift import Shift
from alteraser.solvers import Solver, strategy
from alteraser.solvers.limits import DEFAULT, Limits


@dataclass(frozen=True)
class Retrain:
    """The same passes with the same acceleration and tolerance as AltEraser, from scratch.

    So a comparison of the two is a comparison of starting points and of nothing else: the honest
    denominator.
    """

    tolerance: float = 1e-3
    """As for AltEraser, relative to the deletion's push."""
    max_passes: int = 1000
    solver: Solver = "joint"
    memory: int = 6
    seed: int = 1
    train_prediction: bool = False
    confirm: bool = False
    """At the tolerance, look for negative curvature with joint steps and go on if there is some
    (costly)."""
    limits: Limits | None = DEFAULT
    """As for AltEraser."""
    name: str = "retrain"

    def erase(self, shift: Shift, on_pass: OnPass | None = None) -> Outcome:
        """See ``Eraser.erase``."""
        named = self.solver if isinstance(self.solver, str) else None
        recipe = Recipe(
            seed=self.seed,
            solver=named or "",
            tolerance=self.tolerance,
            max_passes=self.max_passes,
            memory=self.memory,
            train_prediction=self.train_prediction,
            confirm=self.confirm,
            limits=self.limits,
            scale=shift.push,
        )
        outcome = recipe.run(
            shift.after,
            shift.original.rank,
            threads=shift.workers,
            on_pass=on_pass,
            watch=shift.watch,
            solver=strategy(self.solver),
        )
        return replace(outcome, recipe=recipe.model_dump() if named else None)
