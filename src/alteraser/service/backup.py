"""A consistent copy of a state as one file, while the service goes on.

The ledger is copied first, by the database's own means; the copy says which versions and files
belong to it. Where one of them is gone when its turn comes, because the service published
meanwhile, all begins anew. Versions below the erasure floor are left out: they hold what was
erased.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

import alteraser
from alteraser.data.files import atomic_write
from alteraser.engines.store import archive
from alteraser.engines.store import version as on_disk
from alteraser.engines.store.folders import Folders
from alteraser.errors import Conflict, IntegrityError, NotFound
from alteraser.ledger import batches, ingests, versions
from alteraser.ledger.database import Database
from alteraser.ledger.due import written
from alteraser.ledger.schema import events, receipts, requests
from alteraser.service.place import place_of
from alteraser.service.state import utc_now

TRIES = 10
"""Times that a backup is begun, where the service publishes faster than files are read"""


@dataclass(frozen=True)
class _Needed:
    """What belongs to a copy of the ledger."""

    versions: list[str]
    files: list[str]
    head: dict[str, Any]


def backup(root: Path, out: Path) -> dict[str, Any]:
    """Write the state in ``root`` to the new file ``out``, mode 0600, whole or not at all; what it
    holds.

    Raises OutputExists, NotFound, IntegrityError for a state that is damaged, Conflict where it
    never held still.
    """
    folders = Folders(root)
    origin = folders.document()["origin"]
    with atomic_write(out) as file:
        os.fchmod(file.fileno(), 0o600)
        for _ in range(TRIES):
            with tempfile.TemporaryDirectory(
                prefix=f".{out.name[:40]}.tmp-", dir=out.parent
            ) as aside:
                needed = _ledger(folders, Path(aside) / "ledger.sqlite", origin)
                try:
                    _write(
                        archive.ArchiveWriter(file), folders, Path(aside) / "ledger.sqlite", needed
                    )
                except (
                    NotFound,
                    FileNotFoundError,
                ):  # published, and destroyed, since the ledger was copied
                    if (
                        _ledger(folders, Path(aside) / "again.sqlite", origin).head["event"]
                        == needed.head["event"]
                    ):
                        raise IntegrityError(
                            f"{root}: a file of the state is missing; restore it"
                        ) from None
                    file.seek(0)
                    file.truncate()
                    continue
            return needed.head
        raise Conflict(
            f"{root}: the service published during each of {TRIES} tries; try again", code="busy"
        )


def _ledger(folders: Folders, target: Path, origin: str) -> _Needed:
    if folders.database_url is None and not folders.ledger.is_file():
        Database.open(folders.ledger)  # says what is missing
    Database.copy_of(place_of(folders), target)
    database = Database.open(target)
    try:
        database.examine()
        with database.reading() as connection:
            return _needed(connection, origin)
    finally:
        database.truncate()
        database.close()


def _needed(connection: Connection, origin: str) -> _Needed:
    pointer, made = versions.serving(connection), batches.made(connection)
    found = [
        each["version"]
        for each in versions.listed(connection)
        if each["destroyed"] is None and (each["floor"] >= pointer.floor or each["serving"])
    ]
    if made is not None:
        found.append(made)
    last = select(func.coalesce(func.max(events.c.sequence), 0))
    head = {
        "format": archive.FORMAT,
        "alteraser": alteraser.__version__,
        "at": written(utc_now()),
        "origin": origin,
        "serving": pointer.version,
        "event": connection.execute(last).scalar_one(),
        "requests": connection.execute(select(func.count()).select_from(requests)).scalar_one(),
        "receipts": connection.execute(select(func.count()).select_from(receipts)).scalar_one(),
        "versions": len(set(found)),
    }
    return _Needed(sorted(set(found)), sorted(ingests.files_kept(connection)), head)


def _write(writer: archive.ArchiveWriter, folders: Folders, ledger: Path, needed: _Needed) -> None:
    head = json.dumps(needed.head, sort_keys=True, indent=1).encode() + b"\n"
    writer.add_bytes(archive.HEAD, head)
    writer.add("ledger.sqlite", ledger)
    for path in (folders.document_path, *sorted((folders.root / "secrets").glob("*.key"))):
        writer.add(path.relative_to(folders.root).as_posix(), path)
    if folders.admin_key.is_file():
        writer.add("admin.key", folders.admin_key)
    for name in needed.versions:
        for part, digest in _files(folders.versions / name):
            writer.add(f"versions/{name}/{part}", folders.versions / name / part, digest)
    for name in needed.files:
        writer.add(f"added/{name}", folders.added / name)
    writer.end()


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    yield on_disk.DOCUMENT, folder.name
    yield from on_disk.read_document(folder)["files"].items()
