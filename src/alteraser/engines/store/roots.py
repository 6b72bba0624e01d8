"""Which data a version stands for, in 32 bytes that tell nothing about them.

    leaf(user) = SHA-256(0x00 ‖ HMAC-SHA256(key, e(user) ‖ e(item) ‖ numbers ‖ e(item) ‖ …))
        items sorted
    root       = the tree of RFC 9162 over the leaves, sorted by e(user)

The order of rows, files and models does not count; any interaction does, with its time, confidence
and target.
"""

from __future__ import annotations

import hashlib
import hmac

import numpy as np

from alteraser.data.erased import encode
from alteraser.data.interactions import Interactions


def data_root(key: bytes, data: Interactions) -> str:
    """The root of ``data`` under ``key``, in hexadecimal."""
    rows = np.flatnonzero(data.user_counts > 0)
    items = [_delimited(encode(item)) for item in data.items.ids.to_pylist()]
    place_of = np.full(data.items.size, -1, np.int64)
    place_of[data.items.rows] = np.arange(len(data.items.rows))
    places = place_of[data.indices].tolist()
    numbers = _numbers(data)
    leaves = []
    for row, user in zip(rows.tolist(), data.users.ids_of(rows).to_pylist(), strict=True):
        mine = range(int(data.indptr[row]), int(data.indptr[row + 1]))
        parts = sorted(items[places[at]] + numbers[at] for at in mine)
        first = encode(user)
        leaves.append((first, hmac.digest(key, _delimited(first) + b"".join(parts), "sha256")))
    leaves.sort()
    return _root([hashlib.sha256(b"\x00" + leaf).digest() for _, leaf in leaves]).hex()


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
