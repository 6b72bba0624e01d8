"""XᵀX of sparse X into a packed triangle; its twin is SciPy's product."""

from __future__ import annotations

from typing import Any

import numpy as np

from alteraser.runtime.jit import exact_order


@exact_order
def gram(
    items: Any, item_ptr: Any, item_users: Any, item_order: Any, user_ptr: Any, user_items: Any, values: Any,
    weighted: bool, first: int, odd: int, dense: Any,
) -> None:  # fmt: skip
    """Columns ``items`` of the lower triangle of XᵀX into ``dense``, the transposed rectangle (c, r) of ``packed``.

    ``first`` is c and ``odd`` is o. Entry (i, j), i ≥ j, adds up over the people of j in the order of their rows; the
    items of one person increase, so what is behind j in their list is what j shares with later items.
    """
    n = item_ptr.size - 1
    shared = np.zeros(n)
    for j in items:
        for p in range(item_ptr[j], item_ptr[j + 1]):
            place = item_order[p]
            mine = values[place] if weighted else 1.0
            for q in range(place, user_ptr[item_users[p] + 1]):
                shared[user_items[q]] += mine * values[q] if weighted else 1.0
        if j < first:
            for i in range(j, n):
                dense[j, i + odd] = shared[i]
                shared[i] = 0.0
        else:
            for i in range(j, n):
                dense[i - first + 1 - odd, j - first] = shared[i]
                shared[i] = 0.0
