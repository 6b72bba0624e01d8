"""Large data in parts: whatever the size of the parts, the same comes out; and what nobody asked
about stays as it is."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_events import READINGS, rows

import alteraser as ae
from alteraser.bench.warm import generated
from alteraser.data import blocks, events, interactions, sums
from alteraser.data.interactions import Interactions
from alteraser.models.closed_form.by_item import reached

Array = npt.NDArray[Any]


def read(seed: int, options: dict[str, Any] | None) -> Interactions:
    table = rows(120, seed)
    pairs = pa.table({name: table[name] for name in ("user_id", "item_id", "timestamp")})
    return (
        Interactions.from_table(pairs, duplicates="last")
        if options is None
        else Interactions.read(table, **options)
    )


def same(one: Interactions, other: Interactions) -> None:
    """Every array of both."""
    for name in ("indptr", "indices", "timestamp"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    if one.events is not None and other.events is not None:
        for name in ("users", "items", "numbers", "at", "time", "indptr", "owners", "ends"):
            np.testing.assert_array_equal(getattr(one.events, name), getattr(other.events, name))
        if one.events.groups is not None and other.events.groups is not None:
            np.testing.assert_array_equal(one.events.groups.rows, other.events.groups.rows)


def by_hand(data: Interactions) -> list[tuple[int, int, int | None]]:
    """(user, item, the last time) of the distinct pairs of events, by loops."""
    assert data.events is not None
    happened = data.events
    times = [None] * len(happened) if happened.time is None else happened.time.tolist()
    found: dict[tuple[int, int], int | None] = {}
    for u, v, t in zip(happened.users.tolist(), happened.items.tolist(), times, strict=True):
        found[u, v] = t if t is None else max(t, found.get((u, v)) or t)
    return sorted((u, v, t) for (u, v), t in found.items())


@pytest.mark.parametrize("options", [None, *READINGS])
@pytest.mark.parametrize("seed", range(3))
def test_the_size_of_parts_does_not_count(
    options: dict[str, Any] | None, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read(seed, options)
    kind: Any = ae.Popularity() if options is None else ae.TopFrequency()
    if options and "session_column" in options:
        kind = ae.VSKNN()
    wanted = whole.digest, sums.Sums.of(whole), reached(whole), kind.state(whole)
    monkeypatch.setattr(blocks.of_users, "__defaults__", (5,))
    monkeypatch.setattr(blocks, "ENTRIES", 7)
    monkeypatch.setattr(sums, "BLOCK", 6)
    again = read(seed, options)
    same(again, whole)
    assert again.digest == wanted[0]
    assert sums.Sums.of(again).differing(wanted[1]) == 0
    np.testing.assert_array_equal(reached(again), wanted[2])
    for name, array in kind.state(again).items():
        np.testing.assert_array_equal(array, wanted[3][name])
    if whole.events is not None:
        pairs = zip(
            again.user_rows.tolist(),
            again.indices.tolist(),
            [None] * len(again) if again.timestamp is None else again.timestamp.tolist(),
            strict=True,
        )
        assert list(pairs) == by_hand(again)


def test_a_digest_is_that_of_all_pairs_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ENTRIES", 7)
    data = read(1, None)
    sha = hashlib.sha256(b"alteraser-interactions-1\n")
    for ids in (data.users.ids, data.items.ids):
        sha.update(f"int64 {len(ids)}\n".encode() + ids.to_numpy().astype("<i8").tobytes())
    sha.update((data.user_rows * len(data.items) + data.indices).astype("<i8").tobytes())
    sha.update(2 * np.ones(len(data)).tobytes())
    assert data.digest == sha.hexdigest()


@given(
    seed=st.integers(0, 1000),
    options=st.sampled_from(READINGS),
    gone=st.sets(st.integers(0, 119), max_size=30),
    few=st.sampled_from([0, 1, 4]),
)
def test_who_loses_nothing_keeps_the_same_events(
    seed: int, options: dict[str, Any], gone: set[int], few: int
) -> None:
    """Settling those anew who lose something is settling all, in every array."""
    whole = read(seed, options)
    assert whole.events is not None
    mask = np.ones(len(whole.events), bool)
    mask[[place for place in gone if place < mask.size]] = False
    wanted = Interactions.of_events(
        whole.users, whole.items, whole.events.taken(np.flatnonzero(mask))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "FEW", few)  # 0: always spliced
        same(whole.keep_events(mask), wanted)


@given(seed=st.integers(0, 1000), data=st.data())
def test_pairs_are_found_one_by_one_as_all_at_once(seed: int, data: st.DataObject) -> None:
    whole = read(seed, None)
    pair = st.tuples(st.integers(-2, 6), st.integers(-2, 9))
    asked = np.array(data.draw(st.lists(pair, max_size=20)), np.int64).reshape(-1, 2)
    places = {
        pair: place
        for place, pair in enumerate(
            zip(whole.user_rows.tolist(), whole.indices.tolist(), strict=True)
        )
    }
    wanted = [places.get((u, v), -1) for u, v in asked.tolist()]
    for few in (0, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(interactions, "FEW", few)
            assert whole.locate(asked[:, 0], asked[:, 1]).tolist() == wanted


@given(seed=st.integers(0, 1000), mask=st.lists(st.booleans(), min_size=120, max_size=120))
def test_keeping_pairs_counts_them_anew(seed: int, mask: list[bool]) -> None:
    whole = read(seed, None)
    flags = np.array(mask[: len(whole)])
    kept = whole.keep(flags)
    np.testing.assert_array_equal(kept.user_rows, whole.user_rows[flags])
    np.testing.assert_array_equal(kept.indices, whole.indices[flags])


@pytest.mark.parametrize("of_events", [False, True])
def test_generated_data_are_what_reading_them_gives(of_events: bool) -> None:
    """Put together of parts, and every fifth event twice."""
    data = generated(70, events=of_events, at_a_time=20)
    again = Interactions.from_table(data.to_table(), users=data.users, items=data.items)
    same_but_order(again, data)
    assert (data.count > len(data)) == of_events


def same_but_order(one: Interactions, other: Interactions) -> None:
    """All but numbers by which the order of different people's events is told."""
    assert one.digest == other.digest
    for name in ("indptr", "indices", "timestamp"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    if one.events is not None and other.events is not None:
        for name in ("users", "items", "numbers", "time"):
            np.testing.assert_array_equal(getattr(one.events, name), getattr(other.events, name))
        of_user = [
            np.diff(each.at)[np.diff(each.users) == 0] > 0 for each in (one.events, other.events)
        ]
        np.testing.assert_array_equal(*of_user)
