"""Recommenders that are counts: taking data away gives, in every bit, what counting without them
gives."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from conftest import toy_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput, NumericFailure
from alteraser.evidence.certificate.exact import certify
from alteraser.models.closed_form.kind import fits
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.closed_form.popularity import Popularity
from alteraser.models.ease import packed
from alteraser.models.ease.ease import EASE
from alteraser.models.neighbors import lists, plain
from alteraser.models.neighbors.cooccurrence import Cooccurrence
from alteraser.models.neighbors.item_knn import ItemKNN, lists_apart
from alteraser.models.neighbors.similarity import NAMES, Similarity
from alteraser.models.neighbors.user_knn import UserKNN
from alteraser.models.registry import KINDS
from alteraser.verbs.forget import forget

SETTINGS: list[Any] = [
    Popularity(),
    EASE(regularization=0.7),
    EASE(regularization=40.0),
    EASE(regularization=5.0, dtype="float32"),
    EASE(regularization=0.7, dropout=0.3),
    *(
        ItemKNN(similarity=name, neighbors=length, shrinkage=shrinkage)
        for name, length, shrinkage in (
            *product(("cosine", "jaccard"), (1, 4, 50), (0.0, 2.5)),
            ("tfidf", 4, 0.0),
            ("bm25", 4, 0.5),
        )
    ),
    *(UserKNN(similarity=name) for name in NAMES),
    Cooccurrence(),
]


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        a.dtype == b.dtype and np.array_equal(a, b)
        for a, b in ((first[name], second[name]) for name in first)
    )


def alike(kind: Any, first: dict[str, Any], second: dict[str, Any]) -> bool:
    """The same bytes; of algebra, the same to rounding, and zeros in the same places."""
    if not isinstance(kind, EASE):
        return same(first, second)
    tolerance = 1e-12 if kind.dtype == "float64" else 1e-4
    one, other = kind.matrix(first), kind.matrix(second)
    return (
        np.array_equal(first["counts"], second["counts"])
        and bool(np.all((one == 0) >= (second["counts"] == 0)))
        and bool(np.allclose(one, other, rtol=0, atol=tolerance * max(np.abs(other).max(), 1.0)))
    )


def test_every_kind_is_tried() -> None:
    assert {kind.name for kind in SETTINGS} == {
        name for name, kind in KINDS.items() if not kind.repeats and not kind.extra
    }


@settings(max_examples=300)
@given(kind=st.sampled_from(SETTINGS), data=st.data())
def test_taking_away_is_counting_without(kind: Any, data: st.DataObject) -> None:
    """Any data, with many ties, any order and batching of requests; rows that vanish included."""
    seed, density = data.draw(st.integers(0, 10_000)), data.draw(st.sampled_from([0.1, 0.3, 0.7]))
    before = toy_interactions(
        14, 11, density, seed=seed, weighted=data.draw(st.booleans()), lonely=False
    )
    state = kind.state(before)
    for _ in range(data.draw(st.integers(1, 3))):
        kept = np.array(
            data.draw(st.lists(st.booleans(), min_size=len(before), max_size=len(before))), bool
        )
        if data.draw(st.booleans()):  # a small request: most lists only exchange a few places
            kept = np.arange(len(before)) != data.draw(st.integers(0, max(len(before) - 1, 0)))
        removal = before.remove(before.keep(~kept))
        state = kind.without(state, Deletion(before, removal))
        assert alike(kind, state, kind.state(removal.remaining))
        before = removal.remaining


@pytest.mark.parametrize("kind", SETTINGS, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_state_has_the_shape_that_is_told(kind: Any, weighted: bool) -> None:
    state = kind.state(toy_interactions(60, 40, 0.2, weighted=weighted))
    assert state.keys() == kind.shapes(40).keys()
    for name, (shape, dtypes) in kind.shapes(40).items():
        assert fits(state[name].shape, shape)
        assert state[name].dtype.name in dtypes


@pytest.mark.parametrize(
    ("name", "shrinkage"), [("cosine", 0.0), ("cosine", 3.0), ("jaccard", 0.0), ("jaccard", 3.0)]
)
def test_similarities_by_their_definition(name: Any, shrinkage: float) -> None:
    data = toy_interactions(9, 7, 0.5, lonely=False)
    x = np.zeros(data.shape)
    x[data.user_rows, data.indices] = 1.0
    state = ItemKNN(similarity=name, neighbors=6, shrinkage=shrinkage).state(data)
    for i in range(7):
        wanted = []
        for j in range(7):
            both = float((x[:, i] * x[:, j]).sum())
            a, b = float(x[:, i].sum()), float(x[:, j].sum())
            below = np.sqrt(a) * np.sqrt(b) if name == "cosine" else a + b - both
            if j != i and both > 0:
                wanted.append((-both / (below + shrinkage), j))
        wanted.sort()
        assert [j for _, j in wanted] == [j for j in state["neighbors"][i].tolist() if j >= 0]
        np.testing.assert_allclose(
            state["similarities"][i][: len(wanted)], [-s for s, _ in wanted], rtol=1e-14
        )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["cosine", "tfidf", "bm25"])
def test_similarities_are_those_of_implicit(name: Any, weighted: bool) -> None:
    """Its own lists, which also hold each item itself; equally near ones may be in another
    order."""
    implicit = pytest.importorskip("implicit.nearest_neighbours")
    from scipy.sparse import csr_matrix

    data = toy_interactions(60, 40, 0.2, weighted=weighted, lonely=False)
    counts = np.ones(len(data)) if data.confidence is None else data.confidence
    kind = {"cosine": "CosineRecommender", "tfidf": "TFIDFRecommender", "bm25": "BM25Recommender"}[
        name
    ]
    theirs = getattr(implicit, kind)(K=40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(
            csr_matrix((counts, data.indices, data.indptr), shape=data.shape), show_progress=False
        )
    wanted = theirs.similarity.toarray()
    np.fill_diagonal(wanted, 0.0)
    mine = ItemKNN(similarity=name, neighbors=40)
    np.testing.assert_allclose(
        mine.matrix(mine.state(data)).toarray(), np.where(wanted > 0, wanted, 0.0), atol=1e-12
    )


@pytest.mark.parametrize("name", ["cosine", "tfidf", "bm25", "jaccard"])
@pytest.mark.parametrize("density", [0.01, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_threads_change_no_bit_and_neither_does_the_way(
    name: Any, density: float, weighted: bool
) -> None:
    """Pairs, each looked at once, by one worker and by three, and a list at a time: few and many in
    common, ties."""
    data = toy_interactions(300, 120, density, weighted=weighted)
    kind = ItemKNN(similarity=name, neighbors=5)
    one, three = kind.state(data, threads=1), kind.state(data, threads=3)
    neighbors, similarities = lists.Finder(data, kind.measure).lists(np.arange(120), 5)
    assert same(one, three)
    assert same(one, {"neighbors": neighbors, "similarities": similarities})


def test_scores_are_votes_of_what_somebody_had() -> None:
    data = toy_interactions(20, 12, 0.3, lonely=False, weighted=True)
    kind = ItemKNN(neighbors=3)
    state = kind.state(data)
    scores = kind.scores(kind.formed(state, data), np.arange(20), data)
    wanted = np.zeros((20, 12))
    for u, w, c in zip(data.user_rows, data.indices, data.confidence, strict=True):  # type: ignore[arg-type]
        for v, s in zip(state["neighbors"][w], state["similarities"][w], strict=True):
            if v >= 0:
                wanted[u, v] += c * s
    np.testing.assert_allclose(np.where(scores == -np.inf, 0.0, scores), wanted, rtol=1e-13)


def test_popular_items_come_first_and_seen_ones_not() -> None:
    data = Interactions.from_pairs([(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 2), (3, 3)])
    model = Popularity().fit(data)
    lists, scores = model.top_items(np.arange(4), k=3, seen=data)
    assert lists.tolist() == [[2, 3, -1], [2, 3, -1], [1, 3, -1], [0, 1, 2]]
    assert scores[3].tolist() == [3.0, 2.0, 1.0]


def test_neighbors_need_a_history_and_say_so() -> None:
    model = ItemKNN().fit(replace(toy_interactions(), target=None))
    assert isinstance(model, ExactModel)
    with pytest.raises(InvalidInput, match=r"keeps nobody's history.*--data"):
        model.top_items(np.arange(2), k=3)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"neighbors": 0}, "neighbors"), ({"shrinkage": -1.0}, "shrinkage"), ({"k": 3}, "k")],
)
def test_settings_are_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ItemKNN(**given)
    with pytest.raises(InvalidInput, match="there are cosine, tfidf, bm25, jaccard"):
        Similarity("dice")  # type: ignore[arg-type]


def test_plain_lists_of_some_items() -> None:
    data = toy_interactions(60, 40, 0.2)
    some = np.array([3, 17, 30])
    whole, part = plain.lists(data, Similarity(), 5), plain.lists(data, Similarity(), 5, some)
    for all_rows, few in zip(whole, part, strict=True):
        np.testing.assert_array_equal(all_rows[some], few)


# ---------------------------------------------------------------- telling right from wrong


@pytest.mark.parametrize("kind", SETTINGS, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_true_state_passes(kind: Any, weighted: bool) -> None:
    data = toy_interactions(60, 40, 0.2, weighted=weighted)
    found = certify(kind, kind.state(data), data)
    assert (found.kind, found.passed) == ("A", True)
    counted = (
        not weighted
        and not isinstance(kind, EASE)
        and getattr(kind, "similarity", "") not in ("tfidf", "bm25")
    )
    assert found.apart == 0.0 or not counted


@pytest.mark.parametrize("kind", SETTINGS, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("gone", [0, 57])
def test_one_retained_interaction_is_found(kind: Any, weighted: bool, gone: int) -> None:
    data = toy_interactions(20, 12, 0.4, weighted=weighted, lonely=False)
    without = data.keep(np.arange(len(data)) != gone)
    state = kind.state(data)
    if alike(kind, state, kind.state(without)):
        pytest.skip("nothing in the state depends on it")
    found = certify(kind, state, without)
    assert (found.kind, found.passed) == ("D", False)
    assert "not shown to have forgotten" in found.sentence


def lists_of(*rows: list[tuple[int, float]]) -> dict[str, Any]:
    length = 2
    padded = [row + [(-1, 0.0)] * (length - len(row)) for row in rows]
    return {
        "neighbors": np.array([[item for item, _ in row] for row in padded], np.int32),
        "similarities": np.array([[value for _, value in row] for row in padded]),
    }


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ([(1, 0.5), (2, 0.4)], [(1, 0.5), (2, 0.4)], 0.0),
        ([(1, 0.5), (2, 0.4)], [(1, 0.5), (2, 0.3)], 0.1),  # another value
        # as near: a tie at the end of a full list
        ([(1, 0.5), (2, 0.4)], [(1, 0.5), (3, 0.4)], 0.0),
        ([(1, 0.5), (2, 0.4)], [(1, 0.5), (3, 0.3)], 0.1),  # 2 should have been in the other
        ([(1, 0.5), (2, 0.4)], [(1, 0.5)], 0.4),  # a list that ends early holds everything
        ([(2, 0.5), (1, 0.5)], [(1, 0.5), (2, 0.5)], 0.0),
    ],
)
def test_how_far_two_lists_are_apart(one: Any, other: Any, apart: float) -> None:
    rest: list[list[tuple[int, float]]] = [[], [], []]
    for first, second in ((one, other), (other, one)):
        found = lists_apart(lists_of(first, *rest), lists_of(second, *rest))
        assert found == pytest.approx(apart)


# ---------------------------------------------------------------- EASE


@pytest.mark.parametrize("n", range(1, 10))
def test_half_a_matrix_is_the_whole_of_it(n: int) -> None:
    from scipy.linalg.lapack import dtrttf

    rng = np.random.default_rng(n)
    whole = rng.standard_normal((n, n))
    whole += whole.T
    half, _ = dtrttf(whole, transr="N", uplo="L")
    assert half.size == packed.size(n)
    some = rng.permutation(n)[: n // 2 + 1]
    np.testing.assert_array_equal(packed.columns(half, n, some), whole[some])
    np.testing.assert_array_equal(packed.diagonal(half, n), np.diag(whole))
    packed.isolate(half, n, some, 7.0)
    whole[some], whole[:, some] = 0.0, 0.0
    whole[some, some] = 7.0
    np.testing.assert_array_equal(packed.columns(half, n, np.arange(n)), whole)


@pytest.mark.parametrize("shape", [(1, 1), (9, 2), (12, 7), (12, 8)])
@pytest.mark.parametrize("weighted", [False, True])
def test_item_weights_by_their_definition(shape: tuple[int, int], weighted: bool) -> None:
    """Steck's closed form with NumPy's inverse, and that it is the minimum it says it is."""
    data = toy_interactions(*shape, 0.6, lonely=False, weighted=weighted)
    kind = EASE(regularization=1.3)
    x = np.zeros(data.shape)
    x[data.user_rows, data.indices] = 1.0 if data.confidence is None else data.confidence
    inverse = np.linalg.inv(x.T @ x + 1.3 * np.eye(shape[1]))
    wanted = -inverse / np.diag(inverse)
    np.fill_diagonal(wanted, 0.0)
    state = kind.state(data)
    weights = kind.matrix(state)
    np.testing.assert_allclose(weights, wanted, atol=1e-13)
    slope = x.T @ (x @ weights - x) + 1.3 * weights  # zero but for the diagonal, which is held
    np.testing.assert_allclose(slope - np.diag(np.diag(slope)), 0.0, atol=1e-12)
    scores = kind.scores(state, np.arange(shape[0]), data)
    listed = np.isfinite(scores)
    np.testing.assert_allclose(scores[listed], (x @ weights)[listed], atol=1e-12)
    assert np.array_equal(listed.any(0), data.item_counts > 0)


def test_an_update_that_would_lose_digits_is_not_made() -> None:
    """Nothing but λ stands between what remains and a singular matrix: P is computed anew, to all
    digits."""
    data = Interactions.from_pairs([(u, v) for u in range(2) for v in range(12)] + [(5, 0)])
    kind = EASE(regularization=1e-4)
    removal = data.remove([0, 1], whole_users=True)
    state = kind.without(kind.state(data), Deletion(data, removal))
    assert same(state, kind.state(removal.remaining))


@pytest.mark.parametrize("kind", SETTINGS, ids=str)
def test_nothing_to_take_away_changes_nothing(kind: Any) -> None:
    data = toy_interactions()
    state = kind.state(data)
    assert same(kind.without(state, Deletion(data, data.remove([]))), state)


def test_many_updates_do_not_drift() -> None:
    data = toy_interactions(80, 30, 0.3, lonely=False)
    kind = EASE(regularization=2.0)
    state = kind.state(data)
    for user in range(70):
        removal = data.remove([user], whole_users=True)
        state, data = kind.without(state, Deletion(data, removal)), removal.remaining
    assert kind.drifted(state["inverse"], data) < 1e-12
    assert alike(kind, state, kind.state(data))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_regularization_that_the_digits_do_not_hold_is_refused(dtype: Any) -> None:
    """Everybody had everything: nothing but λ makes the matrix regular. The λ that is named is
    enough."""
    data = Interactions.from_pairs([(u, v) for u in range(9) for v in range(7)])
    with pytest.raises(
        NumericFailure, match=r"too little beside these data|is lost beside the counts"
    ):
        EASE(regularization=1e-12, dtype=dtype).state(data)
    small = 1e-9 if dtype == "float64" else 1e-5
    with pytest.raises(NumericFailure, match="From about") as caught:
        EASE(regularization=small, dtype=dtype).state(data)
    named = float(str(caught.value).split("From about ")[1].split()[0])
    kind = EASE(regularization=named, dtype=dtype)
    assert certify(kind, kind.state(data), data).passed


@pytest.mark.parametrize("kind", SETTINGS, ids=str)
def test_what_joins_makes_the_lists_of_a_new_model(kind: Any) -> None:
    """New ids stand among the others, not behind them: equally good items are in the order of ids
    either way."""
    rng = np.random.default_rng(8)
    pairs = sorted({(int(u), int(v)) for u, v in rng.integers(0, 12, (60, 2))} - {(3, 0), (3, 5)})
    early = [(u, v) for u, v in pairs if u % 4 and v % 5]
    both = Interactions.from_pairs(pairs)
    model = kind.fit(Interactions.from_pairs(early))
    erasure = forget(model, early[:4], data=both, grown=True)
    rest = erasure.remaining
    assert rest.users.ids.to_pylist() == sorted(rest.users.ids.to_pylist())
    fresh = kind.fit(both.remove(early[:4]).remaining.compact())
    again = erasure.model
    assert again.users == fresh.users
    assert again.items == fresh.items
    assert again.recommend(k=6, seen=rest).to_list() == fresh.recommend(k=6, seen=rest).to_list()
    assert again.trained_on.digest == fresh.trained_on.digest
