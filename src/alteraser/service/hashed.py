"""Users by a hash of their ids, as other systems name them who do not hand the ids out.

A hash is that of the id's bytes, UTF-8, a number's digits, without a salt: whoever has the ids can
compute it, so it is as personal as the id is. All ids of a version are hashed once, when the first
hash is asked for.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from alteraser.ledger.ids import Id

FORMATS = ("sha256", "sha1", "md5")
KEPT = 2 * len(FORMATS)
"""Tables that are kept, those that were asked last"""


@dataclass(frozen=True)
class HashedId:
    """Somebody whose id hashes to ``value``, in lower-case hexadecimal digits."""

    format: str
    value: str

    @property
    def text(self) -> str:
        """``sha256:…``"""
        return f"{self.format}:{self.value}"

    @classmethod
    def read(cls, format: str, value: str) -> HashedId | None:
        """None where ``value`` is no such hash, in digits of either case.

        >>> HashedId.read("md5", "C4CA4238A0B923820DCC509A6F75849B").text
        'md5:c4ca4238a0b923820dcc509a6f75849b'
        >>> HashedId.read("md5", "1")
        """
        length = 2 * hashlib.new(format, usedforsecurity=False).digest_size
        found = value.lower()
        return cls(format, found) if re.fullmatch(f"[0-9a-f]{{{length}}}", found) else None


def digest(format: str, name: Id) -> bytes:
    """The hash of an id.

    >>> digest("sha256", 1) == digest("sha256", "1")
    True
    """
    return hashlib.new(format, str(name).encode(), usedforsecurity=False).digest()


class HashTable:
    """Ids by their hashes: the first eight bytes of each, sorted, (n,) uint64, and where they come
    from, (n,) int64.
    """

    def __init__(self, ids: pa.Array, format: str) -> None:
        self._ids, self._format = ids, format
        found = (int.from_bytes(digest(format, name.as_py())[:8]) for name in ids)
        keys = np.fromiter(found, np.uint64, len(ids))
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def find(self, wanted: HashedId) -> Id | None:
        """Whose hash it is; None: nobody's."""
        whole = bytes.fromhex(wanted.value)
        key = np.uint64(int.from_bytes(whole[:8]))
        first, last = (np.searchsorted(self._keys, key, side) for side in ("left", "right"))
        for place in self._order[first:last].tolist():
            name: Id = self._ids[place].as_py()
            if digest(self._format, name) == whole:
                return name
        return None


class HashedUsers:
    """Users by their hashes: of the served version, and with those whom it has not learned yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: dict[tuple[str, str], HashTable] = {}

    def whose(self, name: str, ids: Callable[[], pa.Array], wanted: HashedId) -> Id | None:
        """Whose hash it is, among ``ids``, which are called ``name`` and hashed once; None:
        nobody's.
        """
        with self._lock:
            found = self._tables.pop((name, wanted.format), None)
            found = found or HashTable(ids(), wanted.format)
            kept = list(self._tables.items())[-KEPT + 1 :]
            self._tables = {**dict(kept), (name, wanted.format): found}
        return found.find(wanted)
