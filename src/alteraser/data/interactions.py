"""The data: who interacted with what, ids converted once, rows by user and by item."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data import blocks
from alteraser.data.events import Events, Groups
from alteraser.data.grouping import BASKET, Grouping
from alteraser.data.ids import Coded, IdMap, convert_ids
from alteraser.data.notes import CONVERTED, GROUPED, UNRATED
from alteraser.data.order import in_order, increasing
from alteraser.data.selection import Near, Selection, near_rows, pairs_table, when
from alteraser.errors import IntegrityError, InvalidInput, NotFound
from alteraser.runtime import events

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ItemView:
    """The same interactions with items as rows: ``indices`` are user rows, ``order`` maps to
    user-major places.
    """

    indptr: Array
    indices: Array
    order: Array


@dataclass(frozen=True)
class Removal:
    """What ``Interactions.remove`` did: what stays, what left, and what matched nothing."""

    remaining: Interactions
    removed: Interactions
    unmatched: pa.Table
    """The rows of the forget table that match no interaction, in its ids."""
    selection: Selection
    """What was asked for, its window in the unit of the data's times"""
    below: pa.Table | None = None
    """Rows of the forget table that match rows of the file below the threshold alone, which no
    model saw."""
    absent: tuple[Array, Array] | None = None
    """Rows of users and of items of whom something went before, that the data did not have any
    more."""
    vanished: int = 0
    """How many interactions that were, as far as they are not in ``removed``."""

    @cached_property
    def touched_users(self) -> Array:
        """Rows of the users of whom something goes, int64, increasing."""
        found = np.flatnonzero(self.removed.user_counts > 0)
        return found if self.absent is None else np.union1d(found, self.absent[0])

    @cached_property
    def touched_items(self) -> Array:
        """Rows of the items of which something goes."""
        found = np.flatnonzero(self.removed.item_counts > 0)
        return found if self.absent is None else np.union1d(found, self.absent[1])

    @cached_property
    def emptied_users(self) -> Array:
        """Rows of the users who are left with nothing, int64, increasing."""
        return np.asarray(self.touched_users[self.remaining.user_counts[self.touched_users] == 0])

    @cached_property
    def emptied_items(self) -> Array:
        """Rows of the items that are left with nothing."""
        return np.asarray(self.touched_items[self.remaining.item_counts[self.touched_items] == 0])

    @property
    def count(self) -> int:
        """How many interactions go, those that the data did not have any more included."""
        return self.removed.count + self.vanished

    @cached_property
    def near(self) -> tuple[Near, ...]:
        """Ids of ``unmatched`` that are in the data but for their form; they were not taken."""
        return near_rows(self.unmatched, self.remaining.users, self.remaining.items)


@dataclass(frozen=True)
class Statistics:
    """Size of a data set as in Liu et al., RecSys 2022, Table 2."""

    users: int
    items: int
    interactions: int
    density: float
    """interactions / (users · items)"""
    per_user: tuple[int, float, int]
    """(fewest, mean, most) interactions of a user that has any"""
    per_item: tuple[int, float, int]


@dataclass(frozen=True, eq=False)
class Interactions:
    """Distinct (user, item) pairs in user-major order, with optional confidence, target and
    timestamp.

    ``indptr`` (m + 1) and ``indices`` (nnz, item rows, increasing within a user) are the user-major
    CSR; ``by_item`` is the item-major one. Arrays are never changed: operations return new objects
    that share the id maps, so rows never move.

    >>> data = Interactions.from_pairs([("ann", "tea"), ("bob", "tea"), ("bob", "jam")])
    >>> data.shape, len(data), data.items.ids.to_pylist()
    ((2, 2), 3, ['jam', 'tea'])
    >>> gone = data.remove([("bob", "tea"), ("bob", "rum")])
    >>> len(gone.remaining), len(gone.removed), gone.unmatched.to_pylist()
    (2, 1, [{'user_id': 'bob', 'item_id': 'rum'}])
    """

    users: IdMap
    items: IdMap
    indptr: Array
    indices: Array
    confidence: npt.NDArray[np.float64] | None = None
    target: npt.NDArray[np.float64] | None = None
    timestamp: npt.NDArray[np.int64] | None = None
    multiplicity: npt.NDArray[np.int64] | None = None
    """How many rows of the source each interaction stands for, where repeated ones were summed;
    None: one each. Only losses that count rows look at it; it is no part of the digest, and ``add``
    and ``compact`` leave it out."""
    unrated: int = 0
    """Rows of the source that had no rating to hold against a threshold and were dropped; known
    after reading alone."""
    converted: Mapping[str, str] = field(default_factory=dict)
    """Of ``user_id`` and ``item_id``, what the source stored them as, where that is neither
    integers nor text."""
    events: Events | None = None
    """The rows of the source one by one, in sessions or baskets; None: nobody asked for these. Then
    the pairs are those that have an event, and ``timestamp`` is when their last one was."""
    segments: Groups | None = None
    """Of which segment (country, device, age group) each interaction is, where a column says it;
    no part of the digest, as times are none."""

    # ------------------------------------------------------------------ construction

    @classmethod
    def read(
        cls,
        source: Any,
        options: ReadingOptions | None = None,
        *,
        users: IdMap | None = None,
        items: IdMap | None = None,
        option_names: Mapping[str, str | None] | None = None,
        **settings: Any,
    ) -> Interactions:
        """Read a file, a folder or an Arrow-PyCapsule table (pandas, polars, pyarrow); see
        ``ReadingOptions``.

        ``settings`` are the fields of ReadingOptions by name (``threshold=4``). With ``users`` and
        ``items`` the rows are those of an existing model, and an unknown id is an IntegrityError.
        ``option_names`` is for messages: see ``read_table``.
        """
        from alteraser.data.readers import ReadingOptions, read_table

        options = options or ReadingOptions(**settings)
        table = read_table(source, options, names=option_names)
        with naming(source):
            found = cls.from_table(table, duplicates=options.duplicates, users=users, items=items)
        events.emit("read", interactions=len(found), users=len(found.users), items=len(found.items))
        return found

    @classmethod
    def from_table(
        cls,
        table: pa.Table,
        *,
        duplicates: str = "refuse",
        users: IdMap | None = None,
        items: IdMap | None = None,
    ) -> Interactions:
        """From an Arrow table with ``user_id``, ``item_id`` and optionally confidence, target,
        timestamp.
        """
        return cls.from_coded(
            Coded(*IdMap.build(table["user_id"])),
            Coded(*IdMap.build(table["item_id"])),
            {
                name: table[name]
                for name in table.column_names
                if name not in ("user_id", "item_id")
            },
            duplicates=duplicates,
            known=(users, items),
            notes=table.schema.metadata,
        )

    @classmethod
    def from_coded(
        cls,
        users: Coded,
        items: Coded,
        columns: Mapping[str, Any],
        *,
        duplicates: str = "refuse",
        known: tuple[IdMap | None, IdMap | None] | None = None,
        notes: Mapping[bytes, Any] | None = None,
    ) -> Interactions:
        """From columns of ids that are converted already, and what else there is of each row.

        ``known`` are the maps of an existing model: an unknown id is an IntegrityError. ``notes``
        are those of ``read_table``.
        """
        maps = known or (None, None)
        user_map, user_rows = _rows(users, maps[0], "user")
        item_map, item_rows = _rows(items, maps[1], "item")

        def column(name: str, dtype: Any) -> Array | None:
            return columns[name].to_numpy().astype(dtype, copy=False) if name in columns else None

        segments = Groups(*IdMap.build(columns["segment"])) if "segment" in columns else None
        notes = notes or {}
        if GROUPED in notes:
            grouping = Grouping.from_document(json.loads(notes[GROUPED]))
            found = cls.of_events(
                user_map, item_map, _events(grouping, columns, user_rows, item_rows, column)
            )
        else:
            found = cls._assemble(
                user_map,
                item_map,
                user_rows,
                item_rows,
                column("confidence", np.float64),
                column("target", np.float64),
                column("timestamp", np.int64),
                duplicates,
                segments,
            )
        if not {UNRATED, CONVERTED} & notes.keys():
            return found
        converted = json.loads(notes.get(CONVERTED, b"{}"))
        return replace(found, unrated=int(notes.get(UNRATED, 0)), converted=converted)

    @classmethod
    def from_pairs(
        cls, pairs: Iterable[tuple[Any, Any]], *, duplicates: str = "refuse"
    ) -> Interactions:
        """From (user, item) tuples."""
        return cls.from_table(pairs_table(pairs), duplicates=duplicates)

    @classmethod
    def of_events(cls, users: IdMap, items: IdMap, events: Events) -> Interactions:
        """The events, and the distinct pairs of theirs."""
        counts = np.zeros(users.size, np.int64)
        indices, last = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for block in blocks.of_users(blocks.user_starts(events.users, users.size)):
            u, v = events.users[block.entries], events.items[block.entries]
            keys = (u - block.first) * np.int64(max(items.size, 1)) + v
            order = np.argsort(keys, kind="stable")
            starts = np.flatnonzero(blocks.begins(keys[order]))
            firsts = order[starts]
            counts[block.users] = np.bincount(
                u[firsts] - block.first, minlength=block.last - block.first
            )
            indices.append(v[firsts])
            if events.time is not None and starts.size:
                last.append(np.maximum.reduceat(events.time[block.entries][order], starts))
        return cls(
            users,
            items,
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.concatenate(indices),
            timestamp=None if events.time is None else np.concatenate(last),
            events=events,
        )

    @classmethod
    def _assemble(
        cls,
        users: IdMap,
        items: IdMap,
        user_rows: Array,
        item_rows: Array,
        confidence: Array | None,
        target: Array | None,
        timestamp: Array | None,
        duplicates: str,
        segments: Groups | None = None,
    ) -> Interactions:
        width = np.int64(max(items.size, 1))
        keys = user_rows * width + item_rows
        multiplicity: Array | None = None
        if all(values is None for values in (confidence, target, timestamp, segments)):
            keys, user_rows, item_rows = _pairs_in_order(keys, width, user_rows, item_rows)
        if not increasing(keys):
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            repeated = np.concatenate([[False], keys[1:] == keys[:-1]])
            if repeated.any():
                if duplicates == "sum":
                    multiplicity = np.diff(np.flatnonzero(np.append(~repeated, True)))
                order, confidence = _settle(
                    duplicates, order, repeated, confidence, users, items, user_rows, item_rows
                )
            user_rows, item_rows = user_rows[order], item_rows[order]
            confidence, target, timestamp = (
                None if a is None else a[order] for a in (confidence, target, timestamp)
            )
            segments = None if segments is None else segments.taken(order)
        counts = np.bincount(user_rows, minlength=users.size)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        if confidence is not None and np.all(confidence == 1.0):
            confidence = None
        if target is not None and np.all(target == 1.0):
            target = None
        return cls(
            users,
            items,
            indptr,
            item_rows.astype(np.int32),
            confidence,
            target,
            timestamp,
            multiplicity,
            segments=segments,
        )

    # ------------------------------------------------------------------ views

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): rows on either side, empty ones included."""
        return self.users.size, self.items.size

    def __len__(self) -> int:
        return int(self.indices.size)

    @property
    def count(self) -> int:
        """How many events there are, where there are some; else pairs, ``len`` of it."""
        return len(self) if self.events is None else len(self.events)

    def __repr__(self) -> str:
        m, n = self.shape
        return f"Interactions(users={m:,}, items={n:,}, interactions={len(self):,})"

    @cached_property
    def user_counts(self) -> npt.NDArray[np.int64]:
        """|D_u| (m,)."""
        return np.diff(self.indptr)

    @cached_property
    def item_counts(self) -> npt.NDArray[np.int64]:
        """|D_v| (n,)."""
        return blocks.counts(self.indices, self.items.size)

    @property
    def user_rows(self) -> Array:
        """User row of every interaction (|D|,) int64."""
        return np.repeat(np.arange(self.users.size, dtype=np.int64), self.user_counts)

    @cached_property
    def by_item(self) -> ItemView:
        """Item-major view, computed once."""
        from scipy.sparse import csr_array

        places = np.arange(len(self), dtype=np.int32 if len(self) < 2**31 else np.int64)
        flipped = csr_array((places, self.indices, self.indptr), shape=self.shape).tocsc()
        return ItemView(
            flipped.indptr.astype(np.int64),
            flipped.indices.astype(np.int32, copy=False),
            flipped.data,
        )

    def to_table(self) -> pa.Table:
        """Arrow table in user-major order, external ids; of events, which ``from_table`` knows
        again.
        """
        if self.events is not None:
            events = self.events
            ids = {
                "user_id": self.users.ids_of(events.users),
                "item_id": self.items.ids_of(events.items),
            }
            note = {GROUPED: json.dumps(events.grouping.to_document())}
            return pa.table(ids | events.to_columns(), metadata=note)
        columns = {
            "user_id": self.users.ids_of(self.user_rows),
            "item_id": self.items.ids_of(self.indices),
        }
        for name in ("confidence", "target", "timestamp"):
            values = getattr(self, name)
            if values is not None:
                columns[name] = pa.array(values)
        if self.segments is not None:
            columns["segment"] = self.segments.ids.ids_of(self.segments.rows)
        return pa.table(columns)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the sorted (user, item, target, confidence), as hex.

        File, order, timestamps and the numbering of rows do not count. The bytes hashed are, for
        either side, the ids that occur, sorted (int64, or UTF-8 with lengths); then the pairs by
        their ranks among these; then targets and confidences as float64. Of events: see
        ``_events_digest``.
        """
        if self.events is not None:
            return _events_digest(self, self.events)
        (user_rank, user_ids), (item_rank, item_ids) = (
            _present(self.users, self.user_counts),
            _present(self.items, self.item_counts),
        )
        order: Array | None = None
        width = np.int64(max(len(item_ids), 1))
        if not (_rising(user_rank) and _rising(item_rank)):  # rows are not in the order of ids
            keys = user_rank[self.user_rows] * width + item_rank[self.indices]
            order = np.argsort(keys, kind="stable")
        sha = hashlib.sha256(b"alteraser-interactions-1\n")
        for ids in (user_ids, item_ids):
            _hash_ids(sha, ids)
        if order is None:
            for block in blocks.of_users(self.indptr):
                users = user_rank[block.rows(self.indptr)]
                _hash(sha, users * width + item_rank[self.indices[block.entries]], "<i8")
        else:
            _hash(sha, keys[order], "<i8")
        for values in (self.target, self.confidence):
            if values is None:
                _hash_ones(sha, len(self))
            else:
                _hash(sha, values if order is None else values[order], "<f8")
        return sha.hexdigest()

    # ------------------------------------------------------------------ operations

    def locate(self, user_rows: Array, item_rows: Array) -> Array:
        """Place of every (user row, item row) in the user-major arrays, -1 where it is not an
        interaction.
        """
        if FEW * user_rows.size < len(self):
            return self._bisected(user_rows, item_rows)
        width = np.int64(max(self.items.size, 1))
        known = (user_rows >= 0) & (item_rows >= 0) & (item_rows < width)
        keys = self.user_rows * width + self.indices
        wanted = np.where(known, user_rows * width + item_rows, -1)
        place = np.searchsorted(keys, wanted)
        hit = known & (place < keys.size)
        hit[hit] = keys[place[hit]] == wanted[hit]
        return np.where(hit, place, -1)

    def _bisected(self, user_rows: Array, item_rows: Array) -> Array:
        """``locate`` of a few, all of them halving their user's part at once."""
        known = (user_rows >= 0) & (user_rows < self.users.size)
        users = np.where(known, user_rows, 0)
        low, stop = self.indptr[users], self.indptr[users + 1]
        high = np.where(known, stop, low)
        while (open_ := low < high).any():
            middle = (low + high) // 2
            below = open_ & (self.indices[np.where(open_, middle, 0)] < item_rows)
            low, high = np.where(below, middle + 1, low), np.where(open_ & ~below, middle, high)
        hit = known & (low < stop)
        hit[hit] = self.indices[low[hit]] == np.asarray(item_rows)[hit]
        return np.where(hit, low, -1)

    def keep(self, mask: Array) -> Interactions:
        """The interactions for which ``mask`` (|D|,) is true; same rows. Of a pair that stays, all
        events.
        """
        if self.events is not None:
            places = self.locate(self.events.users, self.events.items.astype(np.int64))
            return self.keep_events(np.asarray(mask, bool)[places])
        mask = np.asarray(mask, bool)
        counts = np.zeros(self.users.size, np.int64)
        for block in blocks.of_users(self.indptr):
            before = np.concatenate([[0], np.cumsum(mask[block.entries])])
            ends = self.indptr[block.first : block.last + 1] - block.start
            counts[block.users] = np.diff(before[ends])
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

        def kept(values: Array | None) -> Any:
            return None if values is None else values[mask]

        return Interactions(
            self.users,
            self.items,
            indptr,
            self.indices[mask],
            kept(self.confidence),
            kept(self.target),
            kept(self.timestamp),
            kept(self.multiplicity),
            segments=None if self.segments is None else self.segments.taken(mask),
        )

    def keep_events(self, mask: Array) -> Interactions:
        """The events for which ``mask`` (E,) is true, and the pairs that have one; same rows."""
        assert self.events is not None
        kept = self.events.keep(mask)
        if kept is self.events:
            return self
        losing = self.events.losing(mask)
        if losing is None:
            return self.of_events(self.users, self.items, kept)
        theirs = kept.taken(np.flatnonzero(losing[kept.users]))
        return self._exchanged(losing, self.of_events(self.users, self.items, theirs), kept)

    def _exchanged(self, losing: Array, part: Interactions, kept: Events) -> Interactions:
        """The pairs of ``kept`` events: of the users whom ``losing`` flags those of ``part``, which
        has no others, of the rest these.
        """
        flags = np.zeros(self.users.size, bool)
        flags[: losing.size] = losing
        counts = np.where(flags, part.user_counts, self.user_counts)
        theirs, stay = np.repeat(flags, counts), np.repeat(~flags, self.user_counts)

        def column(mine: Any, others: Any) -> Any:
            if mine is None:
                return None
            found = np.empty(theirs.size, mine.dtype)
            found[theirs], found[~theirs] = others, mine[stay]
            return found

        return Interactions(
            self.users,
            self.items,
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            column(self.indices, part.indices),
            timestamp=column(self.timestamp, part.timestamp),
            events=kept,
        )

    def keep_rows(self, mask: Array) -> Interactions:
        """The events for which ``mask`` is true, or, where there are none, the interactions."""
        return self.keep(mask) if self.events is None else self.keep_events(mask)

    def only(self, row: int) -> Interactions:
        """What the user in ``row`` has, of events all of theirs; same rows. It costs what they have
        and one number for every user, however many interactions there are.
        """
        if self.events is not None:
            places = np.arange(*np.searchsorted(self.events.users, [row, row + 1]))
            return self.of_events(self.users, self.items, self.events.taken(places))
        start, stop = self.indptr[row : row + 2]
        indptr = np.zeros_like(self.indptr)
        indptr[row + 1 :] = stop - start
        mine: dict[str, Any] = {
            name: None if values is None else values[start:stop]
            for name, values in (
                ("confidence", self.confidence),
                ("target", self.target),
                ("timestamp", self.timestamp),
                ("multiplicity", self.multiplicity),
            )
        }
        segments = self.segments
        if segments is not None:
            mine["segments"] = segments.taken(np.arange(start, stop))
        return Interactions(self.users, self.items, indptr, self.indices[start:stop], **mine)

    def select(self, *, users: Any = None, items: Any = None) -> Interactions:
        """The interactions of the given users and/or items (ids); same rows."""
        mask = np.ones(len(self), bool)
        if users is not None:
            mask &= np.isin(self.user_rows, self.users.rows_of(users, "users"))
        if items is not None:
            mask &= np.isin(self.indices, self.items.rows_of(items, "items"))
        return self.keep(mask)

    def remove(
        self, forget: Any, *, whole_users: bool = False, whole_items: bool = False
    ) -> Removal:
        """Take out what ``forget`` names: (user, item) pairs, or with ``whole_users`` everything of
        its users, or with ``whole_items`` everything of its items.

        ``forget`` is a ``Selection``, an Arrow-PyCapsule table with user_id and item_id,
        Interactions, or (user, item) tuples (with ``whole_users``: user ids; with ``whole_items``:
        item ids). Every row of it is either matched or listed in ``unmatched``. Raises InvalidInput
        for a window of time where the data have no times, or where interactions were summed from
        several.
        """
        events = self.events
        times = self.timestamp if events is None else events.time
        selection = Selection.of(forget, whole_users=whole_users, whole_items=whole_items).settled(
            times
        )
        if events is not None:
            groups = None if events.groups is None else (events.groups.ids, events.groups.rows)
            gone, matched = selection.find(
                self.users, self.items, events.users, events.items.astype(np.int64), times, groups
            )
            unmatched = selection.table.filter(pa.array(~matched))
            return Removal(self.keep_events(~gone), self.keep_events(gone), unmatched, selection)
        if (
            selection.window is not None
            and self.multiplicity is not None
            and np.any(self.multiplicity > 1)
        ):
            raise InvalidInput(
                "interactions were summed from several rows, of which some may lie in the window "
                "and others not: a part of a sum cannot be forgotten. Name the pairs that are to go"
            )
        gone, matched = selection.find(
            self.users, self.items, self.user_rows, self.indices, self.timestamp
        )
        return Removal(
            self.keep(~gone), self.keep(gone), selection.table.filter(pa.array(~matched)), selection
        )

    def add(self, other: Interactions, *, duplicates: str = "refuse") -> Interactions:
        """Both together. Rows of ``self`` stay; users and items only in ``other`` get new rows
        behind them.

        Of events, those of ``other`` come behind those of ``self`` where no times say the order.
        """
        if self.events is not None and other.events is not None:
            return self._joined(other)
        users, items = self.users.extended(other.users.ids), self.items.extended(other.items.ids)
        u = np.concatenate([self.user_rows, users.rows_of(other.users.ids_of(other.user_rows))])
        v = np.concatenate(
            [self.indices.astype(np.int64), items.rows_of(other.items.ids_of(other.indices))]
        )

        def joined(name: str) -> Array | None:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is None and theirs is None:
                return None
            if name == "timestamp" and (mine is None or theirs is None):
                return None
            parts = ((mine, len(self)), (theirs, len(other)))
            return np.concatenate([np.ones(n) if a is None else a for a, n in parts])

        return Interactions._assemble(
            users,
            items,
            u,
            v,
            joined("confidence"),
            joined("target"),
            joined("timestamp"),
            duplicates,
            _both_segments(self.segments, other.segments),
        )

    def _joined(self, other: Interactions) -> Interactions:
        mine, theirs = self.to_table(), other.to_table()
        shift = pa.array(
            theirs["position"].to_numpy()
            + (len(mine) and int(mine["position"].to_numpy().max()) + 1)
        )
        theirs = theirs.set_column(theirs.column_names.index("position"), "position", shift)
        names = [name for name in mine.column_names if name in theirs.column_names]
        users, items = self.users.extended(other.users.ids), self.items.extended(other.items.ids)
        both = pa.concat_tables(
            [mine.select(names), theirs.select(names)], promote_options="permissive"
        )
        return Interactions.from_table(
            both.replace_schema_metadata(mine.schema.metadata), users=users, items=items
        )

    def split(self, test: float = 0.2, *, seed: int = 0) -> tuple[Interactions, Interactions]:
        """Random per-user split into (train, test): ⌊test · n_u⌋ of the n_u interactions of every
        user are held out.
        """
        if not 0.0 < test < 1.0:
            raise InvalidInput(
                f"split(test={test}): expected a share between 0 and 1, for example 0.2"
            )
        rng = np.random.default_rng(seed)
        held = np.zeros(len(self), bool)
        noise = rng.random(len(self))
        order = np.lexsort((noise, self.user_rows))
        position = np.arange(len(self)) - np.repeat(self.indptr[:-1], self.user_counts)
        quota = np.repeat((self.user_counts * test).astype(np.int64), self.user_counts)
        held[order] = position < quota
        return self.keep(~held), self.keep(held)

    def k_core(self, k: int) -> Interactions:
        """Drop users and items with fewer than ``k`` interactions until none is left; rows are
        renumbered.
        """
        if k < 1:
            raise InvalidInput(f"k_core({k}): expected at least 1")
        current = self
        while True:
            rare_users = (current.user_counts > 0) & (current.user_counts < k)
            rare_items = (current.item_counts > 0) & (current.item_counts < k)
            if not rare_users.any() and not rare_items.any():
                return current.compact()
            current = current.keep(~(rare_users[current.user_rows] | rare_items[current.indices]))

    def compact(self) -> Interactions:
        """The same interactions with fresh maps of only the users and items that occur."""
        return Interactions.from_table(self.to_table())

    def statistics(self) -> Statistics:
        """Counts of the users and items that occur, and the density."""
        users = self.user_counts[self.user_counts > 0]
        items = self.item_counts[self.item_counts > 0]
        cells = users.size * items.size

        def spread(counts: Array) -> tuple[int, float, int]:
            return (
                (int(counts.min()), float(counts.mean()), int(counts.max()))
                if counts.size
                else (0, 0.0, 0)
            )

        return Statistics(
            users.size,
            items.size,
            len(self),
            len(self) / cells if cells else 0.0,
            spread(users),
            spread(items),
        )

    def in_rows_of(self, users: IdMap, items: IdMap) -> Interactions:
        """The same interactions in the rows of other maps: every id is looked up once, however
        often it occurs.

        Raises IntegrityError for one that occurs and is not in them.
        """
        if self.users == users and self.items == items:
            return self
        if self.events is not None:
            found = Interactions.from_table(self.to_table(), users=users, items=items)
            return replace(found, unrated=self.unrated, converted=self.converted)
        u = _moved(self.users, users, self.user_rows, self.user_counts, "user")
        v = _moved(self.items, items, self.indices, self.item_counts, "item")
        keys = u * np.int64(max(items.size, 1)) + v
        order = in_order(keys)

        def moved(values: Array | None) -> Any:
            return None if values is None else values[order]

        indptr = np.concatenate([[0], np.cumsum(np.bincount(u, minlength=users.size))]).astype(
            np.int64
        )
        return replace(
            self,
            users=users,
            items=items,
            indptr=indptr,
            indices=v[order].astype(np.int32),
            confidence=moved(self.confidence),
            target=moved(self.target),
            timestamp=moved(self.timestamp),
            multiplicity=moved(self.multiplicity),
            segments=None if self.segments is None else self.segments.taken(order),
        )

    def as_far_as(self, users: IdMap, items: IdMap) -> Interactions:
        """The pairs alone, in the rows of other maps, without those that these do not know."""
        u, v = (
            users.rows_of(self.users.ids_of(self.user_rows)),
            items.rows_of(self.items.ids_of(self.indices)),
        )
        known = (u >= 0) & (v >= 0)
        return Interactions._assemble(users, items, u[known], v[known], None, None, None, "first")

    def with_maps(self, users: IdMap, items: IdMap) -> Interactions:
        """The same rows under other id maps, of the same size (a user's id is dropped) or with rows
        behind, which are empty.
        """
        more = np.full(max(users.size + 1 - self.indptr.size, 0), len(self), np.int64)
        indptr = np.concatenate([self.indptr, more]) if more.size else self.indptr
        return replace(self, users=users, items=items, indptr=indptr)


@contextmanager
def naming(source: Any) -> Iterator[None]:
    """Put the path of ``source``, where it is one, before what is wrong with its rows taken
    together.
    """
    try:
        yield
    except (InvalidInput, IntegrityError) as cause:
        if not isinstance(source, str | os.PathLike):
            raise
        from alteraser.data.readers import without_password

        raise type(cause)(
            f"{without_password(os.fspath(source))}: {cause.message}", **cause.details
        ) from cause


def nothing_to_forget(unmatched: pa.Table, near: tuple[Near, ...] = (), below: int = 0) -> NotFound:
    """The error for a forget set none of whose rows, ``unmatched``, is in the data; it names the
    first.

    ``near``: ids that are in the data but for their form. ``below``: rows that only rows below the
    threshold match.
    """
    if unmatched.num_rows == 0 and not below:
        return NotFound(
            "nothing to forget: the forget set has no rows. Check the file.", unmatched=0
        )
    words = []
    if below:
        words.append(
            f"{below:,} row(s) of the forget set are in the data below the threshold, which no "
            "model saw"
        )
    if unmatched.num_rows:
        first = ", ".join(
            f"{name} {value!r}" for name, value in unmatched.slice(0, 1).to_pylist()[0].items()
        )
        words.append(
            f"none of the {unmatched.num_rows:,} row(s) of the forget set is in the data, the "
            f"first is {first}"
            + (f"; {near[0].words}, which is not taken for it" if near else "")
            + ". Write ids as in the data; what was forgotten already is not there any more"
        )
    return NotFound(
        f"nothing to forget: {'; '.join(words)}.",
        unmatched=unmatched.num_rows,
        near=[vars(each) for each in near],
    )


def accounted(
    removal: Removal, *, strict: bool = False, below: Callable[[Selection], Array] | None = None
) -> Removal:
    """``removal`` once it is something: its unmatched rows without those that ``below`` finds below
    the threshold.

    Raises NotFound where nothing is removed, and with ``strict`` where a row matches nothing at
    all.
    """
    unmatched, selection = removal.unmatched, removal.selection
    if below is not None and unmatched.num_rows:
        under = np.asarray(below(selection.of_rows(unmatched)))
        removal = replace(
            removal,
            unmatched=unmatched.filter(pa.array(~under)),
            below=unmatched.filter(pa.array(under)),
        )
        unmatched = removal.unmatched
    under_threshold = 0 if removal.below is None else removal.below.num_rows
    if not removal.count and removal.absent is None:
        if selection.window is not None and not under_threshold:
            raise nothing_in_window(selection, removal.remaining)
        raise nothing_to_forget(unmatched, removal.near, under_threshold)
    if strict and unmatched.num_rows:
        first = ", ".join(
            f"{name} {value!r}" for name, value in unmatched.slice(0, 1).to_pylist()[0].items()
        )
        near = "".join(f"; {each.words}" for each in removal.near[:3])
        raise NotFound(
            f"--strict: {unmatched.num_rows:,} row(s) of the forget set match nothing, the first "
            f"is {first}{near}. Nothing was forgotten; correct or remove them, or leave --strict "
            "out",
            unmatched=unmatched.num_rows,
            rows=unmatched.slice(0, 1000).to_pylist(),
            near=[vars(each) for each in removal.near],
        )
    return removal


def nothing_in_window(selection: Selection, data: Interactions) -> NotFound:
    """The error for a window in which nothing of a selection lies; it says when the data begin and
    end.
    """
    window, times = selection.window, data.timestamp if data.events is None else data.events.time
    assert window is not None
    assert times is not None
    since, until = (
        when(int(t), times) if isinstance(t, int) else None for t in (window.since, window.until)
    )
    span = (
        f"the data go from {when(int(times.min()), times)} to {when(int(times.max()), times)}"
        if len(times)
        else ("there are no interactions")
    )
    whose = "no interaction" if selection.kind == "window" else "nothing of the forget set"
    return NotFound(
        f"nothing to forget: {whose} lies in the window from {since or 'the beginning'} to "
        f"{until or 'the end'} (its end excluded); {span}."
    )


def _events(
    grouping: Grouping,
    columns: Mapping[str, Any],
    users: Array,
    items: Array,
    column: Callable[[str, Any], Array | None],
) -> Events:
    """Rows that are grouped; InvalidInput where they have confidences or targets."""
    for name in ("confidence", "target"):
        if name in columns:
            raise InvalidInput(
                f"{grouping.name}s are of events, which have no {name}: leave it out"
            )
    groups = Groups(*IdMap.build(columns["group"])) if "group" in columns else None
    position = columns["position"].to_numpy() if "position" in columns else None
    time = column("timestamp", np.int64)
    return Events.assemble(users, items, grouping, groups=groups, time=time, position=position)


def _events_digest(data: Interactions, events: Events) -> str:
    """SHA-256 over the events, as hex.

    Hashed are, for users, items and the groups that a column says, the ids that occur, sorted;
    then, user by user, group by group and event by event (in a basket item by item), the ranks of
    user, item and group's id (or, without a column, its number), and where times say the order the
    times.
    """
    user_rank, user_ids = _present(data.users, data.user_counts)
    item_rank, item_ids = _present(data.items, data.item_counts)
    sha = hashlib.sha256(f"alteraser-events-1 {events.grouping.name}\n".encode())
    tables = [user_ids, item_ids]
    # what is hashed of each event: a number of its, and the rank of that, if it has one
    columns: list[tuple[Array, Array | None]] = [
        (events.users, user_rank),
        (events.items, item_rank),
        (events.numbers, None),
    ]
    if events.groups is not None:
        ids = events.groups.ids
        group_rank, group_ids = _present(ids, blocks.counts(events.groups.rows, ids.size))
        columns[2] = events.groups.rows, group_rank
        tables.append(group_ids)
    if events.time is not None and events.grouping.timed:
        columns.append((events.time, None))
    basket = events.grouping.name == BASKET
    order = None  # events are in order of the rows of users, and within baskets of items
    if not _rising(user_rank) or (basket and not _rising(item_rank)):
        inside = [item_rank[events.items]] if basket else []
        # stable: the order of events within a session is kept
        order = np.lexsort((*inside, events.numbers, user_rank[events.users]))
        if events.groups is None:
            begins = blocks.begins(events.numbers[order])
            renumbered = np.empty(order.size, np.int64)
            renumbered[order] = np.cumsum(begins) - 1
            columns[2] = renumbered, None
    for table in tables:
        _hash_ids(sha, table)
    for values, rank in columns:
        for start in range(0, len(events), blocks.ENTRIES):
            part = slice(start, start + blocks.ENTRIES)
            found = values[part] if order is None else values[order[part]]
            _hash(sha, found if rank is None else rank[found], "<i8")
    return sha.hexdigest()


def _rising(rank: Array) -> bool:
    """Whether rows are in the order of their ids, as far as they occur (−1: they do not)."""
    return increasing(rank[rank >= 0])


def _hash(sha: Any, values: Array, dtype: str) -> None:
    """Values one after the other as numbers of ``dtype``, a part at a time."""
    for start in range(0, values.size, blocks.ENTRIES):
        part = np.ascontiguousarray(values[start : start + blocks.ENTRIES], dtype)
        sha.update(part.data)


def _hash_ones(sha: Any, count: int) -> None:
    """What ``_hash`` of so many ones as float64 does."""
    ones = np.ones(min(count, blocks.ENTRIES), "<f8")
    for start in range(0, count, blocks.ENTRIES):
        sha.update(ones[: count - start].data)


def _pairs_in_order(
    keys: Array, width: np.int64, users: Array, items: Array
) -> tuple[Array, Array, Array]:
    """Keys and rows of distinct pairs, sorted; as they are where some are there twice."""
    if not increasing(keys):
        ordered = np.sort(keys)  # vectorized, and several times faster than an argsort
        if increasing(ordered):
            return ordered, ordered // width, ordered % width
    return keys, users, items


def _both_segments(mine: Groups | None, theirs: Groups | None) -> Groups | None:
    """Of interactions and others behind them; None where either's are not known."""
    if mine is None or theirs is None:
        return None
    more = convert_ids(theirs.ids.ids_of(theirs.rows), mine.ids.kind, "segment")
    return Groups(*IdMap.build(pa.concat_arrays([mine.ids.ids_of(mine.rows), more])))


FEW = 16
"""Pairs are looked up one by one where there are so many times as many interactions."""


def forget_table(forget: Any, *, whole_users: bool = False, whole_items: bool = False) -> pa.Table:
    """``forget`` as an Arrow table with the columns user_id and item_id; with ``whole_users`` or
    ``whole_items`` one.

    Raises InvalidInput for both at once, and where a column is missing.
    """
    return Selection.of(forget, whole_users=whole_users, whole_items=whole_items).table


def _rows(column: Coded, known: IdMap | None, side: str) -> tuple[IdMap, Array]:
    if known is None:
        return column
    rows = column.within(known, f"{side}_id")
    if (unknown := rows < 0).any():
        strange = column.rows[unknown]
        raise _not_in_the_model(
            side, column.ids.ids_of(strange[:1])[0].as_py(), np.unique(strange).size
        )
    return known, rows


def _moved(mine: IdMap, theirs: IdMap, rows: Array, counts: Array, side: str) -> Array:
    """Where ``rows`` of the map ``mine`` are in ``theirs``; ``counts`` says which of its rows
    occur.
    """
    present = np.flatnonzero(counts)
    found = np.full(max(mine.size, 1), -1, np.int64)
    found[present] = theirs.rows_of(mine.ids_of(present), f"{side}_id")
    moved = found[rows]
    if (unknown := moved < 0).any():
        first = mine.ids_of(rows[unknown][:1])[0].as_py()
        raise _not_in_the_model(side, first, int(np.unique(rows[unknown]).size))
    return moved


def _not_in_the_model(side: str, first: Any, count: int) -> IntegrityError:
    return IntegrityError(
        f"{count} {side}(s) of the data are not in the model, the first is {first!r}: this is not "
        "the data the model was trained on; if interactions were added since, forget --grown "
        "learns them along",
        side=side,
        unknown=count,
    )


def _settle(
    policy: str,
    order: Array,
    repeated: Array,
    confidence: Array | None,
    users: IdMap,
    items: IdMap,
    user_rows: Array,
    item_rows: Array,
) -> tuple[Array, Array | None]:
    """Apply a duplicates policy to the sorted ``order``; ``repeated`` marks every entry equal to
    its predecessor.
    """
    if policy == "refuse":
        place = int(order[np.flatnonzero(repeated)[0]])
        pair = (
            users.ids_of([user_rows[place]])[0].as_py(),
            items.ids_of([item_rows[place]])[0].as_py(),
        )
        raise InvalidInput(
            f"{int(repeated.sum())} duplicate (user, item) row(s), the first is {pair} at row "
            f"{place} (from 0): remove them, or say what to do with them (duplicates first, last "
            "or sum) where a model is trained or another library's is read: with the option "
            "--duplicates there",
            duplicates=int(repeated.sum()),
        )
    starts = np.flatnonzero(~repeated)
    if policy == "first":
        return order[starts], confidence
    if policy == "last":
        return order[np.concatenate([starts[1:] - 1, [order.size - 1]])], confidence
    if policy == "sum":
        weights = np.ones(order.size) if confidence is None else confidence
        summed = np.add.reduceat(weights[order], starts)
        out = np.ones(order.size)
        out[order[starts]] = summed
        return order[starts], out
    raise InvalidInput(f"duplicates={policy!r}: expected refuse, first, last or sum")


def _present(ids: IdMap, counts: Array) -> tuple[Array, pa.Array]:
    """Rank of each row among the occurring ids in sorted order (-1 elsewhere), and those ids
    sorted.
    """
    import pyarrow.compute as pc

    rows = np.flatnonzero(counts)
    present = ids.ids_of(rows)
    order = pc.sort_indices(present).to_numpy()
    rank = np.full(ids.size, -1, np.int64)
    rank[rows[order]] = np.arange(rows.size)
    return rank, present.take(pa.array(order))


def _hash_ids(sha: Any, ids: pa.Array) -> None:
    if len(ids) == 0:  # text without a row does not say of which type its ids would be
        ids = pa.array([], pa.int64())
    sha.update(f"{ids.type} {len(ids)}\n".encode())
    if pa.types.is_string(ids.type):
        import pyarrow.compute as pc

        lengths = pc.binary_length(ids).to_numpy().astype("<i8")
        sha.update(lengths.tobytes())
        sha.update("".join(ids.to_pylist()).encode())
    else:
        sha.update(np.ascontiguousarray(ids.to_numpy(), "<i8").tobytes())
