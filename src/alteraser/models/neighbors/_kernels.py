"""The row of one item: what it shares with every other one, and the K that are most like it; twin
in ``plain``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from alteraser.models.neighbors._best import before, close, held_by, put
from alteraser.runtime.jit import exact_order

PRODUCT, JACCARD = 0, 1
SAFE = 1.0 - 1e-12
"""Rounding that a product may have beside a quotient, many times over"""


class Compared(NamedTuple):
    """Interactions by item and by user, and how two items are compared.

    ``weights``, of each of ``user_items``, float64 or None where all are 1, go beside it: only of
    an argument does numba know at once that it is None, and compiles a loop without them.
    """

    item_ptr: Any
    """(n + 1,): the people of an item are ``item_users[item_ptr[i] : item_ptr[i + 1]]``"""
    item_users: Any
    item_order: Any
    """Where the same interaction is among ``user_items``"""
    user_ptr: Any
    user_items: Any
    """uint32: an index that cannot be negative costs no test"""
    sizes: Any
    """(n,) float64"""
    kind: int
    """``PRODUCT`` or ``JACCARD``: what ``sizes`` make below the line"""
    shrinkage: float


@exact_order
def share(i: int, of: Compared, weights: Any, shared: Any, met: Any, met_by: Any) -> int:
    """Add up what item ``i`` shares with every item: into ``shared`` (n,), zeros before.

    Which ones these are, ``i`` among them, is written to ``met`` (n + 1,) uint32; how many, is
    returned. ``met_by`` (n,) holds nothing that is ``i``. Sums are over the people of the item in
    the order of their rows, so that neither the rows that are asked for nor the number of threads
    change a bit of them. An item is written down each time and counted the first: whether it is the
    first time can be foretold by nobody, and a wrong guess costs more than all the rest.
    """
    count: Any = 0
    for p in range(of.item_ptr[i], of.item_ptr[i + 1]):
        u = of.item_users[p]
        if weights is None:
            for q in range(of.user_ptr[u], of.user_ptr[u + 1]):
                j = of.user_items[q]
                before = shared[j]
                met[count] = j
                count += np.int64(before == 0)
                shared[j] = before + 1
        else:
            mine = weights[of.item_order[p]]
            for q in range(of.user_ptr[u], of.user_ptr[u + 1]):
                j = of.user_items[q]
                met[count] = j
                count += np.int64(met_by[j] != i)
                met_by[j] = i
                shared[j] += mine * weights[q]
    return int(count)


@exact_order
def below_the_line(i: int, j: int, common: float, of: Compared) -> float:
    """What the similarity of two items that share ``common`` is divided by."""
    mine, theirs = of.sizes[i], of.sizes[j]
    below = mine + theirs - common if of.kind == JACCARD else mine * theirs
    return float(below + of.shrinkage)


@exact_order
def nearest(
    rows: Any, of: Compared, weights: Any, shared: Any, neighbors: Any, values: Any
) -> None:
    """For each item in ``rows`` (r,) its K most similar items, best first, equal ones by row.

    Written to ``neighbors`` (n, K) int32 and ``values`` (n, K) float64 at ``rows``; behind the end
    of a list stand −1 and 0. ``shared`` (n,) zeros to work in, int32 where there are no weights,
    else float64.
    """
    n, length = of.sizes.size, neighbors.shape[1]
    met, met_by = np.empty(n + 1, np.uint32), np.full(n, -1, np.int32)
    for i in rows:
        count = share(i, of, weights, shared, met, met_by)
        shared[i] = 0
        held, bar = 0, 0.0
        for t in range(count):
            j = np.int64(met[t])
            common = shared[j]
            shared[j] = 0
            below = below_the_line(i, j, common, of)
            # most do not come near the end of a full list, and need no quotient
            if common > below * bar:
                value = common / below
                if held < length or before(value, j, values[i, held - 1], neighbors[i, held - 1]):
                    held = put(j, value, held, neighbors[i], values[i])
                    if held == length:
                        bar = values[i, held - 1] * SAFE
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
    rows: Any, gone: Any, of: Compared, weights: Any, shared: Any, neighbors: Any, values: Any
) -> None:
    """Put each item of ``rows`` where it belongs in the lists of all items that are not in
    ``gone``; ``shared`` as in ``nearest``.

    The similarity is the one that ``nearest`` finds from the other side, in every bit: sums,
    products and the sum of two sizes do not change with the order of two operands, and both add up
    over the same people in the same order.
    """
    n, last = of.sizes.size, neighbors.shape[1] - 1
    met, met_by = np.empty(n + 1, np.uint32), np.full(n, -1, np.int32)
    for i in rows:
        count = share(i, of, weights, shared, met, met_by)
        for t in range(count):
            j = np.int64(met[t])
            common = shared[j]
            shared[j] = 0
            if gone[j] or not common > 0:
                continue
            value = common / below_the_line(i, j, common, of)
            if neighbors[j, last] < 0 or before(value, i, values[j, last], neighbors[j, last]):
                put(i, value, held_by(neighbors[j]), neighbors[j], values[j])
