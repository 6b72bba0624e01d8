"""Large data in parts that fit beside them: whole users, so many entries at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ENTRIES = 1 << 21
"""About how many entries a part has"""


class UserBlock(NamedTuple):
    """Users ``first`` … ``last`` − 1 and their entries, ``start`` … ``stop`` − 1."""

    first: int
    last: int
    start: int
    stop: int

    @property
    def users(self) -> slice:
        """Of an array over users."""
        return slice(self.first, self.last)

    @property
    def entries(self) -> slice:
        """Of an array over entries."""
        return slice(self.start, self.stop)

    def rows(self, indptr: Array) -> Array:
        """The user row of each entry, int64."""
        counts = np.diff(indptr[self.first : self.last + 1])
        return np.repeat(np.arange(self.first, self.last, dtype=np.int64), counts)


def of_users(indptr: Array, entries: int = ENTRIES) -> Iterator[UserBlock]:
    """Blocks of the rows that ``indptr`` (m + 1,) cuts, with at most so many ``entries`` each; more
    of one who has more.

    >>> [block[:2] for block in of_users(np.array([0, 2, 3, 9, 9, 10]), 3)]
    [(0, 2), (2, 3), (3, 5)]
    """
    first, m = 0, indptr.size - 1
    while first < m:
        last = int(np.searchsorted(indptr, indptr[first] + entries, side="right")) - 1
        last = min(max(last, first + 1), m)
        yield UserBlock(first, last, int(indptr[first]), int(indptr[last]))
        first = last


def counts(rows: Array, size: int) -> npt.NDArray[np.int64]:
    """(size,) how often each of 0 … size − 1 is in ``rows``, whatever type of integers these are.

    ``numpy.bincount`` makes int64 of all of them first.
    """
    found = np.zeros(size, np.int64)
    for start in range(0, rows.size, ENTRIES):
        found += np.bincount(rows[start : start + ENTRIES], minlength=size)
    return found


def begins(rows: Array) -> npt.NDArray[np.bool_]:
    """Which entries differ from the one before them; the first does.

    >>> begins(np.array([4, 4, 7])).tolist()
    [True, False, True]
    """
    found = np.ones(rows.size, bool)
    np.not_equal(rows[1:], rows[:-1], out=found[1:])
    return found


def user_starts(rows: Array, m: int) -> npt.NDArray[np.int64]:
    """(m + 1,) where each user begins in ``rows``, which increase.

    >>> user_starts(np.array([0, 0, 2]), 3).tolist()
    [0, 2, 2, 3]
    """
    return np.searchsorted(rows, np.arange(m + 1, dtype=rows.dtype)).astype(np.int64)
