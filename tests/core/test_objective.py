"""The objective, its gradient and its curvature, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import OBJECTIVES, random_factors, toy_interactions

from alteraser.models import Factors, Objective, Problem
from alteraser.settings import WrongSetting
from alteraser.solvers.kernels import twins
from alteraser.solvers.prediction import prediction_step
from alteraser.solvers.stationarity import evaluate, gradient_norm, push, stationarity


def brute(problem: Problem, theta: Factors) -> float:
    return twins.objective(
        problem.users.arrays, problem.items.arrays, theta.users, theta.items, theta.prediction
    )


@pytest.mark.parametrize("trained", [False, True])
def test_gram_shortcut_is_the_sum_over_all_cells(problem: Problem, trained: bool) -> None:
    theta = random_factors(problem, trained=trained)
    assert evaluate(problem, theta).objective == pytest.approx(brute(problem, theta), rel=1e-12)


@pytest.mark.parametrize("trained", [False, True])
def test_gradient_by_finite_differences(problem: Problem, trained: bool) -> None:
    theta = random_factors(problem, trained=trained)
    here = evaluate(problem, theta)
    step = 1e-5
    for name, gradient in (("users", here.user_gradient), ("items", here.item_gradient)):
        array = getattr(theta, name)
        numeric = np.empty_like(gradient)
        for index in np.ndindex(array.shape):
            sides = []
            for sign in (1, -1):
                moved = theta.astype(np.float64)
                getattr(moved, name)[index] += sign * step
                sides.append(brute(problem, moved))
            numeric[index] = (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


def test_row_system_is_half_the_hessian_block(problem: Problem) -> None:
    """A_u is half of ∂²L/∂p_u²: L is quadratic in a row, so a second difference is exact."""
    theta = random_factors(problem)
    row = int(np.argmax(problem.users.counts))
    A, _ = twins.system(problem.users.arrays, theta.items, row)
    d = theta.rank
    hessian = np.empty((d, d))
    for i in range(d):
        for j in range(d):
            total = 0.0
            for si in (1, -1):
                for sj in (1, -1):
                    moved = theta.astype(np.float64)
                    moved.users[row, i] += si
                    moved.users[row, j] += sj
                    total += si * sj * brute(problem, moved)
            hessian[i, j] = total / 4
    np.testing.assert_allclose(hessian, 2 * A, rtol=1e-9, atol=1e-8)


def test_gradient_norm_is_the_dense_formula(problem: Problem) -> None:
    theta = random_factors(problem)
    here = evaluate(problem, theta)
    squared = squared_theta = 0.0
    for side, other, x, g in (
        (problem.users, theta.items, theta.users, here.user_gradient),
        (problem.items, theta.users, theta.items, here.item_gradient),
    ):
        for row in range(side.rows):
            A, _ = twins.system(side.arrays, other, row)
            squared += g[row] @ np.linalg.solve(A, g[row])
            squared_theta += x[row] @ A @ x[row]
    norm = gradient_norm(problem, theta, here.user_gradient, here.item_gradient)
    assert norm**2 == pytest.approx(squared, rel=1e-10)
    assert here.theta_norm**2 == pytest.approx(squared_theta, rel=1e-10)
    assert stationarity(problem, theta)[0] == pytest.approx(
        np.sqrt(squared / squared_theta), rel=1e-10
    )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_push_is_the_change_of_the_gradient(name: str) -> None:
    data = toy_interactions(weighted=True)
    kept = data.keep(np.arange(len(data)) % 5 != 0)
    before, after = (Problem(OBJECTIVES[name], d, np.float64) for d in (data, kept))
    theta = random_factors(before)
    a, b = evaluate(before, theta), evaluate(after, theta)
    expected = gradient_norm(
        after, theta, b.user_gradient - a.user_gradient, b.item_gradient - a.item_gradient
    )
    assert push(before, after, theta).norm == pytest.approx(expected, rel=1e-9)


def test_push_of_nothing_is_zero(problem: Problem) -> None:
    assert push(problem, problem, random_factors(problem)).norm == 0.0


def test_deleted_cell_becomes_a_missing_cell_with_weights_of_what_remains() -> None:
    data = toy_interactions()
    objective = OBJECTIVES["popularity"]
    kept = data.keep(np.arange(len(data)) != 3)
    problem = Problem(objective, kept, np.float64)
    counts = np.bincount(kept.indices, minlength=data.shape[1]) ** 0.5
    np.testing.assert_allclose(problem.users.other, counts / counts.mean())


def test_prediction_step_is_the_minimum_over_h(problem: Problem) -> None:
    theta = random_factors(problem)
    stepped = prediction_step(problem, theta)
    assert np.linalg.norm(stepped.prediction) == pytest.approx(np.sqrt(theta.rank))

    def loss(h: np.ndarray) -> float:
        """The data part of L, which is all that depends on h at fixed P, Q."""
        data = Factors(theta.users, theta.items, h)
        return brute(problem, data)

    scale = np.mean(stepped.users / theta.users) ** 2
    best = stepped.prediction * scale
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert loss(best) <= loss(best + 1e-3 * rng.standard_normal(theta.rank)) + 1e-12


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"regularization": -1.0}, "regularization"),
        ({"missing_weight": float("nan")}, "missing_weight"),
        ({"missing_weighting": "random"}, "missing_weighting"),
        ({"lambda": 1.0}, "lambda"),
    ],
)
def test_wrong_settings_name_their_key(change: dict[str, object], key: str) -> None:
    with pytest.raises(WrongSetting, match=key):
        Objective(**({"missing_weight": 0.1, "regularization": 1.0} | change))
