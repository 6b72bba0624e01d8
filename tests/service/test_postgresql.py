"""The service with its ledger on a server: the same requests come to the same end, whatever becomes
of the server meanwhile."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alteraser.data.side.holding import HeldSources
from alteraser.errors import Conflict, DependencyMissing, IntegrityError, InvalidInput
from alteraser.ledger import leases, log, receipts
from alteraser.ledger.database import Database
from alteraser.runtime.durable import watched
from alteraser.service.backup import backup
from alteraser.service.ingest import ingest
from alteraser.service.outbound import Hosts
from alteraser.service.outside import Outside
from alteraser.service.place import move
from alteraser.service.relay import Relay
from alteraser.service.restore import restore
from alteraser.service.state import open_state
from alteraser.service.worker import Worker

from . import several
from .conftest import BASE, Service
from .test_callbacks import Ear, ear, hook  # noqa: F401  # the fixture
from .test_http import code, running

BODIES = [{"users": [BASE + 5]}, {"pairs": [[BASE + 1, 102]]}, {"users": [4]}]


@pytest.fixture
def on_server(made: Path, tmp_path: Path, postgresql_database: Callable[[], str]) -> Path:
    """A state whose ledger is on the server."""
    root = tmp_path / "state"
    shutil.copytree(made / "state-knn", root)
    move(root, postgresql_database())
    assert not list(root.glob("ledger.sqlite*"))
    return root


def test_the_end_is_that_of_a_file(made: Path, tmp_path: Path, on_server: Path) -> None:
    shutil.copytree(made / "state-knn", tmp_path / "file")
    ends = []
    for root in (on_server, tmp_path / "file"):
        service = Service(root)
        names = [service.send(body) for body in BODIES]
        service.work()
        shown = [service.shown(name) for name in names]
        version = service.state.load_serving()
        with service.state.database.reading() as connection:
            from alteraser.ledger import log

            for name in names:
                receipts.check(log.receipt(connection, name, service.state.signer.public))
        ends.append(
            (
                [(each["status"], each["counts"]) for each in shown],
                version.model.digest,
                version.data.digest,
            )
        )
        service.close()
    assert ends[0] == ends[1]


def test_the_end_of_several_sources_is_that_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgresql_database: Callable[[], str]
) -> None:
    """Every sort of request, and rows that are added, to a model of kind ``linear``."""
    monkeypatch.chdir(tmp_path)
    several.make()
    shutil.copytree("state", "server")
    move(tmp_path / "server", postgresql_database())
    bodies: list[dict[str, Any]] = [
        {"users": [several.person(3)]},
        {"users": [several.person(4)], "from": "views"},
        {"entity": {"table": "item", "id": 5}},
        {"attributes": ["user:age"], "users": [several.person(6)]},
        {"user": several.person(7), "since": several.START + 3_600 * 50},
    ]
    ends = []
    for root in (tmp_path / "server", tmp_path / "state"):
        service = Service(root)
        version = service.state.load_serving()
        rows = [{"head": "new", "tail": 2, "timestamp": several.START}]
        assert ingest(service.state, version, rows, "views")["accepted"] == 1
        bought = [{"user": "new", "item": 3, "timestamp": several.START}]
        assert ingest(service.state, version, bought)["accepted"] == 1
        names = [service.send(body) for body in bodies]
        service.work()
        shown = [service.shown(name) for name in names]
        version = service.state.load_serving()
        assert isinstance(version.held, HeldSources)
        ends.append(
            (
                [(each["status"], each["counts"]) for each in shown],
                version.model.digest,
                version.held.given.digests,
            )
        )
        assert {each["status"] for each in shown} == {"completed"}
        service.close()
    assert ends[0] == ends[1]


def test_a_backup_of_it_is_a_state_of_its_own_and_moves_again(
    on_server: Path, tmp_path: Path, postgresql_database: Callable[[], str]
) -> None:
    service = Service(on_server)
    service.send(BODIES[0])
    service.work()
    expected = service.state.load_serving().id
    service.close()
    told = backup(on_server, tmp_path / "backup")
    assert told["receipts"] == 1
    restore(tmp_path / "backup", tmp_path / "again", on_server)
    assert (tmp_path / "again" / "ledger.sqlite").is_file()
    url = postgresql_database()
    move(tmp_path / "again", url)
    move(tmp_path / "again", url)
    again = Service(tmp_path / "again")
    assert again.state.load_serving().id == expected
    again.send(BODIES[1])  # what is added comes after what was moved
    again.work()
    again.close()


def test_only_its_own_ledger_will_do(
    made: Path, tmp_path: Path, on_server: Path, postgresql_database: Callable[[], str]
) -> None:
    url = (on_server / "secrets" / "database.url").read_text().strip()
    assert (on_server / "secrets" / "database.url").stat().st_mode & 0o777 == 0o600
    shutil.copytree(made / "state-enmf", tmp_path / "other")
    with pytest.raises(IntegrityError, match="another state"):
        move(tmp_path / "other", url)
    assert (tmp_path / "other" / "ledger.sqlite").is_file()
    with pytest.raises(IntegrityError, match="has no ledger"):
        move(on_server, postgresql_database())
    with pytest.raises(InvalidInput, match=r"postgresql://"):
        move(tmp_path / "other", "mysql://root:hidden@host/db")
    with pytest.raises(DependencyMissing, match="cannot be reached") as caught:
        move(tmp_path / "other", "postgresql://me:hidden@127.0.0.1:1/db")
    assert "hidden" not in caught.value.message
    shutil.copytree(made / "state-knn", tmp_path / "old")
    service = Service(on_server)
    service.send(BODIES[0])
    service.close()
    with pytest.raises(Conflict, match="another ledger of this state"):
        move(tmp_path / "old", url)


def test_two_workers_on_one_server(on_server: Path) -> None:
    first, second = open_state(on_server), open_state(on_server)
    one, two = Worker(first, threads=1), Worker(second, threads=1)
    one.begin()
    with second.database.writing() as connection, pytest.raises(Conflict, match="another worker"):
        leases.acquire(connection, "worker", holder="elsewhere:1:1")
    with first.database.writing() as connection:  # as if its time had passed
        connection.execute(leases.leases.update().values(until="server 0"))
    with second.database.writing() as connection:
        two._lease = leases.acquire(connection, "worker", holder="elsewhere:1:1")
    with first.database.writing() as connection, pytest.raises(Conflict, match="took over"):
        leases.check(connection, one._mine())
    with second.database.writing() as connection:
        leases.check(connection, two._mine())
    first.close()
    second.close()


def test_writers_take_turns(postgresql_database: Callable[[], str]) -> None:
    """What a transaction has read is still so when it ends, as in SQLite."""
    from alteraser.ledger import schema

    url = postgresql_database()
    places = [Database.create(url), Database.open(url)]
    with places[0].writing() as connection:
        connection.execute(schema.meta.insert().values(name="n", value="0"))

    def count(database: Database) -> None:
        for _ in range(25):
            with database.writing() as connection:
                mine = schema.meta.c.name == "n"
                value = connection.execute(schema.meta.select().where(mine)).one().value
                connection.execute(
                    schema.meta.update().where(mine).values(value=str(int(value) + 1))
                )

    threads = [threading.Thread(target=count, args=(each,)) for each in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with places[0].reading() as connection:
        rows = {row.name: row.value for row in connection.execute(schema.meta.select())}
        assert rows["n"] == "50"
    for place in places:
        place.close()


def test_the_server_stops_and_comes_back(on_server: Path, postgresql_server) -> None:
    service = Service(on_server)
    kept = service.send(BODIES[0])
    postgresql_server.stop()
    with pytest.raises(DependencyMissing, match="cannot be reached"):
        service.send(BODIES[1])
    with pytest.raises(DependencyMissing), service.state.database.reading():
        pass
    postgresql_server.start()
    service.send(BODIES[1])
    service.work()
    assert service.shown(kept)["status"] == "completed"
    service.close()


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.faults)], ids=["few", "all"])
def test_the_server_begins_anew_at_each_transaction_of_a_batch(
    made: Path,
    tmp_path: Path,
    postgresql_database: Callable[[], str],
    postgresql_server,
    step: int,
) -> None:
    """Each is done again, once, and the end is that of a server that stays."""

    def run(number: int, at: int) -> tuple[int, list[str], str]:
        root = tmp_path / str(number)
        shutil.copytree(made / "state-knn", root)
        move(root, postgresql_database())
        service, count = Service(root), 0
        names = [service.send(body) for body in BODIES]

        def watcher(operation: str, place: object) -> None:
            nonlocal count
            count += operation == "commit"
            if operation == "commit" and count == at:
                postgresql_server.stop()
                postgresql_server.start()

        with watched(watcher):
            while True:
                try:
                    if not service.worker.once():
                        break
                except DependencyMissing:
                    continue
        ends = [service.shown(name)["status"] for name in names]
        model = service.state.load_serving().model.digest
        with service.state.database.reading() as connection:
            for name in names:
                receipts.check(log.receipt(connection, name, service.state.signer.public))
            assert len(log.leaf_hashes(connection)) == len(names)
        service.close()
        return count, ends, model

    commits, *expected = run(0, 0)
    for at in range(2, commits + 1, step):
        reached, *found = run(at, at)
        assert reached > commits, "the transaction was done again"
        assert found == expected


def test_who_asked_for_it_is_told_whatever_becomes_of_the_server(
    on_server: Path,
    postgresql_server,
    ear: Ear,  # noqa: F811
) -> None:
    """Webhooks: every change, in order, once; where the server is away they wait."""
    hosts = Hosts([f"127.0.0.1:{ear.port}=127.0.0.1"])
    opened = Service(on_server)
    relay = Relay(opened.state, hosts, {})
    with running(opened, Outside(hosts)) as site:
        hook(site, ear)
        names = [site.post(body, f"{n}").json()["request_id"] for n, body in enumerate(BODIES)]
        opened.work()
        postgresql_server.stop()
        with pytest.raises(DependencyMissing):
            relay.once()
        assert code(site.post({"users": [BASE + 6]}, "away")) == (503, "database")
        postgresql_server.start()
        ear.answers = [204, 500]
        relay.once()
        told = len(ear.heard)
        opened.state.clock = lambda: datetime.now(UTC) + timedelta(hours=1)
        relay.once()
        wanted = [
            (each["sequence"], name, each["event"])
            for name in names
            for each in site.get(f"/v1/requests/{name}").json()["events"]
        ]
    heard = [
        tuple(each[word] for word in ("event_id", "request_id", "status")) for each in ear.documents
    ]
    assert told == 2, "one that was answered, one that is told again later"
    assert heard.pop(1) == heard[1], "the same again"
    assert heard == sorted(wanted)
    opened.close()
