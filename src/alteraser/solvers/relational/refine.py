"""Newton steps that say how far it is to the optimum, and what keeps a saddle from being taken for
one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from alteraser.solvers.loop import Decided, Move
from alteraser.solvers.relational.descent import NOISE, RESOLVED, TRIES, LinearRun
from alteraser.solvers.relational.discarded import escape
from alteraser.solvers.relational.newton import NewtonStep, inverse, newton_step
from alteraser.solvers.relational.soft import gone
from alteraser.solvers.trace import PassRecord

Float64 = npt.NDArray[np.float64]

FORCING, PRODUCTS = 0.03, 400
"""How far a Newton step is solved, and products it may take"""
STUCK = 0.9
"""Share of the last distance that a Newton step which leads nowhere has to be below"""
CLOSER = 0.5
"""Share of the distance asked for that a Newton step is solved to, so that it need not be measured
again where it ends"""
AS_FORETOLD = 2.0
"""By how much more of the gradient may be there than the solve has left: L is quadratic so far"""


class LinearRefine(Decided):
    """Newton steps, each of which says how far it was."""

    def __init__(self) -> None:
        self._before = np.inf

    def move(self, state: LinearRun) -> Move:
        """Solve one, and take it where it is too far."""
        _vanish(state)
        state.renew()
        found = newton_step(
            state.problem,
            state.point,
            state.gradient,
            state.M,
            forcing=FORCING,
            products=PRODUCTS,
            threads=state.threads,
            lacking=CLOSER * state.asked * state.size,
        )
        state.measured = found
        state.products += found.products
        if found.bent is not None:
            return Move(
                self._record(state, found), "bent" if _leave(state, found.bent) else "spent"
            )
        far = found.distance / state.size
        if far <= state.asked and state.residual <= state.goal.residual:
            return Move(self._record(state, found), "bent" if _lower(state) else "arrived")
        if found.soft is not None:
            return self._along(state, found, far)
        vector = state.point.vector + found.step
        value, gradient = state.look(vector)
        noise = NOISE * abs(state.value)
        before, after = state.norm, state.M.norm(gradient)
        record = self._record(state, found)
        if value <= state.value + noise and after < before:
            state.go(vector, value, gradient)
            off = found.lacks * after / max(found.left * before, NOISE * before)
            if after <= AS_FORETOLD * found.left * before and off <= state.asked * state.size:
                state.measured = replace(found, arrived=off)
                if state.residual <= state.goal.residual:
                    record = self._record(state, state.measured)
                    return Move(record, "bent" if _lower(state) else "arrived")
        elif not far < STUCK * self._before:
            return Move(record, "spent")
        self._before = min(far, self._before)
        return Move(record, "far")

    def _along(self, state: LinearRun, found: NewtonStep, far: float) -> Move:
        """Go it by its arc, as far as L falls; near the end, where L is rounding, as far as what is
        left of the gradient, soft directions in it, is less. What is left then is measured anew: it
        need not be of the kind that the solve has left.
        """
        noise, record = NOISE * abs(state.value), self._record(state, found)
        nearer, self._before = far < STUCK * self._before, min(far, self._before)
        before, t = _size(state, found, state.gradient), 1.0
        for _ in range(TRIES):
            vector = gone(state.problem, state.point, t * found.step)
            value, gradient = state.look(vector)
            less = nearer and value <= state.value + noise
            if value < state.value - noise or (less and _size(state, found, gradient) < before):
                state.go(vector, value, gradient)
                return Move(record, "far")
            t *= 0.3
        return Move(record, "far" if nearer else "spent")

    def _record(self, state: LinearRun, found: NewtonStep) -> PassRecord:
        return PassRecord.of(
            "polish",
            state.value,
            state.residual,
            state.problem.size,
            products=found.products,
            distance=found.distance / state.size,
        )


def _size(state: LinearRun, found: NewtonStep, gradient: Float64) -> float:
    """√(gᵀH⁻¹g), about."""
    return float(np.sqrt(max(float(gradient @ inverse(state.M, found.soft, gradient)), 0.0)))


def _vanish(state: LinearRun) -> None:
    """Be nothing, where L cannot tell the model from it: near the penalty from which on zeros are
    its least, a model goes on shrinking by shares of what it is, and is never there.
    """
    if state.point.predictions or any(x.biases for x in state.problem.relations):
        return
    if not 0.0 < state.theta**2 <= RESOLVED**2 * abs(state.value):
        return
    zeros = np.zeros_like(state.point.vector)
    state.go(zeros, *state.look(zeros))


def _lower(state: LinearRun) -> bool:
    """Go to where L is lower by a column that is discarded; False where that is no further than
    what is asked, or no lower than rounding.
    """
    found = escape(state.problem, state.point, threads=state.threads)
    if found is None or found.length <= state.asked * state.size:
        return False
    vector = state.point.vector + found.step
    value, gradient = state.look(vector)
    if not value < state.value - NOISE * abs(state.value):
        return False
    state.go(vector, value, gradient)
    state.renew()
    return True


def _leave(state: LinearRun, bent: Float64) -> bool:
    """Go along a direction in which L bends down, to where it is lower; False where it is not."""
    if float(bent @ state.gradient) > 0:
        bent = -bent
    t = 0.1 * state.size / float(np.linalg.norm(bent))
    for _ in range(TRIES):
        vector = gone(state.problem, state.point, t * bent)
        value, gradient = state.look(vector)
        if value < state.value - NOISE * abs(state.value):
            state.go(vector, value, gradient)
            state.renew()
            return True
        t *= 0.3
    return False
