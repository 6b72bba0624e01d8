"""What differs between the databases that a ledger may lie in: how a connection begins, what makes
one writer wait for another, and what their errors mean.

SQLite: a file in WAL mode with ``synchronous=FULL`` (a transaction that was acknowledged survives a
power cut), STRICT tables, ``secure_delete`` (what is deleted is overwritten). PostgreSQL: a server;
readers see one snapshot, and writers take turns by an advisory lock, as they do in SQLite, so that
what a transaction has read is still so when it ends.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, OperationalError, ProgrammingError

from alteraser.errors import (
    AltEraserError,
    DependencyMissing,
    IntegrityError,
    InvalidInput,
    ResourceLimit,
)
from alteraser.ledger import schema
from alteraser.runtime.extras import require

BUSY = 10.0
"""Seconds to wait for a transaction of another process"""

LOOK = 0.002
"""Seconds between two looks whether it has ended"""
READERS = 40
"""Connections that are kept open: as many as threads that answer"""

PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "trusted_schema=OFF",
    "wal_autocheckpoint=16384",
)
"""The log file is emptied aside (``tidied``), not by whoever happens to write its 1,000th page, but
for one of 64 MiB
"""
LONG = 4096
"""Pages of the log file from which on it is begun anew, and not only copied"""
SOON = 128 * 2**20
"""Bytes of a file that is checked whole before it is used; a larger one while it is"""
DISK = {
    sqlite3.SQLITE_IOERR: errno.EIO,  # whatever the system said of it
    sqlite3.SQLITE_CANTOPEN: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
}
"""SQLite's errors that are the disk's, and the system's for each"""
TURN = 7_305_118_246
"""The advisory lock of those who write, in PostgreSQL"""


class Kind(Protocol):
    """One sort of database."""

    name: str
    """As messages call it, without a password"""

    def engine(self) -> Engine:
        """Connections to it; of those with the option ``writing`` one at a time is in a
        transaction.
        """

    def check(self, connection: Connection) -> None:
        """IntegrityError for what is damaged; all of it is looked at."""

    @property
    def soon_checked(self) -> bool:
        """Whether ``check`` takes no time to speak of."""

    def translated(self, error: DBAPIError) -> AltEraserError | OSError | None:
        """What ``error`` means to who uses the ledger; OSError: the disk does not keep what it is
        given; None: a fault of ours.
        """

    def emptied(self, engine: Engine) -> bool:
        """Have what was deleted leave the disk; False where a reader stands in the way."""

    def tidied(self, engine: Engine) -> None:
        """Do what the database would else do in the middle of a transaction."""

    def upgraded(self, engine: Engine) -> None:
        """Have what an upgrade moved leave the place where it was."""


def kind_of(place: Path | str) -> Kind:
    """Of a file, or of a URL; InvalidInput for a URL of another database, DependencyMissing."""
    return SQLite(place) if isinstance(place, Path) else PostgreSQL(place)


class SQLite:
    """A file."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)

    def engine(self) -> Engine:
        """See ``Kind``."""
        engine = create_engine(
            f"sqlite:///{self.path}",
            pool_size=READERS,
            max_overflow=READERS,
            pool_use_lifo=True,
            connect_args={"timeout": BUSY, "check_same_thread": False},
        )

        @event.listens_for(engine, "connect")
        def _connected(connection: Any, record: Any) -> None:
            connection.isolation_level = None  # transactions are begun below, and by nobody else
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begun(connection: Connection) -> None:
            if connection.get_execution_options().get("writing"):
                _begin_writing(connection)
            else:
                connection.exec_driver_sql("BEGIN")

        return engine

    def check(self, connection: Connection) -> None:
        """See ``Kind``."""
        verdict = connection.execute(text("PRAGMA quick_check")).scalar_one()
        if verdict != "ok":
            raise _damaged(self.name, verdict)

    @property
    def soon_checked(self) -> bool:
        """See ``Kind``."""
        return self.path.stat().st_size <= SOON

    def translated(self, error: DBAPIError) -> AltEraserError | OSError | None:
        """See ``Kind``."""
        number = getattr(error.orig, "sqlite_errorcode", None)
        kind = sqlite3.SQLITE_OK if number is None else number & 0xFF  # its class, which is enough
        if kind == sqlite3.SQLITE_FULL:
            return _full(self.name)
        if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return _busy(self.name)
        if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return damaged(self.name, error)
        if (number := DISK.get(kind)) is not None:
            return OSError(number, os.strerror(number), self.name)
        return None

    def emptied(self, engine: Engine) -> bool:
        """See ``Kind``: the log file's content moves into the database, and it is empty. Most of it
        moves while others write; for the rest it is tried until nobody is in the way, since SQLite
        itself would keep writers out as long as it waits for readers.
        """
        until = time.monotonic() + BUSY
        with engine.connect() as connection:
            connection.execute(text("PRAGMA busy_timeout=0"))
            try:
                while True:
                    connection.execute(text("PRAGMA wal_checkpoint(PASSIVE)"))
                    busy = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0]
                    if not busy or time.monotonic() > until:
                        return not busy
                    time.sleep(LOOK)
            finally:
                connection.execute(text(f"PRAGMA busy_timeout={int(1000 * BUSY)}"))

    def tidied(self, engine: Engine) -> None:
        """See ``Kind``: what the log file has is copied into the database; nobody waits for it."""
        with engine.connect() as connection:
            _, pages, copied = connection.execute(text("PRAGMA wal_checkpoint(PASSIVE)")).one()
            if pages > LONG and pages - copied < LONG // 16:
                connection.execute(text("PRAGMA busy_timeout=0"))  # or at another time
                connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
                connection.execute(text(f"PRAGMA busy_timeout={int(1000 * BUSY)}"))

    def upgraded(self, engine: Engine) -> None:
        """See ``Kind``: it is overwritten where it was; the log file may have it."""
        self.emptied(engine)


def _begin_writing(connection: Connection) -> None:
    """Take the turn of who writes as soon as it is free: SQLite itself looks less and less often
    for it, up to a tenth of a second too late.
    """
    until = time.monotonic() + BUSY
    connection.exec_driver_sql("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                return
            except OperationalError as error:
                if "locked" not in str(error.orig) or time.monotonic() > until:
                    raise
                time.sleep(LOOK)
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={int(1000 * BUSY)}")


class PostgreSQL:
    """A server's database, or one of its schemas where the URL names it as ``search_path``."""

    def __init__(self, url: str) -> None:
        self._url = _postgresql(url)
        self.name = self._url.render_as_string(hide_password=True)

    def engine(self) -> Engine:
        """See ``Kind``."""
        require("psycopg", "postgresql", "a ledger in PostgreSQL")
        engine = create_engine(
            self._url,
            pool_pre_ping=True,
            pool_size=READERS,
            max_overflow=READERS,
            connect_args={"connect_timeout": int(BUSY), "application_name": "alteraser"},
        )

        @event.listens_for(engine, "connect")
        def _connected(connection: Any, record: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = {int(BUSY * 1000)}")
                cursor.execute("SET synchronous_commit = on")
            connection.commit()

        @event.listens_for(engine, "begin")
        def _begun(connection: Connection) -> None:
            if connection.get_execution_options().get("writing"):
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({TURN})")
            else:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")

        return engine

    def check(self, connection: Connection) -> None:
        """See ``Kind``: what the server does not say itself, it does not know."""

    @property
    def soon_checked(self) -> bool:
        """See ``Kind``."""
        return True

    def translated(self, error: DBAPIError) -> AltEraserError | None:
        """See ``Kind``. A statement that the server did not answer may have been done or not: it is
        sent again.
        """
        state = getattr(error.orig, "sqlstate", None) or ""
        if isinstance(error, ProgrammingError) and state == "42P01":
            return IntegrityError(
                f"{self.name} has no ledger; name the database that the state was made with",
                code="ledger_missing",
            )
        if state == "53100":
            return _full(self.name)
        if state in ("XX001", "XX002"):
            return damaged(self.name, error)
        if state == "55P03":
            return _busy(self.name)
        if isinstance(error, DataError):
            return InvalidInput("a text holds a character that cannot be there", code="encoding")
        if isinstance(error, OperationalError) or error.connection_invalidated:
            return DependencyMissing(
                f"{self.name} cannot be reached; nothing that was acknowledged is lost, try again",
                code="database",
            )
        return None

    def emptied(self, engine: Engine) -> bool:
        """See ``Kind``: the table that names people is written anew, since a page keeps the bytes
        of a row that has gone. It is as long as what waits is, however many requests there were.
        The server's log keeps them as long as it is told to.
        """
        self._anew(engine, schema.named.name)
        return True

    def upgraded(self, engine: Engine) -> None:
        """See ``Kind``: requests held what they are about, up to schema 4."""
        self._anew(engine, schema.requests.name)

    def _anew(self, engine: Engine, table: str) -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"VACUUM FULL {table}"))

    def tidied(self, engine: Engine) -> None:
        """See ``Kind``: the server does it by itself."""


def _postgresql(url: str) -> URL:
    try:
        found = make_url(url)
    except ArgumentError:
        found = None
    if found is None or found.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise InvalidInput(
            "--database: expected a URL of PostgreSQL, such as "
            "postgresql://alteraser:PASSWORD@host/alteraser",
            code="database",
        )
    return found.set(drivername="postgresql+psycopg")


def _damaged(name: str, words: object) -> IntegrityError:
    return IntegrityError(f"{name} is damaged ({words}): restore it from a backup", code="ledger")


def damaged(name: str, error: DBAPIError) -> IntegrityError:
    """Of a database that cannot be read."""
    return _damaged(name, error.orig)


def _full(name: str) -> ResourceLimit:
    return ResourceLimit(f"{name}: the disk or quota is full; make room, nothing was lost")


def _busy(name: str) -> DependencyMissing:
    return DependencyMissing(
        f"{name}: another process holds the ledger for too long; try again", code="busy"
    )
