"""A model of an exact kind that stays in memory and forgets request after request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.deletion import Deletion
from alteraser.data.erased import Erased, admit, erasing, refuse
from alteraser.data.events import Groups
from alteraser.data.interactions import Interactions, Removal, nothing_to_forget
from alteraser.data.selection import Selection
from alteraser.engines.session.growing import GrowingIds
from alteraser.engines.session.pairs import Entries, Pairs, joined
from alteraser.errors import InvalidInput, NotFound
from alteraser.models.closed_form.live import Lost
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.protocol import TrainedOn
from alteraser.verbs.deleting import aligned, belongs

Array = npt.NDArray[Any]

BULK = 2_000
"""People in one request from which on the state is made anew when it is asked for, not person by
person"""


@dataclass(frozen=True)
class Applied:
    """What one request did."""

    removed: Entries
    """What went, for ``ExactSession.undo``; the session does not keep it."""
    added: Entries
    """What came"""
    unmatched: pa.Table
    """Rows of the request that match nothing or, of what was to come, are there already"""

    @property
    def changed(self) -> int:
        """How many interactions went or came."""
        return int(self.removed.users.size + self.added.users.size)


class ExactSession:
    """A model of an exact kind with its interactions: opened once, changed request after request,
    published.

    A request costs what the people in it have, whatever the number of others: counts are changed at
    once. What is formed of them, lists of neighbors above all, is formed by ``publish``. Of ease
    the inverse is changed at once. What has confidences, tfidf and bm25 are changed by ``publish``
    alone, all requests together. ``publish`` gives, in every bit, what ``forget`` and training on
    the rest give; of algebra, the same to rounding.

    >>> from alteraser import Cooccurrence, Interactions
    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> session = ExactSession(Cooccurrence().fit(data), data)
    >>> done = session.forget([(0, 0), (5, 5)])
    >>> done.changed, session.undo(done).changed, session.forget([4], whole_users=True).changed
    (2, 2, 2)
    >>> session.publish().trained_on.users
    5
    """

    def __init__(self, model: ExactModel, data: Interactions, *, threads: int = 0) -> None:
        """``data`` are the interactions that ``model`` stands for.

        IntegrityError for others, InvalidInput for kinds of events, which ``forget`` changes.
        """
        if data.events is not None:
            raise InvalidInput(f"{model.kind} is of sessions or baskets: see EventSession")
        data = aligned(model, data, grown=False)
        belongs(model, data)
        self.model, self.threads, self.requests = model, threads, 0
        self._users, self._items = GrowingIds(model.users), GrowingIds(model.items)
        self._segments = None if data.segments is None else GrowingIds(data.segments.ids)
        self._settled, self._state = data, dict(model.state)
        self._pairs = Pairs(data)
        self._live = model.settings.live(model.state, data)
        self._gone: list[tuple[Array, Array]] = []  # rows of what went, some of it back since
        self._whole: list[Array] = []  # items that were to go whole
        self._taken: set[tuple[int, int]] = set()  # the same as ``_gone``, to look pairs up
        self._emptied: set[int] = set()  # users of whom something went

    # ------------------------------------------------------------------ requests

    def forget(
        self, forget_set: Any, *, whole_users: bool = False, whole_items: bool = False
    ) -> Applied:
        """Take out what ``forget_set`` selects: pairs, a table, users or items whole, or a
        ``Selection``.

        Raises NotFound where nothing matches: then nothing is changed.
        """
        selection = Selection.of(forget_set, whole_users=whole_users, whole_items=whole_items)
        if selection.window is not None:
            selection = selection.settled(self._pairs.times())
        u, v, matched = self._found(selection)
        unmatched = selection.table.filter(pa.array(~matched))
        if not u.size:
            raise nothing_to_forget(unmatched)
        removed = self._each(u, lambda user, mine: self._pairs.take(user, v[mine]))
        self._gone.append((removed.users, removed.items))
        self._taken.update(zip(removed.users.tolist(), removed.items.tolist(), strict=True))
        self._emptied.update(removed.users.tolist())
        if selection.kind == "items" and selection.window is None:
            self._whole.append(np.unique(self._items.rows_of(selection.items)))
        return Applied(removed, _none(), unmatched)

    def add(self, data: Interactions, *, readmit: bool = False) -> Applied:
        """Learn more interactions, of whom- and whatever; those that are there already are left as
        they are.

        Raises RefusedByPolicy, and changes nothing, where some were erased from the model or
        forgotten in this session, unless ``readmit`` says that they are meant to come back (what a
        request took is given back by ``undo``).
        Raises NotFound where all of them are, InvalidInput where they lack the times or segments
        that the model's have.
        """
        if data.target is not None:
            raise InvalidInput(f"{self.model.kind} has no use for a target: leave it out")
        for name, words in (("timestamp", "times"), ("segments", "segments")):
            if (getattr(data, name) is None) != (getattr(self._pairs.base, name) is None):
                raise InvalidInput(
                    "the interactions that were trained on and those that are added must both have "
                    f"{words}, or neither"
                )
        names = data.users.ids_of(data.user_rows), data.items.ids_of(data.indices)
        admit(self.model.erased, data, readmit=readmit)
        if not readmit:
            self._refuse_gone(self._users.rows_of(names[0]), self._items.rows_of(names[1]), data)
        u, v = self._users.grown(names[0]), self._items.grown(names[1])
        c = np.ones(len(data)) if data.confidence is None else data.confidence
        if self._live is not None and (np.any(c != 1.0) or self._items.more):
            # confidences are no counts; and new items change every row of a state
            self._live = None
        t = np.zeros(len(data), np.int64) if data.timestamp is None else data.timestamp
        g = np.zeros(len(data), np.int64)
        if self._segments is not None and data.segments is not None:
            g = self._segments.grown(data.segments.ids.ids_of(data.segments.rows))
        return self._put(
            Entries(u, v, c, np.ones(len(data)), t, g),
            data.to_table().select(["user_id", "item_id"]),
        )

    def undo(self, change: Applied) -> Applied:
        """Take back what a request did, as far as it is not undone yet; NotFound where all of it
        is.
        """
        if change.removed.users.size:
            rows = change.removed
            table = pa.table(
                {
                    "user_id": self._users.ids_of(rows.users),
                    "item_id": self._items.ids_of(rows.items),
                }
            )
            return self._put(rows, table)
        still = self._pairs.has(change.added.users, change.added.items)
        if not still.any():
            raise NotFound("undo: all of it is gone already")
        rows = change.added.where(still)
        removed = self._each(
            rows.users, lambda user, mine: self._pairs.take(user, rows.items[mine])
        )
        return Applied(removed, _none(), pa.table({}))

    # ------------------------------------------------------------------ what there is now

    @property
    def interactions(self) -> int:
        """How many there are."""
        return self._pairs.count

    def remaining(self) -> Interactions:
        """The interactions as they are now; where users or items are new, rows are those of all ids
        in order.
        """
        kept, come = self._pairs.kept(), self._pairs.come()
        if self._segments is not None and kept.segments is not None and self._segments.more:
            ids, to_segment = self._segments.merged()
            kept = replace(kept, segments=Groups(ids, to_segment[kept.segments.rows]))
            come = come._replace(segment=to_segment[come.segment])
        if not (self._users.more or self._items.more):
            return joined(kept, come, kept.users, kept.items)
        users, to_user = self._users.merged()
        items, to_item = self._items.merged()
        moved = Interactions._assemble(
            users,
            items,
            to_user[kept.user_rows],
            to_item[kept.indices],
            kept.confidence,
            None,
            kept.timestamp,
            "refuse",
            kept.segments,
        )
        come = come._replace(users=to_user[come.users], items=to_item[come.items])
        return joined(moved, come, users, items)

    def publish(self) -> ExactModel:
        """The model as it is now: save it with ``save``. The session goes on.

        Lists are formed here, and what is not counts is made anew, so this takes as long as that
        does.
        """
        data = self.remaining()
        state = self._formed(data)
        users = data.users.without(np.flatnonzero(data.user_counts == 0))
        items = data.items.without(np.flatnonzero(data.item_counts == 0))
        named = data.with_maps(users, items)
        return replace(
            self.model,
            state=state,
            users=users,
            items=items,
            trained_on=TrainedOn.of(named),
            training={"method": "exact", "requests": self.requests},
            parent=self.model.digest,
            ancestors=self.model.lineage,
            digest=None,
            erased=self._erased(data),
        )

    # ------------------------------------------------------------------ pieces

    def _refuse_gone(self, u: Array, v: Array, data: Interactions) -> None:
        """RefusedByPolicy where interactions (u, v) of ``data`` were forgotten here: pairs, users
        who are left with nothing, items that were to go whole.
        """
        if not self._taken and not self._whole:
            return
        hit = np.array(
            [pair in self._taken for pair in zip(u.tolist(), v.tolist(), strict=True)], bool
        )
        hit &= ~self._pairs.has(u, v)
        for row in np.unique(u[(u >= 0) & ~hit]).tolist():
            if row in self._emptied and not self._pairs.had(row).items.size:
                hit |= u == row
        for row in np.unique(np.concatenate([v[:0], *self._whole])).tolist():
            if row >= 0 and not self._pairs.people(row).size:
                hit |= v == row
        refuse(data, hit)

    def _found(self, selection: Selection) -> tuple[Array, Array, Array]:
        """(users, items) that a selection takes, each once, and which of its rows take any."""
        if selection.kind == "window":
            assert selection.window is not None
            return (*self._pairs.within(selection.window.mask), np.ones(0, bool))
        if selection.kind == "pairs":
            u, v = self._users.rows_of(selection.users), self._items.rows_of(selection.items)
        elif selection.kind == "users":
            asked = self._users.rows_of(selection.users)
            parts = [self._pairs.had(row).items for row in asked.tolist() if row >= 0]
            u, v = _spread(asked[asked >= 0], parts)
        else:
            asked = self._items.rows_of(selection.items)
            v, u = _spread(
                asked[asked >= 0], [self._pairs.people(row) for row in asked.tolist() if row >= 0]
            )
        there = (u >= 0) & (v >= 0)
        there[there] = self._pairs.has(u[there], v[there])
        if selection.window is not None:
            inside = set(
                zip(
                    *(rows.tolist() for rows in self._pairs.within(selection.window.mask)),
                    strict=True,
                )
            )
            there &= np.array(
                [pair in inside for pair in zip(u.tolist(), v.tolist(), strict=True)], bool
            )
        if selection.kind == "pairs":
            matched = there
        else:
            rows = u if selection.kind == "users" else v
            matched = np.isin(asked, rows[there])
        pairs = np.unique(np.stack([u[there], v[there]]), axis=1)
        return pairs[0], pairs[1], matched

    def _put(self, entries: Entries, table: pa.Table) -> Applied:
        keys, first = np.unique(np.stack([entries.users, entries.items]), axis=1, return_index=True)
        fresh = np.zeros(entries.users.size, bool)
        fresh[first] = ~self._pairs.has(keys[0], keys[1])
        if not fresh.any():
            raise NotFound("nothing comes: all of these interactions are there already")
        rows = entries.where(fresh)

        def put(user: int, mine: Array) -> Entries:
            self._pairs.put(user, rows.where(mine))
            return rows.where(mine)

        added = self._each(rows.users, put)
        return Applied(_none(), added, table.filter(pa.array(~fresh)))

    def _each(self, users: Array, change: Callable[[int, Array], Entries]) -> Entries:
        """``change(user, places)`` for each of ``users``, and what that does to the state."""
        order = np.argsort(users, kind="stable")
        distinct, first = np.unique(users[order], return_index=True)
        if distinct.size > getattr(self._live, "bulk", BULK):
            self._live = None
        done = []
        for user, mine in zip(distinct.tolist(), np.split(order, first[1:]), strict=True):
            before = None if self._live is None else self._pairs.had(user)
            done.append(change(user, mine))
            if self._live is not None and before is not None:
                try:
                    self._live.change(before, self._pairs.had(user))
                except Lost:
                    self._live = None
        self.requests += 1
        return Entries(*(np.concatenate(columns) for columns in zip(*done, strict=True)))

    def _formed(self, data: Interactions) -> dict[str, Array]:
        """The state of ``data``: of counts that were changed along, or from the last one by what is
        gone since.
        """
        if self._live is not None:
            return self._live.state()
        settings, before = self.model.settings, self._settled
        names = (self._users, self._items, self._segments)
        grown = any(each is not None and each.more for each in names)
        gone = None if grown else _gone(before, data)
        if gone is None:
            return settings.state(data, threads=self.threads)
        self._state = settings.without(self._state, Deletion(before, gone), threads=self.threads)
        self._settled = data
        return dict(self._state)

    def _erased(self, data: Interactions) -> Erased:
        """The model's record with what is gone now, and without what came back."""
        record = self.model.erased
        if record:
            record = record.without(record.returned(data))
        empty = np.empty(0, np.int64)
        u, v = (np.concatenate([empty, *(pair[side] for pair in self._gone)]) for side in (0, 1))
        asked = np.unique(np.concatenate([empty, *self._whole]))
        asked = asked[asked >= 0]
        u, v = data.users.rows_of(self._users.ids_of(u)), data.items.rows_of(self._items.ids_of(v))
        out = data.locate(u, v) < 0
        pairs = np.unique(np.stack([u[out], v[out]]), axis=1)
        removed = Interactions._assemble(
            data.users, data.items, pairs[0], pairs[1], None, None, None, "refuse"
        )
        rows = data.items.rows_of(self._items.ids_of(asked))
        whole = data.items.ids_of(rows[data.item_counts[rows] == 0]).to_pylist()
        return erasing(
            record,
            Removal(data, removed, removed.to_table().slice(0, 0), Selection.of(removed)),
            whole,
        )


def _spread(rows: Array, parts: list[Array]) -> tuple[Array, Array]:
    others = np.concatenate(parts) if parts else np.empty(0, np.int64)
    return np.repeat(rows, [part.size for part in parts]), others


def _none() -> Entries:
    empty = np.empty(0, np.int64)
    return Entries(empty, empty, np.empty(0), np.empty(0), empty, empty)


def _gone(before: Interactions, after: Interactions) -> Removal | None:
    """What ``after`` lacks of ``before``, as a removal; None where it has others, or with other
    numbers.
    """
    places = before.locate(after.user_rows, after.indices.astype(np.int64))
    if (places < 0).any():
        return None
    for name in ("confidence", "timestamp"):
        mine, theirs = getattr(before, name), getattr(after, name)
        if (mine is None) != (theirs is None) or (
            mine is not None and not np.array_equal(mine[places], theirs)
        ):
            return None
    mine, theirs = before.segments, after.segments
    if mine and theirs and not np.array_equal(mine.rows[places], theirs.rows):
        return None
    lost = np.ones(len(before), bool)
    lost[places] = False
    removed = before.keep(lost)
    return Removal(after, removed, pa.table({}), Selection.of(removed))
