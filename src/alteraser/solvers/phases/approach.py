"""The blocks of both sides, factored where the run is: joint steps begin here, or the model is too
far off for them.
"""

from __future__ import annotations

import numpy as np

from alteraser.solvers.joint import Joint, Sweeps
from alteraser.solvers.loop import Decided, Move
from alteraser.solvers.one_side import dot
from alteraser.solvers.phases.state import FactorState

WARM = 0.3
"""‖∇L‖_{B⁻¹} / ‖Θ‖_B below which a run from a trained model begins with joint steps. A deletion
moves a model less than a random start is away from one, so a quadratic model holds from further out
than ``JointNewton.near``."""


class Approach(Decided):
    """No move of its own. Signals: ``near``, and joint steps may begin; ``far``."""

    def __init__(self, within: float = np.inf) -> None:
        self._within = within
        """‖∇L‖_{B⁻¹} / ‖Θ‖_B up to which it is near"""
        self.settled: Sweeps | None = None
        """What the factoring sweeps found, for the first step"""

    def move(self, state: FactorState) -> Move:
        """Look."""
        state.joint = Joint(state.problem, state.P, state.Q, state.h, state.threads)
        self.settled, estimate = settle(state, state.joint)
        if estimate * state.scale > self._within * state.theta_norm:
            state.joint = self.settled = None
            return Move(signal="far")
        state.owed = True
        return Move(signal="near")


def settle(state: FactorState, joint: Joint) -> tuple[Sweeps, float]:
    """Factor the blocks here, users at their minimum; with it an estimate of the residual."""
    settled = joint.settle()
    state.work.rows += state.problem.users.rows
    fit = 2.0 * -settled.value + dot(joint.items.gradient, joint.Q)
    state.theta_norm = float(np.sqrt(max(fit, 0.0))) or 1.0
    return settled, state.estimate(settled.items)
