"""Loops over a packed triangle: XᵀX of sparse X and products with sparse rows, whose twins are
SciPy's products, and what one row does to it.

``dense`` is the transposed rectangle (c, r) of ``packed``, ``first`` its c and ``odd`` its o. What
one row does is as fast as memory in one thread; BLAS would wake others, which wait for more to do
for longer than that takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alteraser.linalg.kernels.vector import add_four
from alteraser.runtime.jit import exact_order, kernel

PANEL = 256
"""Bytes of a line that is laid out: a row's sums of so many stay in the nearest cache"""
NEAR = 1024
"""Lines that are laid out at a time: a quarter of a megabyte, which the second cache holds"""
SIDE = 16
"""Columns of a line that are copied together"""


@exact_order
def gram(
    items: Any,
    item_ptr: Any,
    item_users: Any,
    item_order: Any,
    user_ptr: Any,
    user_items: Any,
    values: Any,
    weighted: bool,
    first: int,
    odd: int,
    dense: Any,
) -> None:
    """Columns ``items`` of the lower triangle of XᵀX into ``dense``, the transposed rectangle (c,
    r) of ``packed``.

    ``first`` is c and ``odd`` is o. Entry (i, j), i ≥ j, adds up over the people of j in the order
    of their rows; the items of one person increase, so what is behind j in their list is what j
    shares with later items.
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


@kernel
def times_sparse(
    places: Any,
    dense: Any,
    first: int,
    odd: int,
    touched: Any,
    ptr: Any,
    items: Any,
    values: Any,
    out: Any,
) -> None:
    """Columns ``places`` (starts of ``PANEL`` bytes each) of VᵀP (k, n) added to ``out``, P being
    the symmetric matrix in ``dense``.

    Vᵀ (k, n) has in row u the entries ``values`` at ptr[u]:ptr[u + 1], of the items
    ``touched[items]``; both increase. What these columns hold of ``NEAR`` touched items is laid out
    line by line and stays near while every row adds up the lines of its items, so that P is read
    once for all rows.
    """
    n, wide = out.shape[1], PANEL // dense.itemsize
    panel, sums = np.empty(NEAR * wide, dense.dtype), np.empty(wide, dense.dtype)
    for i0 in places:
        i1, at = min(i0 + wide, n), ptr[:-1].copy()
        for start in range(0, touched.size, NEAR):
            part = touched[start : start + NEAR]
            _lay_out(dense, first, odd, part, i0, i1, panel, wide)
            _add_lines(panel, start, start + part.size, at, ptr, items, values, sums, i0, i1, out)


@kernel
def inner_products(touched: Any, ptr: Any, items: Any, values: Any, w: Any, out: Any) -> None:
    """VᵀW (k, k) added to ``out``, of ``w`` = Wᵀ (k, n), in the way of ``times_sparse``."""
    k, wide = w.shape[0], PANEL // w.itemsize
    panel, sums = np.empty(NEAR * wide, w.dtype), np.empty(wide, w.dtype)
    for v0 in range(0, k, wide):
        v1, at = min(v0 + wide, k), ptr[:-1].copy()
        for start in range(0, touched.size, NEAR):
            part = touched[start : start + NEAR]
            for v in range(v0, v1):
                for t in range(part.size):
                    panel[t * wide + v - v0] = w[v, part[t]]
            _add_lines(panel, start, start + part.size, at, ptr, items, values, sums, v0, v1, out)


@kernel
def _add_lines(
    panel: Any,
    start: int,
    stop: int,
    at: Any,
    ptr: Any,
    items: Any,
    values: Any,
    sums: Any,
    i0: int,
    i1: int,
    out: Any,
) -> None:
    """Add to out[u, i0:i1] the lines in ``panel`` of the items start:stop of each row u, of which
    the next is at ``at[u]``, which moves on.
    """
    wide, none = PANEL // panel.itemsize, panel.dtype.type(0)
    for u in range(at.size):
        p, end = at[u], ptr[u + 1]
        sums[:] = 0
        while p + 4 <= end and items[p + 3] < stop:
            add_four(
                sums,
                0,
                panel,
                (items[p] - start) * wide,
                (items[p + 1] - start) * wide,
                (items[p + 2] - start) * wide,
                (items[p + 3] - start) * wide,
                values[p],
                values[p + 1],
                values[p + 2],
                values[p + 3],
                wide,
            )
            p += 4
        while p < end and items[p] < stop:
            line = (items[p] - start) * wide
            add_four(sums, 0, panel, line, line, line, line, values[p], none, none, none, wide)
            p += 1
        at[u] = p
        for i in range(i0, i1):
            out[u, i] += sums[i - i0]


@kernel
def _lay_out(
    dense: Any, first: int, odd: int, items: Any, i0: int, i1: int, panel: Any, wide: int
) -> None:
    """The entries (j, i0:i1) of the symmetric matrix in ``dense`` into ``panel``, a line of
    ``wide`` for each j of ``items``.

    ``SIDE`` columns at a time: as long as neither the diagonal nor the corner begins among them,
    they lie side by side in a row of ``dense``, or below one another.
    """
    for b0 in range(i0, i1, SIDE):
        b1 = min(b0 + SIDE, i1)
        whole = b1 - b0 == SIDE and (b1 <= first or b0 >= first)
        for t in range(items.size):
            j, at = items[t], t * wide + b0 - i0
            x, y = _entry(b0, j, first, odd)
            if not whole or b0 <= j < b1:
                for i in range(b0, b1):
                    x, y = _entry(i, j, first, odd)
                    panel[at + i - b0] = dense[x, y]
            elif (j < first) if j < b0 else (b0 >= first):
                for i in range(SIDE):
                    panel[at + i] = dense[x, y + i]
            else:
                for i in range(SIDE):
                    panel[at + i] = dense[x + i, y]


@kernel
def _entry(i: int, j: int, first: int, odd: int) -> Any:
    """Where the entry (i, j) of the symmetric matrix is in ``dense``."""
    low, high = min(i, j), max(i, j)
    if low < first:
        return low, high + odd
    return high - first + 1 - odd, low - first


@kernel
def times_one(dense: Any, first: int, odd: int, vector: Any, out: Any) -> None:
    """The symmetric matrix in ``dense`` times ``vector`` (n,), added to ``out``; each entry is read
    once.
    """
    n = vector.size
    for j in range(first):
        column, mine = dense[j, j + odd :], vector[j]
        total = column[0] * mine
        for i in range(1, n - j):
            out[j + i] += column[i] * mine
            total += column[i] * vector[j + i]
        out[j] += total
    for a in range(n - first):
        column, mine = dense[a + 1 - odd], vector[first + a]
        total = column[a] * mine
        for b in range(a):
            out[first + b] += column[b] * mine
            total += column[b] * vector[first + b]
        out[first + a] += total


@kernel
def gather(dense: Any, first: int, odd: int, items: Any, values: Any, out: Any) -> None:
    """The columns ``items`` of the symmetric matrix in ``dense``, times ``values`` each, added to
    ``out`` (n,).
    """
    n = out.size
    for t in range(items.size):
        j, mine = items[t], values[t]
        if j < first:
            for i in range(j, n):
                out[i] += mine * dense[j, i + odd]
            for i in range(j):
                out[i] += mine * dense[i, j + odd]
        else:
            k = j - first
            for i in range(first):
                out[i] += mine * dense[i, j + odd]
            for b in range(k + 1):
                out[first + b] += mine * dense[k + 1 - odd, b]
            for a in range(k + 1, n - first):
                out[first + a] += mine * dense[a + 1 - odd, k]


@kernel
def rank_one(dense: Any, first: int, odd: int, scaled: Any, vector: Any) -> None:
    """``dense`` plus scaled vectorᵀ, in place, ``scaled`` being a multiple of ``vector``."""
    n = vector.size
    for j in range(first):
        column, mine = dense[j, j + odd :], scaled[j]
        for i in range(n - j):
            column[i] += mine * vector[j + i]
    for a in range(n - first):
        column, mine = dense[a + 1 - odd], scaled[first + a]
        for b in range(a + 1):
            column[b] += mine * vector[first + b]
