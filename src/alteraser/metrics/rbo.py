"""Rank-biased overlap: how much two ranked lists agree, the top counting most."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]


def rank_biased_overlap(a: Array, b: Array, p: float = 0.9, depth: int | None = None) -> npt.NDArray[np.float64]:
    """Extrapolated RBO of row-aligned lists (Webber, Moffat & Zobel, ACM TOIS 2010, Eq. 32).

    With s and l the lengths of the shorter and the longer list and X_d their overlap at depth d,

        RBO_ext = (1−p)/p · [ Σ_{d=1..l} X_d/d p^d + Σ_{d=s+1..l} X_s (d−s)/(s d) p^d ]
                  + [ (X_l − X_s)/l + X_s/s ] p^l

    Args:
        a: (users, k_a) item rows, best first, padded at the end with −1.
        b: (users, k_b) likewise, of the same users.
        p: persistence, 0 < p < 1: the chance that a reader goes on to the next rank.
        depth: cut both lists to this length first.

    Returns:
        (users,) values in [0, 1]; identical lists give exactly 1. Two empty lists agree (1), an empty and a filled
        one do not (0).

    Raises:
        InvalidInput: shapes that do not match, p outside (0, 1), an item twice in a list.

    >>> import numpy as np
    >>> x = np.array([[1, 2, 3]])
    >>> rank_biased_overlap(x, x).tolist()
    [1.0]

    Swapped at the top: X = 0, 2, 3; 0.5/0.5 · (0 + 2/2 · 1/4 + 3/3 · 1/8) + 3/3 · 1/8 = 0.5

    >>> rank_biased_overlap(x, np.array([[2, 1, 3]]), p=0.5).tolist()
    [0.5]
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[0]:
        raise InvalidInput(f"lists of shapes {a.shape} and {b.shape}: expected (users, k) with the same users")
    if not 0.0 < p < 1.0:
        raise InvalidInput(f"p={p}: expected a number strictly between 0 and 1")
    if depth is not None:
        if depth < 1:
            raise InvalidInput(f"depth={depth}: expected at least 1")
        a, b = a[:, :depth], b[:, :depth]
    for name, lists in (("a", a), ("b", b)):
        _check_distinct(name, lists)
    lengths = np.stack([(a >= 0).sum(axis=1), (b >= 0).sum(axis=1)])
    s, deep = lengths.min(axis=0), lengths.max(axis=0)
    overlap = _overlap(a, b)
    rows = np.arange(a.shape[0])

    def at(length: Array) -> Array:
        return np.where(length > 0, overlap[rows, np.maximum(length, 1) - 1], 0)

    x_s, x_l = at(s), at(deep)
    d = np.arange(1, overlap.shape[1] + 1)
    weight = p**d
    inside = d <= deep[:, None]
    total = np.sum(np.where(inside, overlap / d * weight, 0.0), axis=1)
    ones = np.maximum(s, 1)
    tail = inside & (d > s[:, None])
    total += np.sum(np.where(tail, x_s[:, None] * (d - s[:, None]) / (ones[:, None] * d) * weight, 0.0), axis=1)
    value = (1 - p) / p * total + ((x_l - x_s) / np.maximum(deep, 1) + x_s / ones) * p**deep
    value[(s == deep) & np.all(_padded(a, b) == _padded(b, a), axis=1)] = 1.0
    value[(s == 0) & (deep > 0)] = 0.0
    return np.asarray(np.clip(value, 0.0, 1.0))


def _overlap(a: Array, b: Array) -> npt.NDArray[np.float64]:
    """X_d for d = 1 … max(k_a, k_b): items found in both lists' first d places; (users, d)."""
    k = max(a.shape[1], b.shape[1], 1)
    out = np.zeros((a.shape[0], k))
    same = (a[:, :, None] == b[:, None, :]) & (a[:, :, None] >= 0)
    row, i, j = np.nonzero(same)
    np.add.at(out, (row, np.maximum(i, j)), 1.0)
    return np.cumsum(out, axis=1)


def _padded(a: Array, b: Array) -> Array:
    """``a`` with −1 columns up to the width of the wider of the two."""
    extra = max(b.shape[1] - a.shape[1], 0)
    return np.pad(a, ((0, 0), (0, extra)), constant_values=-1)


def _check_distinct(name: str, lists: Array) -> None:
    ordered = np.sort(lists, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if repeated.any():
        user = int(np.flatnonzero(repeated.any(axis=1))[0])
        raise InvalidInput(f"list {user} of {name} holds an item twice; ranked lists must be distinct")
    if np.any((lists[:, 1:] >= 0) & (lists[:, :-1] < 0)):
        raise InvalidInput(f"{name} has −1 before the end of a list; padding belongs at the end")
