"""Which data a version stands for, in 32 bytes that tell nothing about them.

    leaf(user) = SHA-256(0x00 ‖ HMAC-SHA256(key, e(user) ‖ rows))
    rows       = e(item) ‖ numbers ‖ e(item) ‖ numbers ‖ …
        of pairs, sorted; numbers: the time, confidence and target, and e(segment) where there are
        segments
               = e(group) ‖ count ‖ e(item) ‖ time ‖ … ‖ e(group) ‖ …
        of sessions and baskets, each event, in their order; in a basket, which has none, sorted
    root       = the tree of RFC 9162 over the leaves, sorted by e(user)

The order of files and models does not count, nor that of rows where it does not say what came
first; any row does. This is form 2. Form 1, of which roots are that say nothing else, looked at the
pairs alone: of the events of a pair at the last time, and at no segment. Of pairs without segments
both are the same.

Every source of a model of several has a root of its own: the parts of whoever comes first, the
head of a row or the one of whom something is known, as ``data.side.parts`` tells them; so does DATA
where there are contexts.

    leaf(head) = SHA-256(0x00 ‖ HMAC-SHA256(key, e(head) ‖ part ‖ part ‖ …))
    part       = e(what is said) ‖ …, sorted; e() of what is not known is empty
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from alteraser.data.erased import encode
from alteraser.data.events import Events
from alteraser.data.grouping import BASKET
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.data.side.given import MAIN, Given
from alteraser.data.side.parts import told

FORM = 2
"""Of the roots that are made now"""


def data_root(key: bytes, data: Interactions, form: int = FORM) -> str:
    """The root of ``data`` under ``key``, in hexadecimal; ``form`` 1 for one that was made
    earlier.
    """
    rows = np.flatnonzero(data.user_counts > 0)
    if form > 1 and data.events is not None:
        content = _of_events(data.items, data.events)
    else:
        content = _of_pairs(data, segments=form > 1)
    leaves = []
    for row, user in zip(rows.tolist(), data.users.ids_of(rows).to_pylist(), strict=True):
        first = encode(user)
        leaves.append((first, hmac.digest(key, _delimited(first) + content(row), "sha256")))
    leaves.sort()
    return _root([hashlib.sha256(b"\x00" + leaf).digest() for _, leaf in leaves]).hex()


def source_roots(key: bytes, given: Given) -> dict[str, dict[str, Any]]:
    """By source, as ``Given.digests`` calls it, its ``root`` under ``key`` and how many ``rows`` it
    has: of features, how many values. DATA are among them where they have contexts.
    """
    parts: dict[str, dict[bytes, list[bytes]]] = {name: {} for name in given.digests}
    if not given.main.contexts:
        del parts[MAIN]
    groups = {x.name: MAIN if x.name == MAIN else f"relation {x.group}" for x in given.links}
    for source, _, name, until in told(
        given if MAIN in parts else replace(given, links=given.links[1:])
    ):
        said = groups[source] if isinstance(source, str) else f"{source[0]} features"
        if said not in parts:
            continue
        first = encode(name[2] if name[0] == "row" else name[3])
        whole = b"".join(_delimited(b"" if x is None else encode(x)) for x in (*name, until))
        parts[said].setdefault(first, []).append(whole)
    found = {}
    for said, of in parts.items():
        leaves = [
            hmac.digest(key, _delimited(first) + b"".join(sorted(of[first])), "sha256")
            for first in sorted(of)
        ]
        root = _root([hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]).hex()
        found[said] = {"root": root, "rows": sum(map(len, of.values()))}
    return found


def _of_pairs(data: Interactions, *, segments: bool) -> Callable[[int], bytes]:
    """What is hashed of the pairs of a user row."""
    names, numbers, more = _names(data.items), _numbers(data), None
    indices = data.indices.tolist()
    if segments and data.segments is not None:
        table = _names(data.segments.ids)
        more = [table[row] for row in data.segments.rows.tolist()]

    def content(user: int) -> bytes:
        mine = range(int(data.indptr[user]), int(data.indptr[user + 1]))
        parts = [
            names[indices[at]] + numbers[at] + (b"" if more is None else more[at]) for at in mine
        ]
        return b"".join(sorted(parts))

    return content


def _of_events(items: IdMap, events: Events) -> Callable[[int], bytes]:
    """What is hashed of the events of a user row; it begins with what no id begins with."""
    names, rows = _names(items), events.items.tolist()
    timed = np.zeros((len(events), 9), np.uint8)
    if events.time is not None:
        timed[:, 0] = 1
        timed[:, 1:] = np.ascontiguousarray(events.time, "<i8").view(np.uint8).reshape(-1, 8)
    times = timed.tobytes()
    groups, named = (
        np.searchsorted(events.owners, np.arange(int(events.owners.max(initial=-1)) + 2)),
        None,
    )
    if events.groups is not None:
        table = _names(events.groups.ids)
        named = [table[row] for row in events.groups.rows[events.indptr[:-1]].tolist()]
    indptr = events.indptr.tolist()
    word = _delimited(b"\x00" + events.grouping.name.encode())

    def content(user: int) -> bytes:
        found = [word]
        for group in range(groups[user], groups[user + 1]):
            mine = range(indptr[group], indptr[group + 1])
            parts = [names[rows[at]] + times[9 * at : 9 * at + 9] for at in mine]
            if events.grouping.name == BASKET:
                parts.sort()
            found += [_delimited(b"") if named is None else named[group]]
            found += [len(parts).to_bytes(8, "big"), *parts]
        return b"".join(found)

    return content


def _names(ids: IdMap) -> dict[int, bytes]:
    """e(id) by row."""
    encoded = (_delimited(encode(name)) for name in ids.ids.to_pylist())
    return dict(zip(ids.rows.tolist(), encoded, strict=True))


def _delimited(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _numbers(data: Interactions) -> list[bytes]:
    """What is known of each interaction beside who and what, 25 bytes each."""
    count = len(data)
    packed = np.zeros((count, 25), np.uint8)
    packed[:, 0] = data.timestamp is not None
    for start, values, kind in (
        (1, data.timestamp, "<i8"),
        (9, data.confidence, "<f8"),
        (17, data.target, "<f8"),
    ):
        column = np.ones(count) if values is None else values
        packed[:, start : start + 8] = (
            np.ascontiguousarray(column, kind).view(np.uint8).reshape(count, 8)
        )
    whole = packed.tobytes()
    return [whole[25 * at : 25 * at + 25] for at in range(count)]


def _root(level: list[bytes]) -> bytes:
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        paired = [
            hashlib.sha256(b"\x01" + level[i] + level[i + 1]).digest()
            for i in range(0, len(level) - 1, 2)
        ]
        level = paired if len(level) % 2 == 0 else [*paired, level[-1]]
    return level[0]
