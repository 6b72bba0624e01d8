"""What is added up item by item."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions

Array = npt.NDArray[Any]


def item_sums(data: Interactions, values: Array) -> npt.NDArray[np.float64]:
    """Σ of ``values`` (|D|,) over the interactions of each item, (n,); each sum depends on its own
    terms alone.
    """
    view = data.by_item
    out = np.zeros(data.shape[1])
    full = np.flatnonzero(np.diff(view.indptr))
    if full.size:
        out[full] = np.add.reduceat(values[view.order], view.indptr[full])
    return out


class ItemWork:
    """What products of items cost, for sharing rows out: how much the people of an item have in
    all.
    """

    def __init__(self, data: Interactions) -> None:
        self.all_rows = np.arange(data.shape[1])
        """(n,)"""
        had = np.repeat(data.user_counts, data.user_counts).astype(np.float64)
        self.counts = np.bincount(data.indices, had, data.shape[1]).astype(np.int64)
        """(n,) int64"""
