"""Tables and relations together: what is minimized, and the point at which it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput
from alteraser.models.factorization.objective import Objective
from alteraser.models.factorization.problem import Problem
from alteraser.models.relational.operators import Identity
from alteraser.models.relational.relations import Cells, MissingWeights, Relation
from alteraser.models.relational.tables import Table

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearProblem:
    """Σ_r β_r Σ_cells w (y − ŷ_r)² + Σ_r λ_r ‖h_r − 1‖² + Σ_t Σ_i ridge_ti ‖e_ti‖², over tables of
    ``rank`` columns.

    Value, gradient and products with the Hessian are in ``alteraser.solvers.relational``.
    """

    tables: tuple[Table, ...]
    relations: tuple[Relation, ...]
    ridge: Mapping[str, Float64]
    """λρ of every row, by name of the table"""
    rank: int
    """d, without the column of biases"""

    def __post_init__(self) -> None:
        rows = {table.name: table.rows for table in self.tables}
        if len(rows) != len(self.tables):
            raise InvalidInput("two tables have one name")
        if len({relation.name for relation in self.relations}) != len(self.relations):
            raise InvalidInput("two relations have one name")
        for name, size in rows.items():
            if name not in self.ridge or self.ridge[name].shape != (size,):
                raise InvalidInput(f"table {name}: a ridge of shape ({size},) is needed")
        for relation in self.relations:
            for name, operator in (
                (relation.source, relation.left),
                (relation.target, relation.right),
            ):
                if name not in rows:
                    raise InvalidInput(f"relation {relation.name}: there is no table {name}")
                if operator.shape[1] != rows[name]:
                    raise InvalidInput(
                        f"relation {relation.name}: table {name} has {rows[name]} rows, its "
                        f"operator takes {operator.shape[1]}"
                    )

    @property
    def width(self) -> int:
        """Columns of every table: ``rank``, and one more where a relation has biases."""
        return self.rank + any(relation.biases for relation in self.relations)

    @cached_property
    def size(self) -> int:
        """Numbers that a point has."""
        trained = sum(relation.prediction is not None for relation in self.relations)
        return self.width * sum(table.rows for table in self.tables) + self.rank * trained

    def point(self, vector: Float64) -> Point:
        """``vector`` (size,) seen as tables and prediction vectors, without a copy."""
        if vector.shape != (self.size,):
            raise InvalidInput(f"a point of shape {vector.shape}, expected ({self.size},)")
        tables, predictions, at = {}, {}, 0
        for table in self.tables:
            end = at + table.rows * self.width
            tables[table.name], at = vector[at:end].reshape(table.rows, self.width), end
        for relation in self.relations:
            if relation.prediction is not None:
                predictions[relation.name], at = vector[at : at + self.rank], at + self.rank
        return Point(vector, tables, predictions)

    def random(self, seed: int) -> Point:
        """Normal entries of standard deviation 1/√(10 d) and h = 1; biases start at 0."""
        found = self.point(np.empty(self.size))
        rng = np.random.default_rng(seed)
        for table in found.tables.values():
            table[:] = rng.standard_normal(table.shape) / np.sqrt(10.0 * self.rank)
            table[:, self.rank :] = 0.0
        for prediction in found.predictions.values():
            prediction[:] = 1.0
        return found

    @classmethod
    def factorization(cls, problem: Problem, rank: int) -> LinearProblem:
        """A problem of matrix factorization as a case of this one: tables ``user`` and ``item``,
        under identities.
        """
        data = problem.interactions
        m, n = data.shape
        relation = Relation(
            "interaction",
            "user",
            "item",
            Identity(m),
            Identity(n),
            Cells.of(data),
            MissingWeights.of(problem.objective, data),
        )
        ridge = {
            "user": problem.users.ridge.astype(np.float64),
            "item": problem.items.ridge.astype(np.float64),
        }
        return cls((Table("user", data.users), Table("item", data.items)), (relation,), ridge, rank)

    @cached_property
    def factorized(self) -> Problem | None:
        """The problem of matrix factorization that this one is, in float32; None where it is none.

        It is where one relation sees two tables under identities, with h = 1, no biases, β = 1,
        uniform missing weights and one λ > 0 for everybody.
        """
        found = self.relations[0]
        ridge = np.concatenate([self.ridge[table.name] for table in self.tables])
        alone = len(self.relations) == 1 and len(self.tables) == 2 and found.factorizes
        if not (alone and ridge.size and ridge[0] > 0 and np.all(ridge == ridge[0])):
            return None
        cells = found.cells
        objective = Objective(missing_weight=found.missing.weight, regularization=float(ridge[0]))
        rows, columns = (Table.numbered("row", size).ids for size in cells.shape)
        confidence, target = (x if x.size else None for x in (cells.confidence, cells.target))
        data = Interactions(rows, columns, cells.indptr, cells.indices, confidence, target)
        return Problem(objective, data, np.dtype(np.float32))


@dataclass(frozen=True, eq=False)
class Point:
    """Parameters as one vector, and views of it by name; those of a gradient look the same."""

    vector: Float64
    tables: Mapping[str, Float64]
    """E_t, (N_t, width)"""
    predictions: Mapping[str, Float64]
    """h of the relations that train it, (rank,)"""

    def prediction(self, relation: Relation) -> Float64 | None:
        """Its h, (rank,); None where it is ones."""
        return self.predictions.get(relation.name)
