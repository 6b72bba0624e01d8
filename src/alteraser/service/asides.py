"""What was asked to be forgotten and is still in the served version: nobody is shown it from the
moment the request is acknowledged, though the version without it comes seconds or weeks later.

Somebody who is to be forgotten has no list, as if they were gone; an item that is to be forgotten
is in nobody's list. Who asks for a part of their history to be forgotten has a list of the rest
(``remaining``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from alteraser.ledger import states
from alteraser.ledger.asked import GROUPS, Asked
from alteraser.ledger.schema import events, named, requests

OWED = frozenset({states.QUEUED, states.EXECUTING, states.SCRUBBED, states.CHECKED})
"""Verified, and not served yet"""
ENTITIES = ("user", "item")
AT_ONCE = 500
"""Requests that one statement names"""

# put together once: each list begins with them
_LAST = select(func.coalesce(func.max(events.c.sequence), 0))
_TOLD = (
    select(events.c.request, events.c.event)
    .where(events.c.sequence > bindparam("seen"), events.c.request.is_not(None))
    .order_by(events.c.sequence)
)
_WANTED = select(requests.c.id, named.c.selection).join(named, named.c.request == requests.c.id)
_NAMED = _WANTED.where(requests.c.id == bindparam("name"))


@dataclass(frozen=True)
class Aside:
    """What one request takes out of sight."""

    users: frozenset[Any] = frozenset()
    items: frozenset[Any] = frozenset()
    parts: Mapping[Any, Asked] = field(default_factory=dict)
    """Of whom something stays → what of theirs goes"""
    groups: Asked | None = None
    """Sessions or baskets, whosever they are, items of which a hold keeps pairs, or rows of a
    source"""


class Asides:
    """All of them, as of the ledger's event ``seen``. Its caller holds a lock."""

    def __init__(self) -> None:
        self.seen = -1
        self.users: Counter[Any] = Counter()
        self.items: Counter[Any] = Counter()
        self.parts: dict[Any, dict[str, Asked]] = {}
        """User → request → what of theirs goes by it"""
        self.groups: dict[str, Asked] = {}
        """Request → what goes whosever it is: sessions, baskets, items that stay with somebody"""
        self._of: dict[str, Aside] = {}

    def follow(self, connection: Connection) -> bool:
        """Take in what happened since; False where the snapshot is older than what is known
        already.
        """
        last = connection.execute(_LAST).scalar_one()
        if last < self.seen:
            return False
        if last > self.seen:
            owed, over = self._changed(connection)
            for name in over:
                self._put(name, None)
            for name, selection in owed:
                self._put(name, _aside(selection))
            self.seen = last
        return True

    def _changed(self, connection: Connection) -> tuple[list[tuple[str, str]], list[str]]:
        """(requests that are owed and were not, with what they name; requests that no longer
        are). What a batch does with those that are owed changes nothing here.
        """
        if self.seen < 0:
            found = connection.execute(_WANTED.where(requests.c.state.in_(sorted(OWED))))
            return [(row.id, row.selection) for row in found], []
        told = connection.execute(_TOLD, {"seen": self.seen})
        now = {row.request: row.event for row in told if row.event in states.STATES}
        names = [name for name, state in now.items() if state in OWED and name not in self._of]
        owed: list[tuple[str, str]] = []
        for start in range(0, len(names), AT_ONCE):
            part = names[start : start + AT_ONCE]
            if len(part) == 1:  # as most of them come
                found = connection.execute(_NAMED, {"name": part[0]})
            else:
                found = connection.execute(_WANTED.where(requests.c.id.in_(part)))
            owed += [(row.id, row.selection) for row in found]
        return owed, [name for name, state in now.items() if state not in OWED]

    def _put(self, name: str, aside: Aside | None) -> None:
        before = self._of.pop(name, None)
        if before == aside:
            if aside is not None:
                self._of[name] = aside
            return
        for mine, counter in (("users", self.users), ("items", self.items)):
            for each in getattr(before, mine, ()):
                counter[each] -= 1
                if not counter[each]:
                    del counter[each]
            counter.update(getattr(aside, mine, ()))
        self.groups.pop(name, None)
        for user in getattr(before, "parts", ()):
            del self.parts[user][name]
            if not self.parts[user]:
                del self.parts[user]
        if aside is not None:
            self._of[name] = aside
            if aside.groups is not None:
                self.groups[name] = aside.groups
            for user, part in aside.parts.items():
                self.parts.setdefault(user, {})[name] = part

    def parts_of(self, user: Any) -> tuple[Asked, ...]:
        """What of somebody goes who stays."""
        return tuple(self.parts.get(user, {}).values())


def _aside(selection: str) -> Aside:
    asked = Asked.read(selection)
    if asked.kind == "attributes":  # what is known of somebody is in no list
        return Aside()
    if asked.source is not None or asked.kind in ("entities", "parts"):
        return _of_sources(asked)
    if asked.kind == "items":  # of which a hold keeps pairs: it stays, with those who have these
        return Aside(groups=asked) if asked.kept else Aside(items=frozenset(asked.names))
    if asked.kind == "users" and not asked.kept:
        return Aside(users=frozenset(asked.names))
    if asked.kind in GROUPS:
        return Aside(groups=asked) if asked.user is None else Aside(parts={asked.user: asked})
    return Aside(parts=_parts(asked))


def _of_sources(asked: Asked) -> Aside:
    """Where the model learned from several sources: users and items who go everywhere; of all else
    it is looked up whose it is.
    """
    if asked.kind != "entities" or asked.kept:
        return Aside(groups=asked)
    whole = {
        table: frozenset(name for of, name in asked.names if of == table) for table in ENTITIES
    }
    rest = tuple(name for name in asked.names if name[0] not in ENTITIES)
    users, items = (whole[table] for table in ENTITIES)
    return Aside(users, items, groups=replace(asked, names=rest) if rest else None)


def _parts(asked: Asked) -> dict[Any, Asked]:
    """By user, what a request for pairs, windows or events names, without what a hold keeps."""
    kept: dict[Any, list[Any]] = {}
    for pair in asked.kept:
        kept.setdefault(pair[0], []).append(pair)
    mine: dict[Any, list[Any]] = {}
    for name in asked.names:
        mine.setdefault(name if asked.kind in ("users", "window") else name[0], []).append(name)
    return {
        user: replace(asked, names=tuple(names), kept=tuple(kept.get(user, ())))
        for user, names in mine.items()
    }
