"""Search indexes beside a model: copies of its vectors that go on serving what the model forgot.

FAISS and hnswlib files say what they are in their first bytes; Annoy's are nodes and nothing else,
told by name.

    FAISS     four letters (IxFI, IHNf, …), int32 d, int64 vectors, twice 2²⁰;
              binary ones int32 bits and bytes, vectors
    hnswlib   0, most vectors, vectors, bytes of a point, where its label is,
              where its vector is (64 bits each)
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from alteraser.adapters.contract import Sibling
from alteraser.adapters.siblings import LISTED

ANNOY = (".ann", ".annoy")
NAMED = {
    ".faiss": "a FAISS index",
    ".hnsw": "an HNSW index",
    ".nmslib": "an NMSLIB index",
    ".scann": "a ScaNN index",
    ".usearch": "a USearch index",
}
"""Indexes that are told by their names where their first bytes say nothing."""

HEAD = 128
_FAISS = re.compile(rb"I[xHwBvSN][A-Za-z0-9]{2}")
_DUMMY = struct.pack("<qq", 1 << 20, 1 << 20)
ADVICE = (
    "it still serves what was erased: build it again from the new model, or patch the rows that "
    "changed (the guide search-indexes in the documentation)"
)


@dataclass(frozen=True)
class Index:
    """What a file says of itself."""

    kind: str
    vectors: int | None = None
    width: int | None = None

    @property
    def words(self) -> str:
        """``a FAISS index of 50 vectors of 8 numbers``"""
        if self.vectors is None:
            return self.kind
        return f"{self.kind} of {self.vectors:,} vectors" + (
            f" of {self.width} numbers" if self.width else ""
        )


def index_at(path: Path) -> Index | None:
    """The index in the file at ``path``, None where it is none. Never raises for what is in it."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError:
        return None
    found = _faiss(head) or _hnswlib(head)
    if found is not None:
        return found
    suffix = path.suffix.lower()
    if suffix in ANNOY:
        return Index("an Annoy index (by its name)")
    return Index(f"{NAMED[suffix]} (by its name)") if suffix in NAMED else None


def search_indexes(path: Path) -> tuple[Sibling, ...]:
    """Indexes in the folder of the model at ``path``, and in the model itself where it is one."""
    folders = [path.absolute().parent, *([path.absolute()] if path.is_dir() else [])]
    found = []
    for folder in folders:
        for entry in sorted(folder.iterdir())[:LISTED]:
            if entry == path.absolute() or not entry.is_file():
                continue
            index = index_at(entry)
            if index is not None:
                found.append(Sibling(entry, f"{index.words}, a copy of vectors", ADVICE))
    return tuple(found)


def _faiss(head: bytes) -> Index | None:
    if len(head) < 33 or not _FAISS.fullmatch(head[:4]):
        return None
    if head[:2] == b"IB":
        bits, size, vectors = struct.unpack("<iiq", head[4:20])
        return (
            Index("a binary FAISS index", vectors)
            if 0 < bits == 8 * size and 0 <= vectors < 1 << 40
            else None
        )
    width, vectors = struct.unpack("<iq", head[4:16])
    sound = 0 < width <= 1 << 20 and 0 <= vectors < 1 << 40 and head[16:32] == _DUMMY
    return Index("a FAISS index", vectors, width) if sound else None


def _hnswlib(head: bytes) -> Index | None:
    if len(head) < 96:
        return None
    zero, most, vectors, point, label, vector = struct.unpack("<6Q", head[:48])
    upper, lower = struct.unpack("<2Q", head[56:72])
    size = label - vector
    sound = (
        zero == 0
        and 0 < most < 1 << 40
        and vectors <= most
        and label + 8 == point
        and lower == 2 * upper
    )
    if not sound or not 0 < size < 1 << 22 or size % 4 or vector != 4 * lower + 4:
        return None
    return Index("an hnswlib index", vectors, size // 4)
