"""One Newton step, solved to measure with: how far it is to the optimum, and whether L bends up.

Conjugate gradients on the Hessian, which is never formed, preconditioned, off the rotations. Where
a direction without upward curvature turns up it ends, and that direction is what it says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alteraser.models.relational import LinearProblem, Point
from alteraser.solvers.relational.evaluation import Curvature
from alteraser.solvers.relational.preconditioner import Preconditioner
from alteraser.solvers.relational.symmetry import Turns

Float64 = npt.NDArray[np.float64]

TINY = 1e-100
"""Gradients below this are solved for in a unit of their own"""


@dataclass(frozen=True)
class Step:
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

    @property
    def distance(self) -> float:
        """‖x‖, and about what is left of it."""
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
) -> Step:
    """Solve H x = −gradient until the residual has fallen to ``forcing`` or for ``products``
    products.
    """
    turns = Turns(problem, point)
    curvature = Curvature(problem, point, dtype=np.float32, threads=threads)
    largest = float(np.max(np.abs(gradient), initial=0.0))
    # squares of what is smaller are no numbers: a model that is nothing, its tables almost zero
    unit = largest if 0.0 < largest < TINY else 1.0
    x, r = np.zeros_like(gradient), turns.off(-gradient / unit)
    z = turns.off(M(r))
    p, rz = z, float(r @ z)
    first, count, smallest = rz, 0, np.inf
    while count < products and rz > forcing**2 * first:
        size = float(np.abs(p).max())  # float32 must not underflow
        along = (curvature @ problem.point(p / size)).vector
        q, count = turns.off(size * along), count + 1
        bent = float(p @ q)
        if not bent > 0.0:
            return Step(unit * x, float(np.sqrt(rz / first)), p, bent / rz, count)
        smallest = min(smallest, bent / rz)
        step = rz / bent
        x, r = x + step * p, r - step * q
        z = turns.off(M(r))
        before, rz = rz, float(r @ z)
        p = z + (rz / before) * p
    left = float(np.sqrt(max(rz, 0.0) / first)) if first > 0 else 0.0
    return Step(unit * x, left, None, smallest, count)
