"""What a request means by "this": pairs, whole users, whole items, sessions or baskets, a window of
time, or the others in a window.

A ``Selection`` is data: it is made at the border (a file, options of a command, Python values),
resolved against interactions by ``Interactions.remove``, and against rows of the original file by
``remaining_rows``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.ids import IdMap, convert_ids, named_ids
from alteraser.errors import InvalidInput

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Ticks a second of the units that whole-numbered times come in"""
LARGEST = {"s": 10**11, "ms": 10**14, "us": 10**17}
"""A column whose largest number is below this is taken to be of that unit: seconds up to the year
5138."""
LATE = 10**8
"""Seconds from 1970 to 1973: what is less may well be meant in a finer unit"""
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_SPAN = re.compile(r"(\d+)\s*([hdw]?)")
_NUMBER = re.compile(r"[+-]?\d+")
_NUMERAL = re.compile(r"([+-]?)0*(\d+)(?:\.0*)?")


@dataclass(frozen=True)
class Age:
    """A moment so long before another one: ``"365d"``, ``"12w"``, ``"36h"``, or a number of days.

    >>> Age("1d").ticks(np.array([5, 86_400, 2 * 86_400]))
    86400
    """

    span: str
    as_of: int | str | None = None
    """What it is counted back from: the newest time of the data, or a moment as in ``Window``, or
    ``now``"""

    def __post_init__(self) -> None:
        if _SPAN.fullmatch(self.span.strip()) is None:
            raise InvalidInput(
                f"--older-than {self.span!r}: expected a span such as 365d, 12w, 36h, or a number "
                "of days"
            )
        if self.as_of != "now":
            moment(self.as_of, "--as-of")

    def ticks(self, times: Rows, whose: str = "the data") -> int:
        """In whole numbers of the unit that ``times`` are in, which are those of ``whose``."""
        number, letter = _SPAN.fullmatch(self.span.strip()).groups()  # type: ignore[union-attr]
        unit = unit_of(times)
        now = datetime.now(UTC).isoformat(timespec="seconds") if self.as_of == "now" else self.as_of
        end = int(times.max(initial=0)) if now is None else _ticks(now, times, "--as-of", whose)
        assert end is not None
        return end - int(number) * _HOURS[letter or "d"] * 3600 * UNITS[unit]


@dataclass(frozen=True)
class Window:
    """A half-open window of time, ``since`` ≤ t < ``until``; None: open on that side.

    >>> times = np.array([5, 86_399, 86_400])
    >>> window = Window("1970-01-01", "1970-01-02T00:00:00+00:00").settled(times)
    >>> window, window.mask(np.array([5, 86_399, 86_400])).tolist()
    (Window(since=0, until=86400), [True, True, False])
    """

    since: int | str | None = None
    """A whole number in the unit of the data's times, or ISO 8601; without an offset it is UTC"""
    until: int | str | Age | None = None

    def __post_init__(self) -> None:
        if self.since is None and self.until is None:
            raise InvalidInput("a window of time needs a beginning or an end (--since, --until)")
        for name in ("since", "until"):
            if not isinstance(getattr(self, name), Age):
                moment(getattr(self, name), f"--{name}")

    def settled(self, times: Rows, whose: str = "the data") -> Window:
        """The window in whole numbers of the unit that ``times`` are in, which are those of
        ``whose``. Raises InvalidInput for an empty one.
        """
        since = _ticks(self.since, times, "--since", whose)
        if isinstance(self.until, Age):
            until: int | None = self.until.ticks(times, whose)
        else:
            until = _ticks(self.until, times, "--until", whose)
        if since is not None and until is not None and since >= until:
            raise InvalidInput(
                f"--since {self.since} is not before {self._end(until, times)}: the window holds "
                "nothing"
            )
        return Window(since, until)

    def _end(self, until: int, times: Rows) -> str:
        if isinstance(self.until, Age):
            return f"--older-than {self.until.span}, which is {when(until, times)}"
        return f"--until {self.until}"

    def mask(self, times: Rows) -> Mask:
        """Which of ``times`` lie in it; it is settled."""
        assert not isinstance(self.until, Age)
        inside = np.ones(len(times), bool)
        if self.since is not None:
            inside &= times >= int(self.since)
        if self.until is not None:
            inside &= times < int(self.until)
        return inside


def unit_of(times: Rows) -> str:
    """The unit of whole-numbered times by their size: s, ms, us or ns since 1970.

    >>> [unit_of(np.array([t])) for t in (978_300_760, 978_300_760_000, 0)]
    ['s', 'ms', 's']
    """
    largest = int(np.abs(times).max(initial=0))
    return next((unit for unit, limit in LARGEST.items() if largest < limit), "ns")


def bounds_of(unit: str) -> tuple[int, float]:
    """(least, limit) of the largest number of times of ``unit``: ``unit_of`` is ``unit`` where it
    is at least the one and below the other.

    >>> bounds_of("ms")
    (100000000000, 100000000000000)
    """
    limits = [0, *LARGEST.values(), np.inf]
    place = list(UNITS).index(unit)
    return int(limits[place]), limits[place + 1]


def when(ticks: int, times: Rows) -> str:
    """A time in the unit of ``times`` as people read it, in UTC; the number where no calendar has
    it.

    >>> when(978_300_760, np.array([978_300_760]))
    '2000-12-31T22:12:40+00:00'
    """
    seconds, rest = divmod(ticks, UNITS[unit_of(times)])
    try:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return str(ticks)
    return at.isoformat() + (f" ({ticks})" if rest else "")


def moment(value: int | str | None, what: str) -> int | datetime | None:
    """A number as it is, ISO 8601 as a time; InvalidInput, naming ``what``, for anything else."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    text = str(value).strip()
    if _NUMBER.fullmatch(text):
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{what} {text!r}: expected ISO 8601, such as 2026-03-01 or "
            "2026-03-01T12:00:00+01:00, or a whole number in the unit of the data's times"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _ticks(value: int | str | None, times: Rows, what: str, whose: str) -> int | None:
    """A moment in the unit that ``times`` are in. Raises InvalidInput for a number that would be a
    time after 1973 in another unit: it is before or behind all of them, and a window everything.
    """
    at, unit = moment(value, what), unit_of(times)
    if at is None:
        return at
    if isinstance(at, int):
        own = unit_of(np.array([at], np.int64)) if abs(at) < 2**63 else unit
        if own != unit and abs(at) >= LATE and np.any(times):
            raise InvalidInput(
                f"{what} {at}: by its size in {own} since 1970, where the times of {whose} are "
                f"in {unit}. Write it in {unit}, or as a date",
                code="window",
            )
        return at
    since_1970 = at - datetime(1970, 1, 1, tzinfo=UTC)
    micro = (since_1970.days * 86_400 + since_1970.seconds) * 10**6 + since_1970.microseconds
    ticks, left = divmod(micro * UNITS[unit], 10**6)
    if left:
        raise InvalidInput(
            f"{what} {value}: the times of {whose} are whole {unit}; give one of these"
        )
    return ticks


@dataclass(frozen=True, eq=False)
class Selection:
    """What is to be forgotten. Ids are int64 or string, as whoever asks wrote them.

    >>> Selection.of([("ann", "tea")]).kind, Selection.of(["ann"], whole_users=True).kind
    ('pairs', 'users')
    >>> Selection(window=Window("2026-01-01")).kind
    'window'
    """

    users: pa.Array | None = None
    """With ``items``: the users of pairs, row by row. Alone: users of whom everything goes."""
    items: pa.Array | None = None
    window: Window | None = None
    """Only what lies in it, of the above or, without them, of everything"""
    groups: pa.Array | None = None
    """Sessions or baskets, by their ids; with ``users`` and ``items`` row by row those of these"""
    group_name: str = "session"
    """What ``groups`` are, for messages: session or basket"""
    at: Rows | None = None
    """With ``users`` and ``items``, row by row: only events of just these times, in the unit of the
    data's"""

    def __post_init__(self) -> None:
        if self.users is not None and self.items is not None and len(self.users) != len(self.items):
            raise InvalidInput(f"{len(self.users)} users and {len(self.items)} items are no pairs")
        others = self.users if self.users is not None else self.items
        if self.groups is not None and others is not None and len(self.groups) != len(others):
            raise InvalidInput(
                f"{len(self.groups)} {self.group_name}s and {len(others)} users or items are no "
                "rows"
            )
        if (
            self.users is None
            and self.items is None
            and self.groups is None
            and self.window is None
        ):
            raise InvalidInput(
                "nothing is selected: name users, items, pairs of them, or a window of time"
            )

    @classmethod
    def of_events(cls, data: Any) -> Selection:
        """The very events of ``data`` (``Interactions`` with some), by user, item and, as far as
        they are known, session and time: whatever else the same people did with the same items
        stays.
        """
        events = data.events
        groups = None if events.groups is None else events.groups.ids.ids_of(events.groups.rows)
        return cls(
            data.users.ids_of(events.users),
            data.items.ids_of(events.items),
            groups=groups,
            group_name=events.grouping.name,
            at=events.time,
        )

    @classmethod
    def of(
        cls,
        forget: Any,
        *,
        whole_users: bool = False,
        whole_items: bool = False,
        window: Window | None = None,
    ) -> Selection:
        """From a table with user_id and item_id, or with one of them where that is said, or from
        Python values.

        Raises InvalidInput for both at once, and where a column is missing.
        """
        if isinstance(forget, Selection):
            return forget
        if whole_users and whole_items:
            raise InvalidInput(
                "whole_users and whole_items contradict each other: forget one after the other"
            )
        needed = (
            ["user_id"] if whole_users else ["item_id"] if whole_items else ["user_id", "item_id"]
        )
        table = _table(forget, needed)
        columns = {name: named_ids(table[name], name) for name in needed}
        return cls(columns.get("user_id"), columns.get("item_id"), window)

    @property
    def kind(self) -> str:
        """``pairs``, ``users``, ``items``, ``groups`` or ``window``."""
        if self.groups is not None or self.at is not None:
            return "groups"
        if self.users is not None:
            return "users" if self.items is None else "pairs"
        return "window" if self.items is None else "items"

    @property
    def table(self) -> pa.Table:
        """Its rows, as asked for: user_id and item_id, or one of them; none for a window of
        everything.
        """
        columns = {
            "user_id": self.users,
            f"{self.group_name}_id": self.groups,
            "item_id": self.items,
        }
        return pa.table({name: ids for name, ids in columns.items() if ids is not None})

    def of_rows(self, table: pa.Table) -> Selection:
        """The same of some rows of its ``table``."""
        users, groups, items = (
            table[name].combine_chunks() if name in table.column_names else None
            for name in ("user_id", f"{self.group_name}_id", "item_id")
        )
        return replace(self, users=users, items=items, groups=groups)

    def of_users(self, users: Sequence[str]) -> Selection:
        """For ``users`` alone: their pairs with the items, or what of theirs lies in the window.

        Raises InvalidInput where it names users itself.
        """
        if self.users is not None:
            raise InvalidInput(
                "--user contradicts a FORGET with a user column: leave one of them out"
            )
        named = named_ids(list(dict.fromkeys(users)), "--user")
        if self.items is None and self.groups is None:
            return replace(self, users=named)
        if self.groups is not None:
            if self.items is not None:
                raise InvalidInput(
                    f"--user contradicts a FORGET with items and {self.group_name}s: leave one out"
                )
            asked = self.groups.unique()
            rows, columns = _product(len(named), len(asked))
            return replace(self, users=named.take(rows), groups=asked.take(columns))
        assert self.items is not None
        items = self.items.unique()
        rows, columns = _product(len(named), len(items))
        return replace(self, users=named.take(rows), items=items.take(columns))

    def settled(self, times: Rows | None) -> Selection:
        """With its window in the unit of ``times``. Raises InvalidInput where there is a window and
        no times.
        """
        if self.window is None:
            return self
        if times is None:
            raise InvalidInput(
                "a window of time needs times in the data: name their column with "
                "--timestamp-column"
            )
        return replace(self, window=self.window.settled(times))

    def find(
        self,
        users: IdMap,
        items: IdMap,
        user_rows: npt.NDArray[Any],
        item_rows: npt.NDArray[Any],
        times: Rows | None = None,
        groups: tuple[IdMap, npt.NDArray[Any]] | None = None,
    ) -> tuple[Mask, Mask]:
        """(which of the interactions it selects, which rows of its ``table`` select any); it is
        settled.

        ``user_rows`` and ``item_rows`` are rows of the maps, ``times`` and the rows of ``groups``
        as many; an id of another type that does not convert without loss is an InvalidInput, and so
        are groups where there are none.
        """
        inside = np.ones(len(user_rows), bool)
        if self.window is not None:
            assert times is not None
            inside = self.window.mask(times)
        if self.kind == "window":
            return inside, np.ones(0, bool)
        if self.kind == "groups":
            return self._find_groups(users, items, user_rows, item_rows, inside, groups, times)
        if self.kind == "pairs":
            width = np.int64(max(items.size, 1))
            keys = np.asarray(user_rows, np.int64) * width + item_rows
            u, v = users.rows_of(self.users, "user_id"), items.rows_of(self.items, "item_id")
            wanted = np.where((u >= 0) & (v >= 0), u * width + v, -1)
            return _found(keys, wanted, inside)
        ids, rows, asked, side = (
            (users, user_rows, self.users, "user_id")
            if self.kind == "users"
            else (items, item_rows, self.items, "item_id")
        )
        wanted = ids.rows_of(asked, side)
        flags = np.zeros(ids.size + 1, bool)
        flags[wanted] = True
        flags[-1] = False  # where unknown ones went
        hit = flags[rows] & inside
        counts = np.append(np.bincount(np.asarray(rows)[hit], minlength=ids.size), 0)
        return hit, counts[wanted] > 0

    def _find_groups(
        self,
        users: IdMap,
        items: IdMap,
        user_rows: npt.NDArray[Any],
        item_rows: npt.NDArray[Any],
        inside: Mask,
        groups: tuple[IdMap, npt.NDArray[Any]] | None,
        times: Rows | None,
    ) -> tuple[Mask, Mask]:
        """``find`` of sessions or baskets, or of events at their times."""
        sides = []
        if self.groups is not None:
            if groups is None:
                raise InvalidInput(
                    f"the data have no ids of {self.group_name}s, which a gap in time cuts, or "
                    "nothing: name users and a window of time instead"
                )
            ids, rows_of_groups = groups
            wanted = ids.rows_of(self.groups, f"{self.group_name}_id")
            sides.append((wanted, rows_of_groups, ids.size))
        if self.at is not None:
            if times is None:
                raise InvalidInput("the data have no times, by which events are named")
            moments = np.unique(times)
            place = np.minimum(np.searchsorted(moments, self.at), max(moments.size - 1, 0))
            there = moments[place] == self.at if moments.size else np.zeros(len(self.at), bool)
            sides.append(
                (np.where(there, place, -1), np.searchsorted(moments, times), moments.size)
            )
        if self.users is not None:
            sides.append((users.rows_of(self.users, "user_id"), user_rows, users.size))
        if self.items is not None:
            sides.append((items.rows_of(self.items, "item_id"), item_rows, items.size))
        asked, have = np.zeros(sides[0][0].size, np.int64), np.zeros(len(user_rows), np.int64)
        for wanted, rows, size in sides:
            asked = np.where((asked < 0) | (wanted < 0), -1, asked * max(size, 1) + wanted)
            have = have * max(size, 1) + rows
            # small numbers again: the next product holds them
            distinct, have = np.unique(have, return_inverse=True)
            place = np.minimum(np.searchsorted(distinct, asked), max(distinct.size - 1, 0))
            there = (asked >= 0) & (distinct.size > 0)
            there[there] = distinct[place[there]] == asked[there]
            asked = np.where(there, place, -1)
        flags, counts = (
            np.zeros(have.max(initial=-1) + 2, bool),
            np.zeros(have.max(initial=-1) + 2, np.int64),
        )
        flags[asked] = True
        flags[-1] = False  # where unknown ones went
        hit = flags[have] & inside
        counts[:-1] = np.bincount(have[hit], minlength=counts.size - 1)
        return hit, counts[asked] > 0


def _product(first: int, second: int) -> tuple[pa.Array, pa.Array]:
    """Places of every pair of one of ``first`` and one of ``second``."""
    return pa.array(np.repeat(np.arange(first), second)), pa.array(
        np.tile(np.arange(second), first)
    )


def _found(keys: Rows, wanted: Rows, inside: Mask) -> tuple[Mask, Mask]:
    """Which ``keys`` are ``wanted`` and ``inside``, and which of ``wanted`` are there."""
    hit = np.zeros(len(keys), bool)
    if len(keys) == 0:
        return hit, np.zeros(len(wanted), bool)
    if np.all(keys[1:] > keys[:-1]):
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        there = (keys[place] == wanted) & inside[place]
        hit[place[there]] = True
        return hit, there
    known = np.unique(wanted[wanted >= 0])
    if not len(known):
        return hit, np.zeros(len(wanted), bool)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    hit = (known[place] == keys) & inside
    seen = np.zeros(len(known), bool)
    seen[place[hit]] = True
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return hit, (wanted >= 0) & seen[at]


# ---------------------------------------------------------------- ids that are nearly there


@dataclass(frozen=True)
class Near:
    """An id that is not in the data, and one that is and differs in its form alone. It is shown,
    never taken.
    """

    side: str
    """``user_id`` or ``item_id``"""
    given: int | str
    known: int | str

    @property
    def words(self) -> str:
        """``user_id '0155' is not in the data, '155' is``."""
        return f"{self.side} {self.given!r} is not in the data, {self.known!r} is"


def bare(value: int | str) -> str:
    """An id without its form: case, spaces around it, Unicode composition, leading zeros, a
    fraction of zero.

    >>> [bare(value) for value in (3, "3.0", " 003 ", "Cafe\\u0301")]
    ['3', '3', '3', 'café']
    """
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(value)).strip().casefold())
    numeral = _NUMERAL.fullmatch(text)
    return text if numeral is None else numeral[1].replace("+", "") + numeral[2]


def near(given: Iterable[int | str], known: IdMap, side: str, most: int = 1000) -> tuple[Near, ...]:
    """For ids that ``known`` lacks, ids that it has and that are the same but for their form;
    ``most`` at most.
    """
    wanted: dict[str, int | str] = {}
    for value in given:
        wanted.setdefault(bare(value), value)
    if not wanted:
        return ()
    if known.kind == "int64":
        numerals = {
            text: value for text, value in wanted.items() if re.fullmatch(r"-?\d{1,18}", text)
        }
        rows = known.rows_of(pa.array([int(text) for text in numerals], pa.int64()))
        found = zip(numerals.values(), (int(text) for text in numerals), rows.tolist(), strict=True)
        return tuple(Near(side, value, number) for value, number, row in found if row >= 0)[:most]
    answers = [
        Near(side, wanted[text], name)
        for name in known.ids.to_pylist()
        if (text := bare(name)) in wanted
    ]
    return tuple(answer for answer in answers if answer.given != answer.known)[:most]


def near_rows(table: pa.Table, users: IdMap, items: IdMap) -> tuple[Near, ...]:
    """``near`` for the ids of a selection's rows that matched nothing."""
    answers: tuple[Near, ...] = ()
    for side, ids in (("user_id", users), ("item_id", items)):
        if side in table.column_names and table.num_rows:
            asked = named_ids(table[side], side).unique()
            if ids.kind == "int64" and pa.types.is_string(asked.type):
                answers += near(asked.to_pylist(), ids, side)
                continue
            unknown = ids.rows_of(convert_ids(asked, ids.kind, side)) < 0
            answers += near(asked.filter(pa.array(unknown)).to_pylist(), ids, side)
    return answers


def _table(forget: Any, needed: list[str]) -> pa.Table:
    if hasattr(forget, "to_table"):
        table = forget.to_table()
    elif isinstance(forget, pa.Table):
        table = forget
    elif hasattr(forget, "__arrow_c_stream__"):
        table = pa.table(forget)
    elif len(needed) == 1:
        table = pa.table({needed[0]: named_ids(list(forget), needed[0])})
    else:
        table = pairs_table(forget)
    for name in needed:
        if name not in table.column_names:
            raise InvalidInput(
                f"the forget set has no column {name!r} (it has {', '.join(table.column_names)}); "
                "name it, or ask for whole users or whole items explicitly"
            )
    return table


def pairs_table(pairs: Iterable[tuple[Any, Any]]) -> pa.Table:
    """(user, item) tuples as a table; InvalidInput for anything else."""
    pairs = list(pairs)
    if any(len(pair) != 2 for pair in pairs):
        raise InvalidInput("expected (user, item) pairs")
    return pa.table(
        {
            "user_id": named_ids([u for u, _ in pairs], "user_id"),
            "item_id": named_ids([v for _, v in pairs], "item_id"),
        }
    )
