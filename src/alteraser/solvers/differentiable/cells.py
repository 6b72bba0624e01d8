"""The loss over all cells as autograd sees it, whole or row by row; two forms behind one interface.

``SquaredCells`` is the objective of ``Problem`` (ENMF; Chen et al., TOIS 2020): the sum over
missing cells goes through Gram matrices and only observed cells are visited. ``ScoredProblem``
takes any score of two embeddings and a squared or logistic loss, and visits every cell: exact,
without drawn negatives, for catalogs that allow m × n work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, singledispatch
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput
from alteraser.models import Factors, Objective, Problem, Side
from alteraser.solvers.differentiable.rowbatch import RowBatch
from alteraser.solvers.differentiable.sparse import Pattern, products
from alteraser.solvers.stationarity import Evaluation, evaluate, gradient_norm

Array = npt.NDArray[Any]
Score = Callable[[Tensor, Tensor], Tensor]
"""(user embeddings (…, d), item embeddings (…, d)) → scores (…); batch dimensions broadcast."""

CELLS_AT_A_TIME = 1 << 22


class RowLosses(Protocol):
    """One side of a problem whose rows can be handed to differentiated solvers."""

    def batch(self, other: Tensor, rows: Array | None) -> RowBatch:
        """The sub-problems of ``rows`` (all for None) given the other side's embeddings, h
        multiplied in.
        """
        ...

    def chunks(self, rows: Array | None) -> Sequence[Array | None]:
        """``rows`` cut so that a chunk's cells fit in memory."""
        ...

    def constant(self, rows: Array | None) -> float:
        """What the row losses hold that no embedding changes (Σ c y² for squared loss)."""
        ...


class Differentiable(Protocol):
    """A whole objective that first-order methods can walk down."""

    def batches(self, rows: int, seed: int) -> Sequence[Any]:
        """A random partition of the users into batches of about ``rows``, all of them for 0."""
        ...

    def loss(self, P: Tensor, Q: Tensor, h: Tensor, batch: Any) -> Tensor:
        """The batch's share of L; shares of a partition add up to L."""
        ...


# ----------------------------------------------------- squared loss, missing cells by Gram matrices


@dataclass(frozen=True)
class _Part:
    """Some rows of a side as tensors."""

    pattern: Pattern
    row: Tensor
    """(cells,) which of the rows"""
    confidence: Tensor | float
    target: Tensor | float
    missing: Tensor | float
    """(cells,) w⁻ of the observed cells: what their Gram term has to be corrected by"""
    own: Tensor
    ridge: Tensor
    size: int

    def observed(self, scores: Tensor) -> Tensor:
        """(rows,): Σ_observed c (y − s)² − w⁻ s²."""
        cells = self.confidence * torch.square(self.target - scores) - self.missing * torch.square(
            scores
        )
        return scores.new_zeros(self.size).index_add(0, self.row, cells)


def _part(side: Side, rows: Array | None, others: int) -> _Part:
    if rows is None:
        indptr, cells = side.indptr, slice(None)
        own, ridge = side.own, side.ridge
    else:
        counts = side.counts[rows]
        indptr = np.concatenate([[0], np.cumsum(counts)])
        inside = np.arange(indptr[-1]) - np.repeat(indptr[:-1], counts)
        cells = np.repeat(side.indptr[rows], counts) + inside
        own, ridge = side.own[rows], side.ridge[rows]
    columns = side.indices[cells]
    dtype = own.dtype
    pattern = Pattern.of(indptr, columns, others)
    row = pattern.row_of_cell()
    missing: Any = side.missing_weight
    if np.any(own != 1) or side.other.size:
        weights = np.asarray(own)[row.numpy()] * (side.other[columns] if side.other.size else 1)
        missing = torch.from_numpy((side.missing_weight * weights).astype(dtype))
    return _Part(
        pattern,
        row,
        torch.from_numpy(side.confidence[cells]) if side.confidence.size else 1.0,
        torch.from_numpy(side.target[cells]) if side.target.size else 1.0,
        missing,
        torch.from_numpy(np.array(own)),
        torch.from_numpy(np.array(ridge)),
        indptr.size - 1,
    )


class SquaredRows:
    """Row losses of one ``Side``; tensors of the whole side are made once and kept."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self._whole: _Part | None = None

    def chunks(self, rows: Array | None) -> Sequence[Array | None]:
        """One chunk: memory is O(observed cells)."""
        return [rows]

    def constant(self, rows: Array | None) -> float:
        """Σ c y² over the observed cells of ``rows``."""
        side = self.side
        c = (
            side.confidence.astype(np.float64)
            if side.confidence.size
            else np.ones(side.indices.size)
        )
        y = side.target.astype(np.float64) if side.target.size else 1.0
        sums = np.concatenate([[0.0], np.cumsum(c * np.square(y))])
        per_row = sums[side.indptr[1:]] - sums[side.indptr[:-1]]
        return float(per_row.sum() if rows is None else per_row[rows].sum())

    def batch(self, other: Tensor, rows: Array | None) -> RowBatch:
        """l_i(x) = Σ_observed [c (y − x·z)² − w⁻ (x·z)²] + a_i ‖Rᵀx‖² + λρ_i ‖x‖², with RRᵀ = w₀ Zᵀ
        diag(b) Z.
        """
        if rows is None:
            self._whole = part = self._whole or _part(self.side, None, other.shape[0])
        else:
            part = _part(self.side, rows, other.shape[0])
        gram = torch.from_numpy(self.side.gram(other.numpy()))
        values, vectors = torch.linalg.eigh(gram)
        root = (vectors * values.clamp(min=0).sqrt()).to(other.dtype)

        def outputs(x: Tensor) -> tuple[Tensor, ...]:
            return products(x, other, part.pattern), x @ root

        def loss(found: tuple[Tensor, ...], x: Tensor) -> Tensor:
            scores, missing = found
            return (
                part.observed(scores)
                + part.own * torch.square(missing).sum(1)
                + part.ridge * torch.square(x).sum(1)
            )

        return RowBatch(outputs, loss, lambda index: _single(part, other, root, index))


def _single(part: _Part, other: Tensor, root: Tensor, index: int) -> RowBatch:
    """Row ``index`` of ``part`` in float64 with its observed cells' vectors gathered once."""
    cells = slice(int(part.pattern.starts[index]), int(part.pattern.starts[index + 1]))
    vectors, root = other[part.pattern.columns[cells].long()].double(), root.double()

    def of(values: Tensor | float) -> Tensor | float:
        return values[cells] if isinstance(values, Tensor) else values

    c, y, missing = of(part.confidence), of(part.target), of(part.missing)
    own, ridge = part.own[index], part.ridge[index]

    def outputs(x: Tensor) -> tuple[Tensor, ...]:
        return x @ vectors.T, x @ root

    def loss(found: tuple[Tensor, ...], x: Tensor) -> Tensor:
        scores, unseen = found
        observed = c * torch.square(y - scores) - missing * torch.square(scores)
        return observed.sum(1) + own * torch.square(unseen).sum(1) + ridge * torch.square(x).sum(1)

    return RowBatch(outputs, loss)


@dataclass(frozen=True)
class _UserBatch:
    rows: Tensor
    part: _Part
    share: float
    """Share of the users: how much of the item penalty the batch carries."""
    padding: Tensor | None = None
    """(rows,) padded cells per user, in the ``as-recbole`` variant"""


class SquaredCells:
    """L of a ``Problem`` for first-order methods: sparse positives, missing cells by Gram matrices,
    λ in the loss.

    ``pad`` (d,) turns on the loss as RecBole 1.2 computes ENMF's: histories are padded to the
    longest with an item whose embedding is the fixed vector ``pad``, and padded cells count as
    positives.
    """

    def __init__(self, problem: Problem, *, pad: Tensor | None = None) -> None:
        self._problem = problem
        self._pad = pad
        items = problem.items
        self._item_ridge = torch.from_numpy(np.array(items.ridge))
        self._item_weights = torch.from_numpy(np.array(items.own))

    def batches(self, rows: int, seed: int) -> Sequence[_UserBatch]:
        """See ``Differentiable.batches``."""
        side = self._problem.users
        longest = int(side.counts.max(initial=0))
        answer = []
        for chosen in _partition(side.rows, rows, seed):
            part = _part(side, chosen, self._problem.items.rows)
            pad = torch.from_numpy((longest - side.counts[chosen]).astype(side.own.dtype))
            answer.append(
                _UserBatch(
                    torch.from_numpy(chosen),
                    part,
                    chosen.size / side.rows,
                    pad if self._pad is not None else None,
                )
            )
        return answer

    def loss(self, P: Tensor, Q: Tensor, h: Tensor, batch: _UserBatch) -> Tensor:
        """See ``Differentiable.loss``."""
        part, mine = batch.part, P.index_select(0, batch.rows)
        Z = Q * h
        value = part.observed(products(mine, Z, part.pattern)).sum()
        grams = (mine.T @ (mine * part.own[:, None])) * (Z.T @ (Z * self._item_weights[:, None]))
        value = value + self._problem.users.missing_weight * grams.sum()
        value = value + (part.ridge * torch.square(mine).sum(1)).sum()
        value = value + batch.share * (self._item_ridge * torch.square(Q).sum(1)).sum()
        if batch.padding is not None and self._pad is not None:
            score = (mine * h) @ self._pad.to(mine)
            w0 = self._problem.users.missing_weight
            value = value + (batch.padding * ((1 - w0) * torch.square(score) - 2 * score)).sum()
        return value


# ---------------------------------------------------------------- any score, every cell


@dataclass(frozen=True)
class ScoredProblem:
    """``objective`` on ``interactions`` with a score of two embeddings and a loss of one's own,
    over every cell.

        L = Σ_{(u,v)∈D} c ℓ(y, s_uv) + Σ_{(u,v)∉D} w⁻_uv ℓ(0, s_uv)
            + λ (Σ ρ_u ‖p_u‖² + Σ ρ_v ‖q_v‖²)

    ℓ is (y − s)² or, for ``logistic``, log(1 + eˢ) − y s; then y must lie in [0, 1]. GMF (X. He et
    al., WWW 2017), the one-layer form of neural collaborative filtering, is the default score
    h·(p∘q) with logistic loss; the missing cells weigh what its drawn negatives would on average.
    """

    objective: Objective
    interactions: Interactions
    dtype: Any = np.float32
    link: Literal["logistic", "squared"] = "logistic"
    score: Score | None = None
    """None: the inner product, with the prediction vector multiplied into one side."""
    target_energy: float = 0.0
    """The driver's constant; the losses here hold everything."""

    def __post_init__(self) -> None:
        y = self.interactions.target
        if (
            self.link == "logistic"
            and y is not None
            and (np.min(y, initial=0.0) < 0 or np.max(y, initial=0.0) > 1)
        ):
            raise InvalidInput(
                f"logistic loss needs targets in [0, 1]; they run from {np.min(y):g} to "
                f"{np.max(y):g}"
            )

    @cached_property
    def users(self) -> ScoredSide:
        """Rows are users."""
        return ScoredSide(
            Problem(self.objective, self.interactions, self.dtype).users, self, user=True
        )

    @cached_property
    def items(self) -> ScoredSide:
        """Rows are items."""
        return ScoredSide(
            Problem(self.objective, self.interactions, self.dtype).items, self, user=False
        )

    def batches(self, rows: int, seed: int) -> Sequence[Array]:
        """See ``Differentiable.batches``; no batch has more than CELLS_AT_A_TIME cells."""
        limit = max(1, CELLS_AT_A_TIME // max(self.items.rows, 1))
        return _partition(self.users.rows, min(rows or self.users.rows, limit), seed)

    def loss(self, P: Tensor, Q: Tensor, h: Tensor, batch: Array) -> Tensor:
        """See ``Differentiable.loss``."""
        rows = torch.from_numpy(np.asarray(batch))
        value = self.users.batch(Q * h, batch).losses(P.index_select(0, rows)).sum()
        ridge = torch.from_numpy(np.array(self.items.ridge))
        return value + (len(batch) / self.users.rows) * (ridge * torch.square(Q).sum(1)).sum()


@dataclass(frozen=True)
class ScoredSide:
    """One orientation of a ``ScoredProblem``."""

    side: Side
    problem: ScoredProblem
    user: bool
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.side.name)

    def __getattr__(self, name: str) -> Any:
        if name in ("rows", "counts", "ridge", "own", "other", "indptr", "indices", "all_rows"):
            return getattr(self.side, name)
        raise AttributeError(name)

    def chunks(self, rows: Array | None) -> Sequence[Array | None]:
        """Chunks of at most CELLS_AT_A_TIME cells."""
        every = self.side.all_rows if rows is None else np.asarray(rows)
        others = (self.problem.items if self.user else self.problem.users).side.rows
        size = max(1, CELLS_AT_A_TIME // max(others, 1))
        return [every[i : i + size] for i in range(0, every.size, size)]

    def constant(self, rows: Array | None) -> float:
        """0: the losses are taken as they are."""
        return 0.0

    def batch(self, other: Tensor, rows: Array | None) -> RowBatch:
        """l_i(x) = Σ_cells w ℓ(y, s(x, z)) + λρ_i ‖x‖²."""
        side = self.side
        every = side.all_rows if rows is None else np.asarray(rows)
        weights, targets = self._dense(every, other.shape[0])
        ridge = torch.from_numpy(np.array(side.ridge[every]))
        logistic, score = self.problem.link == "logistic", self.problem.score

        def outputs(x: Tensor) -> tuple[Tensor, ...]:
            if score is None:
                return (x @ other.T,)
            mine, theirs = x[:, None, :], other[None, :, :]
            return (score(mine, theirs) if self.user else score(theirs, mine),)

        def loss(found: tuple[Tensor, ...], x: Tensor) -> Tensor:
            (s,) = found
            cells = functional.softplus(s) - targets * s if logistic else torch.square(targets - s)
            return (weights * cells).sum(1) + ridge * torch.square(x).sum(1)

        wide = cache(other.double)  # one copy for all rows that are taken alone
        return RowBatch(outputs, loss, lambda index: self.batch(wide(), every[index : index + 1]))

    def _dense(self, rows: Array, others: int) -> tuple[Tensor, Tensor]:
        side, dtype = self.side, self.problem.dtype
        other = side.other if side.other.size else np.ones(others, dtype)
        weights = (
            side.missing_weight
            * side.own[rows][:, None].astype(dtype)
            * other[None, :].astype(dtype)
        )
        weights = weights.astype(dtype)
        targets = np.zeros((rows.size, others), dtype)
        counts = side.counts[rows]
        where = np.repeat(np.arange(rows.size), counts)
        starts = np.cumsum(counts) - counts
        cells = (
            np.repeat(side.indptr[rows], counts)
            + np.arange(counts.sum())
            - np.repeat(starts, counts)
        )
        weights[where, side.indices[cells]] = side.confidence[cells] if side.confidence.size else 1
        targets[where, side.indices[cells]] = side.target[cells] if side.target.size else 1
        return torch.from_numpy(weights), torch.from_numpy(targets)


def _partition(count: int, size: int, seed: int) -> list[Array]:
    order = np.random.default_rng(seed).permutation(count)
    pieces = max(1, round(count / size)) if size else 1
    return [np.sort(piece) for piece in np.array_split(order, pieces) if piece.size]


# ---------------------------------------------------------------- one door


@singledispatch
def cells_of(problem: Any) -> Differentiable:
    """``problem`` as something first-order methods can walk down."""
    raise InvalidInput(f"no differentiable form of {type(problem).__name__}")


@cells_of.register
def _(problem: Problem) -> Differentiable:
    return SquaredCells(problem)


@cells_of.register
def _(problem: ScoredProblem) -> Differentiable:
    return problem


def rows_of(side: Any) -> RowLosses:
    """``side`` as something differentiated row solvers can work on."""
    return side if isinstance(side, ScoredSide) else SquaredRows(side)


@evaluate.register
def _(problem: ScoredProblem, factors: Factors, *, threads: int | None = None) -> Evaluation:
    P, Q, h = (
        torch.from_numpy(np.array(x)) for x in (factors.users, factors.items, factors.prediction)
    )
    P.requires_grad_()
    Q.requires_grad_()
    total = 0.0
    for batch in problem.batches(0, 0):
        value = problem.loss(P, Q, h, batch)
        value.backward()
        total += float(value.detach())
    size = float(np.sqrt(sum(float(torch.sum(x.detach().double() ** 2)) for x in (P, Q))))
    return Evaluation(total, P.grad.double().numpy(), Q.grad.double().numpy(), size)


@gradient_norm.register
def _(
    problem: ScoredProblem,
    factors: Factors,
    user_gradient: Any,
    item_gradient: Any,
    *,
    threads: int | None = None,
) -> float:
    """The Euclidean norm: rows of a general score have no A to weigh their gradients by."""
    return float(np.sqrt(np.sum(np.square(user_gradient)) + np.sum(np.square(item_gradient))))
