"""Alternating passes, extrapolated, with the safeguard."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from alteraser.linalg.anderson import Safeguarded
from alteraser.solvers.loop import AGAIN, Move
from alteraser.solvers.phases.alternation import Alternation
from alteraser.solvers.trace import PassRecord

Array = npt.NDArray[Any]

PATIENCE, STALL = 12, 0.9
"""PATIENCE passes that do not bring the residual below STALL of what it was are stuck, likely at a
saddle."""

SLOW = 0.6
"""Contraction per pass above which joint steps are the faster way: an iteration of theirs costs
less than a pass."""


class Passes:
    """One side, then the other. Signals: ``arrived``; ``slow``, near enough for joint steps and
    slower than they would be; ``stuck``, no nearer for long.
    """

    def __init__(
        self, guard: Safeguarded, *, near: float | None = None, saddles: bool = False
    ) -> None:
        """``guard`` extrapolates or not; with ``saddles`` one is looked for where it refused a
        point.

        ``near`` is how near passes may call themselves slow, see ``Alternation.near``; None: never.
        """
        self._guard, self._near, self._saddles = guard, near, saddles and guard.extrapolates
        self._last: tuple[Array, Array] | None = None  # (P, Q) before the last second half
        self._estimates: list[float] = []

    def move(self, state: Alternation) -> Move:
        """One pass, from the extrapolated point or, where that was for the worse, from the plain
        one.
        """
        self._guard.extrapolate(state.Q)
        self._guard.halfway(state.Q, state.first_half(), lambda: self._again(state))
        state.work.rejected = self._guard.rejected
        self._last = (state.P.copy(), state.Q.copy()) if self._saddles else None
        half = state.second_half()
        assert half.estimate is not None
        self._estimates.append(half.estimate)
        extrapolated = self._guard.extrapolated
        return Move(
            PassRecord.of(
                "all", half.objective, half.estimate, half.rows, extrapolated=extrapolated
            )
        )

    def judge(self, state: Alternation) -> str:
        """Measured where it seems to be there; else by how fast it goes."""
        estimate = self._estimates[-1]
        if estimate <= state.promising:
            state.settle()
            if state.arrived(estimate):
                return "arrived"
        if self._near is not None and state.near(estimate, self._near) and slowing(self._estimates):
            return "slow"
        return "stuck" if stuck(self._estimates) else AGAIN

    def _again(self, state: Alternation) -> float:
        """The first half of a pass whose extrapolated point was refused: there may be a saddle near
        by.
        """
        reduced = state.first_half()
        if self._last is not None and state.escape(*self._last):
            reduced = state.first_half()
        return reduced


def slowing(residuals: list[float]) -> bool:
    """True when passes, each with its share of extrapolation, no longer earn more than joint
    iterations would.
    """
    return len(residuals) > 2 and residuals[-1] > SLOW**2 * residuals[-3]


def stuck(residuals: list[float]) -> bool:
    """True when the residual has not come down for long."""
    return len(residuals) > PATIENCE and min(residuals[-PATIENCE:]) > STALL * min(
        residuals[:-PATIENCE]
    )
