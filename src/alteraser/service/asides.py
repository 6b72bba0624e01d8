"""What was asked to be forgotten and is still in the served version: nobody is shown it from the
moment the request is acknowledged, though the version without it comes seconds or weeks later.

Somebody who is to be forgotten has no list, as if they were gone; an item that is to be forgotten
is in nobody's list. Pairs and windows change with the next version alone: what is left of a history
has a list of its own, which the model has to be made for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from alteraser.ledger import states
from alteraser.ledger.asked import Asked
from alteraser.ledger.schema import events, requests

OWED = frozenset({states.QUEUED, states.EXECUTING, states.SCRUBBED, states.CHECKED})
"""Verified, and not served yet"""
AT_ONCE = 500
"""Requests that one statement names"""


@dataclass(frozen=True)
class Aside:
    """What one request takes out of sight."""

    users: frozenset[Any] = frozenset()
    items: frozenset[Any] = frozenset()


class Asides:
    """All of them, as of the ledger's event ``seen``. Its caller holds a lock."""

    def __init__(self) -> None:
        self.seen = -1
        self.users: Counter[Any] = Counter()
        self.items: Counter[Any] = Counter()
        self._of: dict[str, Aside] = {}

    def follow(self, connection: Connection) -> bool:
        """Take in what happened since; False where the snapshot is older than what is known
        already.
        """
        last = connection.execute(
            select(func.coalesce(func.max(events.c.sequence), 0))
        ).scalar_one()
        if last < self.seen:
            return False
        if last > self.seen:
            for name, state, selection in self._changed(connection):
                self._put(name, _aside(selection) if state in OWED else None)
            self.seen = last
        return True

    def _changed(self, connection: Connection) -> list[tuple[str, str, str | None]]:
        wanted = select(requests.c.id, requests.c.state, requests.c.selection)
        if self.seen < 0:
            found = connection.execute(wanted.where(requests.c.state.in_(sorted(OWED))))
            return [(row.id, row.state, row.selection) for row in found]
        names = (
            connection.execute(
                select(events.c.request)
                .where(events.c.sequence > self.seen, events.c.request.is_not(None))
                .distinct()
            )
            .scalars()
            .all()
        )
        rows: list[tuple[str, str, str | None]] = []
        for start in range(0, len(names), AT_ONCE):
            part = wanted.where(requests.c.id.in_(names[start : start + AT_ONCE]))
            rows += [(row.id, row.state, row.selection) for row in connection.execute(part)]
        return rows

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
        if aside is not None:
            self._of[name] = aside


def _aside(selection: str | None) -> Aside:
    if selection is None:
        return Aside()
    asked = Asked.read(selection)
    if asked.kept:  # something of them stays, and is served
        return Aside()
    if asked.kind == "users":
        return Aside(users=frozenset(asked.names))
    return Aside(items=frozenset(asked.names)) if asked.kind == "items" else Aside()
