"""To zero, where the optimum is known beforehand to be zero; see ``solvers.collapse``."""

from __future__ import annotations

from alteraser.solvers.loop import Move
from alteraser.solvers.phases.measured import Distance
from alteraser.solvers.phases.state import FactorState
from alteraser.solvers.trace import PassRecord


class Collapse:
    """One move; passes would only shrink for ever. Signals: ``arrived``."""

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio
        """λ*/λ, at most 1"""

    def move(self, state: FactorState) -> Move:
        """Every factor is zero."""
        state.P[:], state.Q[:] = 0, 0
        state.joint, state.owed = None, False
        objective = state.problem.target_energy
        if state.aim.limits is not None:
            influence = 0.0 if state.aim.warm else None
            state.found = Distance(0.0, 0.0, influence, 0.0, 1.0 - self.ratio**2, True)
        state.measured, state.rest = (0.0, objective), 0.0
        state.work.rows += state.all_rows
        return Move(PassRecord.of("all", objective, 0.0, state.all_rows))

    def judge(self, state: FactorState) -> str:
        """Nothing can be nearer."""
        return "arrived"
