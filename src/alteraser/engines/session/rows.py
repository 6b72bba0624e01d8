"""Interactions of one side in place: rows that lose and regain entries without the others
moving.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions

Array = npt.NDArray[Any]

SLACK = 8
"""Entries that every row may gain before all rows are laid out again."""


class Rows:
    """One side's rows: row i is ``indices[start[i]:stop[i]]``, sorted; ``limit[i]`` is as far as it
    may grow.
    """

    def __init__(self, data: Interactions, *, by_item: bool) -> None:
        view: Any = data.by_item if by_item else data
        order: Any = data.by_item.order if by_item else slice(None)
        counts = np.diff(view.indptr)
        room = counts + SLACK
        self.limit = np.cumsum(room)
        self.start = self.limit - room
        self.stop = self.start + counts
        places = np.repeat(self.start - view.indptr[:-1], counts) + np.arange(len(data))
        self._size = int(self.limit[-1]) if room.size else 0

        def laid_out(values: Array | None, dtype: Any) -> Array:
            if values is None:
                return np.empty(0, dtype)
            out = np.zeros(self._size, dtype)
            out[places] = values
            return out

        self.indices = laid_out(view.indices, np.int32)
        # in float64 as they were read, so that the remaining data keep their digest
        self.confidence, self.target = (
            laid_out(None if x is None else x[order], np.float64)
            for x in (data.confidence, data.target)
        )
        self.stamp = laid_out(None if by_item else data.timestamp, np.int64)

    @property
    def counts(self) -> Array:
        """Interactions per row."""
        return np.asarray(self.stop - self.start)

    def sizes(self, rows: Array) -> Array:
        """Interactions of some rows, without looking at the others: there may be millions."""
        return np.asarray(self.stop[rows] - self.start[rows])

    def of(self, row: int) -> Array:
        """The other side's rows that ``row`` interacted with (a copy)."""
        return np.array(self.indices[self.start[row] : self.stop[row]])

    def remove(self, rows: Array, columns: Array) -> Array:
        """Delete pairs; (pairs, 3): found, confidence, target. Nothing of them is kept here."""
        from alteraser.engines.session._kernels import take_out

        taken = np.zeros((rows.size, 3))
        take_out(
            self.start,
            self.stop,
            self.indices,
            self.confidence,
            self.target,
            self.stamp,
            rows,
            columns,
            taken,
        )
        return taken

    def add(
        self, rows: Array, columns: Array, confidence: Array, target: Array, stamp: Array
    ) -> bool:
        """Insert pairs that are not there yet; False when a row has no room (some may have gone
        in).
        """
        from alteraser.engines.session._kernels import put_in

        done = put_in(
            self.start,
            self.stop,
            self.limit,
            self.indices,
            self.confidence,
            self.target,
            self.stamp,
            rows,
            columns,
            confidence,
            target,
            stamp,
        )
        return bool(done == rows.size)

    def has(self, rows: Array, columns: Array) -> Array:
        """Which pairs are there, (pairs,) bool."""
        from alteraser.engines.session._kernels import find

        return np.array(
            [
                find(self.start, self.stop, self.indices, r, c) >= 0
                for r, c in zip(rows, columns, strict=True)
            ],
            bool,
        )

    def compact(self) -> tuple[Array, Array, Array, Array, Array]:
        """(indptr, indices, confidence, target, stamp) without the room between rows."""
        counts = self.counts
        indptr = np.concatenate([[0], np.cumsum(counts)])
        places = np.repeat(self.start - indptr[:-1], counts) + np.arange(indptr[-1])
        arrays = (self.indices, self.confidence, self.target, self.stamp)
        values = [x[places] if x.size else x for x in arrays]
        return indptr, values[0], values[1], values[2], values[3]
