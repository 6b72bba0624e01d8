"""The clock is put forward, back, and runs wild: nothing is lost, late or another model for it."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from alteraser.ledger import log, receipts, requests
from alteraser.service.ingest import ingest

from .conftest import BASE, Service

BODIES = [
    {"users": [BASE + 5]},
    {"pairs": [[BASE + 1, 102], [BASE + 9, 103]]},
    {"users": [4]},
    {"user": BASE + 7, "since": 978_301_000},
]
ADDED = [{"user": 77, "item": 103, "timestamp": 978_400_000}]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLOCKS = {
    "as it should": lambda draw, calls: timedelta(seconds=calls),
    "forward": lambda draw, calls: timedelta(days=3650 if calls > 9 else 0),
    "back": lambda draw, calls: timedelta(days=-3650 if calls > 9 else 0),
    "stands still": lambda draw, calls: timedelta(0),
    "runs back": lambda draw, calls: timedelta(seconds=-calls),
    "wild": lambda draw, calls: timedelta(seconds=draw.uniform(-1e9, 1e9)),
}


def run(opened: Service, clock) -> tuple[str, str, list[bytes]]:
    """(model, data, receipts) of requests, a batch, and once more."""
    calls, draw = 0, random.Random(0)

    def now() -> datetime:
        nonlocal calls
        calls += 1
        return NOW + clock(draw, calls)

    opened.state.clock = now
    names = [opened.send(body) for body in BODIES]
    ingest(opened.state, opened.state.load_serving(), ADDED)
    opened.work()
    names.append(opened.send({"items": [101]}))
    opened.work()
    with opened.state.database.reading() as connection:
        rows = requests.listed(connection)
        written = [log.receipt(connection, name, opened.state.signer.public) for name in names]
    assert [row["request_id"] for row in rows] == names, "the order is the ledger's"
    assert all(row["status"].startswith("completed") for row in rows)
    assert all(row["due"] > row["received"] for row in rows)
    version = opened.state.load_serving()
    return version.model.digest, version.data.digest, [each for each in written if each]


@pytest.mark.parametrize("name", list(CLOCKS))
def test_whatever_the_clock_does_the_end_is_the_same(service, name: str) -> None:
    expected = run(service(), CLOCKS["as it should"])
    opened = service()
    model, data, written = run(opened, CLOCKS[name])
    assert (model, data) == expected[:2]
    assert len(written) == len(BODIES) + 1
    whole = log.Log(opened.state.folders.log)
    said = [receipts.check(each, log=whole).predicate["times"] for each in written]
    for times in said:
        order = [times[what] for what in ("received", "started", "published", "issued")]
        assert times["clock_in_order"] == (order == sorted(order)), "it says so where it was not"
    assert [times["sequence"] for times in said] == sorted(times["sequence"] for times in said)
    assert all(json.loads(each)["envelope"] for each in written)
    if name == "runs back":
        assert not any(times["clock_in_order"] for times in said)
