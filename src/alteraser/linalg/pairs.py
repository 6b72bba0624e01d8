"""Inner products and norms of what both sides have: (users, items), each a matrix.

The certificates have their own (``evidence.certificate.plain``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Pair = tuple[Array, Array]


def inner(one: Pair, other: Pair) -> float:
    """Σ of the products of their entries.

    >>> inner((np.ones((2, 1)), np.ones((1, 1))), (np.ones((2, 1)), np.ones((1, 1))))
    3.0
    """
    return float(np.vdot(one[0], other[0]) + np.vdot(one[1], other[1]))


def norm(both: Iterable[Array]) -> float:
    """‖·‖_F of both sides together, accumulated in float64.

    >>> norm((np.full((1, 1), 3.0), np.full((1, 1), 4.0)))
    5.0
    """
    return float(np.sqrt(sum(float(np.einsum("id,id->", x, x, dtype=np.float64)) for x in both)))
