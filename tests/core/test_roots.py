"""The root of a version's data: any row that is lost, comes or changes makes another one, and
nothing else does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_events import READINGS, rows

import alteraser as ae
from alteraser.data.interactions import Interactions
from alteraser.engines.store import version
from alteraser.engines.store.roots import data_root
from alteraser.engines.store.tombstones import Tombstones

KEY = b"k" * 32
WEIGHTED: list[dict[str, Any]] = [
    {},
    {"timestamp_column": "timestamp"},
    {"confidence": "place"},
    {"segment_column": "group", "timestamp_column": "timestamp"},
]


def pairs(seed: int, options: dict[str, Any]) -> tuple[pa.Table, Interactions]:
    table = rows(12, seed).set_column(
        4, "place", pa.array(np.random.default_rng(seed).integers(1, 5, 12))
    )
    first = {}
    for at, row in enumerate(table.select(["user_id", "item_id"]).to_pylist()):
        first.setdefault(tuple(row.values()), at)
    table = table.take(sorted(first.values()))
    return table, Interactions.read(table, **options)


@given(
    options=st.sampled_from(READINGS),
    seed=st.integers(0, 10_000),
    count=st.integers(2, 20),
    data=st.data(),
)
def test_every_event_counts(
    options: dict[str, Any], seed: int, count: int, data: st.DataObject
) -> None:
    """An event that is lost, though others of its pair are left, and later ones."""
    table = rows(count, seed)
    whole = Interactions.read(table, **options)
    at = data.draw(st.integers(0, count - 1))
    less = Interactions.read(table.take([row for row in range(count) if row != at]), **options)
    assert data_root(KEY, whole) != data_root(KEY, less)
    assert data_root(KEY, whole) != data_root(KEY[1:], whole)


@pytest.mark.parametrize(
    ("options", "column"),
    [
        (options, column)
        for options in READINGS
        for column in ("user_id", "item_id", "group", "timestamp")
        if column in ("user_id", "item_id", *options.values())
    ],
    ids=str,
)
def test_every_column_that_is_read_counts(options: dict[str, Any], column: str) -> None:
    table = rows(20, 3)
    values = table[column].to_pylist()
    values[4] = "g99" if column == "group" else 99
    other = table.set_column(table.column_names.index(column), column, pa.array(values))
    one, two = (Interactions.read(each, **options) for each in (table, other))
    assert data_root(KEY, one) != data_root(KEY, two)


@given(options=st.sampled_from(READINGS), seed=st.integers(0, 10_000), data=st.data())
def test_what_says_nothing_does_not_count(
    options: dict[str, Any], seed: int, data: st.DataObject
) -> None:
    """The order of rows where times and places tell all apart, and in a basket in any case; rows of
    a map."""
    table = rows(15, seed)
    distinct = pa.array(np.random.default_rng(seed).permutation(15))
    for name in ("timestamp", "place"):
        table = table.set_column(table.column_names.index(name), name, distinct)
    order = data.draw(st.permutations([*range(15)]))
    told = {"timestamp_column", "position_column"} & options.keys()
    one, two = (
        Interactions.read(each, **options)
        for each in (table, table.take(order if told else [*range(15)]))
    )
    assert data_root(KEY, one) == data_root(KEY, two)
    extended = one.add(Interactions.read(rows(3, seed).slice(0, 1), **options))
    moved = Interactions.from_table(one.to_table(), users=extended.users, items=extended.items)
    assert data_root(KEY, moved) == data_root(KEY, one)


def test_the_order_within_a_basket_does_not_count() -> None:
    columns = {"user_id": [1, 1, 1], "group": ["a", "a", "b"]}
    one, two = (
        Interactions.read(pa.table({**columns, "item_id": items}), basket_column="group")
        for items in ([7, 8, 9], [8, 7, 9])
    )
    three = Interactions.read(pa.table({**columns, "item_id": [7, 9, 8]}), basket_column="group")
    assert data_root(KEY, one) == data_root(KEY, two) != data_root(KEY, three)


@pytest.mark.parametrize("options", WEIGHTED, ids=str)
@given(seed=st.integers(0, 10_000))
def test_pairs(options: dict[str, Any], seed: int) -> None:
    """A pair that is lost, or another value of what is read; pairs without segments have the root
    that they have had."""
    table, whole = pairs(seed, options)
    root = data_root(KEY, whole)
    assert root == data_root(
        KEY, Interactions.read(table.take([*range(len(table))][::-1]), **options)
    )
    assert root != data_root(KEY, Interactions.read(table.slice(1), **options))
    for name in options.values():
        values = table[name].to_pylist()
        values[0] = "other" if name == "group" else values[0] + 100
        other = table.set_column(table.column_names.index(name), name, pa.array(values))
        assert root != data_root(KEY, Interactions.read(other, **options))
    assert (root == data_root(KEY, whole, 1)) == ("segment_column" not in options)


def test_a_string_is_no_word() -> None:
    """No id makes a pair of what begins a session."""
    session = Interactions.read(
        pa.table({"user_id": ["a"], "item_id": ["ession"], "group": ["ession"]}),
        session_column="group",
    )
    pair = Interactions.from_pairs([("a", "ession")])
    assert data_root(KEY, session) != data_root(KEY, pair)


@pytest.mark.parametrize("form", [1, 2])
def test_a_version_of_before_still_opens(tmp_path: Path, form: int) -> None:
    """One that says no form is of form 1, and is read as any other; a new one says its own."""
    table = rows(30, 1)
    data = Interactions.read(table, session_column="group", timestamp_column="timestamp")
    model = ae.VSKNN().fit(data)
    content = version.Content(model, data, Tombstones(), None)
    made = version.write(tmp_path, content, {}, salt=KEY)
    said = made.document["data"]
    assert (said["root"], said["root_form"]) == (data_root(KEY, data), 2)
    if form == 1:
        document = json.loads((made.folder / "version.json").read_text())
        del document["data"]["root_form"]
        document["data"]["root"] = data_root(KEY, data, 1)
        text = json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"
        (made.folder / "version.json").write_bytes(text)
        made.folder.rename(tmp_path / hashlib.sha256(text).hexdigest())
    (folder,) = tmp_path.iterdir()
    assert version.load(folder).data.digest == data.digest
