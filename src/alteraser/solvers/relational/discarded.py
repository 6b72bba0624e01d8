"""Columns that a model has discarded: whether L would be lower with one of them.

A column in which every table is zero has no gradient, whatever L is beside it: an optimum from
before may lie there on a saddle, and Newton steps, which start from the gradient, do not see it.
With c in that column scores change by (A c)(B c)ᵀ, and with R, ½ ∂L/∂ŷ of every cell,

    L(c) − L(0) = Σ ρ c² + 2 Σ_r β_r (A c)ᵀ R_r (B c) + Σ_r β_r Σ_cells w (A c)² (B c)².

The first two are a quadratic form, looked at by conjugate gradients for where it is negative; the
columns that are used are where it is zero (``slow``), and left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models.relational import LinearProblem, Point, Relation
from alteraser.solvers.relational.evaluation import Sides
from alteraser.solvers.relational.slow import Residuals

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

DISCARDED = 1e-3
"""Share of the longest column below which one is taken to be"""
PRODUCTS = 100
"""Products with the quadratic form, each of which costs one column of a product with the Hessian"""
ROUNDING = 1e-10
"""Least negative share of the penalty that is taken for one"""


@dataclass(frozen=True)
class Escape:
    """Where L is lower with a column that was discarded."""

    step: Float64
    """To its least along the direction that was met, a vector"""

    @property
    def length(self) -> float:
        """How far that is."""
        return float(np.linalg.norm(self.step))


def escape(problem: LinearProblem, point: Point, *, threads: int) -> Escape | None:
    """A way down by a discarded column; None where none was found, or every column is used.

    Looked for where every row is penalized.
    """
    ridge = np.concatenate([problem.ridge[table.name] for table in problem.tables])
    stacked = np.concatenate([E[:, : problem.rank] for E in point.tables.values()])
    axis, used = weakest(stacked, free=not point.predictions)
    if axis is None or not np.all(ridge > 0):
        return None
    form = _Form(problem, point, axis, threads)
    root = np.sqrt(ridge)
    kept = np.linalg.qr(root[:, None] * used)[0]
    start = np.random.default_rng(0).standard_normal(ridge.size)
    start += ridge.size**0.5 * unit(root * (stacked @ axis))
    found = bent(lambda x: x + form.pulled(x / root) / root, start, kept)
    if found is None:
        return None
    column = found / root
    square = float(ridge @ column**2) + float(column @ form.pulled(column))
    fourth = form.fourth(column)
    if not (square < 0 and fourth > 0):
        return None
    column *= np.sqrt(-square / (2.0 * fourth))
    out, at = problem.point(np.zeros(problem.size)), 0
    for E in out.tables.values():
        E[:, : problem.rank] = np.outer(column[at : at + len(E)], axis)
        at += len(E)
    return Escape(out.vector)


def weakest(stacked: Float64, *, free: bool) -> tuple[Float64 | None, Float64]:
    """(the direction of ℝᵈ in which tables are shortest, columns that are used): of all directions
    where they are ``free`` to rotate, else of the axes; None where it is used itself.
    """
    if free:
        values, axes = np.linalg.eigh(stacked.T @ stacked)
        lengths = np.sqrt(np.maximum(values, 0.0))
    else:
        lengths, axes = np.linalg.norm(stacked, axis=0), np.eye(stacked.shape[1])
    used = lengths > DISCARDED * lengths.max(initial=0.0)
    place = int(np.argmin(lengths))
    axis = None if used[place] else np.asarray(axes[:, place])
    # under h of their own, columns are no eigenvectors of one form
    return axis, stacked @ axes[:, used] if free else np.zeros((len(stacked), 0))


def bent(form: Any, start: Float64, kept: Float64) -> Float64 | None:
    """A vector off the columns of ``kept`` in which a quadratic form is negative; None where
    ``PRODUCTS`` steps of conjugate gradients met none.
    """

    def off(x: Float64) -> Float64:
        return np.asarray(x - kept @ (kept.T @ x))

    r = off(start)
    p, rr = r, float(r @ r)
    first = rr
    for _ in range(PRODUCTS):
        if not rr > 1e-20 * first:
            return None
        q = off(form(p))
        along = float(p @ q)
        if along <= -ROUNDING * float(p @ p):
            return p
        if not along > 0:
            return None
        r = r - rr / along * q
        before, rr = rr, float(r @ r)
        p = r + rr / before * p
    return None


def unit(x: Float64) -> Float64:
    """A vector over its length; zeros as they are."""
    size = float(np.linalg.norm(x))
    return x / size if size > 0 else x


class _Form:
    """Σ_r 2 β_r (A c)ᵀ R_r (B c) at a point, of columns along ``axis``."""

    def __init__(self, problem: LinearProblem, point: Point, axis: Float64, threads: int) -> None:
        plain = (replace(one, prediction=None, biases=False) for one in problem.relations)
        self._one, self._threads = replace(problem, rank=1, relations=tuple(plain)), threads
        self._parts = []
        for relation in problem.relations:
            h = point.prediction(relation)
            scale = relation.weight * (1.0 if h is None else float(h @ axis**2))
            self._parts.append((relation, scale, Residuals(problem, point, relation, threads)))

    def pulled(self, column: Float64) -> Float64:
        """Half of the gradient of the form."""
        sides = self._sides(column)
        for relation, scale, cells in self._parts:
            x, z = self._seen(sides, relation)
            Rz, Rx = cells.residual(x, z)
            sides.add(relation.left, relation.source, scale * Rz)
            sides.add(relation.right, relation.target, scale * Rx)
        out = self._one.point(np.zeros_like(column))
        sides.collect(out)
        return out.vector

    def fourth(self, column: Float64) -> float:
        """Σ_r β_r Σ_cells w (A c)² (B c)²."""
        sides, total = self._sides(column), 0.0
        for relation, scale, cells in self._parts:
            x, z = self._seen(sides, relation)
            total += scale**2 / relation.weight * cells.squares(x.ravel(), z.ravel())
        return total

    def _sides(self, column: Float64) -> Sides:
        return Sides(self._one, self._one.point(column), self._threads)

    @staticmethod
    def _seen(sides: Sides, relation: Relation) -> tuple[Float64, Float64]:
        left, right = (relation.left, relation.source), (relation.right, relation.target)
        return sides.of(*left), sides.of(*right)
