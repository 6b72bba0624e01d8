"""Transactions that several share: one for all who came meanwhile, and each has an answer of its
own, never before it is durable.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from alteraser.errors import Conflict, ResourceLimit
from alteraser.ledger import together
from alteraser.ledger.database import Database
from alteraser.ledger.schema import meta
from alteraser.runtime.durable import watched


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        found = Database.create(tmp_path / "ledger.sqlite")
    else:
        found = Database.create(request.getfixturevalue("postgresql_database")())
    yield found
    found.close()


def notes(name: str):
    def work(connection: Connection) -> str:
        connection.execute(meta.insert().values(name=name, value="x"))
        return name

    return work


def noted(ledger: Database) -> set[str]:
    with ledger.reading() as connection:
        return set(connection.execute(select(meta.c.name)).scalars()) - {"schema"}


class Held:
    """Work that keeps the writer busy until ``release``, so that what comes meanwhile waits."""

    def __init__(self, ledger: Database) -> None:
        self._begun, self._go = threading.Event(), threading.Event()
        self.future: Future[None] = ledger.queued(self._work)
        assert self._begun.wait(10)

    def _work(self, connection: Connection) -> None:
        self._begun.set()
        assert self._go.wait(10)

    def release(self) -> None:
        self._go.set()
        self.future.result(10)


def test_all_who_came_meanwhile_share_one_commit(ledger: Database) -> None:
    commits: list[str] = []

    def watch(operation: str, place: object) -> None:
        if operation == "commit":
            commits.append(operation)

    held = Held(ledger)
    with watched(watch):
        waiting = [ledger.queued(notes(f"n{n}")) for n in range(together.MOST)]
        assert not wait(waiting, timeout=0.05).done, "nobody has an answer before it is durable"
        held.release()
        assert [each.result(10) for each in waiting] == [f"n{n}" for n in range(together.MOST)]
    assert len(commits) == 2, "the one that was held, and one for all the others"
    assert noted(ledger) == {f"n{n}" for n in range(together.MOST)}


def test_one_that_is_refused_leaves_no_trace_and_the_others_theirs(ledger: Database) -> None:
    def refused(connection: Connection) -> None:
        notes("refused")(connection)
        raise Conflict("no", code="locked")

    held = Held(ledger)
    waiting = [
        ledger.queued(notes("a")),
        ledger.queued(refused),
        ledger.queued(notes("b")),
    ]
    held.release()
    wait(waiting, timeout=10)
    assert [type(each.exception()) for each in waiting] == [type(None), Conflict, type(None)]
    assert noted(ledger) == {"a", "b"}


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), ResourceLimit("full")])
def test_nobody_is_told_of_what_did_not_become_durable(ledger: Database, fault: Exception) -> None:
    held = Held(ledger)
    waiting = [ledger.queued(notes("a")), ledger.queued(notes("b"))]

    def fails(operation: str, place: object) -> None:
        raise fault

    with watched(fails):
        with pytest.raises(type(fault)):
            held.release()
        wait(waiting, timeout=10)
    assert {type(each.exception()) for each in waiting} == {type(fault)}
    assert noted(ledger) == set()
    assert ledger.together(notes("a")) == "a", "the next one is tried"


def test_a_fault_of_one_piece_of_work_is_everybodys(ledger: Database) -> None:
    """Nothing is known of what it did to the transaction."""

    def broken(connection: Connection) -> None:
        raise ZeroDivisionError

    held = Held(ledger)
    waiting = [ledger.queued(notes("a")), ledger.queued(broken)]
    held.release()
    wait(waiting, timeout=10)
    assert [type(each.exception()) for each in waiting] == [ZeroDivisionError] * 2
    assert noted(ledger) == set()


def test_who_does_not_wait_any_more_is_left_out_and_stops_nobody(ledger: Database) -> None:
    async def given_up() -> None:
        pending = asyncio.wrap_future(ledger.queued(notes("gone")))
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending

    held = Held(ledger)
    asyncio.run(given_up())
    after = ledger.queued(notes("after"))
    held.release()
    assert after.result(10) == "after"
    assert noted(ledger) == {"after"}


def test_what_was_queued_is_done_before_the_ledger_is_closed(tmp_path: Path) -> None:
    ledger = Database.create(tmp_path / "ledger.sqlite")
    held = Held(ledger)
    waiting = ledger.queued(notes("last"))
    closing = threading.Thread(target=ledger.close)
    closing.start()
    held.release()
    closing.join(10)
    assert waiting.result(0) == "last"
    with pytest.raises(RuntimeError, match="closed"):
        ledger.queued(notes("late"))
    again = Database.open(tmp_path / "ledger.sqlite")
    assert noted(again) == {"last"}
    again.close()


def test_the_thread_that_writes_ends_and_begins_again(
    ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "IDLE", 0.01)
    for number in range(3):
        assert ledger.together(notes(f"n{number}")) == f"n{number}"
        for thread in threading.enumerate():
            if thread.name == "ledger":
                thread.join(10)
        assert not any(thread.name == "ledger" for thread in threading.enumerate())


def test_the_log_file_begins_anew_beside_those_who_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alteraser.ledger import kinds

    monkeypatch.setattr(kinds, "LONG", 16)
    ledger = Database.create(tmp_path / "ledger.sqlite")
    log = tmp_path / "ledger.sqlite-wal"
    for number in range(40):
        ledger.together(notes(f"n{number}"))
    assert log.stat().st_size > 40 * 4096
    ledger.tidy()
    assert log.stat().st_size == 0
    ledger.together(notes("more"))
    with ledger.writing() as connection:  # nor does it wait for who writes
        notes("open")(connection)
        ledger.tidy()
    assert noted(ledger) == {f"n{n}" for n in range(40)} | {"more", "open"}
    ledger.close()


def test_who_writes_waits_for_another_process_no_longer_than_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alteraser.errors import DependencyMissing
    from alteraser.ledger import kinds

    monkeypatch.setattr(kinds, "BUSY", 0.05)
    one, other = (Database(tmp_path / "ledger.sqlite") for _ in range(2))
    Database.create(tmp_path / "ledger.sqlite").close()
    with one.writing() as connection:
        notes("mine")(connection)
        with pytest.raises(DependencyMissing, match="holds the ledger for too long"):
            other.together(notes("theirs"))
    assert other.together(notes("theirs")) == "theirs"
    assert noted(one) == {"mine", "theirs"}
    for each in (one, other):
        each.close()
