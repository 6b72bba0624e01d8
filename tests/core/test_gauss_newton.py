"""The Gauss–Newton part of a side against dense matrices, by each of the ways to an inverse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import toy_interactions

from alteraser.models import Objective, Problem
from alteraser.solvers.gauss_newton import GaussNewtonSide, basis
from alteraser.solvers.rows.protocol import padded

D = 9
"""Of which rows of up to three interactions are few"""


@pytest.mark.parametrize("weights", ["ones", "heavy", "light", "missing"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_its_products_are_the_dense_ones(weights: str, dtype: type) -> None:
    """``heavy``: some rows by Woodbury's formula, some factored, and weights of exactly w₀ among
    them; ``light``: weights below w₀, all factored; ``missing``: items weighed by popularity.
    """
    rng = np.random.default_rng(0)
    data = toy_interactions(seed=3)
    c = {"heavy": rng.integers(1, 4, len(data)), "light": rng.uniform(0.2, 2.0, len(data))}
    data = replace(data, confidence=c[weights].astype(float) if weights in c else None)
    objective = Objective(
        missing_weight=1.0,
        regularization=0.2,
        missing_weighting="popularity" if weights == "missing" else "uniform",
    )
    problem = Problem(objective, data, dtype)
    P, Q = (rng.standard_normal((rows, D)).astype(dtype) for rows in data.shape)
    turned = basis(problem.items, P, D)
    assert (turned is None) == (weights in ("light", "missing"))
    if turned is not None:
        P, Q = (x @ turned[0].astype(dtype) for x in (P, Q))
    x, other = padded(Q), padded(P)
    side = problem.items
    found = GaussNewtonSide(
        side, x, other, rank=D, threads=2, diagonal=None if turned is None else turned[1]
    )
    if weights == "heavy":
        assert 0 < np.sum(side.counts <= 3) < side.rows
    right, moved = (padded(rng.standard_normal(a.shape).astype(dtype)) for a in (Q, P))
    W = np.zeros(data.shape)
    W[:] = 1.0 * (side.other if side.other.size else np.ones(len(P)))[:, None] * side.own
    observed = np.ones(len(data)) if data.confidence is None else data.confidence
    W[data.user_rows, data.indices] = observed
    near = {"rtol": 1e-9, "atol": 1e-9} if dtype == np.float64 else {"rtol": 2e-3, "atol": 2e-3}
    for v in np.flatnonzero(side.counts):
        A = (P.T * W[:, v]) @ P + 0.2 * np.eye(D)
        np.testing.assert_allclose(
            found.solve(right)[v, :D], np.linalg.solve(A, right[v, :D]), **near
        )
        np.testing.assert_allclose(found.times(right)[v, :D], A @ right[v, :D], **near)
        across = (P.T * W[:, v]) @ (moved[:, :D] @ Q[v])
        np.testing.assert_allclose(found.across(moved)[v, :D], across, **near)
