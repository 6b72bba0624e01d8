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
from alteraser.solvers.relational.soft import SoftTurns
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
DEEPER = 1e-10
"""The same of float64"""


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
    soft: SoftTurns | None = None
    """What was solved beside the preconditioner, where an h is trained"""

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
    trained = bool(point.predictions) and problem.rank > 1
    dtype, deepest = (np.float64, DEEPER) if trained else (np.float32, DEEPEST)
    curvature = LinearCurvature(problem, point, dtype=dtype, threads=threads)
    soft, count = None, 0
    if trained:
        soft = SoftTurns(problem, point, curvature)
        count = soft.products
        if soft.bent is not None:
            return NewtonStep(
                np.zeros_like(gradient), 1.0, soft.bent, float(soft.values[0]), count, np.inf
            )
    largest = float(np.max(np.abs(gradient), initial=0.0))
    # squares of what is smaller are no numbers: a model that is nothing, its tables almost zero
    unit = largest if 0.0 < largest < TINY else 1.0
    x, r = np.zeros_like(gradient), turns.off(-gradient / unit)
    z = turns.off(inverse(M, soft, r))
    p, rz = z, float(r @ z)
    first, smallest, course = rz, np.inf, _Course(x, count)
    while count < products and rz > deepest**2 * first:
        if rz <= forcing**2 * first and unit * _lacks(course, soft, r) <= lacking:
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
        z = turns.off(inverse(M, soft, r))
        before, rz = rz, float(r @ z)
        p = z + (rz / before) * p
    left = float(np.sqrt(max(rz, 0.0) / first)) if first > 0 else 0.0
    lacks = unit * _lacks(course, soft, r)
    return NewtonStep(unit * x, left, None, smallest, count, lacks, soft=soft)


def inverse(M: Preconditioner, soft: SoftTurns | None, gradient: Float64) -> Float64:
    """About H⁻¹ of a gradient, by both levels."""
    return M(gradient) if soft is None else M(gradient) + soft.solve(gradient)


def _lacks(course: _Course, soft: SoftTurns | None, residual: Float64) -> float:
    """What a solution lacks, by its course and by what of its residual is along rotations."""
    if soft is None:
        return course.lacks
    return course.lacks + float(np.linalg.norm(soft.solve(residual)))


class _Course:
    """How a solution changed from ``DELAY`` products to the next: a geometric series, of which the
    rest is what it lacks (for energies: Golub & Meurant, BIT 1997).
    """

    def __init__(self, x: Float64, first: int) -> None:
        self._before, self._change, self.lacks = x, np.inf, np.inf
        self._first = first

    def look(self, x: Float64, count: int) -> None:
        """Compare, where it is time to."""
        if (count - self._first) % DELAY:
            return
        change = float(np.linalg.norm(x - self._before))
        share = min(change / self._change, SLOWEST) if np.isfinite(self._change) else SLOWEST
        self._before, self._change = x, change
        self.lacks = change * max(share, FASTEST) / (1.0 - share)
