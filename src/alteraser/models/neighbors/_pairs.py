"""The lists of all items, each pair of them looked at once; ``_kernels.nearest`` is the twin, a
list at a time.
"""

from __future__ import annotations

from typing import Any

from alteraser.models.neighbors._best import before, held_by, put
from alteraser.models.neighbors._kernels import SAFE, Compared, below_the_line
from alteraser.runtime.jit import exact_order


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
    rows: Any, of: Compared, weights: Any, shared: Any, worst: Any, neighbors: Any, values: Any
) -> None:
    """Put each item of ``rows`` and each later one that shares somebody with it into one another's
    lists.

    ``neighbors`` (n, K) int32 are −1 and ``values`` (n, K) 0 before the first; ``shared`` (n,)
    zeros to work in, int32 where there are no weights, else float64. All later items are looked
    through, which is for data in which most pairs share somebody.

    What two items share is added up over the same people in the same order whichever comes first.
    An order of all pairs decides between equal ones, so neither the order of ``rows`` nor how they
    are split changes a bit of the lists. ``worst`` (n,) zeros is the workers' in common: no pair of
    the whole list is behind the end of anybody's.
    """
    for i in rows:
        for p in range(of.item_ptr[i], of.item_ptr[i + 1]):
            place = of.item_order[p]
            stop = of.user_ptr[of.item_users[p] + 1]
            if weights is None:
                for q in range(place + 1, stop):
                    shared[of.user_items[q]] += 1
            else:
                mine = weights[place]
                for q in range(place + 1, stop):
                    shared[of.user_items[q]] += mine * weights[q]
        for j in range(i + 1, of.sizes.size):
            common = shared[j]
            shared[j] = 0
            if not common > 0:
                continue
            below = below_the_line(i, j, common, of)
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
