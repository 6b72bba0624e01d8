"""Negatives as a pure function of (seed, user, item, interactions): drawn, not remembered.

Every number is a hash of its own coordinates (``alteraser.linalg.hashing``), never of a stream. So
the order of rows and of requests does not matter, a user's negatives depend on nobody else, and a
deletion changes little: the deleted interactions take their own negatives with them, and a draw
that was refused because it hit a deleted item now has it, which is right, since the cell is a
missing one now.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.linalg.hashing import hashed

Array = npt.NDArray[Any]

ATTEMPTS = 16
"""Refused draws in a row after which a user's missing items are listed and one of them taken."""

BITMAP = 1 << 29
"""Largest users · items for which who has what is kept as one byte per cell; beyond it, pairs are
searched."""


class Negatives:
    """Draws missing cells of ``data``, uniformly over a user's missing items."""

    def __init__(self, data: Interactions) -> None:
        self.data = data
        m, n = data.shape
        self._has: Array | None = None
        if m * n <= BITMAP:
            self._has = np.zeros(m * n, bool)
            self._has[data.user_rows * n + data.indices] = True

    def draw(self, users: Array, items: Array, count: int, *, seed: int, epoch: int = 0) -> Array:
        """(cells, count) item rows: ``count`` negatives for each interaction (users[i], items[i]);
        −1 where a user has no missing item.

        ``seed`` and ``epoch`` name the sample. The row's own seed is hash(seed, epoch, user);
        everything below it depends on that user's interactions alone.
        """
        n = np.uint64(max(self.data.shape[1], 1))
        row = hashed(seed, epoch, users)
        key = hashed(row[:, None], np.asarray(items)[:, None], np.arange(count)[None, :]).ravel()
        who = np.repeat(users, count)
        found = (key % n).astype(np.int64)
        open_ = np.flatnonzero(self._taken(who, found))
        for attempt in range(1, ATTEMPTS):
            if open_.size == 0:
                break
            found[open_] = (hashed(key[open_], attempt) % n).astype(np.int64)
            open_ = open_[self._taken(who[open_], found[open_])]
        for user in np.unique(who[open_]):
            mine = open_[who[open_] == user]
            missing = np.setdiff1d(np.arange(int(n)), self._items(user))
            found[mine] = (
                missing[(key[mine] % np.uint64(missing.size)).astype(np.int64)]
                if missing.size
                else -1
            )
        return found.reshape(-1, count)

    def _items(self, user: int) -> Array:
        return self.data.indices[self.data.indptr[user] : self.data.indptr[user + 1]]

    def _taken(self, users: Array, items: Array) -> Array:
        if self._has is not None:
            return np.asarray(self._has[users * self.data.shape[1] + items])
        return np.asarray(self.data.locate(users, items) >= 0)
