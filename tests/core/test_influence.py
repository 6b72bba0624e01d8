"""Influence functions against dense Hessians and against the model that retraining gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from conftest import OBJECTIVES, random_factors, toy_interactions

from alteraser.erasers import Influence, Retrain, Shift, run_passes
from alteraser.erasers.driver import Settings
from alteraser.erasers.influence import kronecker_inverse
from alteraser.errors import Interrupted, InvalidInput, NumericFailure
from alteraser.models import Factors, Objective, Problem
from alteraser.solvers import AHNewton
from alteraser.solvers.hessian import Curvature
from alteraser.solvers.kernels import twins
from alteraser.solvers.stationarity import evaluate, gradient_norm


def dense(problem: Problem, theta: Factors) -> np.ndarray:
    """Half the Hessian over (P, Q), column by column."""
    curvature, (m, d), n = Curvature(problem, theta, 1), theta.users.shape, theta.items.shape[0]
    columns = []
    for unit in np.eye((m + n) * d):
        V, W = curvature.hessian((unit[: m * d].reshape(m, d), unit[m * d :].reshape(n, d)))
        columns.append(np.concatenate([V.ravel(), W.ravel()]))
    return np.array(columns)


def flat(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    return np.concatenate([users.ravel(), items.ravel()])


def pushed(task: Shift) -> np.ndarray:
    """Half of g, by differences of gradients."""
    ends = [evaluate(problem, task.original) for problem in (task.after, task.before)]
    after, before = (flat(end.user_gradient, end.item_gradient) for end in ends)
    return (after - before) / 2


def moved(task: Shift, found: Factors) -> np.ndarray:
    return flat(task.original.users, task.original.items) - flat(found.users, found.items)


def task_of(
    objective: Objective, *, seed: int = 0, passes: int = 5000, share: float = 1.0
) -> Shift:
    """One interaction is deleted, or ``share`` of its confidence, from an original of so many
    passes."""
    data = toy_interactions(9, 7, seed=seed)
    weighted = data.__class__(
        data.users, data.items, data.indptr, data.indices, confidence=np.ones(len(data))
    )
    confidence = np.ones(len(data))
    confidence[4] = 1.0 - share
    if share == 1.0:
        remaining = weighted.keep(np.arange(len(data)) != 4)
    else:
        remaining = data.__class__(
            data.users, data.items, data.indptr, data.indices, confidence=confidence
        )
    before, after = (
        Problem(objective, weighted, np.float64),
        Problem(objective, remaining, np.float64),
    )
    start = random_factors(before, 3)
    start = run_passes(
        before, start, Settings(AHNewton(), 1e-11, passes, memory=0, threads=1)
    ).factors
    rows = np.array([data.user_rows[4]]), np.array([data.indices[4]])
    return Shift(start, before, after, Shift.rows(rows[0]), Shift.rows(rows[1]), 1)


@pytest.mark.parametrize("hessian", ["after", "before"])
@pytest.mark.parametrize("preconditioned", [True, False])
def test_conjugate_gradients_and_the_series_are_the_dense_solve(
    hessian: str, preconditioned: bool
) -> None:
    """λ large enough that H is positive definite at the start, which need not be a minimum."""
    objective = Objective(missing_weight=0.2, regularization=30.0)
    task = task_of(objective, passes=0)
    problem = task.after if hessian == "after" else task.before
    H = dense(problem, task.original)
    assert np.linalg.eigvalsh(H)[0] > 0
    push = pushed(task)
    along = abs(push @ H @ push) / (push @ push)
    step = np.linalg.solve(H + 1e-3 * along * np.eye(len(H)), push)
    expected = np.concatenate([task.original.users.ravel(), task.original.items.ravel()]) - step
    for inverse, steps in (("cg", 500), ("neumann", 3000)):
        method = Influence(
            hessian=hessian, inverse=inverse, steps=steps, preconditioned=preconditioned
        )
        found = method.erase(task).factors
        np.testing.assert_allclose(
            np.concatenate([found.users.ravel(), found.items.ravel()]), expected, atol=1e-6
        )


@pytest.mark.parametrize("preconditioned", [True, False])
@pytest.mark.parametrize("damping", [1.0, 100.0])
def test_damping_beyond_the_blocks_does_not_make_the_series_diverge(
    damping: float, preconditioned: bool
) -> None:
    """The blocks are damped with H; against blocks of λ alone the damping would be an eigenvalue of
    any size."""
    task = task_of(Objective(missing_weight=0.05, regularization=0.05))
    H, push = dense(task.after, task.original), pushed(task)
    shift = damping * abs(push @ H @ push) / (push @ push)
    expected = np.linalg.solve(H + shift * np.eye(len(H)), push)
    for inverse in ("cg", "neumann"):
        method = Influence(
            inverse=inverse, steps=400, damping=damping, preconditioned=preconditioned
        )
        np.testing.assert_allclose(moved(task, method.erase(task).factors), expected, atol=1e-7)


@pytest.mark.parametrize("preconditioned", [True, False])
@pytest.mark.parametrize("inverse", ["cg", "neumann"])
def test_where_the_hessian_bends_down_the_step_stays_short(
    inverse: str, preconditioned: bool
) -> None:
    task = task_of(Objective(missing_weight=0.2, regularization=1.0), passes=0)
    assert np.linalg.eigvalsh(dense(task.after, task.original))[0] < -1
    found = Influence(inverse=inverse, preconditioned=preconditioned, steps=400).erase(task)
    assert 0 < np.linalg.norm(moved(task, found.factors)) < 10
    assert found.products < 400


@pytest.mark.parametrize("inverse", ["cg", "neumann"])
def test_one_product_already_is_a_step(inverse: str) -> None:
    task = task_of(Objective(missing_weight=0.2, regularization=1.0))
    found = Influence(inverse=inverse, steps=1).erase(task)
    assert found.residual < 0.5
    assert found.products == 2  # one for the scale of the damping


def test_for_one_interaction_the_stored_hessian_is_nearly_as_good() -> None:
    """The two steps differ by a share of the step that falls with the share of confidence that is
    deleted."""
    objective = Objective(missing_weight=0.2, regularization=1.0)
    shares = []
    for share in (0.2, 0.1, 0.05):
        task = task_of(objective, share=share)
        after, before = (
            moved(task, Influence(hessian=hessian, steps=300, damping=1e-2).erase(task).factors)
            for hessian in ("after", "before")
        )
        shares.append(np.linalg.norm(after - before) / np.linalg.norm(after))
    assert shares[0] < 0.2
    assert all(late < 0.7 * early for early, late in pairwise(shares))


@pytest.mark.parametrize("inverse", ["cg", "neumann", "kfac"])
def test_single_precision_gives_the_same_step(inverse: str) -> None:
    task = task_of(Objective(missing_weight=0.2, regularization=1.0))
    problems = [Problem(p.objective, p.interactions, np.float32) for p in (task.before, task.after)]
    single = Shift(
        task.original.astype(np.float32), *problems, task.touched_users, task.touched_items, 1
    )
    method = Influence(inverse=inverse, damping=1e-2, steps=30)
    ends = method.erase(task), method.erase(single)
    assert ends[1].factors.dtype == np.float32
    np.testing.assert_allclose(ends[1].factors.users, ends[0].factors.users, atol=1e-4)
    assert ends[1].residual == pytest.approx(ends[0].residual, abs=1e-4)


@pytest.mark.parametrize("side_name", ["users", "items"])
@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_kronecker_factors_are_averages_over_every_cell(name: str, side_name: str) -> None:
    problem = Problem(OBJECTIVES[name], toy_interactions(weighted=True), np.float64)
    theta = random_factors(problem, 3)
    side, mine, theirs = problem.users, theta.users, theta.items
    if side_name == "items":
        side, mine, theirs = problem.items, theta.items, theta.users
    right = np.random.default_rng(0).standard_normal(mine.shape)
    blocks, kappa = [], []
    for row in range(side.rows):
        A, _ = twins.system(side.arrays, theirs, row)
        blocks.append(A - side.ridge[row] * np.eye(3))
        # the weights of the row's cells: what a system over vectors of ones adds up
        ones, _ = twins.system(side.arrays, np.ones((len(theirs), 1)), row)
        kappa.append(float(ones[0, 0] - side.ridge[row]))
    shared = sum(blocks) / sum(kappa)
    level = 1e-2 * np.trace(shared) / 3
    found = kronecker_inverse(side, theirs, right, 1e-2)
    for row in range(side.rows):
        system = kappa[row] * (shared + level * np.eye(3)) + side.ridge[row] * np.eye(3)
        np.testing.assert_allclose(found[row], np.linalg.solve(system, right[row]), rtol=1e-8)


def test_one_step_is_right_to_second_order() -> None:
    """Halving what is deleted quarters the distance that the step leaves to the retrained
    minimum."""
    objective = Objective(missing_weight=0.2, regularization=1.0)
    errors, moves = [], []
    for share in (0.4, 0.2, 0.1):
        task = task_of(objective, share=share)
        exact = run_passes(
            task.after, task.original, Settings(AHNewton(), 1e-11, 5000, memory=0, threads=1)
        ).factors
        found = Influence(steps=300, damping=0.0).erase(task).factors
        cells = np.arange(9).repeat(7), np.tile(np.arange(7), 9)
        errors.append(np.linalg.norm(found.scores(*cells) - exact.scores(*cells)))
        moves.append(np.linalg.norm(task.original.scores(*cells) - exact.scores(*cells)))
    assert all(error < 0.3 * move for error, move in zip(errors, moves, strict=True))
    assert errors[1] < 0.35 * errors[0]
    assert errors[2] < 0.35 * errors[1]


@pytest.mark.parametrize("inverse", ["cg", "neumann", "kfac"])
def test_the_outcome_is_measured_on_what_is_returned(inverse: str) -> None:
    task = task_of(Objective(missing_weight=0.2, regularization=1.0))
    found = Influence(inverse=inverse).erase(task)
    here = evaluate(task.after, found.factors)
    norm = gradient_norm(task.after, found.factors, here.user_gradient, here.item_gradient)
    assert found.residual == pytest.approx(norm / task.push)
    assert found.objective == pytest.approx(here.objective)
    assert found.passes == len(found.trace) == 1
    assert found.factors.dtype == task.original.dtype
    assert (found.products > 0) == (inverse != "kfac")


def test_the_whole_gradient_also_finishes_the_training() -> None:
    """At a point that was not trained to the end, the difference of gradients undoes the deletion
    alone."""
    task = task_of(Objective(missing_weight=0.2, regularization=1.0), passes=12)
    difference = Influence(steps=300, damping=0.0).erase(task)
    gradient = Influence(steps=300, damping=0.0, push="gradient").erase(task)
    assert gradient.objective < difference.objective


def test_what_cannot_be_done_is_refused() -> None:
    task = task_of(Objective(missing_weight=0.2, regularization=1.0))
    unknown = Shift(task.original, None, task.after, task.touched_users, task.touched_items, 1)
    with pytest.raises(InvalidInput, match='push="gradient"'):
        Influence().erase(unknown)
    Influence(push="gradient").erase(unknown)
    trained = Factors(task.original.users, task.original.items, np.array([1.0, 2.0, 1.0]))
    with pytest.raises(InvalidInput, match="h = 1"):
        Influence().erase(
            Shift(trained, task.before, task.after, task.touched_users, task.touched_items, 1)
        )
    with pytest.raises(InvalidInput, match='push="gradient"'):
        Influence(push="gradient", hessian="before").erase(unknown)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "at least 1"),
        ({"steps": 2.5}, "whole number"),
        ({"damping": -1.0}, "damping"),
        ({"damping": float("inf")}, "damping"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"inverse": "cholesky"}, "unknown inverse 'cholesky'; there are cg, neumann, kfac"),
        ({"hessian": "now"}, "unknown hessian"),
        ({"push": "all"}, "unknown push"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Influence(**settings)


@pytest.mark.parametrize("inverse", ["cg", "neumann", "kfac"])
def test_a_damaged_model_and_an_overflow_are_numeric_failures(inverse: str) -> None:
    task = task_of(Objective(missing_weight=0.2, regularization=1.0))
    for value in (np.nan, 1e200):
        users = task.original.users.copy()
        users[3, 0] = value
        broken = Factors(users, task.original.items, task.original.prediction)
        with pytest.raises(NumericFailure):
            Influence(inverse=inverse).erase(
                Shift(broken, task.before, task.after, *([np.arange(1)] * 2), 1)
            )


def test_interruption_is_reported_and_nothing_to_forget_changes_nothing() -> None:
    task = task_of(Objective(missing_weight=0.2, regularization=1.0))

    def stop(record: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        Influence().erase(task, stop)
    same = Shift(task.original, task.before, task.before, task.touched_users, task.touched_items, 1)
    found = Influence().erase(same)
    np.testing.assert_array_equal(found.factors.users, task.original.users)
    assert found.products == 0


def test_retraining_is_not_an_influence_step() -> None:
    """The step is a step: after a large deletion, retraining ends lower."""
    task = task_of(Objective(missing_weight=0.2, regularization=1.0))
    step = Influence(steps=300).erase(task)
    again = Retrain(tolerance=1e-8, max_passes=3000).erase(task)
    assert again.objective <= step.objective + 1e-9
