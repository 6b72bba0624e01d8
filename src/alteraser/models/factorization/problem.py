"""One objective on one set of interactions: what solvers minimize and certificates evaluate."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.models.factorization.objective import Objective

Array = npt.NDArray[Any]


class SideArrays(NamedTuple):
    """A ``Side`` as compiled loops take it. Optional arrays have length 0 when all ones.

    Row i's interactions are ``start[i]`` to ``stop[i]``, so that rows may lie apart.
    """

    start: Any
    """(rows,) int64"""
    stop: Any
    """(rows,) int64"""
    indices: Any
    """(|D|,) int32 rows of the other side"""
    confidence: Any
    """(|D|,) c or empty"""
    target: Any
    """(|D|,) y or empty"""
    own: Any
    """(rows,) a"""
    other: Any
    """(other rows,) b or empty"""
    ridge: Any
    """(rows,) λ ρ"""
    missing_weight: float
    """w₀; a loop takes it in its own precision"""


@dataclass(frozen=True)
class Side:
    """One orientation of a problem: rows to be solved, and how they see the other side.

    Optional arrays have length 0 when all their entries are 1. ``dtype`` arrays are in the working
    precision.
    """

    name: str
    """``user`` or ``item``, for messages."""
    indptr: Array
    """(rows + 1,) int64: row i's interactions are ``indices[indptr[i]:indptr[i + 1]]``."""
    indices: Array
    """(|D|,) int32 rows of the other side."""
    confidence: Array
    """(|D|,) c or empty."""
    target: Array
    """(|D|,) y or empty."""
    own: Array
    """(rows,) this side's factor of the missing weights (a for users, b for items)."""
    other: Array
    """(other rows,) the other side's factor, or empty."""
    ridge: Array
    """(rows,) λ ρ."""
    missing_weight: float
    """w₀."""

    @property
    def arrays(self) -> SideArrays:
        """It, for compiled loops; nothing is copied."""
        return SideArrays(
            self.indptr[:-1],
            self.indptr[1:],
            self.indices,
            self.confidence,
            self.target,
            self.own,
            self.other,
            self.ridge,
            float(self.missing_weight),
        )

    @property
    def rows(self) -> int:
        """Number of rows on this side."""
        return int(self.indptr.size - 1)

    @property
    def all_rows(self) -> Array:
        """Every row, (rows,) int64."""
        return np.arange(self.rows, dtype=np.int64)

    @property
    def counts(self) -> Array:
        """Interactions per row, (rows,) int64."""
        return np.diff(self.indptr)

    def part(self, start: int, stop: int) -> Side:
        """Rows ``start`` to ``stop`` as a side of their own; nothing is copied."""
        return replace(
            self,
            indptr=self.indptr[start : stop + 1],
            own=self.own[start:stop],
            ridge=self.ridge[start:stop],
        )

    def take(self, rows: Array) -> Side:
        """Some rows as a side of their own, in this order, with copies of their interactions."""
        counts = self.counts[rows]
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        places = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], counts)

        def taken(values: Array) -> Array:
            return values[places] if values.size else values

        return replace(
            self,
            indptr=indptr,
            indices=self.indices[places],
            confidence=taken(self.confidence),
            target=taken(self.target),
            own=self.own[rows],
            ridge=self.ridge[rows],
        )

    def of_type(self, dtype: npt.DTypeLike) -> Side:
        """The same in another precision."""
        names = ("confidence", "target", "own", "other", "ridge")
        return replace(self, **{name: getattr(self, name).astype(dtype) for name in names})

    def seeing(self, gram: npt.NDArray[np.float64]) -> Seeing:
        """The same, ``gram`` being the Gram matrix of what it is going to be asked about."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        return Seeing(**known | {"known": gram})

    def gram(self, other: Array) -> npt.NDArray[np.float64]:
        """G = w₀ Zᵀ diag(b) Z of the other side's factors Z, in float64, block by block."""
        d = other.shape[1]
        total = np.zeros((d, d))
        for start in range(0, other.shape[0], 8192):
            block = other[start : start + 8192].astype(np.float64)
            if self.other.size:
                weights = self.other[start : start + 8192].astype(np.float64)
                total += (block * weights[:, None]).T @ block
            else:
                total += block.T @ block
        return total * self.missing_weight


@dataclass(frozen=True)
class Seeing(Side):
    """A side that is asked for the Gram matrix of one and the same ``other`` again and again."""

    known: npt.NDArray[np.float64]
    """It"""

    def gram(self, other: Array) -> npt.NDArray[np.float64]:
        """``known``, which the caller keeps true to ``other``."""
        return self.known


@dataclass(frozen=True)
class Problem:
    """``objective`` taken on ``interactions``, in the working precision ``dtype``."""

    objective: Objective
    interactions: Interactions
    dtype: Any = np.float32
    frequencies: tuple[Array, Array] | None = None
    """What frequency-scaled regularization counts, for users (m,) and for items (n,), where it is
    not |D_u| and |D_v|: a library may leave some rows out, or count repeated ones."""

    @cached_property
    def users(self) -> Side:
        """Rows are users."""
        data = self.interactions
        return self._side("user", data.indptr, data.indices, slice(None))

    @cached_property
    def items(self) -> Side:
        """Rows are items."""
        view = self.interactions.by_item
        return self._side("item", view.indptr, view.indices, view.order)

    def _side(self, name: str, indptr: Array, indices: Array, order: Any) -> Side:
        data, objective = self.interactions, self.objective
        shape = (data.shape[0], data.shape[1]) if name == "user" else (data.shape[1], data.shape[0])
        weights = [
            objective.user_weights(data.user_counts),
            objective.item_weights(data.item_counts),
        ]
        own, other = weights if name == "user" else weights[::-1]
        ridge = objective.user_ridge if name == "user" else objective.item_ridge
        empty = np.empty(0, self.dtype)

        def permuted(values: Array | None) -> Array:
            return (
                empty if values is None else np.ascontiguousarray(values[order], dtype=self.dtype)
            )

        return Side(
            name=name,
            indptr=indptr,
            indices=indices,
            confidence=permuted(data.confidence),
            target=permuted(data.target),
            own=np.ones(shape[0], self.dtype) if own is None else own.astype(self.dtype),
            other=empty if other is None else other.astype(self.dtype),
            ridge=ridge(self._frequencies(name, np.diff(indptr)), shape[1]).astype(self.dtype),
            missing_weight=objective.missing_weight,
        )

    def _frequencies(self, name: str, counts: Array) -> Array:
        return counts if self.frequencies is None else self.frequencies[0 if name == "user" else 1]

    @cached_property
    def target_energy(self) -> float:
        """Σ_{(u,v)∈D} c y²: the objective of the zero model."""
        data = self.interactions
        c = 1.0 if data.confidence is None else data.confidence
        y = 1.0 if data.target is None else data.target
        if data.confidence is None and data.target is None:
            return float(len(data))
        return float(np.sum(c * np.square(y)))
