"""The list of one item while it is made: the K best, best first, equal ones by row; −1 and 0 behind
them.

A list is (items (K,) int32, values (K,) float64), and how many it holds is the caller's to know. He
asks whether an item belongs, by numbers alone, before he calls ``put``: arrays that are handed over
in an inner loop would cost more than all that is done with them.
"""

from __future__ import annotations

from typing import Any

from alteraser.runtime.jit import exact_order


@exact_order
def before(value: float, item: int, other: float, their_item: int) -> bool:
    """Whether an item is before another one in a list.

    An order of all items, so that what is held at the end does not depend on who came first.
    """
    return value > other or (value == other and item < their_item)


@exact_order
def put(item: int, value: float, held: int, items: Any, values: Any) -> int:
    """``item`` where it belongs among the first ``held`` of a list, before the last if that is
    full; how many these are then.
    """
    place = min(held, items.size - 1)
    while place > 0 and before(value, item, values[place - 1], items[place - 1]):
        items[place], values[place] = items[place - 1], values[place - 1]
        place -= 1
    items[place], values[place] = item, value
    return int(min(held + 1, items.size))


@exact_order
def held_by(items: Any) -> int:
    """How many a closed list holds."""
    held: int = items.size
    while held > 0 and items[held - 1] < 0:
        held -= 1
    return held


@exact_order
def close(held: int, items: Any, values: Any) -> None:
    """Write −1 and 0 behind the last."""
    for place in range(held, items.size):
        items[place], values[place] = -1, 0.0
