"""Who is called back when something happens to requests, and how far each of them was told.

There is no queue of messages: the ledger's events are what there is to tell, and each subscriber
has a cursor in them. A change and the duty to tell of it are therefore one commit, nothing is told
that did not happen, and what is told twice has the same event's number. Each function is part of a
transaction that its caller ends.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from alteraser.errors import NotFound
from alteraser.ledger import states
from alteraser.ledger.due import written
from alteraser.ledger.requests import row_of
from alteraser.ledger.schema import events, subscriptions

AT_ONCE = 50
"""Events that a subscriber is told of before another one has its turn"""
FIRST_WAIT, LONGEST_WAIT = 5.0, 3600.0
"""Seconds until a call that failed is made again: doubled from the first to the longest"""
ATTEMPTS = 100
"""Failures in a row, some four days of them, after which a subscriber is given up"""


@dataclass(frozen=True)
class Subscription:
    """Somebody who is called back."""

    number: int
    id: str
    form: str
    """Which protocol's message"""
    url: str
    request: str | None
    """None: all requests"""
    fields: Mapping[str, Any]
    cursor: int
    told: str | None
    """The status that was told last"""
    attempts: int


@dataclass(frozen=True)
class News:
    """Something that happened to a request, in the words of ``states``."""

    sequence: int
    at: str
    request: str
    status: str


def subscribe(
    connection: Connection,
    form: str,
    url: str,
    now: datetime,
    *,
    request: str | None = None,
    told: str | None = None,
    fields: Mapping[str, Any] | None = None,
) -> str:
    """Tell ``url`` of what happens from here on; what the subscription is called."""
    name = secrets.token_hex(8)
    connection.execute(
        subscriptions.insert().values(
            id=name,
            form=form,
            url=url,
            request=request,
            fields=json.dumps(dict(fields or {}), sort_keys=True),
            cursor=last_event(connection),
            told=told,
            attempts=0,
            next=written(now),
            made=written(now),
        )
    )
    return name


def last_event(connection: Connection) -> int:
    """The sequence of the last thing that happened, to whatever it was."""
    last = select(func.coalesce(func.max(events.c.sequence), 0))
    return int(connection.execute(last).scalar_one())


def due(connection: Connection, now: datetime) -> list[Subscription]:
    """Those who are waited for no longer, in the order they were made; whether there is news is
    another question.
    """
    found = connection.execute(
        select(subscriptions)
        .where(subscriptions.c.ended.is_(None), subscriptions.c.next <= written(now))
        .order_by(subscriptions.c.number)
    )
    return [_subscription(row) for row in found]


def news(connection: Connection, each: Subscription) -> list[News]:
    """What ``each`` is to be told next, in order. What a request repeats happens to it as well."""
    query = select(events).where(events.c.sequence > each.cursor, events.c.event.in_(states.STATES))
    if each.request is None:
        query = query.where(events.c.request.is_not(None))
    else:
        first = row_of(connection, each.request).points_to
        query = query.where(events.c.request.in_([each.request, first or each.request]))
    found = connection.execute(query.order_by(events.c.sequence).limit(AT_ONCE))
    return [News(row.sequence, row.at, row.request, row.event) for row in found]


def answered(
    connection: Connection, each: Subscription, cursor: int, told: str | None, now: datetime
) -> None:
    """Everything up to ``cursor`` was told."""
    _set(connection, each, cursor=cursor, told=told, attempts=0, next=written(now), reason=None)


def failed(
    connection: Connection, each: Subscription, reason: str, now: datetime, jitter: float
) -> None:
    """It did not answer, for the ``reason``: it is called again after a while that grows, or given
    up. ``jitter``: from 0 to 1, so that not all come back at once.
    """
    attempts = each.attempts + 1
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempts - 1, 20)) * (0.5 + 0.5 * jitter)
    _set(
        connection,
        each,
        attempts=attempts,
        reason=reason,
        next=written(now + timedelta(seconds=wait)),
        ended=written(now) if attempts >= ATTEMPTS else None,
    )


def end(connection: Connection, each: Subscription, now: datetime) -> None:
    """There is nothing more to tell."""
    _set(connection, each, ended=written(now), reason="done")


def cancel(connection: Connection, name: str, form: str, now: datetime) -> None:
    """Tell it no more; NotFound."""
    _found(connection, name, form)
    connection.execute(
        update(subscriptions)
        .where(subscriptions.c.id == name)
        .values(ended=written(now), reason="cancelled")
    )


def resume(connection: Connection, name: str, form: str, now: datetime) -> None:
    """Call one again that was given up, from where it was; NotFound."""
    _found(connection, name, form)
    connection.execute(
        update(subscriptions)
        .where(subscriptions.c.id == name)
        .values(ended=None, reason=None, attempts=0, next=written(now))
    )


def listed(connection: Connection, form: str) -> list[dict[str, Any]]:
    """Every subscription of a form, with how it fares."""
    found = select(subscriptions).where(subscriptions.c.form == form)
    return [
        {
            "id": row.id,
            "url": row.url,
            "made": row.made,
            "told_up_to": row.cursor,
            "failures": row.attempts,
            "reason": row.reason,
            "next": row.next if row.ended is None else None,
            "ended": row.ended,
        }
        for row in connection.execute(found.order_by(subscriptions.c.number))
    ]


def counted(connection: Connection) -> dict[str, int]:
    """How many are called, fail at the moment, and were given up."""
    going, given_up = subscriptions.c.ended.is_(None), subscriptions.c.attempts >= ATTEMPTS
    wanted = {
        "active": going,
        "failing": going & (subscriptions.c.attempts > 0),
        "given_up": given_up,
    }
    return {
        name: connection.execute(
            select(func.count()).select_from(subscriptions).where(which)
        ).scalar_one()
        for name, which in wanted.items()
    }


def _found(connection: Connection, name: str, form: str) -> None:
    query = select(subscriptions.c.id).where(
        subscriptions.c.id == name, subscriptions.c.form == form
    )
    if connection.execute(query).one_or_none() is None:
        raise NotFound("there is no such subscription", code="subscription")


def _set(connection: Connection, each: Subscription, **values: Any) -> None:
    connection.execute(
        update(subscriptions).where(subscriptions.c.number == each.number).values(**values)
    )


def _subscription(row: Row[Any]) -> Subscription:
    return Subscription(
        row.number,
        row.id,
        row.form,
        row.url,
        row.request,
        json.loads(row.fields),
        row.cursor,
        row.told,
        row.attempts,
    )
