"""Retraining on the remaining data from a random start: what every eraser is measured against."""

from __future__ import annotations

from dataclasses import dataclass

from alteraser.erasers.driver import OnPass, Outcome, Settings, run_passes
from alteraser.erasers.task import Task
from alteraser.models import Factors
from alteraser.solvers import RowSolver, row_solver


@dataclass(frozen=True)
class Retrain:
    """The same passes with the same acceleration and tolerance as AltEraser, from scratch.

    So a comparison of the two is a comparison of starting points and of nothing else: the honest denominator.
    """

    tolerance: float = 1e-3
    """As for AltEraser, relative to the deletion's push."""
    max_passes: int = 500
    solver: str | RowSolver = "joint"
    memory: int = 6
    seed: int = 1
    train_prediction: bool = False
    confirm: bool = False
    """At the tolerance, look for negative curvature with joint Newton steps and go on if there is some (costly)."""
    name: str = "retrain"

    def erase(self, task: Task, on_pass: OnPass | None = None) -> Outcome:
        """See ``Eraser.erase``."""
        settings = Settings(
            row_solver(self.solver),
            self.tolerance,
            self.max_passes,
            self.memory,
            task.workers,
            self.train_prediction,
            self.confirm,
        )
        m, n = task.after.interactions.shape
        start = Factors.random(m, n, task.original.rank, seed=self.seed, dtype=task.after.dtype)
        return run_passes(task.after, start, settings, scale=task.push, on_pass=on_pass, watch=task.watch)
