"""What a model knows of whose the data are, against what its scores claim."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alteraser.adapters.claims import NAME, AdamSteps, Told, judged
from alteraser.adapters.contract import Foreign
from alteraser.adapters.row_losses import RowSolved, recbole_bpr
from alteraser.adapters.selfcheck import Measure, SelfCheck
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions

Array = Any


def interactions(mask: Array) -> Interactions:
    ids = [IdMap.build(np.arange(size))[0] for size in mask.shape]
    return Interactions._assemble(*ids, *np.nonzero(mask), None, None, None, "refuse")


def cells(table: Array) -> Callable[[Array, Array], Array]:
    return lambda u, v: table[u, v]


def drawn(seed: int = 0, m: int = 400, n: int = 80, taste: float = 1.0) -> tuple[Array, Array]:
    """(log odds, which came out): by how busy and popular, and by tastes of rank 4."""
    rng = np.random.default_rng(seed)
    odds = rng.standard_normal((m, 1)) + rng.standard_normal(n) - 1.5
    odds = odds + taste * rng.standard_normal((m, 4)) @ rng.standard_normal((4, n))
    return odds, rng.random((m, n)) < 1 / (1 + np.exp(-odds))


# ------------------------------------------------------------------ the measure


@pytest.mark.parametrize("taste", [0.2, 0.6, 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_the_very_odds_claim_what_they_know(seed: int, taste: float) -> None:
    odds, mask = drawn(seed, taste=taste)
    told = Told.of(cells(odds), interactions(mask), seed=seed)
    assert told.claimed > 0.52
    assert abs(told.share - told.claimed) < 4 * told.error
    assert told.measure.passed


def test_draws_are_of_all_that_can_be_drawn() -> None:
    """Against every two interactions written out, of few."""
    odds, mask = drawn(1, 9, 7)
    data = interactions(mask)
    right, claimed = [], []
    for (u, i), (w, j) in product(zip(data.user_rows, data.indices, strict=True), repeat=2):
        if not mask[u, j] and not mask[w, i]:
            delta = odds[u, i] - odds[u, j] - odds[w, i] + odds[w, j]
            right.append(delta > 0)
            claimed.append(1 / (1 + np.exp(-abs(delta))))
    told = Told.of(cells(odds), data)
    assert told.share == pytest.approx(np.mean(right), abs=0.02)
    assert told.claimed == pytest.approx(np.mean(claimed), abs=0.02)


def test_what_user_and_item_add_changes_nothing() -> None:
    odds, mask = drawn()
    data, rng = interactions(mask), np.random.default_rng(0)
    plain = Told.of(cells(odds), data)
    shifted = odds + 5 * rng.standard_normal((400, 1)) + 5 * rng.standard_normal(80)
    again = Told.of(cells(shifted), data)
    assert (again.share, again.error) == (plain.share, plain.error)
    assert again.claimed == pytest.approx(plain.claimed, abs=1e-9)


def test_whose_scores_have_not_grown_claims_less_and_knows_as_much() -> None:
    odds, mask = drawn()
    full, small = (Told.of(cells(by * odds), interactions(mask)) for by in (1.0, 0.1))
    assert small.share == full.share
    assert small.claimed < full.claimed - 0.1
    assert small.measure.passed
    assert "even a large one" in small.blind or "less than about" in small.blind


def test_of_others_data_nothing_is_known_whatever_is_claimed() -> None:
    odds, mask = drawn()
    order = np.random.default_rng(3).permutation(len(mask))
    found = Told.of(cells(odds), interactions(mask[order]))
    assert abs(found.share - 0.5) < 4 * found.error
    assert not found.measure.passed
    quiet = Told.of(cells(1e-3 * odds), interactions(mask[order]))
    assert quiet.measure.passed
    assert "whether these are the data" in quiet.blind


def test_the_start_of_training_is_not_held_against_it() -> None:
    """Random tables claim something, and what they claim is told from their sizes."""
    _, mask = drawn(m=60, n=40)
    data, rng = interactions(mask), np.random.default_rng(0)
    P, Q = (rng.normal(0, np.sqrt(2 / (16 + size)), (size, 16)) for size in mask.shape)
    steps = AdamSteps(1.0, 1, 1)
    began, plain = (
        Told.of(cells(P @ Q.T), data, start=start) for start in (steps.start(data, 16), 0.0)
    )
    assert plain.claimed > 0.53
    assert began.claimed < 0.53
    assert began.measure.passed
    far = Told.of(cells(P @ Q.T), data, start=steps.start(data, 16), far=True)
    assert not far.measure.passed


def test_how_far_steps_went() -> None:
    data = interactions(np.ones((30, 20), bool))  # 600 pairs, numbers of 0.2 at first
    assert not AdamSteps().far(data, 30)
    assert not AdamSteps(0.01, 300, 14).far(data, 30)
    assert AdamSteps(0.01, 300, 16).far(data, 30)
    assert AdamSteps(0.01, 300, 16, decay=1 / 60).far(data, 30)
    assert not AdamSteps(0.01, 300, 16, decay=1 / 50).far(data, 30)


@pytest.mark.parametrize("mask", [np.zeros((3, 4), bool), np.ones((3, 4), bool)])
def test_where_there_is_nothing_to_compare_nobody_is_accused(mask: Array) -> None:
    told = Told.of(cells(np.ones(mask.shape)), interactions(mask))
    assert told.measure.passed
    assert "whether these are the data" in told.blind


def test_an_early_end_excuses_measures_but_for_those_that_know_better() -> None:
    low = [Measure(name, 0.1, 0.5, False, "") for name in ("rank", "sure")]
    found = SelfCheck((Measure("fine", 1.0, 0.5, True, ""), *low), hint="maps?")
    mine, other = Told(0.9, 0.9, 0.01), Told(0.5, 0.9, 0.01)
    excused = judged(found, mine)
    assert [measure.name for measure in excused.measures] == ["fine", NAME]
    assert excused.passed
    assert not judged(found, mine, also=("sure",)).passed
    accused = judged(found, other)
    assert [measure.name for measure in accused.measures if not measure.passed] == [
        "rank",
        "sure",
        NAME,
    ]
    assert accused.hint == "maps?"


def test_as_many_as_are_said_not_to_be_seen_are_not_and_more_are() -> None:
    odds, mask = drawn(m=1000, taste=2.0)
    share = 1 - (Told.of(cells(odds), interactions(mask)).limit - 0.5) / (
        Told.of(cells(odds), interactions(mask)).share - 0.5
    )
    order = np.random.default_rng(0).permutation(len(mask))
    for part, passes in ((share / 2, True), (min(2 * share, 1.0), False)):
        rows, chosen = np.arange(len(mask)), order[: round(part * len(mask))]
        rows[chosen] = np.roll(chosen, 1)
        assert Told.of(cells(odds), interactions(mask[rows])).measure.passed == passes


# ------------------------------------------------------------------ BPR by Adam


def liked(seed: int = 0, m: int = 200, n: int = 80) -> Array:
    """Five tastes among items of uneven popularity."""
    rng = np.random.default_rng(seed)
    taste, genre = rng.integers(0, 5, m), rng.integers(0, 5, n)
    chance = np.linspace(0.9, 0.05, n) * np.where(taste[:, None] == genre, 0.8, 0.12)
    return np.asarray(rng.random((m, n)) < chance)


def adam(mask: Array, epochs: int, rate: float, rank: int = 16, batch: int = 512) -> Foreign:
    """As RecBole trains BPR, step by step in NumPy."""
    rng = np.random.default_rng(1)
    x = [rng.normal(0, np.sqrt(2 / (rank + size)), (size, rank)) for size in mask.shape]
    moments = [[np.zeros_like(each) for each in x] for _ in range(2)]
    pairs, step = np.argwhere(mask), 0
    free = [np.flatnonzero(~row) for row in mask]
    for _ in range(epochs):
        order = rng.permutation(len(pairs))
        for start in range(0, len(pairs), batch):
            u, i = pairs[order[start : start + batch]].T
            j = np.array([rng.choice(free[user]) for user in u])
            apart = x[1][i] - x[1][j]
            z = 1 / (1 + np.exp(np.sum(x[0][u] * apart, axis=1))) / len(u)
            slopes = [np.zeros_like(each) for each in x]
            np.add.at(slopes[0], u, -z[:, None] * apart)
            np.add.at(slopes[1], i, -z[:, None] * x[0][u])
            np.add.at(slopes[1], j, z[:, None] * x[0][u])
            step += 1
            for each, slope, one, two in zip(x, slopes, *moments, strict=True):
                one += 0.1 * (slope - one)
                two += 0.001 * (slope**2 - two)
                grown = one / (1 - 0.9**step), two / (1 - 0.999**step)
                each -= rate * grown[0] / (np.sqrt(grown[1]) + 1e-8)
    P, Q = (each.astype(np.float32) for each in x)
    loss: RowSolved = recbole_bpr(0.0, AdamSteps(rate, batch, epochs))
    return Foreign(Path("m.pth"), "recbole", "bpr", P, Q, loss)


@pytest.mark.parametrize(
    ("rate", "epochs", "long"),
    [(1e-3, 1, False), (1e-3, 5, False), (1e-3, 60, True), (1e-2, 25, True)],
)
def test_a_short_training_by_adam_is_not_accused(rate: float, epochs: int, long: bool) -> None:
    """The very data never; others' where training was long enough, and else the answer says so."""
    mask = liked()
    model = adam(mask, epochs, rate)
    assert model.loss.check(model, interactions(mask)).passed
    order = np.random.default_rng(0).permutation(len(mask))
    other = model.loss.check(model, interactions(mask[order]))
    if long:
        assert not other.passed
    else:
        assert other.passed
        assert "whether these are the data" in other.blind
