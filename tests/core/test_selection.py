"""What a request selects, against brute force; ids that are nearly there; windows of time."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions, accounted
from alteraser.data.selection import UNITS, Near, Selection, Window, bare, near
from alteraser.errors import InvalidInput, NotFound

Pairs = set[tuple[int, int]]
small = st.integers(0, 5)
pairs = st.sets(st.tuples(small, small))


def made(found: Pairs) -> Interactions:
    """Interactions at the time 10 u + v."""
    ordered = sorted(found)
    columns = {
        "user_id": [u for u, _ in ordered],
        "item_id": [v for _, v in ordered],
        "timestamp": [10 * u + v for u, v in ordered],
    }
    return Interactions.from_table(
        pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()})
    )


def back(data: Interactions) -> Pairs:
    table = data.to_table()
    return set(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))


@given(
    pairs,
    pairs,
    st.sampled_from(["pairs", "users", "items", "window"]),
    st.booleans(),
    small,
    small,
)
def test_every_kind_with_and_without_a_window(
    have: Pairs, asked: Pairs, kind: str, windowed: bool, first: int, length: int
) -> None:
    window = (
        Window(since=10 * first, until=10 * (first + length) + 1)
        if windowed or kind == "window"
        else None
    )
    users, items = [u for u, _ in sorted(asked)], [v for _, v in sorted(asked)]
    selection = Selection(
        pa.array(users, pa.int64()) if kind in ("pairs", "users") else None,
        pa.array(items, pa.int64()) if kind in ("pairs", "items") else None,
        window,
    )
    assert selection.kind == kind

    def selected(u: int, v: int) -> bool:
        inside = window is None or 10 * first <= 10 * u + v < 10 * (first + length) + 1
        named = {
            "pairs": (u, v) in asked,
            "users": u in users,
            "items": v in items,
            "window": True,
        }[kind]
        return inside and named

    removal = made(have).remove(selection)
    gone = {pair for pair in have if selected(*pair)}
    assert back(removal.removed) == gone
    assert back(removal.remaining) == have - gone
    matched = {
        "pairs": gone,
        "users": {u for u, _ in gone},
        "items": {v for _, v in gone},
        "window": set(),
    }[kind]
    rows = [
        tuple(row.values()) if kind == "pairs" else next(iter(row.values()))
        for row in selection.table.to_pylist()
    ]
    left = [
        tuple(row.values()) if kind == "pairs" else next(iter(row.values()))
        for row in removal.unmatched.to_pylist()
    ]
    assert left == [row for row in rows if row not in matched]
    ids = removal.remaining.users.ids_of(removal.emptied_users).to_pylist()
    assert set(ids) == {u for u, _ in gone} - {u for u, _ in have - gone}


@given(st.lists(st.tuples(small, small)), pairs)
def test_rows_in_any_order_and_repeated_give_the_same_answer(
    rows: list[tuple[int, int]], asked: Pairs
) -> None:
    """The route that files take, where rows are not sorted, against plain sets."""
    users, items = (IdMap.build(pa.array(range(6), pa.int64()))[0] for _ in range(2))
    u, v = (np.array([row[k] for row in rows], np.int64) for k in (0, 1))
    hit, matched = (
        Selection.of(sorted(asked)).find(users, items, u, v)
        if asked
        else (np.zeros(len(rows), bool), [])
    )
    assert hit.tolist() == [row in asked for row in rows]
    assert list(matched) == [pair in rows for pair in sorted(asked)]


@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_iso_times_mean_the_columns_own_unit(unit: str, scale: int) -> None:
    moment = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
    ticks = int(moment.timestamp()) * scale
    times = np.array([ticks - 1, ticks, ticks + 1])
    for text in (
        "2024-02-29T12:30",
        "2024-02-29T12:30:00Z",
        "2024-02-29T13:30:00+01:00",
        str(ticks),
    ):
        assert Window(since=text).settled(times).mask(times).tolist() == [False, True, True], unit
        assert Window(until=text).settled(times).mask(times).tolist() == [True, False, False]


def test_windows_that_mean_nothing_are_refused() -> None:
    times = np.array([1_700_000_000])
    for since, until, words in (
        (None, None, "beginning or an end"),
        ("yesterday", None, "expected ISO 8601"),
        ("2024-01-02", "2024-01-01", "is not before"),
        ("2024-01-01", "2024-01-01", "is not before"),
        ("2024-01-01T00:00:00.5", None, "whole s"),
    ):
        with pytest.raises(InvalidInput, match=words):
            Window(since, until).settled(times)
    data = made({(0, 0)})
    with pytest.raises(
        NotFound, match="no interaction lies in the window from 1970-01-01T00:00:50"
    ):
        accounted(data.remove(Selection(window=Window(since=50))))
    with pytest.raises(InvalidInput, match="--timestamp-column"):
        Interactions.from_pairs([(0, 0)]).remove(Selection(window=Window(since=50)))


def test_a_part_of_a_sum_cannot_be_forgotten() -> None:
    table = pa.table({"user_id": [1, 1, 2], "item_id": [1, 1, 2], "timestamp": [0, 9, 9]})
    data = Interactions.from_table(table, duplicates="sum")
    with pytest.raises(InvalidInput, match="summed"):
        data.remove(Selection(window=Window(since=5)))
    assert len(data.remove([(1, 1)]).removed) == 1


def test_forms_of_an_id_are_shown_and_never_taken() -> None:
    cafe = "Café"
    known, _ = IdMap.build(["155061222", "3.0", unicodedata.normalize("NFD", cafe), "Ann", "x "])
    given = ["0155061222", "3", unicodedata.normalize("NFC", cafe), "ann", "x", "nobody"]
    answers = near(given, known, "user_id")
    assert {each.given for each in answers} == set(given[:-1])
    assert all(
        bare(each.given) == bare(each.known) and each.given != each.known for each in answers
    )
    data = Interactions.from_pairs([(name, "i") for name in known.ids.to_pylist()])
    removal = data.remove(given, whole_users=True)
    assert len(removal.removed) == 0
    assert len(removal.near) == 5
    numbers, _ = IdMap.build(pa.array([3, 155061222]))
    found = near(["0155061222", "3.0", "-3", " 3", "4"], numbers, "item_id")
    assert [(each.given, each.known) for each in found] in (
        [("0155061222", 155061222), ("3.0", 3)],
        [("0155061222", 155061222), (" 3", 3)],
    )
    assert Near("item_id", "3.0", 3).words == "item_id '3.0' is not in the data, 3 is"


def test_strict_is_about_rows_that_match_nothing_at_all() -> None:
    data = made({(1, 1), (2, 2)})
    with pytest.raises(NotFound, match=r"--strict: 1 row\(s\) .* user_id 3, item_id 1"):
        accounted(data.remove([(1, 1), (3, 1)]), strict=True)
    under = accounted(
        data.remove([(1, 1), (3, 1)]),
        strict=True,
        below=lambda rest: np.ones(rest.table.num_rows, bool),
    )
    assert under.below is not None
    assert under.below.to_pylist() == [{"user_id": 3, "item_id": 1}]
    assert under.unmatched.num_rows == 0


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("other", UNITS)
def test_a_number_of_another_unit_is_no_bound(unit: str, other: str) -> None:
    """It would be before or behind everything, so that all of a history went, or nothing."""
    when = 1_700_000_000
    times = np.array([(when + n) * UNITS[unit] for n in range(3)])
    for name in ("since", "until"):
        bound = {name: (when + 1) * UNITS[other]}
        if unit == other:
            assert Window(**bound).settled(times).mask(times).sum() == (2 if name == "since" else 1)
            continue
        words = rf"--{name} \d+: by its size in {other} .* are in {unit}. Write it in {unit}"
        with pytest.raises(InvalidInput, match=words):
            Window(**bound).settled(times)
        Window(**bound).settled(times[:0])  # nothing says a unit
    assert Window(since=0).settled(times).mask(times).all()
    assert Window(since=1000, until=2**62 if unit == "ns" else None).settled(times)


@pytest.mark.parametrize(
    ("asked", "of"),
    [
        (["ann", ""], {"whole_users": True}),
        (["", "tea"], {"whole_items": True}),
        ([("ann", "")], {}),
        (pa.table({"user_id": ["", "ann"]}), {"whole_users": True}),
        (pa.table({"user_id": ["ann"], "item_id": [""]}), {}),
    ],
)
def test_an_empty_id_is_none(asked: object, of: dict[str, bool]) -> None:
    with pytest.raises(InvalidInput, match=r"entry \d is empty; every id must be given"):
        Selection.of(asked, **of)


def test_an_empty_user_is_none() -> None:
    with pytest.raises(InvalidInput, match="--user: entry 0 is empty"):
        Selection(window=Window("2026-01-01")).of_users([""])
