"""Work: which requests go together and how, written down before it begins, and how far it is.

A batch takes all that is queued. Its members, the version it starts from and its plan are durable
first, so that the version it ends in is a function of them: whoever finds it half done does it
again and gets the same bytes. Every step is a transaction that checks the worker's token; see
``states.STEPS``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from alteraser.ledger import requests as of_requests
from alteraser.ledger import states, versions
from alteraser.ledger.asked import Asked
from alteraser.ledger.due import written
from alteraser.ledger.leases import Lease, check
from alteraser.ledger.schema import batches, ingests, requests

MOST = 2_000
"""Requests of a batch"""
ATTEMPTS = 3
"""Batches that a request is tried in"""


@dataclass(frozen=True)
class Batch:
    """A batch as the ledger has it."""

    number: int
    state: str
    floor: int
    """Sequence of the event that planned it: what the version it ends in is at least good for"""
    start_version: str
    plan: dict[str, Any]
    version: str | None
    certificate: dict[str, Any] | None
    work: dict[str, Any] | None
    started: str
    published: str | None

    @property
    def over(self) -> bool:
        """Nothing is left to do."""
        return self.state in ("done", states.ABANDONED)


@dataclass(frozen=True)
class Member:
    """A request of a batch."""

    id: str
    asked: Asked
    sequence: int
    attempts: int


def current(connection: Connection) -> Batch | None:
    """The batch that is not over; there is one at most."""
    found = connection.execute(
        select(batches)
        .where(batches.c.state.not_in(("done", states.ABANDONED)))
        .order_by(batches.c.number)
        .limit(1)
    ).one_or_none()
    return None if found is None else _batch(found)


def row_of(connection: Connection, number: int) -> Batch:
    """A batch."""
    return _batch(connection.execute(select(batches).where(batches.c.number == number)).one())


def plan(
    connection: Connection, lease: Lease, now: datetime, how: Mapping[str, Any], *, most: int = MOST
) -> Batch | None:
    """A new batch of the first ``most`` requests in the queue, and of all interactions that were
    added; None: nothing.

    ``how`` is the plan; what it is a function of is put beside it.
    """
    check(connection, lease)
    queued = select(requests.c.sequence).where(requests.c.state == states.QUEUED)
    first = queued.order_by(requests.c.sequence).limit(most).subquery()
    count, last = connection.execute(select(func.count(), func.max(first.c.sequence))).one()
    if not count:
        return None
    number = connection.execute(
        select(func.coalesce(func.max(batches.c.number) + 1, 1))
    ).scalar_one()
    added = (
        connection.execute(select(ingests.c.sequence).where(ingests.c.batch.is_(None)))
        .scalars()
        .all()
    )
    start = versions.serving(connection).version
    whole = dict(how) | {"requests": count, "added": list(added)}
    floor = of_requests.tell(
        connection, "planned", now, batch=number, detail=whole | {"start_version": start}
    )
    connection.execute(
        batches.insert().values(
            number=number,
            state="planned",
            floor=floor,
            start_version=start,
            plan=json.dumps(whole, sort_keys=True),
            started=written(now),
        )
    )
    connection.execute(update(ingests).where(ingests.c.sequence.in_(added)).values(batch=number))
    connection.execute(
        update(requests)
        .where(requests.c.state == states.QUEUED, requests.c.sequence <= last)
        .values(batch=number, attempts=requests.c.attempts + 1)
    )
    of_requests.happen_in(connection, number, "start", now)
    return row_of(connection, number)


def members(connection: Connection, number: int) -> list[Member]:
    """The requests of a batch, in the ledger's order."""
    found = connection.execute(
        select(requests).where(requests.c.batch == number).order_by(requests.c.sequence)
    )
    return [
        Member(row.id, Asked.read(row.selection), row.sequence, row.attempts)
        for row in found
        if row.selection is not None
    ]


def advance(
    connection: Connection, lease: Lease, batch: Batch, to: str, now: datetime, **values: Any
) -> Batch:
    """The batch becomes ``to``, and its requests with it. Conflict: another worker took over, or it
    is not its turn.
    """
    check(connection, lease)
    happens = states.step(batch.state, to)
    stored = {
        name: json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
        for name, value in values.items()
    }
    changed = connection.execute(
        update(batches)
        .where(batches.c.number == batch.number, batches.c.state == batch.state)
        .values(state=to, **stored)
    )
    if changed.rowcount != 1:
        states.step(row_of(connection, batch.number).state, to)
    if happens != "complete":  # which of two ends a request comes to is its own affair
        of_requests.happen_in(connection, batch.number, happens, now)
    return row_of(connection, batch.number)


def again(connection: Connection, lease: Lease, batch: Batch, now: datetime) -> Batch:
    """The check failed and the plan has another method: the batch begins anew with that."""
    check(connection, lease)
    states.step(batch.state, "checked")
    whole = batch.plan | {"attempt": batch.plan.get("attempt", 0) + 1}
    connection.execute(
        update(batches)
        .where(batches.c.number == batch.number)
        .values(state="planned", version=None, plan=json.dumps(whole, sort_keys=True))
    )
    of_requests.happen_in(connection, batch.number, "again", now)
    return row_of(connection, batch.number)


def found(connection: Connection, version: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    """What was found of each request, and the version that is without it."""
    connection.execute(
        update(requests)
        .where(requests.c.id == bindparam("name"))
        .values(counts=bindparam("found"), version=version),
        [
            {"name": name, "found": json.dumps(each, sort_keys=True)}
            for name, each in counts.items()
        ],
    )


def unlearn(connection: Connection, number: int) -> None:
    """What was added waits for the next batch: this one made no version."""
    connection.execute(update(ingests).where(ingests.c.batch == number).values(batch=None))


def complete(connection: Connection, lease: Lease, batch: Batch, now: datetime) -> Batch:
    """The end: every request is completed, what it named is gone from the ledger, and the batch is
    over.
    """
    done = advance(connection, lease, batch, "done", now)
    mine = select(requests.c.id, requests.c.counts).where(requests.c.batch == batch.number)
    found = connection.execute(mine.order_by(requests.c.sequence))
    nothing = [row.id for row in found if json.loads(row.counts)["interactions"] == 0]
    of_requests.happen(connection, nothing, "find nothing", now, batch=batch.number, selection=None)
    of_requests.happen_in(
        connection, batch.number, "complete", now, of=states.RECEIPTED, selection=None
    )
    return done


def abandon(connection: Connection, lease: Lease, batch: Batch, reason: str, now: datetime) -> None:
    """It did not pass: its requests are queued again, or fail where their tries are used up:
    duplicates take over.
    """
    check(connection, lease)
    connection.execute(
        update(batches).where(batches.c.number == batch.number).values(state=states.ABANDONED)
    )
    connection.execute(update(ingests).where(ingests.c.batch == batch.number).values(batch=None))
    of_requests.tell(connection, "abandoned", now, batch=batch.number, detail={"reason": reason})
    for row in connection.execute(select(requests).where(requests.c.batch == batch.number)).all():
        if row.attempts < ATTEMPTS:
            of_requests.happen(connection, [row.id], "retry", now, batch=None)
            connection.execute(update(requests).where(requests.c.id == row.id).values(batch=None))
        else:
            of_requests.succeed(connection, row, now)
            of_requests.happen(connection, [row.id], "give up", now, reason=reason, selection=None)


def _batch(row: Any) -> Batch:
    certificate = None if row.certificate is None else json.loads(row.certificate)
    work = None if row.work is None else json.loads(row.work)
    return Batch(
        row.number,
        row.state,
        row.floor,
        row.start_version,
        json.loads(row.plan),
        row.version,
        certificate,
        work,
        row.started,
        row.published,
    )
