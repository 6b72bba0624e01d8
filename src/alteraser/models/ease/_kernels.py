"""Loops over a packed triangle: XᵀX of sparse X, whose twin is SciPy's product, and what one row
does to it.

``dense`` is the transposed rectangle (c, r) of ``packed``, ``first`` its c and ``odd`` its o. What
one row does is as fast as memory in one thread; BLAS would wake others, which wait for more to do
for longer than that takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alteraser.runtime.jit import exact_order, kernel

TALL = 64
"""Items of which a square is laid out at a time"""


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
    rows: Any,
    values: Any,
    wide: int,
    out: Any,
) -> None:
    """Columns ``places`` (starts of ``wide`` each) of out (k, n) = Vᵀ times the symmetric matrix in
    ``dense``.

    V (n, k) has the entries ``rows``, ``values`` of its t-th item ``touched[t]`` at ptr[t]:ptr[t +
    1]; items increase. The matrix is laid out square by square, which stays near while all rows
    that want it take it.
    """
    n = out.shape[1]
    # not a power of 2 apart, which would be one place of the cache
    square = np.empty((TALL, wide + 8), dense.dtype)
    for i0 in places:
        i1 = min(i0 + wide, n)
        start = 0
        while start < touched.size:
            j0 = touched[start]
            j1 = min(j0 + TALL, n)
            for j in range(j0, j1):
                if j < first:
                    for i in range(max(i0, j), i1):
                        square[j - j0, i - i0] = dense[j, i + odd]
                else:
                    for i in range(max(i0, first), min(i1, j + 1)):
                        square[j - j0, i - i0] = dense[j - first + 1 - odd, i - first]
            for i in range(i0, i1):
                if i < first:
                    for j in range(max(j0, i + 1), j1):
                        square[j - j0, i - i0] = dense[i, j + odd]
                else:
                    for j in range(max(j0, first), min(j1, i)):
                        square[j - j0, i - i0] = dense[i - first + 1 - odd, j - first]
            while start < touched.size and touched[start] < j1:
                line = square[touched[start] - j0, : i1 - i0]
                for p in range(ptr[start], ptr[start + 1]):
                    target, value = out[rows[p], i0:i1], values[p]
                    for t in range(i1 - i0):
                        target[t] += value * line[t]
                start += 1


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
