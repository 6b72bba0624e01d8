"""Neighbor lists of all items, and what a deletion changes in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.models.closed_form.by_item import ItemWork
from alteraser.models.neighbors.similarity import GlobalTerms, Similarity
from alteraser.runtime.workers import blocks, default_threads, run

if TYPE_CHECKING:
    from alteraser.models.neighbors._kernels import Compared

Array = npt.NDArray[Any]

DEARER = 5
"""How much more an item costs whose list is made, and put into others', alone than by pairs of all,
measured"""
CROWDED = 4
"""Multiply-adds for every two items from which on lists are made by pairs, measured: with fewer, to
put an item into two lists, wherever they are, costs more than to add up twice what they share"""
SHORT = 256
"""Neighbors up to which lists are made by pairs, where every worker has lists of all items"""


def fit(
    data: Interactions, similarity: Similarity, length: int, *, threads: int = 0
) -> tuple[Array, Array]:
    """(neighbors int32, values float64), both (n, K), the nearest first, −1 and 0 behind the
    last.
    """
    n, threads = data.shape[1], threads or default_threads()
    if length <= SHORT and ItemWork(data).counts.sum() > CROWDED * n * n:
        return _all(data, similarity, length, threads)
    neighbors, values = _empty(n, length)
    _fill(data, similarity, None, neighbors, values, threads)
    return neighbors, values


def _all(
    data: Interactions, similarity: Similarity, length: int, threads: int
) -> tuple[Array, Array]:
    """``fit`` by pairs: every worker has lists of its own, of the items that are its share with all
    later ones.
    """
    from alteraser.models.neighbors import _pairs

    n, (of, weights) = data.shape[1], compared(data, similarity)
    order, parts = np.argsort(ItemWork(data).counts, kind="stable"), max(min(threads, n), 1)
    shares = [order[first::parts] for first in range(parts)]
    made, worst = [_empty(n, length) for _ in shares], np.zeros(n)

    def share(part: Array) -> None:
        _pairs.pairs(shares[part[0]], of, weights, _zeros(n, weights), worst, *made[part[0]])

    run(share, [*np.arange(len(shares))[:, None]], threads)
    for others in made[1:]:
        _pairs.merge(*others, worst, *made[0])
    return made[0]


def _empty(n: int, length: int) -> tuple[Array, Array]:
    return np.full((n, length), -1, np.int32), np.zeros((n, length))


class Finder:
    """The lists of a few items at a time; what they need of all data is made once."""

    def __init__(
        self, data: Interactions, similarity: Similarity, terms: GlobalTerms | None = None
    ) -> None:
        self.items = data.shape[1]
        self._work = ItemWork(data)
        self._of, self._weights = compared(data, similarity, terms)

    def lists(self, rows: Array, length: int, *, threads: int = 0) -> tuple[Array, Array]:
        """Those of the distinct ``rows``, both (len(rows), K); see ``fit``."""
        from alteraser.models.neighbors import _kernels

        # nothing but the lists of ``rows`` is ever touched of these, and what is not touched takes
        # no memory
        neighbors, values = np.empty((self.items, length), np.int32), np.empty((self.items, length))
        workers = threads or default_threads()
        run(
            lambda part: _kernels.nearest(
                part, self._of, self._weights, _zeros(self.items, self._weights), neighbors, values
            ),
            blocks(self._work, rows, 1, workers),
            workers,
        )
        return neighbors[rows], values[rows]


def without(
    neighbors: Array,
    values: Array,
    similarity: Similarity,
    remaining: Interactions,
    lost: Array | None,
    *,
    threads: int = 0,
) -> tuple[Array, Array]:
    """``fit(remaining)`` from the lists of the data before, in every bit.

    ``lost`` (l,) are the items whose own numbers changed (``Similarity.changed``), None for all.
    What two items share, and their sizes, change only where one of them is among these. So the
    lists of ``lost`` are made anew, and in everybody else's only the places of ``lost`` change:
    these are taken out and put in again. That is the new list as long as nothing that is not in it
    can belong there: what had not made the old list is not before the old list's last. Where the
    new last one is behind that, the list is made anew as well. If most of the work would be done
    anyway, everything is made anew.
    """
    threads = threads or default_threads()
    work = ItemWork(remaining).counts
    if lost is None or DEARER * work[lost].sum() > work.sum():
        return fit(remaining, similarity, neighbors.shape[1], threads=threads)
    from alteraser.models.neighbors import _kernels

    gone = np.zeros(remaining.shape[1], np.bool_)
    gone[lost] = True
    # −1 and 0 where a list was not full: then it held everything
    last = neighbors[:, -1].copy(), values[:, -1].copy()
    neighbors, values = neighbors.copy(), values.copy()
    _kernels.drop(gone, neighbors, values)
    of, weights = compared(remaining, similarity)
    _kernels.offer(lost, gone, of, weights, _zeros(gone.size, weights), neighbors, values)
    full, new = last[0] >= 0, (neighbors[:, -1], values[:, -1])
    further = (new[0] < 0) | (new[1] < last[1]) | ((new[1] == last[1]) & (new[0] > last[0]))
    _fill(
        remaining, similarity, np.flatnonzero(gone | (full & further)), neighbors, values, threads
    )
    return neighbors, values


def _fill(
    data: Interactions,
    similarity: Similarity,
    rows: Array | None,
    neighbors: Array,
    values: Array,
    threads: int,
) -> None:
    """Write the lists of the items ``rows`` (None: all) into ``neighbors`` and ``values``."""
    from alteraser.models.neighbors import _kernels

    of, weights = compared(data, similarity)
    n = data.shape[1]
    run(
        lambda part: _kernels.nearest(part, of, weights, _zeros(n, weights), neighbors, values),
        blocks(ItemWork(data), rows, 1, threads),
        threads,
    )


def compared(
    data: Interactions, similarity: Similarity, terms: GlobalTerms | None = None
) -> tuple[Compared, Array | None]:
    """What the kernels take of the data and the similarity, and weights of the interactions."""
    from alteraser.models.neighbors import _kernels

    view = data.by_item
    of = _kernels.Compared(
        view.indptr,
        view.indices,
        view.order,
        data.indptr,
        data.indices.view(np.uint32),
        similarity.sizes(data, terms),
        _kernels.JACCARD if similarity.name == "jaccard" else _kernels.PRODUCT,
        float(similarity.shrinkage),
    )
    return of, similarity.weights(data, terms)


def _zeros(n: int, weights: Array | None) -> Array:
    """(n,), to add up in what an item shares with all."""
    return np.zeros(n, np.int32 if weights is None else np.float64)
