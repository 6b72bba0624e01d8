"""A model without the rows of who is gone: smaller, and the same model on the same data.

Rows never move in AltEraser, so whoever was erased leaves an empty row. Compacting takes the empty
rows out, which moves the others; nothing else changes. The objective is defined with m users and n
items, empty rows included, where weights or regularization count them: it keeps how many were taken
out (``Objective.absent_users``, ``absent_items``), so that loss, class and ``verify`` stay as they
were. The random start of a training has m + n rows, so its run cannot be repeated from the smaller
model, and the record of it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.ids import IdMap
from alteraser.data.sums import SideSums, Sums
from alteraser.models import Factors
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.factorization.model import Model
from alteraser.models.protocol import Recommender
from alteraser.models.relational.composite import CompositeModel
from alteraser.models.relational.plain import PlainModel
from alteraser.runtime import events

Rows = npt.NDArray[np.int64]

REPLAYS = ("replay", "retrain")
"""Methods that are shown by being repeated; the compacted model cannot be"""


@dataclass(frozen=True)
class Compacted:
    """A compacted model, and which rows of the original are left, increasing."""

    model: Recommender
    users: Rows
    items: Rows


@events.verb("compact")
def compact(model: Recommender) -> Compacted:
    """``model`` without the rows of users and items of whom nothing is left; ``model`` is not
    changed.

    Those are rows without an id, and, where the model has sums of its data, rows without an
    interaction. Of kinds whose state is by item the items stay where they are; a model of several
    sources, which is numbered anew whenever it forgets, has no such rows.

    >>> from alteraser import ENMF, Interactions, forget
    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> model = ENMF(factors=2, regularization=0.1, missing_weight=0.1, dtype="float64").fit(data)
    >>> smaller = compact(forget(model, [2, 4], data=data, whole_users=True).model)
    >>> smaller.model.factors.users.shape, smaller.users.tolist()
    ((4, 2), [0, 1, 3, 5])
    """
    if isinstance(model, CompositeModel):  # who has nothing left has no row
        return _as_it_is(model)
    sums = model.trained_on.sums
    users = _left(model.users, None if sums is None else sums.users)
    items = _left(model.items, None if sums is None else sums.items)
    if isinstance(model, ExactModel):
        items = np.arange(model.items.size, dtype=np.int64)
    trained_on = replace(
        model.trained_on, sums=None if sums is None else _of_rows(sums, users, items)
    )
    common: dict[str, Any] = {
        "users": renumbered(model.users, users),
        "items": renumbered(model.items, items),
        "trained_on": trained_on,
        "training": _training(model.training),
        "parent": model.digest,
        "ancestors": model.lineage,
        "digest": None,
    }
    if isinstance(model, ExactModel):
        state = model.settings.compacted(model.state, users)
        return Compacted(replace(model, state=state, **common), users, items)
    if isinstance(model, PlainModel):
        return Compacted(model.compacted((users, items), **common), users, items)
    assert isinstance(model, Model)
    old = model.factors
    objective = model.objective.model_copy(
        update={
            "absent_users": model.objective.absent_users + model.users.size - len(users),
            "absent_items": model.objective.absent_items + model.items.size - len(items),
        }
    )
    factors = Factors(old.users[users], old.items[items], old.prediction)
    return Compacted(replace(model, factors=factors, objective=objective, **common), users, items)


def _as_it_is(model: CompositeModel) -> Compacted:
    made = replace(model, parent=model.digest, ancestors=model.lineage, digest=None)
    m, n = model.shape
    return Compacted(made, np.arange(m), np.arange(n))


def renumbered(ids: IdMap, rows: Rows) -> IdMap:
    """The map when only ``rows`` (increasing) are left, numbered anew; ids of other rows are
    dropped.
    """
    kept = np.isin(ids.rows, rows)
    return IdMap(
        ids.ids.filter(pa.array(kept)),
        np.searchsorted(rows, ids.rows[kept]).astype(np.int64),
        len(rows),
    )


def _left(ids: IdMap, side: SideSums | None) -> Rows:
    kept = np.zeros(ids.size, bool)
    kept[ids.rows] = True
    if side is not None:
        kept &= side.counts > 0
    return np.flatnonzero(kept).astype(np.int64)


def _of_rows(sums: Sums, users: Rows, items: Rows) -> Sums:
    def taken(side: SideSums, rows: Rows) -> SideSums:
        values = None if side.values is None else side.values[rows]
        return SideSums(side.counts[rows], side.pairs[rows], values)

    return Sums(taken(sums.users, users), taken(sums.items, items))


def _training(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without what would be repeated."""
    left = dict(record) | {"recipe": None, "compacted": True}
    if left.get("method") in REPLAYS:
        left["method"] = "compact"
    return left
