"""What happened, one by one: sessions or baskets in their order, beside the distinct pairs of
``Interactions``.

An *event* is a row of the source: somebody had something, in a session or a basket, at a place in
its order. The same item may come again and again. Events are there only where the reading options
ask for sessions or baskets; models of pairs never look at them.

Order. Events are ordered by their time, equal times by their position, equal positions by their row
in the source; what was not read is left out of this. A group (a session, a basket) of a user comes
before another one whose first event is later. Groups are what a column says (of one user: another
user's session of that name is another one), or what a gap in time cuts: an event more than the gap
after the one before begins a new group. So taking an event away may cut a session in two, as it
would have been cut had the event never been there. In a basket nothing is before anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.blocks import begins
from alteraser.data.grouping import BASKET, Grouping, gap_of
from alteraser.data.ids import IdMap
from alteraser.data.selection import UNITS, unit_of
from alteraser.errors import InvalidInput

Rows = npt.NDArray[np.int64]
Places = npt.NDArray[Any]
"""Numbers of rows: int32 where there are not too many for that, else int64"""
Array = npt.NDArray[Any]

NARROW = 1 << 30
"""Fewer rows than this are numbered by int32; room is left for those that are added later"""
FEW = 4
"""Where those who lose an event have less than a part in so many of all events, the others' stay as
they are."""


@dataclass(frozen=True, eq=False)
class Groups:
    """What a column says of the group of each event: ``rows`` (E,) of ``ids``."""

    ids: IdMap
    rows: Places

    def taken(self, places: Array) -> Groups:
        """Those of some events."""
        return Groups(self.ids, self.rows[places])


@dataclass(frozen=True, eq=False)
class Events:
    """Events by user, group and place in it; arrays of (E,), never changed.

    >>> events = Events.assemble(np.array([0, 0, 0]), np.array([5, 7, 5]), Grouping(gap="30m"),
    ...                          time=np.array([0, 4000, 600]))
    >>> events.items.tolist(), events.numbers.tolist(), events.indptr.tolist()
    ([5, 5, 7], [0, 0, 1], [0, 2, 3])
    """

    users: npt.NDArray[np.int32]
    """User rows, increasing"""
    items: npt.NDArray[np.int32]
    """Item rows"""
    numbers: Places
    """The group of each event: 0 for the first group of the first user, and so on, without holes"""
    at: Places
    """What the order of events is told by: a later one has a larger number"""
    time: Rows | None
    groups: Groups | None
    """What the column says; None: a gap in time cuts them"""
    grouping: Grouping

    @classmethod
    def assemble(
        cls,
        users: Places,
        items: Places,
        grouping: Grouping,
        *,
        groups: Groups | None = None,
        time: Rows | None = None,
        position: Array | None = None,
    ) -> Events:
        """From the rows of a source in their order; InvalidInput where nothing says what belongs
        together.
        """
        if groups is None and (grouping.gap is None or time is None or not grouping.timed):
            raise InvalidInput(
                f"{grouping.name}s are what a column says, or what a gap between times cuts"
            )
        if groups is None and grouping.ticks is None:
            grouping = replace(grouping, ticks=_ticks(grouping, time))
        at = ranks(len(users), time if grouping.timed else None, position)
        if groups is not None:
            groups = Groups(groups.ids, numbered(groups.rows, groups.ids.size))
        return cls._settled(
            users.astype(np.int32),
            items.astype(np.int32),
            numbered(at, at.size),
            time,
            groups,
            grouping,
        )

    @classmethod
    def _settled(
        cls,
        users: Places,
        items: Places,
        at: Places,
        time: Rows | None,
        groups: Groups | None,
        grouping: Grouping,
    ) -> Events:
        order, first = (
            _by_gap(users, at, time, grouping) if groups is None else _by_column(users, at, groups)
        )
        numbers = _numbers(first)
        if grouping.name == BASKET:
            inside = np.lexsort((at[order], items[order], numbers))
            order = order[inside]
        return cls(
            users[order],
            items[order],
            numbers,
            at[order],
            None if time is None else time[order],
            None if groups is None else groups.taken(order),
            grouping,
        )

    def latest(self, share: float) -> Array:
        """(E,): the events of everybody's last group; where nobody has two, of the latest ``share``
        of all groups.
        """
        last = np.append(np.diff(self.owners) != 0, np.ones(min(self.owners.size, 1), bool))
        if last.all():
            key = self.at[self.indptr[:-1]] if self.ends is None else self.ends
            late = np.lexsort((self.at[self.indptr[:-1]], key))
            last[late[: late.size - int(share * late.size)]] = False
        else:  # who has one group alone stays as they are
            last &= np.bincount(self.owners)[self.owners] > 1
        return last[self.numbers]

    def __len__(self) -> int:
        return int(self.users.size)

    def keep(self, mask: Array) -> Events:
        """The events for which ``mask`` (E,) is true, in groups and an order as if there were no
        others.
        """
        if np.all(mask):
            return self
        losing = self.losing(mask)
        return self.taken(np.flatnonzero(mask)) if losing is None else self._spliced(mask, losing)

    def losing(self, mask: Array) -> Array | None:
        """(users,) who loses an event that ``mask`` (E,) leaves out; None where they have so many
        that it is no use to leave the others as they are.
        """
        flags = np.zeros(int(self.users[-1]) + 1 if len(self) else 0, bool)
        flags[self.users[~np.asarray(mask, bool)]] = True
        return flags if FEW * np.count_nonzero(flags[self.users]) < len(self) else None

    def _spliced(self, mask: Array, losing: Array) -> Events:
        """``keep``, by settling anew what those have who lose something."""
        theirs = losing[self.users]
        part = self.taken(np.flatnonzero(theirs & mask))
        there = theirs[mask]

        def column(of: Any) -> Array:
            found: Array = of(self)[mask]
            found[there] = of(part)
            return found

        groups = None
        if self.groups is not None:
            groups = Groups(self.groups.ids, column(lambda events: events.groups.rows))
        return Events(
            column(lambda events: events.users),
            column(lambda events: events.items),
            _numbers(column(lambda events: begins(events.numbers))),
            column(lambda events: events.at),
            None if self.time is None else column(lambda events: events.time),
            groups,
            self.grouping,
        )

    def taken(self, places: Array) -> Events:
        """The events at ``places``, each there once, as ``keep``."""
        return self._settled(
            self.users[places],
            self.items[places],
            self.at[places],
            None if self.time is None else self.time[places],
            None if self.groups is None else self.groups.taken(places),
            self.grouping,
        )

    def moved(self, users: Rows, items: Rows) -> Events:
        """The events under other rows: ``users[u]`` is the row that u has become, −1 for none;
        likewise items.
        """
        u, v = users[self.users], items[self.items]
        known = np.flatnonzero((u >= 0) & (v >= 0))
        return self._settled(
            u[known].astype(np.int32),
            v[known].astype(np.int32),
            self.at[known],
            None if self.time is None else self.time[known],
            None if self.groups is None else self.groups.taken(known),
            self.grouping,
        )

    @cached_property
    def indptr(self) -> Rows:
        """Where each group begins, and the number of events."""
        return np.append(np.flatnonzero(begins(self.numbers)), len(self))

    @cached_property
    def owners(self) -> Places:
        """The user row of each group."""
        return self.users[self.indptr[:-1]]

    @cached_property
    def ends(self) -> Rows | None:
        """The time of the last event of each group; None without times, or where they do not say
        the order.
        """
        if self.time is None or not self.grouping.timed:
            return None
        return (
            np.maximum.reduceat(self.time, self.indptr[:-1]) if len(self) else np.empty(0, np.int64)
        )

    @property
    def ordered_by_time(self) -> bool:
        """Whether groups of different users have an order."""
        return self.ends is not None

    def to_columns(self) -> dict[str, pa.Array]:
        """``group`` and ``timestamp``, as far as they are there, and ``position``, which says the
        order of all.
        """
        found: dict[str, pa.Array] = {"position": pa.array(self.at)}
        if self.groups is not None:
            found["group"] = self.groups.ids.ids_of(self.groups.rows)
        if self.time is not None:
            found["timestamp"] = pa.array(self.time)
        return found


def ranks(count: int, time: Rows | None, position: Array | None) -> Rows:
    """(count,) the place of each row in the order of all: by time, then position, then row, as far
    as they are there.

    >>> ranks(3, np.array([5, 2, 2]), np.array([0, 9, 1])).tolist()
    [2, 1, 0]
    """
    found = np.arange(count, dtype=np.int64)
    keys = [key for key in (position, time) if key is not None]
    if keys:
        found[np.lexsort(keys)] = np.arange(count)
    return found


def numbered(rows: Places, count: int) -> Places:
    """``rows``, of so many, in as few bytes as numbering these takes.

    >>> numbered(np.array([3, 0]), 4).dtype
    dtype('int32')
    """
    return rows.astype(np.int32 if count < NARROW else np.int64, copy=False)


def _numbers(first: Array) -> Places:
    """The group of each event, of flags that say which events begin one."""
    found: Places = np.cumsum(first, dtype=np.int32 if first.size < NARROW else np.int64)
    found -= 1
    return found


def _by_gap(users: Places, at: Places, time: Rows | None, grouping: Grouping) -> tuple[Rows, Array]:
    """(order of the events, which of them begin a group)."""
    assert time is not None
    assert grouping.ticks is not None
    order = np.lexsort((at, users))
    found = begins(users[order])
    found[1:] |= np.diff(time[order]) > grouping.ticks
    return order, found


def _ticks(grouping: Grouping, times: Rows | None) -> int:
    """The gap in the unit of ``times``."""
    assert times is not None
    assert grouping.gap is not None
    length, seconds = gap_of(grouping.gap)
    return length * UNITS[unit_of(times)] if seconds else length


def _by_column(users: Places, at: Places, groups: Groups) -> tuple[Rows, Array]:
    """The same; the groups of a user by their first event."""
    keys = users * np.int64(max(groups.ids.size, 1)) + groups.rows
    order = np.lexsort((at, keys))
    first = begins(keys[order])
    starts = np.flatnonzero(first)
    firsts = order[starts]
    ranks = np.empty(starts.size, np.int64)
    ranks[np.lexsort((at[firsts], users[firsts]))] = np.arange(starts.size)
    numbers = ranks[np.cumsum(first) - 1]
    order = order[np.argsort(numbers, kind="stable")]
    return order, begins(np.sort(numbers))
