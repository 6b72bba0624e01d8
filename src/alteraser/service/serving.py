"""Lists from the version that is served, whichever that is at the moment of the question."""

from __future__ import annotations

import re
import threading
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import select

from alteraser.engines.store.version import Version
from alteraser.errors import InvalidInput, NotFound
from alteraser.ledger import schema, versions
from alteraser.service.state import State

INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
LONGEST = 1000
"""Items in a list"""


class Serving:
    """The served version in memory. A question is answered by one version as a whole, the pointer's
    at that moment.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._version = state.load_serving()

    def install(self, version: Version) -> None:
        """Serve ``version``, which the ledger's pointer names."""
        self._version = version

    def current(self) -> Version:
        """The version that the pointer names."""
        with self._state.database.reading() as connection:
            wanted = versions.serving(connection).version
        found = self._version
        if found.id == wanted:
            return found
        with self._lock:
            if self._version.id != wanted:
                self._version = self._state.load(wanted)
            return self._version

    def recommend(self, user: str, k: int, *, scores: bool = False) -> dict[str, Any]:
        """The best items for ``user``, without those they have; NotFound for who is not there, or
        no longer.
        """
        if not 1 <= k <= LONGEST:
            raise InvalidInput(f"k: expected 1 to {LONGEST}", code="k")
        version = self.current()
        model = version.model
        name: int | str | None = user
        if model.users.kind == "int64":
            name = int(user) if INTEGER.fullmatch(user) and -(2**63) <= int(user) < 2**63 else None
        row = -1 if name is None else int(model.users.rows_of(pa.array([name]))[0])
        if row < 0:
            raise NotFound("there is no such user", code="user")
        items, found = model.top_items(np.array([row]), k=k, seen=version.data)
        listed = items[0] >= 0
        names = model.items.ids_of(items[0][listed]).to_pylist()
        entries: list[dict[str, Any]] = [{"item_id": item} for item in names]
        if scores:
            for entry, score in zip(entries, found[0][listed], strict=True):
                entry["score"] = float(score)
        return {"user_id": name, "items": entries, "version": version.id}

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
