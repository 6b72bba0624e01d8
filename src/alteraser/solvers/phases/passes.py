"""Alternating passes, extrapolated, with the safeguard."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.linalg.anderson import Anderson, Safeguarded
from alteraser.solvers.loop import AGAIN, Move
from alteraser.solvers.phases.state import FactorState
from alteraser.solvers.trace import PassRecord

Array = npt.NDArray[Any]

PATIENCE, STALL = 12, 0.9
"""PATIENCE passes that do not bring the residual below STALL of what it was are stuck, likely at a saddle."""

SLOW = 0.6
"""Contraction per pass above which joint steps are the faster way: an iteration of theirs costs less than a pass."""


class Passes:
    """All users, then all items. Signals: ``arrived``; ``slow``, near enough for joint steps and slower than they would
    be; ``stuck``, no nearer for long.
    """

    def __init__(self, state: FactorState, *, memory: int, prediction: bool = False, near: float | None = None) -> None:
        """``memory`` is Anderson's, 0 for plain passes; with ``prediction`` each ends with the Φ step.

        ``near`` is ‖∇L‖_{B⁻¹} / ‖Θ‖_B below which passes may call themselves slow; None: never.
        """
        weights = np.asarray(state.problem.items.counts + 1.0, dtype=state.problem.dtype)
        history = Anderson(memory, weights) if memory > 0 and not prediction else None
        self.guard = Safeguarded(history, lambda _: state.slack())
        self._prediction, self._near = prediction, near
        self._last: tuple[Array, Array] | None = None  # (P, Q) before the last item sweep
        self._keeps = history is not None
        self._estimates: list[float] = []
        self._estimate = np.inf

    def move(self, state: FactorState) -> Move:
        """One pass, from the extrapolated point or, where that was for the worse, from the plain one."""
        self.guard.extrapolate(state.Q)
        self.guard.halfway(state.Q, state.sweep_users(), lambda: self._again(state))
        state.work.rejected = self.guard.rejected
        self._last = (state.P.copy(), state.Q.copy()) if self._keeps else None
        self._estimate, objective = state.sweep_items()
        record = PassRecord.of(
            "all", objective, self._estimate, state.all_rows, extrapolated=self.guard.extrapolated
        )  # fmt: skip
        if self._prediction:
            state.prediction_step()
        return Move(record)

    def judge(self, state: FactorState) -> str:
        """Measured where it seems to be there; else by how fast it goes."""
        estimate = self._estimate
        if estimate <= state.promising:
            state.sweep_users()  # so that every user's row is its own minimum given the items that are kept
            if state.arrived(estimate):
                return "arrived"
        self._estimates.append(estimate)
        near = self._near is not None and estimate * state.scale <= self._near * state.theta_norm
        if near and slowing(self._estimates):
            return "slow"
        return "stuck" if stuck(self._estimates) else AGAIN

    def _again(self, state: FactorState) -> float:
        """The users' half of a pass whose extrapolated point was refused: there may be a saddle near by."""
        reduced = state.sweep_users()
        if self._last is not None and state.escape(*self._last):
            reduced = state.sweep_users()
        return reduced


def slowing(residuals: list[float]) -> bool:
    """True when passes, each with its share of extrapolation, no longer earn more than joint iterations would."""
    return len(residuals) > 2 and residuals[-1] > SLOW**2 * residuals[-3]


def stuck(residuals: list[float]) -> bool:
    """True when the residual has not come down for long."""
    return len(residuals) > PATIENCE and min(residuals[-PATIENCE:]) > STALL * min(residuals[:-PATIENCE])
