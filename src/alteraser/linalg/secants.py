"""What the last steps have taught about the curvature: limited-memory BFGS, with its sums as matrix
products.

A step s that changed the gradient by y says ∇²φ s ≈ y. The BFGS update keeps H ≈ (∇²φ)⁻¹ such that
H y = s for the newest pair and corrects an initial H₀ as little as it can; with few pairs kept, H g
is two sums over them (Nocedal, Math. Comp. 1980; Nocedal & Wright, Numerical Optimization, §7.2).
The inner products s_iᵀy_j among pairs are kept, so that all of it takes two products with the stack
of s and two with that of y (after Byrd, Nocedal & Schnabel, Math. Prog. 1994).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CURVED = 1e-4
"""Least cosine between s and y of a pair that is kept: below it, φ does not bend up along s, or
rounding says so."""


class Secants:
    """Up to ``room`` pairs (s, y) of arrays of one shape; H g for an initial H₀ that may change
    from call to call.
    """

    def __init__(self, room: int, shape: tuple[int, ...], dtype: Any) -> None:
        size = int(np.prod(shape))
        self._room = room
        self._s, self._y = np.zeros((room, size), dtype), np.zeros((room, size), dtype)
        self._between = np.zeros((room, room))  # s_iᵀ y_j
        self._order: list[int] = []  # places of the pairs, oldest first

    def __len__(self) -> int:
        return len(self._order)

    def clear(self) -> None:
        """Forget all pairs."""
        self._order.clear()

    def keep(self, s: Array, y: Array) -> bool:
        """Add a pair, in place of the oldest where there is no room; False, and nothing kept, if
        sᵀy is too small.
        """
        s, y = s.ravel(), y.ravel()
        along = float(s @ y)
        if self._room == 0 or not along > CURVED * float(np.linalg.norm(s)) * float(
            np.linalg.norm(y)
        ):
            return False
        place = len(self._order) if len(self._order) < self._room else self._order.pop(0)
        self._order.append(place)
        self._s[place], self._y[place] = s, y
        self._between[:, place] = self._s @ y
        self._between[place, :] = self._y @ s
        return True

    def apply(self, g: Array, initial: Callable[[Array], Array]) -> Array:
        """H g, with ``initial`` for H₀."""
        order, between = self._order, self._between
        if not order:
            return initial(g)
        flat = g.ravel()
        against = self._s @ flat
        a = np.zeros(self._room)
        for n in range(len(order) - 1, -1, -1):
            i, newer = order[n], order[n + 1 :]
            a[i] = (against[i] - between[i, newer] @ a[newer]) / between[i, i]
        z = initial((flat - a.astype(g.dtype) @ self._y).reshape(g.shape))
        against = self._y @ z.ravel()
        b = np.zeros(self._room)
        for n, i in enumerate(order):
            older = order[:n]
            b[i] = a[i] - (against[i] + between[older, i] @ b[older]) / between[i, i]
        return np.asarray(z + (b.astype(g.dtype) @ self._s).reshape(g.shape))
