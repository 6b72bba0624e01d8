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

PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "trusted_schema=OFF",
)
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
        """IntegrityError for what is damaged."""

    def translated(self, error: DBAPIError) -> AltEraserError | OSError | None:
        """What ``error`` means to who uses the ledger; OSError: the disk does not keep what it is
        given; None: a fault of ours.
        """

    def emptied(self, engine: Engine) -> bool:
        """Have what was deleted leave the disk; False where a reader stands in the way."""


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
            f"sqlite:///{self.path}", connect_args={"timeout": BUSY, "check_same_thread": False}
        )

        @event.listens_for(engine, "connect")
        def _connected(connection: Any, record: Any) -> None:
            connection.isolation_level = None  # transactions are begun below, and by nobody else
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begun(connection: Connection) -> None:
            writing = connection.get_execution_options().get("writing")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

        return engine

    def check(self, connection: Connection) -> None:
        """See ``Kind``."""
        verdict = connection.execute(text("PRAGMA quick_check")).scalar_one()
        if verdict != "ok":
            raise _damaged(self.name, verdict)

    def translated(self, error: DBAPIError) -> AltEraserError | OSError | None:
        """See ``Kind``."""
        words = str(error.orig)
        if not isinstance(error, OperationalError):
            return None
        if "full" in words:
            return _full(self.name)
        if "locked" in words or "busy" in words:
            return _busy(self.name)
        if "I/O error" in words:  # a write or a sync that failed, whatever the system said of it
            return OSError(errno.EIO, os.strerror(errno.EIO), self.name)
        return None

    def emptied(self, engine: Engine) -> bool:
        """See ``Kind``: the log file's content moves into the database, and it is empty."""
        with engine.connect() as connection:
            busy = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0]
            return not busy


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
            pool_size=20,
            max_overflow=40,
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
        of a row that has gone. The server's log keeps them as long as it is told to.
        """
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"VACUUM FULL {schema.requests.name}"))
        return True


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
