"""Where the ledger of a state lies: a file beside its versions, or a database that a URL names.

A state begins with a file. Given a URL it moves: all rows go into the empty database in one
transaction, then the URL is kept in ``secrets/database.url``, then the file goes. Killed in
between, it moves again, or the file is still the ledger.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, func, select

from alteraser.engines.store.folders import Folders
from alteraser.errors import Conflict, IntegrityError
from alteraser.ledger import schema
from alteraser.ledger.database import Database


def place_of(folders: Folders) -> Path | str:
    """The file or the URL."""
    return folders.database_url or folders.ledger


def open_ledger(folders: Folders) -> Database:
    """The ledger of a state; IntegrityError where it is missing, damaged or another's,
    DependencyMissing where its server cannot be reached.
    """
    database = Database.open(place_of(folders))
    if folders.database_url is not None:
        try:
            with database.reading() as connection:
                _same(connection, folders, database.name)
        except BaseException:
            database.close()
            raise
    return database


def move(root: Path, url: str) -> None:
    """Have the ledger of the state ``root`` lie in the database ``url``, from now on; nothing where
    it does already.

    Raises Conflict where that holds another state's ledger, or a newer one of this.
    """
    folders = Folders(root)
    if folders.database_url == url:
        return
    if folders.database_url is not None:  # the same database under another name, or password
        found = Database.open(url)
        try:
            with found.reading() as connection:
                _same(connection, folders, found.name)
        finally:
            found.close()
    else:
        lock = folders.lock()  # nobody takes requests in meanwhile
        try:
            _moved(folders, url)
        finally:
            lock.close()
    folders.keep_database_url(url)
    for path in sorted(root.glob(f"{folders.ledger.name}*")):
        path.unlink()


def _moved(folders: Folders, url: str) -> None:
    source, target = Database.open(folders.ledger), Database(url)
    try:
        source.examine()
        with source.reading() as rows:
            if not target.empty:
                with target.reading() as connection:
                    _same(connection, folders, target.name)
                    if _last(connection) == _last(rows):
                        return
                raise Conflict(
                    f"{target.name} holds another ledger of this state than "
                    f"{folders.ledger}; name an empty database, or restore a backup",
                    code="other_state",
                )
            with target.writing() as connection:
                schema.copy(rows, connection)
                connection.execute(schema.meta.delete().where(schema.meta.c.name == "origin"))
                origin = folders.document()["origin"]
                connection.execute(schema.meta.insert().values(name="origin", value=origin))
    finally:
        source.close()
        target.close()


def _same(connection: Connection, folders: Folders, name: str) -> None:
    if schema.origin(connection) != folders.document()["origin"]:
        raise IntegrityError(
            f"{name} holds the ledger of another state than {folders.root}; name its own, or an "
            "empty database for a new one",
            code="other_state",
        )


def _last(connection: Connection) -> int:
    last = select(func.coalesce(func.max(schema.events.c.sequence), 0))
    return int(connection.execute(last).scalar_one())
