"""Where joint steps seem to be there and the tolerance is all that is asked for: measured, and a
saddle left.
"""

from __future__ import annotations

from alteraser.solvers.joint import Joint
from alteraser.solvers.joint_newton import JointNewton
from alteraser.solvers.loop import Decided, Move
from alteraser.solvers.phases.quasi_newton import QuasiNewton
from alteraser.solvers.phases.state import FactorState


class Arrival(Decided):
    """Signals: ``arrived``; ``left``, it was a saddle or not there yet; ``exhausted``, the
    precision holds no more.
    """

    def __init__(self, steps: QuasiNewton, newton: JointNewton, *, confirm: bool) -> None:
        """With ``confirm`` negative curvature is looked for before it is believed."""
        self._steps, self._newton, self._confirm = steps, newton, confirm

    def move(self, state: FactorState) -> Move:
        """Measure; counted only where it moves."""
        assert state.joint is not None
        state.joint.settle()
        if state.arrived(self._steps.estimate(state)):
            if not (self._confirm and self._leave_saddle(state, state.joint)):
                return Move(signal="arrived")
            state.measured = None
            self._steps.again()
            return Move(self._steps.record(state), signal="left")
        if self._steps.exhausted:
            return Move(signal="exhausted")
        self._steps.again()
        return Move(signal="left")

    def _leave_saddle(self, state: FactorState, joint: Joint) -> bool:
        """Go along a direction in which L bends down; False where none is met, and nothing
        moves.
        """
        found = joint.direction(forcing=0.1 * self._newton.forcing, products=self._newton.products)
        state.work.products += found.products
        return found.negative is not None and joint.advance(found) > state.slack()
