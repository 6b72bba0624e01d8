"""A trained h tells rotations from nothing, but hardly: what the solver says of where it is must
have that in it. Against a dense Newton step: the Hessian, column by column, of float64.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from alteraser.models.relational import (
    Cells,
    Identity,
    LinearProblem,
    MissingWeights,
    Point,
    Relation,
    Table,
)
from alteraser.solvers.limits import Limits
from alteraser.solvers.relational import Goal, Preconditioner, evaluate, hessian_product, minimize
from alteraser.solvers.relational.evaluation import LinearCurvature
from alteraser.solvers.relational.newton import newton_step
from alteraser.solvers.relational.soft import SoftTurns, gone

USERS, ITEMS, RANK = 18, 13, 3


def problem(seed: int, *, without: int | None = None, prediction: float = 10.0) -> LinearProblem:
    """Bought and viewed, the latter by a trained h that is hardly anything but 1; ``without`` what
    a user bought.
    """
    rng = np.random.default_rng(seed)
    taste, kind = rng.normal(size=(USERS, RANK)), rng.normal(size=(ITEMS, RANK))
    liked = taste @ kind.T
    relations = []
    for name, weight, missing, h in (("bought", 1.0, 0.1, None), ("viewed", 0.5, 0.05, prediction)):
        cells = liked + rng.normal(size=liked.shape) > 1.2
        if name == "bought" and without is not None:
            cells[without] = False
        relations.append(
            Relation(
                name,
                "user",
                "item",
                Identity(USERS),
                Identity(ITEMS),
                Cells.at(*np.nonzero(cells), liked.shape),
                MissingWeights(missing),
                weight,
                prediction=h,
            )
        )
    tables = Table.numbered("user", USERS), Table.numbered("item", ITEMS)
    ridge = {table.name: np.full(table.rows, 0.2) for table in tables}
    return LinearProblem(tables, tuple(relations), ridge, RANK)


def hessian(problem: LinearProblem, point: Point) -> np.ndarray:
    columns = [
        hessian_product(problem, point, problem.point(unit), threads=1).vector
        for unit in np.eye(problem.size)
    ]
    return (np.array(columns) + np.array(columns).T) / 2.0


def distance(problem: LinearProblem, point: Point) -> float:
    """‖H⁻¹∇L‖ / ‖Θ‖."""
    gradient = evaluate(problem, point, threads=1).gradient.vector
    step = np.linalg.solve(hessian(problem, point), gradient)
    return float(np.linalg.norm(step) / np.linalg.norm(point.vector))


@pytest.mark.parametrize("seed", range(6))
def test_a_run_ends_within_the_limit_and_says_how_far_it_is(seed: int) -> None:
    whole = problem(seed)
    origin = minimize(whole, whole.random(seed), Goal(), threads=1).point
    left = problem(seed, without=seed)
    start = left.point(origin.vector.copy())
    scale = float(np.linalg.norm(evaluate(left, start, threads=1).gradient.vector))
    found = minimize(left, start, Goal(Limits(), scale=scale, origin=start), threads=1)
    values = np.linalg.eigvalsh(hessian(left, found.point))
    assert 0.0 < values[0] < 1e-3 * values[-1]  # soft, and no symmetry
    assert found.converged, found.reason
    true = distance(left, found.point)
    assert true <= Limits().distance
    assert true / 3.0 <= found.distance <= 3.0 * true + 0.5 * Limits().distance


@pytest.mark.parametrize("seed", range(3))
def test_a_newton_step_is_the_dense_one_far_along_what_is_soft(seed: int) -> None:
    """Off the optimum by nothing but a rotation, in which L hardly bends."""
    given = problem(seed)
    there = minimize(given, given.random(seed), Goal(Limits(distance=1e-9)), threads=1).point
    turn = np.zeros((RANK, RANK))
    turn[0, 1], turn[1, 2] = 1e-5, -1e-5
    step = given.point(np.zeros(given.size))
    for name, E in there.tables.items():
        step.tables[name][:] = E @ (turn - turn.T)
    off = given.point(gone(given, there, step.vector))
    gradient = evaluate(given, off, threads=1).gradient.vector
    expected = np.linalg.solve(hessian(given, off), -gradient)
    M = Preconditioner(given, off, 1, near=False)
    limit = 0.1 * float(np.linalg.norm(expected))
    found = newton_step(
        given, off, gradient, M, forcing=0.03, products=400, threads=1, lacking=limit
    )
    assert np.linalg.norm(found.step - expected) <= 2.0 * limit
    assert found.lacks <= limit


def test_its_curvatures_are_the_hessians_on_rotations() -> None:
    given = problem(0)
    point = given.random(3)
    H, basis = hessian(given, point), []
    for first, second in combinations(range(RANK), 2):
        turned = given.point(np.zeros(given.size))
        for name, E in point.tables.items():
            turned.tables[name][:, second], turned.tables[name][:, first] = (
                E[:, first],
                -E[:, second],
            )
        basis.append(turned.vector)
    Z = np.linalg.qr(np.array(basis).T)[0]
    soft = SoftTurns(given, point, LinearCurvature(given, point, threads=1))
    np.testing.assert_allclose(soft.values, np.linalg.eigvalsh(Z.T @ H @ Z), rtol=1e-9)
    g = np.random.default_rng(0).normal(size=given.size)
    np.testing.assert_allclose(
        soft.solve(g), Z @ np.linalg.solve(Z.T @ H @ Z, Z.T @ g), rtol=1e-7, atol=1e-12
    )


def test_what_turns_goes_along_the_arc() -> None:
    given = problem(1)
    point = given.random(0)
    turn = np.array([[0.0, 0.3, 0.0], [-0.3, 0.0, 0.0], [0.0, 0.0, 0.0]])
    step = given.point(np.zeros(given.size))
    for name, E in point.tables.items():
        step.tables[name][:] = E @ turn
    c, s = np.cos(0.3), np.sin(0.3)
    arc = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    there = given.point(gone(given, point, step.vector))
    for name, E in point.tables.items():
        np.testing.assert_allclose(there.tables[name], E @ arc, atol=1e-12)
