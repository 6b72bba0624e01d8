"""Sums in another library's order: bit for bit against the BLAS that is here, and what the steps
compute."""

from __future__ import annotations

import numpy as np
import pytest

from alteraser.linalg.kernels.ordered import FOLDED, PAIRED
from alteraser.solvers.kernels.ordered_rows import ordered_add, ordered_dot
from alteraser.solvers.rows import ordered_cg
from alteraser.solvers.rows.ordered_cg import WeightedRows, order_of, ordered_steps


@pytest.mark.parametrize("order", [FOLDED, PAIRED])
@pytest.mark.parametrize("d", [1, 8, 31, 32, 50, 64, 100, 128, 250])
def test_every_order_gives_the_sum(order: int, d: int) -> None:
    rng = np.random.default_rng(d)
    x, y = rng.standard_normal((2, d)).astype(np.float32)
    exact = float(x.astype(np.float64) @ y.astype(np.float64))
    assert ordered_dot(order, x, 0, y, 0, d) == pytest.approx(exact, abs=1e-6 * d)
    out = y.copy()
    ordered_add(order, out, 0, x, 0, np.float32(0.3), d)
    np.testing.assert_allclose(out, y + np.float32(0.3) * x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("d", [20, 64, 100])
def test_a_known_order_is_that_of_the_blas_bit_for_bit(d: int) -> None:
    order = order_of(d)
    if order is None:
        pytest.skip(
            "this machine's BLAS takes its sums in an order that is not known here; replay then "
            "does without"
        )
    sdot = ordered_cg._routine("sdot", 5, True)
    n, one = np.array([d], np.int32), np.array([1], np.int32)
    rng = np.random.default_rng(5)
    for _ in range(200):
        x, y = (rng.standard_normal((2, d)) * 10.0 ** rng.integers(-3, 4)).astype(np.float32)
        known = np.float32(sdot(*(a.ctypes.data for a in (n, x, one, y, one))))
        assert ordered_dot(order, x, 0, y, 0, d) == known


@pytest.mark.parametrize("d", [12, 64])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_steps_are_conjugate_gradients(d: int, threads: int) -> None:
    if order_of(d) is None:
        pytest.skip("this machine's BLAS takes its sums in an order that is not known here")
    rng = np.random.default_rng(3)
    rows, columns = 9, 15
    mask = rng.random((rows, columns)) < 0.4
    mask[4] = False
    indptr = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int64)
    indices = np.nonzero(mask)[1].astype(np.int32)
    weight = (rng.random(indices.size) * 5 * rng.choice([1, 1, 1, -1], indices.size)).astype(
        np.float32
    )
    Z, X = ((rng.standard_normal((k, d)) * 0.3).astype(np.float32) for k in (columns, rows))
    mine = X.copy()
    ordered_steps(
        WeightedRows(indptr, indices, weight),
        Z,
        mine,
        regularization=0.5,
        steps=3,
        tiny=1e-20,
        threads=threads,
    )
    assert not mine[4].any()
    for i in range(rows):
        if i == 4:
            continue
        z, c = (
            Z[indices[indptr[i] : indptr[i + 1]]].astype(float),
            weight[indptr[i] : indptr[i + 1]].astype(float),
        )
        A = Z.astype(float).T @ Z + 0.5 * np.eye(d) + (z.T * (np.abs(c) - 1)) @ z
        x, b = X[i].astype(float), z.T @ np.maximum(c, 0)
        r = b - A @ x
        p = r.copy()
        for _ in range(3):
            q = A @ p
            step = r @ r / (p @ q)
            x, old = x + step * p, r @ r
            r = r - step * q
            p = r + (r @ r / old) * p
        np.testing.assert_allclose(mine[i], x, rtol=2e-3, atol=2e-4)


def test_without_a_known_order_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_cg, "order_of", lambda d: None)
    matrix = WeightedRows(np.array([0, 1]), np.array([0], np.int32), np.ones(1, np.float32))
    with pytest.raises(LookupError, match="order of sums"):
        ordered_steps(
            matrix,
            np.ones((1, 4), np.float32),
            np.ones((1, 4), np.float32),
            regularization=1.0,
            steps=1,
            tiny=0.0,
            threads=1,
        )
