"""The best items for users by the inner products of two embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]

USERS_AT_A_TIME = 1024

TOGETHER, SPARE = 32, 4
"""Columns, at most, of which only the best is looked at to bound from below what is listed; such
groups are at least SPARE times as many as a list is long."""


def top_lists(
    users: Array,
    items: Array,
    rows: Array,
    *,
    k: int,
    seen: Interactions | None = None,
    item_biases: Array | None = None,
) -> tuple[Array, npt.NDArray[np.float64]]:
    """(item rows, scores) of the ``k`` best items for the users in ``rows``, both (len(rows), k);
    ties to lower rows.

    Scores are users (m, d) · items (n, d) plus ``item_biases`` (n,). Behind the end of a list stand
    −1 and NaN. Items in ``seen`` are left out for their user, items with a zero row for everybody;
    a user with a zero row gets an empty list.
    """
    return Embeddings.of(users, items, item_biases).lists(rows, k=k, seen=seen)


@dataclass(frozen=True)
class Embeddings:
    """What ``top_lists`` are made from, with what is the same for every list looked at once."""

    users: Array
    items: Array
    item_biases: Array | None
    alive: npt.NDArray[np.bool_]
    """(n,) the items that do not have a zero row"""

    @classmethod
    def of(cls, users: Array, items: Array, item_biases: Array | None = None) -> Embeddings:
        """Of (m, d) and (n, d)."""
        return cls(users, items, item_biases, np.any(items != 0, axis=1))

    def lists(
        self,
        rows: Array,
        *,
        k: int,
        seen: Interactions | None = None,
        without: Array | None = None,
    ) -> tuple[Array, npt.NDArray[np.float64]]:
        """See ``top_lists``; the item rows ``without`` are in nobody's list."""
        if k < 1:
            raise InvalidInput(f"k={k}: expected at least 1")
        k = min(k, self.items.shape[0])
        lists = np.full((len(rows), k), -1, np.int64)
        scores = np.full((len(rows), k), np.nan)
        for start in range(0, len(rows), USERS_AT_A_TIME):
            part = rows[start : start + USERS_AT_A_TIME]
            block = self.users[part] @ self.items.T
            if self.item_biases is not None:
                block += self.item_biases
            if not self.alive.all():
                block[:, ~self.alive] = -np.inf
            block[~np.any(self.users[part] != 0, axis=1)] = -np.inf
            if seen is not None:
                mask_seen(block, part, seen)
            block = left_out(block, without)
            fill_best(block, lists[start : start + len(part)], scores[start : start + len(part)])
        return lists, scores


def mask_seen(block: Array, rows: Array, seen: Interactions) -> None:
    counts = seen.user_counts[rows]
    which = np.repeat(np.arange(len(rows)), counts)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    block[which, seen.indices[np.repeat(seen.indptr[rows], counts) + offsets]] = -np.inf


def left_out(block: Array, columns: Array | None) -> Array:
    """``block`` with these ``columns`` in nobody's list; None: as it is, which may be a view of a
    model.
    """
    if columns is None or not columns.size:
        return block
    out = np.zeros(block.shape[1], bool)
    out[columns] = True
    return np.where(out, -np.inf, block)


def fill_best(block: Array, lists: Array, scores: Array) -> None:
    """Fill ``lists`` and ``scores`` with the best k columns of each row; equal scores by column."""
    k = lists.shape[1]
    if not k or not block.size:
        return
    listed = block >= _at_least(block, k)[:, None]
    row, column = np.divmod(np.flatnonzero(listed), block.shape[1])
    value = block[row, column]
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    first = np.searchsorted(row, np.arange(block.shape[0]))
    place = np.arange(row.size) - first[row]
    best = place < k
    lists[row[best], place[best]] = column[best]
    scores[row[best], place[best]] = value[best]


def _at_least(block: Array, k: int) -> Array:
    """(rows,) numbers above −∞ that the k-th best column of a row is not below, where there are k
    above −∞.

    Some columns make a group: the k-th best of the groups' bests is such a number, since k groups
    have a column that is no worse. It costs a look at every column and sorts a few of them.
    """
    rows, columns = block.shape
    together = max(1, min(TOGETHER, columns // (SPARE * k)))
    groups = columns // together
    dtype = block.dtype if np.issubdtype(block.dtype, np.floating) else np.dtype(np.float64)
    parts = block[:, : groups * together].reshape(rows, together, groups)
    best = np.fmax.reduce(parts, axis=1).astype(dtype, copy=False)
    best[~(best > -np.inf)] = np.finfo(dtype).min
    return np.asarray(np.partition(best, groups - k, axis=1)[:, groups - k])
