"""A ledger of many requests: what it takes to look at it.

The rows are made by the database itself, in the form that the service writes: requests that were
completed long ago, their events and receipts, batches and versions, and some that wait. Receipts
are short texts, as no question reads them but for one at a time.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import typer
from sqlalchemy import Connection

from alteraser.bench.common import table
from alteraser.ledger import batches, log, merkle, requests, schema, states, versions
from alteraser.ledger.database import Database
from alteraser.ledger.due import written
from alteraser.service import metrics, tempo
from alteraser.service.asides import Asides

T = TypeVar("T")

BATCH = 2_000
"""Requests of a batch"""
WAITING = 1_000
"""Requests in the queue, the last ones"""
ROWS = 20_000
"""That are written at a time"""
LIFE = (states.RECEIVED, states.VERIFIED, states.QUEUED, *states.WORKING, states.COMPLETED)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def ledger(
    count: Annotated[
        int, typer.Option("--requests", min=WAITING, help="Requests in the ledger.")
    ] = 1_000_000,
    database: Annotated[
        str | None,
        typer.Option("--database", help="URL of an empty PostgreSQL database; else a file."),
    ] = None,
    times: Annotated[int, typer.Option("--times", min=1, help="Looks of each kind.")] = 50,
) -> int:
    """Milliseconds of each look at a ledger of many requests.

    Example: alteraser bench ledger --requests 1000000
    """
    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        opened = Database.create(database or Path(place) / "ledger.sqlite")
        try:
            with opened.writing() as connection:
                for target, rows in _rows(count):
                    connection.execute(target.insert(), rows)
            took = time.perf_counter() - began
            print(f"{count:,} requests made in {took:.0f} s\n")
            with opened.reading() as connection:
                lines = [_timed(connection, *look, times) for look in _looks(count)]
        finally:
            opened.close()
        lines += [_timed(opened.place, *each, min(times, MOST)) for each in OPENINGS]
    table(["look", "p50, ms", "p99, ms"], lines)
    return 0


def _opened(place: Path | str) -> None:
    Database.open(place).close()


def _examined(place: Path | str) -> None:
    opened = Database.open(place)
    try:
        opened.examine()
    finally:
        opened.close()


OPENINGS = (("opening it", _opened), ("opening it, and all of it checked", _examined))
MOST = 5
"""Times that it is opened"""


def _timed(of: T, name: str, look: Callable[[T], Any], times: int) -> list[str]:
    look(of)
    took = []
    for _ in range(times):
        began = time.perf_counter()
        look(of)
        took.append(1e3 * (time.perf_counter() - began))
    return [name, *(f"{each:.2f}" for each in np.quantile(took, [0.5, 0.99]))]


def _looks(count: int) -> Iterator[tuple[str, Callable[[Connection], Any]]]:
    now, middle = BEGAN + timedelta(days=400), _name(count // 2)
    yield "/metrics", lambda connection: metrics.written(connection, now, halted=False)
    yield "requests by status", requests.counted
    yield "requests at risk", lambda connection: requests.at_risk(connection, now)
    yield "first due", requests.earliest_due
    yield "predicted cost", tempo.cost
    yield "what waits", tempo.waiting
    yield "a page of requests", lambda connection: requests.listed(connection, after=count // 2)
    yield (
        "a page of those that are completed",
        lambda connection: requests.listed(connection, state=states.COMPLETED, after=count // 2),
    )
    yield "the newest requests", lambda connection: requests.listed(connection, newest=True)
    yield "one request", lambda connection: requests.row_of(connection, middle)
    yield "its events", lambda connection: requests.history(connection, middle)
    yield "its receipt", lambda connection: log.receipt(connection, middle, b"")
    yield "versions", versions.listed
    yield "the batch under way", batches.current
    yield "what is out of sight, anew", lambda connection: Asides().follow(connection)


def _name(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


def _rows(count: int) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """(table, rows) of a ledger of so many requests."""
    done = count - WAITING
    for start in range(0, count, ROWS):
        numbers = range(start, min(start + ROWS, count))
        yield schema.requests, [_request(number, number < done) for number in numbers]
        about = [
            {"request": _name(each), "selection": _about(each)} for each in numbers if each >= done
        ]
        if about:
            yield schema.named, about
        yield schema.events, [each for number in numbers for each in _events(number, number < done)]
        leaves = [
            {
                "leaf": number,
                "request": _name(number),
                "hash": merkle.leaf(str(number).encode()).hex(),
                "envelope": "{}",
                "size": min((number // BATCH + 1) * BATCH, done),
                "checkpoint": "{}",
            }
            for number in numbers
            if number < done
        ]
        if leaves:
            yield schema.receipts, leaves
    yield from _batches(done)
    yield from _groups(done)


def _groups(done: int) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    tree = merkle.Tree()
    for number in range(done):
        tree.add(merkle.leaf(str(number).encode()))
    if tree.groups:
        roots = [{"number": n, "hash": each.hex()} for n, each in enumerate(tree.groups)]
        yield schema.subtrees, roots


def _batches(done: int) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    numbers = range((done + BATCH - 1) // BATCH)
    yield (
        schema.batches,
        [
            {
                "number": number,
                "state": "done",
                "floor": number,
                "start_version": _name(-number),
                "plan": "{}",
                "started": written(BEGAN + timedelta(hours=number)),
                "published": written(BEGAN + timedelta(hours=number, seconds=9)),
            }
            for number in numbers
        ],
    )
    yield (
        schema.versions,
        [
            {
                "id": _name(-number - 1),
                "number": number,
                "parent": _name(-number),
                "floor": number,
                "document": "{}",
                "published": written(BEGAN + timedelta(hours=number)),
            }
            for number in numbers
        ],
    )
    yield schema.pointer, [{"name": versions.SERVING, "version": _name(-done // BATCH), "floor": 0}]


def _events(number: int, done: bool) -> list[dict[str, Any]]:
    return [
        {
            "at": written(BEGAN),
            "request": _name(number),
            "batch": None if place < 3 else number // BATCH,
            "event": event,
            "detail": None,
        }
        for place, event in enumerate(LIFE if done else LIFE[:3])
    ]


def _about(number: int) -> str:
    return json.dumps({"kind": "users", "names": [number]})


def _request(number: int, done: bool) -> dict[str, Any]:
    name = _name(number)
    received = BEGAN + timedelta(seconds=30 * number)
    return {
        "id": name,
        "state": states.COMPLETED if done else states.QUEUED,
        "kind": "users",
        "salt": name,
        "commitment": name + name,
        "sameness": name + name,
        "regulation": "gdpr",
        "received": written(received),
        "verified": written(received),
        "due": written(received + timedelta(days=30)),
        "due_asked": 0,
        "asserted_by": "client",
        "batch": number // BATCH if done else None,
        "attempts": int(done),
        "reason": None,
        "points_to": None,
        "counts": '{"interactions":1}' if done else None,
        "version": name + name if done else None,
        "changed": written(received),
    }
