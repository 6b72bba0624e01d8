"""Erasers that need torch: first-order training, Newton on the whole model, and the alternation on
GMF."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conftest import random_factors, toy_interactions  # noqa: E402

from alteraser.autograd import ScoredProblem  # noqa: E402
from alteraser.erasers import AltEraser, FirstOrder, GlobalNewton, Retrain, Shift, eraser  # noqa: E402
from alteraser.errors import InvalidInput, NumericFailure  # noqa: E402
from alteraser.models import Objective, Problem  # noqa: E402
from alteraser.solvers.stationarity import evaluate  # noqa: E402

pytestmark = pytest.mark.torch

OBJECTIVE = Objective(missing_weight=0.2, regularization=1.2)
LOGISTIC = Objective(missing_weight=0.2, regularization=0.1)


def task_of(kind: str = "squared", *, watch=None) -> Shift:
    """Three interactions of two users forgotten, from a converged original."""
    data = toy_interactions(15, 10, seed=4)
    gone = np.zeros(len(data), bool)
    gone[[3, 4, 9]] = True
    make = (
        (lambda d: Problem(OBJECTIVE, d, np.float64))
        if kind == "squared"
        else (lambda d: ScoredProblem(LOGISTIC, d, np.float64))
    )
    before, after = make(data), make(data.keep(~gone))
    start = random_factors(Problem(OBJECTIVE, data, np.float64), 3)
    nothing = np.empty(0, np.int64)
    solver = "ah-newton" if kind == "squared" else "hf-newton"
    original = Retrain(
        tolerance=1e-9, max_passes=3000 if kind == "squared" else 100, memory=0, solver=solver
    ).erase(Shift(start, None, before, nothing, nothing, 1))
    removed = data.keep(gone)
    return Shift(
        original.factors,
        before,
        after,
        Shift.rows(removed.user_rows),
        Shift.rows(removed.indices),
        1,
        watch,
    )


@pytest.fixture(scope="module")
def task() -> Shift:
    return task_of()


@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
def test_full_batch_first_order_ends_where_second_order_does(task: Shift, optimizer: str) -> None:
    exact = AltEraser(tolerance=1e-8, max_passes=3000, memory=0).erase(task)
    method = FirstOrder(
        optimizer=optimizer, learning_rate=3e-3, batch_users=0, max_passes=4000, patience=4000
    )
    found = method.erase(task)
    assert found.objective == pytest.approx(exact.objective, rel=1e-6)
    assert found.residual < 0.05


def test_sgd_goes_down(task: Shift) -> None:
    found = FirstOrder(
        optimizer="sgd", learning_rate=1e-3, batch_users=0, max_passes=50, patience=50
    ).erase(task)
    losses = [record.objective for record in found.trace]
    assert losses == sorted(losses, reverse=True)
    assert found.objective < evaluate(task.after, task.original).objective


def test_the_seed_orders_mini_batches_and_the_initial_seed_starts_them(task: Shift) -> None:
    def run(**seeds: int) -> np.ndarray:
        return (
            FirstOrder(start="random", batch_users=4, max_passes=3, **seeds)
            .erase(task)
            .factors.users
        )

    np.testing.assert_array_equal(run(seed=1, initial_seed=1), run(seed=1, initial_seed=1))
    assert np.any(run(seed=2, initial_seed=1) != run(seed=1, initial_seed=1))
    assert np.any(run(seed=1, initial_seed=2) != run(seed=1, initial_seed=1))


def test_decoupled_decay_has_another_fixed_point(task: Shift) -> None:
    settings = {"learning_rate": 3e-3, "batch_users": 0, "max_passes": 3000, "patience": 3000}
    plain = FirstOrder(**settings).erase(task)
    decayed = FirstOrder(**settings, weight_decay=20.0).erase(task)
    assert decayed.objective > plain.objective * (1 + 1e-5)


def test_without_a_watcher_a_flat_loss_ends_it_and_with_one_the_watcher_does(task: Shift) -> None:
    assert FirstOrder(max_passes=5000, batch_users=0).erase(task).passes < 5000
    seen = []

    def watch(number, factors):
        seen.append((number, factors().users.shape))
        return number == 4

    stopped = FirstOrder(max_passes=50).erase(task_of(watch=watch))
    assert stopped.passes == 4
    assert [number for number, _ in seen] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "method", [AltEraser(memory=0, tolerance=0.0, max_passes=9), GlobalNewton(max_passes=9)]
)
def test_a_watcher_may_end_every_method(method) -> None:
    numbers = []
    found = method.erase(
        task_of(watch=lambda number, factors: numbers.append(number) or number == 2)
    )
    assert numbers == [1, 2]
    assert found.passes == 2


def test_divergence_is_said(task: Shift) -> None:
    with pytest.raises(NumericFailure, match="lower the learning rate"):
        FirstOrder(optimizer="sgd", learning_rate=1e3, max_passes=200).erase(task)
    with pytest.raises(InvalidInput, match="there are adamw"):
        FirstOrder(optimizer="lion")  # type: ignore[arg-type]


def test_newton_on_everything_reaches_the_alternations_minimum(task: Shift) -> None:
    exact = AltEraser(tolerance=1e-8, max_passes=3000, memory=0).erase(task)
    found = GlobalNewton(max_passes=30, tolerance=1e-6).erase(task)
    assert found.converged
    assert found.residual <= 1e-6
    assert found.objective == pytest.approx(exact.objective, rel=1e-9)
    assert found.products > 0
    assert len(found.trace) == found.passes < 30


def test_gmf_is_forgotten_by_alternation_by_newton_and_by_first_order_alike() -> None:
    task = task_of("logistic")
    before = evaluate(task.after, task.original).objective
    alternating = AltEraser(solver="hf-newton", memory=0, tolerance=1e-3, max_passes=300).erase(
        task
    )
    whole = GlobalNewton(max_passes=50, tolerance=1e-5).erase(task)
    slow = FirstOrder(batch_users=0, learning_rate=3e-3, max_passes=2000, patience=2000).erase(task)
    assert np.abs(whole.factors.users).max() > 0.1  # not the collapsed model
    for found in (alternating, slow):
        assert found.objective == pytest.approx(whole.objective, rel=1e-4)
        assert found.objective < before


def test_methods_by_name_take_their_solver(task: Shift) -> None:
    warm = eraser("warm-start", solver="adam", max_passes=2)
    assert warm.optimizer == "adam"
    assert warm.name == "warm-start"
    cold = eraser("retrain-adamw", max_passes=2)
    assert (cold.start, cold.name) == ("random", "retrain-adamw")
    assert cold.erase(task).passes == 2
