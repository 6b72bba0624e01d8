"""The row of one item: what it shares with every other one, and the K that are most like it; twin
in ``plain``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alteraser.models.neighbors._best import before, close, held_by, put
from alteraser.runtime.jit import exact_order

PRODUCT, JACCARD = 0, 1


@exact_order
def nearest(
    rows: Any,
    item_ptr: Any,
    item_users: Any,
    item_order: Any,
    user_ptr: Any,
    user_items: Any,
    weights: Any,
    weighted: bool,
    sizes: Any,
    kind: int,
    shrinkage: float,
    neighbors: Any,
    values: Any,
) -> None:
    """For each item in ``rows`` (r,) its K most similar items, best first, equal ones by row.

    Written to ``neighbors`` (n, K) int32 and ``values`` (n, K) float64 at ``rows``; behind the end
    of a list stand −1 and 0. What two items share is added up over the people of the row's item in
    the order of their rows, so that neither the rows that are asked for nor the number of threads
    change a bit of it.
    """
    n, length = sizes.size, neighbors.shape[1]
    shared = np.zeros(n)
    met_by = np.full(n, -1, np.int64)
    met = np.empty(n, np.int32)
    for i in rows:
        count = 0
        for p in range(item_ptr[i], item_ptr[i + 1]):
            u = item_users[p]
            mine = weights[item_order[p]] if weighted else 1.0
            for q in range(user_ptr[u], user_ptr[u + 1]):
                j = user_items[q]
                if met_by[j] != i:
                    met_by[j] = i
                    met[count] = j
                    count += 1
                    shared[j] = 0.0
                shared[j] += mine * weights[q] if weighted else 1.0
        held = 0
        for t in range(count):
            j = met[t]
            if j == i:
                continue
            common = shared[j]
            if not common > 0.0:
                continue
            below = sizes[i] * sizes[j] if kind == PRODUCT else sizes[i] + sizes[j] - common
            value = common / (below + shrinkage)
            if held < length or before(value, j, values[i, held - 1], neighbors[i, held - 1]):
                held = put(j, value, held, neighbors[i], values[i])
        close(held, neighbors[i], values[i])


@exact_order
def drop(gone: Any, neighbors: Any, values: Any) -> None:
    """Take the items marked in ``gone`` (n,) out of the lists of all others; what is behind them
    moves up.
    """
    n, length = neighbors.shape
    for j in range(n):
        if gone[j]:
            continue
        held = 0
        for place in range(length):
            item = neighbors[j, place]
            if item < 0:
                break
            if not gone[item]:
                neighbors[j, held], values[j, held] = item, values[j, place]
                held += 1
        close(held, neighbors[j], values[j])


@exact_order
def offer(
    rows: Any,
    gone: Any,
    item_ptr: Any,
    item_users: Any,
    item_order: Any,
    user_ptr: Any,
    user_items: Any,
    weights: Any,
    weighted: bool,
    sizes: Any,
    kind: int,
    shrinkage: float,
    neighbors: Any,
    values: Any,
) -> None:
    """Put each item of ``rows`` where it belongs in the lists of all items that are not in
    ``gone``.

    The similarity is the one that ``nearest`` finds from the other side, in every bit: sums,
    products and the sum of two sizes do not change with the order of two operands, and both add up
    over the same people in the same order.
    """
    n, last = sizes.size, neighbors.shape[1] - 1
    shared = np.zeros(n)
    met_by = np.full(n, -1, np.int64)
    met = np.empty(n, np.int32)
    for i in rows:
        count = 0
        for p in range(item_ptr[i], item_ptr[i + 1]):
            u = item_users[p]
            mine = weights[item_order[p]] if weighted else 1.0
            for q in range(user_ptr[u], user_ptr[u + 1]):
                j = user_items[q]
                if met_by[j] != i:
                    met_by[j] = i
                    met[count] = j
                    count += 1
                    shared[j] = 0.0
                shared[j] += mine * weights[q] if weighted else 1.0
        for t in range(count):
            j = met[t]
            if gone[j]:
                continue
            common = shared[j]
            if not common > 0.0:
                continue
            below = sizes[i] * sizes[j] if kind == PRODUCT else sizes[i] + sizes[j] - common
            value = common / (below + shrinkage)
            if neighbors[j, last] < 0 or before(value, i, values[j, last], neighbors[j, last]):
                put(i, value, held_by(neighbors[j]), neighbors[j], values[j])
