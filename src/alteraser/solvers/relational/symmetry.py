"""Rotations of all tables together, along which L does not change where no h is trained."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alteraser.models.relational import LinearProblem, Point
from alteraser.solvers.rotations import Rotations

Float64 = npt.NDArray[np.float64]


class Turns:
    """What of a direction at ``point`` would only rotate it."""

    def __init__(self, problem: LinearProblem, point: Point) -> None:
        self._problem, self._point = problem, point
        rank = problem.rank
        free = not point.predictions
        self._stacked = [np.ascontiguousarray(E[:, :rank]) for E in point.tables.values()]
        self._rotations = Rotations(*self._stacked) if free else None

    def off(self, direction: Float64) -> Float64:
        """``direction`` (a vector) without it."""
        if self._rotations is None:
            return direction
        out = self._problem.point(direction.copy())
        rank = self._problem.rank
        parts = [np.ascontiguousarray(E[:, :rank]) for E in out.tables.values()]
        turn = self._rotations.of(*parts)
        for E, stacked in zip(out.tables.values(), self._stacked, strict=True):
            E[:, :rank] -= stacked @ turn
        return out.vector


def rotated_onto(problem: LinearProblem, point: Point, target: Point) -> Float64:
    """``point`` rotated as near to ``target`` as it gets (Procrustes), as a vector."""
    if point.predictions:
        return point.vector.copy()
    rank = problem.rank
    pairs = [(E[:, :rank], target.tables[name][:, :rank]) for name, E in point.tables.items()]
    left, _, right = np.linalg.svd(sum(a.T @ b for a, b in pairs))
    out = problem.point(point.vector.copy())
    for E in out.tables.values():
        E[:, :rank] = E[:, :rank] @ (left @ right)
    return out.vector
