"""Ranked lists: what the list metrics accept, refused once and in the same words."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]


def ranked_lists(name: str, lists: Array) -> Array:
    """``lists`` as an array of distinct item rows (users, k), best first, padded at the end with
    −1.

    Args:
        name: what the caller calls the argument; messages begin with it.
        lists: (users, k) integers.

    Raises:
        InvalidInput: another shape or type, a row below −1, −1 before the end, an item twice for
            one user.

    >>> import numpy as np
    >>> ranked_lists("lists", np.array([[4, 7, -1], [-1, -1, -1]])).shape
    (2, 3)
    """
    lists = np.asarray(lists)
    if lists.ndim != 2:
        raise InvalidInput(
            f"{name} has shape {lists.shape}, expected (users, k), one list per user: reshape a "
            "single list to (1, k)"
        )
    if lists.size and not np.issubdtype(lists.dtype, np.integer):
        raise InvalidInput(
            f"{name} holds {lists.dtype}, expected integers: pass the rows of items, not their "
            "scores"
        )
    below = lists < -1
    if below.any():
        raise InvalidInput(
            f"{name} holds {lists[below][0]} for user {_first(below)}, expected item rows or −1: "
            "pad short lists with −1"
        )
    gap = (lists[:, 1:] >= 0) & (lists[:, :-1] < 0)
    if gap.any():
        raise InvalidInput(
            f"{name} has −1 before an item of user {_first(gap)}, expected it behind the last one: "
            "move the padding to the end"
        )
    ordered = np.sort(lists, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if twice.any():
        raise InvalidInput(
            f"{name} holds item {ordered[:, 1:][twice][0]} twice for user {_first(twice)}, "
            "expected distinct items: keep the better rank"
        )
    return lists


def depth_of(name: str, value: int) -> int:
    """A number of ranks as an int, InvalidInput unless it is a whole number of at least 1.

    >>> depth_of("k", 10)
    10
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InvalidInput(
            f"{name}={value!r}, expected a whole number of at least 1: how many ranks count?"
        )
    return int(value)


def _first(wrong: Array) -> int:
    return int(np.flatnonzero(wrong.any(axis=1))[0])
