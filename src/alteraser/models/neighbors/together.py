"""How many people had two items: integers, of pairs i < j, row by row."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alteraser.models.closed_form.by_item import reached
from alteraser.runtime.workers import default_threads, run

if TYPE_CHECKING:
    from alteraser.data.interactions import Interactions

Array = npt.NDArray[Any]

ROOM = 1 << 26
"""Entries that rows are given room for at a time"""


def counted(data: Interactions, *, threads: int = 0) -> Any:
    """|U_i ∩ U_j| for i < j, (n, n) sparse int32, no zeros kept."""
    from scipy.sparse import csr_array

    n, view = data.shape[1], data.by_item
    threads = threads or default_threads()
    most = np.minimum(reached(data), np.arange(n)[::-1])
    parts: list[tuple[Array, Array]] = []
    found = np.zeros(n, np.int64)
    cuts = np.searchsorted(np.cumsum(most), np.arange(ROOM, most.sum() + ROOM, ROOM), side="left")
    for rows in np.split(np.arange(n), np.unique(cuts[cuts < n])):
        if not rows.size:
            continue
        ends = np.cumsum(most[rows])
        begins = np.zeros(n, np.int64)
        begins[rows] = ends - most[rows]
        columns, counts = np.empty(int(ends[-1]), np.int32), np.empty(int(ends[-1]), np.int32)
        into = (view.indptr, view.indices, data.indptr, data.indices, columns, counts, found)
        run(
            partial(_into, begins, into),
            [some for k in range(4 * threads) if (some := rows[k :: 4 * threads]).size],
            threads,
        )
        places = np.arange(int(found[rows].sum())) + np.repeat(
            begins[rows] - (np.cumsum(found[rows]) - found[rows]), found[rows]
        )
        parts.append((columns[places], counts[places]))
    columns, counts = (
        np.concatenate([part[side] for part in parts] or [np.empty(0, np.int32)]) for side in (0, 1)
    )
    return csr_array((counts, columns, np.concatenate([[0], np.cumsum(found)])), shape=(n, n))


def _into(begins: Array, into: tuple[Array, ...], rows: Array) -> None:
    from alteraser.models.neighbors import _counting

    _counting.together(rows, begins, *into)


def without(
    counts: Any, before: Interactions, after: Interactions, touched: Array, *, threads: int = 0
) -> Any:
    """``counted(after)`` from ``counted(before)``, where nobody but the rows ``touched`` has
    changed.
    """
    flags = np.zeros(before.shape[0], bool)
    flags[touched] = True
    was, now = (
        counted(data.keep(flags[data.user_rows]), threads=threads) for data in (before, after)
    )
    return tidy(counts - was + now)


def tidy(counts: Any) -> Any:
    """Without zeros, columns increasing, int32."""
    counts.eliminate_zeros()
    counts.sort_indices()
    counts.data = counts.data.astype(np.int32, copy=False)
    return counts


def both_ways(counts: Any) -> Any:
    """All pairs, i < j and i > j, columns increasing."""
    whole = (counts + counts.T).tocsr()
    whole.sort_indices()
    return whole


def lists(
    counts: Any,
    frequency: Array,
    people: int,
    length: int,
    *,
    ratio: bool,
    least: int = 1,
    threads: int = 0,
) -> tuple[Array, Array]:
    """(neighbors int32, values float64), both (n, K), of the pairs that ``counted`` gives; see the
    kernel.
    """
    from alteraser.models.neighbors import _counting

    whole = both_ways(counts)
    n = frequency.size
    neighbors, values = np.full((n, length), -1, np.int32), np.zeros((n, length))
    table = entropy(people)
    threads = threads or default_threads()
    columns, starts = (
        whole.indices.astype(np.int32, copy=False),
        whole.indptr.astype(np.int64, copy=False),
    )
    run(
        lambda rows: _counting.strongest(
            rows,
            starts,
            columns,
            whole.data,
            frequency,
            people,
            table,
            ratio,
            least,
            neighbors,
            values,
        ),
        [some for start in range(4 * threads) if (some := np.arange(start, n, 4 * threads)).size],
        threads,
    )
    return neighbors, values


def entropy(people: int) -> Array:
    """X ln x for x = 0 … ``people``; 0 ln 0 is 0."""
    x = np.arange(people + 1, dtype=np.float64)
    return x * np.log(np.maximum(x, 1.0))


def nearest(
    counts: Any, sizes: Array, length: int, *, jaccard: bool, shrinkage: float, threads: int = 0
) -> tuple[Array, Array]:
    """``lists.fit`` of interactions without weights, in every bit, from the pairs that ``counted``
    gives.
    """
    from alteraser.models.neighbors import _counting

    whole = both_ways(counts)
    n = sizes.size
    neighbors, values = np.full((n, length), -1, np.int32), np.zeros((n, length))
    columns, starts = (
        whole.indices.astype(np.int32, copy=False),
        whole.indptr.astype(np.int64, copy=False),
    )
    threads = threads or default_threads()
    run(
        lambda rows: _counting.similar(
            rows, starts, columns, whole.data, sizes, jaccard, float(shrinkage), neighbors, values
        ),
        [some for start in range(4 * threads) if (some := np.arange(start, n, 4 * threads)).size],
        threads,
    )
    return neighbors, values
