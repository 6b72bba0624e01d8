"""The vector instructions against the one-line formulas they stand for, and packed factors against
SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import TypingError
from scipy.linalg import cho_factor, cho_solve

from alteraser.linalg.kernels.dense import cholesky, subtract_product
from alteraser.linalg.kernels.tile import lanes
from alteraser.linalg.kernels.vector import (
    add_four,
    dot_four,
    scaled,
    short_add_four,
    short_dot_four,
    short_scaled,
)
from alteraser.runtime.jit import kernel
from alteraser.solvers.kernels.joint import _pack, packed_size, solve_at

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}


@kernel
def dots(x, at, Y, places, count, short):  # type: ignore[no-untyped-def]
    if short:
        return short_dot_four(x, at, Y, places[0], places[1], places[2], places[3], count)
    return dot_four(x, at, Y, places[0], places[1], places[2], places[3], count)


@kernel
def adds(x, at, Y, places, t, count, short):  # type: ignore[no-untyped-def]
    if short:
        short_add_four(
            x, at, Y, places[0], places[1], places[2], places[3], t[0], t[1], t[2], t[3], count
        )
    else:
        add_four(
            x, at, Y, places[0], places[1], places[2], places[3], t[0], t[1], t[2], t[3], count
        )


@kernel
def scales(x, at, Y, y, t, count, short):  # type: ignore[no-untyped-def]
    if short:
        short_scaled(x, at, Y, y, t, count)
    else:
        scaled(x, at, Y, y, t, count)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("short", [True, False])
@settings(max_examples=30)
@given(vectors=st.integers(0, 5), seed=st.integers(0, 2**31))
def test_sums_over_rows(dtype: type, short: bool, vectors: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = vectors * (8 if short else lanes(np.dtype(dtype).itemsize))
    x, Y = (
        rng.standard_normal(count + 7).astype(dtype),
        rng.standard_normal(4 * count + 50).astype(dtype),
    )
    at, places = 3, rng.integers(0, Y.size - count, 4)
    rows = np.array([Y[p : p + count] for p in places]).reshape(4, count)
    t = rng.standard_normal(4).astype(dtype)
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype] * 10}
    np.testing.assert_allclose(
        dots(x, at, Y, places, count, short), rows @ x[at : at + count], **close
    )
    expected = x.copy()
    expected[at : at + count] += t @ rows
    adds(x, at, Y, places, t, count, short)
    np.testing.assert_allclose(x, expected, **close)  # and nothing beside it
    expected[at : at + count] = t[0] * rows[0]
    scales(x, at, Y, places[0], t[0], count, short)
    np.testing.assert_allclose(x, expected, **close)


def test_two_float_types_are_refused() -> None:
    with pytest.raises(TypingError, match="one float type"):
        dots(np.zeros(8, np.float32), 0, np.zeros(8), np.zeros(4, np.int64), 8, True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("vectors", [1, 2, 3, 4])
def test_a_packed_factor_solves(dtype: type, vectors: int) -> None:
    width = lanes(np.dtype(dtype).itemsize)
    d = vectors * width
    rng = np.random.default_rng(d)
    B = rng.standard_normal((2 * d, d))
    A = (B.T @ B + d * np.eye(d)).astype(dtype)
    x, right = rng.standard_normal((2, d)).astype(dtype)
    # what is below the diagonal must not count
    upper = np.where(np.tri(d, k=-1, dtype=bool), np.nan, A)
    r = right.copy()
    given_upper = upper.copy()
    subtract_product(given_upper, x, r)
    np.testing.assert_allclose(
        r, right - A @ x, rtol=1e3 * TOLERANCE[dtype], atol=1e3 * TOLERANCE[dtype]
    )
    U = upper.copy()
    U[np.tri(d, k=-1, dtype=bool)] = 7.0
    assert cholesky(U, np.empty((32, d), dtype), width)
    np.testing.assert_allclose(
        np.triu(U).T @ np.triu(U), A, rtol=10 * TOLERANCE[dtype], atol=d * TOLERANCE[dtype]
    )
    packed, solution = (
        np.full(packed_size(d) + 3, np.nan, dtype),
        np.concatenate([[0], right, [0]]).astype(dtype),
    )
    _pack(U, packed)
    assert np.isnan(packed[-3:]).all()
    assert np.isfinite(packed[:-3]).all()
    solve_at(packed, 0, solution, 1, d)
    np.testing.assert_allclose(
        solution[1:-1], cho_solve(cho_factor(A), right), rtol=1e-3 if dtype is np.float32 else 1e-10
    )
    assert solution[0] == solution[-1] == 0


def test_a_block_that_is_not_positive_is_seen() -> None:
    A = -np.eye(16, dtype=np.float32)
    assert not cholesky(A, np.empty((32, 16), np.float32), 16)
