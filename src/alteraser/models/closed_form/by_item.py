"""What is added up item by item."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data import blocks
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
        self.counts = reached(data)
        """(n,) int64"""


def reached(data: Interactions) -> npt.NDArray[np.int64]:
    """Σ |D_u| over the people u of each item, (n,)."""
    found = np.zeros(data.shape[1])
    for block in blocks.of_users(data.indptr):
        counts = data.user_counts[block.users]
        found += np.bincount(data.indices[block.entries], np.repeat(counts, counts), found.size)
    return found.astype(np.int64)
