"""A model of sessions or baskets that stays in memory and forgets request after request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.deletion import Deletion
from alteraser.data.erased import Erased, admit, erasing, refuse
from alteraser.data.events import Events
from alteraser.data.interactions import Interactions, Removal, nothing_to_forget
from alteraser.data.selection import Selection
from alteraser.engines.session.growing import GrowingArray
from alteraser.engines.session.happened import Happened
from alteraser.errors import InvalidInput, NotFound
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.protocol import TrainedOn, known_rows
from alteraser.models.sessions.ages import Span, span_of
from alteraser.verbs.deleting import aligned, belongs

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Gone:
    """What one request took."""

    numbers: Array
    """Of the events, as they came: see ``happened.Happened``"""
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
    indexes that are made when they are first asked for. ``add`` costs as much as ``forget``, what
    comes and what the same people have; ``publish`` sorts it in among all events, puts the parts
    together and gives, in every bit, what ``forget`` and training on the rest give. What slist
    keeps is algebra of all sessions together: a request adds a low-rank correction to it, which
    ``continued`` applies, and which is folded into the inverse once a few rows have gathered; where
    rounding has added up (``told``) the inverse is made anew of what is there. ``publish`` begins
    from the model's own state, and decides which items are the most frequent. After additions it
    makes algebra (of slist, of networks) anew.

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
        self.model, self.threads, self.requests = model, threads, 0
        self._all = Happened(data)
        self._there = GrowingArray(np.ones(len(data.events), bool))  # by number
        self._taken_back = GrowingArray(np.zeros(len(data.events), bool))  # added, and undone
        self._parts: dict[int, Any] = {}
        self._span: Span | None = None  # of the times of all that is there, where it is known
        self.pending = model.settings.pending(dict(model.state))
        """Of slist: what was changed and is not published"""
        self.refreshes = 0
        """How often the inverse of slist was made anew beside ``publish``"""

    @property
    def data(self) -> Interactions:
        """All that has been there, what is gone too; put together anew after additions."""
        return self._all.together().data

    @property
    def interactions(self) -> int:
        """How many events there are."""
        there = self._there
        return int(np.count_nonzero(there.first)) + int(np.count_nonzero(there.more))

    def forget(
        self, forget_set: Any, *, whole_users: bool = False, whole_items: bool = False
    ) -> Gone:
        """Take out what ``forget_set`` selects; NotFound where nothing matches, then nothing is
        changed.
        """
        selection = Selection.of(forget_set, whole_users=whole_users, whole_items=whole_items)
        if selection.window is not None:
            selection = selection.settled(None if self._all.time is None else self._all.time.all())
        numbers, matched = self._found(selection)
        unmatched = selection.table.filter(pa.array(~matched))
        if not numbers.size:
            raise nothing_to_forget(unmatched)
        self._set(numbers, there=False)
        return Gone(numbers, unmatched)

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
        come = self._all.add(data)
        for column, value in ((self._there, False), (self._taken_back, False)):
            column.append(np.full(come.size, value))
        known = self.pending is None or self.pending.knows(self._all.items[come])
        if not known:
            self.pending = None
        self._set(come, there=True)
        if not known:  # a correction is of the items of its beginning
            self._renew()
        return Come(come)

    def undo(self, change: Gone | Come) -> int:
        """Take back what a request or an addition did, as far as it is not undone yet: how many
        events are back, or gone; NotFound for none.
        """
        added = isinstance(change, Come)
        numbers = change.numbers[self._there[change.numbers] == added]
        if not numbers.size:
            raise NotFound(f"undo: all of it is {'gone' if added else 'back'} already")
        self._taken_back[numbers] = added
        self._set(numbers, there=not added)
        return int(numbers.size)

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
        rows = self._all.item_ids.rows_of(session, "item")
        if (rows < 0).any():
            known_rows(self._all.item_ids.appended(), session, "item")
        scores = self.pending.continued(rows)
        best = np.lexsort((np.arange(scores.size), -scores))[:k]
        best = best[scores[best] > -np.inf]
        names = self._all.item_ids.ids_of(best).to_pylist()
        return list(zip(names, scores[best].tolist(), strict=True))

    def fold(self) -> None:
        """Of slist: put what requests left to be corrected into the inverse, and look at its drift,
        for when nobody is waiting. Requests do it themselves once a few rows have gathered. Of
        other kinds nothing.
        """
        if self.pending is not None:
            self.pending.fold(look=True)
            self._refreshed()

    def told(self) -> dict[str, float]:
        """Of slist, by name: ``rows_waiting`` of a correction that is not folded in; ``folds`` and
        ``fold_seconds`` (CPU) since corrections began anew; ``drift``, ‖P(Az) − z‖_∞ / ‖z‖_∞ of a
        random z when it was last looked at; ``refreshes`` of the inverse. Of other kinds nothing.
        """
        pending = self.pending
        if pending is None:
            return {}
        return {
            "rows_waiting": pending.rank,
            "folds": pending.folds,
            "fold_seconds": pending.fold_seconds,
            "drift": pending.drift,
            "refreshes": self.refreshes,
        }

    def remaining(self) -> Interactions:
        """The events as they are now."""
        whole = self._all.together()
        return whole.data.keep_events(self._there[whole.numbers])

    def publish(self) -> ExactModel:
        """The model as it is now: save it with ``save``. The session goes on."""
        settings = self.model.settings
        data, numbers = self._all.together()
        # before the remaining data are there, which are as large as these
        state = settings.merged(self.model.state, self._parts, data.shape)
        remaining = self.remaining()
        removed = data.keep_events(~self._there[numbers] & ~self._taken_back[numbers])
        removal = Removal(remaining, removed, pa.table({}), Selection.of(removed))
        if state is None and self._all.grown:
            state = settings.state(remaining, threads=self.threads)
        elif state is None:
            state = settings.without(
                self.model.state, Deletion(data, removal), threads=self.threads
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
        if self._all.grown and record:
            record = record.without(record.returned(removal.remaining))
        return erasing(record, removal) if removal.count else record

    def _check_like(self, data: Interactions) -> None:
        mine, theirs = self._all.base, data.events
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
        come, mine = data.events, self._all
        assert come is not None
        u = mine.user_ids.rows_of(data.users.ids_of(come.users))
        v = mine.item_ids.rows_of(data.items.ids_of(come.items))
        theirs = np.stack([v, *mine.moments(come)], axis=1)
        hit = np.zeros(len(come), bool)
        for row in np.unique(u[u >= 0]).tolist():
            numbers = mine.of_user(row)
            there = self._there[numbers]
            gone = numbers[~there & ~self._taken_back[numbers]]
            if not gone.size:
                continue
            lost = np.setdiff1d(mine.items[gone], mine.items[numbers[there]])
            rows = set(map(tuple, np.stack([mine.items[gone], *mine.moments(gone)], 1).tolist()))
            for at in np.flatnonzero(u == row).tolist():
                hit[at] = not there.any() or v[at] in lost or tuple(theirs[at].tolist()) in rows
        found = np.zeros(len(data), bool)
        found[data.locate(come.users, come.items.astype(np.int64))[hit]] = True
        refuse(data, found)

    def _set(self, numbers: Array, *, there: bool) -> None:
        rows = np.unique(self._all.users[numbers]).tolist()
        before = [] if self.pending is None else [self._of(row) for row in rows]
        self._there[numbers] = there
        self._moved(numbers, there=there)
        self.requests += 1
        for at, row in enumerate(rows):
            now = self._of(row)
            self._parts[row] = self.model.settings.part(now)
            if self.pending is not None:
                self.pending.change(before[at], now)
        if self.pending is not None and not self.pending.is_today(self._spanned):
            self._renew()
        self._refreshed()

    def _refreshed(self) -> None:
        """Make the inverse anew where it has lost digits."""
        if self.pending is not None and self.pending.spent:
            self.refreshes += 1
            self._renew()

    def _renew(self) -> None:
        """Begin a correction anew, of the state of what is there now."""
        settings = self.model.settings
        self.pending = settings.pending(settings.state(self.remaining(), threads=self.threads))

    def _spanned(self) -> Span:
        """Of the times of the events that are there; all are looked at only where the last ones
        went.
        """
        assert self._all.time is not None
        if self._span is None:
            self._span = span_of(self._all.time.all()[self._there.all()])
        return self._span

    def _moved(self, numbers: Array, *, there: bool) -> None:
        """Keep the span of times in mind."""
        if self._span is None or self._all.time is None:
            return
        newest, farthest = span_of(self._all.time[numbers])
        if there:
            self._span = Span(max(self._span.newest, newest), max(self._span.farthest, farthest))
        elif newest >= self._span.newest or farthest >= self._span.farthest:
            self._span = None

    def _of(self, row: int) -> Events:
        """What somebody has now."""
        return self._all.events_of(row, self._there)

    def _found(self, selection: Selection) -> tuple[Array, Array]:
        """(numbers of the events that a selection takes, which of its rows take any)."""
        whole = self._all
        if selection.groups is not None and whole.groups is None:
            raise InvalidInput(
                f"the events have no ids of {selection.group_name}s: name users and a window of "
                "time"
            )
        if selection.kind == "window":
            assert selection.window is not None
            assert whole.time is not None
            inside = np.flatnonzero(selection.window.mask(whole.time.all()))
            return inside[self._there[inside]], np.ones(0, bool)
        asked = {}
        if selection.users is not None:
            asked["users"] = whole.user_ids.rows_of(selection.users, "user_id")
        if selection.items is not None:
            asked["items"] = whole.item_ids.rows_of(selection.items, "item_id")
        if selection.groups is not None:
            assert whole.group_ids is not None
            asked["groups"] = whole.group_ids.rows_of(
                selection.groups, f"{selection.group_name}_id"
            )
        rows = np.stack(list(asked.values()), axis=1)
        matched, found = np.zeros(len(rows), bool), [np.empty(0, np.int64)]
        for at, wanted in enumerate(rows.tolist()):
            if min(wanted) < 0:
                continue
            numbers = whole.of(next(iter(asked)), wanted[0])
            mask = self._there[numbers]
            for name, value in zip(list(asked)[1:], wanted[1:], strict=True):
                mask &= whole.column(name)[numbers] == value
            if selection.at is not None and whole.time is not None:
                mask &= whole.time[numbers] == selection.at[at]
            if selection.window is not None:
                assert whole.time is not None
                mask &= selection.window.mask(whole.time[numbers])
            matched[at] = mask.any()
            found.append(numbers[mask])
        return np.unique(np.concatenate(found)), matched
