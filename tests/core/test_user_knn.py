"""User-based neighbors: by their definition, ties included, and forgotten with whoever is
erased."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import toy_interactions

import alteraser as ae
from alteraser.models.neighbors.similarity import NAMES, GlobalTerms
from alteraser.models.neighbors.user_knn import UserKNN


def dense(data: ae.Interactions) -> Any:
    x = np.zeros(data.shape)
    x[data.user_rows, data.indices] = 1.0 if data.confidence is None else data.confidence
    return x


def weighed(x: Any, kind: UserKNN) -> Any:
    """The formulas of the page, people as documents, items as terms."""
    held = x > 0
    people, frequency = int(held.any(1).sum()), held.sum(0)
    rare = np.log(people) - np.log1p(frequency)
    if kind.similarity == "tfidf":
        return np.where(held, np.sqrt(x) * rare, 0.0)
    if kind.similarity == "bm25":
        norm = (1 - kind.b) + kind.b * x.sum(1) / (x.sum() / people)
        return np.where(held, x * (kind.k1 + 1) / (kind.k1 * norm[:, None] + x) * rare, 0.0)
    return held.astype(float) if kind.similarity == "jaccard" else x


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shrinkage", [0.0, 2.0])
@pytest.mark.parametrize("name", NAMES)
def test_lists_by_the_definition(name: Any, shrinkage: float, weighted: bool) -> None:
    data = replace(toy_interactions(11, 8, 0.45, seed=3, weighted=weighted), target=None)
    kind = UserKNN(similarity=name, neighbors=3, shrinkage=shrinkage)
    x = dense(data)
    y = weighed(x, kind)
    both = y @ y.T
    size = np.sqrt((y**2).sum(1))
    below = np.outer(size, size)
    if name == "jaccard":
        below = y.sum(1)[:, None] + y.sum(1)[None, :] - both
    if name == "bm25":
        below = np.ones_like(both)
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = np.where(both > 0, both / (below + shrinkage), 0.0)
    np.fill_diagonal(alike, 0.0)
    near = np.zeros_like(alike)
    for u, row in enumerate(alike.round(12)):  # equally near: by row, which is the order of ids
        for w in np.lexsort((np.arange(row.size), -row))[:3]:
            near[u, w] = alike[u, w]
    scores = kind.scores(kind.formed(kind.state(data), data), np.arange(11), data)
    np.testing.assert_allclose(
        np.where(scores == -np.inf, 0.0, scores), near @ x, rtol=1e-12, atol=1e-12
    )


def test_equally_near_people_come_in_the_order_of_their_ids() -> None:
    data = ae.Interactions.from_pairs([(u, 0) for u in range(6)] + [(u, 10 + u) for u in range(6)])
    model = ae.UserKNN(neighbors=2).fit(data)
    lists = model.recommend([0, 1, 5], k=9, seen=data).to_list()
    assert [[item["item_id"] for item in entry["items"]] for entry in lists] == [
        [11, 12],
        [10, 12],
        [10, 11],
    ]


@pytest.mark.parametrize("name", NAMES)
def test_lists_after_forgetting_are_those_of_a_new_model(name: Any) -> None:
    """Of a model that never had the rows either: counted anew from a file of what remains."""
    data = replace(toy_interactions(30, 20, 0.25, seed=5), target=None)
    model = ae.UserKNN(similarity=name, neighbors=4).fit(data)
    erasure = ae.forget(model, [3, 7, 19], data=data, whole_users=True)
    fresh = ae.UserKNN(similarity=name, neighbors=4).fit(erasure.remaining.compact())
    mine = erasure.model.recommend(fresh.users.ids, k=6, seen=erasure.remaining).to_list()
    assert mine == fresh.recommend(k=6, seen=erasure.remaining.compact()).to_list()
    assert ae.verify(erasure.model, erasure.remaining).certificate.kind == "A"


@pytest.mark.parametrize("name", ["frequencies", "people", "length"])
def test_a_stale_count_is_refused(name: str) -> None:
    data = replace(toy_interactions(30, 20, 0.25, seed=5), target=None)
    model = ae.UserKNN(similarity="bm25").fit(data)
    erasure = ae.forget(model, [3], data=data, whole_users=True)
    stale = replace(erasure.model, state={**erasure.model.state, name: model.state[name]})
    assert ae.verify(stale, erasure.remaining).certificate.kind == "D"


def test_what_is_known_of_all_counts_who_is_there() -> None:
    """Rows of people and items who are gone are no documents and no terms."""
    data = toy_interactions(13, 9, 0.4)
    assert GlobalTerms.of(data).documents == int((data.item_counts > 0).sum()) == 8
    assert GlobalTerms.of(data, documents=9).documents == 9
