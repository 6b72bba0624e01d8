"""Events: sessions and baskets read, ordered, cut and forgotten as if what went had never been
there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.data.interactions import Interactions
from alteraser.data.readers import ReadingOptions
from alteraser.data.selection import Selection, Window
from alteraser.data.sums import Sums
from alteraser.errors import InvalidInput

READINGS: list[dict[str, Any]] = [
    {"session_column": "group"},
    {"session_column": "user_id"},
    {"session_column": "group", "timestamp_column": "timestamp"},
    {"session_column": "group", "timestamp_column": "timestamp", "position_column": "place"},
    {"session_column": "group", "position_column": "place"},
    {"session_gap": "20", "timestamp_column": "timestamp"},
    {"basket_column": "group"},
    {"basket_column": "group", "timestamp_column": "timestamp"},
    {"basket_column": "timestamp", "timestamp_column": "timestamp"},
]


def rows(count: int, seed: int, step: int = 1) -> pa.Table:
    """Few users, items, groups and times, ``step`` apart, so that everything repeats and ties."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "user_id": rng.integers(0, 5, count),
            "item_id": rng.integers(0, 7, count),
            "group": [f"g{each}" for each in rng.integers(0, 6, count)],
            "timestamp": step * rng.integers(0, 90, count),
            "place": rng.integers(0, 4, count),
        }
    )


def by_hand(table: pa.Table, options: dict[str, Any]) -> list[tuple[int, list[list[int]]]]:
    """[(user, [items of a group, in order])] with loops; the items of a basket sorted."""
    found = []
    entries = [entry | {"row": row} for row, entry in enumerate(table.to_pylist())]
    keys = [options.get("timestamp_column"), options.get("position_column"), "row"]
    for user in sorted({entry["user_id"] for entry in entries}):
        mine = [entry for entry in entries if entry["user_id"] == user]
        mine.sort(key=lambda entry: [entry[key] for key in keys if key])
        groups: dict[Any, list[int]] = {}
        last, number = None, 0
        for entry in mine:
            if "session_gap" in options:
                number += last is not None and entry["timestamp"] - last > int(
                    options["session_gap"]
                )
                last, key = entry["timestamp"], number
            else:
                key = entry[options.get("session_column") or options["basket_column"]]
            groups.setdefault(key, []).append(entry["item_id"])
        lists = list(groups.values())
        found.append(
            (user, [sorted(each) for each in lists] if "basket_column" in options else lists)
        )
    return found


def told(data: Interactions) -> list[tuple[int, list[list[int]]]]:
    """The same of ``data``."""
    events = data.events
    assert events is not None
    found: dict[int, list[list[int]]] = {}
    for group, (start, stop) in enumerate(zip(events.indptr[:-1], events.indptr[1:], strict=True)):
        items = data.items.ids_of(events.items[start:stop]).to_pylist()
        (user,) = data.users.ids_of(events.owners[[group]]).to_pylist()
        found.setdefault(user, []).append(items)
    return list(found.items())


@settings(max_examples=150)
@given(options=st.sampled_from(READINGS), count=st.integers(1, 60), seed=st.integers(0, 10_000))
def test_groups_and_their_order_are_those_of_loops(
    options: dict[str, Any], count: int, seed: int
) -> None:
    table = rows(count, seed)
    data = Interactions.read(table, **options)
    assert told(data) == by_hand(table, options)
    assert data.count == count
    pairs = {(entry["user_id"], entry["item_id"]) for entry in table.to_pylist()}
    assert len(data) == len(pairs)


REQUESTS = (
    "users",
    "items",
    "pairs",
    "groups",
    "groups of users",
    "events",
    "window",
    "users in a window",
    "all",
)


def request(data: st.DataObject, options: dict[str, Any], step: int = 1) -> Selection:
    """A request for some of what may be there, and what may not; times as of ``rows``."""
    kinds = [kind for kind in REQUESTS if "window" not in kind or "timestamp_column" in options]
    named = options.get("session_column") or options.get("basket_column")
    kind = data.draw(
        st.sampled_from(kinds if named == "group" else [kind for kind in kinds if kind != "events"])
    )
    few = st.lists(st.integers(0, 8), min_size=1, max_size=3)
    users = pa.array(data.draw(few))
    if kind == "users":
        return Selection(users)
    if kind == "items":
        return Selection(items=users)
    if "window" in kind:
        since = step * data.draw(st.integers(0, 80))
        return Selection(
            users if kind.startswith("users") else None, None, Window(since, since + 30 * step)
        )
    others = pa.array(
        data.draw(st.lists(st.integers(0, 8), min_size=len(users), max_size=len(users)))
    )
    if kind == "pairs":
        return Selection(users, others)
    if kind == "all":
        return Selection(pa.array(range(9)))
    if named != "group":
        return Selection(users)
    groups = pa.array([f"g{each}" for each in others.to_pylist()])
    if kind == "groups":
        return Selection(groups=groups)
    return Selection(users, others if kind == "events" else None, groups=groups)


def left(table: pa.Table, asked: Selection) -> pa.Table:
    """The rows that ``asked`` does not name, with loops."""
    columns = {"user_id": asked.users, "item_id": asked.items, "group": asked.groups}
    given = {name: ids.to_pylist() for name, ids in columns.items() if ids is not None}
    named = set(zip(*given.values(), strict=True))

    def goes(entry: dict[str, Any]) -> bool:
        window = asked.window
        inside = window is None or window.since <= entry["timestamp"] < window.until  # type: ignore[operator]
        return inside and (not given or tuple(entry[name] for name in given) in named)

    return table.filter(pa.array([not goes(entry) for entry in table.to_pylist()], pa.bool_()))


@settings(max_examples=300)
@given(data=st.data(), options=st.sampled_from(READINGS), seed=st.integers(0, 10_000))
def test_what_remains_is_what_reading_the_rest_gives(
    data: st.DataObject, options: dict[str, Any], seed: int
) -> None:
    """Any requests, one after the other; the digest, the groups and the sums by which purged data
    are checked."""
    table = rows(data.draw(st.integers(1, 50)), seed)
    now = Interactions.read(table, **options)
    for _ in range(data.draw(st.integers(1, 3))):
        asked = request(data, options)
        removal = now.remove(asked)
        rest = left(table, asked)
        fresh = Interactions.read(rest, **options)
        assert removal.remaining.digest == fresh.digest
        assert removal.count == table.num_rows - rest.num_rows
        assert told(removal.remaining) == told(fresh)
        again = Interactions.from_table(fresh.to_table(), users=now.users, items=now.items)
        assert again.digest == fresh.digest
        assert Sums.of(again).differing(Sums.of(removal.remaining)) == 0
        now, table = removal.remaining, rest


@given(options=st.sampled_from(READINGS), count=st.integers(1, 60), seed=st.integers(0, 10_000))
def test_only_somebodys_events_are_what_they_have(
    options: dict[str, Any], count: int, seed: int
) -> None:
    data = Interactions.read(rows(count, seed), **options)
    assert data.events is not None
    for row in range(data.users.size):
        mine = data.only(row)
        apart = data.keep_events(data.events.users == row)
        assert mine.events is not None
        assert mine.events.numbers.tolist() == apart.events.numbers.tolist()
        assert mine.to_table() == apart.to_table()
        assert np.array_equal(mine.indptr, apart.indptr)


def test_rows_of_a_request_that_match_nothing() -> None:
    data = Interactions.read(rows(40, 1), session_column="group")
    gone = data.remove(Selection(groups=pa.array(["g1", "g77"])))
    assert gone.unmatched.to_pylist() == [{"session_id": "g77"}]
    gone = data.remove(Selection(pa.array([0, 99]), groups=pa.array(["g1", "g1"])))
    assert gone.unmatched.to_pylist() == [{"user_id": 99, "session_id": "g1"}]


def test_an_event_in_the_middle_holds_a_session_together() -> None:
    table = pa.table({"user_id": [1, 1, 1], "item_id": [1, 2, 3], "timestamp": [0, 20, 40]})
    data = Interactions.read(table, session_gap="25", timestamp_column="timestamp")
    assert told(data) == [(1, [[1, 2, 3]])]
    assert told(data.remove([(1, 2)]).remaining) == [(1, [[1], [3]])]


def test_the_order_counts_in_sessions_and_not_in_baskets() -> None:
    table = pa.table({"user_id": [1, 1], "item_id": [4, 5], "group": [1, 1]})
    turned = table.take([1, 0])
    for column, same in (("session_column", False), ("basket_column", True)):
        one, other = (
            Interactions.read(each, **{column: "group"}).digest for each in (table, turned)
        )
        assert (one == other) is same


def test_the_digest_sees_times_groups_and_repeats() -> None:
    table = rows(30, 3)
    options = {"session_column": "group", "timestamp_column": "timestamp"}
    digests = {Interactions.read(table, **options).digest}
    for name, value in (
        ("timestamp", pa.array(table["timestamp"].to_numpy() + 1)),
        ("group", pa.array(["x"] * 30)),
    ):
        changed = table.set_column(table.column_names.index(name), name, value)
        digests.add(Interactions.read(changed, **options).digest)
    digests.add(Interactions.read(pa.concat_tables([table, table.slice(4, 1)]), **options).digest)
    digests.add(Interactions.read(table, session_column="group").digest)
    assert len(digests) == 5


def test_times_that_were_no_part_of_the_training_only_choose() -> None:
    table = rows(40, 5)
    plain = Interactions.read(table, session_column="group")
    timed = Interactions.read(
        table, session_column="group", timestamp_column="timestamp", ordered_by_time=False
    )
    assert plain.digest == timed.digest
    asked = Selection(window=Window(10, 50))
    assert (
        timed.remove(asked).remaining.digest
        == Interactions.read(left(table, asked), session_column="group").digest
    )


def test_added_events_come_behind() -> None:
    table = rows(40, 2)
    for options in (
        {"session_column": "group"},
        {"session_gap": "20", "timestamp_column": "timestamp"},
    ):
        parts = [
            Interactions.read(each, **options) for each in (table.slice(0, 25), table.slice(25))
        ]
        assert parts[0].add(parts[1]).digest == Interactions.read(table, **options).digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"session_column": "a", "basket_column": "b"},
            "session_column and basket_column both say",
        ),
        ({"session_gap": "30m"}, "name the column of times"),
        ({"session_gap": "half an hour", "timestamp_column": "t"}, "is no length of time"),
        ({"position_column": "p"}, "orders sessions or baskets"),
        ({"session_column": "s", "confidence": "n"}, "no confidence and no target"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReadingOptions(**options)


def test_missing_columns_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"no column 'sess'.*--session-column"):
        Interactions.read(rows(3, 0), session_column="sess")
    data = Interactions.read(rows(3, 0), session_gap="1", timestamp_column="timestamp")
    with pytest.raises(InvalidInput, match="no ids of sessions"):
        data.remove(Selection(groups=pa.array(["g1"])))
