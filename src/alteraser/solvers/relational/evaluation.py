"""Value, gradient and Hessian products of a linear problem, over all cells, through d × d Gram
matrices.

With X = A E_s and Z = B E_t, a relation's loss is that of matrix factorization at (X ∘ h, Z), and
its gradient goes back through Aᵀ and Bᵀ. So a gradient costs what those of the relations cost as
matrix factorization, and the operators' two products. Operators that are one object, or parts of
one, are applied once for all relations that have them. Everything is accumulated in float64.

Biases are two more columns, of which one is 1: x = (a, bias, 1) and z = (b, 1, bias).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models.factorization.problem import Side
from alteraser.models.relational import LinearProblem, Operator, Part, Point, Relation
from alteraser.runtime.workers import blocks, default_threads, run
from alteraser.solvers.rows.protocol import aligned, padded, padded_width

Float64 = npt.NDArray[np.float64]
Key = tuple[int, str]


@dataclass(frozen=True)
class LinearEvaluation:
    """Where a problem is at a point."""

    value: float
    gradient: Point
    """∂L, seen like the point"""
    norm: float
    """‖Θ‖_B, B being the curvature of every row of every side for itself, and the ridge"""


class Sides:
    """What relations see of a point: every distinct operator applied once, and the way back."""

    def __init__(self, problem: LinearProblem, point: Point, threads: int) -> None:
        self._point, self.threads, self._width = point, threads, problem.width
        self._seen: dict[Key, Float64] = {}
        self._back: dict[Key, tuple[Operator, Float64]] = {}

    def of(self, operator: Operator, table: str) -> Float64:
        """A E_table."""
        whole, rows = _whole(operator)
        key = id(whole), table
        if key not in self._seen:
            self._seen[key] = whole.apply(self._point.tables[table], threads=self.threads)
        return self._seen[key][rows]

    def add(self, operator: Operator, table: str, gradient: Float64) -> None:
        """Remember a gradient in A E_table, (rows, width or fewer)."""
        whole, rows = _whole(operator)
        key = id(whole), table
        if key not in self._back:
            self._back[key] = whole, np.zeros((whole.shape[0], self._width), gradient.dtype)
        self._back[key][1][rows, : gradient.shape[1]] += gradient

    def collect(self, into: Point) -> None:
        """Add Aᵀ of everything remembered to the tables."""
        for (_, table), (whole, gradient) in self._back.items():
            into.tables[table][:] += whole.adjoint(gradient, threads=self.threads)


def evaluate(
    problem: LinearProblem, point: Point, *, threads: int | None = None
) -> LinearEvaluation:
    """L and its gradient at ``point``, in float64. O(Σ_r |D_r|d + (rows + columns)d², and the
    operators).
    """
    threads = threads or default_threads()
    sides, gradient = Sides(problem, point, threads), problem.point(np.zeros(problem.size))
    value = fit = 0.0
    for relation in problem.relations:
        X, Z = _seen(sides, relation, problem.rank)
        h = point.prediction(relation)
        scaled = X if h is None else _times(X, h)
        left, _, loss, explained = _gradient(relation.sides[0], scaled, Z, threads)
        right, *_ = _gradient(relation.sides[1], Z, scaled, threads)
        value += relation.weight * loss
        fit += 2.0 * relation.weight * explained
        left *= 2.0 * relation.weight
        right *= 2.0 * relation.weight
        if h is not None:
            assert relation.prediction is not None
            rank = problem.rank
            value += relation.prediction * float((h - 1.0) @ (h - 1.0))
            along = np.einsum("id,id->d", left[:, :rank], X[:, :rank])
            gradient.predictions[relation.name][:] += along + 2.0 * relation.prediction * (h - 1.0)
            left = _times(left, h)
        _return(sides, relation, left, right, problem.rank)
    sides.collect(gradient)
    for name, E in point.tables.items():
        shrunk = problem.ridge[name][:, None] * E
        value += float(np.vdot(shrunk, E))
        gradient.tables[name][:] += 2.0 * shrunk
    tables = sum(float(np.vdot(gradient.tables[name], E)) for name, E in point.tables.items())
    return LinearEvaluation(value, gradient, float(np.sqrt(max(fit + tables / 2.0, 0.0))))


def hessian_product(
    problem: LinearProblem, point: Point, direction: Point, *, threads: int | None = None
) -> Point:
    """∇²L(point) · direction, seen like a point, in float64."""
    return LinearCurvature(problem, point, threads=threads) @ direction


class LinearCurvature:
    """∇²L at one point: what depends on the point alone is made once, and products follow for
    little more than a gradient costs, in float32 for half of it.
    """

    def __init__(
        self,
        problem: LinearProblem,
        point: Point,
        *,
        dtype: npt.DTypeLike = np.float64,
        threads: int | None = None,
    ) -> None:
        self._problem, self._dtype = problem, np.dtype(dtype)
        self._threads = threads or default_threads()
        sides = Sides(problem, point, self._threads)
        self._relations = [
            _Bend(problem, point, relation, sides, self._dtype) for relation in problem.relations
        ]

    def __matmul__(self, direction: Point) -> Point:
        """∇²L · direction."""
        problem = self._problem
        along = problem.point(direction.vector.astype(self._dtype))
        out = problem.point(np.zeros(problem.size, self._dtype))
        sides = Sides(problem, along, self._threads)
        for bend in self._relations:
            bend.add(along, sides, out, self._threads)
        sides.collect(out)
        found = problem.point(out.vector.astype(np.float64))
        for name, E in direction.tables.items():
            found.tables[name][:] += 2.0 * problem.ridge[name][:, None] * E
        return found


class _Bend:
    """One relation's share of it."""

    def __init__(
        self, problem: LinearProblem, point: Point, relation: Relation, sides: Sides, dtype: Any
    ) -> None:
        self._relation, self._rank = relation, problem.rank
        X, Z = _seen(sides, relation, problem.rank)
        h = point.prediction(relation)
        scaled = X if h is None else _times(X, h)
        self._h = None if h is None else h.astype(dtype)
        self._first: Float64 | None = None
        faces = ((relation.sides[0], scaled, Z), (relation.sides[1], Z, scaled))
        found = [_gradient(side, mine, other, sides.threads) for side, mine, other in faces]
        if h is not None:
            self._first = (2.0 * relation.weight * found[0][0]).astype(dtype)
        self._X = X.astype(dtype)
        self._halves = tuple(
            _Half(side.of_type(dtype), mine.astype(dtype), other.astype(dtype), error.astype(dtype))
            for (side, mine, other), (_, error, _, _) in zip(faces, found, strict=True)
        )

    def add(self, along: Point, sides: Sides, out: Point, threads: int) -> None:
        """Add h's share to ``out`` and remember the tables' in ``sides``."""
        relation, rank, h = self._relation, self._rank, self._h
        V, W = _seen(sides, relation, rank, constant=0.0)
        dh, dscaled = along.prediction(relation), V
        if h is not None and dh is not None:
            dscaled = _times(V, h)
            dscaled[:, :rank] += self._X[:, :rank] * dh
        left = self._halves[0].times(dscaled, W, threads)
        right = self._halves[1].times(W, dscaled, threads)
        left *= 2.0 * relation.weight
        right *= 2.0 * relation.weight
        if h is not None and dh is not None and self._first is not None:
            assert relation.prediction is not None
            first = self._first
            out.predictions[relation.name][:] += (
                np.einsum("id,id->d", left[:, :rank], self._X[:, :rank])
                + np.einsum("id,id->d", first[:, :rank], V[:, :rank])
                + 2.0 * relation.prediction * dh
            )
            left = _times(left, h)
            left[:, :rank] += first[:, :rank] * dh
        _return(sides, relation, left, right, rank)


class _Half:
    """What one side of a relation sees of the other: half the Hessian of the loss, its rows."""

    def __init__(self, side: Side, mine: Float64, other: Float64, error: Float64) -> None:
        """``error``: e of the side's cells, see ``solvers.kernels.relations``."""
        self._side, self._mine, self._other, self._error = side, wide(mine), wide(other), error
        weighted = self._other * side.other[:, None] if side.other.size else self._other
        missing = other.dtype.type(side.missing_weight)
        self._weighted = np.ascontiguousarray((missing * weighted).T)
        self._gram = self._weighted @ self._other

    def times(self, V: Float64, W: Float64, threads: int) -> Float64:
        """Its rows of the product with (V, W), V of this side and W of the other."""
        from alteraser.solvers.kernels.relations import bent_rows

        width, arrays, X = V.shape[1], self._side.arrays, self._mine
        V, W = wide(V), wide(W)
        mixed = self._weighted @ W
        out: Float64 = (V @ self._gram + X @ (mixed + mixed.T)) * self._side.own[:, None]
        run(
            lambda rows: bent_rows(rows, arrays, self._error, X, V, self._other, W, out),
            blocks(self._side, None, X.shape[1], threads),
            threads,
        )
        return out[:, :width]


def scores(
    problem: LinearProblem, point: Point, relation: Relation, *, threads: int = 1
) -> tuple[Float64, Float64]:
    """(X, Z) such that X Zᵀ are the relation's scores, (rows, k) and (columns, k): h and biases are
    in them.
    """
    X, Z = _seen(Sides(problem, point, threads), relation, problem.rank)
    h = point.prediction(relation)
    return (X if h is None else _times(X, h)), Z


# ---------------------------------------------------------------------- pieces


def _whole(operator: Operator) -> tuple[Operator, slice]:
    """The operator that is applied, and which rows of it are meant."""
    if isinstance(operator, Part):
        whole, rows = _whole(operator.whole)
        start = (rows.start or 0) + operator.start
        return whole, slice(start, start + operator.stop - operator.start)
    return operator, slice(None)


def _seen(
    sides: Sides, relation: Relation, rank: int, constant: float = 1.0
) -> tuple[Float64, Float64]:
    """X and Z of a relation, with the columns of biases where it has them; ``constant`` is 0 in a
    direction.
    """
    X, Z = sides.of(relation.left, relation.source), sides.of(relation.right, relation.target)
    if relation.biases:
        left, right = (np.full((len(x), rank + 2), constant, x.dtype) for x in (X, Z))
        left[:, : rank + 1], right[:, :rank], right[:, rank + 1] = X, Z[:, :rank], Z[:, rank]
        return left, right
    return np.ascontiguousarray(X[:, :rank]), np.ascontiguousarray(Z[:, :rank])


def _return(sides: Sides, relation: Relation, left: Float64, right: Float64, rank: int) -> None:
    """Remember the gradients in X and Z, which may have columns of biases."""
    if relation.biases:
        left, right = left[:, : rank + 1], np.delete(right, rank, axis=1)
    sides.add(relation.left, relation.source, left)
    sides.add(relation.right, relation.target, right)


def _times(X: Float64, h: Float64) -> Float64:
    """X ∘ h in the columns that h has; a copy."""
    found = X.copy()
    found[:, : h.size] *= h
    return found


def wide(x: Float64) -> Float64:
    """``x`` where its rows are whole vectors, else a copy with columns of zeros up to that."""
    return aligned(x) if x.shape[1] == padded_width(x.shape[1], x.dtype) else padded(x)


def _gradient(
    side: Side, x: Float64, other: Float64, threads: int
) -> tuple[Float64, Float64, float, float]:
    """Half the gradient of a relation's loss in ``x``, e of its cells, that loss, and Σ c y ŷ."""
    from alteraser.solvers.kernels.relations import error_and_gradient_rows

    width, x, other = x.shape[1], wide(x), wide(other)
    gradient = (x @ side.gram(other)) * side.own[:, None]
    missing = float(np.vdot(gradient, x))
    arrays, error = side.arrays, np.empty(side.indices.size)
    loss, fit = np.empty(side.rows), np.empty(side.rows)
    run(
        lambda rows: error_and_gradient_rows(rows, arrays, x, other, error, gradient, loss, fit),
        blocks(side, None, x.shape[1], threads),
        threads,
    )
    return gradient[:, :width], error, float(loss.sum()) + missing, float(fit.sum())
