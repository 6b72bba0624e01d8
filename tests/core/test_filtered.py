"""The deletion's effect alone, by anchored passes: two routes to its residual, fixed points,
bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.linalg import block_diag

from alteraser.data.interactions import Interactions
from alteraser.erasers import anchored_rows, filtered
from alteraser.erasers.anchored_rows import FIFTH, HALF, SHARED, AnchoredRows, Trainer
from alteraser.erasers.filtered import Filtered, forget_filtered
from alteraser.errors import Interrupted, InvalidInput
from alteraser.models import Factors, Objective, Problem
from alteraser.solvers import ConjugateGradient
from alteraser.solvers.least_residual import least_residual
from alteraser.solvers.rows.protocol import padded

Array = npt.NDArray[Any]
USERS, ITEMS, RANK = 60, 40, 6
OBJECTIVE = Objective(missing_weight=1.0, regularization=0.1)


def interactions(seed: int, spread: float = 1.0) -> Interactions:
    """Users of three tastes; confidences over e^±spread."""
    rng = np.random.default_rng(seed)
    taste = (np.arange(USERS)[:, None] + np.arange(ITEMS)) % 3 == 0
    users, items = np.nonzero(rng.random((USERS, ITEMS)) < np.where(taste, 0.5, 0.05))
    data = Interactions.from_pairs(list(zip(users.tolist(), items.tolist(), strict=True)))
    return replace(data, confidence=2.0 * np.exp(spread * rng.standard_normal(len(data))))


def trained(problem: Problem, iterations: int = 8, seed: int = 1) -> Factors:
    """Stopped early, by three steps a row."""
    rng = np.random.default_rng(seed)
    m, n = problem.interactions.shape
    P, Q = (padded((rng.random((rows, RANK)) * 0.1).astype(problem.dtype)) for rows in (m, n))
    solver = ConjugateGradient(3)
    for _ in range(iterations):
        solver.solve(problem.users, Q, P, None, rank=RANK, threads=1)
        solver.solve(problem.items, P, Q, None, rank=RANK, threads=1)
    return Factors(P[:, :RANK].copy(), Q[:, :RANK].copy(), np.ones(RANK, problem.dtype))


class Case:
    """A model stopped early, and some of its data gone."""

    def __init__(
        self, seed: int, gone: Array | None = None, *, spread: float = 1.0, dtype: Any = np.float64
    ) -> None:
        self.data = interactions(seed, spread)
        rng = np.random.default_rng(seed + 100)
        gone = rng.random(len(self.data)) < 0.03 if gone is None else gone(self.data)
        self.rest, self.removed = self.data.keep(~gone), self.data.keep(gone)
        self.before, self.after = (
            Problem(OBJECTIVE, data, dtype) for data in (self.data, self.rest)
        )
        self.original = trained(self.before)
        self.touched = (
            np.unique(self.removed.user_rows),
            np.unique(self.removed.indices.astype(np.int64)),
        )

    def forget(self, **settings: Any) -> tuple[Filtered, Array, Array]:
        P, Q = padded(self.original.users), padded(self.original.items)
        given = {
            "tolerance": 0.3,
            "max_passes": 15,
            "threads": 1,
            "touched": self.touched,
        } | settings
        pair = self.original.users, self.original.items
        found = forget_filtered(self.before, self.after, pair, P, Q, **given)
        return found, P[:, :RANK], Q[:, :RANK]


def dense_gradient(data: Interactions, P: Array, Q: Array) -> tuple[Array, Array, Array, Array]:
    """Half the gradients, and the rows' systems, from whole matrices of weights and targets."""
    m, n = data.shape
    W, Y = np.ones((m, n)), np.zeros((m, n))
    W[data.user_rows, data.indices] = data.confidence
    Y[data.user_rows, data.indices] = 1.0
    E = W * (P @ Q.T - Y)
    ridge = OBJECTIVE.regularization
    A = np.einsum("uv,vi,vj->uij", W, Q, Q) + ridge * np.eye(RANK)
    B = np.einsum("uv,ui,uj->vij", W, P, P) + ridge * np.eye(RANK)
    return E @ Q + ridge * P, E.T @ P + ridge * Q, A, B


def dense_residual(case: Case, P: Array, Q: Array) -> float:
    """‖∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a)‖ / ‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖, by NumPy alone."""

    def norm(g: tuple[Array, Array], blocks: tuple[Array, Array]) -> float:
        return float(
            np.sqrt(
                sum(
                    np.sum(x * np.linalg.solve(A, x[..., None])[..., 0])
                    for x, A in zip(g, blocks, strict=True)
                )
            )
        )

    a, b = case.original.users, case.original.items
    held = list(dense_gradient(case.data, a, b)[:2])
    first = dense_gradient(case.rest, a, b)
    last = dense_gradient(case.rest, P, Q)
    left = case.rest.user_counts[:, None] > 0, case.rest.item_counts[:, None] > 0
    push = norm(
        tuple((x - y) * alive for x, y, alive in zip(first, held, left, strict=False)), first[2:]
    )
    return (
        norm(
            tuple((x - y) * alive for x, y, alive in zip(last, held, left, strict=False)), last[2:]
        )
        / push
    )


def at_most(exact: float) -> float:
    """Rows with little left are counted by a bound: worth a tenth of the square, or three
    hundredths of the push."""
    return float(max(np.hypot(exact, 0.03), exact * np.sqrt(1.1)) + 1e-9)


@pytest.mark.parametrize("tolerance", [0.02, 0.05, 0.1, 0.2])
def test_a_bound_never_decides(tolerance: float) -> None:
    for seed in range(3):
        found, P, Q = (case := Case(seed)).forget(tolerance=tolerance)
        # three hundredths of the push are always allowed for
        if not tolerance < np.hypot(dense_residual(case, P, Q), 0.03):
            assert found.residual <= tolerance
        assert found.residual <= tolerance or not found.resolved


@pytest.mark.parametrize("seed", range(4))
def test_the_residual_is_what_whole_matrices_say(seed: int) -> None:
    case = Case(seed)
    found, P, Q = case.forget()
    exact = dense_residual(case, P, Q)
    assert exact - 1e-9 <= found.residual <= at_most(exact)
    assert found.method == "local"
    assert found.resolved == (found.residual <= 0.3)


@pytest.mark.parametrize("seed", range(4))
def test_the_effect_is_nearer_to_the_same_training_without_the_data(seed: int) -> None:
    case = Case(seed)
    retrained = trained(case.after)
    scores = [P @ Q.T for P, Q in ((x.users, x.items) for x in (case.original, retrained))]
    _, P, Q = case.forget()
    before, after = (np.linalg.norm(s - scores[1]) for s in (scores[0], P @ Q.T))
    assert after < before
    gone = case.removed.user_rows, case.removed.indices
    assert abs((P @ Q.T)[gone].mean() - scores[1][gone].mean()) < abs(
        (scores[0] - scores[1])[gone].mean()
    )


def test_without_a_deletion_nothing_moves() -> None:
    case = Case(0, lambda data: np.zeros(len(data), bool))
    found, P, Q = case.forget()
    assert found.push == 0
    np.testing.assert_allclose(P, case.original.users, atol=1e-9)
    np.testing.assert_allclose(Q, case.original.items, atol=1e-9)


def test_what_nobody_asked_for_stays_where_training_left_it() -> None:
    """A deletion that hardly pushes hardly moves anybody, while a plain pass would finish
    everybody's training."""
    case = Case(1, lambda data: np.arange(len(data)) == 7)
    target = np.where(np.arange(len(case.data)) == 7, 1e-3, 1.0)
    weight = np.where(np.arange(len(case.data)) == 7, 1.0, case.data.confidence)
    data = replace(case.data, target=target, confidence=weight)
    case.before, case.after = (
        Problem(OBJECTIVE, x, np.float64) for x in (data, data.keep(np.arange(len(data)) != 7))
    )
    case.original = trained(case.before)
    _, P, _ = case.forget()
    plain = padded(case.original.users)
    ConjugateGradient(3).solve(
        case.after.users, padded(case.original.items), plain, None, rank=RANK, threads=1
    )
    others = np.setdiff1d(np.arange(USERS), case.touched[0])
    moved, finished = (
        np.linalg.norm((x - case.original.users)[others]) for x in (P, plain[:, :RANK])
    )
    assert 0 < moved < 0.01 * finished


def test_users_and_items_of_whom_nothing_remains_are_zero() -> None:
    case = Case(2, lambda data: (data.user_rows == 5) | (data.indices == 3))
    found, P, Q = case.forget()
    assert not P[5].any()
    assert not Q[3].any()
    assert found.residual < 0.3
    assert dense_residual(case, P, Q) == pytest.approx(found.residual, abs=0.03)


def test_an_exact_side_is_left_exact() -> None:
    case = Case(3)
    _, P, Q = case.forget(trainer=Trainer(exact="item"))
    assert np.abs(dense_gradient(case.rest, P, Q)[1]).max() < 1e-8


def test_where_passes_do_not_help_only_the_rows_of_the_deletion_move() -> None:
    case = Case(4, lambda data: np.arange(len(data)) % 97 == 5, spread=6.0)
    found, P, Q = case.forget(max_passes=15)
    assert found.method == "rows"
    assert not found.resolved
    for x, old, rows in (
        (P, case.original.users, case.touched[0]),
        (Q, case.original.items, case.touched[1]),
    ):
        still = np.setdiff1d(np.arange(len(x)), rows)
        np.testing.assert_array_equal(x[still], old[still])
    assert np.any(case.original.users != P)


@pytest.mark.parametrize(
    ("seed", "method"), [(0, "local"), (4, "local"), (8, "rows"), (19, "rows")]
)
def test_of_passes_and_the_rows_alone_the_one_that_leaves_less_is_kept(
    seed: int, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filtered, "least_residual", lambda *_, **__: None)
    case = Case(seed, spread=4.0)
    found, P, Q = case.forget()
    assert (found.method, found.resolved) == (method, False)
    assert found.residual == pytest.approx(dense_residual(case, P, Q), abs=0.03)
    monkeypatch.setattr(filtered, "WORTH", 10.0)
    passes, of_passes, _ = case.forget()
    assert 0.3 < passes.residual < 1.0
    assert found.residual <= passes.residual
    assert np.array_equal(P, of_passes) == (method == "local")
    # nearer to the same training without the data than the original was
    retrained = trained(case.after)
    before, after = (
        np.linalg.norm(a @ b.T - retrained.users @ retrained.items.T)
        for a, b in ((case.original.users, case.original.items), (P, Q))
    )
    assert after < before


def test_within_what_was_allowed_the_rows_alone_are_not_tried() -> None:
    found, *_ = Case(19, spread=4.0).forget(tolerance=0.8)
    assert (found.method, found.resolved) == ("local", True)


def test_other_weights_of_the_remaining_data_are_pushed_too() -> None:
    case = Case(0)
    heavier = replace(case.rest, confidence=case.rest.confidence * 1.1)
    case.rest, case.after = heavier, Problem(OBJECTIVE, heavier, np.float64)
    found, P, Q = case.forget(reweighted=True)
    exact = dense_residual(case, P, Q)
    assert exact - 1e-9 <= found.residual <= at_most(exact)


def test_single_precision_arrives_at_the_same() -> None:
    (one, *_), (other, *_) = (Case(1, dtype=dtype).forget() for dtype in (np.float64, np.float32))
    assert other.residual == pytest.approx(one.residual, rel=0.05)
    assert other.objective == pytest.approx(one.objective, rel=1e-4)


def test_it_says_what_it_was_asked_wrongly_and_that_it_was_interrupted() -> None:
    case = Case(0)
    with pytest.raises(InvalidInput, match=r"tolerance 0: expected a number above 0 and at most 1"):
        case.forget(tolerance=0.0)

    def stop(record: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"interrupted; nothing was changed"):
        case.forget(on_pass=stop)


def begun(case: Case) -> AnchoredRows:
    """Measured, and nothing moved."""
    P, Q = padded(case.original.users), padded(case.original.items)
    pair = case.original.users, case.original.items
    state = AnchoredRows(
        case.before, case.after, pair, P, Q, touched=case.touched, trainer=Trainer(), threads=1
    )
    state.begin(reweighted=False)
    return state


def lengths(change: Array, A: Array) -> Array:
    """‖2 g‖_{A⁻¹} of every row."""
    solved = np.linalg.solve(A, change[..., None])[..., 0]
    return np.asarray(2.0 * np.sqrt(np.einsum("ui,ui->u", change, solved)))


@pytest.mark.parametrize("seed", range(3))
def test_anchors_change_by_no_more_of_the_push_than_is_allowed_in_the_norm_that_judges_them(
    seed: int,
) -> None:
    case = Case(
        seed, lambda data: (data.user_rows % 7 == 3) & (np.arange(len(data)) % 3 > 0), spread=1.5
    )
    state = begun(case)
    held = state.start.held.users, state.start.held.items
    blocks = dense_gradient(case.rest, case.original.users, case.original.items)[2:]
    changes = [target - g for target, g in zip(state.start.targets, held, strict=True)]
    sizes = [lengths(change, A) for change, A in zip(changes, blocks, strict=True)]
    users = case.touched[0]
    for change, rows in zip(changes, case.touched, strict=True):
        assert not np.delete(change, rows, axis=0).any()
    np.testing.assert_array_less(sizes[0][users], HALF * state.pushes + 1e-9)
    assert np.hypot(*(np.linalg.norm(size) for size in sizes)) <= FIFTH * state.start.push + 1e-9


def test_a_row_that_lost_a_little_keeps_its_way_to_the_minimum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where nothing bounds the change, a touched item's target is met at its new minimum with the
    old way added; a user's with that way times the power of what they keep.
    """
    monkeypatch.setattr(anchored_rows, "HALF", np.inf)
    monkeypatch.setattr(anchored_rows, "FIFTH", 1e12)
    case = Case(2)
    state, (P, Q) = begun(case), (case.original.users, case.original.items)
    old, new = (dense_gradient(data, P, Q) for data in (case.data, case.rest))
    for place, x in enumerate((P, Q)):
        way = np.linalg.solve(old[2 + place], old[place][..., None])[..., 0]
        share = np.ones(len(x))
        if place == 0:
            weights = [
                np.bincount(data.user_rows, data.confidence, USERS)
                for data in (case.rest, case.data)
            ]
            share = (weights[0] / np.maximum(weights[1], 1e-300)) ** SHARED
        # A x − b = t, with A x₀ − b what is measured at x₀
        minimum = x - np.linalg.solve(new[2 + place], new[place][..., None])[..., 0]
        target = state.start.targets[place]
        reached = minimum + np.linalg.solve(new[2 + place], target[..., None])[..., 0]
        counts = case.rest.user_counts if place == 0 else case.rest.item_counts
        rows = [row for row in case.touched[place] if counts[row] > 0]
        assert len(rows) > 5
        np.testing.assert_allclose(
            (reached - minimum)[rows], (share[:, None] * way)[rows], rtol=1e-6, atol=1e-9
        )


def test_the_step_on_both_sides_is_the_dense_one() -> None:
    """As many products as there are numbers solve with the Hessian, here by finite differences."""
    case = Case(3, spread=0.3)
    rng = np.random.default_rng(0)
    at = tuple(0.3 * rng.standard_normal((rows, RANK)) for rows in case.rest.shape)
    gradient = tuple(rng.standard_normal(x.shape) for x in at)
    alive = np.concatenate(
        [np.repeat(counts > 0, RANK) for counts in (case.rest.user_counts, case.rest.item_counts)]
    )
    sizes = at[0].size

    def slope(theta: Array) -> Array:
        P, Q = theta[:sizes].reshape(-1, RANK), theta[sizes:].reshape(-1, RANK)
        return np.concatenate([g.ravel() for g in dense_gradient(case.rest, P, Q)[:2]])

    theta, r = (np.concatenate([x.ravel() for x in pair]) for pair in (at, gradient))
    H = np.array(
        [(slope(theta + e) - slope(theta - e)) / 2e-4 for e in 1e-4 * np.eye(theta.size)[alive]]
    )[:, alive]
    A = dense_gradient(case.rest, *at)[2:]
    B = block_diag(*A[0], *A[1])[np.ix_(alive, alive)]
    before = np.inf
    for products in (1, 4, 16, 3 * theta.size):
        step = least_residual(case.after, at, gradient, products=products, threads=1)
        assert step is not None
        x = np.concatenate([part.ravel() for part in step])
        assert not x[~alive].any()
        left = r[alive] + H @ x[alive]
        size = float(left @ np.linalg.solve(B, left))
        assert size <= before * (1 + 1e-6)
        before = size
    assert before < 1e-8 * float(r[alive] @ np.linalg.solve(B, r[alive]))


def test_it_is_only_taken_where_it_leaves_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more is left than without it, and in some cases a good deal less."""
    less = 0
    for seed in range(6):
        case = Case(seed, lambda data: np.arange(len(data)) == 7, spread=2.5)
        found, P, Q = case.forget(tolerance=0.02, max_passes=2)
        assert found.residual <= at_most(dense_residual(case, P, Q))
        with monkeypatch.context() as patch:
            patch.setattr(filtered, "least_residual", lambda *_, **__: None)
            without = case.forget(tolerance=0.02, max_passes=2)[0]
        assert found.residual <= without.residual * 1.05 + 1e-9
        less += found.residual < 0.8 * without.residual
        with monkeypatch.context() as patch:  # a step that leads away is not taken
            away = tuple(np.full((rows, RANK), 1e3) for rows in case.rest.shape)
            patch.setattr(filtered, "least_residual", lambda *_, away=away, **__: away)
            assert case.forget(tolerance=0.02, max_passes=2)[0].residual == pytest.approx(
                without.residual, rel=1e-9
            )
    assert less > 0
