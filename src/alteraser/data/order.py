"""Whole numbers in order: what is so already, as most data are, is not sorted again."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def increasing(keys: Array) -> bool:
    """Whether each is above the one before."""
    return bool(np.all(keys[1:] > keys[:-1]))


def in_order(keys: Array) -> Any:
    """What puts ``keys`` in order, equal ones as they stand: places, or a slice of all of them.

    >>> import numpy as np
    >>> in_order(np.array([2, 1, 2])).tolist(), in_order(np.array([1, 2]))
    ([1, 0, 2], slice(None, None, None))
    """
    return slice(None) if increasing(keys) else np.argsort(keys, kind="stable")


def distinct(keys: Array) -> tuple[Array, Array]:
    """(the distinct ones in order, the first place of each).

    >>> import numpy as np
    >>> [x.tolist() for x in distinct(np.array([5, 3, 5]))]
    [[3, 5], [1, 0]]
    """
    if increasing(keys):
        return keys, np.arange(keys.size)
    return np.unique(keys, return_index=True)
