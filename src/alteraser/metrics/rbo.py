"""Rank-biased overlap: how much two ranked lists agree, the top counting most."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput
from alteraser.metrics._lists import depth_of, ranked_lists

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def rank_biased_overlap(a: Array, b: Array, p: float = 0.9, depth: int | None = None) -> Float64:
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
        (users,) values in [0, 1], the same for (b, a); identical lists give exactly 1. Two empty
        lists agree (1), an empty and a filled one do not (0).

    Raises:
        InvalidInput: shapes that do not match, p outside (0, 1), depth below 1, an item twice in a
            list, padding before the end of a list.

    >>> import numpy as np
    >>> x = np.array([[1, 2, 3]])
    >>> rank_biased_overlap(x, x).tolist()
    [1.0]

    Swapped at the top: X = 0, 2, 3; 0.5/0.5 · (0 + 2/2 · 1/4 + 3/3 · 1/8) + 3/3 · 1/8 = 0.5

    >>> rank_biased_overlap(x, np.array([[2, 1, 3]]), p=0.5).tolist()
    [0.5]

    Uneven, s = 1, l = 2: X = 1, 1; 0.5/0.5 · (1/1 · 1/2 + 1/2 · 1/4 + 1 · 1/(1 · 2) · 1/4) + (0/2 +
    1/1) · 1/4 = 1: where the short list ends it is taken to go on agreeing as it did

    >>> rank_biased_overlap(np.array([[1, -1]]), np.array([[1, 2]]), p=0.5).tolist()
    [1.0]
    """
    a, b = np.asarray(a), np.asarray(b)
    if depth is not None and a.ndim == b.ndim == 2:
        a, b = (lists[:, : depth_of("depth", depth)] for lists in (a, b))
    a, b = ranked_lists("a", a), ranked_lists("b", b)
    if a.shape[0] != b.shape[0]:
        raise InvalidInput(
            f"a has {a.shape[0]} lists and b has {b.shape[0]}, expected the same users in the "
            "same order: rank both models for one set of users"
        )
    if not 0.0 < p < 1.0:
        raise InvalidInput(
            f"p={p}, expected a number strictly between 0 and 1: 0.9 looks at about ten ranks"
        )
    k = max(a.shape[1], b.shape[1], 1)
    a, b = _widened(a, k), _widened(b, k)
    value = _extrapolated(_overlap(a, b), (a >= 0).sum(axis=1), (b >= 0).sum(axis=1), p)
    value[np.all(a == b, axis=1)] = 1.0  # the sum of the powers of p rounds
    return np.clip(value, 0.0, 1.0)


def _overlap(a: Array, b: Array) -> Float64:
    """X_d for d = 1 … k, the number of items among the first d of both lists; (users, k).

    Rank by rank, so that memory stays at users × k: rank d adds a's item if b has it by then, and
    b's item if a had it before. Padding meets padding only behind the end of both lists, where Eq.
    32 does not look.
    """
    gained = np.empty(a.shape)
    for d in range(a.shape[1]):
        mine, theirs = a[:, d, None], b[:, d, None]
        gained[:, d] = np.any(b[:, : d + 1] == mine, axis=1)
        gained[:, d] += np.any(a[:, :d] == theirs, axis=1)
    return np.cumsum(gained, axis=1)


def _extrapolated(X: Float64, length_a: Array, length_b: Array, p: float) -> Float64:
    """Eq. 32 from the overlaps X (users, k) and the lengths (users,); 0 where a list is empty."""
    s, deep = np.minimum(length_a, length_b), np.maximum(length_a, length_b)
    X_s, X_l = (np.where(n > 0, X[np.arange(n.size), n - 1], 0.0) for n in (s, deep))
    agreement = X_s / np.maximum(s, 1)  # X_s/s
    d = np.arange(1, X.shape[1] + 1)
    beyond = np.maximum(d - s[:, None], 0)  # d − s behind the shorter list, 0 within it
    terms = np.where(d <= deep[:, None], (X + agreement[:, None] * beyond) / d, 0.0)
    return np.asarray(
        (1 - p) / p * (terms @ p**d) + ((X_l - X_s) / np.maximum(deep, 1) + agreement) * p**deep
    )


def _widened(lists: Array, k: int) -> Array:
    return np.pad(
        lists.astype(np.int64, copy=False), ((0, 0), (0, k - lists.shape[1])), constant_values=-1
    )
