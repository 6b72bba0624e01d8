"""Negatives that a row draws from its own seed: the same ones whoever else is there, in whatever
order.

A draw is a function of (seed, row, place, attempt) alone, so deleting one user's interactions
leaves the negatives of everybody else where they were, and retraining on what remains draws exactly
the negatives that forgetting did. Draws that follow a distribution go through its cumulative sums:
where the distribution changes a little, few draws do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ATTEMPTS = 64
"""Redraws before a place is left empty: only a row that interacted with nearly everything comes to
that."""


def uniforms(seed: int, row: Array, place: Array, attempt: int = 0) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1), one for every (row, place): splitmix64 (Steele et al., OOPSLA 2014) of all
    four.

    >>> first, second = np.array([3, 4]), np.array([9, 4])
    >>> uniforms(0, first, np.array([0, 0])) == uniforms(0, second, np.array([0, 0]))
    array([False,  True])
    """
    state = _mix(np.full(row.shape, seed, np.uint64))
    for part in (row, place, np.full(row.shape, attempt)):
        state = _mix(state ^ part.astype(np.uint64))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def draw(cumulative: Array, numbers: Array) -> Array:
    """Index of every number under the distribution with these cumulative weights (the last one is
    their total).
    """
    index = np.searchsorted(cumulative, numbers * cumulative[-1], side="right")
    return np.asarray(np.minimum(index, cumulative.size - 1), dtype=np.int64)


def _mix(state: Array) -> Array:
    with np.errstate(over="ignore"):
        z = state + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))
