"""What a model keeps of its data so that data from which something is gone already can be checked:
a sum per row.

For each user and each item

    n    how many interactions
    s    XOR of h(user, item) over them, 128 bits
    t    XOR of g(h, confidence, target), 64 bits; only where the data have confidences or targets

h and g are mixed from the ids and the numbers (the finalizer of Steele et al., OOPSLA 2014; strings
by BLAKE2b): they tell accidents apart, not forgeries, for which there is the digest of all
interactions. A sum can be taken apart. With D_r at hand, n − n' of a row is how many interactions
are missing, s ⊕ s' the XOR of their hashes, and which of some candidates they are follows by
elimination over GF(2), as long as there are fewer candidates than bits. A row of which nothing is
missing must have the same n, s and t, so what remains is checked whatever was in the part that is
gone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data import blocks
from alteraser.data.erased import encode
from alteraser.data.events import Events
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.errors import IntegrityError

Rows = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]

LANES, BLOCK = 2, 1 << 16  # pairs hashed at once: their temporaries stay in cache
CANDIDATES, WORK = 96, 20_000_000
"""Most candidates of a row that elimination is asked to tell apart, and most steps of it in all."""
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SALTS = np.array([0x9E3779B97F4A7C15, 0xD1B54A32D192ED03], np.uint64)


@dataclass(frozen=True, eq=False)
class SideSums:
    """The sums of one side, row by row."""

    counts: Rows
    """(rows,)"""
    pairs: Bits
    """(rows, 2)"""
    values: Bits | None
    """(rows,)"""


@dataclass(frozen=True, eq=False)
class Sums:
    """The sums of some interactions, in their rows."""

    users: SideSums
    items: SideSums

    @classmethod
    def of(cls, data: Interactions) -> Sums:
        """The sums of ``data``."""
        lanes = lanes_of(data.users, b"user"), lanes_of(data.items, b"item")
        weighted = data.confidence is not None or data.target is not None or data.events is not None
        users, items = (np.zeros((size, LANES + weighted), np.uint64) for size in data.shape)
        history = None if data.events is None else _Histories(data.events, data.shape[0])
        for block in blocks.of_users(data.indptr, BLOCK):
            part, rows = block.entries, block.rows(data.indptr)
            hashes = np.empty((rows.size, LANES + weighted), np.uint64)
            hashes[:, :LANES] = pair_hashes(lanes, rows, data.indices[part])
            if weighted:
                c, y = (_bits(values, part, len(data)) for values in (data.confidence, data.target))
                hashes[:, LANES] = _mix(hashes[:, 0] + _mix(c) * _FIRST + _mix(y + _SALTS[0]))
            if history is not None:
                hashes[:, LANES] = _mix(hashes[:, LANES] + history.of(data, block))
            _into(users, rows, hashes)
            order = np.argsort(data.indices[part], kind="stable")
            _into(items, data.indices[part][order], hashes[order])
        return cls(
            _side(users, data.user_counts, weighted=weighted),
            _side(items, data.item_counts, weighted=weighted),
        )

    def differing(self, other: Sums) -> int:
        """How many rows of users and items have other sums in ``other``, which is in the same
        rows.
        """
        count = 0
        for mine, theirs in ((self.users, other.users), (self.items, other.items)):
            odd = (mine.counts != theirs.counts) | np.any(mine.pairs != theirs.pairs, axis=1)
            if mine.values is not None and theirs.values is not None:
                odd |= mine.values != theirs.values
            count += int(odd.sum())
        return count

    def to_table(self) -> pa.Table:
        """side, row, interactions, pairs and values of every row that has interactions."""
        found = []
        for name, side in (("user", self.users), ("item", self.items)):
            rows = np.flatnonzero(side.counts > 0)
            columns = {
                "side": pa.array([name] * len(rows), pa.string()),
                "row": pa.array(rows, pa.int64()),
                "interactions": pa.array(side.counts[rows], pa.int64()),
                "pairs": _binary(side.pairs[rows]),
            }
            if side.values is not None:
                columns["values"] = _binary(side.values[rows][:, None])
            found.append(pa.table(columns))
        return pa.concat_tables(found)

    @classmethod
    def from_table(cls, table: pa.Table, shape: tuple[int, int]) -> Sums:
        """Read again; ValueError or KeyError for a table of another form."""
        further = set(table.column_names) - {"side", "row", "interactions", "pairs", "values"}
        if further or not set(table["side"].to_pylist()) <= {"user", "item"}:
            raise ValueError(
                f"sums: {', '.join(sorted(further)) or 'another side'} was not expected"
            )
        sides = []
        for name, size in zip(("user", "item"), shape, strict=True):
            own = table.filter(pa.array(np.array(table["side"].to_pylist(), object) == name))
            rows = own["row"].to_numpy()
            if rows.size and (rows[0] < 0 or rows[-1] >= size or np.any(np.diff(rows) <= 0)):
                raise ValueError(
                    f"sums: rows of {name}s must increase strictly within 0..{size - 1}"
                )
            counts, pairs = np.zeros(size, np.int64), np.zeros((size, LANES), np.uint64)
            counts[rows] = own["interactions"].to_numpy()
            pairs[rows] = _unbinary(own["pairs"], LANES)
            values = None
            if "values" in table.column_names:
                values = np.zeros(size, np.uint64)
                values[rows] = _unbinary(own["values"], 1)[:, 0]
            sides.append(SideSums(counts, pairs, values))
        return cls(*sides)


@dataclass(frozen=True, eq=False)
class Missing:
    """Of the interactions a model was trained on, what the data lack and a request names."""

    interactions: int
    users: Rows
    """Rows of whom something is missing, increasing"""
    items: Rows
    pairs: tuple[Rows, Rows] | None
    """(user rows, item rows) of what is missing; None where it could not be told"""
    unchecked: int
    """Interactions that remain and whose confidences and targets could not be checked"""


def missing(sums: Sums, data: Interactions, selection: Selection) -> Missing:
    """What ``data``, in the rows of ``sums``, lack of what these were taken of, all of it named by
    ``selection``.

    Raises IntegrityError, saying what, where anything else differs.
    """
    now = Sums.of(data)
    lack: list[Rows] = []
    for name, then, here in (("user", sums.users, now.users), ("item", sums.items, now.items)):
        lost = then.counts - here.counts
        _refuse(lost < 0, name, "more interactions than the model was trained on")
        same = lost == 0
        _refuse(same & np.any(then.pairs != here.pairs, axis=1), name, "other interactions")
        if then.values is not None or here.values is not None:
            one, other = (
                np.zeros_like(x.counts, np.uint64) if x.values is None else x.values
                for x in (then, here)
            )
            whole = same & (then.counts > 0)
            if then.values is not None:  # where all that is left is 1, the data say nothing of it
                other = _plain_values(data, name) if here.values is None else other
                _refuse(whole & (one != other), name, _others(data))
            else:
                _refuse(
                    whole & (here.counts > 0),
                    name,
                    "confidences or targets, and the model was trained without",
                )
        lack.append(lost)
    users, items = (np.flatnonzero(lost > 0) for lost in lack)
    candidates = _candidates(selection, data, lack)
    pairs = None if candidates is None else _taken_apart(sums, now, data, lack, candidates)
    unchecked = 0
    if sums.users.values is not None:
        unchecked = int(np.sum((lack[0][data.user_rows] > 0) & (lack[1][data.indices] > 0)))
    return Missing(int(lack[0].sum()), users, items, pairs, unchecked)


# ---------------------------------------------------------------- which are missing


def _candidates(
    selection: Selection, data: Interactions, lack: list[Rows]
) -> tuple[Rows, Rows] | None:
    """Pairs that may be missing, by the request and by the rows that lack some; None: too many to
    be told.

    Raises IntegrityError where a row lacks some that the request does not name.
    """
    named: list[npt.NDArray[np.bool_] | None] = []
    for ids, asked, side in (
        (data.users, selection.users, "user_id"),
        (data.items, selection.items, "item_id"),
    ):
        flags = None
        if asked is not None:
            flags = np.zeros(ids.size, bool)
            rows = ids.rows_of(asked, side)
            flags[rows[rows >= 0]] = True
        named.append(flags)
    if selection.kind in ("window", "groups"):
        of_what = "window" if selection.kind == "window" else selection.group_name
        _refuse(
            lack[0] > 0,
            "user",
            f"fewer interactions, and whether these lay in the {of_what} is not known",
        )
    for name, flags, lost in zip(("user", "item"), named, lack, strict=True):
        if flags is not None:
            _refuse(
                (lost > 0) & ~flags,
                name,
                "fewer interactions, and the forget set does not name them",
            )
    if selection.kind == "pairs":
        u, v = (
            data.users.rows_of(selection.users, "user_id"),
            data.items.rows_of(selection.items, "item_id"),
        )
        known = (u >= 0) & (v >= 0)
        width = np.int64(max(data.items.size, 1))
        keys = np.unique(u[known] * width + v[known])
        u, v = keys // width, keys % width
        open_ = (lack[0][u] > 0) & (lack[1][v] > 0) & (data.locate(u, v) < 0)
        return u[open_], v[open_]
    users, items = (np.flatnonzero(lost > 0) for lost in lack)
    if len(users) * len(items) > WORK // 4:
        return None
    u, v = np.repeat(users, len(items)), np.tile(items, len(users))
    open_ = data.locate(u, v) < 0
    return u[open_], v[open_]


def _taken_apart(
    sums: Sums, now: Sums, data: Interactions, lack: list[Rows], candidates: tuple[Rows, Rows]
) -> tuple[Rows, Rows] | None:
    """Which of the candidates are missing; None where that cannot be told. Works on the side with
    fewer a row.
    """
    hashes = pair_hashes(
        (lanes_of(data.users, b"user"), lanes_of(data.items, b"item")), *candidates
    )
    least = [
        np.bincount(rows, minlength=len(lost)).max(initial=0)
        for rows, lost in zip(candidates, lack, strict=True)
    ]
    one = int(np.argmin(least))
    name, then, here = (("user", sums.users, now.users), ("item", sums.items, now.items))[one]
    keys, wanted = candidates[one], then.pairs ^ here.pairs
    order = np.argsort(keys, kind="stable")
    starts = np.searchsorted(keys[order], np.arange(len(lack[one]) + 1))
    short = (np.diff(starts) < lack[one]) & (lack[one] > 0)
    _refuse(short, name, "fewer interactions than without what the forget set names")
    chosen, work = [], 0
    for row in np.flatnonzero(lack[one] > 0).tolist():
        places = order[starts[row] : starts[row + 1]]
        count = int(lack[one][row])
        if len(places) > count:
            work += len(places) ** 2
            if len(places) > CANDIDATES or work > WORK:
                return None
        found = _told_apart(_integers(hashes[places]), _integers(wanted[[row]])[0], count)
        if found is None:
            _refuse(
                np.arange(len(lack[one])) == row,
                name,
                "other interactions than without what the forget set names",
            )
            return None
        chosen.append(places[found])
    places = np.concatenate(chosen) if chosen else np.empty(0, np.int64)
    u, v = candidates[0][places], candidates[1][places]
    rows, lost = ((v, lack[1]), (u, lack[0]))[one]  # the other side has to agree
    if not np.array_equal(np.bincount(rows, minlength=len(lost)), lost):
        raise IntegrityError("interactions are missing that the forget set does not name")
    return u, v


def _told_apart(hashes: list[int], wanted: int, count: int) -> list[int] | None:
    """The ``count`` places of ``hashes`` whose XOR is ``wanted``; None where there are none
    such.
    """
    if count == len(hashes):
        total = 0
        for each in hashes:
            total ^= each
        return list(range(count)) if total == wanted else None
    basis: dict[int, tuple[int, int]] = {}

    def reduced(vector: int, made_of: int) -> tuple[int, int]:
        while vector and (pivot := vector.bit_length()) in basis:
            vector, made_of = vector ^ basis[pivot][0], made_of ^ basis[pivot][1]
        return vector, made_of

    for place, each in enumerate(hashes):
        vector, made_of = reduced(each, 1 << place)
        if vector:
            basis[vector.bit_length()] = vector, made_of
    left, made_of = reduced(wanted, 0)
    found = [place for place in range(len(hashes)) if made_of >> place & 1]
    return found if left == 0 and len(found) == count else None


def _others(data: Interactions) -> str:
    return (
        "other confidences or targets"
        if data.events is None
        else f"other {data.events.grouping.name}s or times"
    )


class _Histories:
    """Of each pair, the sum over its events of a hash of their group's id and time.

    The order within a group is not in it, which an erased event may change for the others.
    """

    def __init__(self, events: Events, m: int) -> None:
        self._events, self._starts = events, blocks.user_starts(events.users, m)
        groups = events.groups
        self._lanes = None if groups is None else lanes_of(groups.ids, b"group")[:, 0]

    def of(self, data: Interactions, block: blocks.UserBlock) -> Bits:
        """(pairs of the block,)"""
        events = self._events
        part = slice(int(self._starts[block.first]), int(self._starts[block.last]))
        hashes = np.zeros(part.stop - part.start, np.uint64)
        if events.groups is not None and self._lanes is not None:
            hashes = self._lanes[events.groups.rows[part]]
        if events.time is not None and events.grouping.timed:
            moments = events.time[part].astype(np.int64).view(np.uint64)
            hashes = hashes + _mix(moments + _SALTS[1]) * _SECOND
        width = np.int64(max(data.items.size, 1))
        pairs = block.rows(data.indptr) * width + data.indices[block.entries]
        wanted = events.users[part] * width + events.items[part]
        found = np.zeros(pairs.size, np.uint64)
        np.add.at(found, np.searchsorted(pairs, wanted), _mix(hashes + _SALTS[0]))
        return found


def _refuse(rows: npt.NDArray[np.bool_], name: str, what: str) -> None:
    if rows.any():
        count = int(rows.sum())
        raise IntegrityError(f"{count:,} {name}(s) have {what}", side=name, rows=count)


# ---------------------------------------------------------------- hashes


def lanes_of(ids: IdMap, side: bytes) -> Bits:
    """(rows, 2): 128 bits of every id, 0 for a row without one."""
    found = np.zeros((ids.size, LANES), np.uint64)
    if ids.kind == "int64":
        numbers = (
            np.ascontiguousarray(ids.ids.to_numpy(zero_copy_only=False))
            .astype(np.int64)
            .view(np.uint64)
        )
        salt = np.frombuffer(hashlib.blake2b(side, digest_size=8 * LANES).digest(), "<u8").astype(
            np.uint64
        )
        found[ids.rows] = _mix(_mix(numbers[:, None] + salt) ^ _SALTS)
    elif len(ids):
        joined = b"".join(
            hashlib.blake2b(encode(name), digest_size=8 * LANES, person=side).digest()
            for name in ids.ids.to_pylist()
        )
        found[ids.rows] = np.frombuffer(joined, "<u8").reshape(-1, LANES)
    return found


def pair_hashes(lanes: tuple[Bits, Bits], user_rows: Any, item_rows: Any) -> Bits:
    """(pairs, 2): h of every pair of rows."""
    return _mix(lanes[0][user_rows] ^ _mix(lanes[1][item_rows] + _SALTS))


def _mix(x: Bits) -> Bits:
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return np.asarray(x ^ (x >> np.uint64(31)))


def _into(sums: Bits, rows: Rows, hashes: Bits) -> None:
    """XOR the hashes of each of ``rows``, which do not decrease, into its row of ``sums``."""
    starts = np.flatnonzero(blocks.begins(rows))
    if starts.size:
        sums[rows[starts]] ^= np.bitwise_xor.reduceat(hashes, starts, axis=0)


def _side(sums: Bits, counts: Rows, *, weighted: bool) -> SideSums:
    return SideSums(counts, sums[:, :LANES], sums[:, LANES] if weighted else None)


def _plain_values(data: Interactions, name: str) -> Bits:
    """T of a side of data whose confidences and targets are all 1, as data that have some would
    give it.
    """
    found = Sums.of(replace(data, confidence=np.ones(len(data))))
    values = (found.users if name == "user" else found.items).values
    assert values is not None
    return values


def _bits(values: Any, part: slice, length: int) -> Bits:
    if values is None:
        return np.full(len(range(*part.indices(length))), 1.0).view(np.uint64)
    return np.ascontiguousarray(values[part], np.float64).view(np.uint64)


def _integers(rows: Bits) -> list[int]:
    return [int(low) | int(high) << 64 for low, high in rows.tolist()]


def _binary(rows: Bits) -> pa.Array:
    width = 8 * rows.shape[1]
    buffer = pa.py_buffer(np.ascontiguousarray(rows, "<u8").tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), [None, buffer])


def _unbinary(column: pa.ChunkedArray, lanes: int) -> Bits:
    if column.type != pa.binary(8 * lanes):
        raise ValueError(f"sums: expected {8 * lanes} bytes a row, found {column.type}")
    joined = b"".join(column.to_pylist())
    return np.frombuffer(joined, "<u8").reshape(-1, lanes).astype(np.uint64)
