"""The slow space against brute force: its Galerkin matrices, its directions, and what it does to a
Newton step."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import OBJECTIVES, random_factors, toy_interactions

from alteraser.erasers import Settings, run_passes
from alteraser.errors import InvalidInput
from alteraser.models import Factors, Objective, Problem
from alteraser.solvers import JointNewton
from alteraser.solvers.joint import Joint
from alteraser.solvers.reduced import ReducedHessian
from alteraser.solvers.rotations import Rotations
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.slow import discarded_directions, galerkin, slow_space, weak_directions


def state(problem: Problem, theta: Factors, threads: int = 1) -> Joint:
    joint = Joint(problem, padded(theta.users), padded(theta.items), theta.prediction, threads)
    joint.settle()
    joint.find_errors()
    return joint


def reduced(joint: Joint, W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B_Q W, S W) by the joint solver's own products."""
    W = np.ascontiguousarray(W)
    return joint.items.times(W), ReducedHessian(joint.users, joint.items) @ W


def trained(rank: int = 6) -> tuple[Problem, Factors]:
    """A solution that has discarded some directions: the data has more than ``rank``."""
    problem = Problem(
        Objective(missing_weight=0.3, regularization=0.8), toy_interactions(90, 70, 0.2), np.float64
    )
    start = random_factors(problem, rank=rank)
    return problem, run_passes(problem, start, Settings(JointNewton(weak=0), 1e-10, 300)).factors


def test_products_with_factored_blocks_undo_solves(problem: Problem) -> None:
    joint = state(problem, random_factors(problem))
    X = np.random.default_rng(0).standard_normal(joint.Q.shape)
    np.testing.assert_allclose(joint.items.solve(reduced(joint, X)[0]), X, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_galerkin_matrices_are_those_of_products_with_each_direction(
    problem: Problem, threads: int
) -> None:
    joint = state(problem, random_factors(problem), threads)
    rng = np.random.default_rng(1)
    left, right = (
        rng.standard_normal((joint.Q.shape[0], 3)),
        padded(rng.standard_normal((joint.rank, 2)).T).T,
    )
    left[joint.items.empty] = 0
    B, S = galerkin(joint.users, joint.items, left, np.ascontiguousarray(right))
    W = [np.outer(left[:, a], right[:, i]) for a in range(3) for i in range(2)]
    for which, matrix in enumerate((B, S)):
        products = [reduced(joint, w)[which] for w in W]
        expected = [[np.vdot(v, p) for p in products] for v in W]
        np.testing.assert_allclose(matrix, expected, rtol=1e-8, atol=1e-9)


def test_residual_products_are_the_gradient(problem: Problem) -> None:
    """½ ∂L/∂P = E Q + λρ P, and the other way round."""
    from alteraser.solvers.stationarity import evaluate

    theta = random_factors(problem)
    joint = state(problem, theta)
    now = Factors(
        joint.P[:, : joint.rank].copy(), joint.Q[:, : joint.rank].copy(), theta.prediction
    )
    at = evaluate(problem, now)
    for mine, x, z, gradient in (
        (joint.users, joint.P, joint.Q, at.user_gradient),
        (joint.items, joint.Q, joint.P, at.item_gradient),
    ):
        side = mine.side
        half = mine.residual(z) + side.ridge[:, None] * x
        alive = side.counts > 0
        np.testing.assert_allclose(
            2 * half[alive, : joint.rank], gradient[alive], rtol=1e-8, atol=1e-8
        )


def test_discarded_directions_are_singular_vectors_of_the_residuals() -> None:
    problem, theta = trained()
    joint = state(problem, theta)
    E = np.column_stack([joint.users.residual(e[:, None])[:, 0] for e in np.eye(joint.Q.shape[0])])
    kept = np.linalg.qr(joint.Q[:, : joint.rank])[0]
    _, sizes, vectors = np.linalg.svd(E - (E @ kept) @ kept.T)
    found = discarded_directions(joint.users, joint.items, 4)
    lengths = np.linalg.norm(E @ found, axis=0)
    np.testing.assert_allclose(np.sort(lengths)[::-1], sizes[:4], rtol=1e-3)
    assert np.linalg.norm(vectors[:3] @ found, axis=1).min() > 0.99


def test_the_slowest_directions_lie_in_the_space() -> None:
    """Its Ritz values come near the least eigenvalues of B_Q⁻¹S off the rotations, and never below
    them."""
    problem, theta = trained()
    joint = state(problem, theta)
    rotations = Rotations(joint.Q)
    d, n = joint.rank, joint.Q.shape[0]
    basis = np.eye(n * joint.Q.shape[1]).reshape(-1, n, joint.Q.shape[1])[:, :, :]
    keep = [k for k in range(len(basis)) if basis[k].nonzero()[1][0] < d]
    columns = [rotations.off(basis[k]) for k in keep]
    products = [reduced(joint, c) for c in columns]
    flat = np.array([c.ravel() for c in columns])
    B, S = (flat @ np.array([p[which].ravel() for p in products]).T for which in (0, 1))
    values, vectors = np.linalg.eigh(B)
    inside = vectors[:, values > 1e-8] / np.sqrt(values[values > 1e-8])
    exact = np.linalg.eigvalsh(inside.T @ ((S + S.T) / 2) @ inside)
    space = slow_space(joint.users, joint.items, weak=4, discarded=8)
    assert space is not None
    assert space.values[0] >= exact[0] - 1e-8
    assert space.values[0] < 4 * exact[0] + 0.02
    assert np.count_nonzero(space.values < 0.5) >= 5


def test_it_takes_fewer_products_to_the_same_step() -> None:
    problem, theta = trained()
    rng = np.random.default_rng(3)
    pushed = Factors(
        theta.users + 1e-3 * rng.standard_normal(theta.users.shape),
        theta.items + 1e-3 * rng.standard_normal(theta.items.shape),
        theta.prediction,
    )
    joint = state(problem, pushed)
    plain = joint.direction(forcing=1e-6, products=500)
    joint.slow = slow_space(joint.users, joint.items, weak=4, discarded=8)
    helped = joint.direction(forcing=1e-6, products=500)
    assert plain.newton is not None
    assert helped.newton is not None
    for a, b in zip(plain.newton, helped.newton, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3 * np.abs(a).max())
    assert helped.products < plain.products


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_training_ends_in_the_same_model_with_and_without_it(name: str) -> None:
    problem = Problem(OBJECTIVES[name], toy_interactions(60, 40, 0.25), np.float64)
    start = random_factors(problem, rank=3)
    near = run_passes(problem, start, Settings(JointNewton(weak=0), 1e-4, 300)).factors
    ends = [
        run_passes(
            problem, near, Settings(JointNewton(weak=weak, discarded=6, slow_below=1.0), 1e-9, 300)
        )
        for weak in (0, 2)
    ]
    assert all(end.converged for end in ends)
    assert ends[0].objective == pytest.approx(ends[1].objective, rel=1e-7)


def test_rows_without_interactions_and_collapsed_factors_stay_at_zero() -> None:
    problem, theta = trained()
    joint = state(problem, theta)
    items = joint.items.empty
    space = slow_space(joint.users, joint.items, weak=3, discarded=5)
    assert space is not None
    assert not space.left[items].any()
    P, Q = joint.P.copy(), joint.Q.copy()
    P[:, 0] = Q[:, 0] = 0
    assert np.abs(weak_directions(P, Q, 3)[0]).max() < 1e-12


def test_too_small_a_problem_has_none() -> None:
    problem = Problem(
        Objective(missing_weight=0.3, regularization=1.0), toy_interactions(8, 5, 0.5), np.float64
    )
    joint = state(problem, random_factors(problem, rank=3))
    assert slow_space(joint.users, joint.items, weak=3, discarded=4) is None


def test_without_regularization_or_with_equal_directions_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = toy_interactions(40, 30, 0.3)
    flat = Problem(Objective(missing_weight=0.3, regularization=0.0), data, np.float64)
    joint = state(flat, random_factors(flat, rank=3))
    assert slow_space(joint.users, joint.items, weak=2, discarded=4) is None
    problem = Problem(Objective(missing_weight=0.3, regularization=1.0), data, np.float64)
    joint = state(problem, random_factors(problem, rank=3))
    same = np.tile(joint.Q[:, :1] / np.linalg.norm(joint.Q[:, 0]), (1, 4))
    monkeypatch.setattr("alteraser.solvers.slow.discarded_directions", lambda *_: same)
    space = slow_space(joint.users, joint.items, weak=2, discarded=4)
    assert space is None or np.all(np.isfinite(space.gain))


def test_negative_sizes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="weak, discarded and memory"):
        JointNewton(weak=-1)


def test_far_off_a_step_along_a_slow_direction_is_no_longer_than_l_is_quadratic() -> None:
    """Along each Ritz vector the preconditioned step is Wᵀg / w, or reach · w where that would be
    further."""
    problem, theta = trained()
    joint = state(problem, theta)
    space = slow_space(joint.users, joint.items, weak=3, discarded=8)
    assert space is not None
    w = space.values[: space.slow.shape[1]]
    g = np.random.default_rng(1).standard_normal(joint.Q.shape)
    g[joint.items.empty] = 0
    along = space.slow.T @ (space.left.T @ g @ space.right).ravel()
    for reach in (1e6, 1.0, 1e-3):
        near = space.within(g, reach)
        if reach == 1e6:
            np.testing.assert_allclose(
                near.gain, space.gain, rtol=1e-9, atol=1e-9 * np.abs(space.gain).max()
            )
        z = joint.preconditioner(near)(g)
        Bz = reduced(joint, z)[0]
        step = space.slow.T @ (space.left.T @ Bz @ space.right).ravel()
        # never less than B_Q⁻¹ alone
        allowed = np.maximum(np.minimum(np.abs(along / w), reach * w), np.abs(along))
        np.testing.assert_allclose(np.abs(step), allowed, rtol=1e-5)
