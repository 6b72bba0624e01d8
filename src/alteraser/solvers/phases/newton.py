"""Newton steps on both sides, each solved to a share of its own: ``JointNewton(memory=0)``."""

from __future__ import annotations

import numpy as np

from alteraser.solvers.joint import Joint, JointStep
from alteraser.solvers.joint_newton import JointNewton
from alteraser.solvers.loop import AGAIN, Decided, Move
from alteraser.solvers.phases.approach import Approach, settle
from alteraser.solvers.phases.passes import STALL
from alteraser.solvers.phases.state import FactorState, penalty
from alteraser.solvers.trace import PassRecord

ROUNDING = 4
"""So many steps in a row that neither lower the residual nor, beyond rounding, the objective are
the last ones: the working precision holds no more."""


class Newton(Decided):
    """Signals: ``arrived``; ``exhausted``, the precision holds no more."""

    def __init__(self, newton: JointNewton, begun: tuple[Approach, ...], *, confirm: bool) -> None:
        """``begun``: who may have factored the blocks of the first step; ``confirm`` as for
        ``Arrival``.
        """
        self._newton, self._begun, self._confirm = newton, begun, confirm
        self._idle, self._lowest = 0, np.inf  # steps that led nowhere, the least residual they saw

    def move(self, state: FactorState) -> Move:
        """One step; none where it has arrived."""
        joint, newton = state.joint, self._newton
        assert joint is not None
        settled, estimate = self._settled(state, joint)
        state.measured = None
        saddle = False
        if estimate <= state.promising and state.arrived(estimate):
            saddle = self._confirm and state.aim.limits is None
            if not saddle:
                return Move(signal="arrived")
        objective = (
            state.problem.target_energy + settled + penalty(state.problem.items.ridge, state.Q)
        )
        if state.near(estimate, newton.slow_below):
            joint.find_slow(newton)
        found = joint.direction(
            forcing=(0.1 if saddle else 1.0) * newton.forcing, products=newton.products
        )
        if saddle and found.negative is None:
            return Move(signal="arrived")
        gained = self._advance(state, joint, found, estimate)
        record = PassRecord.of(
            "joint", objective - gained, estimate, state.problem.users.rows, products=found.products
        )
        return Move(record, signal="exhausted" if self._idle >= ROUNDING else AGAIN)

    def _settled(self, state: FactorState, joint: Joint) -> tuple[float, float]:
        """(Σ min l of the users, an estimate of the residual) with the blocks of the point."""
        for approach in self._begun:
            if approach.settled is not None:
                settled, approach.settled = approach.settled, None
                return settled.value, state.estimate(settled.items)
        settled, estimate = settle(state, joint)
        return settled.value, estimate

    def _advance(
        self, state: FactorState, joint: Joint, found: JointStep, estimate: float
    ) -> float:
        """Take the step, and see whether it led anywhere; returns by how much L fell."""
        gained = joint.advance(found)
        state.measured = None
        state.work.products += found.products
        self._idle = (
            self._idle + 1 if estimate > STALL * self._lowest and gained <= state.slack() else 0
        )
        self._lowest = min(self._lowest, estimate)
        return gained
