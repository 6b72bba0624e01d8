"""About the inverse of the Hessian: every entity for itself, seen through the graph.

H of a relation is Aᵀ B A and more, B having a block for every row of a side: its weighted products
of the other side's vectors, missing cells through their Gram matrix. Between entities of a table
nothing is kept but that: entity j has

    Σ_r β_r Σ_i A_ij² B_i + λρ_j I,      A_ij² of an identity, of features, of a mean over a list,

factored once and used until it is too old. Where all relations see a table through one propagation
S, the blocks are those of the space that S maps to, where the ridge is about (K + 1)² of itself,
and p(Ã) ≈ S⁻¹ stands on both sides of them, see ``smoothing``. Relations are one side to the
kernel: their cells behind each other, and the Gram matrix of all but the first as d more cells of
everybody. What entities of a table that share rows are to each other stands between the factors of
their blocks, see ``coupling``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, eye_array, hstack

from alteraser.models.factorization.problem import Seeing, Side
from alteraser.models.relational import (
    Identity,
    LinearProblem,
    Operator,
    Part,
    Point,
    Product,
    Propagation,
    Relation,
    Sparse,
)
from alteraser.runtime.workers import blocks, run
from alteraser.solvers.blocks import factor_blocks, room_for
from alteraser.solvers.relational.coupling import Coupling, Shared
from alteraser.solvers.relational.evaluation import scores
from alteraser.solvers.relational.slow import Slow
from alteraser.solvers.relational.smoothing import undone
from alteraser.solvers.relational.sweep import halves, seats, swept
from alteraser.solvers.rows.protocol import aligned_empty, padded, padded_width
from alteraser.solvers.slow import SlowSpace

Float64 = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

SMALL = 1e-6
"""Share of a table's largest curvature that every entity is given at least, for λ = 0"""


class Preconditioner:
    """M⁻¹ of one point, for gradients at points not far from it."""

    def __init__(
        self,
        problem: LinearProblem,
        point: Point,
        threads: int,
        *,
        near: bool = True,
        slow: Slow | None = None,
        earlier: Preconditioner | None = None,
    ) -> None:
        """``near``: whether sides answer to each other, see ``sweep``. Far from an optimum errors
        are as large as targets, and what one side answers is more than the other has.

        ``slow``: where slow directions are kept from point to point; None: without them.
        ``earlier``: that of another point of the problem, of which what is the same there is taken.
        """
        self._problem, self.point, self._threads = problem, point, threads
        self._cells: dict[str, csr_array] = {} if earlier is None else earlier._cells
        self._tables = {
            table.name: _TableBlocks(problem, point, table.name, threads, self._cells)
            for table in problem.tables
        }
        if near:
            self.couple(slow)
        self._predictions = {
            relation.name: _prediction_curvature(problem, point, relation)
            for relation in problem.relations
            if relation.prediction is not None
        }

    def couple(self, slow: Slow | None) -> None:
        """Let sides answer to each other, with the blocks that are there; see ``near``."""
        for table in self._tables.values():
            table.couple(self._problem, self.point, slow)

    def uncouple(self) -> None:
        """Every side for itself again."""
        for table in self._tables.values():
            table.uncouple()

    def __call__(self, gradient: Float64) -> Float64:
        """M⁻¹ of a gradient, given and returned as a vector."""
        given, out = self._problem.point(gradient), self._problem.point(np.empty_like(gradient))
        for name, table in self._tables.items():
            out.tables[name][:] = table.solve(given.tables[name])
        for name, curvature in self._predictions.items():
            out.predictions[name][:] = given.predictions[name] / curvature
        return out.vector

    def norm(self, gradient: Float64) -> float:
        """√(gᵀM⁻¹g) of half of it and B for M, the norm that residuals are in."""
        return float(np.sqrt(max(float(gradient @ self(gradient)) / 2.0, 0.0)))


@dataclass(frozen=True)
class _Seen:
    """What a table is to one side of a relation."""

    weights: csr_array
    """A_ij², (rows of the side, entities)"""
    matrix: csr_array | None
    """A_ij; None where it is not to be had"""
    side: Side
    other: Float64
    """The other side's vectors as an entity's columns see them, (other rows, width)"""
    strength: float
    """β"""


class _TableBlocks:
    """The factored blocks of the entities of one table."""

    def __init__(
        self,
        problem: LinearProblem,
        point: Point,
        name: str,
        threads: int,
        cells: dict[str, csr_array],
    ) -> None:
        self._threads, self._width = threads, problem.width
        self._walk = common_walk(problem, name)
        stretched = 1.0 if self._walk is None else (self._walk.layers + 1.0) ** 2
        seen = list(_seen(problem, point, name, self._walk))
        ridge = problem.ridge[name] * stretched
        self._coupling = _coupled(seen, ridge, problem.rank)
        if self._coupling is not None:
            seen = [replace(part, other=part.other @ self._coupling.turn) for part in seen]
        if name not in cells:
            cells[name] = _cells(seen, ridge.size, problem.width)
        side, other = _together(cells[name], seen, ridge, problem.width)
        self._diagonal: Array | None = None
        self._end: int | None = None
        self._slow: SlowSpace | None = None
        if not room_for(side.rows, padded_width(problem.width, np.float32), np.float32):
            self._diagonal = _diagonal(side, other)
            return
        self._factors = _factored(side, padded(other.astype(np.float32)), problem.width, threads)
        self._blocks = blocks(side, None, problem.width, threads)

    def couple(self, problem: LinearProblem, point: Point, slow: Slow | None) -> None:
        """Let two sides answer to each other, and help slow directions, where there are such."""
        walk, threads = self._walk, self._threads
        self._end = None if walk is None or self._diagonal is not None else _alone(problem)
        if self._end is None or walk is None:
            return
        packed = self._factors[: self._end], self._factors[self._end :]
        relation = problem.relations[0]
        self._seats = seats(problem, point, relation, packed, threads)
        if slow is not None:
            self._slow = slow.at(problem, point, relation, walk, self._end, threads)

    def uncouple(self) -> None:
        """Back to blocks alone."""
        self._end = self._slow = None

    def solve(self, gradient: Float64) -> Float64:
        """M⁻¹ of it, M being of twice the blocks, through the graph and back."""
        walk, threads, coupling = self._walk, self._threads, self._coupling
        size = float(np.abs(gradient).max(initial=0.0))  # float32 must not underflow
        if size == 0.0:
            return np.zeros_like(gradient)
        right = (gradient / size).astype(np.float32)
        right = right if walk is None else undone(walk, right, threads=threads)
        if self._end is not None:
            given = padded(right)
            both = swept(*self._seats, (given[: self._end], given[self._end :]))
            solved = np.concatenate(both)[:, : self._width]
        elif coupling is None:
            solved = self._of_each(right)
        else:
            turn = coupling.turn.astype(np.float32)
            half = coupling.solve(self._of_each(right @ turn, "half"))
            solved = self._of_each(half, "back") @ turn.T
        if walk is not None:
            solved = undone(walk, np.ascontiguousarray(solved), threads=threads)
        found = solved.astype(np.float64) * (size / 2.0)
        return found if self._slow is None else found + 0.5 * self._slow.correction(gradient)

    def _of_each(self, right: Array, part: Literal["whole", "half", "back"] = "whole") -> Array:
        """(L Lᵀ)⁻¹, L⁻¹ or L⁻ᵀ of every entity's block, of float32."""
        from alteraser.solvers.kernels import joint

        if self._diagonal is not None:
            return right / (self._diagonal if part == "whole" else np.sqrt(self._diagonal))
        kernel = {
            "whole": joint.solve_rows,
            "half": joint.half_solve_rows,
            "back": joint.back_solve_rows,
        }[part]
        given = padded(right)
        out = aligned_empty(given.shape, given.dtype)
        run(lambda rows: kernel(rows, self._factors, given, out), self._blocks, self._threads)
        return out[:, : self._width]


def _alone(problem: LinearProblem) -> int | None:
    """Where the table's rows end and its columns begin, of the only relation; None where that is
    more than two sides of plain vectors.
    """
    relation = problem.relations[0]
    plain = len(problem.relations) == 1 and relation.prediction is None and not relation.biases
    return halves(relation) if plain else None


def common_walk(problem: LinearProblem, table: str) -> Propagation | None:
    """The propagation through which all relations see a table; None where there is no such one."""
    walks = []
    for relation in problem.relations:
        for name, operator in ((relation.source, relation.left), (relation.target, relation.right)):
            if name == table:
                walks.append(_innermost(operator))
    if not walks or any(walk is None or walk is not walks[0] for walk in walks):
        return None
    return walks[0]


def _innermost(operator: Operator) -> Propagation | None:
    if isinstance(operator, Product):
        return _innermost(operator.inner)
    if isinstance(operator, Part):
        return _innermost(operator.whole)
    return operator if isinstance(operator, Propagation) else None


def squares(operator: Operator, walk: Propagation | None) -> csr_array:
    """A_ij² of an operator, (rows, entities), sparse; of a propagation its diagonal, which is about
    1 / (K + 1), or 1 in the space of ``walk``.
    """
    if isinstance(operator, Identity):
        return eye_array(operator.size, format="csr")
    if isinstance(operator, Sparse):
        return csr_array(operator.matrix.multiply(operator.matrix))
    if isinstance(operator, Part):
        return csr_array(squares(operator.whole, walk)[operator.start : operator.stop])
    if isinstance(operator, Product):
        return csr_array(squares(operator.outer, walk) @ squares(operator.inner, walk))
    if isinstance(operator, Propagation):
        size = 1.0 if operator is walk else 1.0 / (operator.layers + 1.0) ** 2
        return csr_array(size * eye_array(operator.shape[0], format="csr"))
    return eye_array(*operator.shape, format="csr")


def _seen(
    problem: LinearProblem, point: Point, table: str, walk: Propagation | None
) -> Iterator[_Seen]:
    """What relations see of a table, side by side."""
    for relation in problem.relations:
        if table not in (relation.source, relation.target):
            continue
        X, Z = scores(problem, point, relation)
        h = point.prediction(relation)
        for name, operator, side, other, scale in (
            (relation.source, relation.left, relation.sides[0], Z, h),
            (relation.target, relation.right, relation.sides[1], X, None),
        ):
            if name == table:
                width = np.zeros((other.shape[0], problem.width))
                width[:, : problem.rank] = other[:, : problem.rank]
                if scale is not None:
                    width[:, : problem.rank] *= scale
                if relation.biases:
                    width[:, problem.rank] = 1.0
                matrix = operator.rows(np.arange(operator.shape[0]))
                yield _Seen(squares(operator, walk), matrix, side, width, relation.weight)


def _coupled(seen: list[_Seen], ridge: Float64, rank: int) -> Coupling | None:
    """What entities that share rows are to each other; None where none do, or that is not known."""
    shared, work = [], 0.0
    for part in seen:
        if part.matrix is None:
            return None
        side, other = part.side, part.other
        beyond, gram = _excess(side, other.shape[0]), side.gram(other)
        at = slice(rank)  # biases are 1 for everybody: they say nothing of how rows differ
        norms = np.einsum("ik,ik->i", other[:, at], other[:, at])
        mass = side.own * np.trace(gram[at, at]) + beyond @ norms
        mean = side.own.sum() * gram + (other.T * np.asarray(beyond.sum(0)).ravel()) @ other
        strength = part.strength
        shared.append(Shared(part.matrix, strength * np.maximum(mass, 0.0), strength * mean))
        work += float(beyond.nnz * other.shape[1])
    return Coupling.of(shared, ridge, work)


def _cells(seen: list[_Seen], entities: int, width: int) -> csr_array:
    """What all relations have observed of a table, side by side, and as ``width`` more cells of
    everybody the missing ones of all but the first; the same wherever the tables are.
    """
    cells = []
    for place, part in enumerate(seen):
        back = csr_array(part.weights.T) * part.strength
        cells.append(back @ _excess(part.side, part.other.shape[0]))
        if place:
            mine = back @ part.side.own
            cells.append(csr_array(np.repeat(mine[:, None], width, axis=1)))
    cells.append(csr_array(np.ones((entities, 1))))  # nobody is without a cell
    return hstack(cells, format="csr")


def _together(
    joined: csr_array, seen: list[_Seen], ridge: Float64, width: int
) -> tuple[Side, Float64]:
    """All relations of a table as one side: (it, the vectors of its other side)."""
    others = []
    known, own = np.zeros((width, width)), np.zeros(ridge.size)
    for place, part in enumerate(seen):
        gram = part.side.gram(part.other)
        others.append(part.other)
        if place == 0:
            known, own = gram, csr_array(part.weights.T) @ part.side.own * part.strength
            continue
        values, vectors = np.linalg.eigh(gram)
        others.append((vectors * np.sqrt(np.maximum(values, 0.0))).T)
    others.append(np.zeros((1, width)))
    vectors = np.vstack(others)
    wide = padded_width(width, np.float32)
    gram = np.zeros((wide, wide))
    gram[:width, :width] = known
    largest = float(np.diag(known).max(initial=0.0)) * float(own.max(initial=0.0))
    one = Seeing(
        "entity",
        joined.indptr.astype(np.int64),
        joined.indices.astype(np.int32),
        joined.data.astype(np.float32),
        np.empty(0, np.float32),
        own.astype(np.float32),
        np.empty(0, np.float32),
        np.maximum(ridge, SMALL * (largest or 1.0)).astype(np.float32),
        0.0,
        gram,
    )
    return one, vectors


def _excess(side: Side, columns: int) -> csr_array:
    """What observed cells weigh beyond missing ones, c − w⁻, (rows, columns)."""
    rows = np.repeat(np.arange(side.rows), side.counts)
    other = side.other[side.indices] if side.other.size else 1.0
    weights = (side.confidence if side.confidence.size else 1.0) - (
        side.missing_weight * side.own[rows] * other
    )
    return csr_array((weights, side.indices, side.indptr), shape=(side.rows, columns))


def _factored(side: Side, other: Array, width: int, threads: int) -> Array:
    from alteraser.solvers.kernels.joint import packed_size

    wide = padded_width(width, np.float32)
    factors = aligned_empty((side.rows, packed_size(wide)), np.float32)
    gradients, x = (np.zeros((side.rows, wide), np.float32) for _ in range(2))
    factor_blocks(
        side,
        other,
        x,
        factors,
        gradients,
        rank=width,
        move=False,
        work=blocks(side, None, width, threads),
        threads=threads,
    )
    return factors


def _diagonal(side: Side, other: Float64) -> Array:
    """The diagonals of the blocks, (entities, width): where there is no room for these."""
    cells = csr_array(
        (side.confidence, side.indices, side.indptr), shape=(side.rows, other.shape[0])
    )
    width = other.shape[1]
    shared = np.diag(side.gram(other))[:width] * side.own[:, None]
    return np.asarray(shared + cells @ (other * other) + side.ridge[:, None], np.float32)


def _prediction_curvature(problem: LinearProblem, point: Point, relation: Relation) -> Float64:
    """The diagonal of the Hessian in h, (rank,): 2 (λ_h + Σ w (x_k z_k)²)."""
    assert relation.prediction is not None
    side, rank = relation.sides[0], problem.rank
    X, Z = (x[:, :rank] for x in scores(problem, point, relation))
    h = point.predictions[relation.name]
    a, b = side.own, side.other if side.other.size else np.ones(Z.shape[0])
    X2, Z2 = (X / np.where(h == 0.0, 1.0, h)) ** 2, Z**2
    total = side.missing_weight * (a @ X2) * (b @ Z2)
    total += np.einsum("id,id->d", X2, _excess(side, Z.shape[0]) @ Z2)
    return np.asarray(2.0 * relation.weight * total + 2.0 * relation.prediction)
