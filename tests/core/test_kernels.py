"""Kernels against their NumPy twins, for every weighting and many shapes."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import OBJECTIVES, random_factors, toy_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.errors import NumericFailure
from alteraser.models import Objective, Problem
from alteraser.runtime.workers import blocks
from alteraser.solvers import AHNewton, ConjugateGradient, RowSolver
from alteraser.solvers.kernels import twins
from alteraser.solvers.rows.protocol import padded

ROUNDED = 8
"""Units in the last place, times the condition of a row's form, that a solution may be off by"""


def solved(
    solver: RowSolver, problem: Problem, rank: int, rows=None, threads: int = 1, side: str = "users"
):
    theta = random_factors(problem, rank)
    mine, other = (theta.users, theta.items) if side == "users" else (theta.items, theta.users)
    x = padded(mine)
    report = solver.solve(
        getattr(problem, side), padded(other), x, rows, rank=rank, threads=threads
    )
    return theta, mine, other, x, report


def condition(problem: Problem, other: np.ndarray) -> float:
    """At most that of a row's form: were all its cells as heavy as the heaviest."""
    data, objective = problem.interactions, problem.objective
    by = objective.user_weights(data.user_counts), objective.item_weights(data.item_counts)
    missing = objective.missing_weight * np.prod([1.0 if w is None else w.max() for w in by])
    observed = 1.0 if data.confidence is None or not len(data) else data.confidence.max()
    steepest = max(missing, observed) * np.linalg.norm(other.astype(float), 2) ** 2
    return float(1.0 + steepest / problem.users.ridge.min())


@pytest.mark.parametrize("side", ["users", "items"])
def test_exact_rows_are_the_dense_minimizers(problem: Problem, side: str) -> None:
    _, mine, other, x, report = solved(AHNewton(), problem, 5, side=side)
    view = getattr(problem, side)
    expected, decrement, value = twins.exact_rows(view.arrays, other, mine, np.arange(view.rows))
    np.testing.assert_allclose(x[:, :5], expected, rtol=1e-9, atol=1e-10)
    assert report.decrement == pytest.approx(decrement.sum(), rel=1e-9)
    assert report.value == pytest.approx(value.sum(), rel=1e-9)
    assert report.rows == view.rows
    assert np.all(x[:, 5:] == 0)


@pytest.mark.parametrize("side", ["users", "items"])
@pytest.mark.parametrize("steps", [1, 3])
def test_cg_rows_are_textbook_conjugate_gradients(problem: Problem, side: str, steps: int) -> None:
    _, mine, other, x, report = solved(ConjugateGradient(steps=steps), problem, 5, side=side)
    view = getattr(problem, side)
    expected = twins.cg_rows(view.arrays, other, mine, np.arange(view.rows), steps)
    busy = view.counts > 0
    np.testing.assert_allclose(x[busy, :5], expected[busy], rtol=1e-8, atol=1e-9)
    assert np.all(x[~busy] == 0)
    full = (steps + 1) * busy.sum() + (~busy).sum()  # rows of rank below `steps` finish early
    assert 2 * busy.sum() <= report.products <= full


def test_enough_cg_steps_are_the_exact_step(problem: Problem) -> None:
    exact, free = (
        solved(s, problem, 4)[3] for s in (AHNewton(), ConjugateGradient(steps=60, small=1e-14))
    )
    np.testing.assert_allclose(free, exact, rtol=1e-6, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(
    m=st.integers(1, 40),
    n=st.integers(1, 40),
    rank=st.sampled_from([1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 65]),
    density=st.floats(0.0, 1.0),
    weighted=st.booleans(),
    name=st.sampled_from([name for name in OBJECTIVES if name != "explicit"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 1000),
)
def test_any_shape(m, n, rank, density, weighted, name, dtype, seed) -> None:  # type: ignore[no-untyped-def]
    data = toy_interactions(m, n, density, seed=seed, weighted=weighted, lonely=False)
    problem = Problem(OBJECTIVES[name], data, dtype)
    _, mine, other, x, _ = solved(AHNewton(), problem, rank)
    expected, _, _ = twins.exact_rows(problem.users.arrays, other, mine, np.arange(m))
    off = ROUNDED * np.finfo(dtype).eps * condition(problem, other[:, :rank])
    reach = max(np.abs(expected).max(), np.abs(mine[:, :rank]).max())  # the step is between them
    assert np.abs(x[:, :rank] - expected).max() <= off * reach
    assert np.all(x[problem.users.counts == 0] == 0)


@pytest.mark.parametrize("rank", [128, 200, 512])
def test_many_factors(rank: int) -> None:
    problem = Problem(OBJECTIVES["uniform"], toy_interactions(6, 700, 0.3), np.float64)
    _, mine, other, x, _ = solved(AHNewton(), problem, rank)
    expected, _, _ = twins.exact_rows(problem.users.arrays, other, mine, np.arange(6))
    np.testing.assert_allclose(x[:, :rank], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("solver", [AHNewton(), ConjugateGradient()])
def test_threads_and_row_order_change_nothing(solver: RowSolver) -> None:
    problem = Problem(OBJECTIVES["uniform"], toy_interactions(600, 300, 0.3), np.float32)
    reference = solved(solver, problem, 32, threads=1)[3]
    assert len(blocks(problem.users, None, 32, 4)) > 1, "the case is too small to be split"
    np.testing.assert_array_equal(solved(solver, problem, 32, threads=4)[3], reference)
    shuffled = np.random.default_rng(0).permutation(600)
    np.testing.assert_array_equal(
        solved(solver, problem, 32, rows=shuffled, threads=3)[3], reference
    )


def test_only_the_given_rows_move(problem: Problem) -> None:
    rows = np.array([2, 5])
    _, mine, _, x, report = solved(AHNewton(), problem, 4, rows=rows)
    others = np.setdiff1d(np.arange(len(mine)), rows)
    np.testing.assert_array_equal(x[others, :4], mine[others])
    assert report.rows == 2


def test_blocks_cover_every_row_once_heaviest_first() -> None:
    side = Problem(OBJECTIVES["uniform"], toy_interactions(500, 300, 0.4)).users
    parts = blocks(side, None, 64, 2)
    assert sorted(np.concatenate(parts).tolist()) == list(range(500))
    assert side.counts[parts[0]].min() >= side.counts[parts[-1]].max()


@pytest.mark.parametrize("solver", [AHNewton(), ConjugateGradient()])
def test_singular_and_non_finite_rows_are_named(solver: RowSolver) -> None:
    data = toy_interactions(5, 6, 0.5, lonely=False)
    flat = Problem(Objective(missing_weight=0.0, regularization=0.0), data, np.float64)
    if solver.exact:
        with pytest.raises(NumericFailure, match=r"user row.*singular.*raise the regularization"):
            solved(solver, flat, 16)
    broken = Problem(OBJECTIVES["uniform"], data, np.float64)
    x, other = padded(np.ones((5, 4))), padded(np.full((6, 4), np.nan))
    with pytest.raises(NumericFailure, match="row 0"):
        solver.solve(broken.users, other, x, None, rank=4, threads=1)
    assert np.all(x[:, :4] == 1), "a failed row keeps its old value"


def test_a_heavy_row_is_the_same_sum() -> None:
    """More interactions than a chunk, not a multiple of it."""
    data = toy_interactions(2, 1001, 0.9, lonely=False, weighted=True)
    problem = Problem(OBJECTIVES["uniform"], data, np.float64)
    _, mine, other, x, _ = solved(AHNewton(), problem, 6)
    np.testing.assert_allclose(
        x[:, :6], twins.exact_rows(problem.users.arrays, other, mine, np.arange(2))[0], rtol=1e-9
    )
