"""The lists of all items, each pair of them looked at once; ``_kernels.nearest`` is the twin, a
list at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alteraser.models.neighbors._best import before, held_by, put
from alteraser.models.neighbors._kernels import JACCARD
from alteraser.runtime.jit import exact_order

DENSE = 4
"""From n / 4 multiply-adds on, what an item shares is looked up for all later ones, rather than
those met"""
SAFE = 1.0 - 1e-12
"""Rounding that a product may have beside a quotient, many times over"""


@exact_order
def enter(i: int, j: int, value: float, neighbors: Any, values: Any, worst: Any) -> None:
    """Item ``j`` where it belongs in the list of ``i``, if it does; ``worst[i]`` is at least the
    end of a full list.
    """
    found, near = neighbors[i], values[i]
    if found[-1] < 0 or before(value, j, near[-1], found[-1]):
        held = put(j, value, held_by(found), found, near)
        if held == found.size and near[-1] > worst[i]:
            worst[i] = near[-1]


@exact_order
def pairs(
    rows: Any,
    work: Any,
    item_ptr: Any,
    item_users: Any,
    item_order: Any,
    user_ptr: Any,
    user_items: Any,
    weights: Any,
    sizes: Any,
    kind: int,
    shrinkage: float,
    shared: Any,
    worst: Any,
    neighbors: Any,
    values: Any,
) -> None:
    """Put each item of ``rows`` and each later one that shares somebody with it into one another's
    lists.

    ``neighbors`` (n, K) int32 are −1 and ``values`` (n, K) 0 before the first; ``weights`` is None
    where all are 1; ``work`` (n,) is what the people of an item have in all, above n/4 where
    weights may be of both signs, so that a sum may come back to 0; ``user_items`` are unsigned;
    ``shared`` (n,) zeros to work in, integers or floats like weights.

    What two items share is added up over the same people in the same order whichever comes first.
    An order of all pairs decides between equal ones, so neither the order of ``rows`` nor how they
    are split changes a bit of the lists. ``worst`` (n,) zeros is the workers' in common: no pair of
    the whole list is behind the end of anybody's.
    """
    n = sizes.size
    met = np.empty(n, np.uint32)
    for i in rows:
        everywhere = work[i] * DENSE > n
        count = 0
        for p in range(item_ptr[i], item_ptr[i + 1]):
            place = item_order[p]
            stop = user_ptr[item_users[p] + 1]
            if weights is None:
                if everywhere:
                    for q in range(place + 1, stop):
                        shared[user_items[q]] += 1
                else:
                    for q in range(place + 1, stop):
                        j = user_items[q]
                        if shared[j] == 0:
                            met[count] = j
                            count += 1
                        shared[j] += 1
            else:
                mine = weights[place]
                if everywhere:
                    for q in range(place + 1, stop):
                        shared[user_items[q]] += mine * weights[q]
                else:
                    for q in range(place + 1, stop):
                        j = user_items[q]
                        if shared[j] == 0 and count < n:
                            met[count] = j
                            count += 1
                        shared[j] += mine * weights[q]
        start = np.int64(i) + 1 if everywhere else np.int64(0)
        for t in range(start, n if everywhere else count):
            j = t if everywhere else np.int64(met[t])
            common = shared[j]
            shared[j] = 0
            if not common > 0:
                continue
            below = (
                sizes[i] + sizes[j] - common if kind == JACCARD else sizes[i] * sizes[j]
            ) + shrinkage
            mine_too, theirs_too = (
                common >= below * worst[i] * SAFE,
                common >= below * worst[j] * SAFE,
            )
            if mine_too or theirs_too:
                value = common / below
                if mine_too:
                    enter(i, j, value, neighbors, values, worst)
                if theirs_too:
                    enter(j, i, value, neighbors, values, worst)


@exact_order
def merge(theirs: Any, their_values: Any, worst: Any, neighbors: Any, values: Any) -> None:
    """Put the entries of lists of the same items, made of other pairs, into ``neighbors`` and
    ``values``.
    """
    for i in range(worst.size):
        for place in range(theirs.shape[1]):
            if theirs[i, place] < 0 or their_values[i, place] < worst[i]:
                break
            enter(i, theirs[i, place], their_values[i, place], neighbors, values, worst)
