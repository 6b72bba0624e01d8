"""Popularity that fades: by its definition, whatever the unit of the times; an age from the wrong
day is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from conftest import toy_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

import alteraser as ae
from alteraser.data.deletion import Deletion
from alteraser.data.selection import UNITS
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.models.closed_form.by_day import days_of
from alteraser.models.closed_form.popularity import Popularity

START = int(datetime(2020, 5, 17, 21, tzinfo=UTC).timestamp())


def timed(
    seed: int = 0, *, weighted: bool = False, days: int = 40, unit: str = "s", **more: Any
) -> ae.Interactions:
    data = toy_interactions(seed=seed, weighted=weighted, **more)
    rng = np.random.default_rng(seed + 1)
    seconds = START - rng.integers(0, days * 86_400, len(data))
    return replace(data, target=None, timestamp=seconds * UNITS[unit])


def by_hand(data: ae.Interactions, half_life: float, as_of: str | None = None) -> Any:
    ticks = UNITS["ms"] if int(np.abs(data.timestamp).max()) > 10**11 else 1  # type: ignore[arg-type]
    dates = [
        (datetime(1970, 1, 1) + timedelta(seconds=int(t) // ticks)).date() for t in data.timestamp
    ]  # type: ignore[union-attr]
    today = max(dates) if as_of is None else datetime.fromisoformat(as_of).date()
    scores = np.zeros(data.shape[1])
    for place, (v, day) in enumerate(zip(data.indices, dates, strict=True)):
        if day <= today:
            c = 1.0 if data.confidence is None else data.confidence[place]
            scores[v] += c * 0.5 ** ((today - day).days / half_life)
    return scores


@pytest.mark.parametrize("unit", ["s", "ms"])
@pytest.mark.parametrize("as_of", [None, "2020-05-02", "2021-01-01"])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_by_the_definition(weighted: bool, as_of: str | None, unit: str) -> None:
    data = timed(weighted=weighted, unit=unit)
    model = Popularity(half_life=7, as_of=as_of).fit(data)
    scores = model.settings.scores(model.settings.formed(model.state, None), np.arange(2), None)
    wanted = by_hand(data, 7, as_of)
    np.testing.assert_allclose(
        scores, np.tile(np.where(wanted > 0, wanted, -np.inf), (2, 1)), rtol=1e-12
    )


def test_days_before_1970_are_days() -> None:
    assert days_of(np.array([-1, 0, 86_399, -86_400])).tolist() == [-1, 0, 0, -1]


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.booleans(), st.data())
def test_taking_away_is_counting_without(seed: int, weighted: bool, data: st.DataObject) -> None:
    kind = Popularity(half_life=3)
    before = timed(seed, weighted=weighted, days=data.draw(st.sampled_from([2, 30])))
    state = kind.state(before)
    for _ in range(2):
        kept = np.array(
            data.draw(st.lists(st.booleans(), min_size=len(before), max_size=len(before))), bool
        )
        removal = before.remove(before.keep(~kept))
        state = kind.without(state, Deletion(before, removal))
        wanted = kind.state(removal.remaining)
        for name, array in wanted.items():
            assert state[name].dtype == array.dtype
            np.testing.assert_array_equal(state[name], array)
        before = removal.remaining


def test_the_day_that_is_counted_from_moves_with_the_data() -> None:
    """Whoever was there last is erased: everything is younger, as if they had never been."""
    data = timed(days=30)
    last = data.users.ids[int(data.user_rows[np.argmax(data.timestamp)])].as_py()  # type: ignore[arg-type]
    erasure = ae.forget(Popularity(half_life=5).fit(data), [last], data=data, whole_users=True)
    fresh = Popularity(half_life=5).fit(erasure.remaining.compact())
    mine = erasure.model.recommend([int(fresh.users.ids[0].as_py())], k=9).to_list()
    assert mine == fresh.recommend([int(fresh.users.ids[0].as_py())], k=9).to_list()
    assert ae.verify(erasure.model, erasure.remaining).certificate.kind == "A"


def mutant(state: dict[str, Any], name: str) -> dict[str, Any]:
    if name == "a stale count":
        return {**state, "counts": state["counts"] + (np.arange(state["counts"].size) == 2)}
    if name == "one item a day late":
        days = state["days"].copy()
        days[state["starts"][4] : state["starts"][5]] += 1
        return {**state, "days": days}
    return {**state, "days": state["days"] + np.int32(1)}


@pytest.mark.parametrize(
    "name", ["an age counted from the wrong day", "one item a day late", "a stale count"]
)
def test_what_is_stale_is_refused(name: str) -> None:
    data = timed()
    erasure = ae.forget(Popularity(half_life=5).fit(data), [3], data=data, whole_users=True)
    wrong = replace(erasure.model, state=mutant(dict(erasure.model.state), name))
    assert ae.verify(wrong, erasure.remaining).certificate.kind == "D"


def test_data_without_times_are_refused() -> None:
    data = timed()
    model, bare = Popularity(half_life=5).fit(data), replace(data, timestamp=None)
    with pytest.raises(InvalidInput, match="when it was"):
        ae.forget(model, [3], data=bare, whole_users=True)
    with pytest.raises(InvalidInput, match="when it was"):
        ae.verify(model, bare)


def test_other_times_than_in_training_are_refused() -> None:
    data = timed()
    model = Popularity(half_life=5).fit(data)
    later = replace(data, timestamp=data.timestamp + 86_400 * 400)  # type: ignore[operator]
    with pytest.raises(IntegrityError, match="the times are not those of the data"):
        ae.forget(model, [3], data=later, whole_users=True)
    assert ae.verify(model, later).certificate.kind == "D"


def test_data_from_which_it_is_gone_already() -> None:
    data = timed()
    model = Popularity(half_life=5).fit(data)
    rest = data.remove([3], whole_users=True).remaining
    erasure = ae.forget(model, [3], data=rest, whole_users=True)
    assert ae.verify(erasure.model, erasure.remaining).certificate.kind == "A"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"as_of": "2020-01-01"}, "give half_life as well"),
        ({"half_life": 3, "as_of": "yesterday"}, "'yesterday' is not a day such as"),
        ({"half_life": 0}, "half_life: Input should be greater than 0"),
    ],
)
def test_settings_are_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Popularity(**given)


def test_times_are_needed() -> None:
    with pytest.raises(
        InvalidInput, match="popularity needs to know of every interaction when it was"
    ):
        Popularity(half_life=3).fit(replace(toy_interactions(), target=None))
