"""The very training again, without the data that are gone: same seed, same passes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from alteraser.erasers.driver import OnPass, Outcome
from alteraser.erasers.recipe import Recipe
from alteraser.erasers.shift import Shift


@dataclass(frozen=True)
class Replay:
    """Runs ``recipe``, with which the original was trained on D_a, on D_r: class A, computed
    without D_f.

    The outcome's residual is the recipe's own, relative to what the recipe says; it converges when
    the recipe does.
    """

    recipe: Recipe
    name: str = "replay"

    @property
    def solver(self) -> str:
        """The recipe's solver."""
        return self.recipe.solver

    @property
    def tolerance(self) -> float:
        """The recipe's tolerance."""
        return self.recipe.tolerance

    @property
    def seed(self) -> int:
        """The recipe's seed."""
        return self.recipe.seed

    @property
    def memory(self) -> int:
        """The recipe's memory."""
        return self.recipe.memory

    @property
    def train_prediction(self) -> bool:
        """Whether the recipe trains the prediction vector."""
        return self.recipe.train_prediction

    def erase(self, shift: Shift, on_pass: OnPass | None = None) -> Outcome:
        """See ``Eraser.erase``; the original's numbers are not used, only their shape and
        precision.
        """
        outcome = self.recipe.run(
            shift.after,
            shift.original.rank,
            threads=shift.workers,
            on_pass=on_pass,
            watch=shift.watch,
        )
        return replace(outcome, recipe=self.recipe.model_dump())
