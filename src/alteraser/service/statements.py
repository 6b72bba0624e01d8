"""What a receipt says: an in-toto statement about the published model, with the fields of an
erasure and its limits.

No id of a user or an item is in it, no hash of one, nobody's name: the request is committed to with
a salt that only the requester was given.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

import alteraser
from alteraser.ledger.batches import Batch, nothing_found
from alteraser.ledger.due import written
from alteraser.ledger.receipts import PREDICATE_TYPE, STATEMENT_TYPE

ALWAYS = (
    "BACKUPS_NOT_COVERED",
    "DELETION_INFERENCE_POSSIBLE",
    "DERIVED_EXPORTS_NOT_COVERED",
    "DOWNSTREAM_UNCONFIRMED",
    "HYPERPARAMETERS_NOT_RESELECTED",
    "IDENTITY_ASSERTED_BY_CONTROLLER",
    "NO_ADAPTIVE_DP",
    "NO_DP",
    "PRIOR_RELEASES_NOT_RECALLED",
    "PROVIDER_TRUSTED",
)
"""Limits that nothing the service does takes away"""


@dataclass(frozen=True)
class Publication:
    """What all receipts of a batch have in common."""

    batch: Batch
    origin: str
    before: Mapping[str, Any]
    """``version.json`` of the version that the batch began from"""
    after: Mapping[str, Any]
    after_version: str
    before_version: str
    destroyed: bool
    """Whether the files of every version below the floor are gone"""
    events: tuple[int, int]
    """The first and the last event of the ledger that the batch has"""
    on_server: bool = False
    """Whether the ledger lies on a database server, which keeps a log of its own"""


def statement(row: Any, published: Publication, now: datetime) -> dict[str, Any]:
    """The statement about the request ``row``."""
    counts, batch = row["counts"], published.batch
    nothing = nothing_found(counts)
    certificate = None if published.after_version == published.before_version else batch.certificate
    return {
        "_type": STATEMENT_TYPE,
        "predicateType": PREDICATE_TYPE,
        "subject": [
            {"name": "model", "digest": {"sha256": published.after["model"]}},
            {"name": "version", "digest": {"sha256": published.after_version}},
        ],
        "predicate": {
            "schema": 1,
            "issuer": published.origin,
            "status": "completed_nothing_found" if nothing else "completed",
            "request": {
                "id": row["id"],
                "commitment": row["commitment"],
                "kind": row["kind"],
                "regulation": row["regulation"],
                "channel": "api",
            },
            "verification": {
                "asserted_by": row["asserted_by"],
                "method": "sender",
                "time": row["verified"],
            },
            "times": {
                "received": row["received"],
                "due": row["due"],
                "due_rule": "requested" if row["due_asked"] else row["regulation"],
                "started": batch.started,
                "published": batch.published,
                "issued": written(now),
                "sequence": row["sequence"],
                "clock_in_order": row["received"]
                <= batch.started
                <= str(batch.published)
                <= written(now),
            },
            "counts": {
                name: counts[name]
                for name in ("asked", "matched", "absent", "interactions", "values")
                if name in counts
            }
            | {"excluded": {"legal_hold": counts["held"]} if counts["held"] else {}},
            "ledger": {
                "batch": batch.number,
                "events": list(published.events),
                "requests": batch.plan["requests"],
            },
            "data": {
                "before": _data(published.before),
                "after": _data(published.after),
                "salt": "per state, secret",
            },
            "stores": _stores(published, nothing),
            "model": {
                "kind": published.after["kind"],
                "before": published.before["model"],
                "after": published.after["model"],
                "version": published.after_version,
                "floor": batch.floor,
                "served_from": batch.published,
                "older_versions": "destroyed" if published.destroyed else "not destroyed yet",
            },
            "method": _method(batch),
            "certificate": certificate,
            "environment": environment(batch),
            "limits": limits(certificate),
            "recipients": [],
        },
    }


def limits(certificate: Mapping[str, Any] | None) -> list[str]:
    """The codes that hold, sorted: those that always do, and what the class of evidence leaves
    open.

    >>> "BASIN_NOT_PROVED" in limits({"class": "A"})
    False
    >>> "CURVATURE_ESTIMATED" in limits({"class": "C"})
    True
    """
    kind = None if certificate is None else certificate["class"]
    codes = set(ALWAYS)
    if kind in ("B", "C", "L"):
        codes.add("BASIN_NOT_PROVED")
    if kind in ("C", "L"):
        codes.add("CURVATURE_ESTIMATED")
    return sorted(codes)


def _data(document: Mapping[str, Any]) -> dict[str, Any]:
    """The root, how it is made (``engines.store.roots``; a version that says nothing: form 1), and
    counts; of every further source the same.
    """
    data = {"root_form": 1, **document["data"]}
    found = {name: data[name] for name in ("root", "root_form", "interactions", "users", "items")}
    sources = {
        name: {each: said[each] for each in ("root", "rows")}
        for name, said in data.get("sources", {}).items()
    }
    return found | ({"sources": sources} if sources else {})


def _method(batch: Batch) -> dict[str, Any]:
    work = batch.work or {}
    return {
        name: work.get(name)
        for name in ("method", "passes", "products", "residual", "interactions_added")
    }


def _stores(published: Publication, nothing: bool) -> list[dict[str, str]]:
    erased = "not held" if nothing else "erased"
    older = "erased" if published.destroyed else "not covered"
    servers = [{"store": "log of the ledger's server", "action": "not covered"}]
    return [
        {"store": "served interactions", "action": erased},
        {"store": "served model", "action": "rebuilt" if not nothing else "not held"},
        {"store": "served lists", "action": "rebuilt" if not nothing else "not held"},
        {"store": "older versions", "action": older},
        {"store": "request in the ledger", "action": "erased when this receipt is handed out"},
        {"store": "tombstones", "action": "keyed hashes are kept, so that nothing comes back"},
        *(servers if published.on_server else []),
        {"store": "source files, backups, exports, downstream systems", "action": "not covered"},
    ]


def environment(batch: Batch) -> dict[str, Any]:
    """What a repetition needs to be the same to the last bit."""
    return {
        "alteraser": alteraser.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "threads": batch.plan.get("threads"),
    }
