"""The coarse space that the errors give, against dense matrices, and what it does to a solve."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import random_factors, toy_interactions
from scipy.linalg import eigh

from alteraser.erasers import Settings, run_passes
from alteraser.linalg.ahead import SURE
from alteraser.linalg.pairs import norm
from alteraser.models import Factors, Objective, Problem
from alteraser.solvers import JointNewton
from alteraser.solvers import joint as module
from alteraser.solvers.joint import Joint, JointStep
from alteraser.solvers.one_side import OneSide
from alteraser.solvers.reduced import ReducedHessian
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.slow import weak_directions
from alteraser.solvers.spectral import FLOOR, MOST, SpectralSpace, spectral_space
from alteraser.solvers.stationarity import evaluate


def stopped(seed: int = 0, *, rank: int = 6, passes: int = 12) -> tuple[Problem, Factors]:
    """A model stopped on its way: the data has more directions than ``rank``."""
    problem = Problem(
        Objective(missing_weight=0.3, regularization=0.8),
        toy_interactions(90, 70, 0.2, seed=seed),
        np.float64,
    )
    start = random_factors(problem, rank=rank)
    return problem, run_passes(problem, start, Settings(JointNewton(), 0.0, passes)).factors


def state(problem: Problem, theta: Factors) -> Joint:
    joint = Joint(problem, padded(theta.users), padded(theta.items), theta.prediction, 1)
    joint.settle(move=False)
    joint.find_errors()
    return joint


def found(joint: Joint) -> SpectralSpace:
    space = spectral_space(joint.users, joint.items)
    assert space is not None
    return space


def blocks(side: OneSide, d: int) -> np.ndarray:
    """A of every row, (rows, d, d), by products with unit vectors."""
    out = np.zeros((side.x.shape[0], d, d))
    for c in range(d):
        unit = np.zeros_like(side.x)
        unit[:, c] = 1.0
        out[:, :, c] = side.times(unit)[:, :d]
    return out


def errors(joint: Joint) -> np.ndarray:
    return np.column_stack(
        [joint.users.residual(e[:, None])[:, 0] for e in np.eye(joint.Q.shape[0])]
    )


def matrix_of(joint: Joint, apply) -> np.ndarray:
    """A linear map of the items' rows as a matrix, (n d, n d)."""
    n, d = joint.Q.shape[0], joint.rank
    columns = []
    for k in range(n * d):
        unit = np.zeros_like(joint.Q)
        unit[k // d, k % d] = 1.0
        columns.append(np.asarray(apply(unit))[:, :d].ravel())
    return np.array(columns).T


@pytest.mark.parametrize("seed", range(2))
def test_what_it_adds_is_symmetric_and_bends_nothing_down(seed: int) -> None:
    joint = state(*stopped(seed))
    added = matrix_of(joint, found(joint).correction)
    np.testing.assert_allclose(added, added.T, atol=1e-10 * np.abs(added).max())
    assert np.linalg.eigvalsh((added + added.T) / 2).min() >= -1e-10 * np.abs(added).max()


@pytest.mark.parametrize("seed", range(2))
def test_its_gain_is_that_of_the_formula_with_dense_blocks(seed: int) -> None:
    """X (w⁻¹ − 1) Xᵀ of Ā_j − σ_j² Ū_j⁻¹, from the blocks of all rows and the matrix of errors."""
    joint = state(*stopped(seed))
    space, E, d = found(joint), errors(joint), joint.rank
    A, U = blocks(joint.items, d), blocks(joint.users, d)
    R = weak_directions(joint.P, joint.Q, d)[:d]
    bends = [np.einsum("ai,uab,bi->u", R, x, R) / R.shape[1] for x in (U, A)]
    assert len(space.left.T) > 3
    for v, gain in zip(space.left.T, space.gain, strict=True):
        assert v @ (bends[1] * v) == pytest.approx(1.0)
        u = (E @ v) / bends[0]
        sigma = np.sqrt(u @ (bends[0] * u))
        within, across = np.einsum("v,vab->ab", v**2, A), np.einsum("u,uab->ab", u**2, U)
        w, X = eigh(within - sigma**4 * np.linalg.inv(across), within)
        expected = (X * (1.0 / np.clip(np.abs(w), FLOOR, 1.0) - 1.0)) @ X.T
        np.testing.assert_allclose(gain[:d, :d], expected, rtol=1e-6, atol=1e-8)
        assert not gain[d:].any()
        assert not gain[:, d:].any()


@pytest.mark.parametrize("seed", range(2))
def test_the_power_method_refuses_only_what_goes_too_far(seed: int) -> None:
    """It looks from below at the largest eigenvalue of what is added, times S."""
    joint = state(*stopped(seed))
    space, S = found(joint), ReducedHessian(joint.users, joint.items)
    exact = np.linalg.eigvals(
        matrix_of(joint, space.correction) @ matrix_of(joint, lambda x: S @ np.ascontiguousarray(x))
    ).real.max()
    right = joint.items.wide(np.random.default_rng(seed).standard_normal((joint.Q.shape[0], 6)))
    for times in (0.2, 1.0, 50.0):
        larger = replace(space, gain=space.gain * times)
        if times * exact <= MOST:
            assert larger.helps(S, right)
    assert not replace(space, gain=space.gain * 1e3 / exact).helps(S, right)
    assert not replace(space, gain=space.gain * 0.0).helps(S, right)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.3, 0.03])
def test_a_solve_with_it_is_that_of_one_without_and_says_what_is_ahead(
    seed: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two routes to one Newton step, and an estimate that is not too small; so with the directions
    that the first solve has kept."""
    problem, theta = stopped(seed, passes=40)
    now = evaluate(problem, theta)
    gradients = now.user_gradient, now.item_gradient

    def solve(joint: Joint, **how: Any) -> JointStep:
        return joint.solve(gradients, products=400, level=theta.items.astype(float), **how)

    exact = solve(state(problem, theta), forcing=1e-6, missing=1e-9)
    assert exact.negative is None
    assert exact.newton is not None
    monkeypatch.setattr(module, "TRIED", 2)
    monkeypatch.setattr(module, "SLOWLY", 0.0)
    monkeypatch.setattr(SpectralSpace, "helps", lambda *_: True)
    joint = state(problem, theta)
    for learn in (True, False):
        found = solve(joint, forcing=0.5, share=share, learn=learn)
        assert joint.spectral is not None
        assert found.newton is not None
        lacking = norm([a - b for a, b in zip(found.newton, exact.newton, strict=True)])
        assert lacking <= SURE * found.ahead
        full = solve(joint, forcing=1e-6, missing=1e-9)
        for a, b in zip(full.newton or (), exact.newton, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_there_is_none_without_pairs_off_the_factors_or_without_a_ridge() -> None:
    few = Problem(Objective(missing_weight=0.3, regularization=0.8), toy_interactions(9, 8, 0.4))
    joint = state(few, random_factors(few, rank=6))
    assert spectral_space(joint.users, joint.items) is None
    bare = Problem(Objective(missing_weight=0.3, regularization=0.0), toy_interactions(90, 70, 0.4))
    joint = state(bare, random_factors(bare, rank=6))
    assert spectral_space(joint.users, joint.items) is None
