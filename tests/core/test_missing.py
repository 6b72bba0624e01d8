"""The estimate of what a deletion's effect lacks, against dense matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from conftest import toy_interactions

from alteraser.data.interactions import Interactions
from alteraser.models import Objective, Problem
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.rowloss import Ridge, Squares
from alteraser.models.factorization.terms import RowProblem
from alteraser.solvers import missing
from alteraser.solvers.missing import effect_left, effect_left_of_squares
from alteraser.solvers.rows.protocol import padded

Float64 = npt.NDArray[np.float64]
D = 3


@pytest.fixture(autouse=True)
def _to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing, "FALLEN", 1e-9)
    monkeypatch.setattr(missing, "ADDED", 1e-7)
    monkeypatch.setattr(missing, "PRODUCTS", 400)


def pair(
    rng: np.random.Generator, shape: tuple[int, int], scale: float = 0.5
) -> tuple[Float64, Float64]:
    return scale * rng.standard_normal((shape[0], D)), scale * rng.standard_normal((shape[1], D))


def without_rotations(P: Float64, Q: Float64) -> Float64:
    """Orthonormal directions Θ S, S skew, (numbers, d (d − 1) / 2)."""
    found = []
    for i in range(D):
        for j in range(i):
            S = np.zeros((D, D))
            S[i, j], S[j, i] = 1.0, -1.0
            found.append(np.concatenate([(P @ S).ravel(), (Q @ S).ravel()]))
    return np.linalg.qr(np.array(found).T)[0]


@pytest.mark.parametrize("missing_weight", [0.0, 0.3])
def test_it_is_the_dense_gauss_newton_step(missing_weight: float) -> None:
    data = toy_interactions(seed=3, weighted=True)
    rest = data.keep(np.arange(len(data)) % 7 != 0)
    objective = Objective(missing_weight=missing_weight, regularization=0.2)
    before, after = (Problem(objective, each, np.float64) for each in (data, rest))
    rng = np.random.default_rng(0)
    (P0, Q0), change = pair(rng, data.shape), pair(rng, data.shape, 0.05)
    live = rest.user_counts > 0, rest.item_counts > 0
    P, Q = ((x + d) * rows[:, None] for x, d, rows in zip((P0, Q0), change, live, strict=True))
    found = effect_left(
        before, after, (padded(P0), padded(Q0)), (padded(P), padded(Q)), rank=D, threads=1
    )

    def parts(problem: Problem, P: Float64, Q: Float64) -> tuple[Float64, Float64]:
        """(∇L, JᵀWJ + ridge), dense, over (P, Q) row by row."""
        m, n = problem.interactions.shape
        W, Y = np.full((m, n), missing_weight), np.zeros((m, n))
        u, v = problem.interactions.user_rows, problem.interactions.indices
        c, y = problem.interactions.confidence, problem.interactions.target
        W[u, v], Y[u, v] = 1.0 if c is None else c, 1.0 if y is None else y
        J = np.zeros((m * n, (m + n) * D))
        for a in range(m):
            for b in range(n):
                J[a * n + b, a * D : (a + 1) * D] = Q[b]
                J[a * n + b, (m + b) * D : (m + b + 1) * D] = P[a]
        theta = np.concatenate([P.ravel(), Q.ravel()])
        gradient = 2 * (J.T @ (W * (P @ Q.T - Y)).ravel() + 0.2 * theta)
        return gradient, J.T @ (W.ravel()[:, None] * J) + 0.2 * np.eye(theta.size)

    alive = np.concatenate([np.repeat(rows, D) for rows in live])
    left = parts(after, P, Q)[0] - parts(before, P0, Q0)[0]
    G = parts(after, P, Q)[1][np.ix_(alive, alive)]
    x = np.zeros(alive.size)
    x[alive] = np.linalg.solve(G, -0.5 * left[alive])
    turns = without_rotations(P, Q)
    x -= turns @ (turns.T @ x)  # what would only rotate the model is no part of the effect
    moved = np.concatenate([(P - P0).ravel(), (Q - Q0).ravel()])[alive]
    assert found == pytest.approx(np.linalg.norm(x[alive]) / np.linalg.norm(moved), rel=1e-6)


def test_where_the_anchored_gradient_is_gone_nothing_is_missing() -> None:
    """Weights of a model that was moved along by a deletion of nothing."""
    data = toy_interactions(seed=3)
    problem = Problem(Objective(missing_weight=0.3, regularization=0.2), data, np.float64)
    P, Q = pair(np.random.default_rng(0), data.shape)
    same = [(padded(P.copy()), padded(Q.copy())) for _ in range(2)]
    # nothing moved, nothing to compare with
    assert effect_left(problem, problem, *same, rank=D, threads=1) is None


def test_what_has_no_step_is_not_estimated() -> None:
    """Without a ridge P (1 + t), Q / (1 + t) costs nothing, and a way along it has no end; of
    factors nearly alike float32 has no Cholesky factor. An estimate is not worth an error.
    """
    data = toy_interactions(seed=3)
    rest = data.keep(np.arange(len(data)) % 7 != 0)
    rng = np.random.default_rng(0)
    for regularization, dtype, alike in ((0.0, np.float64, False), (1e-12, np.float32, True)):
        objective = Objective(missing_weight=1.0, regularization=regularization)
        before, after = (Problem(objective, each, dtype) for each in (data, rest))
        P, Q = pair(rng, data.shape)
        if alike:
            P[:], Q[:] = 1e3 * P[:, :1], 1e3 * Q[:, :1]
        there, here = (
            (padded((t * P).astype(dtype)), padded((t * Q).astype(dtype))) for t in (1.0, 1.01)
        )
        assert effect_left(before, after, there, here, rank=D, threads=1) is None


@pytest.mark.parametrize("biased", [True, False])
def test_squares_have_the_dense_step_as_well(biased: bool) -> None:
    data = toy_interactions(seed=5)
    rng = np.random.default_rng(1)
    data = replace(data, target=rng.integers(1, 6, len(data)).astype(float))
    rest = data.keep(np.arange(len(data)) % 7 != 0)
    loss = Squares(ridge=Ridge.of(0.1, scaling="samples"), centered=biased)

    def model(scale: float, near: BiasedFactors | None = None) -> BiasedFactors:
        P, Q = pair(rng, data.shape, scale)
        b, c = (scale * rng.standard_normal(size) for size in data.shape)
        if near is not None:
            P, Q = near.users + P, near.items + Q
            b, c = (
                x if y is None else x + y for x, y in ((b, near.user_biases), (c, near.item_biases))
            )
        return BiasedFactors(P, Q, b if biased else None, c if biased else None)

    original = model(0.5)
    new = model(0.05, original)
    before, after = (RowProblem(loss, each, original.layout, 0) for each in (data, rest))
    found = effect_left_of_squares(before, after, original, new, threads=1)

    def value(theta: Float64, each: Interactions) -> tuple[Float64, Float64, Float64]:
        """Errors, their Jacobian and the ridge of every parameter (P, Q, b, c)."""
        m, n = each.shape
        P, Q = theta[: m * D].reshape(m, D), theta[m * D : (m + n) * D].reshape(n, D)
        u, v = each.user_rows, each.indices.astype(int)
        assert each.target is not None
        J = np.zeros((len(each), theta.size))
        rows = np.arange(len(each))
        for k in range(D):
            J[rows, u * D + k], J[rows, (m + v) * D + k] = Q[v, k], P[u, k]
        scores = np.einsum("id,id->i", P[u], Q[v])
        if biased:
            J[rows, (m + n) * D + u] = J[rows, (m + n) * D + m + v] = 1.0
            scores = scores + theta[(m + n) * D + u] + theta[(m + n) * D + m + v]
            scores = scores + each.target.mean()
        counts = np.concatenate([each.user_counts, each.item_counts])
        ridge = 0.1 * np.concatenate([np.repeat(counts, D), counts if biased else counts[:0]])
        return scores - each.target, J, ridge

    def flat(theta: BiasedFactors) -> Float64:
        biases = (
            []
            if theta.user_biases is None or theta.item_biases is None
            else [theta.user_biases, theta.item_biases]
        )
        return np.concatenate([theta.users.ravel(), theta.items.ravel(), *biases])

    start, end = flat(original), flat(new)
    counts = np.concatenate([rest.user_counts, rest.item_counts]) > 0
    alive = np.concatenate([np.repeat(counts, D), counts if biased else counts[:0]])
    (e0, J0, l0), (e1, J1, l1) = value(start, data), value(end, rest)
    left = (J1.T @ e1 + l1 * end) - (J0.T @ e0 + l0 * start)
    G = (J1.T @ J1 + np.diag(l1))[np.ix_(alive, alive)]
    x = np.linalg.solve(G, -left[alive])
    assert found == pytest.approx(
        np.linalg.norm(x) / np.linalg.norm((end - start)[alive]), rel=1e-4
    )
    free = loss.model_copy(update={"ridge": Ridge.of(0.0)})
    problems = [RowProblem(free, each, original.layout, 0) for each in (data, rest)]
    assert effect_left_of_squares(problems[0], problems[1], original, new, threads=1) is None
