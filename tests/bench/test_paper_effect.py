"""Anchored passes and the difference of two runs: only the deletion's effect, on originals that
never came to rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import OBJECTIVES, random_factors, toy_interactions

from alteraser.bench.paper.effect import AnchoredPasses, TwoRuns
from alteraser.erasers import AltEraser, Settings, Shift, run_passes
from alteraser.errors import InvalidInput, NumericFailure
from alteraser.models import Factors, Problem
from alteraser.solvers import AHNewton
from alteraser.solvers.anchors import anchored_norm, anchors
from alteraser.solvers.stationarity import evaluate

METHODS = [AnchoredPasses, TwoRuns]


def scene(
    passes: int, name: str = "uniform", *, rank: int = 4, gone: str = "some", trained: bool = False
) -> Shift:
    """A model that ``passes`` passes left, and a deletion: some pairs, all of one user's, or
    none."""
    data = toy_interactions(25, 18, 0.4)
    before = Problem(OBJECTIVES[name], data, np.float64)
    start = random_factors(before, rank, trained=trained)
    settings = Settings(AHNewton(), 0.0, passes, memory=0, threads=1)
    original = run_passes(before, start, settings).factors
    users = data.user_rows
    user = int(users[0])
    drop = {
        "some": (users % 5 == 1) & (data.indices % 3 == 0),
        "user": users == user,
        "none": users < 0,
    }[gone]
    after = Problem(OBJECTIVES[name], data.keep(~drop), np.float64)
    touched = Shift.rows(users[drop]), Shift.rows(data.indices[drop])
    return Shift(original, before, after, *touched, 1)


def gradient(problem: Problem, factors: Factors) -> np.ndarray:
    here = evaluate(problem, factors, threads=1)
    return np.concatenate([here.user_gradient, here.item_gradient])


def stacked(factors: Factors) -> np.ndarray:
    return np.concatenate([factors.users, factors.items])


@pytest.mark.parametrize(("rank", "trained"), [(1, False), (2, True)])
@pytest.mark.parametrize("name", ["uniform", "popularity", "frequency", "explicit"])
def test_anchored_passes_end_where_the_remaining_data_leave_what_training_left(
    name: str, rank: int, trained: bool
) -> None:
    task = scene(12, name, rank=rank, trained=trained)
    assert task.before is not None
    outcome = AnchoredPasses(max_passes=3000, tolerance=1e-9).erase(task)
    assert outcome.converged
    wanted = gradient(task.before, task.original)
    assert np.linalg.norm(wanted) > 1e-3  # it is not at rest
    np.testing.assert_allclose(gradient(task.after, outcome.factors), wanted, atol=1e-6)


def test_the_first_pass_puts_the_rows_of_the_deletion_at_their_anchored_minimum_and_no_other() -> (
    None
):
    task = scene(3)
    assert task.before is not None
    objective, data = task.after.objective, task.after.interactions
    wanted = evaluate(task.before, task.original, threads=1).user_gradient
    found = AnchoredPasses(max_passes=1).erase(task).factors
    Q = task.original.items
    for row in range(task.original.users.shape[0]):
        mine = data.indices[data.indptr[row] : data.indptr[row + 1]]
        weights = np.full(Q.shape[0], objective.missing_weight)
        weights[mine] = 1.0
        A = (Q * weights[:, None]).T @ Q + objective.regularization * np.eye(Q.shape[1])
        p = np.linalg.solve(A, Q[mine].sum(axis=0) + 0.5 * wanted[row])
        expected = p if row in task.touched_users else task.original.users[row]
        np.testing.assert_allclose(found.users[row], expected, atol=1e-10)
    untouched = ~np.isin(np.arange(Q.shape[0]), task.touched_items)
    np.testing.assert_array_equal(found.items[untouched], Q[untouched])


@pytest.mark.parametrize("eraser", METHODS)
@pytest.mark.parametrize("passes", [1, 2])
def test_without_a_deletion_a_model_that_is_not_at_rest_stays_what_it_is(
    eraser: type, passes: int
) -> None:
    task = scene(passes, gone="none")
    outcome = eraser(max_passes=5).erase(task)
    np.testing.assert_allclose(stacked(outcome.factors), stacked(task.original), rtol=0, atol=1e-9)
    plain = AltEraser(solver="ah-newton", memory=0, tolerance=0.0, max_passes=5).erase(task)
    # which passes alone do not
    assert np.abs(stacked(plain.factors) - stacked(task.original)).max() > 1e-2


@pytest.mark.parametrize("eraser", METHODS)
def test_at_an_optimum_both_are_the_papers_passes(eraser: type) -> None:
    task = scene(3000)
    plain = AltEraser(solver="ah-newton", memory=0, tolerance=0.0, max_passes=4).erase(task)
    outcome = eraser(max_passes=4).erase(task)
    np.testing.assert_allclose(stacked(outcome.factors), stacked(plain.factors), atol=1e-5)
    assert outcome.residual == pytest.approx(plain.residual, abs=1e-4)


@pytest.mark.parametrize("k", [1, 3])
def test_two_runs_are_the_original_and_the_difference_of_the_papers_passes(k: int) -> None:
    task = scene(2, trained=True)
    assert task.before is not None
    ends = []
    for problem in (task.after, task.before):
        settings = Settings(AHNewton(), 0.0, k, memory=0, threads=1)
        touched = task.touched_users, task.touched_items
        ends.append(stacked(run_passes(problem, task.original, settings, touched=touched).factors))
    found = TwoRuns(max_passes=k).erase(task)
    assert found.passes == k
    np.testing.assert_allclose(
        stacked(found.factors), stacked(task.original) + ends[0] - ends[1], atol=1e-9
    )


@pytest.mark.parametrize("eraser", METHODS)
def test_a_user_of_whom_nothing_remains_is_zero(eraser: type) -> None:
    task = scene(2, gone="user")
    (row,) = task.touched_users
    assert np.abs(task.original.users[row]).max() > 0.1
    found = eraser(max_passes=3).erase(task).factors
    np.testing.assert_array_equal(found.users[row], 0.0)
    # what training had left does not bring a row back that D_r left empty
    empty = task.after.items.counts == 0
    np.testing.assert_array_equal(found.items[empty], 0.0)


@pytest.mark.parametrize("name", ["uniform", "heavy missing", "popularity"])
@pytest.mark.parametrize("passes", [0, 1, 4])
def test_anchored_passes_never_blow_up(name: str, passes: int) -> None:
    """Far from rest L bends down: exact anchored rows would leave the original for good, and are
    stopped before."""
    task = scene(passes, name, rank=8)
    assert task.before is not None
    alone = AnchoredPasses(max_passes=1).erase(task)
    outcome = AnchoredPasses(max_passes=300).erase(task)
    residuals = [record.residual for record in outcome.trace]
    assert residuals[0] == pytest.approx(alone.residual)
    assert residuals == sorted(residuals, reverse=True)
    assert outcome.reason == "bent"
    # these passes hold the gradient where it was, however the model turns
    held = replace(anchors(task.before, task.after, task.original, threads=1), level=None)
    measured = anchored_norm(task.after, outcome.factors, held, threads=1) / task.push
    assert measured == pytest.approx(outcome.residual, rel=1e-6)
    moved = np.linalg.norm(stacked(outcome.factors) - stacked(task.original))
    assert moved < np.linalg.norm(stacked(task.original))


@pytest.mark.parametrize("eraser", METHODS)
def test_the_watcher_sees_every_pass_and_may_end_it(eraser: type) -> None:
    seen: list[np.ndarray] = []

    def watch(number: int, factors: object) -> bool:
        seen.append(stacked(factors()))  # type: ignore[operator]
        return number == 2

    outcome = eraser(max_passes=9).erase(replace(scene(2), watch=watch))
    assert (outcome.passes, outcome.reason, len(seen)) == (2, "watch", 2)
    np.testing.assert_array_equal(seen[-1], stacked(outcome.factors))
    assert np.any(seen[0] != seen[1])


@pytest.mark.parametrize("eraser", METHODS)
def test_single_precision_stays_single(eraser: type) -> None:
    task = scene(2)
    assert task.before is not None
    original = task.original.astype(np.float32)
    before, after = (replace(p, dtype=np.float32) for p in (task.before, task.after))
    single = (
        eraser(max_passes=4)
        .erase(replace(task, original=original, before=before, after=after))
        .factors
    )
    assert single.users.dtype == np.float32
    np.testing.assert_allclose(
        stacked(single), stacked(eraser(max_passes=4).erase(task).factors), atol=2e-5
    )


@pytest.mark.parametrize("eraser", METHODS)
def test_what_cannot_be_done_is_refused(eraser: type) -> None:
    with pytest.raises(InvalidInput, match="max_passes=0: expected at least 1"):
        eraser(max_passes=0)
    task = scene(1)
    with pytest.raises(InvalidInput, match="needs the interactions as trained on"):
        eraser().erase(replace(task, before=None))
    users = task.original.users.copy()
    users[3, 1] = np.nan
    damaged = Factors(users, task.original.items, task.original.prediction)
    with pytest.raises(NumericFailure, match="user row 3 of the original is not finite"):
        eraser().erase(replace(task, original=damaged))
