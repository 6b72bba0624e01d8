"""What the preconditioner of embeddings on a graph has beyond blocks: one side's answer to the
other, and slow directions; and the kernels of a relation, against those that look at it otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alteraser.models.relational import LinearProblem, MissingWeights, Point, Propagation
from alteraser.solvers.relational import Goal, Preconditioner, evaluate, hessian_product, minimize
from alteraser.solvers.relational.preconditioner import common_walk
from alteraser.solvers.relational.slow import Residuals, slow_space
from alteraser.solvers.relational.sweep import Seat, halves, swept

from test_relational_solver import NEAR, on_a_graph  # isort: skip


def matrix(problem: LinearProblem, point: Point) -> np.ndarray:
    """Half the Hessian."""
    units = np.eye(problem.size)
    columns = [hessian_product(problem, point, problem.point(unit)).vector for unit in units]
    return np.column_stack(columns) / 2.0


def weighted(problem: LinearProblem) -> LinearProblem:
    """With confidences, targets, β and weights of missing cells that differ by row and column."""
    relation, rng = problem.relations[0], np.random.default_rng(3)
    size, (m, n) = len(relation.cells), relation.cells.shape
    cells = replace(
        relation.cells, confidence=rng.uniform(0.5, 2.0, size), target=rng.uniform(0.5, 2.0, size)
    )
    missing = MissingWeights(0.1, rng.uniform(0.5, 2.0, m), rng.uniform(0.5, 2.0, n))
    return replace(
        problem, relations=(replace(relation, cells=cells, missing=missing, weight=1.7),)
    )


def test_a_sweep_is_a_gauss_seidel_step_and_back() -> None:
    rng = np.random.default_rng(0)
    first, second, C = (rng.normal(size=shape) for shape in ((4, 4), (3, 3), (4, 3)))
    first, second = (x @ x.T + np.eye(len(x)) for x in (first, second))
    seats = (
        Seat(lambda g: np.linalg.solve(first, g), lambda z: C @ z),
        Seat(lambda g: np.linalg.solve(second, g), lambda x: C.T @ x),
    )
    units = np.eye(7)
    inverse = np.column_stack([np.concatenate(swept(*seats, (u[:4], u[4:]))) for u in units])
    bottom = second + C.T @ np.linalg.solve(first, C)
    np.testing.assert_allclose(inverse @ np.block([[first, C], [C.T, bottom]]), units, atol=1e-12)


@pytest.mark.parametrize("problem", [on_a_graph(2, 0, rank=2), weighted(on_a_graph(2, 0, rank=2))])
def test_near_an_optimum_the_preconditioner_has_what_is_between_the_sides(
    problem: LinearProblem,
) -> None:
    """Without layers the graph is nothing: H is blocks and what is between them, and a sweep is the
    inverse of it but for CᵀB⁻¹C.
    """
    point = minimize(problem, problem.random(0), NEAR, threads=1).point
    end = halves(problem.relations[0])
    assert end is not None
    H, at = matrix(problem, point), end * problem.rank
    H[at:, at:] *= np.kron(np.eye((problem.size - at) // 2), np.ones((2, 2)))
    H[:at, :at] *= np.kron(np.eye(at // 2), np.ones((2, 2)))
    C, top = H[:at, at:], H[:at, :at]
    H[at:, at:] += C.T @ np.linalg.solve(top, C)
    M = Preconditioner(problem, point, 1)
    inverse = np.column_stack([M(unit) for unit in np.eye(problem.size)])
    np.testing.assert_allclose(inverse @ (2.0 * H), np.eye(problem.size), atol=1e-4)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("form", ["plain", "weighted"])
def test_the_hessian_on_outer_products_is_that_of_products_with_it(layers: int, form: str) -> None:
    problem = on_a_graph(layers, layers)
    problem = weighted(problem) if form == "weighted" else problem
    point = problem.point(np.random.default_rng(1).normal(size=problem.size))
    relation, walk, end = problem.relations[0], common_walk(problem, "node"), 14
    assert isinstance(walk, Propagation)
    left = np.random.default_rng(2).normal(size=(walk.shape[0], 4))
    right = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 2)))[0]
    smooth = walk.apply(left)
    found = Residuals(problem, point, relation, 1).galerkin(smooth[:end], smooth[end:], right)[0]
    found = relation.weight * found + 0.5 * np.kron(left.T @ left, np.eye(2))
    outer = np.column_stack([np.outer(a, r).ravel() for a in left.T for r in right.T])
    expected = outer.T @ matrix(problem, point) @ outer
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_slow_directions_are_where_the_hessian_is_small_and_make_runs_shorter() -> None:
    problem = on_a_graph(4, 2, ridge=0.4, rank=3)
    point = minimize(problem, problem.random(0), NEAR, threads=1).point
    relation, walk = problem.relations[0], common_walk(problem, "node")
    assert walk is not None
    space = slow_space(problem, point, relation, walk, 14, 1)
    assert space is not None
    assert np.all(np.diff(space.values) >= 0)
    H = matrix(problem, point)
    slow = [space.left @ w.reshape(space.left.shape[1], -1) @ space.right.T for w in space.slow.T]
    values = space.values[: len(slow)]
    assert values[-1] > 0.5  # where a gain of the wrong sign would show
    found = [[v.ravel() @ H @ w.ravel() for w in slow] for v in slow]
    np.testing.assert_allclose(found, np.diag(values), atol=1e-4)
    assert np.linalg.eigvalsh(space.gain)[0] > -1e-9 * np.linalg.norm(space.gain)
    least = np.linalg.eigvalsh(H)[-1]
    for w in slow:
        assert w.ravel() @ H @ w.ravel() < 0.7 * least * np.vdot(w, w)


def test_discarded_directions_are_eigenvectors_of_the_smoothed_errors() -> None:
    """The largest beyond the embedding's own, which have the eigenvalue λ at an optimum, against
    the dense matrix.
    """
    problem = on_a_graph(4, 2, ridge=0.4, rank=3)
    point = minimize(problem, problem.random(0), NEAR, threads=1).point
    relation, walk = problem.relations[0], common_walk(problem, "node")
    assert walk is not None
    space = slow_space(problem, point, relation, walk, 14, 1)
    assert space is not None
    (E,) = point.tables.values()
    S = walk.apply(np.eye(len(E)))
    X, Z = (S @ E)[:14], (S @ E)[14:]
    R = 0.1 * (X @ Z.T)  # missing cells
    seen = np.repeat(np.arange(14), np.diff(relation.cells.indptr)), relation.cells.indices
    R[seen] = (X @ Z.T)[seen] - 1.0
    between = np.block([[np.zeros((14, 14)), -R], [-R.T, np.zeros((len(Z), len(Z)))]])
    whole = S @ between @ S
    np.testing.assert_allclose(whole @ E, 0.4 * E, atol=1e-3)
    off = np.eye(len(E)) - E @ np.linalg.pinv(E)
    largest = np.linalg.eigvalsh(off @ whole @ off)[::-1]
    found = space.left[:, -space.discarded :]
    quotients = np.einsum("ij,ij->j", found, whole @ found)
    np.testing.assert_allclose(quotients, largest[: space.discarded], rtol=0.1)


def test_with_everything_in_it_runs_end_where_they_did() -> None:
    for seed in range(4):
        problem = on_a_graph(seed, 2, ridge=0.2, rank=4)
        found = minimize(problem, problem.random(0), Goal(), threads=1)
        assert found.converged
        gradient = evaluate(problem, found.point, threads=1).gradient.vector
        start = evaluate(problem, problem.random(0), threads=1).gradient.vector
        assert np.linalg.norm(gradient) < 1e-4 * np.linalg.norm(start)
