"""Which model is served: a pointer that is switched in one transaction, and a floor below which
nothing is served.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from alteraser.errors import IntegrityError, NotFound, RefusedByPolicy
from alteraser.ledger.due import written
from alteraser.ledger.requests import tell
from alteraser.ledger.schema import pointer, versions

SERVING = "serving"
_SERVING = select(pointer).where(pointer.c.name == SERVING)


def serving(connection: Connection) -> Row[Any]:
    """The pointer: ``version`` and ``floor``; IntegrityError where nothing is served."""
    found = connection.execute(_SERVING).one_or_none()
    if found is None:
        raise IntegrityError(
            "the ledger is damaged: it does not say which version is served; restore it from a "
            "backup",
            code="ledger",
        )
    return found


def row_of(connection: Connection, version: str) -> Row[Any]:
    """A version; NotFound."""
    found = connection.execute(select(versions).where(versions.c.id == version)).one_or_none()
    if found is None:
        raise NotFound("there is no such version", code="version")
    return found


def first(connection: Connection, version: str, what: dict[str, Any], now: datetime) -> None:
    """The version that a state begins with; nothing was erased yet."""
    _add(connection, version, what, None, None, 0, now)
    connection.execute(pointer.insert().values(name=SERVING, version=version, floor=0))
    tell(connection, "began", now, detail={"version": version})


def publish(
    connection: Connection,
    version: str,
    what: dict[str, Any],
    *,
    batch: int,
    floor: int,
    now: datetime,
) -> None:
    """From here on ``version`` is served, and nothing below ``floor``. The same one again: only the
    floor rises.
    """
    before = serving(connection)
    if version != before.version:
        _add(connection, version, what, before.version, batch, floor, now)
    else:
        connection.execute(update(versions).where(versions.c.id == version).values(floor=floor))
    connection.execute(
        update(pointer).where(pointer.c.name == SERVING).values(version=version, floor=floor)
    )
    tell(connection, "serving", now, batch=batch, detail={"version": version, "floor": floor})


def activate(connection: Connection, version: str, now: datetime) -> None:
    """Serve another version; RefusedByPolicy ``below_floor`` where that would bring back what was
    erased.
    """
    wanted, floor = row_of(connection, version), serving(connection).floor
    if wanted.floor < floor:
        raise RefusedByPolicy(
            f"version {version[:12]} stands for requests up to sequence {wanted.floor}, erased is "
            f"up to {floor}: serving it would bring back what was erased",
            code="below_floor",
            version_floor=wanted.floor,
            floor=floor,
        )
    connection.execute(update(pointer).where(pointer.c.name == SERVING).values(version=version))
    tell(connection, "serving", now, detail={"version": version, "floor": floor})


def outdated(connection: Connection) -> list[str]:
    """Versions below the floor that are not recorded as destroyed."""
    found = select(versions.c.id).where(
        versions.c.floor < serving(connection).floor,
        versions.c.destroyed.is_(None),
        versions.c.id != serving(connection).version,
    )
    return list(connection.execute(found.order_by(versions.c.number)).scalars())


def destroyed(connection: Connection, version: str, now: datetime) -> None:
    """Its files are gone."""
    connection.execute(
        update(versions).where(versions.c.id == version).values(destroyed=written(now))
    )
    tell(connection, "destroyed", now, detail={"version": version})


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Every version there was, the first one first."""
    now = serving(connection).version
    return [
        {
            "version": row.id,
            "number": row.number,
            "parent": row.parent,
            "batch": row.batch,
            "floor": row.floor,
            "published": row.published,
            "destroyed": row.destroyed,
            "serving": row.id == now,
            **json.loads(row.document),
        }
        for row in connection.execute(select(versions).order_by(versions.c.number))
    ]


def _add(
    connection: Connection,
    version: str,
    what: dict[str, Any],
    parent: str | None,
    batch: int | None,
    floor: int,
    now: datetime,
) -> None:
    number = connection.execute(
        select(func.coalesce(func.max(versions.c.number) + 1, 0))
    ).scalar_one()
    connection.execute(
        versions.insert().values(
            id=version,
            number=number,
            parent=parent,
            batch=batch,
            floor=floor,
            document=json.dumps(what, sort_keys=True),
            published=written(now),
        )
    )
