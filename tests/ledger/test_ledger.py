"""The ledger by itself: what it takes, keeps, repeats, refuses, and forgets."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError as Refused

from alteraser.errors import (
    Conflict,
    IntegrityError,
    InvalidInput,
    NotFound,
    RefusedByPolicy,
    ResourceLimit,
)
from alteraser.ledger import batches, keys, leases, requests, schema, states, versions
from alteraser.ledger.asked import Declared, asked
from alteraser.ledger.database import Database
from alteraser.runtime.durable import watched

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
NUMBERS = Declared("int64", "int64", 978_300_760)
SECRET = bytes(32)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """One in each kind of database: all that is said here is said of both."""
    if request.param == "sqlite":
        found = Database.create(tmp_path / "ledger.sqlite")
    else:
        found = Database.create(request.getfixturevalue("postgresql_database")())
    with found.writing() as connection:
        versions.first(connection, "v0", {}, NOW)
    yield found
    with found.reading() as connection:
        looked_at(connection)
    found.close()


def looked_at(connection) -> None:
    """Whatever was done: what is counted along, or found by an index, is what reading all rows
    gives."""
    rows = connection.execute(select(schema.requests)).all()
    counted = Counter(row.state for row in rows)
    assert requests.counted(connection) == {state: counted[state] for state in states.STATES}
    owed = [row for row in rows if row.state not in states.FINAL]
    named = set(connection.execute(select(schema.named.c.request)).scalars())
    assert named == {row.id for row in owed}, "nobody is named any more whose request is done"
    assert requests.earliest_due(connection) == min((row.due for row in owed), default=None)
    for now in (NOW, NOW + timedelta(days=20), NOW + timedelta(days=400)):
        shares = [requests.elapsed({"received": row.received, "due": row.due}, now) for row in owed]
        wanted = {limit: sum(each >= limit for each in shares) for limit in requests.AT_RISK}
        assert requests.at_risk(connection, now) == wanted


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of a ledger with a version, closed."""
    found = Database.create(tmp_path / "ledger.sqlite")
    with found.writing() as connection:
        versions.first(connection, "v0", {}, NOW)
    found.close()
    return tmp_path / "ledger.sqlite"


def send(
    ledger: Database,
    body: dict,
    name: str = "a",
    *,
    key: str = "k",
    verifies: bool = True,
    now: datetime = NOW,
):
    sender = requests.Sender(key, name, repr(sorted(body.items())).encode(), verifies)
    with ledger.writing() as connection:
        return requests.submit(connection, asked(body, NUMBERS), sender, secret=SECRET, now=now)


def act(ledger: Database, what, *arguments, **named):
    with ledger.writing() as connection:
        return what(connection, *arguments, **named)


def status(ledger: Database, name: str) -> str:
    with ledger.reading() as connection:
        return requests.row_of(connection, name).state


def run_batch(ledger: Database, number: int = 1) -> None:
    with ledger.writing() as connection:
        lease = leases.acquire(connection, "worker")
        batch = batches.plan(connection, lease, NOW, {"method": "auto"})
        assert batch is not None
        counts = {
            each.id: {"interactions": 1} for each in batches.members(connection, batch.number)
        }
        version, work = f"v{batch.number}", {"counts": counts}
        batch = batches.advance(
            connection, lease, batch, "scrubbed", NOW, version=version, work=work
        )
        batch = batches.advance(connection, lease, batch, "checked", NOW)
        versions.publish(connection, version, {}, batch=batch.number, floor=batch.floor, now=NOW)
        batch = batches.advance(connection, lease, batch, "published", NOW)
        for ends in (batches.receipted, batches.complete):
            batch = ends(connection, lease, batch, NOW)
        assert batch.over


# ---------------------------------------------------------------- taking in


def test_the_same_request_again_is_the_same_request(ledger: Database) -> None:
    first, repeated = send(ledger, {"users": [1]})
    assert (first["status"], repeated) == ("queued", False)
    again, repeated = send(ledger, {"users": [1]}, now=NOW + timedelta(days=3))
    assert (again, repeated) == (first, True)
    with pytest.raises(Conflict) as caught:
        send(ledger, {"users": [2]})
    assert caught.value.details["code"] == "key_reused"
    other, _ = send(ledger, {"users": [2]}, key="another client's")
    assert other["sequence"] == first["sequence"] + 1


def test_due_dates(ledger: Database) -> None:
    for body, expected in (
        ({"users": [1]}, "2026-02-28T12:00:00.000Z"),
        ({"users": [2], "regulation": "ccpa"}, "2026-03-17T12:00:00.000Z"),
        ({"users": [3], "due": "2026-02-03"}, "2026-02-03T23:59:59.000Z"),
        ({"users": [4], "due": "2027-02-03"}, "2026-02-28T12:00:00.000Z"),
    ):
        found, _ = send(ledger, body, name=str(body))
        assert found["due"] == expected, body


def test_a_duplicate_waits_for_its_first_and_takes_its_place(ledger: Database) -> None:
    first, second, third = (send(ledger, {"users": [1]}, name)[0] for name in "abc")
    assert [each["status"] for each in (first, second, third)] == [
        "queued",
        "duplicate_of",
        "duplicate_of",
    ]
    assert second["duplicate_of"] == third["duplicate_of"] == first["request_id"]
    act(ledger, requests.cancel, first["request_id"], NOW)
    with ledger.reading() as connection:
        rows = [requests.row_of(connection, each["request_id"]) for each in (first, second, third)]
        about = {each.request: each.selection for each in connection.execute(select(schema.named))}
    assert [row.state for row in rows] == ["cancelled", "queued", "duplicate_of"]
    assert rows[2].points_to == second["request_id"]
    assert about == {rows[1].id: asked({"users": [1]}, NUMBERS).document}
    act(ledger, requests.hold, second["request_id"], NOW)
    assert [status(ledger, each["request_id"]) for each in (second, third)] == ["held", "queued"]


@pytest.mark.parametrize("order", ["uvw", "wuv", "vwu", "uuv", "vuw", "wvu"])
def test_an_unverified_request_never_stands_in_the_way(ledger: Database, order: str) -> None:
    """u: nobody vouches; v: verified; w: nobody vouches, and it is rejected later."""
    found = [
        send(ledger, {"users": [1]}, f"{i}", verifies=kind == "v")[0]
        for i, kind in enumerate(order)
    ]
    kinds = dict(zip(order, found, strict=True))
    if "w" in kinds:
        act(ledger, requests.reject, kinds["w"]["request_id"], NOW)
    run_batch(ledger)
    assert status(ledger, kinds["v"]["request_id"]) == "completed"
    assert status(ledger, kinds["u"]["request_id"]) == "unverified"
    act(ledger, requests.verify, kinds["u"]["request_id"], NOW)
    assert status(ledger, kinds["u"]["request_id"]) == "queued", (
        "the first is at work already: this one is done again"
    )


def test_cancel_until_work_begins(ledger: Database) -> None:
    for body in ({"users": [1]}, {"users": [2], "hold": True}):
        found, _ = send(ledger, body, str(body))
        assert act(ledger, requests.cancel, found["request_id"], NOW)["status"] == "cancelled"
    found, _ = send(ledger, {"users": [3]}, "c")
    run_batch(ledger)
    with pytest.raises(Conflict) as caught:
        act(ledger, requests.cancel, found["request_id"], NOW)
    assert caught.value.details["code"] == "too_late"
    with pytest.raises(NotFound):
        act(ledger, requests.cancel, "0" * 32, NOW)


BAD = [
    ({}, "scope_missing"),
    ([], "body"),
    ({"users": []}, "scope_empty"),
    ({"users": None}, "type"),
    ({"users": "1"}, "type"),
    ({"users": ["1"]}, "id_type"),
    ({"users": [True]}, "type"),
    ({"users": [1.0]}, "type"),
    ({"users": [None]}, "type"),
    ({"users": [2**63]}, "number_range"),
    ({"user": [1]}, "type"),
    ({"users": [1], "items": [2]}, "scope_ambiguous"),
    ({"users": [1], "sessions": [2]}, "scope_ambiguous"),
    ({"sessions": [1], "baskets": [2]}, "scope_ambiguous"),
    ({"sessions": [1]}, "no_sessions"),
    ({"user": 1, "baskets": [2]}, "no_baskets"),
    ({"users": [1], "user_ids": [2]}, "unknown_field"),
    ({"pairs": [[1]]}, "type"),
    ({"pairs": [[1, 2, 3]]}, "type"),
    ({"pairs": [1]}, "type"),
    ({"user": 1, "since": 5, "until": 5}, "window"),
    ({"user": 1, "since": "2026-02-01", "until": "2026-01-01"}, "window"),
    ({"user": 1, "since": "soon"}, "window"),
    ({"user": 1, "since": None}, "window"),
    ({"users": [1], "since": 5}, "window"),
    ({"users": [1], "regulation": "hipaa"}, "regulation"),
    ({"users": [1], "due": "tomorrow"}, "due"),
    ({"users": [1], "due": 5}, "due"),
    ({"users": [1], "hold": 1}, "hold"),
    ({"users": [1], "hold": []}, "hold"),
]


@pytest.mark.parametrize(("body", "code"), BAD, ids=str)
def test_what_cannot_be_meant_is_refused(body: object, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        asked(body, NUMBERS)
    assert caught.value.details["code"] == code


def test_ids_of_text() -> None:
    text = Declared("string", "string", None)
    names = ["../../x", "'; DROP TABLE requests; --", "=cmd()", "a\x00b", " a", "A", "é", "e\u0301"]
    assert set(asked({"users": names}, text).names) == set(names), "bytes decide"
    for body, code in (
        ({"users": [1]}, "id_type"),
        ({"users": ["*"]}, "wildcard"),
        ({"users": ["\ud800"]}, "encoding"),
        ({"user": "a", "since": 1}, "no_times"),
    ):
        with pytest.raises(InvalidInput) as caught:
            asked(body, text)
        assert caught.value.details["code"] == code
    for body, code in (
        ({"users": ["x" * 65537]}, "string_too_long"),
        ({"users": ["x"] * 100_001}, "too_many_ids"),
    ):
        with pytest.raises(ResourceLimit) as caught:
            asked(body, text)
        assert caught.value.details["code"] == code


# ---------------------------------------------------------------- work


def test_a_batch_is_what_was_queued_and_nothing_else(ledger: Database) -> None:
    taken = [send(ledger, {"users": [i]}, str(i))[0]["request_id"] for i in range(3)]
    held, _ = send(ledger, {"users": [8], "hold": True}, "held")
    with ledger.writing() as connection:
        lease = leases.acquire(connection, "worker")
        batch = batches.plan(connection, lease, NOW, {"method": "auto"})
    assert batch is not None
    later, _ = send(ledger, {"users": [9]}, "later")
    with ledger.writing() as connection:
        assert [each.id for each in batches.members(connection, batch.number)] == taken
        assert batches.current(connection) == batch
        with pytest.raises(Conflict, match="planned does not become published"):
            batches.advance(connection, lease, batch, "published", NOW)
    assert (status(ledger, held["request_id"]), status(ledger, later["request_id"])) == (
        "held",
        "queued",
    )


RANK = {
    state: at
    for at, state in enumerate(
        ("queued", "executing", "scrubbed", "checked", "published", "receipted", "completed")
    )
}
AT = {"gathering": 1, "planned": 1, "scrubbed": 2, "checked": 3, "published": 4, "receipted": 5}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 200])
def test_a_large_batch_moves_in_small_transactions(
    ledger: Database, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each moves as many requests as it may at most, each time another worker begins where the last
    one was; no request is ahead of what is true, and each passes every status once."""
    monkeypatch.setattr(batches, "CHUNK", size)
    names = [send(ledger, {"users": [i]}, str(i))[0]["request_id"] for i in range(7)]
    nothing = {names[1], names[4]}

    def seen() -> dict[str, str]:
        with ledger.reading() as connection:
            return {each["request_id"]: each["status"] for each in requests.listed(connection)}

    def done(what, *arguments, **named):
        before = seen()
        with ledger.writing() as connection:
            lease = leases.acquire(connection, "worker")
            found = what(connection, lease, *arguments, **named)
        after = seen()
        assert sum(before[name] != after[name] for name in before) <= size
        return found

    batch = done(batches.plan, NOW, {})
    later, _ = send(ledger, {"users": [99]}, "later")
    gone = [name for name in names[-2:] if seen()[name] == "queued"]
    for name, what in zip(gone, (requests.cancel, requests.hold), strict=False):
        act(ledger, what, name, NOW)
    while batch.state == "gathering":
        batch = done(batches.gather, batch, NOW)
    mine = [name for name in names if name not in gone]
    assert batch.plan["requests"] == len(mine)
    with ledger.reading() as connection:
        assert [each.id for each in batches.members(connection, batch.number)] == mine
    counts = {name: {"interactions": int(name not in nothing)} for name in mine}

    def followed(batch):
        while True:
            states_now = [seen()[name] for name in mine]
            assert all(RANK[state] <= AT[batch.state] for state in states_now)
            with ledger.reading() as connection:
                if not batches.behind(connection, batch):
                    return batch
            done(batches.follow, batch, NOW)

    batch = followed(
        done(batches.advance, batch, "scrubbed", NOW, version="v1", work={"counts": counts})
    )
    batch = followed(done(batches.advance, batch, "checked", NOW))
    with ledger.writing() as connection:
        versions.publish(connection, "v1", {}, batch=1, floor=batch.floor, now=NOW)
    batch = followed(done(batches.advance, batch, "published", NOW))
    for ends in (batches.receipted, batches.complete):
        state = batch.state
        while batch.state == state:
            batch = done(ends, batch, NOW)
    assert batch.over
    end = seen()
    for name in mine:
        with ledger.reading() as connection:
            row = requests.row_of(connection, name)
            passed = [each["event"] for each in requests.history(connection, name)]
        last = "completed_nothing_found" if name in nothing else "completed"
        assert passed == ["received", "verified", *list(RANK)[:-1], last]
        assert (row.state, row.version) == (last, "v1")
        assert row.counts == json.dumps(counts[name])
    assert end[later["request_id"]] == "queued"
    assert all(end[name] in ("cancelled", "held") for name in gone)


def test_a_batch_that_fails_is_tried_again_and_then_given_up(ledger: Database) -> None:
    found, _ = send(ledger, {"users": [1]})
    for attempt in range(batches.ATTEMPTS):
        assert status(ledger, found["request_id"]) == "queued", attempt
        with ledger.writing() as connection:
            lease = leases.acquire(connection, "worker")
            batch = batches.plan(connection, lease, NOW, {})
            assert batch is not None
            batches.abandon(connection, lease, batch, "class_d", NOW)
    with ledger.reading() as connection:
        row = requests.row_of(connection, found["request_id"])
        assert (row.state, row.reason, batches.current(connection)) == ("failed", "class_d", None)


def test_a_stale_worker_is_fenced(ledger: Database) -> None:
    send(ledger, {"users": [1]})
    with ledger.writing() as connection:
        stale = leases.acquire(connection, "worker", seconds=0, holder="host:1:1")
        batch = batches.plan(connection, stale, NOW, {})
        fresh = leases.acquire(connection, "worker", holder="elsewhere:2:2")
    assert batch is not None
    assert fresh.token > stale.token
    for what in (
        lambda connection: batches.advance(connection, stale, batch, "scrubbed", NOW),
        lambda connection: batches.abandon(connection, stale, batch, "x", NOW),
        lambda connection: batches.plan(connection, stale, NOW, {}),
        lambda connection: leases.renew(connection, stale),
    ):
        with pytest.raises(Conflict) as caught, ledger.writing() as connection:
            what(connection)
        assert caught.value.details["code"] == "fenced"
    with pytest.raises(Conflict) as caught, ledger.writing() as connection:
        leases.acquire(connection, "worker", holder="host:3:3")
    assert caught.value.details["code"] == "locked"


def test_a_lease_ends_with_its_process_and_with_its_time(ledger: Database) -> None:
    clock = [100.0]
    dead = leases.here().rsplit(":", 2)[0] + ":999999999:1"
    with ledger.writing() as connection:
        leases.acquire(connection, "worker", holder=dead)
        leases.acquire(connection, "worker", holder="elsewhere:1:1", ticks=lambda: clock[0])
        with pytest.raises(Conflict):
            leases.acquire(connection, "worker", ticks=lambda: clock[0] + leases.SECONDS - 1)
        assert (
            leases.acquire(connection, "worker", ticks=lambda: clock[0] + leases.SECONDS).token == 3
        )


def test_nothing_below_the_floor_is_served_again(ledger: Database) -> None:
    for number in (1, 2):
        send(ledger, {"users": [number]}, str(number))
        run_batch(ledger)
    for old in ("v0", "v1"):
        with (
            pytest.raises(RefusedByPolicy, match="bring back") as caught,
            ledger.writing() as connection,
        ):
            versions.activate(connection, old, NOW)
        assert caught.value.details["code"] == "below_floor"
    with ledger.reading() as connection:
        assert versions.serving(connection).version == "v2"
        assert versions.outdated(connection) == ["v0", "v1"]


# ---------------------------------------------------------------- keys


def test_keys(ledger: Database) -> None:
    with ledger.writing() as connection:
        made = keys.make(connection, NOW, ["submit"], rate=2, expires=NOW + timedelta(days=1))
        key = keys.find(connection, made, NOW)
        assert key is not None
        assert key.may("submit")
        assert not key.may("status")
        assert keys.find(connection, made, NOW + timedelta(days=1)) is None
        for wrong in (
            "",
            made[:-1],
            made + "0",
            made.replace("alt_", "alt"),
            "alt__",
            "alt_" + "0" * 16 + "_" + "0" * 64,
        ):
            assert keys.find(connection, wrong, NOW) is None
        assert [keys.admit_write(connection, key, NOW) for _ in range(3)] == [0, 0, 60]
        assert keys.admit_write(connection, key, NOW + timedelta(minutes=1)) == 0
        keys.revoke(connection, key.id, NOW)
        assert keys.find(connection, made, NOW) is None
        secret = made.rpartition("_")[2]
        assert secret not in str(connection.execute(schema.keys.select()).all())
        with pytest.raises(InvalidInput, match="scopes: everything"):
            keys.make(connection, NOW, ["everything"])


# ---------------------------------------------------------------- the database


@pytest.mark.parametrize("name", ["\x00", "x" * 10_000, "é\u202e", "'; DROP TABLE requests; --"])
def test_a_name_that_nothing_has(ledger: Database, name: str) -> None:
    with pytest.raises((NotFound, InvalidInput)), ledger.reading() as connection:
        requests.row_of(connection, name)
    with ledger.reading() as connection:
        assert requests.listed(connection) == []


def test_events_are_only_ever_added_to(ledger: Database) -> None:
    for statement in (schema.events.update().values(event="x"), schema.events.delete()):
        with pytest.raises(Refused, match="only ever added to"), ledger.writing() as connection:
            connection.execute(statement)


def test_a_transaction_that_does_not_become_durable_was_none(ledger: Database) -> None:
    def fails(operation: str, place: object) -> None:
        raise OSError(5, "Input/output error")

    with watched(fails), pytest.raises(OSError, match="error"):
        send(ledger, {"users": [1]})
    with ledger.reading() as connection:
        assert requests.listed(connection) == []
    assert send(ledger, {"users": [1]})[1] is False


def test_those_who_share_a_transaction_have_their_own_answers(ledger: Database) -> None:
    taken, errors = [], []

    def one(number: int) -> None:
        def work(connection):
            if number % 7 == 3:
                requests.row_of(connection, "nothing")
            sender = requests.Sender("k", str(number % 50), str(number % 50).encode())
            return requests.submit(
                connection, asked({"users": [number % 50]}, NUMBERS), sender, secret=SECRET, now=NOW
            )

        try:
            taken.append(ledger.together(work))
        except NotFound as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == len([n for n in range(100) if n % 7 == 3])
    assert len(taken) + len(errors) == 100
    with ledger.reading() as connection:
        assert len(requests.listed(connection)) == len({found["request_id"] for found, _ in taken})
    assert sum(not repeated for _, repeated in taken) == len(
        {found["request_id"] for found, _ in taken}
    )


def test_what_is_done_is_named_nowhere_any_more(file: Path) -> None:
    ledger = Database.open(file)
    canary = 7_305_118_246_091_733_127
    found, _ = send(ledger, {"users": [canary, canary - 1]})
    assert str(canary).encode() in file.read_bytes() + Path(f"{file}-wal").read_bytes()
    act(ledger, requests.cancel, found["request_id"], NOW)
    assert ledger.truncate()
    left = b"".join(path.read_bytes() for path in file.parent.iterdir())
    for form in (str(canary).encode(), canary.to_bytes(8, "big"), canary.to_bytes(8, "little")):
        assert form not in left
    ledger.close()


def test_what_is_done_is_in_no_table_of_a_server_any_more(
    postgresql_server, postgresql_database
) -> None:
    ledger = Database.create(postgresql_database())
    with ledger.writing() as connection:
        versions.first(connection, "v0", {}, NOW)
    canary = str(7_305_118_246_091_733_127).encode()
    found, _ = send(ledger, {"users": [int(canary)]})

    def named() -> bool:
        with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CHECKPOINT"))
        files = (postgresql_server.data / "base").rglob("*")
        return any(canary in path.read_bytes() for path in files if path.is_file())

    assert named()
    act(ledger, requests.cancel, found["request_id"], NOW)
    assert ledger.truncate()
    assert not named()
    ledger.close()


def test_a_ledger_of_before_on_a_server_names_nobody_any_more(
    postgresql_server, postgresql_database
) -> None:
    """Up to schema 4 requests held what they are about: it leaves the pages of their table too."""
    url = postgresql_database()
    ledger = Database.create(url)
    canary = str(7_305_118_246_091_733_129).encode()
    found, _ = send(ledger, {"users": [int(canary)]})
    with ledger.writing() as connection:
        for statement in (
            "ALTER TABLE requests ADD COLUMN selection TEXT",
            "UPDATE requests SET selection = (SELECT selection FROM named WHERE request = id)",
            "DROP TRIGGER requests_came ON requests",
            "DROP TRIGGER requests_moved ON requests",
            "DROP INDEX requests_by_due",
            "DROP TABLE named, ended, subtrees",
            "UPDATE meta SET value = '4' WHERE name = 'schema'",
        ):
            connection.execute(text(statement))
    ledger.close()
    ledger = Database.open(url)
    act(ledger, requests.cancel, found["request_id"], NOW)
    assert ledger.truncate()
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CHECKPOINT"))
    files = [path for path in (postgresql_server.data / "base").rglob("*") if path.is_file()]
    assert not any(canary in path.read_bytes() for path in files)
    with ledger.reading() as connection:
        looked_at(connection)
    ledger.close()


def test_a_damaged_or_newer_or_missing_ledger_is_refused(file: Path, tmp_path: Path) -> None:
    ledger = Database.open(file)
    send(ledger, {"users": [1]})
    ledger.truncate()
    ledger.close()
    whole = file.read_bytes()
    with pytest.raises(IntegrityError, match=r"is missing.*never made"):
        Database.open(tmp_path / "none.sqlite")
    refused = 0
    for place in range(0, len(whole), 4096):
        file.write_bytes(whole[:place] + b"\xa5" * 64 + whole[place + 64 :])
        try:
            Database.open(file).close()
        except IntegrityError:
            refused += 1
    assert refused >= len(whole) // 4096 - 2, "pages that are free may hold anything"
    file.write_bytes(whole)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    connection.close()
    with pytest.raises(IntegrityError, match=r"schema 99.*upgrade"):
        Database.open(file)


@pytest.mark.parametrize("hold", [[1], [[1]], [["1", 2]], [[1, True]]])
def test_what_is_wrong_with_a_hold_is_said_of_the_hold(hold: list) -> None:
    with pytest.raises(InvalidInput, match=r"^hold: "):
        asked({"users": [1], "hold": hold}, NUMBERS)
