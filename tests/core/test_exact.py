"""Recommenders that are counts: taking data away gives, in every bit, what counting without them gives."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from conftest import toy_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.certificate.exact import certify
from alteraser.errors import InvalidInput
from alteraser.exact import ExactModel
from alteraser.interactions import Interactions
from alteraser.models.neighbors import plain
from alteraser.models.neighbors.item_knn import ItemKNN
from alteraser.models.neighbors.similarity import Similarity
from alteraser.models.popularity import Popularity
from alteraser.models.registry import KINDS

SETTINGS: list[Any] = [
    Popularity(),
    *(
        ItemKNN(similarity=name, neighbors=length, shrinkage=shrinkage)
        for name, length, shrinkage in product(("cosine", "jaccard"), (1, 4, 50), (0.0, 2.5))
    ),
]


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in ((first[name], second[name]) for name in first)
    )


def test_every_kind_is_tried() -> None:
    assert {kind.name for kind in SETTINGS} == set(KINDS)


@settings(max_examples=300)
@given(kind=st.sampled_from(SETTINGS), data=st.data())
def test_taking_away_is_counting_without(kind: Any, data: st.DataObject) -> None:
    """Any data, with many ties, any order and batching of requests; rows that vanish included."""
    seed, density = data.draw(st.integers(0, 10_000)), data.draw(st.sampled_from([0.1, 0.3, 0.7]))
    before = toy_interactions(14, 11, density, seed=seed, weighted=data.draw(st.booleans()), lonely=False)
    state = kind.state(before)
    for _ in range(data.draw(st.integers(1, 3))):
        kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(before), max_size=len(before))), bool)
        if data.draw(st.booleans()):  # a small request: most lists only exchange a few places
            kept = np.arange(len(before)) != data.draw(st.integers(0, max(len(before) - 1, 0)))
        removal = before.remove(before.keep(~kept))
        state = kind.without(state, before, removal)
        assert same(state, kind.state(removal.remaining))
        before = removal.remaining


@pytest.mark.parametrize("kind", SETTINGS, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_other_code_finds_the_same(kind: Any, weighted: bool) -> None:
    data = toy_interactions(60, 40, 0.2, weighted=weighted)
    fast, slow = kind.state(data), kind.plain(data)
    assert fast.keys() == slow.keys() == kind.shapes(40).keys()
    for name, (shape, dtypes) in kind.shapes(40).items():
        assert fast[name].shape == shape
        assert fast[name].dtype.name in dtypes
        if weighted:
            np.testing.assert_allclose(fast[name], slow[name], rtol=1e-13)
        else:
            np.testing.assert_array_equal(fast[name], slow[name])


@pytest.mark.parametrize(("name", "shrinkage"), [("cosine", 0.0), ("cosine", 3.0), ("jaccard", 0.0), ("jaccard", 3.0)])
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
        np.testing.assert_allclose(state["similarities"][i][: len(wanted)], [-s for s, _ in wanted], rtol=1e-14)


def test_threads_change_no_bit() -> None:
    data = toy_interactions(400, 120, 0.2, weighted=True)
    assert same(ItemKNN().state(data, threads=1), ItemKNN().state(data, threads=3))


def test_scores_are_votes_of_what_somebody_had() -> None:
    data = toy_interactions(20, 12, 0.3, lonely=False, weighted=True)
    kind = ItemKNN(neighbors=3)
    state = kind.state(data)
    scores = kind.scores(state, np.arange(20), data)
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
    ("given", "message"), [({"neighbors": 0}, "neighbors"), ({"shrinkage": -1.0}, "shrinkage"), ({"k": 3}, "k")]
)
def test_settings_are_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ItemKNN(**given)
    with pytest.raises(InvalidInput, match="there are cosine, jaccard"):
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
    assert found.apart == 0.0 or weighted


@pytest.mark.parametrize("kind", SETTINGS, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("gone", [0, 57])
def test_one_retained_interaction_is_found(kind: Any, weighted: bool, gone: int) -> None:
    data = toy_interactions(20, 12, 0.4, weighted=weighted, lonely=False)
    without = data.keep(np.arange(len(data)) != gone)
    state = kind.state(data)
    if same(state, kind.state(without)):
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
        ([(1, 0.5), (2, 0.4)], [(1, 0.5), (3, 0.4)], 0.0),  # as near: a tie at the end of a full list
        ([(1, 0.5), (2, 0.4)], [(1, 0.5), (3, 0.3)], 0.1),  # 2 should have been in the other
        ([(1, 0.5), (2, 0.4)], [(1, 0.5)], 0.4),  # a list that ends early holds everything
        ([(2, 0.5), (1, 0.5)], [(1, 0.5), (2, 0.5)], 0.0),
    ],
)
def test_how_far_two_lists_are_apart(one: Any, other: Any, apart: float) -> None:
    rest: list[list[tuple[int, float]]] = [[], [], []]
    for first, second in ((one, other), (other, one)):
        found = ItemKNN(neighbors=2).apart(lists_of(first, *rest), lists_of(second, *rest))
        assert found == pytest.approx(apart)
