"""A model of sessions or baskets that stays in memory and forgets request after request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.deletion import Deletion
from alteraser.data.erased import erasing
from alteraser.data.events import Events
from alteraser.data.interactions import Interactions, Removal, nothing_to_forget
from alteraser.data.selection import Selection
from alteraser.errors import InvalidInput, NotFound
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.protocol import TrainedOn, known_rows
from alteraser.verbs.deleting import aligned, belongs

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Gone:
    """What one request took."""

    places: Array
    """Of the events that the session was opened with"""
    unmatched: pa.Table
    """Rows of the request that match nothing"""

    @property
    def changed(self) -> int:
        """How many events went."""
        return int(self.places.size)


class EventSession:
    """A model of events with these: opened once, changed request after request, published.

    A request costs what the people in it have, whatever the number of others: their part of the
    state, vectors or sessions, is made anew at once. Items, sessions and times are found through
    indexes that are made when they are first asked for. ``publish`` puts the parts together and
    gives, in every bit, what ``forget`` and training on the rest give. What slist keeps is algebra
    of all sessions together: a request adds a low-rank correction to it, which ``continued``
    applies; ``publish`` changes the inverse itself, and decides anew which items are the most
    frequent.

    >>> import pyarrow as pa
    >>> from alteraser import Interactions, TopFrequency
    >>> table = pa.table({"user_id": [1, 1, 2], "item_id": [7, 8, 7], "basket": [1, 1, 2]})
    >>> data = Interactions.read(table, basket_column="basket")
    >>> session = EventSession(TopFrequency().fit(data), data)
    >>> done = session.forget([1], whole_users=True)
    >>> done.changed, session.publish().trained_on.interactions, session.undo(done)
    (2, 1, 2)
    """

    def __init__(self, model: ExactModel, data: Interactions, *, threads: int = 0) -> None:
        """``data`` are the events that ``model`` stands for; IntegrityError for others,
        InvalidInput for pairs.
        """
        if data.events is None:
            raise InvalidInput(
                f"a session of events needs events, and {model.kind} is given pairs: see "
                "ExactSession"
            )
        data = aligned(model, data, grown=False)
        belongs(model, data)
        assert data.events is not None
        self.model, self.data, self.threads, self.requests = model, data, threads, 0
        self._events = data.events
        self._there = np.ones(len(self._events), bool)
        self._starts = np.searchsorted(self._events.users, np.arange(data.shape[0] + 1))
        self._parts: dict[int, Any] = {}
        self.pending = model.settings.pending(dict(model.state))
        """Of slist: what was changed and is not published"""
        self._indexes: dict[str, tuple[Array, Array]] = {}

    @property
    def interactions(self) -> int:
        """How many events there are."""
        return int(np.count_nonzero(self._there))

    def forget(
        self, forget_set: Any, *, whole_users: bool = False, whole_items: bool = False
    ) -> Gone:
        """Take out what ``forget_set`` selects; NotFound where nothing matches, then nothing is
        changed.
        """
        selection = Selection.of(forget_set, whole_users=whole_users, whole_items=whole_items)
        selection = selection.settled(self._events.time)
        places, matched = self._found(selection)
        unmatched = selection.table.filter(pa.array(~matched))
        if not places.size:
            raise nothing_to_forget(unmatched)
        self._set(places, there=False)
        return Gone(places, unmatched)

    def undo(self, change: Gone) -> int:
        """Take back what a request did, as far as it is not undone yet: how many events are back;
        NotFound for none.
        """
        places = change.places[~self._there[change.places]]
        if not places.size:
            raise NotFound("undo: all of it is back already")
        self._set(places, there=True)
        return int(places.size)

    def continued(self, session: Any, *, k: int = 10) -> list[tuple[Any, float]]:
        """[(item, score)] of the k that may come next after a session of items (ids), by slist as
        it is now.

        Raises NotFound for an unknown item, InvalidInput for kinds whose lists are formed by
        ``publish``.
        """
        if self.pending is None:
            raise InvalidInput(
                f"lists of {self.model.kind} are formed by publish: ask the model that it gives"
            )
        rows = known_rows(self.data.items, session, "item")
        scores = self.pending.continued(rows)
        best = np.lexsort((np.arange(scores.size), -scores))[:k]
        best = best[scores[best] > -np.inf]
        names = self.data.items.ids_of(best).to_pylist()
        return list(zip(names, scores[best].tolist(), strict=True))

    def remaining(self) -> Interactions:
        """The events as they are now."""
        return self.data.keep_events(self._there)

    def publish(self) -> ExactModel:
        """The model as it is now: save it with ``save``. The session goes on."""
        remaining, settings = self.remaining(), self.model.settings
        removed = self.data.keep_events(~self._there)
        removal = Removal(remaining, removed, pa.table({}), Selection.of(removed))
        touched = removal.touched_users
        parts = {int(row): self._parts[int(row)] for row in touched if int(row) in self._parts}
        state = settings.merged(self.model.state, parts, remaining.shape)
        if state is None:
            state = settings.without(
                self.model.state, Deletion(self.data, removal), threads=self.threads
            )
        users = remaining.users.without(np.flatnonzero(remaining.user_counts == 0))
        items = remaining.items.without(np.flatnonzero(remaining.item_counts == 0))
        return replace(
            self.model,
            state=state,
            users=users,
            items=items,
            trained_on=TrainedOn.of(remaining.with_maps(users, items)),
            training={"method": "exact", "requests": self.requests},
            parent=self.model.digest,
            ancestors=self.model.lineage,
            digest=None,
            erased=erasing(self.model.erased, removal),
        )

    # ------------------------------------------------------------------ pieces

    def _set(self, places: Array, *, there: bool) -> None:
        rows = np.unique(self._events.users[places]).tolist()
        before = [] if self.pending is None else [self._of(row) for row in rows]
        self._there[places] = there
        self.requests += 1
        for at, row in enumerate(rows):
            now = self._of(row)
            self._parts[row] = self.model.settings.part(now)
            if self.pending is not None:
                self.pending.change(before[at], now)

    def _of(self, row: int) -> Events:
        """What somebody has now."""
        start, stop = self._starts[row], self._starts[row + 1]
        return self._events.taken(start + np.flatnonzero(self._there[start:stop]))

    def _found(self, selection: Selection) -> tuple[Array, Array]:
        """(places of the events that a selection takes, which of its rows take any)."""
        if selection.groups is not None and self._events.groups is None:
            raise InvalidInput(
                f"the events have no ids of {selection.group_name}s: name users and a window of "
                "time"
            )
        if selection.kind == "window":
            assert selection.window is not None
            assert self._events.time is not None
            return np.flatnonzero(selection.window.mask(self._events.time) & self._there), np.ones(
                0, bool
            )
        asked = {}
        if selection.users is not None:
            asked["users"] = self.data.users.rows_of(selection.users, "user_id")
        if selection.items is not None:
            asked["items"] = self.data.items.rows_of(selection.items, "item_id")
        if selection.groups is not None:
            assert self._events.groups is not None
            asked["groups"] = self._events.groups.ids.rows_of(
                selection.groups, f"{selection.group_name}_id"
            )
        rows = np.stack(list(asked.values()), axis=1)
        matched, found = np.zeros(len(rows), bool), [np.empty(0, np.int64)]
        for at, wanted in enumerate(rows.tolist()):
            if min(wanted) < 0:
                continue
            places = self._places(next(iter(asked)), wanted[0])
            mask = self._there[places]
            for name, value in zip(list(asked)[1:], wanted[1:], strict=True):
                mask &= self._column(name)[places] == value
            if selection.window is not None:
                assert self._events.time is not None
                mask &= selection.window.mask(self._events.time[places])
            matched[at] = mask.any()
            found.append(places[mask])
        return np.unique(np.concatenate(found)), matched

    def _column(self, name: str) -> Array:
        if name == "items":
            return self._events.items
        assert self._events.groups is not None
        return self._events.groups.rows

    def _places(self, name: str, row: int) -> Array:
        """Where the events of a user, an item or a session are."""
        if name == "users":
            return np.arange(self._starts[row], self._starts[row + 1])
        if name not in self._indexes:
            column = self._column(name)
            order = np.argsort(column, kind="stable")
            self._indexes[name] = (
                order,
                np.searchsorted(column[order], np.arange(column.max(initial=-1) + 2)),
            )
        order, starts = self._indexes[name]
        return order[starts[row] : starts[row + 1]]
