"""The joint Hessian against finite differences of the gradient, and its diagonal blocks."""

from __future__ import annotations

import numpy as np
from conftest import random_factors

from alteraser.models import Factors, Problem
from alteraser.solvers.hessian import Curvature
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
            A, _ = twins.system(side.arrays, other, row)
            np.testing.assert_allclose(A @ found[row], right[row], rtol=1e-8, atol=1e-8)
