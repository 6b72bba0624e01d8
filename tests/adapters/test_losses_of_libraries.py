"""The losses of implicit, Surprise, Cornac and LightFM: explained steps, checks that tell,
forgetting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import parted
from contract import FIXTURES

from alteraser.adapters.contract import Foreign, ForeignErasing
from alteraser.adapters.row_losses import (
    EARLY,
    SHARE,
    RowSolved,
    implicit_bpr,
    implicit_lmf,
    lightfm,
    outranking,
    recbole_bpr,
    svd,
)
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.rowloss import Ridge
from alteraser.models.factorization.terms import RowProblem
from alteraser.solvers.rows.terms import slopes

STEPS = dict(np.load(FIXTURES / "row_losses" / "steps.npz"))
M, N = len(STEPS["P"]), len(STEPS["Q"])


def interactions(u: Any, v: Any, r: Any = None, shape: tuple[int, int] = (M, N)) -> Interactions:
    users, items = (IdMap.build(np.arange(size))[0] for size in shape)
    return Interactions._assemble(
        users, items, np.asarray(u), np.asarray(v), None, r, None, "refuse"
    )


LIKED = interactions(STEPS["u"], STEPS["v"])
RATED = interactions(STEPS["u"], STEPS["v"], STEPS["r"].astype(float))


def assert_explained(steps: np.ndarray, gradient: np.ndarray, tolerance: float) -> None:
    """Real steps over the learning rate are minus the gradient, in direction and in length."""
    assert np.linalg.norm(steps + gradient) <= tolerance * np.linalg.norm(gradient)


@pytest.mark.parametrize("name", ["skip", "keep"])
def test_steps_of_implicit_bpr_are_the_gradient(name: str) -> None:
    loss = implicit_bpr(0.3, verify_negative_samples=name == "skip").loss
    theta = BiasedFactors(STEPS["P"], STEPS["Q"], item_biases=STEPS["c"])
    here = slopes(RowProblem(loss, LIKED, theta.layout), theta)
    steps = np.concatenate([STEPS[f"bpr_{name}_{side}"].ravel() for side in ("users", "items")])
    gradient = np.concatenate([here.users.ravel(), here.items.ravel()])
    assert_explained(steps, gradient, 0.02)  # 150 runs of 200 epochs, so much noise is left


def test_steps_of_surprise_svd_are_the_gradient() -> None:
    loss = svd(users=0.3, items=0.4, user_biases=0.1, item_biases=0.2).loss
    theta = BiasedFactors(STEPS["P"], STEPS["Q"], np.zeros(M), np.zeros(N))
    problem = RowProblem(loss, RATED, theta.layout)
    assert problem.offset == pytest.approx(STEPS["r"].mean())
    here = slopes(problem, theta)
    assert_explained(STEPS["svd_users"], here.users[:, :3], 1e-3)
    assert_explained(STEPS["svd_items"], here.items[:, :3], 1e-3)
    assert_explained(STEPS["svd_b"], here.users[:, 3], 1e-3)
    assert_explained(STEPS["svd_c"], here.items[:, 4], 1e-3)


def trained_lmf() -> Foreign:
    users, items = STEPS["lmf_users"], STEPS["lmf_items"]
    return Foreign(
        Path("lmf.npz"),
        "implicit",
        "lmf",
        users[:, :-2],
        items[:, :-2],
        implicit_lmf(0.3, 5, 3),
        user_biases=users[:, -1],
        item_biases=items[:, -2],
    )


def test_trained_lmf_is_at_rest_under_its_loss_and_no_other() -> None:
    foreign = trained_lmf()
    theta = BiasedFactors(foreign.users, foreign.items, foreign.user_biases, foreign.item_biases)

    def share(**changes: Any) -> float:
        loss = foreign.loss.loss.model_copy(update=changes)  # type: ignore[attr-defined]
        return slopes(RowProblem(loss, RATED, theta.layout), theta).share

    assert share() < 0.1
    assert share(most=None) > 2 * share()  # the cap really is d + 2
    assert share(weighted=False) > 2 * share()
    assert share(ridge=Ridge.of(3.0)) > 2 * share()


def foreign_of(loss: RowSolved, theta: BiasedFactors, offset: float = 0.0) -> Foreign:
    return Foreign(
        Path("model"),
        "none",
        "none",
        theta.users,
        theta.items,
        loss,
        user_biases=theta.user_biases,
        item_biases=theta.item_biases,
        offset=offset,
    )


KINDS = {
    "svd": (svd(0.1), RATED, True, True),
    "bpr": (implicit_bpr(0.02), LIKED, False, True),
    "recbole": (recbole_bpr(1e-3), LIKED, False, False),
    "lightfm": (lightfm("bpr", 1e-3, 2e-3), LIKED, True, True),
    "logistic": (
        lightfm("logistic", 1e-3, 2e-3),
        replace(RATED, target=np.sign(RATED.target - 2.5)),
        True,
        True,
    ),
    "lmf": (implicit_lmf(0.3, 5, 3), RATED, True, True),
}


def trained(name: str) -> tuple[Foreign, Interactions]:
    """A model at the minimum of its loss, in float32."""
    from alteraser.erasers.alternating import alternate

    solved, data, user_bias, item_bias = KINDS[name]
    rng = np.random.default_rng(3)
    theta = BiasedFactors(
        rng.standard_normal((M, 3)),
        rng.standard_normal((N, 3)),
        rng.standard_normal(M) if user_bias else None,
        rng.standard_normal(N) if item_bias else None,
    )
    problem = RowProblem(solved.loss, data, theta.layout)
    found = alternate(problem, theta, scale=1.0, tolerance=1e-4, max_passes=300).factors
    single = BiasedFactors(
        *(None if a is None else a.astype(np.float32) for a in vars(found).values())
    )
    return foreign_of(solved, single, problem.offset), data


@pytest.mark.parametrize("name", KINDS)
def test_the_check_tells_its_own_data_from_other_data(name: str) -> None:
    foreign, data = trained(name)
    check = foreign.loss.check(foreign, data)
    assert check.passed, check
    check.require(foreign.path)
    shuffled = np.random.default_rng(0).permutation(M)
    other = interactions(shuffled[data.user_rows], data.indices, data.target)
    wrong = foreign.loss.check(foreign, other)
    assert not wrong.passed
    assert not wrong.measures[-1].passed, "the regularization that fits is negative"
    with pytest.raises(IntegrityError, match=r"model does not fit these data.*regularization is -"):
        wrong.require(foreign.path)


@pytest.mark.parametrize("name", ["svd", "bpr", "lmf"])
def test_a_wrong_regularization_is_named(name: str) -> None:
    foreign, data = trained(name)
    loss = foreign.loss.loss  # type: ignore[attr-defined]
    ridge = loss.ridge.model_copy(
        update={
            k: 10 * getattr(loss.ridge, k) for k in ("users", "items", "user_biases", "item_biases")
        }
    )
    check = RowSolved("x", loss.model_copy(update={"ridge": ridge})).check(foreign, data)
    assert not check.passed
    assert "A regularization 0.1 times as large would fit" in check.hint


@pytest.mark.parametrize("name", KINDS)
def test_forgetting(name: str) -> None:
    foreign, data = trained(name)
    if name == "lightfm":
        foreign = replace(foreign, user_biases=np.linspace(1, 2, M, dtype=np.float32))
    before = [
        None if a is None else a.copy() for a in (foreign.users, foreign.items, foreign.user_biases)
    ]
    gone = (data.user_rows == 2) | (np.arange(len(data)) % 11 == 4)
    after, removed = data.keep(~gone), data.keep(gone)
    erased = foreign.loss.forget(
        ForeignErasing(foreign, parted(data, after, removed), tolerance=1e-2, seed=4)
    )
    assert erased.converged
    assert erased.residual <= 1e-2
    assert erased.push > 0
    assert erased.objective_after < erased.objective_before  # type: ignore[operator]
    assert erased.users.dtype == np.float32
    assert np.all(erased.users[2] == 0)
    assert (erased.user_biases is None) == (foreign.user_biases is None)
    for old, now in zip(before, (foreign.users, foreign.items, foreign.user_biases), strict=True):
        np.testing.assert_array_equal(old, now)
    if name == "lightfm":  # a user's bias cancels in every pair
        touched = removed.user_counts > 0
        assert not erased.user_biases[touched].any()  # type: ignore[index]
        np.testing.assert_array_equal(erased.user_biases[~touched], foreign.user_biases[~touched])  # type: ignore[index]
    if name == "svd":
        assert erased.offset == pytest.approx(after.target.mean())
    else:
        assert erased.offset is None


def test_a_loss_without_a_ridge_is_refused() -> None:
    foreign, data = trained("recbole")
    bare = replace(foreign, loss=recbole_bpr(0.0))
    assert bare.loss.check(bare, data).passed, "it can still be checked"
    with pytest.raises(
        InvalidInput, match=r"no minimum that forgetting could go to.*--regularization"
    ):
        bare.loss.forget(ForeignErasing(bare, parted(data, data, data)))


@pytest.mark.parametrize("loss", ["warp", "warp-kos"])
def test_warp_is_refused_with_its_reason(loss: str) -> None:
    with pytest.raises(InvalidInput, match="the gradient of no function"):
        lightfm(loss, 0.1, 0.1)


def test_an_unknown_loss_of_lightfm() -> None:
    with pytest.raises(InvalidInput, match="expected logistic, bpr"):
        lightfm("hinge", 0.1, 0.1)


@pytest.mark.parametrize("name", KINDS)
def test_formulas_show_their_numbers(name: str) -> None:
    solved = KINDS[name][0]
    assert f"{solved.loss.ridge.users:g}" in solved.formula
    assert isinstance(hash(solved.loss), int)


def test_outranking_counts_pairs() -> None:
    """Two users, two items, each met by one: u0 ranks them right, u1 is indifferent: (1 + ½) /
    2."""
    data = interactions([0, 1], [0, 1], shape=(2, 2))
    theta = BiasedFactors(np.array([[1.0], [0.0]]), np.array([[1.0], [0.0]]))
    values = {outranking(theta, data, seed=seed) for seed in range(20)}
    assert values == {0.5, 0.75, 1.0}  # a random item that was met after all is left out


def test_a_user_with_anothers_interactions_is_seen_by_ranks() -> None:
    """Whole-model statistics hardly move by two users of eighty; the one who fits least tells."""
    rng = np.random.default_rng(0)
    taste, genre = rng.integers(0, 4, 80), rng.integers(0, 4, 60)
    theta = BiasedFactors(
        np.eye(4)[taste] * 3, np.eye(4)[genre] + 0.1 * rng.standard_normal((60, 4))
    )
    u, v = np.nonzero((taste[:, None] == genre) & (rng.random((80, 60)) < 0.8))
    one, other = np.flatnonzero(taste == 0)[0], np.flatnonzero(taste == 1)[0]
    swapped = np.where(u == one, other, np.where(u == other, one, u))
    foreign = Foreign(
        Path("m.npz"),
        "implicit",
        "bpr",
        theta.users,
        theta.items,
        implicit_bpr(0.01),
        item_biases=np.zeros(60),
    )
    found = {}
    for name, users in (("true", u), ("swapped", swapped)):
        order = np.lexsort((v, users))
        found[name] = foreign.loss.check(
            foreign, interactions(users[order], v[order], shape=(80, 60))
        )
        assert found[name].measures[0].passed
        assert "a few percent of interactions" in found[name].to_document()["does_not_see"]
    least = {
        name: next(m for m in check.measures if m.name == "least user")
        for name, check in found.items()
    }
    assert least["true"].passed
    assert least["true"].value > 0.9
    assert not least["swapped"].passed
    assert found["swapped"].worst[0].row in (one, other)
    with pytest.raises(
        IntegrityError, match=r"least user is .*, expected at least 0.4 .*Is this user's row"
    ):
        found["swapped"].require("m.npz")


def few_epochs(data: Interactions, epochs: int, rate: float = 0.05) -> Foreign:
    """BPR by stochastic gradient steps in NumPy, as implicit takes them."""
    rng = np.random.default_rng(0)
    P, Q = (0.1 * (rng.random((size, 8)) - 0.5) for size in data.shape)
    b = np.zeros(data.shape[1])
    for _ in range(epochs * len(data)):
        at, draw = rng.integers(0, len(data), 2)
        u, i, j = data.user_rows[at], data.indices[at], data.indices[draw]
        if data.locate(np.array([u]), np.array([j]))[0] >= 0:
            continue
        p, way = P[u].copy(), Q[i] - Q[j]
        pull = 1.0 / (1.0 + np.exp(p @ way + b[i] - b[j]))
        P[u] += rate * (pull * way - 0.01 * p)
        for row, sign in ((i, 1.0), (j, -1.0)):
            Q[row] += rate * (sign * pull * p - 0.01 * Q[row])
            b[row] += rate * (sign * pull - 0.01 * b[row])
    loss = implicit_bpr(0.01)
    return Foreign(Path("m.npz"), "implicit", "bpr", P, Q, loss, item_biases=b)


def test_bpr_that_was_stopped_early_is_not_accused() -> None:
    """A gradient of more than SHARE of its parts, with the very data: what that cannot tell from
    other data is said. Other items' data are refused.
    """
    rng = np.random.default_rng(3)
    popular = np.linspace(0.9, 0.02, 50)
    taste, genre = rng.integers(0, 4, 70), rng.integers(0, 4, 50)
    odds = popular * np.where(taste[:, None] == genre, 0.8, 0.15)
    u, v = np.nonzero(rng.random((70, 50)) < odds)
    data = interactions(u, v, shape=(70, 50))
    foreign = few_epochs(data, 25)
    found = foreign.loss.check(foreign, data)
    share = next(m for m in found.measures if m.name == "gradient share")
    assert SHARE < share.value <= EARLY
    assert found.passed
    assert "training had hardly begun" in found.to_document()["does_not_see"]
    others = rng.permutation(50)[v]
    order = np.lexsort((others, u))
    wrong = interactions(u[order], others[order], shape=(70, 50))
    refused = foreign.loss.check(foreign, wrong)
    assert not refused.passed
    with pytest.raises(IntegrityError, match="did training stop after a few epochs"):
        refused.require("m.npz")
