"""The way to the optimum: limited-memory BFGS on φ(Q) = min_P L(P, Q), its first guess the blocks
and the slow space.

A Newton step is solved to a tenth and then thrown away with all that its iterations have learnt,
though the next one asks much the same; and its blocks must be those of the very point, or the
reduced Hessian is wrong where it is small. Here every iteration moves. It evaluates ∇φ once: the
users go to their minimum given Q by one step each with a factored block of an earlier point, the
items' gradient follows, and the change of the gradient over the step joins the last few pairs. That
costs no more than a product with the reduced Hessian, and the pairs stay true from one stretch of
the way to the next (Liu & Nocedal, Math. Prog. 1989; preconditioned by alternating passes: De
Sterck & Winlaw, Numer. Linear Algebra Appl. 2015).

H₀ is B_Q⁻¹ and what the slow space adds to it, see ``alteraser.solvers.slow``. Both are of the
point where they were last taken, and are taken anew when progress slows down. A step is taken where
the slopes say that φ fell enough and not too steeply still (Wolfe); near the optimum, where
differences of φ drown in rounding, mostly the slopes decide (Hager & Zhang, SIAM J. Optim. 2005).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.linalg.secants import Secants
from alteraser.solvers.joint import Joint
from alteraser.solvers.joint_newton import JointNewton

Array = npt.NDArray[Any]

FLAT, STEEP = 0.9, 0.8
"""A step is too long where the slope at its end is FLAT of the first one's size and upwards, and
too short where it is still STEEP of it and downwards."""

TRIES = 6
"""Evaluations that one step may take."""

GUESS, PATIENCE, PROGRESS = 5, 20, 0.03
"""Iterations before the slow space is found for the first time, and between looks at the progress:
unless ‖g‖²_H has fallen to PROGRESS over the last half of these, blocks and slow space are taken
anew, at the cost of about ten."""

IDLE, NEARER, PASS = 12, 0.7, 4
"""IDLE iterations in a row that neither bring ‖g‖²_H to NEARER of its least nor lower the least φ
by what can be told from rounding are the last. A whole pass that lowers nothing counts as PASS of
them."""

REACH = 1.0
"""How far a step may go along a slow direction, in units of its curvature times the size of the
factors."""

NOISE, RESOLVED = (1e-8, 2e-16), (1e-9, 1e-15)
"""Shares of φ within which a rise may be rounding, and beyond which a fall is none; in float32 and
in float64."""

JUMP = 0.1
"""Share of its size that the model may have been moved by others before blocks and pairs are worth
nothing."""


class Descent:
    """Goes from where ``joint`` is, whose blocks are of a point not far away; P and Q are changed
    in place.
    """

    def __init__(self, joint: Joint, newton: JointNewton) -> None:
        self.joint, self.newton = joint, newton
        self.exhausted: bool
        """True when the working precision leads no further."""
        self.evaluations = 0
        self._secants = Secants(newton.memory, joint.Q.shape, joint.Q.dtype)
        wide = joint.Q.dtype.itemsize > 4
        self._digits = NOISE[wide], RESOLVED[wide]
        # whether the slow space was looked for, if only to find that there is none
        self._sought = False
        self._age = 0  # iterations since blocks and slow space were taken
        self._course: list[float] = []  # decrements since then
        # ‖both sides‖ / ‖items‖
        self._share = float(np.sqrt(1.0 + _square(joint.P) / (_square(joint.Q) or 1.0)))
        self.begin()

    def begin(self) -> None:
        """Take value and gradient where ``joint`` is; after it was moved by others."""
        if self.joint.moved > JUMP:
            self.joint.settle()
            self._secants.clear()
            self._age, self._course = 0, []
        self.theta_norm, self.value, self._gradient = self._evaluate()
        self.exhausted, self._idle, self._least, self._lowest = False, 0, np.inf, self.value
        self._aim()

    @property
    def decrement(self) -> float:
        """gᵀH g with half the items' gradient g; about S⁻¹ for H, it is above their Σ gᵀA⁻¹g, since
        S ⪯ B_Q.
        """
        return -self._slope

    @property
    def distance(self) -> float:
        """About how far it is to the optimum: ‖H g‖ with the users' share, which is that of the
        last step.
        """
        return self._share * float(np.sqrt(_square(self._direction)))

    def step(self) -> float:
        """One iteration; returns by how much φ fell."""
        joint = self.joint
        P, Q, before, gradient = joint.P.copy(), joint.Q.copy(), self.value, self._gradient
        found = self._along(P, Q)
        if found is None:
            joint.P[:], joint.Q[:] = P, Q
            self._pass()
        else:
            self.value, self._gradient = found
            moved = joint.Q - Q
            self._secants.keep(moved, self._gradient - gradient)
            items, users = _square(moved), _square(joint.P - P)
            self._share = float(np.sqrt(1.0 + users / items)) if items > 0 else self._share
            joint.moved += float(np.sqrt((items + users) / (_square(P) + _square(Q) or 1.0)))
        self._course.append(self.decrement)
        self._age += 1
        self._rest()
        self._aim()
        return before - self.value

    # ------------------------------------------------------------------ pieces

    def _rest(self) -> None:
        """Count iterations that bring nothing."""
        lower = self.value < self._lowest - self._digits[1] * abs(self.value)
        if lower or self.decrement < NEARER * self._least:
            self._least, self._lowest = (
                min(self._least, self.decrement),
                min(self._lowest, self.value),
            )
            self._idle = 0
        else:
            self._idle += 1
        self.exhausted = self.exhausted or self._idle >= IDLE

    def _aim(self) -> None:
        """The direction of the next step, −H g off the rotations, and its slope."""
        joint = self.joint
        self._refresh()
        slow = (
            None
            if joint.slow is None
            else joint.slow.within(self._gradient, REACH * self.theta_norm)
        )
        for _ in range(2):
            wanted = self._secants.apply(self._gradient, joint.preconditioner(slow))
            self._direction = joint.off_rotations(-wanted)
            self._slope = float(np.vdot(self._gradient, self._direction))
            if self._slope < 0 or not len(self._secants):
                break
            self._secants.clear()
        if not self._slope < 0:
            self._slope, self.exhausted = 0.0, True

    def _refresh(self) -> None:
        """Blocks and slow space of where it is, when those at hand no longer serve."""
        joint, newton = self.joint, self.newton
        first = (
            joint.slow is None and not self._sought and self._age >= GUESS and self._near_enough()
        )
        half = PATIENCE // 2
        late = (
            self._age >= PATIENCE
            and self._age % half == 0
            and self._course[-1] > PROGRESS * self._course[-half]
        )
        if first or late:
            joint.settle(move=False)
            if self._near_enough():
                joint.find_slow(newton, anew=True)
                self._sought = True
            self._age, self._course = 0, []
            self._least, self._idle = np.inf, 0  # another H

    def _near_enough(self) -> bool:
        """True where the gradient is small enough for residuals to say something about the
        solution.
        """
        if self.newton.weak == 0:
            return False
        norm = 2.0 * self.joint.items.norm(self._gradient)
        return norm <= self.newton.slow_below * self.theta_norm

    def _pass(self) -> None:
        """An alternating pass, every row exactly to its minimum: φ cannot rise, however far the
        blocks were off.
        """
        joint, before = self.joint, self.value
        self._secants.clear()
        joint.settle()
        joint.step_items()
        joint.settle()
        self._age, self._course = 0, []
        _, self.value, self._gradient = self._evaluate()
        if self.value >= before - self._digits[1] * abs(before):
            self._idle += PASS

    def _along(self, P: Array, Q: Array) -> tuple[float, Array] | None:
        """(value, gradient) after going along the direction from (P, Q); None where no step tried
        is worth it.
        """
        direction, slope = self._direction, self._slope
        joint = self.joint
        noise = self._digits[0] * abs(self.value)
        t, low, high = 1.0, 0.0, np.inf
        best, earlier = None, None
        for _ in range(TRIES):
            joint.P[:] = P
            np.multiply(direction, direction.dtype.type(t), out=joint.Q)
            joint.items.x += Q
            _, value, gradient = self._evaluate()
            slope_here = float(np.vdot(gradient, direction))
            sound = bool(np.isfinite(value) and np.isfinite(slope_here))
            rose = not sound or value > self.value + noise
            best = None if rose else (value, gradient)
            if rose or slope_here > -FLAT * slope:
                high = t
                # where a quadratic with these slopes has its least
                if low == 0.0 and sound and slope_here > 0:
                    t = min(max(-slope / (slope_here - slope), 0.1), 0.7) * t
                else:
                    t = 0.5 * (low + t) if low > 0.0 else 0.3 * t
            elif slope_here < STEEP * slope and high == np.inf:
                low = t
                t = 2.0 * t
                earlier = (joint.P.copy(), joint.Q.copy(), value, gradient)
            else:
                break
        if best is None and earlier is not None:
            joint.P[:], joint.Q[:] = earlier[:2]
            best = earlier[2:]
        return best

    def _evaluate(self) -> tuple[float, float, Array]:
        """(‖Θ‖_B, φ − const, half the items' gradient) after a step of every user to its minimum
        given Q.
        """
        joint = self.joint
        users = joint.step_users()
        gradient, value, items = joint.items.approach(move=False)
        self.evaluations += 1
        sizes = np.einsum("id,id->i", joint.P, joint.P)
        value += float(joint.users.side.ridge.astype(np.float64) @ sizes)
        return float(np.sqrt(max(users + items, 0.0))) or 1.0, value, gradient


def _square(x: Array) -> float:
    return float(np.vdot(x, x))
