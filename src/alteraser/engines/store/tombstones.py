"""Interactions that were erased, as keyed hashes with the time of what was erased.

    h(user, item) = HMAC-SHA256(key, 0x50 ‖ len(e(user)) ‖ e(user) ‖ e(item))[:16]
        as in ``alteraser.data.erased``

What comes back is known: the same pair, no later than the interaction that was erased. A later one
is a new one, and so is everything where the same person does something else. Where the data have no
times, no pair comes back.

Of events in sessions or baskets it is the very row, of its session (or basket) and time as far as
they are known, whatever else happened to the same pair:

    h(row) of user, item, group and time, as in ``alteraser.data.erased``

Of a model of several sources it is the very part, a row of a relation or something known of
somebody, by what it says (``data.side.parts``): a pair of DATA without contexts as above, all else
as it is.

    h(part) = HMAC-SHA256(key, 0x53 ‖ len(e(word)) ‖ e(word) ‖ …)[:16]
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from alteraser.data.erased import HASH_BYTES, encode, named_rows, pair_hash, row_hash
from alteraser.data.interactions import Interactions
from alteraser.data.side.given import Given
from alteraser.data.side.parts import Named, Parts, told

PART = b"\x53"
SCHEMA = pa.schema([("pair", pa.binary(HASH_BYTES)), ("until", pa.int64())])


@dataclass(frozen=True)
class Tombstones:
    """What was erased, sorted by the hashes."""

    table: pa.Table = field(default_factory=SCHEMA.empty_table)
    """pair, and until when it is erased; null: at any time"""

    @classmethod
    def of(cls, known: Mapping[bytes, int | None]) -> Tombstones:
        """Those of ``known``, hash of a pair → time of the erased interaction."""
        pairs = sorted(known)
        columns = [
            pa.array(pairs, SCHEMA.field(0).type),
            pa.array([known[pair] for pair in pairs], pa.int64()),
        ]
        return cls(pa.table(columns, schema=SCHEMA))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def known(self) -> Mapping[bytes, int | None]:
        """Hash of a pair → time of the erased interaction; None: at any time.

        Made when it is first asked for: who loads a version to serve lists from it never asks, and
        would stand still meanwhile, as all threads of the process do.
        """
        pairs, times = (self.table[name].to_pylist() for name in SCHEMA.names)
        return dict(zip(pairs, times, strict=True))

    def with_erased(self, key: bytes, removed: Interactions) -> Tombstones:
        """These and what was ``removed``; of a pair that was erased twice the later time counts."""
        return self._with(_hashes(key, removed))

    def with_parts(self, key: bytes, given: Given, gone: Parts) -> Tombstones:
        """These and what goes of everything given."""
        hashes = ((part_hash(key, name), until) for _, _, name, until in told(given, gone))
        return self._with(hashes)

    def _with(self, hashes: Iterable[tuple[bytes, int | None]]) -> Tombstones:
        found = dict(self.known)
        for pair, time in hashes:
            before = found.get(pair, time)
            found[pair] = None if time is None or before is None else max(before, time)
        return Tombstones.of(found)

    def parts(self, key: bytes, given: Given) -> Parts:
        """Which parts of everything given were erased."""
        found = Parts.none(given)
        if len(self):
            for source, place, name, until in told(given):
                if self._is(part_hash(key, name), until):
                    found.masks[source][place] = True
        return found

    def returned(self, key: bytes, data: Interactions) -> npt.NDArray[np.bool_]:
        """Which of ``data`` were erased (|data|,), of events which of these (E,)."""
        if not len(self):
            return np.zeros(data.count, bool)
        found = np.fromiter(
            (self._is(pair, time) for pair, time in _hashes(key, data)), bool, data.count
        )
        if data.events is None:
            return found
        # versions that were made before rows were kept have pairs of events, with their last time
        pairs = [pair for pair, _ in _hashes(key, replace(data, events=None))]
        old = np.array([pair in self.known for pair in pairs], bool)
        if old.any():
            events, times = data.events, [self.known.get(pair) for pair in pairs]
            places = data.locate(events.users, events.items.astype(np.int64))
            for at in np.flatnonzero(old[places]).tolist():
                last = times[places[at]]
                found[at] |= last is None or events.time is None or events.time[at] <= last
        return found

    def _is(self, pair: bytes, time: int | None) -> bool:
        if pair not in self.known:
            return False
        until = self.known[pair]
        return until is None or time is None or time <= until

    def write(self, path: Path) -> None:
        """As Parquet, sorted: the same bytes for the same tombstones."""
        pq.write_table(self.table.combine_chunks(), path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> Tombstones:
        """From ``write``."""
        return cls(pq.read_table(path, schema=SCHEMA))


def part_hash(key: bytes, name: Named) -> bytes:
    """h(part) of what a part says; None in it: that is not known."""
    content = PART
    for value in name:
        text = b"" if value is None else encode(value)
        content += len(text).to_bytes(8, "big") + text
    return hmac.digest(key, content, "sha256")[:HASH_BYTES]


def _hashes(key: bytes, data: Interactions) -> Iterator[tuple[bytes, int | None]]:
    if data.events is not None:
        for named in named_rows(data):
            yield bytes.fromhex(row_hash(key, named)), None
        return
    items: dict[Any, bytes] = {}
    times = None if data.timestamp is None else data.timestamp.tolist()
    place = 0
    rows = np.flatnonzero(data.user_counts > 0)
    for row, user in zip(rows.tolist(), data.users.ids_of(rows).to_pylist(), strict=True):
        start, stop = int(data.indptr[row]), int(data.indptr[row + 1])
        first = encode(user)
        for item in data.items.ids_of(data.indices[start:stop]).to_pylist():
            second = items.setdefault(item, encode(item))
            yield (
                bytes.fromhex(pair_hash(key, first, second)),
                None if times is None else times[place],
            )
            place += 1
