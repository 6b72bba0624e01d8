"""The way to the optimum: pairs against the dense BFGS formula, evaluations against the objective,
steps that lower."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import random_factors, toy_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.erasers import Settings, run_passes
from alteraser.evidence.certificate import Limits
from alteraser.linalg.secants import Secants
from alteraser.metrics import relative_model_distance
from alteraser.models import Factors, Objective, Problem
from alteraser.solvers import JointNewton
from alteraser.solvers.descent import Descent
from alteraser.solvers.joint import Joint
from alteraser.solvers.phases.quasi_newton import QuasiNewton
from alteraser.solvers.phases.state import FactorState
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import evaluate


def state(problem: Problem, theta: Factors) -> Joint:
    return Joint(problem, padded(theta.users), padded(theta.items), theta.prediction, 1)


def here(joint: Joint, theta: Factors) -> Factors:
    d = theta.rank
    return Factors(joint.P[:, :d].copy(), joint.Q[:, :d].copy(), theta.prediction)


def definite(rng: np.random.Generator, size: int) -> np.ndarray:
    A = rng.standard_normal((size, size))
    return A @ A.T + 0.1 * np.eye(size)


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_pairs_are_those_of_the_dense_update(seed: int, room: int, steps: int) -> None:
    """H' = (I − ρ s yᵀ) H (I − ρ y sᵀ) + ρ s sᵀ from H₀, over the last ``room`` pairs."""
    rng = np.random.default_rng(seed)
    shape, size = (3, 4), 12
    S, H0 = definite(rng, size), definite(rng, size)
    secants = Secants(room, shape, np.float64)
    pairs = []
    for _ in range(steps):
        s = rng.standard_normal(size)
        assert secants.keep(s.reshape(shape), (S @ s).reshape(shape))
        pairs.append((s, S @ s))
    assert len(secants) == min(room, steps)
    H = H0
    for s, y in pairs[-room:]:
        rho = 1.0 / (s @ y)
        left = np.eye(size) - rho * np.outer(s, y)
        H = left @ H @ left.T + rho * np.outer(s, s)
    g = rng.standard_normal(size)
    found = secants.apply(g.reshape(shape), lambda r: (H0 @ r.ravel()).reshape(shape))
    np.testing.assert_allclose(found.ravel(), H @ g, rtol=1e-6, atol=1e-6 * np.abs(H @ g).max())
    newest, change = pairs[-1]
    again = secants.apply(change.reshape(shape), lambda r: (H0 @ r.ravel()).reshape(shape))
    np.testing.assert_allclose(again.ravel(), newest, rtol=1e-6, atol=1e-6 * np.abs(newest).max())


def test_pairs_without_curvature_are_not_kept() -> None:
    secants = Secants(3, (4,), np.float64)
    s = np.arange(1.0, 5.0)
    assert not secants.keep(s, -s)
    assert not secants.keep(s, np.array([4.0, 1.0, -2.0, 0.0]))  # orthogonal
    assert not Secants(0, (4,), np.float64).keep(s, s)
    assert secants.keep(s, 2 * s)
    np.testing.assert_allclose(secants.apply(2 * s, lambda r: r), s)
    secants.clear()
    assert len(secants) == 0
    np.testing.assert_array_equal(secants.apply(s, lambda r: 3 * r), 3 * s)


@pytest.mark.parametrize("trained", [False, True], ids=["h = 1", "h trained"])
def test_an_evaluation_is_the_gradient_and_the_objective(problem: Problem, trained: bool) -> None:
    theta = random_factors(problem, trained=trained)
    joint = state(problem, theta)
    joint.settle(move=False)
    now = evaluate(problem, here(joint, theta))
    for place, gradient in enumerate((now.user_gradient, now.item_gradient)):
        found, value, fit = (joint.users, joint.items)[place].approach(move=False)
        np.testing.assert_allclose(found[:, : theta.rank], gradient / 2, atol=1e-9)
        own, other = (problem.users, problem.items)[place], (joint.P, joint.Q)[1 - place]
        penalty = np.sum(
            (problem.items, problem.users)[place].ridge * np.einsum("id,id->i", other, other)
        )
        assert problem.target_energy + value + penalty == pytest.approx(now.objective, rel=1e-9)
        x = (joint.P, joint.Q)[place]
        assert fit == pytest.approx(
            float(np.vdot(x, found) + (fit - value) / 2), rel=1e-9
        )  # xᵀA x = xᵀg + bᵀx, and l − const = xᵀg − bᵀx
        assert own.rows == found.shape[0]
    joint.step_users()  # blocks of this very point: every user is at its minimum
    np.testing.assert_allclose(evaluate(problem, here(joint, theta)).user_gradient, 0, atol=1e-8)
    descent = Descent(joint, JointNewton())
    there = evaluate(problem, here(joint, theta))
    assert descent.theta_norm == pytest.approx(there.theta_norm, rel=1e-6)


@pytest.mark.parametrize("trained", [False, True], ids=["h = 1", "h trained"])
def test_no_step_raises_the_objective(problem: Problem, trained: bool) -> None:
    """Neither where blocks are fresh nor where they are of quite another point."""
    theta = random_factors(problem, trained=trained)
    for blocks_of in (theta, random_factors(problem, trained=trained, seed=7)):
        joint = state(problem, blocks_of)
        joint.settle(move=False)
        start = state(problem, theta)
        joint.P[:], joint.Q[:] = start.P, start.Q
        descent = Descent(joint, JointNewton(memory=3))
        last = problem.target_energy + descent.value
        for _ in range(15):
            gained = descent.step()
            now = problem.target_energy + descent.value
            assert now <= last + 1e-9 * abs(last)
            assert gained == pytest.approx(last - now, abs=1e-9 * abs(last))
            last = now


def test_it_ends_where_newton_steps_end() -> None:
    """Two routes to one answer, from one start near it."""
    problem = Problem(
        Objective(missing_weight=0.3, regularization=0.8), toy_interactions(90, 70, 0.2), np.float64
    )
    near = run_passes(
        problem, random_factors(problem, rank=6), Settings(JointNewton(), 1e-3, 300)
    ).factors
    ends = [
        run_passes(problem, near, Settings(JointNewton(memory=k), 1e-9, 300)) for k in (0, 2, 10)
    ]
    assert all(end.converged for end in ends)
    for end in ends[1:]:
        assert relative_model_distance(end.factors, ends[0].factors) < 1e-6


def test_the_distance_is_about_the_one_to_the_optimum() -> None:
    problem = Problem(
        Objective(missing_weight=0.3, regularization=0.8), toy_interactions(90, 70, 0.2), np.float64
    )
    theta = run_passes(
        problem, random_factors(problem, rank=6), Settings(JointNewton(), 1e-11, 500)
    ).factors
    rng = np.random.default_rng(2)
    off = Factors(
        *(x + 1e-3 * rng.standard_normal(x.shape) for x in (theta.users, theta.items)),
        theta.prediction,
    )
    joint = state(problem, off)
    joint.settle(move=False)
    descent = Descent(joint, JointNewton(weak=2, discarded=6, slow_below=1.0))
    size = float(np.sqrt(np.vdot(theta.users, theta.users) + np.vdot(theta.items, theta.items)))
    for _ in range(12):
        descent.step()
        now = size * float(relative_model_distance(here(joint, theta), theta))
        assert descent.distance < 4 * now + 1e-9
        assert now < 4 * descent.distance + 1e-9


def test_a_gradient_of_nothing_is_the_end() -> None:
    """At zero there is no way down: it says so rather than dividing by nothing."""
    problem = Problem(
        Objective(missing_weight=0.3, regularization=50.0), toy_interactions(), np.float64
    )
    m, n = problem.interactions.shape
    joint = state(problem, Factors(np.zeros((m, 3)), np.zeros((n, 3)), np.ones(3)))
    joint.settle(move=False)
    descent = Descent(joint, JointNewton())
    assert descent.exhausted
    assert descent.decrement == 0.0
    assert descent.distance == 0.0


def test_joint_steps_go_on_after_a_measurement_that_found_a_way_to_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A measurement asked for much too early does not end them."""
    problem = Problem(
        Objective(missing_weight=0.3, regularization=0.8), toy_interactions(90, 70, 0.2), np.float64
    )
    theta = run_passes(
        problem, random_factors(problem, rank=6), Settings(JointNewton(), 1e-10, 500)
    ).factors
    gone = Problem(
        problem.objective,
        problem.interactions.remove(list(range(12)), whole_users=True).remaining,
        np.float64,
    )
    asked: list[bool] = []

    def near(steps: QuasiNewton, state: FactorState) -> bool:
        asked.append(True)
        return len(asked) == 1 or really(steps, state)

    really = QuasiNewton._near
    monkeypatch.setattr(QuasiNewton, "_near", near)
    settings = Settings(JointNewton(), 0.5, 500, limits=Limits())
    outcome = run_passes(gone, theta, settings, origin=theta, scale=1.0)
    scopes = [record.scope for record in outcome.trace]
    assert "joint" in scopes[scopes.index("polish") :]
    assert outcome.measured is not None
    assert outcome.measured.holds(Limits())
