"""Interactions that were added since the served version was made."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from alteraser.ledger.due import written
from alteraser.ledger.schema import batches, ingests


def add(connection: Connection, file: str, rows: int, now: datetime) -> int:
    """``rows`` of them lie in ``file``; its place in their order."""
    added = connection.execute(ingests.insert().values(file=file, rows=rows, at=written(now)))
    assert added.inserted_primary_key is not None
    return int(added.inserted_primary_key[0])


def waiting(connection: Connection) -> list[Row[Any]]:
    """Those that the served version has not learned, in order: of no batch, or of one that is not
    published.
    """
    learned = select(batches.c.number).where(batches.c.published.is_not(None))
    found = select(ingests).where(ingests.c.batch.is_(None) | ingests.c.batch.not_in(learned))
    return list(connection.execute(found.order_by(ingests.c.sequence)))


def of_batch(connection: Connection, number: int) -> list[Row[Any]]:
    """Those that a batch learns."""
    return list(
        connection.execute(
            select(ingests).where(ingests.c.batch == number).order_by(ingests.c.sequence)
        )
    )


def files_kept(connection: Connection) -> set[str]:
    """Files that are still needed."""
    return {row.file for row in waiting(connection)}


def rows_waiting(connection: Connection) -> int:
    """How many interactions wait."""
    learned = select(batches.c.number).where(batches.c.published.is_not(None))
    found = select(func.coalesce(func.sum(ingests.c.rows), 0)).where(
        ingests.c.batch.is_(None) | ingests.c.batch.not_in(learned)
    )
    return int(connection.execute(found).scalar_one())
