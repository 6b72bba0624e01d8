"""A ledger of an earlier version is brought up to this one, whole or not at all; one of a later
version is not touched."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from alteraser.cli.main import main
from alteraser.errors import IntegrityError
from alteraser.ledger import schema
from alteraser.ledger.database import Database
from alteraser.runtime.durable import watched
from alteraser.service.state import open_state

from .conftest import BASE, Service


@pytest.fixture
def older(made: Path, tmp_path: Path) -> Path:
    """A state as the first version left it, with a request that is done and one that waits."""
    root = tmp_path / "state"
    shutil.copytree(made / "state-knn", root)
    service = Service(root)
    service.send({"users": [BASE + 5]}, "a")
    service.work()
    service.send({"users": [BASE + 6]}, "b")
    service.close()
    with sqlite3.connect(root / "ledger.sqlite") as file:
        for tables in schema.ADDED.values():
            for table in tables:
                file.execute(f"DROP TABLE {table.name}")
        file.execute("UPDATE meta SET value = '1' WHERE name = 'schema'")
    file.close()
    return root


def shape(path: Path) -> tuple[str, list[str]]:
    file = sqlite3.connect(path)
    try:
        (version,) = file.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        names = file.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name")
        return version, [row[0] for row in names]
    finally:
        file.close()


def test_an_older_ledger_is_brought_up_to_date(older: Path, made: Path) -> None:
    service = Service(older)
    assert shape(older / "ledger.sqlite") == shape(made / "state-knn" / "ledger.sqlite")
    service.work()
    names = {user for user, _ in service.pairs}
    assert not names & {BASE + 5, BASE + 6}
    service.close()


def test_whole_or_not_at_all(older: Path) -> None:
    """Ended at each durable operation in turn, the next start does it again."""
    ledger = older / "ledger.sqlite"
    before = shape(ledger)
    reached, end = 0, 1
    while reached < end:
        seen = 0

        def fails(operation: str, place: object, k: int = reached) -> None:
            nonlocal seen
            seen += 1
            if seen == k + 1:
                raise OSError(5, "Input/output error")

        try:
            with watched(fails):
                Database.open(ledger).close()
        except OSError:
            assert shape(ledger) == before
            reached, end = reached + 1, seen + 1
        else:
            break
    assert reached > 0
    assert shape(ledger)[0] == str(schema.VERSION)
    open_state(older).close()


def test_a_later_ledger_is_not_touched(made: Path, tmp_path: Path, capsys) -> None:
    root = tmp_path / "state"
    shutil.copytree(made / "state-knn", root)
    ledger = root / "ledger.sqlite"
    file = sqlite3.connect(ledger)
    file.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    file.commit()
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.close()
    digest = hashlib.sha256(ledger.read_bytes()).hexdigest()
    with pytest.raises(IntegrityError, match="schema 99") as caught:
        Database.open(ledger)
    assert caught.value.details["code"] == "schema_newer"
    assert main(["serve", "--state", str(root), "--port", "0"]) == 6
    assert "upgrade it; nothing was written" in capsys.readouterr().err
    assert hashlib.sha256(ledger.read_bytes()).hexdigest() == digest
