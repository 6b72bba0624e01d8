"""Work: which requests go together and how, written down before it begins, and how far it is.

A batch takes all that is queued. Its members, the version it starts from and its plan are durable
first, so that the version it ends in is a function of them: whoever finds it half done does it
again and gets the same bytes. Every step is a transaction that checks the worker's token; see
``states.STEPS``.

Whoever submits meanwhile waits for a transaction of the worker at most, so none of these moves more
than ``CHUNK`` requests. Where a batch has more, others follow: into it while it is ``gathering``,
behind it (``follow``) once its version is there, and before it to receipts and the end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, update

from alteraser.ledger import requests as of_requests
from alteraser.ledger import states, versions
from alteraser.ledger.asked import Asked
from alteraser.ledger.due import written
from alteraser.ledger.leases import Lease, check
from alteraser.ledger.schema import batches, ingests, named, requests

MOST = 2_000
"""Requests of a batch"""
CHUNK = 200
"""Requests that one transaction moves"""
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


def made(connection: Connection) -> str | None:
    """The version that a batch has made and that is not served yet."""
    there = batches.c.state.in_(("scrubbed", "checked"))
    found: str | None = connection.execute(
        select(batches.c.version).where(there).limit(1)
    ).scalar_one_or_none()
    return found


def row_of(connection: Connection, number: int) -> Batch:
    """A batch."""
    return _batch(connection.execute(select(batches).where(batches.c.number == number)).one())


def plan(
    connection: Connection,
    lease: Lease,
    now: datetime,
    how: Mapping[str, Any],
    *,
    most: int = MOST,
    learn: bool = True,
) -> Batch | None:
    """A new batch of the first ``most`` requests in the queue, and of all interactions that were
    added, unless it is not to ``learn``; None: nothing. It is ``planned``, or where these are many
    ``gathering`` (``gather``).

    ``how`` is the plan; what it is a function of is put beside it.
    """
    check(connection, lease)
    queued = select(requests.c.sequence).where(requests.c.state == states.QUEUED)
    first = queued.order_by(requests.c.sequence).limit(most).subquery()
    last = connection.execute(select(func.max(first.c.sequence))).scalar_one()
    if last is None:
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
    whole = dict(how) | {"up_to": last, "added": list(added) if learn else []}
    whole |= {} if learn else {"left_out": list(added)}
    floor = of_requests.tell(
        connection, "planned", now, batch=number, detail=whole | {"start_version": start}
    )
    connection.execute(
        batches.insert().values(
            number=number,
            state="gathering",
            floor=floor,
            start_version=start,
            plan=json.dumps(whole, sort_keys=True),
            started=written(now),
        )
    )
    if learn:
        mine = ingests.c.sequence.in_(added)
        connection.execute(update(ingests).where(mine).values(batch=number))
    return gather(connection, lease, row_of(connection, number), now)


def gather(connection: Connection, lease: Lease, batch: Batch, now: datetime) -> Batch:
    """More of the queue joins the batch, up to where it was planned to; ``planned`` once all are in
    it who have not been cancelled or held meanwhile.
    """
    check(connection, lease)
    waits = (requests.c.state == states.QUEUED) & (requests.c.sequence <= batch.plan["up_to"])
    part = select(requests.c.sequence).where(waits).order_by(requests.c.sequence).limit(CHUNK)
    connection.execute(
        update(requests)
        .where(requests.c.sequence.in_(part.scalar_subquery()))
        .values(batch=batch.number, attempts=requests.c.attempts + 1)
    )
    of_requests.happen_in(connection, batch.number, "start", now, of=states.QUEUED)
    if connection.execute(select(requests.c.sequence).where(waits).limit(1)).first() is not None:
        return batch
    joined = select(func.count()).where(requests.c.batch == batch.number)
    whole = batch.plan | {"requests": connection.execute(joined).scalar_one()}
    return _become(connection, batch, "planned", plan=whole)


def members(connection: Connection, number: int) -> list[Member]:
    """The requests of a batch, in the ledger's order."""
    found = connection.execute(
        select(requests.c.id, requests.c.sequence, requests.c.attempts, named.c.selection)
        .join(named, named.c.request == requests.c.id)
        .where(requests.c.batch == number)
        .order_by(requests.c.sequence)
    )
    return [Member(row.id, Asked.read(row.selection), row.sequence, row.attempts) for row in found]


def advance(
    connection: Connection, lease: Lease, batch: Batch, to: str, now: datetime, **values: Any
) -> Batch:
    """The batch becomes ``to``, and its requests follow. Conflict: another worker took over, or it
    is not its turn.
    """
    check(connection, lease)
    done = _become(connection, batch, to, **values)
    follow(connection, lease, done, now)
    return done


def _become(connection: Connection, batch: Batch, to: str, **values: Any) -> Batch:
    states.step(batch.state, to)
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
    return row_of(connection, batch.number)


def rows_in(connection: Connection, number: int, state: str) -> Sequence[Row[Any]]:
    """The next ``CHUNK`` requests of a batch that have a status, whole."""
    mine = select(requests).where(requests.c.batch == number, requests.c.state == state)
    return connection.execute(mine.order_by(requests.c.sequence).limit(CHUNK)).all()


def behind(connection: Connection, batch: Batch) -> bool:
    """Whether a request is not yet what its batch is."""
    state, _ = states.FOLLOWED.get(batch.state, (None, None))
    return state is not None and bool(rows_in(connection, batch.number, state))


def follow(connection: Connection, lease: Lease, batch: Batch, now: datetime) -> None:
    """The next ``CHUNK`` requests of a batch become what it is."""
    check(connection, lease)
    if batch.state not in states.FOLLOWED:
        return
    before, happens = states.FOLLOWED[batch.state]
    if batch.state == "published":
        assert batch.version is not None
        assert batch.work is not None
        counts = batch.work["counts"]
        names = [row.id for row in rows_in(connection, batch.number, before)]
        _found(connection, batch.version, {name: counts[name] for name in names})
    of_requests.happen_in(connection, batch.number, happens, now, of=before, most=CHUNK)


def receipted(connection: Connection, lease: Lease, batch: Batch, now: datetime) -> Batch:
    """The next ``CHUNK`` requests of the batch have their receipts, which the caller has written in
    this transaction; so has the batch, once all have.
    """
    check(connection, lease)
    last = of_requests.happen_in(
        connection, batch.number, "receipt", now, of=states.PUBLISHED, most=CHUNK
    )
    return _become(connection, batch, "receipted") if last else batch


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
    of_requests.happen_in(connection, batch.number, "again", now, of=states.SCRUBBED)
    return row_of(connection, batch.number)


def nothing_found(counts: Mapping[str, int]) -> bool:
    """Whether a request that came to ``counts`` took nothing away."""
    return counts["interactions"] == 0 and not counts.get("values")


def _found(connection: Connection, version: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    if counts:
        connection.execute(
            update(requests)
            .where(requests.c.id == bindparam("name"))
            .values(counts=bindparam("found"), version=version),
            [
                {"name": name, "found": json.dumps(each, sort_keys=True)}
                for name, each in counts.items()
            ],
        )


def drop(connection: Connection, batch: Batch, now: datetime) -> int:
    """What the batch was made without is never learned: with it there was no version, and it may be
    of those who asked. How many interactions these are.
    """
    mine = ingests.c.sequence.in_(batch.plan.get("left_out", ()))
    rows = connection.execute(
        select(func.coalesce(func.sum(ingests.c.rows), 0)).where(mine)
    ).scalar_one()
    if rows:
        connection.execute(update(ingests).where(mine).values(batch=batch.number))
        of_requests.tell(connection, "dropped", now, batch=batch.number, detail={"rows": rows})
    return int(rows)


def unlearn(connection: Connection, number: int) -> None:
    """What was added waits for the next batch: this one made no version."""
    connection.execute(update(ingests).where(ingests.c.batch == number).values(batch=None))


def complete(connection: Connection, lease: Lease, batch: Batch, now: datetime) -> Batch:
    """The end, of the next ``CHUNK`` requests: they are completed, and what they named is gone from
    the ledger. The batch is over with the last of them.
    """
    check(connection, lease)
    part = rows_in(connection, batch.number, states.RECEIPTED)
    nothing = [row.id for row in part if nothing_found(json.loads(row.counts))]
    of_requests.happen(connection, nothing, "find nothing", now, batch=batch.number)
    last = of_requests.happen_in(
        connection,
        batch.number,
        "complete",
        now,
        of=states.RECEIPTED,
        most=len(part) - len(nothing),
    )
    return _become(connection, batch, "done") if last else batch


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
    mine = requests.c.batch == batch.number
    rows = connection.execute(select(requests).where(mine).order_by(requests.c.sequence)).all()
    again = [row.id for row in rows if row.attempts < ATTEMPTS]
    of_requests.happen(connection, again, "retry", now)
    connection.execute(
        update(requests).where(mine, requests.c.state == states.QUEUED).values(batch=None)
    )
    for row in rows:
        if row.attempts >= ATTEMPTS:
            of_requests.succeed(connection, row, now)
            of_requests.happen(connection, [row.id], "give up", now, reason=reason)


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
