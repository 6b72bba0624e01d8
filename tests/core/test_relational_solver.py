"""Minimizing linear models: the optimum against SciPy's, the preconditioner against algebra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize as by_scipy
from scipy.sparse import csr_array

from alteraser import ENMF, Interactions
from alteraser.errors import Interrupted
from alteraser.models import Problem
from alteraser.models.relational import (
    Cells,
    LinearProblem,
    MissingWeights,
    Part,
    Propagation,
    Relation,
    Table,
)
from alteraser.solvers.limits import Limits
from alteraser.solvers.relational import (
    Goal,
    Preconditioner,
    evaluate,
    hessian_product,
    minimize,
    scores,
)
from alteraser.solvers.relational.newton import newton_step
from alteraser.solvers.relational.smoothing import inverse_of_mean, undone
from alteraser.solvers.relational.symmetry import Turns, rotated_onto

from test_relational import a_graph, a_problem, anywhere, dense  # isort: skip

NEAR = Goal(Limits(distance=1e-9))


def on_a_graph(seed: int, layers: int, *, ridge: float = 0.5, rank: int = 3) -> LinearProblem:
    rng = np.random.default_rng(seed)
    m, n = 14, 11
    likes = rng.normal(size=(m, 2)) @ rng.normal(size=(2, n)) + 0.3 * rng.normal(size=(m, n)) > 0.8
    likes[np.arange(m), np.arange(m) % (n - 1)] = True
    cells = Cells.at(*np.nonzero(likes), (m, n))
    walk = Propagation(a_graph(cells), layers)
    relation = Relation(
        "likes", "node", "node", Part(walk, 0, m), Part(walk, m, m + n), cells, MissingWeights(0.1)
    )
    return LinearProblem(
        (Table.numbered("node", m + n),), (relation,), {"node": np.full(m + n, ridge)}, rank
    )


def lists(problem: LinearProblem, found: object) -> np.ndarray:
    X, Z = scores(problem, found, problem.relations[0])  # type: ignore[arg-type]
    return X @ Z.T


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_optimum_is_scipys_from_any_start(layers: int) -> None:
    problem = on_a_graph(layers, layers)
    first, second = (minimize(problem, problem.random(seed), NEAR, threads=1) for seed in (0, 1))
    assert first.converged
    assert second.converged
    assert first.valley
    reference = by_scipy(
        lambda x: (lambda e: (e.value, e.gradient.vector))(evaluate(problem, problem.point(x))),
        problem.random(2).vector,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 0, "gtol": 1e-9, "maxcor": 30},
    )
    assert first.value == pytest.approx(reference.fun, rel=1e-10)
    np.testing.assert_allclose(lists(problem, first.point), lists(problem, second.point), atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_the_distance_that_is_said_is_that_to_the_optimum(seed: int) -> None:
    """Also where the last step was taken, and its length is not what is left."""
    problem, goal = on_a_graph(seed, 2), Goal(Limits(distance=1e-5))
    found = minimize(problem, problem.random(seed), goal, threads=1)
    there = minimize(problem, found.point, Goal(Limits(distance=1e-11)), threads=1)
    assert found.converged
    turned = rotated_onto(problem, there.point, found.point)
    off = np.linalg.norm(turned - found.point.vector) / np.linalg.norm(found.point.vector)
    assert off <= 1e-5
    assert off <= 2.0 * found.distance + 1e-9
    assert found.distance <= 1e-5


def test_what_a_solution_lacks_is_told_without_solving_on() -> None:
    problem = on_a_graph(3, 3, ridge=0.1, rank=4)
    point = minimize(problem, problem.random(0), Goal(), threads=1).point
    g = np.random.default_rng(1).normal(size=problem.size)
    M = Preconditioner(problem, point, 1)
    whole = newton_step(problem, point, g, M, forcing=1e-6, products=400, threads=1)
    size = np.linalg.norm(whole.step)
    for share in (0.3, 0.03, 0.003):
        found = newton_step(
            problem, point, g, M, forcing=0.9, products=400, threads=1, lacking=share * size
        )
        assert found.lacks <= share * size
        assert np.linalg.norm(found.step - whole.step) <= share * size


def test_every_form_at_once_ends_where_the_gradient_is_zero() -> None:
    problem = a_problem()
    found = minimize(problem, problem.random(0), NEAR, threads=1)
    assert found.converged, found
    gradient = evaluate(problem, found.point).gradient.vector
    scale = np.linalg.norm(evaluate(problem, problem.random(0)).gradient.vector)
    assert np.linalg.norm(gradient) < 1e-8 * scale
    directions = np.random.default_rng(0).normal(size=(20, problem.size))
    for direction in directions:
        along = problem.point(direction)
        assert direction @ hessian_product(problem, found.point, along).vector > 0


def test_factorization_ends_where_enmf_does() -> None:
    rng = np.random.default_rng(1)
    data = Interactions.from_pairs(
        [
            (u, v)
            for u in range(30)
            for v in range(20)
            if rng.random() < 0.1 + 0.4 * (u % 3 == v % 3)
        ]
    )
    settings = ENMF(
        factors=3, missing_weight=0.1, regularization=0.5, dtype="float64", tolerance=1e-10
    )
    model = settings.fit(data)
    problem = LinearProblem.factorization(Problem(model.objective, data, np.float64), 3)
    found = minimize(problem, problem.random(5), NEAR, threads=1)
    np.testing.assert_allclose(
        lists(problem, found.point), model.factors.users @ model.factors.items.T, atol=1e-7
    )


def test_distance_is_that_to_the_optimum() -> None:
    problem = on_a_graph(4, 2)
    best = minimize(problem, problem.random(0), NEAR, threads=1)
    rough = minimize(problem, problem.random(0), Goal(Limits(distance=1e-3)), threads=1)
    turned = rotated_onto(problem, rough.point, best.point)
    away = np.linalg.norm(turned - best.point.vector) / np.linalg.norm(best.point.vector)
    assert away == pytest.approx(rough.distance, rel=0.2)
    assert rough.evaluations < best.evaluations


def test_preconditioner_is_the_inverse_of_its_blocks() -> None:
    """Without a graph it is block diagonal: for each entity the Hessian's own block, where no cell
    has an entity on both sides.
    """
    problem = a_problem()
    seen = replace(problem.relations[1], prediction=None)
    alone = Part(Propagation(csr_array((13, 13)), 0), 0, seen.right.shape[0])
    problem = replace(problem, relations=(replace(seen, right=alone),))
    point = anywhere(problem)
    M = Preconditioner(problem, point, 1)
    width = problem.width
    hessian = np.column_stack(
        [
            hessian_product(problem, point, problem.point(unit)).vector
            for unit in np.eye(problem.size)
        ]
    )
    inverse = np.column_stack([M(unit) for unit in np.eye(problem.size)])
    for entity in range(7):  # users; features of theirs are shared
        at = slice(entity * width, (entity + 1) * width)
        np.testing.assert_allclose(inverse[at, at] @ hessian[at, at], np.eye(width), atol=1e-4)
    np.testing.assert_allclose(inverse, inverse.T, atol=1e-5)
    assert np.linalg.eigvalsh(inverse).min() > 0


def test_without_room_for_blocks_their_diagonals_do(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = on_a_graph(4, 2)
    best = minimize(problem, problem.random(0), NEAR, threads=1)
    module = "alteraser.solvers.relational.preconditioner.room_for"
    monkeypatch.setattr(module, lambda rows, width, dtype: False)
    found = minimize(problem, problem.random(0), NEAR, threads=1)
    assert found.converged
    assert found.value == pytest.approx(best.value, rel=1e-10)
    # of the same blocks: where these are one by one, they are the same
    flat = on_a_graph(4, 0, rank=1)
    there = anywhere(flat)
    monkeypatch.undo()
    whole = Preconditioner(flat, there, 1, near=False)(there.vector)
    monkeypatch.setattr(module, lambda rows, width, dtype: False)
    found = Preconditioner(flat, there, 1, near=False)(there.vector)
    np.testing.assert_allclose(found, whole, rtol=1e-5)


@pytest.mark.parametrize("layers", range(9))
def test_smoothing_is_undone_where_most_eigenvalues_are(layers: int) -> None:
    p, x = np.polynomial.Polynomial(inverse_of_mean(layers)), np.linspace(-1, 1, 101)
    mean = sum(x**k for k in range(layers + 1)) / (layers + 1)
    assert p(x).min() > 0
    inner = np.abs(x) < 0.5
    if layers <= 3:
        np.testing.assert_allclose((p(x) * mean)[inner], 1.0, atol=0.15)
    walk = on_a_graph(0, layers).relations[0].left.whole  # type: ignore[attr-defined]
    E = np.random.default_rng(0).normal(size=(walk.shape[0], 2))
    values, vectors = np.linalg.eigh(walk.matrix.toarray())
    np.testing.assert_allclose(undone(walk, E), vectors * p(values) @ vectors.T @ E, atol=1e-10)


def test_rotations_leave_no_trace() -> None:
    problem = on_a_graph(3, 2)
    point = anywhere(problem)
    skew = np.array([[0.0, 1.0, -2.0], [-1.0, 0.0, 3.0], [2.0, -3.0, 0.0]])
    turn = point.tables["node"] @ skew
    np.testing.assert_allclose(Turns(problem, point).off(turn.ravel()), 0.0, atol=1e-9)
    across = Turns(problem, point).off(np.random.default_rng(0).normal(size=problem.size))
    assert abs(across @ turn.ravel()) < 1e-9


def test_start_stays_as_it_was_and_nodes_without_edges_at_zero() -> None:
    problem = on_a_graph(5, 2)
    start = problem.random(0)
    start.tables["node"][-1] = 0.0
    copy = start.vector.copy()
    relation = problem.relations[0]
    assert relation.cells.column_counts[-1] == 0 or dense(relation.right)[-1].any()
    minimize(problem, start, Goal(max_passes=3), threads=1)
    np.testing.assert_array_equal(start.vector, copy)


def test_interrupted_it_says_so() -> None:
    problem = on_a_graph(5, 2)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        minimize(problem, problem.random(0), NEAR, threads=1, on_pass=stop)


def test_a_step_is_linear_in_a_gradient_however_small() -> None:
    """Where the optimum is nothing, gradients are so small that their squares are zero."""
    problem = on_a_graph(0, 1, ridge=50.0)
    point = problem.point(np.zeros(problem.size))
    M = Preconditioner(problem, point, 1)
    g = np.random.default_rng(0).normal(size=problem.size)
    whole, small = (
        newton_step(problem, point, t * g, M, forcing=1e-6, products=50, threads=1)
        for t in (1.0, 1e-200)
    )
    assert whole.bent is None
    assert small.bent is None
    away = np.linalg.norm(small.step / 1e-200 - whole.step)
    assert away < 1e-6 * np.linalg.norm(whole.step)


def test_an_optimum_that_is_nothing_is_reached() -> None:
    problem = on_a_graph(0, 1, ridge=50.0)
    reached = minimize(problem, problem.random(0), Goal(max_passes=2000), threads=1)
    assert reached.converged
    assert np.linalg.norm(reached.point.vector) < 1e-8


@pytest.mark.parametrize("share", [1.0, 0.02])
def test_a_preconditioner_that_is_there_takes_no_other_way(share: float) -> None:
    problem = on_a_graph(3, 2)
    there = minimize(problem, problem.random(0), NEAR, threads=1).point
    # far and near: whether sides answer to each other is decided anew
    start = problem.point((1.0 - share) * there.vector + share * problem.random(1).vector)
    alone = minimize(problem, start, NEAR, threads=1)
    for M in (Preconditioner(problem, start, 1), Preconditioner(problem, there, 1)):
        found = minimize(problem, start, NEAR, threads=1, M=M)
        assert np.array_equal(found.point.vector, alone.point.vector)
        assert (found.passes, found.residual) == (alone.passes, alone.residual)


def test_blocks_of_a_point_are_factored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, factored = on_a_graph(3, 2), []
    made = Preconditioner.__init__

    def counting(self, problem, point, *rest, **named):  # type: ignore[no-untyped-def]
        factored.append(point.vector.tobytes())
        made(self, problem, point, *rest, **named)

    monkeypatch.setattr(Preconditioner, "__init__", counting)
    there = minimize(problem, problem.random(0), NEAR, threads=1).point
    assert len(factored) == len(set(factored)) > 2
    factored.clear()
    # near from the start, and measured where it is
    minimize(problem, there, Goal(), threads=1, M=Preconditioner(problem, there, 1))
    assert len(factored) == len(set(factored))
