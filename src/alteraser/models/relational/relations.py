"""One relation: which cells were observed, what the missing ones weigh, and how its sides come of
the tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from alteraser.data.order import in_order
from alteraser.errors import InvalidInput
from alteraser.models.factorization.problem import Side
from alteraser.models.relational.operators import Identity, Operator

if TYPE_CHECKING:
    from alteraser.data.interactions import Interactions
    from alteraser.models.factorization.objective import Objective

Array = npt.NDArray[Any]

NONE = np.empty(0)


@dataclass(frozen=True, eq=False)
class Cells:
    """Observed cells of a matrix of shape (rows, columns), row by row; no cell twice.

    ``confidence`` and ``target`` are (cells,) float64, or empty where all of them are 1.
    """

    shape: tuple[int, int]
    indptr: Array
    indices: Array
    confidence: Array = field(default_factory=lambda: NONE)
    """c > 0"""
    target: Array = field(default_factory=lambda: NONE)
    """y"""

    def __len__(self) -> int:
        return int(self.indices.size)

    @classmethod
    def of(cls, data: Interactions) -> Cells:
        """Those of interactions: rows are users, columns items."""
        kept = [NONE if x is None else x for x in (data.confidence, data.target)]
        return cls(data.shape, data.indptr, data.indices, *kept)

    @classmethod
    def at(
        cls,
        rows: Array,
        columns: Array,
        shape: tuple[int, int],
        confidence: Array = NONE,
        target: Array = NONE,
    ) -> Cells:
        """From coordinates in any order; InvalidInput for one outside ``shape`` and for a cell that
        is there twice.
        """
        rows, columns = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
        for what, values, size in (("row", rows, shape[0]), ("column", columns, shape[1])):
            if values.size and (values.min() < 0 or values.max() >= size):
                raise InvalidInput(f"a cell's {what} is not in 0 … {size - 1}")
        order = in_order(rows * np.int64(max(shape[1], 1)) + columns)
        rows, columns = rows[order], columns[order]
        twice = np.flatnonzero((np.diff(rows) == 0) & (np.diff(columns) == 0))
        if twice.size:
            raise InvalidInput(f"cell ({rows[twice[0]]}, {columns[twice[0]]}) is there twice")
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))]).astype(
            np.int64
        )
        kept = [np.asarray(x, np.float64)[order] if x.size else NONE for x in (confidence, target)]
        return cls(shape, indptr, columns.astype(np.int32), *kept)

    @cached_property
    def by_column(self) -> tuple[Array, Array, Array]:
        """(indptr, indices, order) with columns as rows; ``order`` maps to places of the row by row
        one.
        """
        places = np.arange(len(self))
        turned = csr_array((places, self.indices, self.indptr), shape=self.shape).tocsc()
        return (
            turned.indptr.astype(np.int64),
            turned.indices.astype(np.int32, copy=False),
            turned.data,
        )

    @property
    def row_counts(self) -> Array:
        """Cells of every row, (rows,) int64."""
        return np.diff(self.indptr)

    @property
    def column_counts(self) -> Array:
        """Cells of every column, (columns,) int64."""
        return np.bincount(self.indices, minlength=self.shape[1])


@dataclass(frozen=True, eq=False)
class MissingWeights:
    """Weights of missing cells in product form, w⁻ = weight · rows_i · columns_j; empty arrays
    stand for ones.
    """

    weight: float
    """w₀"""
    rows: Array = field(default_factory=lambda: NONE)
    columns: Array = field(default_factory=lambda: NONE)

    @classmethod
    def popular(cls, weight: float, counts: Array, exponent: float = 0.5) -> MissingWeights:
        """Columns by how often they occur: f^α / mean f^α (He et al., SIGIR 2016)."""
        powers = np.asarray(counts, np.float64) ** exponent
        mean = powers.mean() if powers.size else 0.0
        return cls(weight, columns=powers / mean if mean > 0 else np.zeros_like(powers))

    @classmethod
    def of(cls, objective: Objective, data: Interactions) -> MissingWeights:
        """As ``objective`` has them on ``data``."""
        found = objective.user_weights(data.user_counts), objective.item_weights(data.item_counts)
        return cls(objective.missing_weight, *(NONE if x is None else x for x in found))


@dataclass(frozen=True, eq=False)
class Relation:
    """ŷ = (A E_source) diag(h) (B E_target)ᵀ, and what it is held against."""

    name: str
    source: str
    """Name of the table that ``left`` is applied to"""
    target: str
    """Name of the table that ``right`` is applied to; it may be the same"""
    left: Operator
    """A, (rows of ``cells``, rows of the source table)"""
    right: Operator
    """B, (columns of ``cells``, rows of the target table)"""
    cells: Cells
    missing: MissingWeights
    weight: float = 1.0
    """β > 0, what its loss counts"""
    prediction: float | None = None
    """λ_h of λ_h ‖h − 1‖², where h is trained; None: h = 1"""
    biases: bool = False
    """Whether a score is also the sum of a number per row on either side: the last column of the
    tables
    """

    def __post_init__(self) -> None:
        if (self.left.shape[0], self.right.shape[0]) != self.cells.shape:
            raise InvalidInput(
                f"relation {self.name}: its cells are {self.cells.shape}, its sides have "
                f"{self.left.shape[0]} and {self.right.shape[0]} rows"
            )
        if not self.weight > 0 or (self.prediction is not None and not self.prediction > 0):
            raise InvalidInput(
                f"relation {self.name}: weight and the penalty of h have to be above 0"
            )

    @property
    def factorizes(self) -> bool:
        """Whether its loss is that of matrix factorization with uniform missing weights: rows of
        two tables for themselves, h = 1, no biases, β = 1.
        """
        return (
            self.source != self.target
            and isinstance(self.left, Identity)
            and isinstance(self.right, Identity)
            and self.prediction is None
            and not self.biases
            and self.weight == 1.0
            and not (self.missing.rows.size or self.missing.columns.size)
        )

    @cached_property
    def sides(self) -> tuple[Side, Side]:
        """Rows, and columns, as what the kernels of matrix factorization take; without a ridge."""
        cells, missing = self.cells, self.missing
        indptr, indices, order = cells.by_column
        rows, columns = cells.shape
        own = [
            weights if weights.size else np.ones(size)
            for weights, size in ((missing.rows, rows), (missing.columns, columns))
        ]
        return (
            Side(
                f"row of {self.name}",
                cells.indptr,
                cells.indices,
                cells.confidence,
                cells.target,
                own[0],
                missing.columns,
                np.zeros(rows),
                missing.weight,
            ),
            Side(
                f"column of {self.name}",
                indptr,
                indices,
                cells.confidence[order] if cells.confidence.size else NONE,
                cells.target[order] if cells.target.size else NONE,
                own[1],
                missing.rows,
                np.zeros(columns),
                missing.weight,
            ),
        )
