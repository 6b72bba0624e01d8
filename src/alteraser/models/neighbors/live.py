"""Counts of people, and of pairs of items, that change person by person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models.closed_form.live import Had, LiveCounts
from alteraser.models.neighbors import together

Array = npt.NDArray[Any]


class LiveFrequencies(LiveCounts):
    """As ``UserKNN`` keeps them, of interactions without confidences."""

    def state(self) -> dict[str, Array]:
        """{``frequencies``, ``people``, ``length``}."""
        return {
            "frequencies": self.frequencies.copy(),
            "people": np.array([self.people], np.int64),
            "length": np.array([float(self.frequencies.sum())]),
        }


class LivePairs(LiveCounts):
    """How many people had two items, beside ``LiveCounts``: h² of them for somebody who had h.

    What ``formed`` makes of (counts, frequencies, people) is the state.
    """

    def __init__(
        self,
        pairs: Any,
        frequencies: Array,
        people: int,
        formed: Callable[[Any, Array, int], dict[str, Array]],
    ) -> None:
        super().__init__(frequencies, people)
        self._starts, self._columns = pairs.indptr.astype(np.int64), pairs.indices.astype(np.int32)
        self._counts = pairs.data.astype(np.int32)
        self._formed = formed
        self._more: dict[tuple[int, int], int] = {}  # pairs that nobody had when it began

    def change(self, before: Had, after: Had) -> None:
        """Pairs of what goes and comes, with each other and with what stays."""
        super().change(before, after)
        kept = np.intersect1d(before.items, after.items, assume_unique=True)
        for items, by in ((before.items, -1), (after.items, 1)):
            moved = np.setdiff1d(items, kept, assume_unique=True)
            if moved.size:
                self._shift(moved, np.empty(0, np.int64), by)
                if kept.size:
                    self._shift(moved, kept, by)

    def _shift(self, first: Array, second: Array, by: int) -> None:
        from alteraser.models.neighbors import _counting

        missing = np.empty((first.size * max(first.size, second.size), 2), np.int64)
        count = _counting.shift(
            first, second, by, self._starts, self._columns, self._counts, missing
        )
        for i, j in missing[:count].tolist():
            self._more[i, j] = self._more.get((i, j), 0) + by

    def pairs(self) -> Any:
        """As ``together.counted`` gives them."""
        from scipy.sparse import coo_array, csr_array

        n = self.frequencies.size
        whole = csr_array(
            (self._counts.copy(), self._columns.copy(), self._starts.copy()), shape=(n, n)
        )
        if self._more:
            keys = np.array(list(self._more), np.int64)
            more = coo_array(
                (np.array(list(self._more.values()), np.int32), (keys[:, 0], keys[:, 1])),
                shape=(n, n),
            )
            whole = (whole + more).tocsr()
        return together.tidy(whole)

    def state(self) -> dict[str, Array]:
        """What is formed of the counts as they are."""
        return self._formed(self.pairs(), self.frequencies.copy(), self.people)
