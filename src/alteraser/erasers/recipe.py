"""A run from a random start, written down so that it can be run again: training, retraining, and
their replay.
"""

from __future__ import annotations

from pydantic import Field

from alteraser.erasers.driver import OnPass, Outcome, Settings, Watch, run_passes
from alteraser.models import Factors, Problem
from alteraser.settings import Configured
from alteraser.solvers import Solver, strategy
from alteraser.solvers.limits import Limits


class Recipe(Configured):
    """Everything besides the data and the objective that decides the bytes of a model trained from
    a seed.
    """

    seed: int = Field(ge=0)
    solver: str
    tolerance: float
    max_passes: int
    memory: int
    train_prediction: bool = False
    confirm: bool = False
    limits: Limits | None = None
    scale: float | None = None
    """What the residual is relative to; None: ‖Θ‖_B. A retrain beside an eraser stops by the same
    scale."""

    def run(
        self,
        problem: Problem,
        rank: int,
        *,
        threads: int,
        solver: Solver | None = None,
        on_pass: OnPass | None = None,
        watch: Watch | None = None,
        rest: bool = False,
    ) -> Outcome:
        """Train ``rank`` factors on ``problem`` from the seed; ``solver`` replaces the named one by
        an object, and ``rest`` asks how far from rest it ends (not without regularization).
        """
        chosen = strategy(solver or self.solver)
        joint = (
            chosen.joint is not None
            and not self.train_prediction
            and problem.objective.regularization > 0
        )
        settings = Settings(
            chosen,
            self.tolerance,
            self.max_passes,
            self.memory,
            threads,
            self.train_prediction,
            self.confirm,
            self.limits if joint else None,
            rest and joint,
        )
        start = Factors.random(
            *problem.interactions.shape, rank, seed=self.seed, dtype=problem.dtype
        )
        return run_passes(problem, start, settings, scale=self.scale, on_pass=on_pass, watch=watch)
