"""A backup made a state again, which serves nothing that was erased since, as far as anybody still
knows what that was.

A backup knows what was erased before it, and what was asked until then. Of the time after it a
newer ledger tells the requests that were open, and the tombstones of a newer version which
interactions are gone: both are done again before the state is there. Requests that were done in
between name nobody any more; without tombstones they have to be sent again, and are listed.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, select, update

from alteraser.data.erased import named_rows
from alteraser.data.files import atomic_directory, sha256_file
from alteraser.data.side.holding import HeldSources
from alteraser.data.side.parts import told
from alteraser.engines.store import archive
from alteraser.engines.store import version as on_disk
from alteraser.engines.store.folders import Folders
from alteraser.engines.store.tombstones import Tombstones
from alteraser.errors import Conflict, IntegrityError, NotFound, NumericFailure
from alteraser.ledger import ingests, log, requests, schema, states, versions
from alteraser.ledger.asked import IDS, Asked
from alteraser.ledger.database import Database
from alteraser.ledger.log import LEAVES, Log
from alteraser.service import erasing
from alteraser.service.state import State, added_rows, open_state
from alteraser.service.worker import Worker

SENDER = "restore"
"""Who asserts the requests that are sent because tombstones say so"""


WITHDRAWN = (states.CANCELLED, states.REJECTED)
"""States of requests that are not to be done"""


@dataclass
class Newer:
    """What is known of the time after a backup."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[dict[str, Any]] = field(default_factory=list)
    names: list[dict[str, Any]] = field(default_factory=list)
    """Rows of ``idempotency``"""
    first_version: str | None = None
    tombstones: Tombstones | None = None
    """Of everything that was erased; None: nobody knows"""
    receipts: int = 0


def restore(
    path: Path, root: Path, newer: Path | None = None, *, threads: int = 0
) -> dict[str, Any]:
    """Make the backup ``path`` the new state ``root``, whole or not at all; what was done.

    ``newer``: what is left of the state that was lost: its directory, its ledger, or the folder of
    its receipts' log. Raises OutputExists, NotFound, IntegrityError for a damaged backup or ledger,
    Conflict for those of another state.
    """
    with archive.checked(path) as file, atomic_directory(root) as folder:
        folder.chmod(0o700)
        head = archive.unpack(file, folder)
        for name in ("versions", "added", "log"):
            (folder / name).mkdir(exist_ok=True)
        state = open_state(folder)
        try:
            _check(state, head)
            known = Newer() if newer is None else read_newer(newer, folder.parent)
            told = _again(state, known, threads) if newer is not None else {}
            state.export_log(anew=True)
            state.database.truncate()
        finally:
            state.close()
    return {name: head[name] for name in ("at", "requests", "receipts")} | told


def _check(state: State, head: dict[str, Any]) -> None:
    """Every byte of every version, and that the parts are of one state; no lease is held any
    more.
    """
    if state.document["origin"] != head["origin"]:
        raise IntegrityError(
            "the backup's parts are of different states; take another one", code="backup"
        )
    state.database.examine()
    for name in sorted(path.name for path in state.folders.versions.iterdir()):
        state.load(name)
    with state.database.writing() as connection:
        added_rows(state, state.load_serving(), [row.file for row in ingests.waiting(connection)])
        connection.execute(update(schema.leases).values(until="- 0"))
    assert state.signer.public
    assert state.salt


# ------------------------------------------------------------------ what is known of the time after


def read_newer(path: Path, aside: Path) -> Newer:
    """What the directory, ledger or log at ``path`` tells; it is only read. ``aside``: a folder for
    a copy.
    """
    if not path.exists():
        raise NotFound(f"{path} does not exist. Check the path.", path=str(path))
    served = Folders(path).database_url if path.is_dir() else None
    if path.is_dir() and served is None and not (path / "ledger.sqlite").is_file():
        folder = path if (path / LEAVES).is_file() else path / "log"
        return Newer(receipts=len(Log(folder).leaves))
    with tempfile.TemporaryDirectory(prefix=".newer.tmp-", dir=aside) as name:
        copy = Path(name) / "ledger.sqlite"
        Database.copy_of(served or (path / "ledger.sqlite" if path.is_dir() else path), copy)
        database = Database.open(copy)
        try:
            database.examine()
            with database.reading() as connection:
                found = _rows_of(connection)
                serving = versions.serving(connection).version
        finally:
            database.close()
    found.tombstones = _tombstones(path / "versions" / serving) if path.is_dir() else None
    return found


def _rows_of(connection: Connection) -> Newer:
    def rows(table: Any) -> list[dict[str, Any]]:
        return [dict(row._mapping) for row in connection.execute(select(table))]

    first = connection.execute(
        select(schema.versions.c.id).where(schema.versions.c.number == 0)
    ).scalar_one()
    count = log.size(connection)
    about = schema.named.c.request == schema.requests.c.id
    found = select(schema.requests, schema.named.c.selection).outerjoin(schema.named, about)
    return Newer(
        [dict(row._mapping) for row in connection.execute(found)],
        rows(schema.keys),
        rows(schema.idempotency),
        first,
        None,
        count,
    )


def _tombstones(folder: Path) -> Tombstones | None:
    """Of a version of which perhaps not all is left; None where they are missing or damaged."""
    try:
        wanted = on_disk.read_document(folder)["files"][on_disk.TOMBSTONES]
        if sha256_file(folder / on_disk.TOMBSTONES) == wanted:
            return Tombstones.read(folder / on_disk.TOMBSTONES)
    except (NotFound, IntegrityError):
        pass
    return None


# ---------------------------------------------------------------------- done again


def _again(state: State, newer: Newer, threads: int) -> dict[str, Any]:
    with state.database.writing() as connection:
        had = log.size(connection)
        if newer.first_version is not None:
            _same_state(connection, newer.first_version)
        _take_keys(connection, newer.keys)
        taken, done = _take_over(connection, newer, state)
    erased = newer.tombstones or Tombstones()
    gone = _returned(state, erased)
    _send(state, gone)
    _work(state, threads)
    if _returned(state, erased):
        raise NumericFailure(
            "what was erased could not be erased again; nothing was restored", code="not_erased"
        )
    unknown = done if newer.tombstones is None else []
    return {
        "complete": newer.first_version is not None and not unknown,
        "requests_taken_over": taken,
        "interactions_erased_again": len(gone),
        "send_again": unknown,
        "receipts_after": max(newer.receipts - had, 0),
    }


def _take_over(connection: Connection, newer: Newer, state: State) -> tuple[int, list[str]]:
    """How many requests are open that the backup does not know, and which of those are done."""
    before = set(connection.execute(select(schema.requests.c.id)).scalars())
    unknown = [row for row in newer.requests if row["id"] not in before]
    opened = [row for row in unknown if row["state"] not in states.FINAL]
    there = before | {row["id"] for row in opened}
    opened += [
        row for row in unknown if row["state"] == states.DUPLICATE and row["points_to"] in there
    ]
    _follow(connection, [row for row in newer.requests if row["id"] in before], state)
    _take_requests(connection, opened, newer.names, state)
    taken = {row["id"] for row in opened}
    return len(opened), [
        row["id"] for row in unknown if row["id"] not in taken and row["state"] not in WITHDRAWN
    ]


def _work(state: State, threads: int) -> None:
    worker = Worker(state, threads=threads)
    worker.begin()
    while worker.once():
        pass
    worker.end()


def _same_state(connection: Connection, first: str) -> None:
    mine = connection.execute(
        select(schema.versions.c.id).where(schema.versions.c.number == 0)
    ).scalar_one()
    if mine != first:
        raise Conflict(
            "--ledger is of another state than the backup; give that of the same",
            code="other_state",
        )


def _take_keys(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Keys as they are in the newer ledger: one that was revoked since stays so, and so does one
    whose secret was replaced: the secrets of before are none any more.
    """
    connection.execute(schema.retired.delete())
    for row in rows:
        changed = connection.execute(
            update(schema.keys).where(schema.keys.c.id == row["id"]).values(**row)
        )
        if not changed.rowcount:
            connection.execute(schema.keys.insert().values(**row))


def _take_requests(
    connection: Connection, rows: list[dict[str, Any]], names: list[dict[str, Any]], state: State
) -> None:
    """Open requests that came after the backup, and those that repeat one, under their ids and with
    their times.
    """
    now = state.clock()
    for row in sorted(rows, key=lambda each: int(each["sequence"])):
        values = {
            name: value for name, value in row.items() if name not in ("sequence", "selection")
        }
        values |= {"batch": None, "version": None, "counts": None, "attempts": 0}
        if row["state"] not in (*states.WAITING, states.DUPLICATE):
            values["state"] = states.QUEUED
        connection.execute(schema.requests.insert().values(**values))
        if values["state"] not in states.FINAL:
            about = {"request": row["id"], "selection": row["selection"]}
            connection.execute(schema.named.insert().values(about))
        requests.tell(
            connection, values["state"], now, request=row["id"], detail={"restored": True}
        )
    taken = {row["id"] for row in rows}
    for name in names:
        if name["request"] in taken:
            connection.execute(schema.idempotency.insert().values(**name))


def _follow(connection: Connection, rows: list[dict[str, Any]], state: State) -> None:
    """Requests that wait in the backup, and were held, released, verified or withdrawn since; in
    their order.

    What was done since waits in the queue, and is done again. A repetition of what was withdrawn
    takes its place.
    """
    now = state.clock()
    for row in sorted(rows, key=lambda each: int(each["sequence"])):
        mine = requests.row_of(connection, row["id"])
        to = row["state"] if row["state"] in (*states.WAITING, *WITHDRAWN) else states.QUEUED
        if mine.state == to or not (
            mine.state in states.WAITING or (mine.state == states.DUPLICATE and to in WITHDRAWN)
        ):
            continue
        if mine.state == states.QUEUED:
            requests.succeed(connection, mine, now)
        values = {name: row[name] for name in ("verified", "reason", "due", "changed")}
        values |= {"points_to": None} if to in WITHDRAWN else {}
        connection.execute(
            update(schema.requests)
            .where(schema.requests.c.id == row["id"])
            .values(state=to, **values)
        )
        if to in WITHDRAWN:
            requests.forget(connection, [row["id"]])
        requests.tell(connection, to, now, request=row["id"], detail={"restored": True})


def _returned(state: State, tombstones: Tombstones) -> list[tuple[Any, ...]]:
    """(user, item) of interactions of the state, learned or not, that were erased; of events
    (user, item, group, time); of several sources what a part says.
    """
    version = state.load_serving()
    with state.database.reading() as connection:
        files = [row.file for row in ingests.waiting(connection)]
    whole = erasing.learned(version.held, added_rows(state, version, files))
    if isinstance(whole, HeldSources):
        gone = tombstones.parts(state.hashing, whole.given)
        return [name for _, _, name, _ in told(whole.given, gone)]
    back = tombstones.returned(state.hashing, whole)
    if whole.events is not None:
        return list(named_rows(whole.keep_rows(back)))
    at = np.flatnonzero(back)
    users = whole.users.ids_of(whole.user_rows[at]).to_pylist()
    return list(zip(users, whole.items.ids_of(whole.indices[at]).to_pylist(), strict=True))


def _send(state: State, pairs: list[tuple[Any, ...]]) -> None:
    kind: Any = "events" if pairs and len(pairs[0]) > 2 else "pairs"
    if pairs and isinstance(state.load_serving().held, HeldSources):
        kind = "parts"
    for start in range(0, len(pairs), IDS):
        names = set(pairs[start : start + IDS])
        wanted = Asked(kind, tuple(sorted(names, key=repr if kind == "parts" else None)))
        sender = requests.Sender(
            SENDER, f"{start} {state.clock().isoformat()}", wanted.document.encode()
        )
        with state.database.writing() as connection:
            requests.submit(connection, wanted, sender, secret=state.hashing, now=state.clock())
