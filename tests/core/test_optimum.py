"""Both ways to the optimum of a linear problem end in one place: joint steps where it is a matrix
factorization, and the descent that every problem takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import toy_interactions

from alteraser import ENMF, Interactions, Model, forget, verify
from alteraser.erasers.optimum import norm_at, reach
from alteraser.models import Objective, Problem
from alteraser.models.relational import LinearProblem, MissingWeights, Point
from alteraser.models.relational.composite import CompositeModel
from alteraser.models.relational.setup import LinearSetup, RelationSetting
from alteraser.solvers.limits import Limits
from alteraser.solvers.relational import Goal, Preconditioner, evaluate, minimize
from alteraser.verbs.relational.train import train

SETUP = LinearSetup(
    factors=3, regularization=0.5, relations={"data": RelationSetting(missing_weight=0.1)}
)


@pytest.fixture(scope="module")
def data() -> Interactions:
    return toy_interactions(40, 25, 0.25, lonely=False)


def posed(data: Interactions, ridge: float = 0.5) -> LinearProblem:
    objective = Objective(missing_weight=0.1, regularization=ridge)
    return LinearProblem.factorization(Problem(objective, data, np.float64), 3)


def scores(point: Point) -> np.ndarray:
    return np.asarray(point.tables["user"] @ point.tables["item"].T)


def table(model: Model | CompositeModel) -> np.ndarray:
    users, items = (x.astype(np.float64) for x in (model.factors.users, model.factors.items))
    return np.asarray(users @ items.T)


def test_a_factorization_is_told_from_what_is_none(data: Interactions) -> None:
    problem = posed(data)
    alone = problem.factorized
    assert alone is not None
    again = replace(alone, dtype=np.float64)
    point = problem.random(0)
    back = LinearProblem.factorization(again, 3)
    here, there = evaluate(problem, point), evaluate(back, back.point(point.vector))
    assert here.value == there.value
    assert np.array_equal(here.gradient.vector, there.gradient.vector)
    relation = problem.relations[0]
    uneven = {**problem.ridge, "user": problem.ridge["user"] * 2}
    weights = MissingWeights.popular(0.1, data.item_counts)
    for other in (
        replace(problem, ridge=uneven),
        replace(problem, relations=(replace(relation, weight=2.0),)),
        replace(problem, relations=(replace(relation, biases=True),)),
        replace(problem, relations=(replace(relation, prediction=1.0),)),
        replace(problem, relations=(replace(relation, missing=weights),)),
        replace(problem, relations=(relation, replace(relation, name="again"))),
        replace(problem, ridge={name: 0.0 * x for name, x in problem.ridge.items()}),
    ):
        assert other.factorized is None


def test_gradients_are_measured_alike(data: Interactions) -> None:
    problem = posed(data)
    point = problem.random(0)
    gradient = evaluate(problem, point).gradient.vector
    blocks = Preconditioner(problem, point, 1).norm(gradient)
    assert norm_at(problem, point, threads=1).norm(gradient) == pytest.approx(blocks, rel=1e-5)
    other = replace(problem, relations=(replace(problem.relations[0], weight=2.0),))
    general = Preconditioner(other, point, 1).norm(gradient)
    assert norm_at(other, point, threads=1).norm(gradient) == general
    assert general < 0.9 * blocks


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_both_ways_end_in_one_place(data: Interactions, seed: int) -> None:
    problem = posed(data)
    found = reach(problem, problem.random(seed), Goal(), threads=1)
    assert found.converged
    assert found.trace[0].scope == "all"  # exact rows: it did take the other way
    best = minimize(problem, problem.random(9), Goal(Limits(distance=1e-10)), threads=1)
    assert best.converged
    np.testing.assert_allclose(scores(found.point), scores(best.point), atol=1e-5)
    assert found.value == pytest.approx(best.value, rel=1e-9)
    size = np.linalg.norm(best.point.vector)
    assert np.linalg.norm(evaluate(problem, found.point).gradient.vector) < 1e-4 * size


def test_what_float32_does_not_hold_goes_the_other_way(data: Interactions) -> None:
    problem = posed(data)
    found = reach(problem, problem.random(0), Goal(Limits(distance=1e-10)), threads=1)
    assert found.converged
    assert found.distance <= 1e-10


def test_too_much_penalty_ends_in_zeros_by_both_ways(data: Interactions) -> None:
    problem = posed(data, ridge=1e4)
    found = reach(problem, problem.random(0), Goal(), threads=1)
    assert found.converged
    assert not np.any(found.point.vector)
    assert found.value == pytest.approx(evaluate(problem, problem.point(found.point.vector)).value)


def test_a_cap_on_passes_is_kept(data: Interactions) -> None:
    problem = posed(data)
    found = reach(problem, problem.random(0), Goal(max_passes=2), threads=1)
    assert (found.passes, found.converged, found.reason) == (2, False, "passes")


def test_kind_linear_alone_is_enmf_trained_and_forgetting(data: Interactions) -> None:
    one = ENMF(factors=3, missing_weight=0.1, regularization=0.5, to_rest=True, threads=1)
    apart, case = one.fit(data), train(SETUP, data, threads=1)
    assert case.training["converged"]
    np.testing.assert_allclose(table(case), table(apart), atol=1e-6)
    gone = data.keep(np.isin(data.user_rows, [3, 7]) | (data.indices == 2))
    erasure = forget(case, gone, data=data)
    other = forget(apart, gone, data=data)
    assert erasure.kind == "C"
    assert verify(erasure.model, erasure.remaining, before=case).certificate.kind == "C"
    rest = erasure.model.in_rows_of(data.users, data.items)
    np.testing.assert_allclose(table(rest), table(other.model), atol=1e-5)
