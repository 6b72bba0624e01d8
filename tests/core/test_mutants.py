"""What verify has to refuse, for every kind that forgets exactly: whatever of a state is left as it
was before a deletion, or is that of other data by a single row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_events import rows
from test_popularity_by_segment import segmented

import alteraser as ae
from alteraser.data.interactions import Interactions, Removal
from alteraser.errors import InvalidInput
from alteraser.models.closed_form.popularity import Popularity
from alteraser.models.neighbors.user_knn import UserKNN

PAIRS: dict[str, Any] = {
    "popularity": Popularity(),
    "popularity, half-life": Popularity(half_life=3.0),
    "item-knn cosine": ae.ItemKNN(similarity="cosine", neighbors=3),
    "item-knn jaccard": ae.ItemKNN(similarity="jaccard", neighbors=3),
    "item-knn tfidf": ae.ItemKNN(similarity="tfidf", neighbors=3),
    "item-knn bm25": ae.ItemKNN(similarity="bm25", neighbors=3),
    "user-knn": UserKNN(similarity="bm25"),
    "cooccurrence": ae.Cooccurrence(neighbors=3),
    "ease": ae.EASE(regularization=5.0),
    "ease, dropout": ae.EASE(regularization=5.0, dropout=0.3),
}
SEGMENTS: dict[str, Any] = {
    "popularity by segment": Popularity(),
    "popularity by segment, half-life": Popularity(half_life=3.0),
}
EVENTS: dict[str, Any] = {
    "vs-knn": ae.VSKNN(),
    "slist": ae.SLIST(),
    "tifu-knn": ae.TIFUKNN(neighbors=3, group_size=2),
    "top-frequency": ae.TopFrequency(),
}
KINDS = PAIRS | SEGMENTS | EVENTS


def data_of(name: str) -> Interactions:
    if name in EVENTS:
        return Interactions.read(rows(80, 3), session_column="group", timestamp_column="timestamp")
    data = segmented(3)
    return data if name in SEGMENTS else replace(data, segments=None)


def asked(name: str, data: Interactions) -> Removal:
    """Somebody in the middle goes, and with them the newest day."""
    rows_of_users = np.flatnonzero(data.user_counts)
    return data.remove(data.users.ids_of(rows_of_users[1:3]), whole_users=True)


def verified(model: Any, state: Any, data: Interactions) -> str:
    """The class of a model with this state."""
    return str(ae.verify(replace(model, state=state), data).certificate.kind)


def forgotten(name: str) -> tuple[Any, Any, Interactions]:
    """(the original's state, what forgetting makes of the model, the remaining data)."""
    data = data_of(name)
    model = KINDS[name].fit(data)
    erasure = ae.forget(model, asked(name, data).selection, data=data)
    assert verified(erasure.model, erasure.model.state, erasure.remaining) == "A"  # type: ignore[attr-defined]
    return model.state, erasure.model, erasure.remaining


@pytest.mark.parametrize("name", KINDS)
def test_an_array_that_is_left_as_it_was_is_refused(name: str) -> None:
    """Document frequencies, neighbor lists, sums of sessions, counts of a segment or of a basket:
    each array of the state in turn."""
    before, model, rest = forgotten(name)
    stale = 0
    for array, after in model.state.items():
        old = before[array]
        if array == "drift" or old.shape != after.shape or np.array_equal(old, after):
            continue
        stale += 1
        state = {**model.state, array: old}
        try:
            model.settings.check_state(state, model.shape)
        except (ValueError, InvalidInput):
            continue  # no such file is read
        assert verified(model, state, rest) == "D", array
    assert stale or name in ("vs-knn", "top-frequency", "tifu-knn"), "other shapes alone"
    assert verified(model, before, rest) == "D"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kept", [False, True], ids=["one row dropped", "one row kept"])
def test_a_single_row_too_few_or_too_many_is_refused(name: str, kept: bool) -> None:
    """Of who stays one is dropped, or one of who went is counted still."""
    _, model, rest = forgotten(name)
    data = data_of(name)
    gone = asked(name, data)
    users = data.events.users if data.events is not None else data.user_rows
    stays = ~np.isin(users, gone.touched_users)
    tried = 0
    for place in np.flatnonzero(~stays if kept else stays)[:5].tolist():
        mask = stays.copy()
        mask[place] = kept
        state = model.settings.state(data.keep_rows(mask))
        if all(np.array_equal(state[key], array) for key, array in model.state.items()):
            continue  # a second event of an item in one session, where a set is kept
        tried += 1
        assert verified(model, state, rest) == "D"
    assert tried


@pytest.mark.parametrize("name", [name for name in KINDS if "half-life" in name])
@pytest.mark.parametrize("days", [-1, 1])
def test_an_age_from_the_wrong_day_is_refused(name: str, days: int) -> None:
    _, model, rest = forgotten(name)
    one = model.state["days"].copy()
    one[0] += days
    for shifted in (model.state["days"] + days, one):
        wrong = {**model.state, "days": shifted.astype(np.int32)}
        assert verified(model, wrong, rest) == "D"


@pytest.mark.parametrize("name", [name for name in KINDS if "item-knn" in name])
def test_a_neighbor_list_that_was_not_cut_back_is_refused(name: str) -> None:
    before, model, rest = forgotten(name)
    changed = [
        row
        for row in range(rest.shape[1])
        if not np.array_equal(before["neighbors"][row], model.state["neighbors"][row])
        or not np.array_equal(before["similarities"][row], model.state["similarities"][row])
    ]
    assert changed
    for row in changed:
        state = {key: array.copy() for key, array in model.state.items()}
        for array in ("neighbors", "similarities"):
            state[array][row] = before[array][row]
        assert verified(model, state, rest) == "D", row
