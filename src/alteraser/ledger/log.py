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

from sqlalchemy import Connection, func, select

from alteraser.data.files import replace_file, write_at
from alteraser.errors import Conflict, IntegrityError
from alteraser.ledger import merkle
from alteraser.ledger.canonical import canonical, parsed
from alteraser.ledger.due import written
from alteraser.ledger.envelope import Signer, decoded, opened
from alteraser.ledger.schema import receipts, subtrees

STATEMENT = "application/vnd.alteraser.receipt+json"
CHECKPOINT = "application/vnd.alteraser.checkpoint+json"
LEAVES, HEAD, PUBLIC = "leaves", "checkpoint.json", "public.key"
"""Files of the log's folder"""
LINE = 65
"""Bytes of a leaf in its file: 64 digits and the end of a line"""


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
    tree: merkle.Tree,
    envelopes: Sequence[tuple[str, dict[str, Any]]],
    signer: Signer,
    origin: str,
    now: datetime,
) -> list[dict[str, Any]]:
    """The rows that put (request, envelope)s at the end of the log with this ``tree``, which grows
    by them, with a signature of what it becomes. It needs no transaction.
    """
    start = tree.size
    leaves = [merkle.leaf(decoded(envelope["payload"])) for _, envelope in envelopes]
    for leaf in leaves:
        tree.add(leaf)
    checkpoint = json.dumps(signer.sign(CHECKPOINT, canonical(head(tree, origin, now))))
    return [
        {
            "leaf": place,
            "hash": leaf.hex(),
            "request": request,
            "envelope": json.dumps(envelope),
            "size": tree.size,
            "checkpoint": checkpoint,
        }
        for place, (leaf, (request, envelope)) in enumerate(
            zip(leaves, envelopes, strict=True), start
        )
    ]


def append(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Put the rows of ``grown`` at the end of the log; Conflict where it grew meanwhile."""
    if not rows:
        return
    start = size(connection)
    if rows[0]["leaf"] != start:
        raise Conflict("the log of receipts grew meanwhile: nothing was written", code="fenced")
    connection.execute(receipts.insert(), list(rows))
    end = start + len(rows)
    whole = [
        {"number": number, "hash": merkle.root(_leaves(connection, number)).hex()}
        for number in range(start // merkle.GROUP, end // merkle.GROUP)
    ]
    if whole:
        connection.execute(subtrees.insert(), whole)


def size(connection: Connection) -> int:
    """How many receipts there are: leaves are numbered from 0."""
    last = select(func.coalesce(func.max(receipts.c.leaf) + 1, 0))
    return int(connection.execute(last).scalar_one())


def head(tree: merkle.Tree, origin: str, now: datetime) -> dict[str, Any]:
    """What a checkpoint says: how many leaves there are, and the root of their tree."""
    return {"at": written(now), "origin": origin, "root": tree.root.hex(), "size": tree.size}


def tree(connection: Connection, end: int | None = None) -> merkle.Tree:
    """That of the first ``end`` leaves; of all."""
    end = size(connection) if end is None else end
    groups = select(subtrees.c.hash).where(subtrees.c.number < end // merkle.GROUP)
    hashes = connection.execute(groups.order_by(subtrees.c.number)).scalars()
    rest = _leaves(connection, end // merkle.GROUP)[: end % merkle.GROUP]
    return merkle.Tree([bytes.fromhex(each) for each in hashes], rest)


def _leaves(connection: Connection, group: int) -> list[bytes]:
    """Those of a group that there are."""
    first = group * merkle.GROUP
    mine = receipts.c.leaf.between(first, first + merkle.GROUP - 1)
    found = connection.execute(select(receipts.c.hash).where(mine).order_by(receipts.c.leaf))
    return [bytes.fromhex(each) for each in found.scalars()]


def leaf_hashes(connection: Connection, start: int = 0) -> list[bytes]:
    """Of every receipt from leaf ``start`` on, in order."""
    found = select(receipts.c.hash).where(receipts.c.leaf >= start).order_by(receipts.c.leaf)
    return [bytes.fromhex(each) for each in connection.execute(found).scalars()]


def receipt(connection: Connection, request: str, public: bytes) -> bytes | None:
    """The receipt of a request as the file that is handed out; None where there is none yet."""
    row = connection.execute(select(receipts).where(receipts.c.request == request)).one_or_none()
    if row is None:
        return None
    number = row.leaf // merkle.GROUP
    own = _leaves(connection, number)[: row.size - number * merkle.GROUP]
    proof = tree(connection, row.size).inclusion(row.leaf, own)
    return canonical(
        {
            "envelope": json.loads(row.envelope),
            "log": {
                "checkpoint": json.loads(row.checkpoint),
                "inclusion": [each.hex() for each in proof],
                "leaf": row.leaf,
            },
            "public_key": public.hex(),
        }
    )


def export(connection: Connection, folder: Path, public: bytes, *, anew: bool = False) -> int:
    """Write of the log's files what is not there yet, and how many leaves there are in the ledger.
    They follow from it, and are looked at ``anew`` where they may be damaged.

    Nothing that is shown is taken back, also by a worker that was stopped in the middle of this
    while another went on. Every leaf has its place in a file that is never made shorter, and all
    who write it there write the same. What a checkpoint counts is there before it is, and one that
    counts less never takes the place of another; but for one that was about to, for which whoever
    calls this looks whether the ledger has grown, and does it again (``State.export_log``).
    """
    end, there = size(connection), _shown(folder, public)
    lines = b"".join(
        leaf.hex().encode() + b"\n" for leaf in leaf_hashes(connection, 0 if anew else there)
    )
    path, place = folder / LEAVES, LINE * (0 if anew else there)
    if not _holds(path, place, lines):
        write_at(path, place, lines)
    if not _holds(folder / PUBLIC, 0, key := public.hex().encode() + b"\n"):
        replace_file(folder / PUBLIC, key)
    if end > 0 and _shown(folder, public) < end:
        last = select(receipts.c.checkpoint).where(receipts.c.leaf == end - 1)
        content = canonical(json.loads(connection.execute(last).scalar_one()))
        replace_file(folder / HEAD, content)
    return end


def _shown(folder: Path, public: bytes) -> int:
    """Leaves that the checkpoint in ``folder`` counts; 0 for none that is in order."""
    try:
        content = (folder / HEAD).read_bytes()
        return int(checkpoint(parsed(content, HEAD), public)["size"])
    except (OSError, IntegrityError):
        return 0


def _holds(path: Path, place: int, content: bytes) -> bool:
    """Whether ``path`` has ``content`` at ``place``."""
    try:
        with path.open("rb") as file:
            file.seek(place)
            return file.read(len(content)) == content
    except OSError:
        return False


class Log:
    """The files of a log's folder, checked when they are read. Leaves behind those that the
    checkpoint counts are being written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self.public = bytes.fromhex((folder / PUBLIC).read_text(encoding="ascii").strip())
            content = (folder / HEAD).read_bytes()
        except (OSError, ValueError) as cause:
            raise IntegrityError(
                f"{folder}: not the folder of a log ({cause})", step="log"
            ) from cause
        self.head = checkpoint(parsed(content, f"{folder / HEAD}"), self.public)
        try:
            with (folder / LEAVES).open("rb") as file:
                lines = file.read(LINE * self.head["size"]).decode("ascii").split("\n")
            self.leaves = [bytes.fromhex(line) for line in lines[:-1]]
        except (OSError, ValueError) as cause:
            raise IntegrityError(
                f"{folder}: not the folder of a log ({cause})", step="log"
            ) from cause
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
