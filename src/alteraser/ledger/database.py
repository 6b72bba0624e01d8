"""The database that the ledger lies in: transactions that are durable when they end, or had no
effect.

SQLite in WAL mode with ``synchronous=FULL`` (a transaction that was acknowledged survives a power
cut), STRICT tables, ``secure_delete`` (what is deleted is overwritten). Statements are
SQLAlchemy's, none is put together from text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError, OperationalError

from alteraser.data.files import writing_errors
from alteraser.errors import AltEraserError, DependencyMissing, IntegrityError, ResourceLimit
from alteraser.ledger import schema
from alteraser.runtime.durable import point

BUSY = 10.0
"""Seconds to wait for a transaction of another process"""

PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "trusted_schema=OFF",
)


MOST = 64
"""Of those who share a transaction"""

T = TypeVar("T")


class _Waiting:
    """Somebody's part of a shared transaction."""

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self.work, self.done = work, False
        self.error: BaseException | None = None
        self.answer: Any = None


class Database:
    """A ledger's database, open; see ``create`` and ``open``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock, self._turn, self._queue_lock = (
            threading.Lock(),
            threading.Lock(),
            threading.Lock(),
        )
        self._queue: list[_Waiting] = []
        self.engine = _engine(path)

    @classmethod
    def create(cls, path: Path) -> Database:
        """A new one with empty tables. The folder is there."""
        found = cls(path)
        with found.writing() as connection:
            schema.create(connection)
        path.chmod(0o600)
        return found

    @classmethod
    def open(cls, path: Path) -> Database:
        """One that is there; IntegrityError for a damaged or newer one."""
        if not path.is_file():
            raise IntegrityError(
                f"{path} is missing: without its ledger nobody can tell what was erased. Restore "
                "it from a backup (alteraser restore); a fresh one is never made beside models "
                "that are there",
                code="ledger_missing",
            )
        found = cls(path)
        try:
            with found.reading() as connection:
                verdict = connection.execute(text("PRAGMA quick_check")).scalar_one()
                if verdict != "ok":
                    raise IntegrityError(
                        f"{path} is damaged ({verdict}): restore it from a backup", code="ledger"
                    )
                schema.check(connection)
        except DatabaseError as cause:
            raise IntegrityError(
                f"{path} is damaged ({cause.orig}): restore it from a backup", code="ledger"
            ) from cause
        return found

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A snapshot."""
        with _translated(self.path), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable when the block has ended, or had no effect."""
        with self._lock, _translated(self.path), self.engine.connect() as connection:
            connection.execution_options(writing=True)
            with connection.begin():
                yield connection
                point("commit", self.path)

    def together(self, work: Callable[[Connection], T]) -> T:
        """``work`` in a transaction that others, who come while one is being made durable, share;
        what it returns.

        Each has its own savepoint: one that raises leaves no trace, and the others theirs. Nobody
        has an answer before the transaction is durable, and all fail where it is not.
        """
        mine = _Waiting(work)
        with self._queue_lock:
            self._queue.append(mine)
        with self._turn:
            while not mine.done:
                with self._queue_lock:
                    found, self._queue = self._queue[:MOST], self._queue[MOST:]
                self._do(found)
        if mine.error is not None:
            raise mine.error
        return cast(T, mine.answer)

    def _do(self, found: list[_Waiting]) -> None:
        try:
            with self.writing() as connection:
                for each in found:
                    try:
                        with connection.begin_nested():
                            each.answer = each.work(connection)
                    except AltEraserError as error:
                        each.error = error
        except BaseException as error:
            for each in found:
                each.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            for each in found:
                each.done = True

    def truncate(self) -> bool:
        """Move what the log file holds into the database, and empty it; False where a reader stands
        in the way.
        """
        with self._lock, self.engine.connect() as connection:
            busy = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0]
            return not busy

    @staticmethod
    def copy_of(path: Path, target: Path) -> None:
        """A consistent copy of the database ``path`` as the new file ``target``, by the database's
        own means: writers need not stop. Raises IntegrityError for one that cannot be read,
        ResourceLimit for a full disk.
        """
        import sqlite3

        with _translated(target):
            point("write", target)
            target.touch(mode=0o600, exist_ok=False)
            source, copy = sqlite3.connect(path), sqlite3.connect(target)
            try:
                source.backup(copy)
            except sqlite3.DatabaseError as cause:
                if "full" in str(cause):
                    raise ResourceLimit(
                        f"{target}: the disk or quota is full; make room, and run again"
                    ) from cause
                raise IntegrityError(
                    f"{path} is damaged ({cause}): take a backup of it", code="ledger"
                ) from cause
            finally:
                source.close()
                copy.close()

    def close(self) -> None:
        """End all connections."""
        self.engine.dispose()


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}", connect_args={"timeout": BUSY, "check_same_thread": False}
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


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        with writing_errors(path):
            yield
    except OperationalError as cause:
        words = str(cause.orig)
        if "full" in words:
            raise ResourceLimit(
                f"{path}: the disk or quota is full; make room, nothing was lost"
            ) from cause
        if "locked" in words or "busy" in words:
            raise DependencyMissing(
                f"{path}: another process holds the ledger for too long; try again"
            ) from cause
        raise
