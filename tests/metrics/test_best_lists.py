"""The best columns of a block, beside a stable sort of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.models.ranking import SPARE, TOGETHER, fill_best


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.integers(1, 3 * SPARE * TOGETHER),
    st.integers(1, 12),
    st.sampled_from([2, 30, 10**6]),
    st.sampled_from([0.0, 0.3, 0.99]),
    st.sampled_from([np.float32, np.float64, np.int64]),
)
def test_a_stable_sort(
    seed: int, rows: int, columns: int, k: int, values: int, out: float, dtype: type
) -> None:
    """Ties, blocks of which hardly anything is left, and lists as long as there are columns."""
    rng = np.random.default_rng(seed)
    block = rng.integers(-values, values, (rows, columns)).astype(dtype)
    k = min(k, columns)
    if dtype != np.int64:
        block[rng.random(block.shape) < out] = -np.inf
        block[rng.random(block.shape) < 0.01] = np.nan
    lists, scores = np.full((rows, k), -1, np.int64), np.full((rows, k), np.nan)
    fill_best(block, lists, scores)
    for row in range(rows):
        there = np.flatnonzero(block[row] > -np.inf)
        best = there[np.argsort(-block[row, there].astype(np.float64), kind="stable")][:k]
        assert lists[row].tolist() == [*best, *[-1] * (k - best.size)]
        assert np.array_equal(scores[row, : best.size], block[row, best].astype(np.float64))


@pytest.mark.parametrize("columns", [1, SPARE * TOGETHER, 10 * SPARE * TOGETHER + 5])
def test_the_last_column_counts(columns: int) -> None:
    """Columns that fill no group are looked at too."""
    block = np.zeros((1, columns), np.float32)
    block[0, -1] = 1.0
    lists, scores = np.full((1, 1), -1, np.int64), np.full((1, 1), np.nan)
    fill_best(block, lists, scores)
    assert (lists[0, 0], scores[0, 0]) == (columns - 1, 1.0)
