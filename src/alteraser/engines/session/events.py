"""A model of sessions or baskets that stays in memory and forgets request after request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.deletion import Deletion
from alteraser.data.erased import Erased, admit, erasing, refuse
from alteraser.data.events import Events, ranks
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

    numbers: Array
    """Of the events, as they came: those that the session was opened with, then what was added"""
    unmatched: pa.Table
    """Rows of the request that match nothing"""

    @property
    def changed(self) -> int:
        """How many events went."""
        return int(self.numbers.size)


@dataclass(frozen=True)
class Come:
    """What was added."""

    numbers: Array
    """As of ``Gone``"""

    @property
    def changed(self) -> int:
        """How many events came."""
        return int(self.numbers.size)


class EventSession:
    """A model of events with these: opened once, changed request after request, published.

    A request costs what the people in it have, whatever the number of others: their part of the
    state, vectors or sessions, is made anew at once. Items, sessions and times are found through
    indexes that are made when they are first asked for. ``add`` sorts what comes in among all
    events, in time about E log E. ``publish`` puts the parts together and gives, in every bit, what
    ``forget`` and training on the rest give. What slist keeps is algebra of all sessions together:
    a request adds a low-rank correction to it, which ``continued`` applies; ``publish`` changes the
    inverse itself, from which corrections begin anew, and decides which items are the most
    frequent. After additions it makes algebra (of slist, of networks) anew.

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
        self._numbers = np.arange(len(self._events))  # of each event, as it came
        self._at = np.arange(len(self._events))  # where the event of each number is
        self._taken_back = np.zeros(len(self._events), bool)  # by number: added, and undone
        self._grown = False
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
        return Gone(self._numbers[places], unmatched)

    def add(self, data: Interactions, *, readmit: bool = False) -> Come:
        """Learn more events, of whom- and whatever, at the places in the order that their times
        say; without times behind the others.

        Users and items that are new get rows behind the others, as by ``Interactions.add``. Raises
        InvalidInput for pairs, for events that are grouped or timed in another way, or for none;
        RefusedByPolicy, and changes nothing, where some were erased from the model or forgotten in
        this session, unless ``readmit`` says that they are meant to come back (what a request took
        is given back by ``undo``).
        """
        self._check_like(data)
        admit(self.model.erased, data, readmit=readmit)
        if not readmit:
            self._refuse_gone(data)
        before = len(self._events)
        self.data = self.data.add(data)
        assert self.data.events is not None
        assert data.events is not None
        places = _where(self._events, data.events, self.data.events)
        self._events, count = self.data.events, len(self.data.events)
        self._at = np.concatenate([places[:before][self._at], places[before:]])
        self._numbers = np.empty(count, np.int64)
        self._numbers[self._at] = np.arange(count)
        there = np.zeros(count, bool)
        there[places[:before]] = self._there
        self._there = there
        self._taken_back = np.append(self._taken_back, np.zeros(count - before, bool))
        self._starts = np.searchsorted(self._events.users, np.arange(self.data.shape[0] + 1))
        self._indexes, self._grown = {}, True
        come = places[before:]
        known = self.pending is None or self.pending.knows(self._events.items[come])
        if not known:
            self.pending = None
        self._set(come, there=True)
        if not known:  # a correction is of the items of its beginning
            self._renew()
        return Come(np.arange(before, count))

    def undo(self, change: Gone | Come) -> int:
        """Take back what a request or an addition did, as far as it is not undone yet: how many
        events are back, or gone; NotFound for none.
        """
        added = isinstance(change, Come)
        places = self._at[change.numbers]
        places = places[self._there[places] == added]
        if not places.size:
            raise NotFound(f"undo: all of it is {'gone' if added else 'back'} already")
        self._taken_back[self._numbers[places]] = added
        self._set(places, there=not added)
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

    def fold(self) -> None:
        """Of slist: put what requests left to be corrected into the inverse, so that lists and
        requests are as quick as at the beginning: for when nobody is waiting. ``publish`` does it
        as well. Of other kinds nothing.
        """
        if self.pending is not None:
            self.pending.fold()

    def remaining(self) -> Interactions:
        """The events as they are now."""
        return self.data.keep_events(self._there)

    def publish(self) -> ExactModel:
        """The model as it is now: save it with ``save``. The session goes on."""
        remaining, settings = self.remaining(), self.model.settings
        removed = self.data.keep_events(~self._there & ~self._taken_back[self._numbers])
        removal = Removal(remaining, removed, pa.table({}), Selection.of(removed))
        state = settings.merged(self.model.state, self._parts, remaining.shape)
        if state is None and self._grown:
            state = settings.state(remaining, threads=self.threads)
        elif state is None:
            state = settings.without(
                self.model.state, Deletion(self.data, removal), threads=self.threads
            )
        if self.pending is not None:  # what is published needs no correction
            self.pending = settings.pending(state)
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
            erased=self._erased(removal),
        )

    # ------------------------------------------------------------------ pieces

    def _erased(self, removal: Removal) -> Erased:
        """The model's record with what is gone now, and without what came back."""
        record = self.model.erased
        if self._grown and record:
            record = record.without(record.returned(removal.remaining))
        return erasing(record, removal) if removal.count else record

    def _check_like(self, data: Interactions) -> None:
        mine, theirs = self._events, data.events
        if theirs is None:
            raise InvalidInput("add takes events: read the data as those of the session were read")
        for words, one, other in (
            ("grouped", mine.grouping, theirs.grouping),
            ("named", mine.groups is None, theirs.groups is None),
            ("timed", mine.time is None, theirs.time is None),
        ):
            if one != other:
                raise InvalidInput(
                    f"the events that are added are {words} in another way than those of the "
                    "session: read them with the same options"
                )
        if not len(theirs):
            raise NotFound("nothing comes: there are no events in the data")

    def _refuse_gone(self, data: Interactions) -> None:
        """RefusedByPolicy where ``data`` hold what was forgotten here: users who are left with
        nothing, and pairs of which every event went; of a pair that stays, the very events (of the
        same session and time).
        """
        come = data.events
        assert come is not None
        u = self.data.users.rows_of(data.users.ids_of(come.users))
        v = self.data.items.rows_of(data.items.ids_of(come.items))
        theirs = np.stack([v, *self._when(come)], axis=1)
        hit = np.zeros(len(come), bool)
        for row in np.unique(u[u >= 0]).tolist():
            places = np.arange(self._starts[row], self._starts[row + 1])
            there = self._there[places]
            gone = places[~there & ~self._taken_back[self._numbers[places]]]
            if not gone.size:
                continue
            lost = np.setdiff1d(self._events.items[gone], self._events.items[places[there]])
            mine = self._events.taken(gone)
            rows = set(map(tuple, np.stack([mine.items, *self._when(mine)], axis=1).tolist()))
            for at in np.flatnonzero(u == row).tolist():
                hit[at] = not there.any() or v[at] in lost or tuple(theirs[at].tolist()) in rows
        found = np.zeros(len(data), bool)
        found[data.locate(come.users, come.items.astype(np.int64))[hit]] = True
        refuse(data, found)

    def _when(self, events: Events) -> list[Array]:
        """What tells events of a pair apart: rows of their groups and times, as far as they have
        some.
        """
        found = [] if events.time is None else [events.time]
        if events.groups is not None and self._events.groups is not None:
            found.append(
                self._events.groups.ids.rows_of(events.groups.ids.ids_of(events.groups.rows))
            )
        return found

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
        if self.pending is not None and not self.pending.is_today(self._newest):
            self._renew()

    def _renew(self) -> None:
        """Begin a correction anew, of the state of what is there now."""
        settings = self.model.settings
        self.pending = settings.pending(settings.state(self.remaining(), threads=self.threads))

    def _newest(self) -> int:
        """When the last of the events that are there was."""
        assert self._events.time is not None
        return int(self._events.time[self._there].max(initial=0))

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
            if selection.at is not None and self._events.time is not None:
                mask &= self._events.time[places] == selection.at[at]
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


def _where(mine: Events, theirs: Events, both: Events) -> Array:
    """Where in ``both`` each event of ``mine`` and then of ``theirs`` is, which came behind where
    no time says otherwise.
    """
    position = np.concatenate([mine.at, theirs.at + int(mine.at.max(initial=-1)) + 1])
    time = None
    if mine.grouping.timed and mine.time is not None and theirs.time is not None:
        time = np.concatenate([mine.time, theirs.time])
    found = np.empty(position.size, np.int64)
    found[both.at] = np.arange(position.size)
    return found[ranks(position.size, time, position)]
