"""Lists from the version that is served, whichever that is at the moment of the question."""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, select

from alteraser.engines.store.version import Version
from alteraser.errors import AltEraserError, InvalidInput, NotFound
from alteraser.ledger import batches, schema, versions
from alteraser.ledger.asked import Asked
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.protocol import Ranking
from alteraser.service.asides import Asides
from alteraser.service.remaining import list_of_remaining, whose
from alteraser.service.state import State

INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
LONGEST = 1000
"""Items in a list"""
KEPT = 10_000
"""Lists that are kept while their version is served"""
QUICK = 0.002
"""Seconds that a list may take which is made while all others wait"""
LOOK = 0.25
"""Seconds between two looks for a version that will be served"""


class _Served:
    """A version, what its lists are made with, and those that were asked for."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self.takes = np.inf
        """Seconds that the last list of somebody's whole history took"""
        self._forming = threading.Lock()
        self._ranking: Ranking | None = None
        self.list = lru_cache(KEPT)(self._list)
        self.whose = lru_cache(KEPT)(partial(whose, version))

    def _list(
        self, row: int, k: int, left: tuple[Asked, ...]
    ) -> tuple[list[Any], list[float], int]:
        """Items, their scores, and how many interactions of the version they are made without:
        what ``left`` name.
        """
        ranking, began = self.ranking, time.perf_counter()
        items, scores, without = list_of_remaining(self.version, row, left, k, ranking)
        if not left:
            self.takes = time.perf_counter() - began
        listed = items >= 0
        names = self.version.model.items.ids_of(items[listed]).to_pylist()
        return names, scores[listed].tolist(), without

    @property
    def ranking(self) -> Ranking:
        """What makes its lists, formed when the first is made."""
        if self._ranking is None:
            with self._forming:
                if self._ranking is None:
                    self._ranking = self.version.model.ranking(self.version.data)
        return self._ranking

    def warm(self) -> None:
        """Make a list, so that nobody who asks waits for what the first one has to do."""
        if self.version.model.users.size:
            for _ in range(2):  # the first one compiles what is not compiled yet
                self._list(int(self.version.model.users.rows[0]), 1, ())


@dataclass(frozen=True)
class LedgerLook:
    """At the ledger: the version that the pointer names, and what is not to be shown of it."""

    version: str
    gone: bool
    """Whether who is asked about is to be forgotten"""
    items: frozenset[Any]
    parts: tuple[Asked, ...] = ()
    """What of theirs is to be forgotten, of who stays"""
    groups: tuple[Asked, ...] = ()
    """What is to be forgotten whosever it is: sessions, baskets, items that a hold keeps of
    somebody"""


def _without(
    hidden: frozenset[Any], names: list[Any], scores: list[float], k: int
) -> tuple[list[Any], list[float]]:
    if not hidden:
        return names, scores
    left = [(name, score) for name, score in zip(names, scores, strict=True) if name not in hidden]
    return [name for name, _ in left[:k]], [score for _, score in left[:k]]


class Serving:
    """The served version in memory. A question is answered by one version as a whole, the pointer's
    at that moment.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._served = _Served(state.load_serving())
        self._next: _Served | None = None
        self._aside, self._asides = threading.Lock(), Asides()

    def warm(self) -> None:
        """Be ready for the first who asks."""
        self._served.warm()

    def install(self, version: Version) -> None:
        """Serve ``version``, which the ledger's pointer names."""
        self._served = _Served(version)

    def follow(self, ended: threading.Event) -> None:
        """Have the version that a batch made in memory before the pointer names it, so that nobody
        waits for its files; until ``ended``.
        """
        while not ended.wait(LOOK):
            with suppress(Exception):  # who asks is told, or it is there when somebody asks
                with self._state.database.reading() as connection:
                    made = batches.made(connection)
                    wanted = versions.serving(connection).version
                if made is not None:
                    self._ahead(made)
                self._of(wanted)

    def _ahead(self, name: str) -> None:
        there = {self._served.version.id, None if self._next is None else self._next.version.id}
        if name not in there:
            made = _Served(self._state.load(name))
            made.warm()
            self._next = made

    def current(self) -> Version:
        """The version that the pointer names."""
        with self._state.database.reading() as connection:
            return self._of(versions.serving(connection).version).version

    def _of(self, wanted: str) -> _Served:
        found = self._served
        if found.version.id == wanted:
            return found
        with self._lock:
            if self._served.version.id != wanted:
                ahead, self._next = self._next, None
                there = ahead is not None and ahead.version.id == wanted
                self._served = ahead if there and ahead else self._loaded(wanted)
            return self._served

    def _loaded(self, wanted: str) -> _Served:
        """``wanted``, or where that was followed by others and is gone by now, the one that is
        served.
        """
        while True:
            try:
                return _Served(self._state.load(wanted))
            except (AltEraserError, OSError):
                with self._state.database.reading() as connection:
                    now = versions.serving(connection).version
                if now == wanted:
                    raise
                wanted = now

    def look(self, connection: Connection, user: str | None) -> LedgerLook | None:
        """What an answer about ``user``, or about nobody, goes by; None where a newer snapshot than
        this was seen.
        """
        with self._aside:
            if not self._asides.follow(connection):
                return None
            name = None if user is None else self._named(user)
            asides, version = self._asides, versions.serving(connection).version
            return LedgerLook(
                version,
                name in asides.users,
                frozenset(asides.items),
                asides.parts_of(name),
                tuple(asides.groups.values()),
            )

    def quick(self, look: LedgerLook | None) -> bool:
        """Whether a list after this look takes less than handing it to a thread."""
        if look is None or look.parts or look.groups:
            return False
        return look.version == self._served.version.id and self._served.takes < QUICK

    def _named(self, user: str) -> int | str | None:
        if self._served.version.model.users.kind != "int64":
            return user
        return int(user) if INTEGER.fullmatch(user) and -(2**63) <= int(user) < 2**63 else None

    def recommend(
        self, user: str, k: int, *, scores: bool = False, look: LedgerLook | None = None
    ) -> dict[str, Any]:
        """The best items for ``user``, without those they have, and those that are to be forgotten;
        NotFound for who is not there, or no longer, or is to be forgotten. ``look``: at the ledger,
        where that was taken.

        ``set_aside``: how many interactions of theirs, which the version still has, the list is
        made without, since they are to be forgotten; left out where there are none.
        """
        if not 1 <= k <= LONGEST:
            raise InvalidInput(f"k: expected 1 to {LONGEST}", code="k")
        while look is None:
            with self._state.database.reading() as connection:
                look = self.look(connection, user)
        served, name = self._of(look.version), None if look.gone else self._named(user)
        version, model = served.version, served.version.model
        row = -1 if name is None else int(model.users.rows_of(pa.array([name]))[0])
        if row < 0:
            raise NotFound("there is no such user", code="user")
        left = look.parts + tuple(each for each in look.groups if row in served.whose(each))
        names, found, without = served.list(row, k + len(look.items), left)
        names, found = _without(look.items, names, found, k)
        entries: list[dict[str, Any]] = [{"item_id": item} for item in names]
        if scores:
            for entry, score in zip(entries, found, strict=True):
                entry["score"] = score
        shown = {"user_id": name, "items": entries, "version": version.id}
        return shown | {"set_aside": without} if without else shown

    def of_segment(
        self, segment: str, k: int, *, scores: bool = False, look: LedgerLook | None = None
    ) -> dict[str, Any]:
        """The best items for whoever is of ``segment``, without those that are to be forgotten;
        NotFound for one that is not there, InvalidInput where nothing is counted by segment.
        """
        if not 1 <= k <= LONGEST:
            raise InvalidInput(f"k: expected 1 to {LONGEST}", code="k")
        while look is None:
            with self._state.database.reading() as connection:
                look = self.look(connection, None)
        version = self._of(look.version).version
        if not isinstance(version.model, ExactModel) or version.data.segments is None:
            raise InvalidInput("the model here is not counted by segment", code="segment")
        try:
            lists = version.model.of_segments([segment], k=k + len(look.items))
        except NotFound:
            raise NotFound("there is no such segment", code="segment") from None
        entries = [each for each in lists[0]["items"] if each["item_id"] not in look.items][:k]
        if not scores:
            entries = [{"item_id": each["item_id"]} for each in entries]
        return {"segment": segment, "items": entries, "version": version.id}

    def changes(self, since: str) -> dict[str, Any]:
        """Whose list differs between ``since`` and the served version, and which rows moved;
        ``all``: not known, take it to be all. The answer's ``version`` is the next ``since``.
        """
        version = self.current()
        found, back = version.content.changes, self._back(version.id, since)
        everything = {"all": True, "users": [], "items": []}
        answer = {"since": since, "version": version.id, "all": True, "users": [], "rows": None}
        if back == 0:
            rows = {**everything, "all": False} if found and found.rows is not None else None
            return answer | {"all": False, "rows": rows}
        if found is None or back is None or back > found.depth:
            return answer | {"rows": everything if found and found.rows is not None else None}
        users, moved = found.users(found.depth - back), found.moved(found.depth - back)
        if users is not None:
            answer |= {"all": False, "users": users.to_pylist()}
        if moved is not None:
            named = dict(zip(("users", "items"), (each.to_pylist() for each in moved), strict=True))
            return answer | {"rows": {"all": False, **named}}
        return answer | {"rows": None if found.rows is None else everything}

    def _back(self, version: str, since: str) -> int | None:
        """How many versions before ``version`` the one called ``since`` is; None: it is none of
        them.
        """
        with self._state.database.reading() as connection:
            found = connection.execute(select(schema.versions.c.id, schema.versions.c.parent))
            parents = {row.id: row.parent for row in found}
        steps, at = 0, version
        while at != since:
            parent = parents.get(at)
            if parent is None:
                return None
            steps, at = steps + 1, parent
        return steps
