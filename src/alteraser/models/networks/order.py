"""In which order a network sees its data: each part in one of its own.

Would a shuffle draw the order of a pass, taking one part out would put all others in other batches,
and two trainings would differ in everything. Here every part (a window of a session, a user) has a
number of its own, a hash of (seed, pass, whose it is), and

    batch = the number's leading bits,   order within it = the number.

So whoever goes leaves the batches of everybody else as they were, but for themselves: what training
without them does differs from what training with them did by their own terms alone, from the first
step on. That is what makes an original, a warm start and a retrained model comparable. There are
2^b batches, b being what makes them at least ``batch`` parts large on average: a deletion that
takes the number of parts across ``batch`` 2^b changes b, and with it everybody's batches, as
training on the rest would have had them.

**Rows** are put in the order of the hashes of their ids, and rows without an interaction do not
occur at all. So it is the same whether somebody or something was never there, or was taken away,
and whether ids are kept as numbers or as text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.ids import IdMap
from alteraser.linalg.hashing import hashed, of_ids

Array = npt.NDArray[Any]
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Present:
    """The rows of a side that occur, in the order that training has them."""

    rows: Array
    """(k,) their rows in the data"""
    keys: Keys
    """(k,) increasing: the hashes of their ids"""
    size: int
    """All rows of the side"""

    @classmethod
    def of(cls, ids: IdMap, counts: Array) -> Present:
        """Those with interactions, of which ``counts`` says how many each row has."""
        rows = np.flatnonzero(counts)
        keys = of_ids(ids.ids_of(rows).to_pylist())
        order = np.argsort(keys, kind="stable")
        return cls(rows[order], keys[order], len(counts))

    def places(self) -> Array:
        """(size,) where each row is among them, −1 for one that does not occur."""
        found = np.full(self.size, -1, np.int64)
        found[self.rows] = np.arange(self.rows.size)
        return found


def bits(parts: int, batch: int) -> int:
    """b: there are 2^b batches, of at least ``batch`` parts on average where there are that many.

    >>> [bits(parts, 4) for parts in (0, 7, 8, 15, 16)]
    [0, 0, 1, 1, 2]
    """
    return max(parts // batch, 1).bit_length() - 1


def batches(keys: Keys, batch: int, *, seed: int, number: int) -> Iterator[Array]:
    """The parts of each batch of pass ``number``, where ``keys`` say whose each part is; empty ones
    too.
    """
    count = bits(len(keys), batch)
    drawn = hashed(seed, number, keys)
    order = np.argsort(drawn, kind="stable")
    which = (drawn[order] >> np.uint64(63 - count)) >> np.uint64(1)  # a shift by 64 is none
    ends = np.searchsorted(which, np.arange(1 << count, dtype=np.uint64), side="right")
    return iter(np.split(order, ends[:-1]))
