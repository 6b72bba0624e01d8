"""What a training of our own on the very data tells of a model that was stopped early."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alteraser.adapters import pair_trainer, strangers, tastes
from alteraser.adapters.als import ALS
from alteraser.adapters.contract import Foreign
from alteraser.adapters.implicit_trainer import ImplicitTrainer
from alteraser.adapters.logistic_trainer import LogisticTrainer
from alteraser.adapters.pair_trainer import PairTrainer
from alteraser.adapters.rating_trainer import RatingTrainer
from alteraser.adapters.row_losses import SHARE, RowSolved, implicit_bpr, implicit_lmf, svd
from alteraser.adapters.selfcheck import SelfCheck
from alteraser.adapters.strangers import strange
from alteraser.adapters.tastes import Comparisons, Predictions, Tastes
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.models import Objective
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.negatives import _mix
from alteraser.models.factorization.rowloss import Logistic, Pairwise, Ridge, Squares

Array = Any
TRAINER, STEPS = PairTrainer(0.05, 8), LogisticTrainer(1.0, 15)
NAMES = ["strange interactions", "strange users", "strange items"]
REAL = np.load(Path(__file__).parent / "fixtures" / "beside" / "fits.npz")


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
    loss = implicit_bpr(0.01, trainer=trainer)
    assert isinstance(loss.loss, Pairwise)
    return foreign(loss, "bpr", next(trainer.fits(loss.loss, interactions(mask), 8, seed=seed)))


def logistic(data: Interactions, trainer: LogisticTrainer = STEPS, seed: int = 1) -> Foreign:
    """LMF that was trained by ``trainer``, and says so."""
    loss = implicit_lmf(0.6, 30, 8, trainer=trainer)
    return foreign(loss, "lmf", next(trainer.fits(loss.loss, data, 8, seed=seed)))


def rated(seed: int = 0, m: int = 300, n: int = 90) -> tuple[Interactions, Array, Array]:
    """(data, which cells, every rating): by how generous users are, and by taste."""
    mask, rng = liked(seed, m, n), np.random.default_rng(100 + seed)
    r = 3 + 0.7 * rng.standard_normal((m, 1)) + 0.7 * rng.standard_normal(n)
    r = r + 1.5 * np.sign(rng.standard_normal((m, 1)) * rng.standard_normal(n))
    return interactions(mask, r), mask, r


def foreign(loss: RowSolved, kind: str, theta: BiasedFactors) -> Foreign:
    return Foreign(
        Path("m.npz"),
        "implicit",
        kind,
        theta.users,
        theta.items,
        loss,
        user_biases=theta.user_biases,
        item_biases=theta.item_biases,
    )


def checked(foreign: Foreign, mask: Array) -> SelfCheck:
    return foreign.loss.check(foreign, interactions(mask))


# ------------------------------------------------------------------ the trainings


@pytest.mark.parametrize("cells", [0, 2**20])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("popular", [False, True])
def test_steps_are_those_of_a_plain_loop(
    popular: bool, keep: bool, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same draws and updates, written out in NumPy in the order of implicit's loop; a second
    fit goes on where the first one ended. By bits of the cells as by search.
    """
    monkeypatch.setattr(pair_trainer, "CELLS", cells)
    data = interactions(liked(m=12, n=9))
    loss = Pairwise(ridge=Ridge.of(0.02), popular=popular, rejected="keep" if keep else "skip")
    fits = PairTrainer(0.1, 3).fits(loss, data, 4, seed=7)
    rng = np.random.default_rng(7)
    P, Q = ((rng.random((rows, 5), np.float32) - 0.5) / 4 for rows in data.shape)
    P[data.user_counts == 0], Q[data.item_counts == 0] = 0, 0
    b = Q[:, 4].copy()
    negatives = data.indices if popular else np.arange(9)
    for seed in (7, 8):
        base = _mix(np.full(1, seed, np.uint64))
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
        found = next(fits)
        assert found.users == pytest.approx(P[:, :4], abs=2e-5)
        assert found.items == pytest.approx(Q[:, :4], abs=2e-5)
        assert found.item_biases == pytest.approx(b, abs=2e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_steps_on_rows_are_those_of_a_plain_loop(threads: int) -> None:
    """LMF's, with its two biases, sums of squares that a second fit begins anew, and negatives up
    to d + 2 a row.
    """
    mask = liked(m=80, n=70)
    mask[:, 3], mask[5] = False, False
    r = np.random.default_rng(0).integers(1, 9, mask.shape)
    data = interactions(mask, r)
    loss = Logistic(ridge=Ridge.of(0.3), negatives=2, most=6, weighted=True)
    fits = LogisticTrainer(0.5, 2).fits(loss, data, 4, seed=7, threads=threads)
    rng = np.random.default_rng(7)
    both = [rng.standard_normal((rows, 6), np.float32).astype(float) for rows in data.shape]
    for x, cells in zip(both, (mask, mask.T), strict=True):
        x[~cells.any(axis=1)] = 0
    both[0][:, 4], both[1][:, 5] = 1, 1
    pools = (data.indices, data.by_item.indices)
    seed, fewer = 7, 0
    for _ in range(2):
        squares = [np.zeros_like(x) for x in both]
        for half in range(4):
            side = half % 2
            x, z, fixed = both[side], both[1 - side], (4, 5)[side]
            weights = (mask * r) if side == 0 else (mask * r).T
            for row in np.flatnonzero(weights.any(axis=1)):
                own = _mix(_mix(np.full(1, seed, np.uint64)) ^ np.uint64(row))
                g = -0.3 * x[row]
                mine = np.flatnonzero(weights[row])
                for i in mine:
                    g += weights[row, i] * (1 - 1 / (1 + np.exp(-x[row] @ z[i]))) * z[i]
                number = min(6, 2 * mine.size)
                fewer += number < 6
                for k in range(mine.size, mine.size + number):
                    uniform = float(_mix(own ^ np.uint64(k))[0] >> np.uint64(11)) * 2.0**-53
                    j = pools[side][int(uniform * len(data))]
                    g -= 1 / (1 + np.exp(-x[row] @ z[j])) * z[j]
                g[fixed] = 0
                squares[side][row] += g**2
                x[row] += 0.5 * g / np.sqrt(1e-6 + squares[side][row])
            seed += 1
        found = next(fits)
        assert found.users == pytest.approx(both[0][:, :4], abs=2e-3)
        assert found.items == pytest.approx(both[1][:, :4], abs=2e-3)
        assert found.user_biases == pytest.approx(both[0][:, 5], abs=2e-3)
        assert found.item_biases == pytest.approx(both[1][:, 4], abs=2e-3)
    assert fewer


@pytest.mark.parametrize("biased", [False, True])
def test_steps_on_ratings_are_those_of_a_plain_loop(biased: bool) -> None:
    """Surprise's, rating by rating; a second fit goes on where the first one ended."""
    data, mask, r = rated(m=12, n=9)
    solved = svd(users=0.1, items=0.2, user_biases=0.3, item_biases=0.4, biased=biased)
    trainer = RatingTrainer((0.01, 0.02, 0.03, 0.04), 2, 0.05, 0.2)
    fits = trainer.fits(solved.loss, data, 3, seed=5)  # type: ignore[arg-type]
    rng = np.random.default_rng(5)
    P, Q = (rng.normal(0.05, 0.2, (rows, 3)) for rows in data.shape)
    b, c = np.zeros(12), np.zeros(9)
    mean = r[mask].mean() if biased else 0.0
    for _ in range(2):
        for _ in range(2):
            for u, i in zip(*np.nonzero(mask), strict=True):
                e = r[u, i] - mean - b[u] - c[i] - P[u] @ Q[i]
                p = P[u].copy()
                if biased:
                    b[u] += 0.03 * (e - 0.3 * b[u])
                    c[i] += 0.04 * (e - 0.4 * c[i])
                P[u] += 0.01 * (e * Q[i] - 0.1 * P[u])
                Q[i] += 0.02 * (e * p - 0.2 * Q[i])
        found = next(fits)
        for ours, plain in zip(
            (found.users, found.items, found.user_biases, found.item_biases),
            (P, Q, b, c),
            strict=True,
        ):
            assert ours == pytest.approx(plain, abs=1e-12)
    assert trainer.steps == 2 * 0.015


@pytest.mark.parametrize("name", ["bpr", "lmf"])
def test_trainings_are_as_far_as_those_of_implicit(name: str) -> None:
    """Of its models, which ``fixtures/beside/make_beside.py`` trained: as many of their own
    comparisons come out right as of ours, after one call of ``fit`` and after three.
    """
    data = interactions(REAL["liked"], REAL["counts"])
    users = Comparisons.of(data, "user", 0)
    solved, fits = real(name)
    ours = solved.trainer.fits(solved.loss, data, 8, seed=3)  # type: ignore[union-attr]
    for count, theta in enumerate(islice(ours, 3)):
        if count != 1:
            mine, theirs = users.tastes(theta.users, theta.items), users.tastes(*fits[count // 2])
            assert mine.share > 0.6
            assert abs(mine.share - theirs.share) <= 3 * mine.error(theirs) + 0.01
            if name == "lmf":
                assert np.abs(theta.users).mean() == pytest.approx(
                    np.abs(fits[count // 2][0]).mean(), rel=0.1
                )


def real(name: str) -> tuple[RowSolved, list[tuple[Array, Array]]]:
    """implicit's model after one call of fit and after three, as (users, items), with what
    make_beside.py says of it.
    """
    solved = {
        "bpr": implicit_bpr(0.01, trainer=PairTrainer(0.05, 10)),
        "lmf": implicit_lmf(0.6, 30, 8, trainer=LogisticTrainer(1.0, 10)),
    }[name]
    fits = [
        (REAL[f"{name}_users_{count}"], REAL[f"{name}_items_{count}"])
        for count in ("once", "thrice")
    ]
    return solved, fits


@pytest.mark.parametrize("trainer", [PairTrainer(0.1, 5), STEPS])
def test_nothing_to_train_on(trainer: Any) -> None:
    solved = implicit_bpr(0.01) if trainer is not STEPS else implicit_lmf(0.6, 30, 2)
    data = interactions(np.zeros((3, 4), bool))
    theta = next(trainer.fits(solved.loss, data, 2))
    assert not theta.users.any()
    assert not theta.items.any()
    for side in ("user", "item"):
        found = Comparisons.of(data, side, 0)
        assert found.tastes(theta.users, theta.items).share == 0.5


# ------------------------------------------------------------------ what is compared


def test_tastes_count_comparisons() -> None:
    """Two users of opposite tastes, centered: each ranks their own item above the other one."""
    data = interactions(np.eye(2, dtype=bool))
    items = np.array([[1.0], [-1.0]])
    users = Comparisons.of(data, "user", 0)
    assert users.tastes(np.array([[3.0], [1.0]]), items).share == 1.0
    swapped = users.tastes(np.array([[1.0], [3.0]]), items)
    assert (swapped.share, swapped.low) == (0.0, 1.0)
    # what everybody has in common is no taste
    assert users.tastes(np.ones((2, 1)), items).share == 0.5


@pytest.mark.parametrize("side", ["user", "item"])
def test_comparisons_are_of_what_was_met_and_what_was_not(
    side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of so many rows, all of their pairs or an even part, others by popularity."""
    mask = liked()
    data, cells = interactions(mask), mask if side == "user" else mask.T
    found = Comparisons.of(data, side, 0)
    assert cells[found.rows, found.met].all()
    assert not cells[found.rows, found.others].any()
    drawn = np.bincount(found.others, minlength=cells.shape[1])
    chance = np.where(cells, 0, cells.sum(axis=0)) * cells.sum(axis=1)[:, None]
    expected = chance.sum(axis=0) / chance.sum()
    assert np.abs(drawn / drawn.sum() - expected).max() < 0.01
    pairs = {*zip(*map(np.ndarray.tolist, (found.rows, found.met)), strict=True)}
    assert pairs == {*zip(*map(np.ndarray.tolist, np.nonzero(cells)), strict=True)}
    monkeypatch.setattr(tastes, "ROWS", 20)
    monkeypatch.setattr(tastes, "PAIRS", 100)
    few = Comparisons.of(data, side, 0)
    rows, counts = np.unique(few.rows, return_counts=True)
    assert 10 <= rows.size <= 20
    assert rows.max() > 0.9 * (len(cells) - 5)
    assert counts.max() <= 2 * (100 // rows.size)
    assert cells[few.rows, few.met].all()
    row = rows[np.argmax(cells[rows].sum(axis=1))]
    some = np.flatnonzero(cells[row])  # evenly spread over what it has
    assert few.met[few.rows == row].max() > np.median(some)


def test_spreads_are_those_of_repeated_draws() -> None:
    """The standard errors of T, F and their differences, rows being independent, against the
    spread over many simulated sets of rows.
    """
    rng = np.random.default_rng(0)

    def drawn() -> tuple[Tastes, Tastes]:
        looked = rng.integers(5, 30, 400).astype(float)
        chance = rng.beta(4, 2.5, (400, 1))
        above = rng.binomial(looked[:, None].astype(int), chance, (400, 2)).astype(float)
        return Tastes(above[:, 0], looked), Tastes(above[:, 1], looked)

    sets = [drawn() for _ in range(600)]
    for told, spread in (
        ([one.share for one, _ in sets], [one.error() for one, _ in sets]),
        ([one.low for one, _ in sets], [one.low_error() for one, _ in sets]),
        ([one.share - two.share for one, two in sets], [one.error(two) for one, two in sets]),
        ([one.low - two.low for one, two in sets], [one.low_error(two) for one, two in sets]),
    ):
        assert np.std(told) == pytest.approx(np.mean(spread), rel=0.1)


# ------------------------------------------------------------------ models beside a training


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["bpr", "lmf"])
def test_the_share_of_strangers_is_told(kind: str, seed: int) -> None:
    """Of a training whose gradient says nothing: 0 of the very data, about the share of users who
    have the interactions of others, and 1 of everybody else's.
    """
    mask = liked(seed)
    mine = model(mask, seed=10 + seed) if kind == "bpr" else logistic(interactions(mask), seed=seed)
    for share in (0.0, 0.6, 1.0):
        found = checked(mine, exchanged(mask, share, seed))
        assert [m.name for m in found.measures] == NAMES
        for measure in found.measures[:2]:
            assert measure.value == pytest.approx(share, abs=0.15)
            assert 0.1 <= measure.limit < 0.4
            assert measure.passed == (share == 0.0)
        assert found.passed == (share == 0.0)
    with pytest.raises(IntegrityError, match=r"strange users is .* epochs on these data"):
        found.require("m.npz")


@pytest.mark.parametrize("kind", ["bpr", "lmf"])
def test_items_of_others_are_strange_too(kind: str) -> None:
    """All of them, or a third, which is where items tell more than users."""
    mask = liked(m=600)
    mine = model(mask) if kind == "bpr" else logistic(interactions(mask))
    order = np.random.default_rng(0).permutation(mask.shape[1])
    assert not checked(mine, mask[:, order]).passed
    found = checked(mine, exchanged(mask.T, 0.35).T)
    values = dict(zip(NAMES, found.measures, strict=True))
    assert not values["strange items"].passed
    assert values["strange items"].value > values["strange users"].value + 0.1


@pytest.mark.parametrize("kind", ["bpr", "lmf"])
def test_interactions_that_somebody_else_had_are_told_from_users(kind: str) -> None:
    """Half of everybody's at random: nobody is a stranger, and half of the interactions are."""
    mask = liked(m=600, n=120)
    mine = (
        model(mask, PairTrainer(0.05, 40))
        if kind == "bpr"
        else logistic(interactions(mask), LogisticTrainer(1.0, 40))
    )
    rng = np.random.default_rng(0)
    u, v = np.nonzero(mask)
    swapped = rng.random(u.size) < 0.5
    v[swapped] = rng.permutation(v[swapped])
    mixed = np.zeros_like(mask)
    mixed[u, v] = True
    found = checked(mine, mixed)
    assert not found.measures[0].passed
    assert found.measures[0].value > found.measures[1].value + 0.1


@pytest.mark.parametrize("biased", [False, True])
def test_ratings_of_others_are_strange(biased: bool) -> None:
    """Of biased MF and of MF without biases, whose ratings' mean alone explains most of them: the
    very data are not accused, nor after a second fit; those of a third of the users, or of all,
    are.
    """
    data, mask, r = rated(m=600)
    trainer = RatingTrainer((0.02,) * 4, 10)
    solved = svd(0.02, biased=biased, trainer=trainer)
    for theta in islice(trainer.fits(solved.loss, data, 8, seed=3), 2):  # type: ignore[arg-type]
        mine = foreign(solved, "svd", theta)
        mine = replace(mine, offset=float(r[mask].mean()) if biased else 0.0)
        assert solved.check(mine, data).passed
        rng = np.random.default_rng(0)
        orders = np.arange(600), np.arange(600), np.arange(90)
        third = rng.permutation(600)[:200]
        orders[0][third] = np.roll(third, 1)
        rng.shuffle(orders[1])
        rng.shuffle(orders[2])
        for users, items in ((0, None), (1, None), (None, 2)):
            cells = np.ix_(
                np.arange(600) if users is None else orders[users],
                np.arange(90) if items is None else orders[items],
            )
            found = solved.check(mine, interactions(mask[cells], r[cells]))
            assert not found.passed
            assert found.measures[1 if users is not None else 2].value > 0.25


def test_hardly_trained_ratings_accuse_nobody() -> None:
    """Two epochs of tiny steps, or ratings that are all the same: no row knows anything, whoever's
    they are.
    """
    data, mask, _ = rated()
    trainer = RatingTrainer((1e-5,) * 4, 2)
    solved = svd(0.02, trainer=trainer)
    same = interactions(mask, np.ones(mask.shape))
    for given in (data, same):
        theta = next(trainer.fits(solved.loss, given, 8, seed=3))  # type: ignore[arg-type]
        found = solved.check(foreign(solved, "svd", theta), given)
        assert found.passed
        assert "whether these are the data" in found.blind


@pytest.mark.parametrize("side", ["user", "item"])
@pytest.mark.parametrize("centered", [False, True])
def test_predictions_are_of_ratings_that_there_are(side: str, centered: bool) -> None:
    """Against rows of the same side, never their own; with factors that give every rating all are
    right, with its negative none.
    """
    data, mask, r = rated(m=40, n=30)
    loss = Squares(ridge=Ridge.of(0.1), centered=centered)
    found = Predictions.of(data, side, loss, 0)
    cells = (found.rows, found.met) if side == "user" else (found.met, found.rows)
    assert mask[cells].all()
    mean = r[mask].mean() if centered else 0.0
    assert found.ratings == pytest.approx(r[cells] - mean)
    assert (found.others != found.rows).all()
    exact = BiasedFactors(r - mean, np.eye(30))
    for theta, share in ((exact, 1.0), (BiasedFactors(mean - r - 20, np.eye(30)), None)):
        told = found.tastes(theta if side == "user" else theta.flipped)
        if share is not None:
            assert told.share == share
        else:
            assert 0.2 < told.share < 0.8


def test_weights_of_logistic_models_are_no_strangers() -> None:
    """Steps on counts, and on ones: who wrote the wrong column is not told, and not accused."""
    mask = liked()
    counted = np.random.default_rng(0).pareto(1.0, mask.shape) * 5 + 1
    mine = logistic(interactions(mask, counted))
    assert mine.loss.check(mine, interactions(mask, counted)).passed
    assert mine.loss.check(mine, interactions(mask)).passed


@pytest.mark.parametrize("name", ["bpr", "lmf"])
def test_real_models_are_not_accused_however_often_they_were_fitted(name: str) -> None:
    """implicit's, of one call of ``fit`` and of three, which the file does not tell: on the very
    data, on them with a twentieth more or less, and on those of others.
    """
    mask, r = REAL["liked"], REAL["counts"]
    solved, fits = real(name)
    rng = np.random.default_rng(0)
    more, fewer = (
        mask | (rng.random(mask.shape) < 0.05 * mask.mean()),
        mask & (rng.random(mask.shape) < 0.95),
    )
    for share, (users, items) in zip((0.3, 0.4), fits, strict=True):
        mine = foreign(solved, name, BiasedFactors(users, items))
        for data in (mask, more, fewer):
            assert solved.check(mine, interactions(data, r)).passed
        for data in (exchanged(mask, share), mask[rng.permutation(len(mask))]):
            assert not solved.check(mine, interactions(data, r)).passed


@pytest.mark.parametrize("kind", ["bpr", "lmf"])
def test_what_is_below_the_limit_is_said_not_to_be_seen(kind: str) -> None:
    mask = liked()
    mine = model(mask) if kind == "bpr" else logistic(interactions(mask))
    found = checked(mine, exchanged(mask, 0.03))
    assert found.passed
    assert "of the items being others'" in found.to_document()["does_not_see"]
    assert ("weights" in found.blind) == (kind == "lmf")


def test_a_training_that_leaves_no_taste_accuses_nobody() -> None:
    """After one epoch of tiny steps any data fit as well as the right ones, and the answer says
    so.
    """
    mask = liked()
    data = interactions(mask)
    for mine in (
        model(mask, PairTrainer(1e-4, 1)),
        logistic(data, LogisticTrainer(1e-3, 1)),
    ):
        for given in (mask, exchanged(mask, 1.0)):
            found = checked(mine, given)
            assert found.passed
            assert "whether these are the data" in found.to_document()["does_not_see"]


def test_a_model_that_knows_its_data_better_is_not_strange() -> None:
    """Fitted twice over, as a second call of ``fit`` does; and yet others' users are."""
    mask = liked()
    trained, more = model(mask, PairTrainer(0.05, 8)), model(mask, PairTrainer(0.05, 24))
    longer = replace(trained, users=more.users, items=more.items, item_biases=more.item_biases)
    found = checked(longer, mask)
    assert found.passed
    assert found.measures[0].value < 0
    assert not checked(longer, exchanged(mask, 0.4)).passed


class Scripted:
    """A trainer whose fits are given."""

    epochs = 5

    def __init__(self, *fits: BiasedFactors) -> None:
        self.given, self.made = fits, 0

    def work(self, data: Interactions, rank: int) -> float:
        return 1.0

    def fits(self, *_: Any, **__: Any) -> Any:
        for theta in self.given:
            self.made += 1
            yield theta


def test_what_training_went_on_to_lose_is_no_strangeness() -> None:
    """A ridge may shrink tastes away again in a second call of ``fit``: who lost as much as ours
    did by then is not accused, and no more is trained than that takes.
    """
    mask = liked()
    data, loss = interactions(mask), implicit_bpr(0.01).loss
    assert isinstance(loss, Pairwise)
    sharp = next(PairTrainer(0.05, 60).fits(loss, data, 8, seed=1))
    blurred = BiasedFactors(
        sharp.users + 0.8 * np.random.default_rng(0).standard_normal(sharp.users.shape),
        sharp.items,
    )
    short = Scripted(*[sharp] * 5)
    found = strange(blurred, data, loss, short, seed=0)
    assert found is not None
    assert not found.passed
    assert short.made == 3
    for place in range(3):
        fits = [sharp] * 5
        fits[place] = blurred
        trainer = Scripted(*fits)
        found = strange(blurred, data, loss, trainer, seed=0)
        assert found is not None
        assert found.passed
        assert (trainer.made, found.epochs) == (place + 1, 5 * (place + 1))


@pytest.mark.parametrize("kind", ["bpr", "lmf"])
def test_what_would_take_too_long_is_judged_by_the_gradient(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "AFFORDABLE", 0.0)
    mask = liked()
    mine = model(mask) if kind == "bpr" else logistic(interactions(mask))
    names = {measure.name for measure in checked(mine, mask).measures}
    assert {"outranked", "gradient share"} <= names
    loss: Any = mine.loss
    theta = loss._factors(mine)
    assert strange(theta, interactions(mask), loss.loss, loss.trainer, seed=0) is None


def test_a_model_that_was_trained_on_needs_no_training_beside_it() -> None:
    mask = liked()
    found = checked(model(mask, PairTrainer(0.05, 200)), mask)
    share = next(measure for measure in found.measures if measure.name == "gradient share")
    assert share.value <= SHARE
    assert found.passed


def test_weights_below_zero_are_still_named() -> None:
    mask = liked()
    mine = logistic(interactions(mask))
    with pytest.raises(InvalidInput, match="r < 0"):
        mine.loss.check(mine, interactions(mask, -np.ones(mask.shape)))


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
