"""Interactions that lose and gain a few at a time, at the cost of these; the arrays they began with
stay.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from alteraser.data.events import Groups
from alteraser.data.interactions import Interactions
from alteraser.models.closed_form.live import Had

Array = npt.NDArray[Any]

Values = tuple[float, float, int, int]
"""c, y, t and the row of the segment of an interaction; 0 where there are none"""


class Entries(NamedTuple):
    """Interactions as columns: rows of users and of items, int64, c and y as float64, t and rows of
    segments as int64.
    """

    users: Array
    items: Array
    confidence: Array
    target: Array
    stamp: Array
    segment: Array

    def where(self, mask: Array) -> Entries:
        """Some of them."""
        return Entries(*(column[mask] for column in self))


class Pairs:
    """What there was at the beginning and is still, and what has come since."""

    def __init__(self, data: Interactions) -> None:
        self.base = data
        self._alive = np.ones(len(data), bool)
        self._more: dict[int, dict[int, Values]] = {}
        self._of_items: dict[int, set[int]] = {}
        self.count = len(data)

    def had(self, user: int) -> Had:
        """What a user has."""
        places = self._places(user)
        items, times = self.base.indices[places].astype(np.int64), self.base.timestamp
        stamps = None if times is None else times[places]
        more = self._more.get(user)
        if more:
            items = np.concatenate([items, np.array(list(more), np.int64)])
            order = np.argsort(items)
            items = items[order]
            if stamps is not None:
                stamps = np.concatenate(
                    [stamps, np.array([values[2] for values in more.values()], np.int64)]
                )[order]
        return Had(items, stamps)

    def people(self, item: int) -> Array:
        """Who has an item, int64."""
        view = self.base.by_item
        found = np.empty(0, np.int64)
        if item < self.base.shape[1]:
            part = slice(view.indptr[item], view.indptr[item + 1])
            found = view.indices[part][self._alive[view.order[part]]].astype(np.int64)
        return np.concatenate([found, np.array(sorted(self._of_items.get(item, ())), np.int64)])

    def has(self, users: Array, items: Array) -> Array:
        """Which pairs are there, (pairs,) bool."""
        return np.array(
            [self._has(u, v) for u, v in zip(users.tolist(), items.tolist(), strict=True)], bool
        )

    def take(self, user: int, items: Array) -> Entries:
        """Take a user's ``items``, all of which are there, out; returns them as they were."""
        more, values = self._more.get(user, {}), []
        for item in items.tolist():
            if item in more:
                values.append(more.pop(item))
                self._of_items[item].discard(user)
            else:
                place = self._place(user, item)
                self._alive[place] = False
                values.append(self._values(place))
        if not more:
            self._more.pop(user, None)
        self.count -= items.size
        columns = (np.array(column) for column in zip(*values, strict=True))
        return Entries(np.full(items.size, user), items, *columns)

    def put(self, user: int, entries: Entries) -> None:
        """Put interactions of one user in, none of which is there."""
        for _, item, *values in zip(*(column.tolist() for column in entries), strict=True):
            place = self._place(user, item)
            if place >= 0 and self._values(place) == tuple(values):
                self._alive[place] = True
            else:
                c, y, t, segment = values
                self._more.setdefault(user, {})[item] = c, y, t, segment
                self._of_items.setdefault(item, set()).add(user)
        self.count += entries.items.size

    def within(self, mask: Any) -> tuple[Array, Array]:
        """(users, items) of the interactions whose times a function of theirs selects."""
        assert self.base.timestamp is not None
        inside = self._alive & mask(self.base.timestamp)
        more = [(u, v, values[2]) for u, items in self._more.items() for v, values in items.items()]
        columns = np.array(more, np.int64).reshape(-1, 3)
        late = mask(columns[:, 2])
        return (
            np.concatenate([self.base.user_rows[inside], columns[late, 0]]),
            np.concatenate([self.base.indices[inside].astype(np.int64), columns[late, 1]]),
        )

    def times(self) -> Array | None:
        """Of all interactions, in no order; None where the data have none."""
        if self.base.timestamp is None:
            return None
        more = [values[2] for items in self._more.values() for values in items.values()]
        return np.concatenate([self.base.timestamp[self._alive], np.array(more, np.int64)])

    def kept(self) -> Interactions:
        """What is left of the beginning, in its rows."""
        return self.base.keep(self._alive)

    def come(self) -> Entries:
        """What has come since and is still there."""
        rows = [
            (u, v, *values)
            for u, items in sorted(self._more.items())
            for v, values in sorted(items.items())
        ]
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(Entries._fields)
        kinds = (np.int64, np.int64, np.float64, np.float64, np.int64, np.int64)
        return Entries(
            *(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True))
        )

    def _places(self, user: int) -> Array:
        if user >= self.base.shape[0]:
            return np.empty(0, np.int64)
        places = np.arange(self.base.indptr[user], self.base.indptr[user + 1])
        return places[self._alive[places]]

    def _place(self, user: int, item: int) -> int:
        """Where a pair is among those of the beginning, dead or alive; −1: nowhere."""
        if user >= self.base.shape[0]:
            return -1
        first, last = self.base.indptr[user], self.base.indptr[user + 1]
        place = int(first + np.searchsorted(self.base.indices[first:last], item))
        return place if place < last and self.base.indices[place] == item else -1

    def _has(self, user: int, item: int) -> bool:
        if item in self._more.get(user, ()):
            return True
        place = self._place(user, item)
        return place >= 0 and bool(self._alive[place])

    def _values(self, place: int) -> Values:
        c, y, t = (
            1 if column is None else column[place]
            for column in (self.base.confidence, self.base.target, self.base.timestamp)
        )
        segments = self.base.segments
        return (
            float(c),
            float(y),
            int(t) if self.base.timestamp is not None else 0,
            0 if segments is None else int(segments.rows[place]),
        )


def joined(base: Interactions, come: Entries, users: Any, items: Any) -> Interactions:
    """Both together under maps that have a row for each; columns that ``base`` lacks are left out
    where all are 1.
    """
    if not come.users.size:
        return replace(base, users=users, items=items)

    def column(name: str, more: Array) -> Array | None:
        mine = getattr(base, name)
        if mine is None and (name == "timestamp" or np.all(more == 1.0)):
            return None
        return np.concatenate([np.ones(len(base)) if mine is None else mine, more])

    segments = base.segments
    if segments is not None:
        segments = Groups(segments.ids, np.concatenate([segments.rows, come.segment]))
    return Interactions._assemble(
        users,
        items,
        np.concatenate([base.user_rows, come.users]),
        np.concatenate([base.indices.astype(np.int64), come.items]),
        column("confidence", come.confidence),
        column("target", come.target),
        column("timestamp", come.stamp),
        "refuse",
        segments,
    )
