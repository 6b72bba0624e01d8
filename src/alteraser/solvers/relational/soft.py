"""Rotations that a trained h tells from nothing, but hardly: a second level for Newton steps.

With scores Σ_k h_k x_k z_k two columns k and l of all tables can be turned into each other for

    about Σ (h_k − h_l)² (x_k z_l + x_l z_k)² θ²,

which is little where h_k ≈ h_l: curvature many powers of ten below all other. Conjugate gradients
meet such directions last, and float32 does not see them. So the Hessian on E Ω, Ω skew, is made of
one product for each pair of columns, and solved exactly beside the preconditioner. What turns goes
along the arc: a straight line leaves the valley, by the fourth power of the angle times the largest
curvature there is.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.linalg import expm

from alteraser.models.relational import LinearProblem, Point
from alteraser.solvers.relational.evaluation import LinearCurvature
from alteraser.solvers.rotations import Rotations

Float64 = npt.NDArray[np.float64]

PAIRS = 64
"""Pairs of columns that are looked at, at most: those whose h are nearest to each other"""
SAME = 1e-14
"""Share of the largest length, by its square, below which a rotation moves nothing"""
ROUNDING = 1e-14
"""Share of the forces that a rotation calls up below which its curvature is rounding"""


class SoftTurns:
    """The Hessian of L on rotations of the columns of all tables."""

    def __init__(self, problem: LinearProblem, point: Point, curvature: LinearCurvature) -> None:
        rank = self._rank = problem.rank
        self._problem, self._point = problem, point
        gap = sum((h[:, None] - h[None, :]) ** 2 for h in point.predictions.values())
        pairs = sorted(combinations(range(rank), 2), key=lambda pair: float(np.asarray(gap)[pair]))
        chosen = np.array(pairs[:PAIRS], dtype=np.intp).reshape(-1, 2)
        self._first, self._second = chosen[:, 0], chosen[:, 1]
        size = self.products = len(chosen)
        lengths, bent, forces = np.zeros((size, size)), np.zeros((size, size)), 0.0
        for k, unit in enumerate(np.eye(size)):
            turned = self._of(unit)
            force = (curvature @ problem.point(turned)).vector
            lengths[k], bent[k] = self._on(turned), self._on(force)
            long = float(np.linalg.norm(turned))
            forces = max(forces, float(np.linalg.norm(force)) / long if long > 0 else 0.0)
        squares, axes = np.linalg.eigh((lengths + lengths.T) / 2.0)
        kept = squares > SAME * squares.max(initial=0.0)
        scaled = axes[:, kept] / np.sqrt(squares[kept])
        values, vectors = np.linalg.eigh(scaled.T @ (bent + bent.T) @ scaled / 2.0)
        real = np.abs(values) > ROUNDING * forces
        self.values: Float64 = values[real]
        """Curvatures along them, from the least up"""
        self._axes = scaled @ vectors[:, real]

    @property
    def bent(self) -> Float64 | None:
        """A rotation along which L bends down; None where there is none."""
        if not self.values.size or self.values[0] > 0:
            return None
        return self._of(self._axes[:, 0])

    def solve(self, gradient: Float64) -> Float64:
        """The rotation that takes away what of a gradient is along rotations."""
        return self._of(self._axes @ ((self._axes.T @ self._on(gradient)) / self.values))

    def _of(self, angles: Float64) -> Float64:
        """E Ω, a vector."""
        turn = np.zeros((self._rank, self._rank))
        turn[self._first, self._second] = angles
        out = self._problem.point(np.zeros(self._problem.size))
        for name, E in self._point.tables.items():
            out.tables[name][:, : self._rank] = E[:, : self._rank] @ (turn - turn.T)
        return out.vector

    def _on(self, vector: Float64) -> Float64:
        """The adjoint of ``_of``."""
        seen, rank = self._problem.point(vector), self._rank
        inner = np.zeros((rank, rank))
        for name, E in self._point.tables.items():
            inner += E[:, :rank].T @ seen.tables[name][:, :rank]
        return np.asarray((inner - inner.T)[self._first, self._second])


def gone(problem: LinearProblem, point: Point, step: Float64) -> Float64:
    """``point`` after a step, a vector: what of it would turn the tables turns them, where an h is
    trained.
    """
    if not point.predictions:
        return np.asarray(point.vector + step)
    rank, names = problem.rank, list(point.tables)
    along = problem.point(step)
    stacked = [np.ascontiguousarray(point.tables[name][:, :rank]) for name in names]
    turn = Rotations(*stacked).of(
        *(np.ascontiguousarray(along.tables[name][:, :rank]) for name in names)
    )
    arc = expm(turn)
    out = problem.point(point.vector + step)
    for name, E in zip(names, stacked, strict=True):
        out.tables[name][:, :rank] = (out.tables[name][:, :rank] - E @ turn) @ arc
    return out.vector
