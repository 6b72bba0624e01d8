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
from alteraser.ledger import log, receipts, requests, schema
from alteraser.ledger.database import Database
from alteraser.runtime.durable import watched
from alteraser.service.state import open_state

from .conftest import BASE, Service

LEDGERS = Path(__file__).with_name("ledgers")
"""The tables of every version there was, as its program made them"""
VERSIONS = sorted(int(path.stem) for path in LEDGERS.iterdir())


def made_by(version: int, ledger: Path) -> None:
    """What is in ``ledger``, as far as a ledger of ``version`` has it, in one that its program
    made."""
    old = ledger.with_name("older.sqlite")
    with sqlite3.connect(old) as file:
        file.executescript((LEDGERS / f"{version}.sql").read_text())
        file.execute("ATTACH ? AS new", [str(ledger)])
        names = [
            row[0]
            for row in file.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")
        ]
        for name in names:
            if not name.startswith("sqlite_"):
                columns = ", ".join(
                    row[1] for row in file.execute(f"PRAGMA main.table_info({name})")
                )
                # up to 4, requests had in their table what they are about
                about = "(SELECT selection FROM new.named WHERE request = id)"
                taken = columns.replace("selection", about) if name == "requests" else columns
                file.execute(f"INSERT INTO main.{name} ({columns}) SELECT {taken} FROM new.{name}")
        file.execute(f"UPDATE main.meta SET value = '{version}' WHERE name = 'schema'")
    file.close()
    for path in ledger.parent.glob("ledger.sqlite*"):
        path.unlink()
    old.rename(ledger)
    ledger.chmod(0o600)


@pytest.fixture(params=VERSIONS[:-1])
def older(request: pytest.FixtureRequest, made: Path, tmp_path: Path) -> Path:
    """A state as a version left it, with a request that is done and one that waits."""
    root = tmp_path / "state"
    shutil.copytree(made / "state-knn", root)
    service = Service(root)
    service.send({"users": [BASE + 5]}, "a")
    service.work()
    service.send({"users": [BASE + 6]}, "b")
    service.close()
    made_by(request.param, root / "ledger.sqlite")
    return root


def test_the_tables_of_this_version_are_kept(made: Path) -> None:
    """Whoever changes them raises the version, and keeps what they were."""
    assert list(range(1, schema.VERSION + 1)) == VERSIONS
    _, now = shape(made / "state-knn" / "ledger.sqlite")
    kept = (LEDGERS / f"{schema.VERSION}.sql").read_text().splitlines()
    assert [f"{each};" for each in now if "sqlite_sequence" not in each] == sorted(kept)


def shape(path: Path) -> tuple[str, list[str]]:
    file = sqlite3.connect(path)
    try:
        (version,) = file.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        names = file.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name")
        return version, sorted(" ".join(row[0].split()) for row in names)
    finally:
        file.close()


def test_an_older_ledger_is_brought_up_to_date(older: Path, made: Path) -> None:
    service = Service(older)
    found, expected = (shape(root / "ledger.sqlite") for root in (older, made / "state-knn"))
    assert found == expected
    service.work()
    with service.state.database.reading() as connection:
        for each in requests.listed(connection):
            content = log.receipt(connection, each["request_id"], service.state.signer.public)
            assert content is not None
            receipts.check(content, log=log.Log(service.state.folders.log))
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
