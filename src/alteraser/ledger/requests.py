"""Requests: taken in, shown, cancelled, held. Each function is part of a transaction that its
caller ends.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, literal, select, union_all, update

from alteraser.errors import Conflict, NotFound
from alteraser.ledger import states
from alteraser.ledger.asked import Asked
from alteraser.ledger.due import due, moment, written
from alteraser.ledger.schema import ended, events, idempotency, named, requests

AT_RISK = (0.5, 0.8, 0.95)
"""Shares of the period after which a request that is not done is said to be at risk"""


AT_ONCE = 500
"""Requests that one statement names"""


# what every submission does is put together once: SQLAlchemy spends longer on that than SQLite on
# the work
_TAKE_IN, _NAME, _TELL = requests.insert(), idempotency.insert(), events.insert()
_ABOUT = named.insert()
_FIRST_QUEUED = (
    select(requests.c.id)
    .where(
        requests.c.sameness == bindparam("same"),
        requests.c.state == states.QUEUED,
        requests.c.id != bindparam("mine"),
    )
    .order_by(requests.c.sequence)
    .limit(1)
)
_MINE = (idempotency.c.key_id == bindparam("key_id")) & (idempotency.c.given == bindparam("given"))
_KNOWN = select(  # in one question, as each is a way to the server and back
    select(idempotency.c.body).where(_MINE).scalar_subquery().label("body"),
    select(idempotency.c.request).where(_MINE).scalar_subquery().label("request"),
    _FIRST_QUEUED.scalar_subquery().label("first"),
)


@dataclass(frozen=True)
class Sender:
    """Who sends a request, under which name, and how it is known again."""

    key_id: str
    given: str
    """The ``Idempotency-Key``"""
    body: bytes
    """What was sent, to tell a repetition from another request under the same name"""
    verifies: bool = True
    """Whether the sender vouches for who asks"""


def submit(
    connection: Connection, wanted: Asked, sender: Sender, *, secret: bytes, now: datetime
) -> tuple[dict[str, Any], bool]:
    """Take a request in; (what is answered, whether it was there already). Durable once the
    transaction is.

    Raises Conflict where the sender used the same name for something else.
    """
    named = _keyed(secret, "name", sender.given.encode("utf-8", "surrogatepass"))
    body = _keyed(secret, "body", sender.body)
    document_text = wanted.document
    sameness = _keyed(secret, "selection", document_text.encode())
    asked = {"key_id": sender.key_id, "given": named, "same": sameness, "mine": ""}
    known = connection.execute(_KNOWN, asked).one()
    if known.request is not None:
        if known.body != body:
            raise Conflict(
                "this Idempotency-Key was used for another request; take a new one",
                code="key_reused",
            )
        return document(row_of(connection, known.request)), True
    name, salt = secrets.token_hex(16), secrets.token_hex(16)
    end = due(now, wanted.regulation, wanted.due)
    first = known.first if sender.verifies and not wanted.held else None
    path = (
        ["doubt"]
        if not sender.verifies
        else ["verify", "hold" if wanted.held else "queue" if first is None else "repeat"]
    )
    passed = [states.RECEIVED]
    for happens in path:
        passed.append(states.after(passed[-1], happens))
    values = {
        "id": name,
        "state": passed[-1],
        "kind": wanted.kind,
        "salt": salt,
        "commitment": commitment(salt, document_text),
        "sameness": sameness,
        "regulation": wanted.regulation,
        "received": written(now),
        "due": written(end),
        "verified": written(now) if sender.verifies else None,
        "due_asked": int(wanted.due is not None and end == wanted.due),
        "asserted_by": sender.key_id,
        "attempts": 0,
        "reason": "held" if wanted.held and not sender.verifies else None,
        "points_to": first,
        "changed": written(now),
        "batch": None,
        "counts": None,
        "version": None,
    }
    added = connection.execute(_TAKE_IN, values)
    assert added.inserted_primary_key is not None
    if first is None:
        connection.execute(_ABOUT, {"request": name, "selection": document_text})
    connection.execute(
        _NAME, {"key_id": sender.key_id, "given": named, "body": body, "request": name}
    )
    connection.execute(
        _TELL, [{"at": written(now), "request": name, "event": state} for state in passed]
    )
    return _document(values | {"sequence": int(added.inserted_primary_key[0])}), False


def commitment(salt: str, selection: str) -> str:
    """SHA-256(salt ‖ 0x0A ‖ what is to be forgotten as JSON): says nothing without the salt, the
    requester's.
    """
    return hashlib.sha256(bytes.fromhex(salt) + b"\n" + selection.encode()).hexdigest()


def verify(connection: Connection, name: str, now: datetime) -> dict[str, Any]:
    """Somebody vouches for who asked."""
    row = row_of(connection, name)
    _verify(connection, name, now, held=row.reason == "held")
    return document(row_of(connection, name))


def _verify(connection: Connection, name: str, now: datetime, *, held: bool) -> None:
    happen(connection, [name], "verify", now, verified=written(now), reason=None)
    if held:
        happen(connection, [name], "hold", now)
        return
    first = _first_queued(connection, row_of(connection, name).sameness, name)
    if first is None:
        happen(connection, [name], "queue", now)
    else:
        happen(connection, [name], "repeat", now, points_to=first)


def _first_queued(connection: Connection, sameness: str, name: str) -> str | None:
    """Another request for the same that waits, verified and in the queue; the one called ``name``
    is none.
    """
    found: str | None = connection.execute(
        _FIRST_QUEUED, {"same": sameness, "mine": name}
    ).scalar_one_or_none()
    return found


def cancel(connection: Connection, name: str, now: datetime) -> dict[str, Any]:
    """Before work begins; Conflict ``too_late`` afterwards. A duplicate of it takes its place."""
    row = row_of(connection, name)
    if row.state not in states.WAITING:
        raise Conflict(
            f"the request is {row.state}: it cannot be cancelled any more", code="too_late"
        )
    succeed(connection, row, now)
    happen(connection, [name], "cancel", now)
    return document(row_of(connection, name))


def succeed(connection: Connection, row: Row[Any], now: datetime) -> None:
    """The first duplicate of a request that will not be done takes over; the others point to it."""
    others = (
        connection.execute(
            select(requests.c.id)
            .where(requests.c.points_to == row.id)
            .order_by(requests.c.sequence)
        )
        .scalars()
        .all()
    )
    if not others:
        return
    happen(connection, others[:1], "take over", now, points_to=None)
    about = select(literal(others[0]), named.c.selection).where(named.c.request == row.id)
    connection.execute(_ABOUT.from_select(["request", "selection"], about))
    connection.execute(
        update(requests).where(requests.c.id.in_(others[1:])).values(points_to=others[0])
    )


def hold(connection: Connection, name: str, now: datetime) -> dict[str, Any]:
    """A legal hold: nothing is done until it is released. A duplicate of it takes its place."""
    row = row_of(connection, name)
    if row.state == states.QUEUED:
        succeed(connection, row, now)
    happen(connection, [name], "hold", now)
    return document(row_of(connection, name))


def release(connection: Connection, name: str, now: datetime) -> dict[str, Any]:
    """The hold ends."""
    happen(connection, [name], "release", now)
    return document(row_of(connection, name))


def reject(
    connection: Connection, name: str, now: datetime, reason: str = "not_verified"
) -> dict[str, Any]:
    """Nobody vouched for who asked."""
    happen(connection, [name], "reject", now, reason=reason)
    return document(row_of(connection, name))


def happen(
    connection: Connection,
    names: Sequence[str],
    what: str,
    now: datetime,
    *,
    batch: int | None = None,
    **values: Any,
) -> None:
    """``what`` happens to requests, by the table of states; NotFound, or Conflict where it
    cannot.
    """
    for start in range(0, len(names), AT_ONCE):
        part = list(names[start : start + AT_ONCE])
        found = connection.execute(
            select(requests.c.id, requests.c.state).where(requests.c.id.in_(part))
        )
        before = {row.id: row.state for row in found}
        if len(before) < len(set(part)):
            raise NotFound("there is no such request", code="request")
        for state in sorted(set(before.values())):
            _move(
                connection,
                [name for name in part if before[name] == state],
                state,
                what,
                now,
                batch,
                values,
            )


def happen_in(
    connection: Connection,
    batch: int,
    what: str,
    now: datetime,
    *,
    of: str,
    most: int | None = None,
    **values: Any,
) -> bool:
    """``what`` happens to the requests of a batch with the status ``of``, or to the first ``most``
    of them; whether that were all. A few statements, however many they are.
    """
    state = states.after(of, what)
    mine = (requests.c.batch == batch) & (requests.c.state == of)
    in_order = select(requests.c.sequence).where(mine).order_by(requests.c.sequence)
    last = None
    if most is not None:  # the first of those that stay behind
        last = connection.execute(in_order.offset(most).limit(1)).scalar_one_or_none()
        mine = mine if last is None else mine & (requests.c.sequence < last)
    told = select(literal(written(now)), requests.c.id, literal(batch), literal(state)).where(mine)
    columns = ["at", "request", "batch", "event"]
    connection.execute(events.insert().from_select(columns, told.order_by(requests.c.sequence)))
    if state in states.FINAL:
        connection.execute(
            delete(named).where(named.c.request.in_(select(requests.c.id).where(mine)))
        )
    connection.execute(
        update(requests).where(mine).values(state=state, changed=written(now), **values)
    )
    return last is None


def _move(
    connection: Connection,
    names: list[str],
    before: str,
    what: str,
    now: datetime,
    batch: int | None,
    values: dict[str, Any],
) -> None:
    state = states.after(before, what)
    changed = connection.execute(
        update(requests)
        .where(requests.c.id.in_(names), requests.c.state == before)
        .values(state=state, changed=written(now), **values)
    )
    if changed.rowcount != len(names):
        raise Conflict(f"the request is not {before} any more", code="state")
    if state in states.FINAL:
        forget(connection, names)
    told = [{"at": written(now), "request": name, "batch": batch, "event": state} for name in names]
    connection.execute(events.insert(), told)


def forget(connection: Connection, names: Sequence[str]) -> None:
    """What these requests were about is in the ledger no more."""
    connection.execute(delete(named).where(named.c.request.in_(names)))


def tell(
    connection: Connection,
    what: str,
    now: datetime,
    *,
    request: str | None = None,
    batch: int | None = None,
    detail: dict[str, Any] | None = None,
) -> int:
    """Add an event; its sequence."""
    added = connection.execute(
        events.insert().values(
            at=written(now),
            request=request,
            batch=batch,
            event=what,
            detail=None if detail is None else json.dumps(detail, sort_keys=True),
        )
    )
    assert added.inserted_primary_key is not None
    return int(added.inserted_primary_key[0])


def row_of(connection: Connection, name: str) -> Row[Any]:
    """The request called ``name``; NotFound."""
    found = connection.execute(select(requests).where(requests.c.id == name)).one_or_none()
    if found is None:
        raise NotFound("there is no such request", code="request")
    return found


def listed(
    connection: Connection,
    *,
    state: str | None = None,
    after: int = 0,
    limit: int = 100,
    newest: bool = False,
) -> list[dict[str, Any]]:
    """Requests in their order, ``limit`` of them behind the sequence ``after``."""
    query = select(requests).where(requests.c.sequence > after)
    if state is not None:
        query = query.where(requests.c.state == state)
    order = requests.c.sequence.desc() if newest else requests.c.sequence
    return [document(row) for row in connection.execute(query.order_by(order).limit(limit))]


def history(connection: Connection, name: str) -> list[dict[str, Any]]:
    """What happened to a request, in order."""
    found = connection.execute(
        select(events).where(events.c.request == name).order_by(events.c.sequence)
    )
    return [
        {"sequence": row.sequence, "at": row.at, "event": row.event, "batch": row.batch}
        for row in found
    ]


def counted(connection: Connection) -> dict[str, int]:
    """How many requests have each status."""
    under_way = select(requests.c.state, func.count()).where(requests.c.state.in_(states.OPEN))
    found = [*connection.execute(under_way.group_by(requests.c.state))]
    found += connection.execute(select(ended.c.state, ended.c.number))
    return dict.fromkeys(states.STATES, 0) | {state: count for state, count in found}


def earliest_due(connection: Connection) -> str | None:
    """Of what is not done."""
    each = [select(func.min(requests.c.due)).where(requests.c.state == one) for one in states.OPEN]
    found = connection.execute(union_all(*each)).scalars()
    return min((due for due in found if due is not None), default=None)


def at_risk(connection: Connection, now: datetime) -> dict[float, int]:
    """How many requests are not done after each of the shares ``AT_RISK`` of their period."""
    query = select(requests.c.received, requests.c.due).where(requests.c.state.in_(states.OPEN))
    # as ``written`` wrote them: looked at often, and read without ``moment``'s care
    shares = [
        _elapsed(datetime.fromisoformat(row.received), datetime.fromisoformat(row.due), now)
        for row in connection.execute(query)
    ]
    return {limit: sum(share >= limit for share in shares) for limit in AT_RISK}


def document(row: Row[Any]) -> dict[str, Any]:
    """A request as it is shown; never what it names."""
    return _document(row._mapping)


def _document(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "request_id": row["id"],
        "status": row["state"],
        **{
            name: row[name]
            for name in ("sequence", "kind", "received", "due", "regulation", "commitment", "salt")
        },
        "counts": None if row["counts"] is None else json.loads(row["counts"]),
        "duplicate_of": row["points_to"],
        **{name: row[name] for name in ("batch", "version", "reason", "changed")},
    }


def elapsed(shown: dict[str, Any], now: datetime) -> float:
    """Share of the period from receipt to due date that is over."""
    return _elapsed(moment(shown["received"]), moment(shown["due"]), now)


def _elapsed(start: datetime, end: datetime, now: datetime) -> float:
    whole = (end - start).total_seconds()
    return 1.0 if whole <= 0 else (now - start).total_seconds() / whole


def _keyed(secret: bytes, what: str, content: bytes) -> str:
    return hmac.digest(secret, what.encode() + b"\n" + content, "sha256").hex()
