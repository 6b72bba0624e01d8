"""Losses that are sums of terms: against their definitions, finite differences, and dense
Newton."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from conftest import toy_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.data.interactions import Interactions
from alteraser.erasers.alternating import alternate, row_push
from alteraser.errors import InvalidInput, NumericFailure
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.negatives import draw, uniforms
from alteraser.models.factorization.rowloss import Logistic, Pairwise, Ridge, RowLoss, Squares
from alteraser.models.factorization.terms import RowProblem
from alteraser.solvers.kernels import term_twins as twins
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.rows.terms import TO_THE_END, slope_norm, slopes, solve_terms, unrest

SAMPLES, ROW, TOTAL = (
    Ridge.of(0.1, scaling="samples"),
    Ridge.of(0.2),
    Ridge.of(0.003, scaling="total"),
)
UNEVEN = Ridge(users=0.1, items=0.2, user_biases=0.3, item_biases=0.4, scaling="samples")
CASES: dict[str, tuple[RowLoss, str, bool, bool]] = {
    # name: loss, what r is, biases of users, of items
    "svd": (Squares(ridge=UNEVEN), "ratings", True, True),
    "pmf": (Squares(ridge=SAMPLES, centered=False), "ratings", False, False),
    "lmf": (Logistic(ridge=ROW, negatives=4, most=5, weighted=True), "ratings", True, True),
    "lightfm": (Logistic(ridge=Ridge.of(0.01, scaling="total")), "signs", True, True),
    "bpr": (Pairwise(ridge=SAMPLES, popular=True, rejected="skip"), "ones", False, True),
    "bpr kept": (Pairwise(ridge=SAMPLES, popular=True, rejected="keep"), "ones", False, True),
    "bpr uniform": (Pairwise(ridge=TOTAL, rejected="redraw"), "ones", False, False),
    "bpr both": (Pairwise(ridge=ROW, popular=True), "ones", True, True),
}
SHARED = [name for name in CASES if name != "lmf"]


def interactions(
    what: str, m: int = 13, n: int = 9, *, seed: int = 0, **more: object
) -> Interactions:
    data = toy_interactions(m, n, seed=seed, **more)  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    r = {
        "ratings": rng.integers(1, 6, len(data)).astype(float),
        "signs": rng.choice([-1.0, 1.0], len(data)),
    }.get(what)
    return replace(data, target=r)


def factors(
    data: Interactions, user_bias: bool, item_bias: bool, *, rank: int = 3, seed: int = 1
) -> BiasedFactors:
    rng = np.random.default_rng(seed)
    m, n = data.shape
    return BiasedFactors(
        rng.standard_normal((m, rank)),
        rng.standard_normal((n, rank)),
        rng.standard_normal(m) if user_bias else None,
        rng.standard_normal(n) if item_bias else None,
    )


def case(name: str, **more: int) -> tuple[RowProblem, BiasedFactors]:
    loss, what, user_bias, item_bias = CASES[name]
    data = interactions(what)
    theta = factors(data, user_bias, item_bias)
    return RowProblem(loss, data, theta.layout, **more), theta


def sides(problem: RowProblem, theta: BiasedFactors):  # type: ignore[no-untyped-def]
    P, Q = problem.layout.pack(theta)
    return ((problem.users, Q, P), (problem.items, P, Q))


# ---------------------------------------------------------------- terms are the loss


@pytest.mark.parametrize("name", CASES)
def test_terms_add_up_to_the_definition(name: str) -> None:
    problem, theta = case(name)
    assert not problem.drawn
    assert slopes(problem, theta).objective == pytest.approx(
        twins.objective(problem, theta), rel=1e-12
    )


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_gradient_by_finite_differences(name: str, drawn: bool) -> None:
    """Of the loss where the sides share one; where they do not, of every row's own."""
    problem, theta = case(name, affordable=0 if drawn else 10**6)
    assert not drawn or problem.drawn or isinstance(problem.loss, Squares) or name == "lightfm"
    here, step = slopes(problem, theta), 1e-5
    for which, (terms, other, x) in enumerate(sides(problem, theta)):
        gradient = (here.users, here.items)[which]
        assert np.all(gradient[:, ~terms.free] == 0)
        for row, column in np.ndindex(x.shape):
            if not terms.free[column]:
                continue
            values = []
            for sign in (1, -1):
                moved = x.copy()
                moved[row, column] += sign * step
                if problem.shared:
                    both = [other, moved] if which else [moved, other]
                    values.append(slopes(problem, problem.layout.unpack(*both)).objective)
                else:
                    values.append(twins.row(terms.arrays, other, x, row, moved[row])[0])
            assert gradient[row, column] == pytest.approx(
                (values[0] - values[1]) / (2 * step), rel=1e-6, abs=1e-6
            )


@pytest.mark.parametrize("name", CASES)
def test_kernels_are_their_twins(name: str) -> None:
    problem, theta = case(name)
    here = slopes(problem, theta)
    squared = 0.0
    for terms, other, x in sides(problem, theta):
        gradient = here.users if terms.name == "user" else here.items
        for row in range(terms.rows):
            _, g, H = twins.row(terms.arrays, other, x, row, x[row])
            np.testing.assert_allclose(gradient[row, terms.free], g, rtol=1e-10, atol=1e-12)
            squared += g @ np.linalg.solve(H, g) if H.any() else 0.0
    assert slope_norm(problem, theta, here.users, here.items, threads=1) == pytest.approx(
        np.sqrt(squared), rel=1e-9
    )


@pytest.mark.parametrize("name", CASES)
def test_a_solved_row_is_its_minimum(name: str) -> None:
    problem, theta = case(name)
    rng = np.random.default_rng(0)
    for terms, other, x in sides(problem, theta):
        # coupled rows move one after the other: a row's minimum is given its peers as they were
        rows = [np.array([row]) for row in range(terms.rows)] if terms.coupled else [terms.all_rows]
        for wanted in rows:
            solved = padded(x)
            solve_terms(terms, padded(other), solved, wanted, steps=TO_THE_END, threads=1)
            for row in wanted:
                best = solved[row, : x.shape[1]]
                np.testing.assert_allclose(
                    best, twins.minimum(terms.arrays, other, x, row), rtol=1e-5, atol=1e-6
                )
                f, g, _ = twins.row(terms.arrays, other, x, row, best)
                assert np.linalg.norm(g) <= 1e-5 * max(1.0, abs(f))
                for _ in range(5):
                    moved = best + 1e-2 * rng.standard_normal(best.size) * terms.free
                    assert f <= twins.row(terms.arrays, other, x, row, moved)[0] + 1e-12
            untouched = np.setdiff1d(terms.all_rows, wanted)
            np.testing.assert_array_equal(solved[untouched, : x.shape[1]], x[untouched])


def test_a_row_far_out_comes_back() -> None:
    """Where every sigmoid is saturated a full Newton step would overshoot."""
    problem, theta = case("lmf")
    far = replace(theta, users=theta.users * 200)
    terms, other, x = sides(problem, far)[0]
    solved = padded(x)
    solve_terms(terms, padded(other), solved, None, steps=TO_THE_END, threads=1)
    for row in range(terms.rows):
        np.testing.assert_allclose(
            solved[row, : x.shape[1]],
            twins.minimum(terms.arrays, other, x, row),
            rtol=1e-4,
            atol=1e-5,
        )


@pytest.mark.parametrize("name", ["svd", "bpr", "lmf"])
def test_threads_change_nothing(name: str) -> None:
    loss, what, user_bias, item_bias = CASES[name]
    data = interactions(what, 300, 150)
    theta = factors(data, user_bias, item_bias, rank=20)
    problem = RowProblem(loss, data, theta.layout, affordable=0)
    for terms, other, x in sides(problem, theta):
        results = []
        for threads in (1, 4):
            solved = padded(x)
            solve_terms(terms, padded(other), solved, None, steps=2, threads=threads)
            results.append(solved)
        np.testing.assert_array_equal(*results)


# ---------------------------------------------------------------- passes, forgetting


@pytest.mark.parametrize("name", SHARED)
def test_passes_lower_the_loss_and_end_at_rest(name: str) -> None:
    problem, theta = case(name)
    found = alternate(problem, theta, scale=1.0, tolerance=1e-4, max_passes=400, memory=0, steps=2)
    values = [record.objective for record in found.trace] + [found.objective]
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(values))
    fast = alternate(problem, theta, scale=1.0, tolerance=1e-4, max_passes=400)
    reached = [record.objective for record in fast.trace]
    assert all(later <= earlier * (1 + 1e-9) for earlier, later in pairwise(reached)), (
        "the safeguard"
    )
    assert found.converged or found.passes == 400
    assert fast.converged
    assert fast.passes <= found.passes
    here = slopes(problem, fast.factors)
    assert fast.objective == pytest.approx(here.objective)
    assert here.share < 0.05
    assert here.fitting_ridge == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", CASES)
def test_forgetting_ends_where_retraining_from_there_stays(name: str) -> None:
    problem, theta = case(name)
    trained = alternate(problem, theta, scale=1.0, tolerance=1e-5, max_passes=500).factors
    data = problem.interactions
    gone = (data.user_rows == 3) | ((np.arange(len(data)) % 7 == 2) & (data.user_rows != 5))
    after = replace(problem, interactions=data.keep(~gone))
    push = row_push(problem, after, trained)
    assert push.norm > 0
    assert push.objective == pytest.approx(slopes(after, trained).objective)
    removed = data.keep(gone)
    touched = np.flatnonzero(removed.user_counts), np.flatnonzero(removed.item_counts)
    settings = {"scale": push.norm, "tolerance": 1e-3, "max_passes": 500}
    forgotten = alternate(after, trained, touched=touched, **settings)
    assert forgotten.converged
    assert np.all(forgotten.factors.users[3] == 0), "nothing remains of user 3: the minimum is zero"
    if forgotten.factors.user_biases is not None:
        assert forgotten.factors.user_biases[3] == 0
    assert alternate(after, forgotten.factors, **settings).passes == 0
    retrained = alternate(after, theta, **settings)
    assert retrained.converged
    # from elsewhere retraining may end in a valley less deep, in none that is deeper
    if problem.shared:
        assert forgotten.objective <= retrained.objective * (1 + 1e-4)


def test_two_losses_turn_for_ever_and_the_residual_knows() -> None:
    """Sides that weigh cells differently settle up to a rotation: scores stand still, gradients do
    not vanish."""
    problem, theta = case("lmf")
    exact = {"scale": 1.0, "tolerance": 0.0, "steps": TO_THE_END}
    settled = alternate(problem, theta, max_passes=300, **exact).factors
    later = alternate(problem, settled, max_passes=1, **exact).factors
    everything = [a.ravel() for a in np.indices(problem.interactions.shape)]
    np.testing.assert_allclose(settled.scores(*everything), later.scores(*everything), atol=1e-8)
    assert np.abs(settled.users - later.users).max() > 1e-4
    here = slopes(problem, settled)
    assert slope_norm(problem, settled, here.users, here.items, threads=1) > 1e-2
    assert unrest(problem, settled, here, threads=1) < 1e-6


# ---------------------------------------------------------------- negatives


def test_draws_are_a_function_of_seed_row_and_place() -> None:
    row, place = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    numbers = uniforms(7, row, place)
    assert len(set(numbers)) == 4
    np.testing.assert_array_equal(numbers[::-1], uniforms(7, row[::-1], place[::-1]))
    assert not np.any(numbers == uniforms(8, row, place))
    assert not np.any(numbers == uniforms(7, row, place, 1))
    many = uniforms(0, np.repeat(np.arange(300), 300), np.tile(np.arange(300), 300))
    assert abs(many.mean() - 0.5) < 4 / np.sqrt(12 * many.size)
    counts = np.bincount(draw(np.cumsum([1.0, 0.0, 3.0]), many), minlength=3)
    assert counts[1] == 0
    assert abs(counts[2] / many.size - 0.75) < 4 * np.sqrt(0.1875 / many.size)


@pytest.mark.parametrize("rejected", ["skip", "redraw", "keep"])
@pytest.mark.parametrize("popular", [True, False])
def test_many_draws_approach_the_expectation(popular: bool, rejected: str) -> None:
    loss = Pairwise(ridge=SAMPLES, popular=popular, rejected=rejected, draws=4000)  # type: ignore[arg-type]
    data = interactions("ones")
    theta = factors(data, False, True)
    exact, drawn = (
        slopes(RowProblem(loss, data, theta.layout, affordable=a), theta) for a in (10**6, 0)
    )
    assert drawn.objective == pytest.approx(exact.objective, rel=0.02)
    np.testing.assert_allclose(drawn.users, exact.users, atol=0.05 * np.abs(exact.users).max())


def test_many_negatives_of_a_logistic_row_approach_the_expectation() -> None:
    problem, theta = case("lmf")
    loss = problem.loss.model_copy(update={"draws": 20_000})
    exact, drawn = (slopes(replace(problem, loss=loss, affordable=a), theta) for a in (10**6, 0))
    np.testing.assert_allclose(drawn.items, exact.items, atol=0.03 * np.abs(exact.items).max())


def test_deleting_one_user_leaves_the_draws_of_the_others() -> None:
    data = interactions("ones", 40, 30)
    theta = factors(data, False, False)
    loss = Pairwise(ridge=SAMPLES, draws=3)

    def negatives(of: Interactions) -> dict[int, list[int]]:
        terms = RowProblem(loss, of, theta.layout, affordable=0).users
        return {
            row: terms.minus[terms.indptr[row] : terms.indptr[row + 1]].tolist()
            for row in range(terms.rows)
        }

    before, after = negatives(data), negatives(data.keep(data.user_rows != 5))
    assert after.pop(5) == []
    assert before.pop(5)
    assert after == before
    met = {
        row: set(data.indices[data.indptr[row] : data.indptr[row + 1]].tolist()) for row in before
    }
    assert not any(met[row] & set(drawn) for row, drawn in before.items())


@settings(max_examples=10)
@given(
    m=st.integers(1, 8),
    n=st.integers(1, 8),
    density=st.floats(0, 1),
    rank=st.integers(1, 9),
    name=st.sampled_from(sorted(CASES)),
    seed=st.integers(0, 100),
    drawn=st.booleans(),
)
def test_any_shape(
    m: int, n: int, density: float, rank: int, name: str, seed: int, drawn: bool
) -> None:
    loss, what, user_bias, item_bias = CASES[name]
    data = interactions(what, m, n, seed=seed, density=density, lonely=False)
    theta = factors(data, user_bias, item_bias, rank=rank)
    problem = RowProblem(loss, data, theta.layout, affordable=0 if drawn else 10**6)
    found = alternate(problem, theta, scale=1.0, tolerance=1e-3, max_passes=2)
    assert np.isfinite(found.objective)
    if problem.shared:
        assert found.objective <= slopes(problem, theta).objective * (1 + 1e-9)
    assert np.all(found.factors.users[data.user_counts == 0] == 0) or found.passes == 0


# ---------------------------------------------------------------- what is refused


def test_a_row_without_a_minimum_is_named() -> None:
    problem, theta = case("bpr uniform")
    bare = replace(
        problem, loss=Pairwise(ridge=Ridge.of(0.0)), layout=replace(theta.layout, rank=40)
    )
    wide = BiasedFactors(np.ones((13, 40)), np.ones((9, 40)))
    with pytest.raises(NumericFailure, match=r"row.*singular.*give a regularization above 0"):
        alternate(bare, wide, scale=1.0, tolerance=1e-3, max_passes=3)


def test_entries_that_are_not_finite_are_named() -> None:
    problem, theta = case("svd")
    theta.items[4, 1] = np.nan
    with pytest.raises(NumericFailure, match="item row 4 of the model is not finite"):
        alternate(problem, theta, scale=1.0, tolerance=1e-3, max_passes=3)


@pytest.mark.parametrize(
    ("name", "message"),
    [("bpr", r"r ≤ 0.*leave these rows out"), ("lmf", r"r < 0.*leave these rows out")],
)
def test_ratings_that_the_loss_has_no_meaning_for(name: str, message: str) -> None:
    problem, theta = case(name)
    signs = replace(problem, interactions=interactions("signs"))
    with pytest.raises(InvalidInput, match=message):
        slopes(signs, theta)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(InvalidInput, match=r"\(3, 2\).*\(4, 5\)"):
        BiasedFactors(np.ones((3, 2)), np.ones((4, 5)))
    with pytest.raises(InvalidInput, match=r"item biases have shape \(3,\), expected \(4,\)"):
        BiasedFactors(np.ones((3, 2)), np.ones((4, 2)), item_biases=np.ones(3))
