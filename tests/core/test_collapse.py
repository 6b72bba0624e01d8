"""Where λ outweighs the data: the critical λ by two routes, what is below and above it, and that
training knows it."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import OBJECTIVES, toy_interactions

from alteraser import ENMF, Interactions, forget
from alteraser.erasers import AltEraser, Retrain
from alteraser.models import Factors, Objective, Problem
from alteraser.solvers.collapse import collapse, critical_regularization
from alteraser.solvers.stationarity import evaluate
from alteraser.verbs.verify import verify


def dense(problem: Problem) -> np.ndarray:
    """diag(ρ)^-½ (c ∘ y) diag(ρ)^-½ written out."""
    data = problem.interactions
    pull = np.zeros(data.shape)
    for place, (u, v) in enumerate(zip(data.user_rows, data.indices, strict=True)):
        c = 1.0 if data.confidence is None else data.confidence[place]
        y = 1.0 if data.target is None else data.target[place]
        pull[u, v] = c * y
    rho = [side.ridge / problem.objective.regularization for side in (problem.users, problem.items)]
    scale = [np.where(r > 0, 1.0 / np.sqrt(np.where(r > 0, r, 1.0)), 0.0) for r in rho]
    return scale[0][:, None] * pull * scale[1][None, :]


def lowest_near_zero(problem: Problem) -> float:
    """L along the direction from Θ = 0 that bends down first, over L(0)."""
    u, _, vt = np.linalg.svd(dense(problem))
    rho = [side.ridge / problem.objective.regularization for side in (problem.users, problem.items)]
    P, Q = (
        x / np.sqrt(np.where(r > 0, r, 1.0)) for x, r in zip((u[:, 0], vt[0]), rho, strict=True)
    )
    values = [
        evaluate(problem, Factors(t * P[:, None], t * Q[:, None], np.ones(1)), threads=1).objective
        for t in np.geomspace(1e-3, 1, 20)
    ]
    return min(values) / problem.target_energy


def test_the_critical_lambda_is_a_singular_value_and_zero_a_minimum_from_there_on(
    problem: Problem,
) -> None:
    critical = critical_regularization(problem)
    assert critical == pytest.approx(np.linalg.norm(dense(problem), 2), rel=1e-9)
    for share, below in ((0.98, True), (1.02, False)):
        at = Problem(
            problem.objective.model_copy(update={"regularization": share * critical}),
            problem.interactions,
            np.float64,
        )
        assert critical_regularization(at) == pytest.approx(critical, rel=1e-12)
        assert (collapse(at) is None) == below
        assert (lowest_near_zero(at) < 1.0) == below
        assert collapse(at, 2.0 * np.ones(3)) is None  # h = 2 doubles it


def test_above_it_nothing_is_lower_than_zero(problem: Problem) -> None:
    critical = critical_regularization(problem)
    at = Problem(
        problem.objective.model_copy(update={"regularization": critical}),
        problem.interactions,
        np.float64,
    )
    rng = np.random.default_rng(0)
    m, n = at.interactions.shape
    for scale in (0.01, 0.1, 0.5, 1.0, 3.0):
        for _ in range(20):
            factors = Factors(
                scale * rng.standard_normal((m, 3)), scale * rng.standard_normal((n, 3)), np.ones(3)
            )
            assert evaluate(at, factors, threads=1).objective >= at.target_energy * (1 - 1e-12)


def test_lanczos_agrees_with_the_dense_route_beyond_small_sizes() -> None:
    data = toy_interactions(90, 70, 0.1, seed=4, weighted=True)
    problem = Problem(OBJECTIVES["frequency"], data, np.float64)
    assert critical_regularization(problem) == pytest.approx(
        np.linalg.norm(dense(problem), 2), rel=1e-8
    )
    single = Problem(
        OBJECTIVES["uniform"], Interactions.from_pairs([(u, u) for u in range(50)]), np.float64
    )
    # fifty times the same singular value
    assert critical_regularization(single) == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["joint", "ah-newton", "cg"])
def test_training_ends_at_zero_above_and_not_below(dtype: str, solver: str) -> None:
    data = toy_interactions()
    critical = critical_regularization(
        Problem(Objective(missing_weight=0.1, regularization=1.0), data)
    )
    for share in (1.0, 1.5):
        model, outcome = ENMF(
            factors=3,
            missing_weight=0.1,
            regularization=share * critical,
            dtype=dtype,
            solver=solver,
        ).run(data)
        assert not np.any(model.factors.users)
        assert not np.any(model.factors.items)
        assert outcome.converged
        assert (outcome.residual, outcome.rest) == (0.0, 0.0)
        assert outcome.objective == pytest.approx(len(data))
    model, outcome = ENMF(
        factors=3, missing_weight=0.1, regularization=0.8 * critical, dtype=dtype, solver=solver
    ).run(data)
    assert outcome.objective < len(data) * (1 - 1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_collapsed_model_forgets_and_verifies(dtype: str) -> None:
    data = toy_interactions(lonely=False)
    model = ENMF(factors=8, missing_weight=0.1, regularization=50.0, dtype=dtype).fit(data)
    for wanted in (
        [(0, int(data.indices[0]))],
        list(zip(data.user_rows.tolist(), data.indices.tolist(), strict=True)),
    ):
        for method in ("auto", "converge", "retrain", AltEraser(solver="ah-newton")):
            erasure = forget(model, wanted, data=data, method=method)
            assert erasure.converged
            assert not np.any(erasure.model.factors.items)
            found = verify(erasure.model, erasure.remaining, before=model)
            assert found.certificate.kind in ("A", "B", "C")


def test_zeros_are_left_where_grown_data_outweigh_lambda() -> None:
    small = Interactions.from_pairs([(0, 0), (1, 1), (2, 2), (2, 0)])
    model = ENMF(factors=2, missing_weight=0.1, regularization=3.0, dtype="float64").fit(small)
    assert not np.any(model.factors.users)
    grown = Interactions.from_pairs([(u, v) for u in range(8) for v in range(8)])
    erasure = forget(model, [(1, 1)], data=grown, grown=True)
    assert erasure.kind == "C"
    assert erasure.work.objective_after < 0.9 * len(erasure.remaining)
    assert erasure.work.route[-1] == "retrain"


def test_a_retrain_from_collapse_is_the_same_zero() -> None:
    data = toy_interactions(lonely=False)
    model = ENMF(factors=2, missing_weight=0.1, regularization=50.0).fit(data)
    erasure = forget(model, [(0, int(data.indices[0]))], data=data, method=Retrain())
    assert not np.any(erasure.model.factors.users)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_at_the_critical_lambda_itself_zero_is_still_the_optimum(dtype: str) -> None:
    data = Interactions.from_pairs([(u, u) for u in range(4)])  # all singular values are 1
    model = ENMF(factors=2, missing_weight=0.1, regularization=1.0, dtype=dtype).fit(data)
    assert not np.any(model.factors.users)
    assert verify(model, data).certificate.passed
    erasure = forget(model, [(0, 0)], data=data)
    assert (erasure.kind, erasure.method) == ("C", "converge")
    assert verify(erasure.model, erasure.remaining, before=model).certificate.passed
