"""Popularity by segment: by its definition, whoever is of which segment; forgetting is counting
without; what is stale is refused."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import toy_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

import alteraser as ae
from alteraser.data.deletion import Deletion
from alteraser.data.events import Groups
from alteraser.data.ids import IdMap
from alteraser.engines.session import ExactSession
from alteraser.errors import IntegrityError, InvalidInput, NotFound
from alteraser.models.closed_form import by_segment
from alteraser.models.closed_form.popularity import Popularity

NAMES = ["CH", "DE", "FR", "Ö"]
DAY = 86_400


def segmented(
    seed: int = 0, *, weighted: bool = False, segments: int = 4, **more: Any
) -> ae.Interactions:
    data = toy_interactions(seed=seed, weighted=weighted, **more)
    rng = np.random.default_rng(seed + 1)
    of = pa.array(np.array(NAMES, object)[rng.integers(0, segments, len(data))], pa.string())
    times = 1_600_000_000 + rng.integers(0, 30 * DAY, len(data))
    return replace(data, target=None, timestamp=times, segments=Groups(*IdMap.build(of)))


def rows(data: ae.Interactions) -> list[tuple[int, int, str, float, int]]:
    assert data.segments is not None
    names = data.segments.ids.ids_of(data.segments.rows).to_pylist()
    weights = np.ones(len(data)) if data.confidence is None else data.confidence
    days = data.timestamp // DAY  # type: ignore[operator]
    return list(zip(data.user_rows.tolist(), data.indices.tolist(), names, weights.tolist(),
                    days.tolist(), strict=True))  # fmt: skip


def named(data: ae.Interactions) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in data.to_table().to_pylist()]


def by_hand(data: ae.Interactions, user: int, half_life: float | None) -> Any:
    """What everybody of a user's segment had."""
    all_of_them = rows(data)
    mine = Counter(name for u, _, name, _, _ in all_of_them if u == user)
    segment = min(mine, key=lambda name: (-mine[name], name))
    today = max(day for *_, day in all_of_them)
    scores = np.zeros(data.shape[1])
    for _, v, name, c, day in all_of_them:
        if name == segment:
            scores[v] += c * (1.0 if half_life is None else 0.5 ** ((today - day) / half_life))
    return np.where(scores > 0, scores, -np.inf)


def scores(model: Any, users: Any) -> Any:
    return model.settings.scores(model.settings.formed(model.state, None), users, None)


@pytest.mark.parametrize("half_life", [None, 7.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_lists_are_of_ones_own_segment(weighted: bool, half_life: float | None) -> None:
    data = segmented(weighted=weighted)
    model = Popularity(half_life=half_life).fit(data)
    assert model.settings.segmented
    users = np.flatnonzero(data.user_counts)
    wanted = np.stack([by_hand(data, u, half_life) for u in users.tolist()])
    np.testing.assert_allclose(scores(model, users), wanted, rtol=1e-12)


@settings(max_examples=60)
@given(
    st.integers(0, 10_000), st.booleans(), st.sampled_from([None, 3.0]), st.integers(1, 4),
    st.data(),
)  # fmt: skip
def test_taking_away_is_counting_without(
    seed: int, weighted: bool, half_life: float | None, segments: int, data: st.DataObject
) -> None:
    before = segmented(seed, weighted=weighted, segments=segments)
    kind = Popularity(half_life=half_life).settled(before)
    state = kind.state(before)
    for _ in range(2):
        flags = st.lists(st.booleans(), min_size=len(before), max_size=len(before))
        removal = before.remove(before.keep(~np.array(data.draw(flags), bool)))
        state = kind.without(state, Deletion(before, removal))
        wanted = kind.state(removal.remaining)
        assert state.keys() == wanted.keys()
        for name, array in wanted.items():
            assert state[name].dtype == array.dtype
            np.testing.assert_array_equal(state[name], array)
        kind.check_state(state, before.shape)
        assert kind.apart(state, removal.remaining) <= kind.limit(before)
        before = removal.remaining


def test_a_segment_that_nobody_is_of_any_more_is_gone() -> None:
    data = segmented()
    assert data.segments is not None
    of_ch = data.segments.rows == 0
    erasure = ae.forget(Popularity().fit(data), data.keep(of_ch), data=data)
    assert by_segment.names_of(erasure.model.state) == NAMES[1:]  # type: ignore[attr-defined]
    assert erasure.model.settings.told(erasure.model.state) == {"segments": 3}  # type: ignore[attr-defined]
    assert b"CH" not in erasure.model.state["names"].tobytes()  # type: ignore[attr-defined]


@pytest.mark.parametrize("half_life", [None, 5.0])
@pytest.mark.parametrize("whole", [{"whole_users": True}, {"whole_items": True}, {}])
def test_forgetting_gives_the_lists_of_training_on_the_rest(
    whole: dict[str, bool], half_life: float | None
) -> None:
    data = segmented(3)
    first = data.keep(np.arange(len(data)) < 5)
    asked: Any = [3] if whole else first
    erasure = ae.forget(Popularity(half_life=half_life).fit(data), asked, data=data, **whole)
    fresh = Popularity(half_life=half_life).fit(erasure.remaining.compact())
    everybody = fresh.users.ids.to_pylist()
    mine = erasure.model.recommend(everybody, k=6).to_list()
    assert mine == fresh.recommend(everybody, k=6).to_list()
    assert ae.verify(erasure.model, erasure.remaining).certificate.kind == "A"


def mutant(state: dict[str, Any], name: str) -> dict[str, Any]:
    if name == "a stale count":
        return {**state, "counts": state["counts"] + (np.arange(state["counts"].size) == 2)}
    if name == "somebody of another segment":
        there = int(np.flatnonzero(state["of_user"] >= 0)[0])
        other = state["of_user"].copy()
        other[there] = (other[there] + 1) % state["name_ends"].size
        return {**state, "of_user": other}
    if name == "a segment under another name":
        return {**state, "names": state["names"] ^ np.uint8(1)}
    totals = state["of_item"].copy()
    totals[0] += 1
    return {**state, "of_item": totals}


@pytest.mark.parametrize(
    "name",
    ["a stale count", "somebody of another segment", "a segment under another name", "a total"],
)
def test_what_is_stale_is_refused(name: str) -> None:
    data = segmented()
    erasure = ae.forget(Popularity().fit(data), [3], data=data, whole_users=True)
    wrong = replace(erasure.model, state=mutant(dict(erasure.model.state), name))  # type: ignore
    assert ae.verify(wrong, erasure.remaining).certificate.kind == "D"


def test_other_segments_than_in_training_are_refused() -> None:
    data = segmented()
    model = Popularity().fit(data)
    assert data.segments is not None
    renamed = pa.array([f"{name}2" for name in data.segments.ids.ids.to_pylist()])
    other = Groups(replace(data.segments.ids, ids=renamed), data.segments.rows)
    turned = Groups(data.segments.ids, (data.segments.rows + 1) % data.segments.ids.size)
    for segments in (other, turned):
        with pytest.raises(IntegrityError, match="are not those of the data"):
            ae.forget(model, [3], data=replace(data, segments=segments), whole_users=True)
    with pytest.raises(InvalidInput, match="of which segment it is"):
        ae.verify(model, replace(data, segments=None))
    with pytest.raises(InvalidInput, match="of which segment it is"):
        ae.forget(model, [3], data=replace(data, segments=None), whole_users=True)


@settings(max_examples=40)
@given(st.integers(0, 5_000), st.booleans(), st.sampled_from([None, 3.0]), st.data())
def test_a_warm_session_publishes_what_counting_the_rest_gives(
    seed: int, weighted: bool, half_life: float | None, drawn: st.DataObject
) -> None:
    """Any requests, additions of new people, items and segments, and undoing."""
    data = segmented(seed, weighted=weighted)
    kind = Popularity(half_life=half_life)
    session, others = ExactSession(kind.fit(data), data), ["AT", "DE", "ZZ"]
    for number in range(drawn.draw(st.integers(1, 4))):
        before = session.remaining()
        if drawn.draw(st.booleans()):
            more = segmented(seed + number + 1, weighted=weighted)
            of = drawn.draw(st.sampled_from(others))
            names = pa.array([of] * len(more), pa.string())
            more = replace(more, segments=Groups(*IdMap.build(names)))
            more = more.keep(np.random.default_rng(seed).random(len(more)) < 0.3)
            change = None
            with suppress(NotFound):  # all of them are there
                change = session.add(more, readmit=True)
        else:
            mask = np.random.default_rng(seed + number).random(len(before)) < 0.3
            if not mask.any() or mask.all():
                continue
            change = session.forget(before.keep(mask))
        if change is not None and drawn.draw(st.booleans()):
            session.undo(change)
            assert sorted(named(session.remaining())) == sorted(named(before))
    rest = session.remaining()
    published = session.publish()
    for name, array in published.settings.state(rest).items():
        np.testing.assert_array_equal(published.state[name], array)
    assert ae.verify(published, rest).certificate.kind == "A"


def test_a_session_takes_no_additions_without_segments() -> None:
    data = segmented()
    session = ExactSession(Popularity().fit(data), data)
    with pytest.raises(InvalidInput, match="must both have segments"):
        session.add(replace(data, segments=None))


@pytest.mark.parametrize("half_life", [None, 5.0])
def test_a_segment_lists_what_its_people_are_shown(half_life: float | None) -> None:
    data = segmented()
    model = Popularity(half_life=half_life).fit(data)
    shown = {entry["segment"]: entry["items"] for entry in model.of_segments(NAMES, k=99)}
    lists = model.recommend(k=99).to_list()
    of_user = model.state["of_user"][model.users.rows]
    for entry, segment in zip(lists, of_user.tolist(), strict=True):
        assert entry["items"] == shown[by_segment.names_of(model.state)[segment]]
    out = ae.Selection(items=pa.array([shown["DE"][0]["item_id"]]))
    assert model.of_segments(["DE"], k=99, exclude=out)[0]["items"] == shown["DE"][1:]


def test_what_is_no_segment_is_said() -> None:
    data = segmented()
    with pytest.raises(NotFound, match="segment 'XX' is not in the model, which has 4: 'CH', 'DE'"):
        Popularity().fit(data).of_segments(["XX"])
    plain = replace(data, segments=None)
    with pytest.raises(InvalidInput, match="not counted by segment"):
        Popularity().fit(plain).of_segments(["DE"])
    with pytest.raises(InvalidInput, match="not counted by segment"):
        ae.Cooccurrence().fit(plain).of_segments(["DE"])


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_what_is_done_to_interactions_is_done_to_their_segments(seed: int) -> None:
    data = segmented(seed)
    assert data.segments is not None

    def said(these: ae.Interactions) -> dict[tuple[Any, Any], Any]:
        table = these.to_table().to_pydict()
        return dict(zip(zip(table["user_id"], table["item_id"], strict=True), table["segment"],
                        strict=True))  # fmt: skip

    rng = np.random.default_rng(seed)
    mask = rng.random(len(data)) < 0.5
    some, others = data.keep(mask), data.keep(~mask)
    assert said(some.add(others)) == said(data) == said(data.compact())
    order = rng.permutation(len(data))
    shuffled = ae.Interactions.from_table(data.to_table().take(pa.array(order)))
    assert said(shuffled) == said(data)
    assert said(shuffled.in_rows_of(data.users, data.items)) == said(data)
    flipped = IdMap(data.items.ids, data.items.rows[::-1].copy(), data.items.size)
    order = np.argsort(flipped.rows)
    flipped = IdMap(data.items.ids.take(pa.array(order)), np.sort(flipped.rows), data.items.size)
    assert said(data.in_rows_of(data.users, flipped)) == said(data)


def test_ids_of_segments_are_of_one_kind() -> None:
    data = segmented()
    numbered = replace(data, segments=Groups(*IdMap.build(np.arange(len(data)) % 3)))
    with pytest.raises(InvalidInput, match="segment"):
        numbered.keep(np.arange(len(data)) < 3).add(data.keep(np.arange(len(data)) >= 3))
