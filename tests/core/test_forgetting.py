"""Forgetting against retraining, the driver's promises, and what a model looks like afterwards."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from conftest import OBJECTIVES

import alteraser as ae
from alteraser.data.interactions import Interactions
from alteraser.erasers import AltEraser, PassRecord, Retrain, Settings, run_passes
from alteraser.errors import IntegrityError, Interrupted, InvalidInput, NotFound, NumericFailure
from alteraser.linalg.anderson import Anderson
from alteraser.linalg.quartic import quartic_step
from alteraser.metrics import influence_left, model_distance
from alteraser.models import Factors, Objective, Problem
from alteraser.solvers import AHNewton, ConjugateGradient
from alteraser.solvers.phases.state import Aim, FactorState
from alteraser.solvers.stationarity import push, stationarity

RECIPE = {
    "factors": 3,
    "missing_weight": 0.2,
    "regularization": 1.0,
    "dtype": "float64",
    "tolerance": 1e-10,
}


def toy(seed: int = 0) -> Interactions:
    """Three tastes of different sizes, with noise: well-regularized, so that every start finds the
    same minimum."""
    rng = np.random.default_rng(seed)
    tastes = (
        rng.choice(3, 60, p=[0.5, 0.3, 0.2])[:, None]
        == rng.choice(3, 40, p=[0.5, 0.3, 0.2])[None, :]
    )
    u, v = np.nonzero(rng.random((60, 40)) < np.where(tastes, 0.6, 0.08))
    return Interactions.from_pairs(list(zip(u.tolist(), v.tolist(), strict=True)))


def some(data: Interactions, every: int = 13) -> Interactions:
    return data.keep(np.arange(len(data)) % every == 0)


@pytest.fixture(scope="module")
def trained() -> tuple[Interactions, ae.Model]:
    data = toy()
    return data, ae.ENMF(**RECIPE).fit(data)


# ------------------------------------------------------------------ two routes to one answer


@pytest.mark.parametrize(
    "name", [name for name in OBJECTIVES if name not in ("explicit", "heavy missing")]
)
def test_forgetting_equals_retraining_up_to_rotation(name: str) -> None:
    """To 1e-10 in float64, from either side, for every weighting: statistics belong to the
    remaining data."""
    data = toy()
    settings = {
        k: v
        for k, v in OBJECTIVES[name].model_dump().items()
        if k not in ("confidence", "target", "absent_users", "absent_items")
    }
    settings["regularization"] *= 2
    model = ae.ENMF(factors=3, dtype="float64", tolerance=1e-11, max_passes=3000, **settings).fit(
        data
    )
    gone = some(data)
    unlearned = ae.forget(
        model, gone, data=data, method=AltEraser(tolerance=1e-10, max_passes=3000)
    )
    retrained = ae.forget(model, gone, data=data, method=Retrain(tolerance=1e-10, max_passes=3000))
    assert unlearned.converged
    assert retrained.converged
    assert model_distance(model.factors, retrained.model.factors) > 1e-3
    assert influence_left(unlearned.model.factors, retrained.model.factors, model.factors) < 1e-7


def test_forgetting_equals_training_on_the_remaining_data(
    trained: tuple[Interactions, ae.Model],
) -> None:
    data, model = trained
    erasure = ae.forget(
        model, some(data), data=data, method=AltEraser(tolerance=1e-10, max_passes=2000)
    )
    fresh = ae.ENMF(**RECIPE | {"seed": 5, "tolerance": 1e-12, "max_passes": 3000}).fit(
        erasure.remaining
    )
    assert model_distance(erasure.model.factors, fresh.factors) < 1e-7 * np.linalg.norm(
        fresh.factors.users
    )
    assert erasure.model.trained_on == fresh.trained_on


def test_order_of_requests_does_not_matter_beyond_the_tolerance(
    trained: tuple[Interactions, ae.Model],
) -> None:
    data, model = trained
    first, second = some(data, 11), some(data, 7)
    second = second.remove(first).remaining
    results = []
    for order in ((first, second), (second, first)):
        current, remaining = model, data
        for request in order:
            erasure = ae.forget(
                current, request, data=remaining, method=AltEraser(tolerance=1e-9, max_passes=2000)
            )
            current, remaining = erasure.model, erasure.remaining
        results.append(current)
    assert results[0].trained_on == results[1].trained_on
    assert model_distance(results[0].factors, results[1].factors) < 1e-6


def test_order_of_rows_in_the_data_changes_nothing() -> None:
    table = toy().to_table()
    shuffled = table.take(np.random.default_rng(0).permutation(table.num_rows))
    a, b = (ae.ENMF(**RECIPE).fit(Interactions.from_table(t)) for t in (table, shuffled))
    np.testing.assert_array_equal(a.factors.users, b.factors.users)
    assert a.trained_on == b.trained_on


@pytest.mark.parametrize("solver", ["ah-newton", "cg"])
def test_both_solvers_reach_the_same_point(
    trained: tuple[Interactions, ae.Model], solver: str
) -> None:
    data, model = trained
    erasure = ae.forget(
        model,
        some(data),
        data=data,
        method=AltEraser(tolerance=1e-8, max_passes=3000, solver=solver),
    )
    exact = ae.forget(
        model, some(data), data=data, method=AltEraser(tolerance=1e-9, max_passes=3000)
    )
    assert erasure.converged
    assert model_distance(erasure.model.factors, exact.model.factors) < 1e-5


# ------------------------------------------------------------------ the residual


def test_residual_is_what_the_stored_factors_have(trained: tuple[Interactions, ae.Model]) -> None:
    data, model = trained
    erasure = ae.forget(model, some(data), data=data, method=AltEraser(tolerance=1e-4))
    before, after = (Problem(model.objective, d, np.float64) for d in (data, erasure.remaining))
    relative, here = stationarity(after, erasure.model.factors)
    expected = relative * here.theta_norm / push(before, after, model.factors).norm
    assert erasure.residual == pytest.approx(expected, rel=1e-9)
    assert erasure.residual <= 1e-4
    assert erasure.trace[-1].residual == erasure.residual


def test_one_small_deletion_has_a_small_push_and_is_still_forgotten(
    trained: tuple[Interactions, ae.Model],
) -> None:
    data, model = trained
    one = ae.forget(model, data.keep(np.arange(len(data)) == 5), data=data)
    many = ae.forget(model, some(data), data=data)
    assert 0 < one.work.push < many.work.push
    assert one.converged
    assert one.work.training_floor is not None
    assert one.work.training_floor < 1e-4


def test_an_untrained_model_has_a_floor_that_is_reported() -> None:
    data = toy()
    model = ae.ENMF(**RECIPE | {"max_passes": 2}).fit(data)
    erasure = ae.forget(model, data.keep(np.arange(len(data)) == 5), data=data)
    assert erasure.work.training_floor is not None
    assert erasure.work.training_floor > 1


def test_objective_falls_from_pass_to_pass(trained: tuple[Interactions, ae.Model]) -> None:
    data, _ = trained
    records: list[PassRecord] = []
    problem = Problem(Objective(missing_weight=0.2, regularization=1.0), data, np.float64)
    start = Factors.random(*data.shape, 4, seed=3, dtype=np.float64)
    run_passes(problem, start, Settings(AHNewton(), 0.0, 30, memory=0), on_pass=records.append)
    objectives = [record.objective for record in records]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(objectives))


def test_acceleration_takes_fewer_passes_to_the_same_point(
    trained: tuple[Interactions, ae.Model],
) -> None:
    data, model = trained
    plain, fast = (
        ae.forget(model, some(data), data=data, method=AltEraser(1e-8, 5000, "ah-newton", memory))
        for memory in (0, 6)
    )
    assert fast.work.passes < plain.work.passes
    assert model_distance(plain.model.factors, fast.model.factors) < 1e-5


def test_touched_pass_moves_only_rows_of_the_forget_set(
    trained: tuple[Interactions, ae.Model],
) -> None:
    data, model = trained
    erasure = ae.forget(
        model,
        data.keep(np.arange(len(data)) < 3),
        data=data,
        method=AltEraser(max_passes=1, solver="ah-newton"),
    )
    moved = np.flatnonzero(np.any(erasure.model.factors.users != model.factors.users, axis=1))
    assert moved.tolist() == np.unique(data.user_rows[:3]).tolist()
    assert erasure.trace[0].scope == "touched"
    assert not erasure.converged


# ------------------------------------------------------------------ what is left of users and items


def test_a_user_and_an_item_that_lose_everything(trained: tuple[Interactions, ae.Model]) -> None:
    data, model = trained
    user, item = data.users.ids[4].as_py(), data.items.ids[7].as_py()
    gone = data.keep((data.user_rows == 4) | (data.indices == 7))
    erasure = ae.forget(model, gone, data=data)
    assert np.all(erasure.model.factors.users[4] == 0)
    assert np.all(erasure.model.factors.items[7] == 0)
    assert erasure.model.users.rows_of([user]).tolist() == [-1]
    assert erasure.model.factors.users.shape == model.factors.users.shape
    lists = erasure.model.recommend(k=40)
    assert 7 not in lists.items
    with pytest.raises(NotFound, match=str(user)):
        erasure.model.recommend([user])
    assert erasure.model.items.rows_of([item]).tolist() == [7], (
        "an item is not a person: its id stays"
    )


def test_whole_users_and_everything(trained: tuple[Interactions, ae.Model]) -> None:
    data, model = trained
    erasure = ae.forget(model, [3, 999], data=data, whole_users=True)
    assert len(erasure.removed) == data.user_counts[3]
    assert erasure.unmatched.to_pylist() == [{"user_id": 999}]
    everything = ae.forget(model, data, data=data)
    assert len(everything.remaining) == 0
    assert np.all(everything.model.factors.users == 0)
    assert np.all(everything.model.factors.items == 0)


def test_data_without_the_forget_set_is_accepted_too(
    trained: tuple[Interactions, ae.Model],
) -> None:
    data, model = trained
    gone = some(data)
    purged = data.remove(gone).remaining
    a = ae.forget(model, gone, data=data)
    b = ae.forget(model, gone.to_table(), data=Interactions.from_table(purged.to_table()))
    np.testing.assert_array_equal(a.model.factors.users, b.model.factors.users)


def test_grown_data_is_learned_along(trained: tuple[Interactions, ae.Model]) -> None:
    data, model = trained
    more = data.add(Interactions.from_pairs([(1000, 3), (1000, 2000), (5, 2000)]))
    with pytest.raises(IntegrityError, match=r"not in the model.*--grown"):
        ae.forget(model, some(data), data=more)
    erasure = ae.forget(
        model, some(data), data=more, grown=True, method=AltEraser(tolerance=1e-8, max_passes=2000)
    )
    assert erasure.deletion.added == 3
    assert erasure.converged
    assert erasure.model.factors.users.shape[0] == data.shape[0] + 1
    assert np.any(erasure.model.factors.users[-1] != 0)
    assert (
        stationarity(
            Problem(model.objective, erasure.remaining, np.float64), erasure.model.factors
        )[0]
        < 1e-6
    )


def test_trained_prediction_vector_is_supported() -> None:
    data = toy()
    model = ae.ENMF(**RECIPE | {"train_prediction": True, "max_passes": 40}).fit(data)
    assert np.linalg.norm(model.factors.prediction) == pytest.approx(np.sqrt(3))
    assert np.ptp(model.factors.prediction) > 0
    erasure = ae.forget(
        model, some(data), data=data, method=AltEraser(max_passes=10, train_prediction=True)
    )
    assert np.any(erasure.model.factors.prediction != model.factors.prediction)
    assert erasure.work.objective_after < erasure.work.objective_before


# ------------------------------------------------------------------ refusals and interruption


def test_nothing_found_and_wrong_data_are_refused(trained: tuple[Interactions, ae.Model]) -> None:
    data, model = trained
    with pytest.raises(NotFound, match="none of the 1 row"):
        ae.forget(model, [(10**6, 1)], data=data)
    with pytest.raises(IntegrityError, match="not what the model was trained on"):
        ae.forget(model, [(1, 1)], data=data.keep(np.arange(len(data)) > 3))
    with pytest.raises(
        InvalidInput,
        match="unknown method 'magic'; there are auto, replay, local, converge, alteraser, retrain",
    ):
        ae.forget(model, some(data), data=data, method="magic")
    with pytest.raises(InvalidInput, match="unknown solver 'magic'"):
        ae.forget(model, some(data), data=data, method=AltEraser(solver="magic"))


def test_interruption_leaves_everything_as_it_was(trained: tuple[Interactions, ae.Model]) -> None:
    data, model = trained
    before = model.factors.users.copy()

    def stop(record: PassRecord) -> None:
        if record.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="nothing was changed"):
        ae.forget(model, some(data), data=data, on_pass=stop)
    np.testing.assert_array_equal(model.factors.users, before)


def test_a_model_that_is_not_finite_is_a_numeric_failure(
    trained: tuple[Interactions, ae.Model],
) -> None:
    data, model = trained
    problem = Problem(model.objective, data, np.float64)
    start = model.factors.astype(np.float64)
    start.items[3, 2] = np.inf
    with pytest.raises(NumericFailure, match="row"):
        run_passes(problem, start, Settings(AHNewton(), 1e-6, 5))


@pytest.mark.parametrize(
    "wrong", [{"tolerance": -1.0}, {"tolerance": float("nan")}, {"max_passes": -1}]
)
def test_wrong_settings_of_the_driver(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        Settings(ConjugateGradient(), **({"tolerance": 1e-3, "max_passes": 3} | wrong))


# ------------------------------------------------------------------ pieces of the driver


def test_anderson_solves_a_linear_fixed_point_in_dimension_plus_one_steps() -> None:
    """T(q) = M q + c: with enough memory, extrapolation is GMRES and ends after dim + 1 images."""
    rng = np.random.default_rng(0)
    M = 0.9 * np.linalg.qr(rng.standard_normal((5, 5)))[0]
    c = rng.standard_normal((5, 1))
    solution = np.linalg.solve(np.eye(5) - M, c)
    history, q = Anderson(10, np.ones(5)), np.zeros((5, 1))
    for _ in range(6):
        image = M @ q + c
        following = history.extrapolate(q, image)
        q = image if following is None else following
    np.testing.assert_allclose(q, solution, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_quartic_step_finds_the_lowest_point_ahead(scale: float) -> None:
    def objective(t: float) -> float:
        t = t / scale
        return 1e6 + (t - 1) ** 2 * (t - 3) ** 2 - 0.5 * t  # two valleys; the farther one is lower

    t = quartic_step(objective, reach=scale) / scale
    grid = np.linspace(0, 4, 4001)
    assert objective(t * scale) <= min(objective(x * scale) for x in grid) + 1e-6


def test_quartic_step_stays_where_nothing_is_lower() -> None:
    assert quartic_step(lambda t: t**2, reach=1.0) == 0.0
    assert quartic_step(lambda t: float("nan"), reach=1.0) == 0.0


def test_leaving_a_saddle_goes_much_further_than_a_pass() -> None:
    """λ just below the value at which the third factor dies: from nearly zero it grows by little in
    each pass."""
    data = toy()
    problem = Problem(Objective(missing_weight=0.2, regularization=6.0), data, np.float64)
    start = Factors.random(*data.shape, 3, seed=3, dtype=np.float64)
    start.users[:, 2] *= 1e-3
    start.items[:, 2] *= 1e-3
    state = FactorState(problem, start, AHNewton(), Aim(0.0), 1)
    for _ in range(60):
        state.first_half()
        state.second_half()
    state.first_half()
    before = state.P.copy(), state.Q.copy()
    value = [state.measure()[1]]
    state.second_half()
    state.first_half()
    value.append(state.measure()[1])
    assert state.escape(*before)
    value.append(state.measure()[1])
    assert value[0] - value[2] > 10 * (value[0] - value[1]) > 0
