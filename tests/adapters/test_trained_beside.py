"""What a training of our own on the very data tells of a model that was stopped early."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alteraser.adapters import strangers
from alteraser.adapters.als import ALS
from alteraser.adapters.contract import Foreign
from alteraser.adapters.implicit_trainer import ImplicitTrainer
from alteraser.adapters.pair_trainer import PairTrainer
from alteraser.adapters.row_losses import SHARE, implicit_bpr
from alteraser.adapters.selfcheck import SelfCheck
from alteraser.adapters.strangers import strange, tastes
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError
from alteraser.models import Objective
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.negatives import _mix
from alteraser.models.factorization.rowloss import Pairwise, Ridge

Array = Any
TRAINER = PairTrainer(0.05, 8)


def interactions(mask: Array, r: Array | None = None) -> Interactions:
    ids = [IdMap.build(np.arange(size))[0] for size in mask.shape]
    u, v = np.nonzero(mask)
    return Interactions._assemble(
        *ids, u, v, None, None if r is None else r[u, v].astype(float), None, "refuse"
    )


def liked(seed: int = 0, m: int = 300, n: int = 90) -> Array:
    """Five tastes among items of uneven popularity."""
    rng = np.random.default_rng(seed)
    taste, genre = rng.integers(0, 5, m), rng.integers(0, 5, n)
    popular = np.linspace(0.9, 0.05, n)
    chance = popular * np.where(taste[:, None] == genre, 0.8, 0.12)
    return np.asarray(rng.random((m, n)) < chance)


def exchanged(mask: Array, share: float, seed: int = 0) -> Array:
    """``share`` of the users have the interactions of another."""
    rows = np.arange(len(mask))
    chosen = np.random.default_rng(seed).permutation(len(mask))[: round(share * len(mask))]
    rows[chosen] = np.roll(chosen, 1)
    return mask[rows]


def model(mask: Array, trainer: PairTrainer = TRAINER, seed: int = 1) -> Foreign:
    """BPR that was trained by ``trainer``, and says so."""
    loss = implicit_bpr(0.01, pairs=trainer)
    assert isinstance(loss.loss, Pairwise)
    theta = trainer.run(loss.loss, interactions(mask), 8, seed=seed)
    return Foreign(
        Path("m.npz"),
        "implicit",
        "bpr",
        theta.users,
        theta.items,
        loss,
        item_biases=theta.item_biases,
    )


def checked(foreign: Foreign, mask: Array) -> SelfCheck:
    return foreign.loss.check(foreign, interactions(mask))


# ------------------------------------------------------------------ the training


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("popular", [False, True])
def test_steps_are_those_of_a_plain_loop(keep: bool, popular: bool) -> None:
    """The same draws and updates, written out in NumPy in the order of implicit's loop."""
    data = interactions(liked(m=12, n=9))
    loss = Pairwise(ridge=Ridge.of(0.02), popular=popular, rejected="keep" if keep else "skip")
    found = PairTrainer(0.1, 3).run(loss, data, 4, seed=7)
    rng = np.random.default_rng(7)
    P, Q = ((rng.random((rows, 5), np.float32) - 0.5) / 4 for rows in data.shape)
    P[data.user_counts == 0], Q[data.item_counts == 0] = 0, 0
    b = Q[:, 4].copy()
    negatives = data.indices if popular else np.arange(9)
    base = _mix(np.full(1, 7, np.uint64))
    for k in range(3 * len(data)):
        first, second = (
            float(_mix(base ^ np.uint64(2 * k + place))[0] >> np.uint64(11)) * 2.0**-53
            for place in (0, 1)
        )
        a = int(first * len(data))
        u, i, j = data.user_rows[a], data.indices[a], negatives[int(second * len(negatives))]
        if not keep and data.locate(np.array([u]), np.array([j]))[0] >= 0:
            continue
        p, way = P[u, :4].copy(), Q[i, :4] - Q[j, :4]
        z = 1 / (1 + np.exp(p @ way + b[i] - b[j]))
        P[u, :4] += 0.1 * (z * way - 0.02 * p)
        for row, sign in ((i, 1.0), (j, -1.0)):
            Q[row, :4] += 0.1 * (sign * z * p - 0.02 * Q[row, :4])
            b[row] += 0.1 * (sign * z - 0.02 * b[row])
    assert found.users == pytest.approx(P[:, :4], abs=2e-5)
    assert found.items == pytest.approx(Q[:, :4], abs=2e-5)
    assert found.item_biases == pytest.approx(b, abs=2e-5)


def test_nothing_to_train_on() -> None:
    loss = Pairwise(ridge=Ridge.of(0.01), popular=True)
    data = interactions(np.zeros((3, 4), bool))
    theta = PairTrainer(0.1, 5).run(loss, data, 2)
    assert not theta.users.any()
    assert not theta.items.any()
    assert tastes(theta, data, loss).share == 0.5


# ------------------------------------------------------------------ BPR beside it


def test_tastes_count_pairs() -> None:
    """Two users of opposite tastes, centered: each ranks their own item above the other one, but
    not above itself, which is left out.
    """
    data = interactions(np.eye(2, dtype=bool))
    theta = BiasedFactors(np.array([[3.0], [1.0]]), np.array([[1.0], [-1.0]]))
    loss = Pairwise(ridge=Ridge.of(0.01), popular=True)
    assert tastes(theta, data, loss).share == 1.0
    swapped = BiasedFactors(theta.users[::-1], theta.items)
    assert tastes(swapped, data, loss).share == 0.0
    # what everybody has in common is no taste
    assert tastes(BiasedFactors(np.ones((2, 1)), theta.items), data, loss).share == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_the_share_of_strangers_is_told(seed: int) -> None:
    """Of a training whose gradient says nothing: 0 of the very data, about the share of users who
    have the interactions of others, and 1 of everybody else's.
    """
    mask = liked(seed)
    foreign = model(mask, seed=10 + seed)
    for share in (0.0, 0.6, 1.0):
        found = checked(foreign, exchanged(mask, share, seed))
        (measure,) = found.measures
        assert measure.name == "strange data"
        assert measure.value == pytest.approx(share, abs=0.15)
        assert found.passed == (share == 0.0)
        assert 0.1 <= measure.limit < 0.3
    with pytest.raises(IntegrityError, match=r"strange data is .*8 epochs on these data"):
        found.require("m.npz")


def test_what_is_below_the_limit_is_said_not_to_be_seen() -> None:
    mask = liked()
    found = checked(model(mask), exchanged(mask, 0.03))
    assert found.passed
    assert "of the interactions being others'" in found.to_document()["does_not_see"]


def test_items_of_others_are_strange_too() -> None:
    mask = liked()
    order = np.random.default_rng(0).permutation(mask.shape[1])
    assert not checked(model(mask), mask[:, order]).passed


def test_a_training_that_leaves_no_taste_accuses_nobody() -> None:
    """After one epoch of tiny steps any data fit as well as the right ones, and the answer says
    so.
    """
    mask = liked()
    foreign = model(mask, PairTrainer(1e-4, 1))
    for data in (mask, exchanged(mask, 1.0)):
        found = checked(foreign, data)
        assert found.passed
        assert "whether these are the data" in found.to_document()["does_not_see"]


def test_a_model_that_knows_its_data_better_is_not_strange() -> None:
    """Fitted twice over, as a second call of ``fit`` does."""
    mask = liked()
    trained, more = model(mask, PairTrainer(0.05, 6)), model(mask, PairTrainer(0.05, 14))
    longer = replace(trained, users=more.users, items=more.items, item_biases=more.item_biases)
    found = checked(longer, mask)
    assert found.passed
    assert found.measures[0].value < 0


def test_what_would_take_too_long_is_judged_by_the_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(strangers, "AFFORDABLE", 0.0)
    mask = liked()
    foreign = model(mask)
    names = {measure.name for measure in checked(foreign, mask).measures}
    assert {"outranked", "gradient share"} <= names
    loss: Any = foreign.loss
    assert strange(loss._factors(foreign), interactions(mask), loss.loss, TRAINER, seed=0) is None


def test_a_model_that_was_trained_on_needs_no_training_beside_it() -> None:
    mask = liked()
    found = checked(model(mask, PairTrainer(0.05, 200)), mask)
    share = next(measure for measure in found.measures if measure.name == "gradient share")
    assert share.value <= SHARE
    assert found.passed


# ------------------------------------------------------------------ ALS beside it


def counts(seed: int = 0) -> tuple[Array, Array]:
    mask = liked(seed, 150, 60)
    rng = np.random.default_rng(seed)
    return mask, np.ceil(rng.pareto(1.0, mask.shape) * 3 + 1)


def test_what_a_training_on_the_data_leaves_is_no_fault_of_theirs() -> None:
    """Rows may be further from solved than steps usually leave them: a training on these data, from
    another start, leaves as much; on other data it does not.
    """
    mask, r = counts()
    data = interactions(mask, r)
    run = ImplicitTrainer(5, 3, 6, 0.01, 1.0, "float64", 3)
    users, items = run.run("fast", data)
    strict = ALS(
        Objective(missing_weight=1.0, regularization=0.01),
        1.0,
        leaves=1e-6,
        worst=1e-6,
        judged=0.99,
    )
    foreign = Foreign(Path("m.npz"), "implicit", "als", users, items, strict, "implicit")
    assert not strict.check(foreign, data).passed
    rehearsed = replace(strict, rehearsal=replace(run, seed=0))
    found = rehearsed.check(foreign, data)
    assert found.passed
    assert "beside a training of ours" in found.measures[0].meaning
    other = interactions(exchanged(mask, 0.1), r)
    refused = rehearsed.check(foreign, other)
    assert not refused.passed
    assert "weights a tenth too large" in refused.to_document()["does_not_see"]


def test_rows_within_the_usual_limits_are_not_rehearsed() -> None:
    mask, r = counts()
    data = interactions(mask, r)
    run = ImplicitTrainer(5, 15, 6, 0.5, 1.0, "float64", 3)
    users, items = run.run("fast", data)

    class Never(ImplicitTrainer):
        def run(self, *_: Any, **__: Any) -> Any:
            raise AssertionError

    loss = ALS(
        Objective(missing_weight=1.0, regularization=0.5),
        1.0,
        worst=0.05,
        judged=0.99,
        rehearsal=Never(0, 15, 6, 0.5, 1.0, "float64", 3),
    )
    foreign = Foreign(Path("m.npz"), "implicit", "als", users, items, loss, "implicit")
    assert loss.check(foreign, data).passed
