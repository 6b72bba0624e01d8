"""The penalty that comes down to the one asked for: where it starts, and where it ends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_array

from alteraser import Interactions, forget, verify
from alteraser.data.ids import Coded
from alteraser.data.selection import Selection
from alteraser.data.side.attributes import Attributes
from alteraser.data.side.deletion import GivenDeletion, Request
from alteraser.data.side.features import Numbers, Words, words
from alteraser.data.side.given import ITEM, MAIN, USER, Given
from alteraser.data.side.links import Links
from alteraser.metrics import score_distance
from alteraser.models.folder import digest_of, load_model
from alteraser.models.relational import LinearProblem
from alteraser.models.relational.lightgcn import LinearLightGCN
from alteraser.models.relational.model import LinearModel
from alteraser.models.relational.setup import LinearSetup, RelationSetting
from alteraser.settings import WrongSetting
from alteraser.solvers.relational import Goal, evaluate, hessian_product, minimize
from alteraser.solvers.relational.collapse import critical_shares
from alteraser.solvers.relational.continuation import (
    BELOW,
    STEP,
    held,
    stages,
    strengthened,
    strongest,
)
from alteraser.verbs.relational.train import train


def ring(seed: int, groups: int = 12, size: int = 6) -> Interactions:
    """Groups that like their own items, and some of the next one's: more of them than columns."""
    rng = np.random.default_rng(seed)
    likes = rng.random((groups * size, groups * size)) < 0.02
    for group in range(groups):
        own, following = (
            slice(at * size, at * size + size) for at in (group, (group + 1) % groups)
        )
        likes[own, own] |= rng.random((size, size)) < 0.6
        likes[own, following] |= rng.random((size, size)) < 0.12
    return Interactions.from_pairs([(int(u), int(v)) for u, v in np.argwhere(likes)])


def one_word_each(name: str, values: list[str]) -> Words:
    return words(name, pa.chunked_array([[[x] for x in values]], pa.list_(pa.string())))


def given(seed: int, *, beside: bool = False, days: bool = False) -> Given:
    """A ring, with friends, what is known of everybody and everything, and days."""
    data, rng = ring(seed), np.random.default_rng(seed + 20)
    main = Links.of(MAIN, USER, ITEM, data)
    if days:
        day = one_word_each("day", [["mon", "tue"][x] for x in rng.integers(0, 2, len(main))])
        main = replace(main, contexts={"day": day})
    if not (beside or days):
        return Given((main,))
    m, n = data.shape
    people = rng.choice(m, (2, 2 * m))
    people = people[:, (people[0] // 12 == people[1] // 12) | (rng.random(2 * m) < 0.2)]
    friends = Links("friends", USER, USER, *(Coded(data.users, x) for x in people))
    sort = one_word_each("sort", [str(x // 18) for x in range(m)])
    age = Numbers("age", rng.normal(size=m))
    genre = one_word_each("genre", [str(x % 5) for x in range(n)])
    return Given(
        (main, friends),
        {
            USER: Attributes(USER, Coded(data.users, np.arange(m)), (sort, age)),
            ITEM: Attributes(ITEM, Coded(data.items, np.arange(n)), (genre,)),
        },
    )


FORMS: dict[str, tuple[Given, LinearSetup]] = {
    "factorization": (given(1), LinearSetup(factors=4, regularization=0.8)),
    "a penalty for each table": (
        given(1),
        LinearSetup(factors=4, ridge={USER: 0.4, ITEM: 1.6}),
    ),
    "features and a relation": (
        given(1, beside=True),
        LinearSetup(factors=4, regularization=0.6),
    ),
    "contexts too": (given(1, days=True), LinearSetup(factors=4, regularization=0.6)),
    "a trained h": (
        given(1),
        LinearSetup(
            factors=4, regularization=0.8, relations={MAIN: RelationSetting(prediction=5.0)}
        ),
    ),
    "biases": (given(1), LinearSetup(factors=4, regularization=0.8, biases=True)),
}
"""Each ends in several places, straight"""
STARTS = {"features and a relation": (0, 2), "contexts too": (0, 3), "biases": (0, 2)}
"""Seeds of two of them; else 0 and 1"""


def of_form(form: str) -> LinearProblem:
    data, setup = FORMS[form]
    return setup.settled(data).assemble(data).problem


def lengths(problem: LinearProblem, seed: int, share: float) -> np.ndarray:
    """Of the columns, the longest first, at an optimum of ``share`` times the penalty."""
    scaled = held(strengthened(problem, share))
    found = minimize(scaled, scaled.random(seed), Goal(max_passes=300), threads=1).point
    stacked = np.concatenate([E[:, : problem.rank] for E in found.tables.values()])
    return np.linalg.svd(stacked, compute_uv=False)


def posed(data: Interactions, factors: int = 4) -> LinearProblem:
    return LinearLightGCN(factors=factors).settled(data).problem(data)


@pytest.mark.parametrize("most", [1.0, 1.2, 1.5, 2.0, 7.3, 8.0, 100.0])
def test_stages_come_down_by_one_step_to_within_one_of_what_is_asked(most: float) -> None:
    found = np.array([most, *stages(most)[1:], 1.0] if most >= STEP else [*stages(most), 1.0])
    assert np.all(found[:-1] / found[1:] < STEP**1.51)
    assert np.all(np.diff(found) < 0)


def test_shares_below_which_columns_come_to_be_are_those_of_the_whole_form() -> None:
    problem = posed(ring(3, groups=4))
    one = replace(problem, rank=1)
    ridge = one.ridge["node"]
    zeros = one.point(np.zeros(one.size))
    columns = [hessian_product(one, zeros, one.point(x)).vector for x in np.eye(one.size)]
    root = np.sqrt(ridge)
    pull = np.eye(one.size) - np.array(columns) / 2.0 / np.outer(root, root)
    dense = np.sort(np.linalg.eigvalsh(pull))[::-1]
    np.testing.assert_allclose(critical_shares(problem, 6), dense[:6], rtol=1e-3)
    np.testing.assert_allclose(critical_shares(problem, 500), dense, rtol=1e-8, atol=1e-10)


def test_it_starts_where_the_last_column_comes_to_be_and_no_higher_than_asked() -> None:
    problem = posed(ring(3))
    last = critical_shares(problem, problem.rank)[-1]
    assert strongest(problem, 100.0, threads=1) == pytest.approx(BELOW * last)
    assert strongest(problem, 1.6, threads=1) == 1.6
    assert strongest(problem, 1.0, threads=1) == 1.0


@pytest.mark.parametrize("form", FORMS)
def test_where_it_starts_every_column_has_come_to_be_and_just_above_not(form: str) -> None:
    problem = of_form(form)
    share = strongest(problem, 100.0, threads=1)
    assert 1.5 < share < 100.0
    there, above = lengths(problem, 0, share), lengths(problem, 0, 1.1 * share / BELOW)
    assert there[-1] > 0.1 * there[0]
    assert above[-1] < 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_where_it_starts_there_is_one_place(form: str) -> None:
    problem = of_form(form)
    first = held(strengthened(problem, strongest(problem, 100.0, threads=1)))
    found = [
        minimize(first, first.random(x), Goal(max_passes=300), threads=1).value for x in (0, 1, 2)
    ]
    assert np.ptp(found) < 1e-3  # places are further apart than 0.1


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_end_in_several_places_end_in_one(form: str) -> None:
    problem = of_form(form)
    direct, down = (
        [
            minimize(problem, problem.random(seed=x), Goal(continuation=c), threads=1)
            for x in STARTS.get(form, (0, 1))
        ]
        for c in (1.0, 100.0)
    )
    assert np.ptp([x.value for x in direct]) > 0.1
    assert np.ptp([x.value for x in down]) < 1e-6
    assert all(x.converged and x.valley and x.strongest > 1.5 for x in down)
    assert {x.strongest for x in direct} == {1.0}


@pytest.mark.parametrize("seed", [0, 1])
def test_starts_that_end_in_several_places_end_in_one(seed: int) -> None:
    problem = posed(ring(seed))
    direct, down = (
        [
            minimize(problem, problem.random(seed=x), Goal(continuation=c), threads=1)
            for x in range(6)
        ]
        for c in (1.0, 8.0)
    )
    assert np.ptp([x.value for x in direct]) > 0.1
    assert np.ptp([x.value for x in down]) < 1e-6
    assert all(x.converged and x.valley for x in down)


def test_it_ends_at_the_optimum_of_the_penalty_asked_for() -> None:
    problem = posed(ring(2))
    found = minimize(problem, problem.random(seed=0), Goal(continuation=8.0), threads=1)
    there = evaluate(problem, found.point)
    assert found.converged
    assert found.value == pytest.approx(there.value, rel=1e-14)
    assert np.linalg.norm(there.gradient.vector) < 1e-4 * there.norm


@pytest.mark.parametrize("cap", [1, 5, 20])
def test_a_run_that_is_cut_short_on_the_way_speaks_of_the_penalty_asked_for(cap: int) -> None:
    problem = posed(ring(2))
    goal = Goal(continuation=8.0, max_passes=cap)
    found = minimize(problem, problem.random(seed=0), goal, threads=1)
    assert (found.passes, found.converged, found.reason) == (cap, False, "passes")
    there = evaluate(problem, found.point)
    assert found.value == pytest.approx(there.value, rel=1e-14)
    assert found.residual > 1e-3


@pytest.mark.parametrize("seed", [0, 1])
def test_forgetting_ends_where_training_without_does(seed: int) -> None:
    clean = ring(seed)
    rng = np.random.default_rng(seed + 10)
    likes = csr_array((np.ones(len(clean)), clean.indices, clean.indptr), shape=clean.shape)
    pairs = set(zip(*(x.tolist() for x in likes.nonzero()), strict=True))
    noise = set(zip(*rng.integers(0, 72, (2, 60)).tolist(), strict=True)) - pairs
    data = Interactions.from_pairs(sorted(pairs | noise))
    settings = LinearLightGCN(factors=4, continuation=8.0)
    original = train(settings, data, threads=1)
    erasure = forget(original, sorted(noise), data=data)
    again = train(original.settings.model_copy(update={"seed": 5}), erasure.remaining, threads=1)
    assert erasure.kind == "C"
    assert score_distance(erasure.model.factors, again.factors) < 1e-6


@pytest.mark.parametrize("form", ["features and a relation", "biases"])
def test_a_model_of_several_sources_forgets_to_where_training_without_ends(form: str) -> None:
    """Noise, and what remains is what straight training has several places for."""
    clean, setup = FORMS[form]
    main, pairs = clean.main, clean.interactions()
    rows = np.random.default_rng(3).integers(0, 72, (2, 60))
    rows = np.unique(rows[:, pairs.locate(*rows) < 0], axis=1)
    heads, tails = (
        Coded(known.ids, np.concatenate([known.rows, more]))
        for known, more in zip((main.heads, main.tails), rows, strict=True)
    )
    data = replace(clean, links=(replace(main, heads=heads, tails=tails), *clean.links[1:]))
    settings = setup.settled(clean).changed({"continuation": 100.0})
    original = train(settings, data, threads=1)
    users, items = (known.ids.ids_of(x) for known, x in zip((heads, tails), rows, strict=True))
    noise = list(zip(users.to_pylist(), items.to_pylist(), strict=True))
    erasure = forget(original, Request(Selection.of(noise)), data=data, threads=1)
    assert isinstance(erasure.deletion, GivenDeletion)
    rest = erasure.deletion.rest.given
    assert rest.digests == clean.digests
    again = train(original.settings.changed({"seed": 5}), rest, threads=1)
    assert score_distance(erasure.model.factors, again.factors) < 1e-6
    assert score_distance(original.factors, again.factors) > 1e-2
    straight = [
        train(original.settings.changed({"seed": x, "continuation": 1.0}), rest, threads=1)
        for x in STARTS[form]
    ]
    assert score_distance(*(x.factors for x in straight)) > 1e-2
    assert erasure.kind == "C"
    assert verify(erasure.model, rest, before=original, threads=1).certificate.kind == "C"
    assert erasure.model.training["continuation"] > 1.5
    assert straight[0].training["continuation"] == 1.0


def test_forgetting_of_a_factorization_goes_the_same_way() -> None:
    """And not straight, as fast as that is."""
    data, setup = FORMS["factorization"]
    original = train(setup.changed({"continuation": 100.0}), data, threads=1)
    erasure = forget(original, Request(Selection.of([("7", "8")])), data=data, threads=1)
    assert erasure.kind == "C"
    assert original.training["continuation"] == pytest.approx(4.83, abs=0.01)
    assert erasure.model.training["continuation"] == pytest.approx(4.8, abs=0.1)


def test_it_goes_straight_where_no_column_is_to_come_to_be() -> None:
    data = given(1)
    for setup in (
        LinearSetup(factors=4, regularization=50.0),
        LinearSetup(factors=200, regularization=0.8),
        LinearSetup(factors=4, regularization=50.0, biases=True),
        LinearSetup(factors=4, ridge={USER: 0.0, ITEM: 1.0}),
    ):
        assert strongest(setup.settled(data).assemble(data).problem, 8.0, threads=1) == 1.0


def test_h_comes_free_where_the_penalty_is_the_one_asked_for() -> None:
    problem = of_form("a trained h")
    found = minimize(problem, problem.random(0), Goal(continuation=100.0), threads=1)
    (h,) = found.point.predictions.values()
    assert np.abs(h - 1.0).max() > 0.05
    stiff = held(problem)
    point = minimize(stiff, stiff.random(0), Goal(), threads=1).point
    (h,) = point.predictions.values()
    assert 0.0 < np.abs(h - 1.0).max() < 0.01


@pytest.mark.parametrize("value", [0.5, 0.0, -3.0, float("nan"), float("inf"), 1e7, "much"])
@pytest.mark.parametrize("kind", [LinearLightGCN, LinearSetup])
def test_what_it_cannot_be_is_said(kind: type[LinearLightGCN | LinearSetup], value: object) -> None:
    with pytest.raises(WrongSetting, match="continuation: "):
        kind.model_validate({"continuation": value})


def test_nothing_comes_down_to_no_penalty() -> None:
    with pytest.raises(WrongSetting, match=r"regularization: .* from 8 times itself \(contin"):
        LinearSetup(regularization=0.0, continuation=8.0)
    assert LinearSetup(regularization=0.0).continuation == 1.0


@pytest.mark.parametrize("kind", [LinearLightGCN, LinearSetup])
def test_models_from_before_it_go_straight(
    kind: type[LinearLightGCN | LinearSetup], tmp_path: Path
) -> None:
    data = given(0)
    whole = data if kind is LinearSetup else data.interactions()
    train(kind(factors=2, continuation=4.0), whole, threads=1).save(tmp_path / "m")
    path = tmp_path / "m" / "model.json"
    manifest = json.loads(path.read_text())
    for name in ("settings", "setup"):
        assert manifest.get(name, {}).pop("continuation", 4.0) == 4.0
    manifest["training"].pop("continuation")
    assert "continuation" not in json.dumps(manifest)
    manifest["digest"] = digest_of(manifest)
    path.write_text(json.dumps(manifest))
    model = load_model(tmp_path / "m")
    assert isinstance(model, LinearModel)
    assert model.settings.continuation == 1.0
    assert forget(model, [("7", "8")], data=data.interactions()).kind == "C"
