"""Forgetting locally in models of row losses: what it leaves alone, and what it gets right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import parted
from test_losses_of_libraries import KINDS, LIKED, RATED, M, N, foreign_of, trained

from alteraser.adapters.contract import Foreign, ForeignErasing, ForeignOutcome
from alteraser.adapters.row_losses import RowSolved, implicit_bpr, implicit_lmf, recbole_bpr, svd
from alteraser.data.interactions import Interactions
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.terms import RowProblem
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.rows.terms import Hold, slopes, solve_terms

RATE = 0.01


def stopped(
    solved: RowSolved, data: Interactions, user_bias: bool, item_bias: bool, epochs: int = 40
) -> Foreign:
    """A model some gradient steps from a small random start: not at rest. The same start whatever
    the data."""
    rng = np.random.default_rng(5)
    theta = BiasedFactors(
        0.3 * rng.standard_normal((M, 3)),
        0.3 * rng.standard_normal((N, 3)),
        np.zeros(M) if user_bias else None,
        np.zeros(N) if item_bias else None,
    )
    layout = theta.layout
    problem = RowProblem(solved.loss, data, layout)
    for _ in range(epochs):
        here = slopes(problem, theta)
        P, Q = layout.pack(theta)
        theta = layout.unpack(P - RATE * here.users, Q - RATE * here.items)
    return foreign_of(solved, theta, problem.offset)


def task(foreign: Foreign, data: Interactions, gone: Any, **options: Any) -> ForeignErasing:
    return ForeignErasing(foreign, parted(data, data.keep(~gone), data.keep(gone)), **options)


def half_of(data: Interactions, user: int) -> Any:
    """Every second interaction of ``user``."""
    mine = np.flatnonzero(data.user_rows == user)[::2]
    return np.isin(np.arange(len(data)), mine)


def busiest(data: Interactions) -> int:
    return int(np.argmax(data.user_counts))


@pytest.mark.parametrize("name", KINDS)
def test_sampled_losses_move_no_row_but_the_users_own(name: str) -> None:
    solved, data, *biases = KINDS[name]
    foreign, user = stopped(solved, data, *biases), busiest(data)
    done: ForeignOutcome = foreign.loss.local(task(foreign, data, half_of(data, user)))
    moved = np.flatnonzero(np.any(done.users != foreign.users, axis=1))
    assert user in moved
    if name == "svd":
        assert done.method == "local"
        return
    assert done.method == "rows"
    assert moved.tolist() == [user]
    assert np.array_equal(done.items, foreign.items)
    assert done.item_biases is None or np.array_equal(done.item_biases, foreign.item_biases)


@pytest.mark.parametrize("name", KINDS)
def test_a_user_erased_whole_is_zero_and_their_scores_are_gone(name: str) -> None:
    solved, data, *biases = KINDS[name]
    foreign, user = stopped(solved, data, *biases), busiest(data)
    done = foreign.loss.local(task(foreign, data, data.user_rows == user))
    assert not done.users[user].any()
    assert done.user_biases is None or done.user_biases[user] == 0


def test_squares_come_nearer_to_what_the_same_steps_give_without_the_data() -> None:
    """The retrain is the same start and the same steps on what remains."""
    solved, user = replace(svd(0.1), steps=40 * RATE), busiest(RATED)
    gone = half_of(RATED, user)
    foreign, retrain = (stopped(solved, data, True, True) for data in (RATED, RATED.keep(~gone)))
    done = foreign.loss.local(task(foreign, RATED, gone))
    rows, columns = np.repeat(np.arange(M), N), np.tile(np.arange(N), M)

    def scores(theta: Any, offset: float) -> Any:
        return offset + BiasedFactors(
            theta.users, theta.items, theta.user_biases, theta.item_biases
        ).scores(rows, columns)

    wanted = scores(retrain, retrain.offset)
    before = np.linalg.norm(scores(foreign, foreign.offset) - wanted)
    assert done.offset is not None
    assert np.linalg.norm(scores(done, done.offset) - wanted) < 0.8 * before
    assert done.residual < 0.5


def test_a_model_at_rest_is_told_and_goes_where_forgetting_goes() -> None:
    foreign, data = trained("svd")
    # trained for so long that nothing is damped
    foreign = replace(foreign, loss=replace(foreign.loss, steps=1e6))
    wanted = task(foreign, data, half_of(data, busiest(data)), tolerance=1e-2)
    assert foreign.loss.rests(wanted)
    local, converged = foreign.loss.local(wanted), foreign.loss.forget(wanted)
    cells = np.repeat(np.arange(M), N), np.tile(np.arange(N), M)
    before, after, optimum = (
        BiasedFactors(each.users, each.items, each.user_biases, each.item_biases).scores(*cells)
        for each in (foreign, local, converged)
    )
    assert np.linalg.norm(after - optimum) < 0.75 * np.linalg.norm(before - optimum)


@pytest.mark.parametrize("name", ["svd", "bpr", "lmf"])
def test_a_model_that_was_stopped_is_not_at_rest(name: str) -> None:
    solved, data, *biases = KINDS[name]
    foreign = stopped(solved, data, *biases, epochs=5)
    assert not foreign.loss.rests(task(foreign, data, half_of(data, busiest(data))))


@pytest.mark.parametrize(
    ("solved", "data", "item_bias"),
    [(svd(0.0), RATED, True), (recbole_bpr(0.0), LIKED, False)],
    ids=["svd", "bpr"],
)
def test_without_a_ridge_rows_are_bounded(
    solved: RowSolved, data: Interactions, item_bias: bool
) -> None:
    foreign, user = stopped(solved, data, item_bias, item_bias), busiest(data)
    done = foreign.loss.local(task(foreign, data, half_of(data, user)))
    assert np.isfinite(done.users).all()
    assert np.linalg.norm(done.users[user]) < 5 * np.linalg.norm(foreign.users[user])
    assert not foreign.loss.rests(task(foreign, data, half_of(data, user)))


def test_the_further_training_went_the_more_of_the_effect_is_taken() -> None:
    gone = half_of(RATED, busiest(RATED))
    moves = []
    for steps in (0.01, 0.1, 1.0):
        foreign = stopped(replace(svd(0.1), steps=steps), RATED, True, True)
        done = foreign.loss.local(task(foreign, RATED, gone))
        moves.append(np.linalg.norm(done.users - foreign.users))
    assert moves[0] < moves[1] < moves[2]


def test_where_nothing_was_deleted_nothing_moves() -> None:
    foreign = stopped(svd(0.1), RATED, True, True)
    done = foreign.loss.local(task(foreign, RATED, np.zeros(len(RATED), bool)))
    assert np.allclose(done.users, foreign.users, atol=1e-10)
    assert np.allclose(done.items, foreign.items, atol=1e-10)


def test_a_held_row_minimizes_its_anchored_damped_loss() -> None:
    """∇f(x) − ∇f_a(x_a) + μ(x − x_a) = 0, by the gradients of the rows alone."""
    theta = stopped(svd(0.1), RATED, True, True)
    factors = BiasedFactors(theta.users, theta.items, theta.user_biases, theta.item_biases)
    after = RATED.keep(~half_of(RATED, busiest(RATED)))
    old, new = (RowProblem(svd(0.1).loss, data, factors.layout) for data in (RATED, after))
    held = slopes(old, factors).users
    P, Q = factors.layout.pack(factors)
    mu = np.full(M, 2.5)
    x = padded(P)
    solve_terms(
        new.users,
        padded(Q),
        x,
        None,
        steps=3,
        threads=1,
        hold=Hold(mu, (held + 2.5 * P) * new.users.free),
    )
    width = P.shape[1]
    found = slopes(new, factors.layout.unpack(x[:, :width], Q)).users
    alive = new.users.counts > 0
    rest = found - held + 2.5 * (x[:, :width] - P)
    assert np.abs(rest[alive]).max() < 1e-9


@pytest.mark.parametrize(
    "solved", [implicit_bpr(0.02), implicit_lmf(0.3, 5, 3)], ids=["bpr", "lmf"]
)
def test_a_few_users_see_of_the_loss_what_they_see_in_all_data(solved: RowSolved) -> None:
    data = LIKED if solved.name == "BPR" else RATED
    biases = (False, True) if solved.name == "BPR" else (True, True)
    theta = stopped(solved, data, *biases)
    factors = BiasedFactors(
        theta.users,
        theta.items,
        None if solved.name == "BPR" else theta.user_biases,
        theta.item_biases,
    )
    some = np.arange(0, M, 3)
    few = data.keep(np.isin(data.user_rows, some))
    whole = slopes(RowProblem(solved.loss, data, factors.layout), factors).users
    part = slopes(RowProblem(solved.loss, few, factors.layout, whole=data), factors).users
    assert np.allclose(part[some], whole[some], rtol=1e-10, atol=1e-12)
