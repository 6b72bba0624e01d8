"""The receipt of what went beside the interactions, counted by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import toy_interactions

import alteraser as ae
from alteraser.models.closed_form.popularity import Popularity
from alteraser.models.closed_form.scrubbed import Scrubbed
from alteraser.models.neighbors.cooccurrence import Cooccurrence
from alteraser.models.neighbors.item_knn import ItemKNN
from alteraser.models.neighbors.user_knn import UserKNN


@pytest.fixture
def data() -> ae.Interactions:
    """With an item that user 3 alone has."""
    found = toy_interactions(30, 12, 0.3, seed=4)
    taken = found.keep((found.indices != 5) | (found.user_rows == 3))
    whole = taken if taken.item_counts[5] else taken.add(ae.Interactions.from_pairs([(3, 5)]))
    rng = np.random.default_rng(2)
    return replace(whole, target=None, timestamp=rng.integers(0, 9, len(whole)) * 86_400 + 10**9)


@pytest.mark.parametrize(
    "kind",
    [Popularity(half_life=2), Cooccurrence(), ItemKNN(neighbors=3), UserKNN(neighbors=3)],
    ids=str,
)
def test_names_and_frequencies(kind: Any, data: ae.Interactions) -> None:
    erasure = ae.forget(kind.fit(data), [3], data=data, whole_users=True)
    had = int(data.user_counts[3])
    assert (
        erasure.details["scrubbed"]["users"],
        erasure.details["scrubbed"]["items"],
        erasure.details["scrubbed"]["document_frequencies"],
    ) == (1, 1, had)
    assert 5 not in erasure.model.items.ids.to_pylist()
    assert 5 not in erasure.remaining.items.ids.to_pylist()
    assert 3 not in erasure.model.users.ids.to_pylist()
    assert ae.verify(erasure.model, erasure.remaining).certificate.kind == "A"


def test_ages(data: ae.Interactions) -> None:
    erasure = ae.forget(Popularity(half_life=2).fit(data), [3, 4], data=data, whole_users=True)
    gone = erasure.removed
    assert erasure.details["scrubbed"]["days"] == len(
        {(v, t) for v, t in zip(gone.indices, gone.timestamp, strict=True)}
    )  # type: ignore[arg-type]
    assert "counts by day" in Scrubbed(**erasure.details["scrubbed"]).words


def test_pairs(data: ae.Interactions) -> None:
    erasure = ae.forget(Cooccurrence().fit(data), [3], data=data, whole_users=True)
    assert (
        erasure.details["scrubbed"]["pairs"]
        == int(data.user_counts[3]) * (int(data.user_counts[3]) - 1) // 2
    )


def test_neighbor_lists_of_items(data: ae.Interactions) -> None:
    model = ItemKNN(neighbors=3).fit(data)
    erasure = ae.forget(model, [3], data=data, whole_users=True)
    rows = [
        i
        for i in range(12)
        if any(
            model.state[name][i].tolist() != erasure.model.state[name][i].tolist()
            for name in model.state
        )
    ]
    others = [i for i in rows if i not in data.indices[data.user_rows == 3].tolist()]
    assert erasure.details["scrubbed"]["neighbor_lists"] == len(rows)
    assert erasure.details["scrubbed"]["neighbor_lists_of_others"] == len(others)


def test_neighbor_lists_of_people(data: ae.Interactions) -> None:
    model = UserKNN(neighbors=3).fit(data)
    everybody = model.settings.lists(model.settings.formed(model.state, data), np.arange(30))[0]
    held = [u for u in range(30) if u != 3 and 3 in everybody[u].tolist()]
    erasure = ae.forget(model, [3], data=data, whole_users=True)
    assert erasure.details["scrubbed"]["neighbor_lists_of_others"] == len(held) > 0
    after = erasure.model.settings.lists(
        model.settings.formed(erasure.model.state, erasure.remaining), np.arange(30)
    )
    assert 3 not in after[0]
