"""One Newton step, solved to measure with: how far it is to the optimum, and whether L bends up.

Conjugate gradients on the Hessian, which is never formed, preconditioned, off the rotations. Where
a direction without upward curvature turns up it ends, and that direction is what it says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alteraser.models.relational import LinearProblem, Point
from alteraser.solvers.relational.evaluation import LinearCurvature
from alteraser.solvers.relational.preconditioner import Preconditioner
from alteraser.solvers.relational.symmetry import Turns

Float64 = npt.NDArray[np.float64]

TINY = 1e-100
"""Gradients below this are solved for in a unit of their own"""
DELAY = 8
"""Products between which a solution is compared with itself, to tell what it still lacks"""
SLOWEST, FASTEST = 0.9, 0.3
"""Share of what it lacked that is taken to be left after so many products, at most and at least"""
DEEPEST = 1e-4
"""Share of the gradient below which float32 has no more to say"""


@dataclass(frozen=True)
class NewtonStep:
    """What a solve found."""

    step: Float64
    """x ≈ −H⁻¹g, a vector"""
    left: float
    """‖g + H x‖_{M⁻¹} / ‖g‖_{M⁻¹}"""
    bent: Float64 | None
    """A direction p with pᵀHp ≤ 0, where one was met; None in a valley"""
    smallest: float
    """Least pᵀHp / pᵀMp met, an estimate from above of the least eigenvalue of M⁻¹H"""
    products: int
    lacks: float
    """‖x + H⁻¹g‖, what the solution lacks, by how it changed in its last products"""
    arrived: float | None = None
    """Where the step was taken: about the distance from there"""

    @property
    def distance(self) -> float:
        """‖x‖, and about what is left of it; where the step was taken, that from its end."""
        if self.arrived is not None:
            return self.arrived
        return float(np.linalg.norm(self.step)) * (1.0 + self.left / max(self.smallest, self.left))


def newton_step(
    problem: LinearProblem,
    point: Point,
    gradient: Float64,
    M: Preconditioner,
    *,
    forcing: float,
    products: int,
    threads: int,
    lacking: float = np.inf,
) -> NewtonStep:
    """Solve H x = −gradient until the residual has fallen to ``forcing``, and x lacks no more than
    ``lacking``, or for ``products`` products.
    """
    turns = Turns(problem, point)
    curvature = LinearCurvature(problem, point, dtype=np.float32, threads=threads)
    largest = float(np.max(np.abs(gradient), initial=0.0))
    # squares of what is smaller are no numbers: a model that is nothing, its tables almost zero
    unit = largest if 0.0 < largest < TINY else 1.0
    x, r = np.zeros_like(gradient), turns.off(-gradient / unit)
    z = turns.off(M(r))
    p, rz = z, float(r @ z)
    first, count, smallest, course = rz, 0, np.inf, _Course(x)
    while count < products and rz > DEEPEST**2 * first:
        if rz <= forcing**2 * first and unit * course.lacks <= lacking:
            break
        size = float(np.abs(p).max())  # float32 must not underflow
        along = (curvature @ problem.point(p / size)).vector
        q, count = turns.off(size * along), count + 1
        bent = float(p @ q)
        if not bent > 0.0:
            return NewtonStep(unit * x, float(np.sqrt(rz / first)), p, bent / rz, count, np.inf)
        smallest = min(smallest, bent / rz)
        step = rz / bent
        x, r = x + step * p, r - step * q
        course.look(x, count)
        z = turns.off(M(r))
        before, rz = rz, float(r @ z)
        p = z + (rz / before) * p
    left = float(np.sqrt(max(rz, 0.0) / first)) if first > 0 else 0.0
    return NewtonStep(unit * x, left, None, smallest, count, unit * course.lacks)


class _Course:
    """How a solution changed from ``DELAY`` products to the next: a geometric series, of which the
    rest is what it lacks (for energies: Golub & Meurant, BIT 1997).
    """

    def __init__(self, x: Float64) -> None:
        self._before, self._change, self.lacks = x, np.inf, np.inf

    def look(self, x: Float64, count: int) -> None:
        """Compare, where it is time to."""
        if count % DELAY:
            return
        change = float(np.linalg.norm(x - self._before))
        share = min(change / self._change, SLOWEST) if np.isfinite(self._change) else SLOWEST
        self._before, self._change = x, change
        self.lacks = change * max(share, FASTEST) / (1.0 - share)
