"""The database that the ledger lies in: transactions that are durable when they end, or had no
effect. Statements are SQLAlchemy's, none is put together from text; what differs between SQLite and
PostgreSQL is in ``kinds``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DatabaseError, DBAPIError

from alteraser.data.files import writing_errors
from alteraser.errors import IntegrityError, ResourceLimit
from alteraser.ledger import schema
from alteraser.ledger.kinds import Kind, SQLite, damaged, kind_of
from alteraser.ledger.together import Together
from alteraser.runtime.durable import point

T = TypeVar("T")


class Database:
    """A ledger's database, open; see ``create`` and ``open``."""

    def __init__(self, place: Path | str) -> None:
        self.place = place
        self._kind = kind_of(place)
        self._lock = threading.Lock()
        self._examined = False
        self._together = Together(self.writing)
        self.engine = self._kind.engine()

    @classmethod
    def create(cls, place: Path | str) -> Database:
        """A new one with empty tables. The folder of a file, or the server's database, is there."""
        found = cls(place)
        with found.writing() as connection:
            schema.create(connection)
        if isinstance(place, Path):
            place.chmod(0o600)
        return found

    @classmethod
    def open(cls, place: Path | str) -> Database:
        """One that is there, an older one brought up to date; IntegrityError for a damaged or newer
        one. What is large is not read whole for that: see ``examine``.
        """
        if isinstance(place, Path) and not place.is_file():
            raise IntegrityError(
                f"{place} is missing: without its ledger nobody can tell what was erased. Restore "
                "it from a backup (alteraser restore); a fresh one is never made beside models "
                "that are there",
                code="ledger_missing",
            )
        if isinstance(place, Path) and not place.stat().st_size:
            raise IntegrityError(
                f"{place} is damaged (it is empty): restore it from a backup", code="ledger"
            )
        found = cls(place)
        try:
            with found.reading() as connection:
                if found._kind.soon_checked:
                    found._kind.check(connection)
                    found._examined = True
                schema.check(connection)
                older = schema.outdated(connection)
            if older:
                with found.writing() as connection:
                    schema.upgrade(connection)
                found._kind.upgraded(found.engine)
        except DatabaseError as cause:
            found.close()
            raise damaged(found.name, cause) from cause
        except BaseException:
            found.close()
            raise
        return found

    def examine(self) -> None:
        """IntegrityError where any of it is damaged: reads what ``open`` has not read."""
        if not self._examined:
            with self.reading() as connection:
                self._kind.check(connection)
            self._examined = True

    @property
    def name(self) -> str:
        """As messages call it."""
        return self._kind.name

    @property
    def near(self) -> bool:
        """Whether it is a file of this machine, from which is read without waiting for anybody."""
        return isinstance(self.place, Path)

    @property
    def empty(self) -> bool:
        """Whether it has no table of a ledger."""
        with self._translated(), self.engine.connect() as connection:
            return not inspect(connection).has_table(schema.meta.name)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A snapshot."""
        with self._translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable when the block has ended, or had no effect."""
        with self._lock, self._translated(), self.engine.connect() as connection:
            connection.execution_options(writing=True)
            with connection.begin():
                yield connection
                point("commit", self.name)

    def queued(self, work: Callable[[Connection], T]) -> Future[T]:
        """``work`` in a transaction that others share who come while one is being made durable; its
        answer once it is. One that raises leaves no trace, and the others theirs.
        """
        return self._together.put(work)

    def together(self, work: Callable[[Connection], T]) -> T:
        """``queued``, and wait for the answer."""
        return self.queued(work).result()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with _translated(self._kind):
            yield

    def truncate(self) -> bool:
        """Have what was deleted leave the disk; False where a reader stands in the way. Nobody who
        writes waits for it.
        """
        with self._translated():
            return self._kind.emptied(self.engine)

    def tidy(self) -> None:
        """Do now what a writer would else have to do; now and then, beside those who write."""
        with self._translated():
            self._kind.tidied(self.engine)

    @staticmethod
    def copy_of(place: Path | str, target: Path) -> None:
        """A consistent copy of the database at ``place`` as the new file ``target``, by the
        database's own means: writers need not stop. Raises IntegrityError for one that cannot be
        read, ResourceLimit for a full disk.
        """
        if isinstance(place, str):
            source, copy = Database.open(place), Database(target)
            try:
                with source.reading() as rows, copy.writing() as connection:
                    schema.copy(rows, connection)
                target.chmod(0o600)
            finally:
                source.close()
                copy.close()
        else:
            _copied(place, target)

    def close(self) -> None:
        """End all connections, once what was queued is done."""
        self._together.close()
        self.engine.dispose()


def _copied(path: Path, target: Path) -> None:
    import sqlite3

    with _translated(SQLite(target)):
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


@contextmanager
def _translated(kind: Kind) -> Iterator[None]:
    try:
        with writing_errors(Path(kind.name)):
            yield
    except DBAPIError as cause:
        found = kind.translated(cause)
        if found is None:
            raise
        raise found from cause
