"""How many people had two items, and of which items that says most; twins in SciPy are in
``cooccurrence.apart``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alteraser.models.neighbors._best import before, close, put
from alteraser.runtime.jit import exact_order


@exact_order
def together(
    rows: Any,
    begins: Any,
    item_ptr: Any,
    item_users: Any,
    user_ptr: Any,
    user_items: Any,
    columns: Any,
    counts: Any,
    found: Any,
) -> None:
    """For each item i in ``rows`` the items j > i that somebody had with it, and how many did.

    They are written, increasing, to ``columns`` and ``counts`` from ``begins`` of i on; ``found``
    (n,) says how many. Items increase within a user.
    """
    shared = np.zeros(item_ptr.size - 1, np.int32)
    for i in rows:
        begin, count = begins[i], 0
        for p in range(item_ptr[i], item_ptr[i + 1]):
            u = item_users[p]
            q = user_ptr[u + 1] - 1
            while user_items[q] > i:
                j = user_items[q]
                if shared[j] == 0:
                    columns[begin + count] = j
                    count += 1
                shared[j] += 1
                q -= 1
        mine = columns[begin : begin + count]
        mine.sort()
        for t in range(count):
            counts[begin + t] = shared[mine[t]]
            shared[mine[t]] = 0
        found[i] = count


@exact_order
def strongest(
    rows: Any,
    starts: Any,
    columns: Any,
    counts: Any,
    frequency: Any,
    people: int,
    entropy: Any,
    ratio: bool,
    least: int,
    neighbors: Any,
    values: Any,
) -> None:
    """For each item in ``rows`` its K strongest companions, best first, equal ones by row; −1 and 0
    behind them.

    ``entropy`` (people + 1,) is x ln x. With ``ratio`` the value is Dunning's log-likelihood ratio,
    of companions that are met more often than by chance alone, else the count; those of fewer than
    ``least`` people are left out.
    """
    length = neighbors.shape[1]
    for i in rows:
        held = 0
        a = frequency[i]
        for t in range(starts[i], starts[i + 1]):
            j, both = columns[t], counts[t]
            if both < least:
                continue
            if ratio:
                b = frequency[j]
                if float(both) * people <= float(a) * float(b):
                    continue
                cells = (
                    entropy[both]
                    + entropy[a - both]
                    + entropy[b - both]
                    + entropy[people - a - b + both]
                )
                sides = (entropy[a] + entropy[people - a]) + (entropy[b] + entropy[people - b])
                value = 2.0 * ((cells - sides) + entropy[people])
                if not value > 0.0:
                    continue
            else:
                value = float(both)
            if held < length or before(value, j, values[i, held - 1], neighbors[i, held - 1]):
                held = put(j, value, held, neighbors[i], values[i])
        close(held, neighbors[i], values[i])


@exact_order
def similar(
    rows: Any,
    starts: Any,
    columns: Any,
    counts: Any,
    sizes: Any,
    jaccard: bool,
    shrinkage: float,
    neighbors: Any,
    values: Any,
) -> None:
    """What ``_kernels.nearest`` finds of interactions without weights, from how many people two
    items share.

    The same operations on the same integers, and so the same bits.
    """
    length = neighbors.shape[1]
    for i in rows:
        held = 0
        for t in range(starts[i], starts[i + 1]):
            j, common = columns[t], float(counts[t])
            below = sizes[i] + sizes[j] - common if jaccard else sizes[i] * sizes[j]
            value = common / (below + shrinkage)
            if held < length or before(value, j, values[i, held - 1], neighbors[i, held - 1]):
                held = put(j, value, held, neighbors[i], values[i])
        close(held, neighbors[i], values[i])


@exact_order
def shift(
    first: Any, second: Any, by: int, starts: Any, columns: Any, counts: Any, missing: Any
) -> int:
    """Add ``by`` to the count of every pair of an item of ``first`` and one of ``second``, which
    have none in common.

    Where ``second`` is empty, of every two items of ``first``. Pairs that have no place are written
    to ``missing``, (pairs, 2); returns how many these are.
    """
    found = 0
    for a in range(first.size):
        for b in range(
            a + 1 if second.size == 0 else 0, first.size if second.size == 0 else second.size
        ):
            other = first[b] if second.size == 0 else second[b]
            i, j = min(first[a], other), max(first[a], other)
            low, high = starts[i], starts[i + 1]
            while low < high:
                middle = (low + high) // 2
                if columns[middle] < j:
                    low = middle + 1
                else:
                    high = middle
            if low < starts[i + 1] and columns[low] == j:
                counts[low] += by
            else:
                missing[found, 0], missing[found, 1] = i, j
                found += 1
    return found
