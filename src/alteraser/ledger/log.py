"""The log of receipts: signed statements in an order that can only grow, and the files that show it
to others.

A leaf is RFC 9162's hash of an envelope's payload. Whoever has the folder ``log`` (``leaves``,
``checkpoint.json``, ``public.key``) can check any receipt, and that an earlier checkpoint is a
beginning of a later one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, func, select

from alteraser.data.files import replace_file
from alteraser.errors import Conflict, IntegrityError
from alteraser.ledger import merkle
from alteraser.ledger.canonical import canonical, parsed
from alteraser.ledger.due import written
from alteraser.ledger.envelope import Signer, decoded, opened
from alteraser.ledger.schema import receipts

STATEMENT = "application/vnd.alteraser.receipt+json"
CHECKPOINT = "application/vnd.alteraser.checkpoint+json"
LEAVES, HEAD, PUBLIC = "leaves", "checkpoint.json", "public.key"
"""Files of the log's folder"""


def signed(
    statements: Sequence[tuple[str, dict[str, Any]]], signer: Signer
) -> list[tuple[str, dict[str, Any]]]:
    """(request, statement)s with each statement in its envelope: the slow part, which needs no
    transaction.
    """
    return [
        (request, signer.sign(STATEMENT, canonical(statement))) for request, statement in statements
    ]


def grown(
    leaves: Sequence[bytes],
    envelopes: Sequence[tuple[str, dict[str, Any]]],
    signer: Signer,
    origin: str,
    now: datetime,
) -> list[dict[str, Any]]:
    """The rows that put (request, envelope)s at the end of the log whose leaves are ``leaves``,
    with the tree that this makes, signed. It takes as long as the log is long, and needs no
    transaction.
    """
    start = len(leaves)
    whole = [*leaves, *(merkle.leaf(decoded(envelope["payload"])) for _, envelope in envelopes)]
    checkpoint = json.dumps(signer.sign(CHECKPOINT, canonical(head(whole, origin, now))))
    return [
        {
            "leaf": place,
            "hash": whole[place].hex(),
            "request": request,
            "envelope": json.dumps(envelope),
            "size": len(whole),
            "checkpoint": checkpoint,
        }
        for place, (request, envelope) in enumerate(envelopes, start)
    ]


def append(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Put the rows of ``grown`` at the end of the log; Conflict where it grew meanwhile."""
    size = connection.execute(select(func.count()).select_from(receipts)).scalar_one()
    if rows and rows[0]["leaf"] != size:
        raise Conflict("the log of receipts grew meanwhile: nothing was written", code="fenced")
    connection.execute(receipts.insert(), list(rows))


def head(leaves: Sequence[bytes], origin: str, now: datetime) -> dict[str, Any]:
    """What a checkpoint says: how many leaves there are, and the root of their tree."""
    return {
        "at": written(now),
        "origin": origin,
        "root": merkle.root(leaves).hex(),
        "size": len(leaves),
    }


def leaf_hashes(connection: Connection) -> list[bytes]:
    """Of every receipt, in order."""
    return [
        bytes.fromhex(each)
        for each in connection.execute(select(receipts.c.hash).order_by(receipts.c.leaf)).scalars()
    ]


def receipt(connection: Connection, request: str, public: bytes) -> bytes | None:
    """The receipt of a request as the file that is handed out; None where there is none yet."""
    row = connection.execute(select(receipts).where(receipts.c.request == request)).one_or_none()
    return (
        None if row is None else canonical(_whole(row, leaf_hashes(connection)[: row.size], public))
    )


def _whole(row: Row[Any], leaves: Sequence[bytes], public: bytes) -> dict[str, Any]:
    return {
        "envelope": json.loads(row.envelope),
        "log": {
            "checkpoint": json.loads(row.checkpoint),
            "inclusion": [each.hex() for each in merkle.inclusion(row.leaf, leaves)],
            "leaf": row.leaf,
        },
        "public_key": public.hex(),
    }


def export(connection: Connection, folder: Path, public: bytes) -> None:
    """Write the log's files; they follow from the ledger, and are written again whenever they may
    be behind it.
    """
    rows = (
        connection.execute(select(receipts.c.checkpoint).order_by(receipts.c.leaf.desc()).limit(1))
        .scalars()
        .all()
    )
    leaves = leaf_hashes(connection)
    replace_file(folder / LEAVES, b"".join(leaf.hex().encode() + b"\n" for leaf in leaves))
    replace_file(folder / PUBLIC, public.hex().encode() + b"\n")
    if rows:
        replace_file(folder / HEAD, canonical(json.loads(rows[0])))


class Log:
    """The files of a log's folder, checked when they are read."""

    def __init__(self, folder: Path) -> None:
        try:
            self.public = bytes.fromhex((folder / PUBLIC).read_text(encoding="ascii").strip())
            self.leaves = [
                bytes.fromhex(line)
                for line in (folder / LEAVES).read_text(encoding="ascii").split()
            ]
            content = (folder / HEAD).read_bytes()
        except (OSError, ValueError) as cause:
            raise IntegrityError(
                f"{folder}: not the folder of a log ({cause})", step="log"
            ) from cause
        self.head = checkpoint(parsed(content, f"{folder / HEAD}"), self.public)
        root = merkle.root(self.leaves).hex()
        if (self.head["size"], self.head["root"]) != (len(self.leaves), root):
            raise IntegrityError(
                f"{folder}: the leaves are not those of the checkpoint", step="log"
            )


def checkpoint(envelope: Any, public: bytes) -> dict[str, Any]:
    """What a signed checkpoint says; IntegrityError for one that is not signed by ``public``."""
    body = parsed(opened(envelope, CHECKPOINT, public, "the checkpoint"), "the checkpoint")
    if body.keys() != {"at", "origin", "root", "size"}:
        raise IntegrityError("the checkpoint: not one of this format", step="checkpoint")
    return dict(body)
