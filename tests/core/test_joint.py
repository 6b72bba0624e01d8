"""The joint solver against brute force: its reduced Hessian, its line, its steps, and where it
ends."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from conftest import OBJECTIVES, random_factors, toy_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.data.interactions import Interactions
from alteraser.erasers import Settings, run_passes
from alteraser.errors import InvalidInput
from alteraser.evidence.certificate import Limits
from alteraser.metrics import relative_model_distance
from alteraser.models import Factors, Objective, Problem
from alteraser.solvers import AHNewton, JointNewton
from alteraser.solvers.joint import Joint
from alteraser.solvers.reduced import ReducedHessian
from alteraser.solvers.rotations import Rotations
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import evaluate, gradient_norm


def state(problem: Problem, theta: Factors, threads: int = 1) -> Joint:
    joint = Joint(problem, padded(theta.users), padded(theta.items), theta.prediction, threads)
    joint.settle()
    return joint


def here(joint: Joint, theta: Factors) -> Factors:
    d = theta.rank
    return Factors(joint.P[:, :d].copy(), joint.Q[:, :d].copy(), theta.prediction)


def reduced_hessian(problem: Problem, theta: Factors) -> np.ndarray:
    """S = H_QQ − H_QP H_PP⁻¹ H_PQ, from central differences of the gradient."""
    (m, d), n, step = theta.users.shape, theta.items.shape[0], 1e-5

    def gradient(x: np.ndarray) -> np.ndarray:
        at = evaluate(
            problem, Factors(x[: m * d].reshape(m, d), x[m * d :].reshape(n, d), theta.prediction)
        )
        return np.concatenate([at.user_gradient.ravel(), at.item_gradient.ravel()]) / 2

    x = np.concatenate([theta.users.ravel(), theta.items.ravel()])
    H = np.array(
        [(gradient(x + step * e) - gradient(x - step * e)) / (2 * step) for e in np.eye(x.size)]
    )
    p, q = slice(0, m * d), slice(m * d, None)
    return H[q, q] - H[q, p] @ np.linalg.solve(H[p, p], H[p, q])


def test_what_a_run_worked_with_goes_with_it(problem: Problem) -> None:
    """Packed blocks take many times the model: they must not wait for the collector of cycles."""
    gc.disable()
    try:
        joint = state(problem, random_factors(problem))
        work = [weakref.ref(side.factors) for side in (joint.users, joint.items)]
        del joint
        assert all(block() is None for block in work)
    finally:
        gc.enable()


def test_settling_puts_users_at_their_minimum_and_measures_the_items(problem: Problem) -> None:
    theta = random_factors(problem)
    joint = state(problem, theta)
    now = here(joint, theta)
    at = evaluate(problem, now)
    np.testing.assert_allclose(at.user_gradient, 0, atol=1e-9)
    settled = joint.settle()
    assert 2 * np.sqrt(settled.items) == pytest.approx(
        gradient_norm(problem, now, at.user_gradient, at.item_gradient), rel=1e-9
    )
    assert joint.norm((at.user_gradient, at.item_gradient)) == pytest.approx(
        2 * np.sqrt(settled.items), rel=1e-9
    )


@pytest.mark.parametrize("trained", [False, True], ids=["h = 1", "h trained"])
def test_operators_of_the_sides_compose_to_the_reduced_hessian(
    problem: Problem, trained: bool
) -> None:
    theta = random_factors(problem, rank=2, trained=trained)
    joint = state(problem, theta)
    joint.find_errors()
    users, items = joint.users, joint.items
    S = ReducedHessian(users, items)
    rng = np.random.default_rng(2)
    for mine, other in ((users, items), (items, users)):
        x, y = (
            each.wide(rng.standard_normal((each.side.rows, 2))) * (each.side.counts > 0)[:, None]
            for each in (mine, other)
        )
        np.testing.assert_allclose(mine.solve(mine.times(x)), x, rtol=1e-8, atol=1e-8)
        assert np.vdot(mine.across(y), x) == pytest.approx(np.vdot(y, other.across(x)), rel=1e-8)
    w = items.wide(rng.standard_normal((items.side.rows, 2)))
    w[items.empty] = 0
    dense = reduced_hessian(problem, here(joint, theta)) @ w[:, :2].ravel()
    live = np.repeat(items.side.counts > 0, 2)
    np.testing.assert_allclose((S @ w)[:, :2].ravel()[live], dense[live], rtol=1e-7, atol=1e-7)
    by_hand = items.times(w) - items.across(users.solve(users.across(w)))
    np.testing.assert_array_equal(S @ w, by_hand)


@pytest.mark.parametrize("trained", [False, True], ids=["h = 1", "h trained"])
def test_the_newton_step_solves_the_reduced_system(problem: Problem, trained: bool) -> None:
    theta = random_factors(problem, rank=2, trained=trained)
    joint = state(problem, theta)
    now = here(joint, theta)
    S = reduced_hessian(problem, now)
    found = joint.direction(forcing=1e-5, products=500)
    g = evaluate(problem, now).item_gradient.ravel() / 2
    if found.negative is not None:
        w = found.negative[1][:, :2].ravel()
        assert w @ S @ w <= 1e-6 * np.abs(S).max() * (w @ w)
        assert g @ w < 0
    else:
        assert found.newton is not None
        w = found.newton[1][:, :2].ravel()
        # up to rotations, which have little curvature here and none at a stationary point
        rotations = Rotations(now.items)
        rest = rotations.off((S @ w + g).reshape(now.items.shape)) if not trained else S @ w + g
        assert np.linalg.norm(rest) < (0.2 if not trained else 1e-4) * np.linalg.norm(g)


def test_the_line_is_the_objective(problem: Problem) -> None:
    theta = random_factors(problem, trained=True)
    joint = state(problem, theta)
    rng = np.random.default_rng(5)
    V, W = (np.zeros_like(x) for x in (joint.P, joint.Q))
    V[:, : theta.rank] = rng.standard_normal(theta.users.shape)
    W[:, : theta.rank] = rng.standard_normal(theta.items.shape)
    along = joint.along((V, W))
    before = evaluate(problem, here(joint, theta)).objective
    for t in (-0.7, 0.3, 1.9):
        d = theta.rank
        moved = Factors(
            joint.P[:, :d] + t * V[:, :d], joint.Q[:, :d] + t * W[:, :d], theta.prediction
        )
        assert along(t) == pytest.approx(
            evaluate(problem, moved).objective - before, rel=1e-9, abs=1e-9
        )


def test_no_step_raises_the_objective(problem: Problem) -> None:
    theta = random_factors(problem)
    joint = state(problem, theta)
    value = evaluate(problem, here(joint, theta)).objective
    for _ in range(6):
        gained = joint.advance(joint.direction(forcing=0.1, products=30))
        after = evaluate(problem, here(joint, theta)).objective
        assert gained >= 0
        assert after == pytest.approx(value - gained, rel=1e-9, abs=1e-9)
        joint.settle()
        value = evaluate(problem, here(joint, theta)).objective


def test_it_ends_where_passes_end(problem: Problem) -> None:
    """Two routes to one answer, from one start near it."""
    start = run_passes(
        problem, random_factors(problem, rank=2), Settings(AHNewton(), 0.0, 60, 0)
    ).factors
    joint = run_passes(problem, start, Settings(JointNewton(), 1e-8, 100))
    passes = run_passes(problem, start, Settings(AHNewton(), 1e-8, 20_000, 6))
    assert joint.converged
    if passes.converged and abs(joint.objective - passes.objective) < 1e-7:
        assert float(relative_model_distance(joint.factors, passes.factors)) < 1e-3
    assert joint.objective <= passes.objective + 1e-6


def test_collapsed_factors_and_saddles_are_no_obstacle() -> None:
    """From nearly nothing: L bends down, and with this much regularization some factors have to
    stay at zero."""
    problem = Problem(
        Objective(missing_weight=0.3, regularization=2.0), toy_interactions(), np.float64
    )
    m, n = problem.interactions.shape
    rng = np.random.default_rng(0)
    start = Factors(
        1e-3 * rng.standard_normal((m, 4)), 1e-3 * rng.standard_normal((n, 4)), np.ones(4)
    )
    joint = run_passes(problem, start, Settings(JointNewton(near=1e9), 1e-9, 200))
    other = run_passes(problem, random_factors(problem), Settings(AHNewton(), 1e-9, 5000))
    assert joint.converged
    assert joint.objective == pytest.approx(other.objective, rel=1e-6)


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_rotating_the_start_rotates_the_end(seed: int) -> None:
    problem = Problem(OBJECTIVES["uniform"], toy_interactions(), np.float64)
    theta = random_factors(problem, rank=3)
    R, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    turned = Factors(theta.users @ R, theta.items @ R, theta.prediction)
    plain, rotated = (
        run_passes(problem, x, Settings(JointNewton(), 0.0, 8, threads=1)) for x in (theta, turned)
    )
    np.testing.assert_allclose(plain.factors.users @ R, rotated.factors.users, atol=1e-6)


def converged(data: Interactions | None = None) -> tuple[Problem, Factors]:
    problem = Problem(
        Objective(missing_weight=0.3, regularization=1.0),
        data or toy_interactions(80, 60, 0.2),
        np.float64,
    )
    return problem, run_passes(
        problem, random_factors(problem), Settings(JointNewton(), 1e-10, 500)
    ).factors


def test_what_is_left_of_a_step_is_estimated() -> None:
    """However early conjugate gradients ends, the way and its estimated rest cover the whole Newton
    step."""
    problem, theta = converged()
    rng = np.random.default_rng(4)
    off = Factors(
        *(x + 1e-4 * rng.standard_normal(x.shape) for x in (theta.users, theta.items)),
        theta.prediction,
    )
    joint = Joint(problem, padded(off.users), padded(off.items), off.prediction, 1)
    joint.settle(move=False)
    at = evaluate(problem, off)
    gradients = at.user_gradient, at.item_gradient
    exact = joint.solve(gradients, forcing=1e-10, products=500, within=1e-14).newton
    assert exact is not None
    length = np.linalg.norm(exact[1])
    for forcing in (0.5, 0.1, 1e-2, 1e-4):
        found = joint.solve(gradients, forcing=forcing, products=500, within=np.inf)
        assert found.newton is not None
        rest = float(np.linalg.norm(exact[1] - found.newton[1]))
        assert rest <= 3 * found.left * length  # in another norm, hence the 3
    loose, tight = (
        joint.solve(gradients, forcing=0.1, products=500, within=share) for share in (1.0, 1e-12)
    )
    assert loose.products < tight.products


def test_blocks_of_a_point_nearby_serve_and_are_factored_again_by_rows() -> None:
    problem, theta = converged()
    joint = Joint(problem, padded(theta.users), padded(theta.items), theta.prediction, 1)
    joint.settle(move=False)
    assert joint.moved == 0
    rng = np.random.default_rng(4)
    moved = [
        x + 1e-4 * rng.standard_normal(x.shape) * np.any(x, axis=1)[:, None]
        for x in (theta.users, theta.items)
    ]
    joint.place(*moved)
    assert not joint.settled
    assert joint.moved == pytest.approx(
        1e-4
        * np.sqrt(theta.users.size + theta.items.size)
        / np.sqrt(np.vdot(moved[0], moved[0]) + np.vdot(moved[1], moved[1])),
        rel=0.1,
    )
    fresh = Joint(problem, padded(moved[0]), padded(moved[1]), theta.prediction, 1)
    fresh.settle(move=False)
    rows = np.array([3, 17, 41])
    joint.items.factor(move=False, rows=rows)
    same = [
        np.array_equal(a, b) for a, b in zip(joint.items.factors, fresh.items.factors, strict=True)
    ]
    assert np.flatnonzero(same)[np.isin(np.flatnonzero(same), rows)].tolist() == rows.tolist()
    assert not all(same)
    at = evaluate(problem, Factors(*moved, theta.prediction))
    steps = [
        j.solve(
            (at.user_gradient, at.item_gradient), forcing=1e-8, products=500, within=1e-12
        ).newton
        for j in (joint, fresh)
    ]
    assert steps[0] is not None
    assert steps[1] is not None
    for old, new in zip(*steps, strict=True):
        assert np.linalg.norm(old - new) < 0.05 * np.linalg.norm(new)


def test_a_trained_model_goes_on_with_joint_steps_and_a_far_one_with_passes() -> None:
    problem, theta = converged()
    fewer = Problem(
        problem.objective,
        problem.interactions.remove(
            [(5, int(problem.interactions.indices[problem.interactions.indptr[5]]))]
        ).remaining,
        np.float64,
    )
    limits = Limits()
    near = run_passes(fewer, theta, Settings(JointNewton(), 1e-3, 100, limits=limits), origin=theta)
    assert {record.scope for record in near.trace} == {"joint", "polish"}
    assert near.measured is not None
    assert near.measured.holds(limits)
    far = run_passes(
        fewer,
        random_factors(fewer),
        Settings(JointNewton(), 1e-3, 300, limits=limits),
        origin=theta,
    )
    assert far.trace[1].scope == "all"
    assert relative_model_distance(far.factors, near.factors) < 1e-5


def test_polishing_begins_at_once_with_a_joint_state() -> None:
    problem, theta = converged()
    joint = Joint(problem, padded(theta.users), padded(theta.items), theta.prediction, 1)
    joint.settle(move=False)
    settings = Settings(JointNewton(), 1e-3, 50, limits=Limits())
    outcome = run_passes(problem, theta, settings, origin=theta, joint=joint)
    assert [record.scope for record in outcome.trace] == ["polish"]
    far = random_factors(problem)
    joint = Joint(problem, padded(far.users), padded(far.items), far.prediction, 1)
    joint.settle(move=False)
    outcome = run_passes(
        problem, far, Settings(JointNewton(), 1e-3, 300, limits=Limits()), origin=theta, joint=joint
    )
    assert outcome.trace[0].scope == "joint"  # too far off to measure
    assert outcome.converged


@pytest.mark.parametrize("tolerance", [1e-3, 0.9, 1e3])
def test_a_loose_tolerance_still_ends_within_the_limits(tolerance: float) -> None:
    """It is reached far from the optimum, and polishing has to go all the way."""
    problem, theta = converged()
    gone = Problem(
        problem.objective,
        problem.interactions.remove(list(range(20)), whole_users=True).remaining,
        np.float64,
    )
    for origin, start in ((theta, theta), (None, random_factors(gone))):
        settings = Settings(JointNewton(), tolerance, 300, limits=Limits())
        outcome = run_passes(gone, start, settings, scale=1.0, origin=origin)
        assert outcome.measured is not None
        assert outcome.measured.holds(Limits())


def test_rotations_are_projected_off() -> None:
    rng = np.random.default_rng(0)
    X, D = rng.standard_normal((9, 4)), rng.standard_normal((9, 4))
    off = Rotations(X).off(D)
    np.testing.assert_allclose(X.T @ off, (X.T @ off).T, atol=1e-10)
    S = rng.standard_normal((4, 4))
    np.testing.assert_allclose(Rotations(X).off(X @ (S - S.T)), 0, atol=1e-10)
    X[:, 2] = 0  # a collapsed factor
    assert np.all(np.isfinite(Rotations(X).off(D)))


def test_threads_do_not_change_a_bit() -> None:
    problem = Problem(OBJECTIVES["popularity"], toy_interactions(300, 200, 0.2), np.float32)
    theta = random_factors(problem, rank=8)
    one, two = (
        run_passes(problem, theta, Settings(JointNewton(), 0.0, 6, threads=k)) for k in (1, 2)
    )
    np.testing.assert_array_equal(one.factors.users, two.factors.users)


def test_a_tolerance_below_rounding_ends_and_says_so() -> None:
    problem = Problem(OBJECTIVES["uniform"], toy_interactions(), np.float32)
    outcome = run_passes(problem, random_factors(problem), Settings(JointNewton(), 1e-12, 500))
    assert not outcome.converged
    assert outcome.reason == "rounding"
    assert outcome.passes < 100


def test_without_memory_for_the_factors_passes_do_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Joint, "fits", staticmethod(lambda problem, width: False))
    problem = Problem(OBJECTIVES["uniform"], toy_interactions(), np.float64)
    outcome = run_passes(problem, random_factors(problem), Settings(JointNewton(), 1e-5, 500))
    assert outcome.converged
    assert {record.scope for record in outcome.trace} == {"all"}


@pytest.mark.parametrize(
    "wrong", [{"forcing": 0.0}, {"forcing": 1.0}, {"near": 0.0}, {"products": 0}]
)
def test_senseless_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="JointNewton"):
        JointNewton(**wrong)
