"""The joint Hessian against finite differences of the gradient, and what conjugate gradients makes
of it."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import OBJECTIVES, random_factors, toy_interactions

from alteraser.models import Factors, Problem
from alteraser.solvers.hessian import Curvature, newton_direction
from alteraser.solvers.kernels import twins
from alteraser.solvers.stationarity import evaluate


def halves(problem: Problem, theta: Factors) -> tuple[np.ndarray, np.ndarray]:
    here = evaluate(problem, theta)
    return here.user_gradient / 2, here.item_gradient / 2


def test_products_are_differences_of_the_gradient(problem: Problem) -> None:
    theta = random_factors(problem)
    rng = np.random.default_rng(3)
    V, W = rng.standard_normal(theta.users.shape), rng.standard_normal(theta.items.shape)
    step = 1e-4
    ends = [
        halves(problem, Factors(theta.users + t * V, theta.items + t * W, theta.prediction))
        for t in (step, -step)
    ]
    found = Curvature(problem, theta, 1).hessian((V, W))
    for side in (0, 1):
        np.testing.assert_allclose(
            found[side], (ends[0][side] - ends[1][side]) / (2 * step), rtol=1e-5, atol=1e-5
        )


def test_preconditioner_is_the_inverse_of_the_diagonal_blocks(problem: Problem) -> None:
    theta = random_factors(problem)
    r = halves(problem, theta)
    solved = Curvature(problem, theta, 1).precondition(r)
    for side, other, right, found in (
        (problem.users, theta.items, r[0], solved[0]),
        (problem.items, theta.users, r[1], solved[1]),
    ):
        for row in range(side.rows):
            A, _ = twins.system(side, other, row)
            np.testing.assert_allclose(A @ found[row], right[row], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["uniform", "popularity"])
def test_direction_descends_and_newton_steps_solve_the_system(name: str) -> None:
    problem = Problem(OBJECTIVES[name], toy_interactions(), np.float64)
    theta = random_factors(problem, rank=2)
    g = halves(problem, theta)
    found = newton_direction(Curvature(problem, theta, 1), g, products=300, forcing=1e-8)
    assert np.vdot(g[0], found.users) + np.vdot(g[1], found.items) < 0
    if not found.negative:
        H = Curvature(problem, theta, 1).hessian((found.users, found.items))
        np.testing.assert_allclose(H[0], -g[0], atol=1e-5)


def test_negative_curvature_is_found_at_a_saddle() -> None:
    """At zero every direction that raises the scores of observed cells bends down."""
    problem = Problem(OBJECTIVES["uniform"], toy_interactions(lonely=False), np.float64)
    m, n = problem.interactions.shape
    rng = np.random.default_rng(0)
    theta = Factors(1e-6 * rng.random((m, 2)), 1e-6 * rng.random((n, 2)), np.ones(2))
    found = newton_direction(
        Curvature(problem, theta, 1), halves(problem, theta), products=20, forcing=1e-8
    )
    assert found.negative
    H = Curvature(problem, theta, 1).hessian((found.users, found.items))
    assert np.vdot(found.users, H[0]) + np.vdot(found.items, H[1]) <= 0
