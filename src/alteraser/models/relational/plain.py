"""Models of linear kinds that learn from interactions alone, in the rows of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput
from alteraser.models.protocol import TrainedOn
from alteraser.models.relational.kind import LinearKind
from alteraser.models.relational.model import LinearModel
from alteraser.models.relational.problem import LinearProblem, Point

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Placed:
    """The problem that a kind makes of interactions, in their rows."""

    settings: LinearKind
    data: Interactions
    problem: LinearProblem

    def start(self, seed: int) -> Point:
        """See ``Posed``: random, and nothing where somebody has no interactions."""
        return self.emptied(self.problem.random(seed))

    def carried(self, before: Placed, vector: Float64, *, h: float = 1.0) -> Float64:
        """See ``Posed``: rows stay, and those that joined are behind them."""
        old = before.problem.point(vector)
        tables = self.settings.fitted(dict(old.tables), before.data.shape, self.data)
        return self.filled(tables, {name: x for name, x in old.predictions.items()}).vector

    def emptied(self, point: Point) -> Point:
        """See ``Posed``."""
        return self.settings.emptied(point, self.data)

    def composed(self, point: Point) -> tuple[Float64, Float64]:
        """See ``Posed``."""
        return self.settings.composed(self.problem, point)

    def filled(self, tables: Mapping[str, Float64], predictions: Mapping[str, Float64]) -> Point:
        """The point of these arrays; InvalidInput for such as are not those of the problem."""
        rank, width = self.problem.rank, self.problem.width
        found = self.problem.point(np.zeros(self.problem.size))
        for name, E in found.tables.items():
            if name not in tables or tables[name].shape != E.shape:
                raise InvalidInput(
                    f"the model's table {name} does not have {E.shape[0]:,} rows of {width} numbers"
                )
            E[:] = tables[name]
        for name, h in found.predictions.items():
            if name not in predictions or predictions[name].shape != (rank,):
                raise InvalidInput(f"the model has no prediction vector {name} of {rank} numbers")
            h[:] = predictions[name]
        return found


@dataclass(frozen=True, eq=False, repr=False)
class PlainModel(LinearModel):
    """A model of a linear kind that learns from interactions alone: its rows never move."""

    settings: LinearKind

    @classmethod
    def posed(cls, settings: LinearKind, data: Interactions) -> Placed:
        """See ``LinearModel``."""
        return Placed(settings, data, settings.problem(data))

    @classmethod
    def at(cls, posed: Placed, point: Point, **common: Any) -> PlainModel:
        """See ``LinearModel``."""
        data = posed.data
        return cls(
            posed.settings,
            point.tables,
            point.predictions,
            posed.composed(point),
            # a model names nobody of whom it holds nothing
            users=data.users.without(np.flatnonzero(data.user_counts == 0)),
            items=data.items,
            trained_on=TrainedOn.of(data),
            **common,
        )

    def around(self, gone: Deletion) -> tuple[Placed, Placed]:
        """See ``LinearModel``."""
        return self.posed(self.settings, gone.data), self.posed(self.settings, gone.remaining)

    def point(self, posed: Placed) -> Point:
        """See ``LinearModel``; rows that joined since are zero."""
        tables = self.settings.fitted(dict(self.tables), self.shape, posed.data)
        return posed.filled(tables, self.predictions)

    def compacted(self, rows: tuple[Any, Any], **common: Any) -> PlainModel:
        """The model when only ``rows`` of users and items are left, numbered anew; see
        ``LinearKind.compacted``.
        """
        tables = self.settings.compacted(dict(self.tables), self.shape, rows)
        X, Z = (x[kept] for x, kept in zip(self.vectors, rows, strict=True))
        return replace(self, tables=tables, vectors=(X, Z), **common)
