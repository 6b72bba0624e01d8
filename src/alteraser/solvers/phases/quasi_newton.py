"""Both sides at once, by limited-memory BFGS on φ(Q) = min_P L(P, Q); see ``solvers.descent``."""

from __future__ import annotations

import numpy as np

from alteraser.solvers.descent import Descent
from alteraser.solvers.joint import Joint
from alteraser.solvers.joint_newton import JointNewton
from alteraser.solvers.loop import AGAIN, Move
from alteraser.solvers.phases.measured import within
from alteraser.solvers.phases.state import FactorState
from alteraser.solvers.trace import PassRecord

REST = 0.25
"""Share of the distance that the limits ask for at which joint steps leave the rest to a
measurement: one more of them costs less than a measurement that fails."""

FINEST = 50.0
"""Distances below this times the machine epsilon, over ‖Θ‖, are for gradients in float64."""


class QuasiNewton:
    """Signals: ``arrived``, it seems to be there or leads no further; what it is, is for others to
    measure.
    """

    def __init__(self, newton: JointNewton) -> None:
        self._newton = newton
        self._descent: Descent | None = None

    @property
    def begun(self) -> bool:
        """True once it has been where the run is."""
        return self._descent is not None

    @property
    def exhausted(self) -> bool:
        """True when the working precision leads no further."""
        return self._descent is not None and self._descent.exhausted

    def begin(self, state: FactorState, joint: Joint) -> Descent:
        """Take value and gradient where ``joint`` is."""
        if self._descent is None:
            self._descent = Descent(joint, self._newton)
            state.theta_norm = self._descent.theta_norm
        return self._descent

    def again(self) -> None:
        """Go on from where others have moved the run to."""
        assert self._descent is not None
        self._descent.begin()

    def move(self, state: FactorState) -> Move:
        """One iteration."""
        assert state.joint is not None
        descent = self.begin(state, state.joint)
        if descent.exhausted or (self.estimate(state) <= state.promising and self._near(state)):
            return Move(signal="arrived")
        state.measured = None
        before = descent.evaluations
        descent.step()
        evaluations = descent.evaluations - before
        state.work.products += evaluations
        state.work.rows += state.all_rows
        return Move(self.record(state, state.all_rows, evaluations))

    def judge(self, state: FactorState) -> str:
        """On."""
        return AGAIN

    def record(self, state: FactorState, rows: int = 0, products: int = 0) -> PassRecord:
        """Of where it is."""
        assert self._descent is not None
        objective = state.problem.target_energy + self._descent.value
        return PassRecord.of("joint", objective, self.estimate(state), rows, products=products)

    def estimate(self, state: FactorState) -> float:
        """Of the residual."""
        assert self._descent is not None
        return 2.0 * float(np.sqrt(self._descent.decrement)) / state.scale

    def left(self, state: FactorState) -> float | None:
        """How far it still is to the optimum over ‖Θ‖_F, as the last step tells; None before the
        first.
        """
        size = state.size()
        return self._descent.distance / size if self._descent is not None and size > 0 else None

    def _near(self, state: FactorState) -> bool:
        """True when as far as the steps tell, the limits hold."""
        assert self._descent is not None
        limits = state.aim.limits
        if limits is None:
            return True
        size = state.size() or 1.0
        enough = REST * within(limits, state.factors(), state.aim.origin)
        return self._descent.distance <= size * max(enough, finest(state))


def finest(state: FactorState) -> float:
    """The least distance over ‖Θ‖ that is for steps in the working precision."""
    return FINEST * float(np.finfo(state.problem.dtype).eps)
