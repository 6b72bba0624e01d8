"""Requests sent again and again, in any order, from several clients that lost their answers: one
request and one receipt each, and the same data left."""

from __future__ import annotations

import json
import random
import shutil
import threading
from pathlib import Path

import pytest

from alteraser.ledger import batches, leases, requests, schema
from alteraser.ledger.asked import Declared, asked
from alteraser.ledger.database import Database
from alteraser.ledger.due import moment
from alteraser.service import erasing

from .conftest import BASE, Service, everything

NOW = moment("2026-03-01")
LOG = [{"users": [BASE + n % 30]} for n in range(100)]
LOG += [{"pairs": [[BASE + n % 60, 100 + n % 40]]} for n in range(60)]
LOG += [{"items": [100 + n % 20]} for n in range(40)]
LEFT = {
    (user, item)
    for user, item in everything()
    if {"users": [user]} not in LOG
    and {"items": [item]} not in LOG
    and {"pairs": [[user, item]]} not in LOG
}
CLIENTS = 8


def shuffled(seed: int) -> list[tuple[int, dict]]:
    """Each of the log 1 to 5 times, in any order."""
    draw = random.Random(seed)
    sent = [(n, body) for n, body in enumerate(LOG) for _ in range(draw.randint(1, 5))]
    draw.shuffle(sent)
    return sent


def taken(database: Database, sent: list[tuple[int, dict]], seed: int) -> None:
    """All of it, from clients that send at the same time and sometimes do not hear the answer."""
    declared = Declared("int64", "int64", 978_300_760)
    parts = [sent[at::CLIENTS] for at in range(CLIENTS)]

    def client(part: list[tuple[int, dict]], draw: random.Random) -> None:
        for number, body in part:
            wanted = asked(body, declared)
            sender = requests.Sender("key", str(number), json.dumps(body).encode())
            for _ in range(1 + (draw.random() < 0.1)):  # the answer was lost: once more
                database.together(
                    lambda connection, wanted=wanted, sender=sender: requests.submit(
                        connection, wanted, sender, secret=bytes(32), now=NOW
                    )
                )

    threads = [
        threading.Thread(target=client, args=(part, random.Random(seed + at)))
        for at, part in enumerate(parts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


ALL = [range(first, first + 125) for first in range(0, 1_000, 125)]


@pytest.mark.parametrize(
    "seeds", [range(3), *[pytest.param(each, marks=pytest.mark.faults) for each in ALL]], ids=str
)
def test_one_request_each_and_the_same_left(made: Path, in_memory: Path, seeds: range) -> None:
    """Of every tenth the batch is done to its receipts."""
    assert 0 < len(LEFT) < len(everything())
    for seed in seeds:
        place = in_memory / str(seed)
        shutil.copytree(made / "state-knn", place)
        opened = Service(place)
        taken(opened.state.database, shuffled(seed), seed)
        with opened.state.database.reading() as connection:
            rows = connection.execute(schema.requests.select()).all()
        assert len(rows) == len(LOG), "one request each, whoever sent it how often"
        owed = sorted({row.points_to or row.id for row in rows})
        if seed % 10:
            planned(opened, owed)
        else:
            opened.work()
            assert opened.pairs == LEFT
            with opened.state.database.reading() as connection:
                receipts = connection.execute(schema.receipts.select()).all()
            assert sorted(row.request for row in receipts) == owed, (
                "a repetition has that of the first"
            )
        opened.close()
        shutil.rmtree(place)


def planned(opened: Service, owed: list[str]) -> None:
    """A batch of all of it, which has who is ``owed`` something, each once, and leaves ``LEFT``."""
    data = opened.state.load_serving().data
    with opened.state.database.writing() as connection:
        lease = leases.acquire(connection, "worker")
        batch = batches.plan(connection, lease, NOW, {})
        assert batch is not None
        members = batches.members(connection, batch.number)
    assert sorted(member.id for member in members) == owed
    gone = erasing.find(data, [member.asked for member in members]).gone
    left = data.keep(~gone).to_table()
    assert {(row["user_id"], row["item_id"]) for row in left.to_pylist()} == LEFT


def test_one_receipt_each(service) -> None:
    opened: Service = service()
    draw = random.Random(0)
    sent = [body for body in LOG[::20] for _ in range(draw.randint(1, 5))]
    draw.shuffle(sent)
    names = {opened.send(body, json.dumps(body)) for body in sent}
    assert len(names) == len({json.dumps(body) for body in sent})
    opened.work()
    for body in sent:
        names.add(opened.send(body, json.dumps(body)))
    opened.work()
    with opened.state.database.reading() as connection:
        receipts = connection.execute(schema.receipts.select()).all()
    assert sorted(row.request for row in receipts) == sorted(names)


def test_what_never_was_changes_nothing(service) -> None:
    """Ten thousand requests about nobody: the same model, no work."""
    opened: Service = service()
    before = opened.state.load_serving()
    for start in range(0, 10_000, 1_000):
        opened.send({"users": list(range(start, start + 1_000))})
    opened.send({"pairs": [[BASE + 1, 10_000 + n] for n in range(500)]})
    opened.work()
    after = opened.state.load_serving()
    assert (after.id, after.model.digest) == (before.id, before.model.digest)
