"""All events of a session that is open, by number: those that it was opened with, in their order,
then what came since, as it came. Nothing ever leaves it: whether an event is there, others tell.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from alteraser.data import blocks
from alteraser.data.events import Events, Groups, ranks
from alteraser.data.interactions import Interactions
from alteraser.engines.session.growing import GrowingArray, GrowingIds

Array = npt.NDArray[Any]


class AllEvents(NamedTuple):
    """All events as one set of data."""

    data: Interactions
    numbers: Any
    """Of its events; all of them in their order where nothing came"""


class Happened:
    """Columns by number, and what finds numbers: at the cost of what is asked for."""

    def __init__(self, data: Interactions) -> None:
        events = data.events
        assert events is not None
        self.base = events
        self.user_ids, self.item_ids = GrowingIds(data.users), GrowingIds(data.items)
        self.users = GrowingArray(events.users)
        self.items = GrowingArray(events.items)
        self.time = None if events.time is None else GrowingArray(events.time)
        self.groups = None if events.groups is None else GrowingArray(events.groups.rows)
        self.group_ids = None if events.groups is None else GrowingIds(events.groups.ids)
        self._position = GrowingArray(events.at)  # what the order is told by where no times do
        self._next = int(events.at.max(initial=-1)) + 1
        self._starts = blocks.user_starts(events.users, data.shape[0])
        self._own: dict[int, Array] = {}  # of whom something came: numbers, in the order of events
        self._indexes: dict[str, tuple[Array, Array]] = {}
        self._together: AllEvents | None = AllEvents(data, slice(None))

    @property
    def grown(self) -> bool:
        """Whether something came."""
        return self.users.size > len(self.base)

    @property
    def timed(self) -> bool:
        """Whether times say the order."""
        return self.time is not None and self.base.grouping.timed

    def add(self, data: Interactions) -> Array:
        """Numbers of the events of ``data``, which come behind the others where no times say
        otherwise; they are there from now on.
        """
        events = data.events
        assert events is not None
        numbers = self.users.size + np.arange(len(events))
        users = self.user_ids.grown(data.users.ids_of(events.users))
        self.users.append(users)
        self.items.append(self.item_ids.grown(data.items.ids_of(events.items)))
        self._position.append(self._next + events.at)
        self._next += int(events.at.max(initial=-1)) + 1
        if self.time is not None and events.time is not None:
            self.time.append(events.time)
        if self.groups is not None and self.group_ids is not None and events.groups is not None:
            ids, rows = events.groups.ids, events.groups.rows
            self.groups.append(self.group_ids.grown(ids.ids_of(rows)))
        for row in np.unique(users).tolist():
            self._own[row] = self._in_order(
                np.concatenate([self.of_user(row), numbers[users == row]])
            )
        self._together = None
        return numbers

    def of_user(self, row: int) -> Array:
        """Numbers of what somebody has had."""
        if row in self._own:
            return self._own[row]
        if row + 1 >= self._starts.size:
            return np.empty(0, np.int64)
        return np.arange(self._starts[row], self._starts[row + 1])

    def of(self, name: str, row: int) -> Array:
        """Numbers of the events of a row of ``users``, ``items`` or ``groups``."""
        if name == "users":
            return self.of_user(row)
        column = self.column(name)
        if name not in self._indexes:
            order = np.argsort(column.first, kind="stable")
            ends = np.arange(column.first.max(initial=-1) + 2)
            self._indexes[name] = order, np.searchsorted(column.first[order], ends)
        order, starts = self._indexes[name]
        late = column.first.size + np.flatnonzero(column.more == row)
        if row + 1 >= starts.size:
            return late
        return np.concatenate([order[starts[row] : starts[row + 1]], late])

    def column(self, name: str) -> GrowingArray:
        """``users``, ``items`` or ``groups``."""
        found = {"users": self.users, "items": self.items, "groups": self.groups}[name]
        assert found is not None
        return found

    def events_of(self, row: int, there: GrowingArray) -> Events:
        """Those of a user that are ``there``, in groups and an order as if there were no others."""
        numbers = self.of_user(row)
        numbers = numbers[there[numbers]]
        if row not in self._own:
            return self.base.taken(numbers)
        return self._assembled(numbers, np.arange(numbers.size), self._groups(numbers))

    def moments(self, which: Events | Array) -> list[Array]:
        """What tells events of a pair apart, times and rows of groups as far as there are some: of
        numbers, or of events of other data.
        """
        if not isinstance(which, Events):
            return [column[which] for column in (self.time, self.groups) if column is not None]
        found = [] if which.time is None else [which.time]
        if which.groups is not None and self.group_ids is not None:
            found.append(self.group_ids.rows_of(which.groups.ids.ids_of(which.groups.rows)))
        return found

    def together(self) -> AllEvents:
        """All of it, what came sorted in among the others: about E log E after additions."""
        if self._together is None:
            numbers, count = np.arange(self.users.size), self.users.size
            time = self.time.all() if self.timed and self.time is not None else None
            at = ranks(count, time, self._position.all())
            events = self._assembled(numbers, at, self._groups(numbers))
            found = np.empty(count, np.int64)
            found[at] = numbers
            data = Interactions.of_events(
                self.user_ids.appended(), self.item_ids.appended(), events
            )
            self._together = AllEvents(data, found[events.at])
        return self._together

    def _in_order(self, numbers: Array) -> Array:
        """Numbers of one user as times and positions order them."""
        keys = [self._position[numbers]]
        if self.timed and self.time is not None:
            keys.append(self.time[numbers])
        return numbers[np.lexsort(keys)]

    def _groups(self, numbers: Array) -> Groups | None:
        if self.groups is None or self.group_ids is None:
            return None
        return Groups(self.group_ids.appended(), self.groups[numbers])

    def _assembled(self, numbers: Array, at: Array, groups: Groups | None) -> Events:
        return Events.assemble(
            self.users[numbers],
            self.items[numbers],
            self.base.grouping,
            groups=groups,
            time=None if self.time is None else self.time[numbers],
            position=at,
        )
