"""Models of sessions served: who asks goes with every session, a window takes what happened in it,
and what comes back is known row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

import alteraser as ae
from alteraser.cli.main import main
from alteraser.data.erased import named_rows
from alteraser.data.selection import Selection, Window
from alteraser.engines.store.tombstones import Tombstones
from alteraser.errors import InvalidInput
from alteraser.service import restore
from alteraser.service.ingest import ingest, read, take
from alteraser.service.serving import Serving
from alteraser.service.state import create

from .conftest import Service


def table() -> pa.Table:
    """8 users with 3 sessions of 4 events; of item 0 everybody has events in several."""
    events = [(u, s, i) for u in range(8) for s in range(3) for i in range(4)]
    rows = [
        (u, 10 * u + s, 0 if i == 3 else (u + s + i) % 7, 1000 * u + 10 * s + i)
        for u, s, i in events
    ]
    user, session, item, timestamp = map(list, zip(*rows, strict=True))
    return pa.table(
        {"user_id": user, "session_id": session, "item_id": item, "timestamp": timestamp}
    )


GROUPED = {
    "column": ("--session-column", "session_id", "--timestamp-column", "timestamp"),
    "gap": ("--session-gap", "5", "--timestamp-column", "timestamp"),
    "untimed": ("--session-column", "session_id"),
}


@pytest.fixture(params=list(GROUPED))
def grouped(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Service]]:
    data, model = tmp_path / "data.csv", tmp_path / "model"
    pacsv.write_csv(table(), data)
    asked = ("train", data, "--model", "vs-knn", *GROUPED[request.param], "--out", model, "-q")
    assert main([str(word) for word in asked]) == 0
    create(tmp_path / "state", model, data, rate=0)
    opened = Service(tmp_path / "state")
    yield request.param, opened
    opened.close()


def original(service: Service) -> tuple[Any, ae.Interactions]:
    """The model and the data that a state was made from."""
    model = ae.load(service.root.parent / "model")
    return model, ae.Interactions.read(service.root.parent / "data.csv", model.reading)


def is_forgotten(service: Service, wanted: ae.Erasure) -> None:
    left = service.state.load_serving()
    assert left.data.digest == wanted.remaining.digest
    assert left.model.settings.apart(left.model.state, wanted.remaining) == 0  # type: ignore[attr-defined]


def test_users_go_with_their_sessions(grouped: tuple[str, Service]) -> None:
    _, service = grouped
    name = service.send({"users": [3]})
    service.work()
    assert service.shown(name)["status"] == "completed"
    model, data = original(service)
    is_forgotten(service, ae.forget(model, [3], data=data, whole_users=True))


@pytest.mark.parametrize("pairs", [[[3, 0]], [[3, 0], [4, 0], [9, 9]]])
def test_pairs_go_with_all_their_events(
    grouped: tuple[str, Service], pairs: list[list[int]]
) -> None:
    _, service = grouped
    name = service.send({"pairs": pairs})
    service.work()
    assert service.shown(name)["counts"]["interactions"] == sum(
        row["item_id"] == 0 and [row["user_id"], 0] in pairs for row in table().to_pylist()
    )
    model, data = original(service)
    is_forgotten(service, ae.forget(model, [tuple(pair) for pair in pairs[:2]], data=data))


@pytest.mark.parametrize("user", [None, 3])
def test_sessions_go_by_their_ids(grouped: tuple[str, Service], user: int | None) -> None:
    """Everybody's of a name, or one user's; names that nobody has are counted as absent."""
    how, service = grouped
    body: dict[str, Any] = {"sessions": [31, 50, 999]} | ({} if user is None else {"user": user})
    with pytest.raises(InvalidInput, match="no baskets"):
        service.send({"baskets": [31]})
    if how == "gap":
        with pytest.raises(InvalidInput, match="no sessions"):
            service.send(body)
        return
    with pytest.raises(InvalidInput, match="ids here are whole numbers"):
        service.send({"sessions": ["31"]})
    name = service.send(body)
    assert service.send(body, "again") != name  # the same request, which waits
    service.work()
    shown, groups = service.shown(name), pa.array([31, 50] if user is None else [31])
    assert shown["status"] == "completed"
    assert shown["counts"]["absent"] == 3 - len(groups)
    assert shown["counts"]["interactions"] == 4 * len(groups)
    model, data = original(service)
    is_forgotten(service, ae.forget(model, Selection(groups=groups), data=data))
    whole = read(service.state, service.state.load_serving(), service.root.parent / "data.csv")
    taken = take(service.state, service.state.load_serving(), whole)
    assert (taken["accepted"], taken["erased_before"]) == (0, 4 * len(groups))


def test_what_happened_in_a_window_goes_and_does_not_come_back(
    grouped: tuple[str, Service],
) -> None:
    how, service = grouped
    if how == "untimed":
        with pytest.raises(InvalidInput, match="no times"):
            service.send({"user": 3, "since": 3010, "until": 3020})
        return
    name = service.send({"user": 3, "since": 3010, "until": 3020})
    service.work()
    assert service.shown(name)["counts"]["interactions"] == 4
    model, data = original(service)
    gone = Selection(users=pa.array([3]), window=Window(3010, 3020))
    is_forgotten(service, ae.forget(model, gone, data=data))
    # the whole file again: 4 rows were erased, the others, of the same pairs too, are there
    version = service.state.load_serving()
    whole = read(service.state, version, service.root.parent / "data.csv")
    taken = take(service.state, version, whole)
    assert taken == {"accepted": 0, "known": 92, "erased_before": 4, "left_out": 0}
    # another time of a pair of which a row was erased is a new row
    row: dict[str, Any] = {"user": 3, "item": 0, "timestamp": 3999}
    if how == "column":
        row["session"] = 32
    assert ingest(service.state, version, [row])["accepted"] == 1
    service.send({"users": [7]})
    service.work()
    left = service.state.load_serving().data
    assert left.events is not None
    assert left.events.time is not None
    assert 3999 in left.events.time.tolist()
    assert not np.any((left.events.time >= 3010) & (left.events.time < 3020))


@pytest.mark.parametrize(
    "body", [{"user": 3, "since": 3010, "until": 3020}, {"sessions": [31]}, None]
)
def test_a_list_is_made_of_the_sessions_that_are_left(
    grouped: tuple[str, Service], body: dict[str, Any] | None
) -> None:
    how, service = grouped
    if how != "column":
        return
    serving, version = Serving(service.state), service.state.load_serving()
    before = [serving.recommend(str(user), 7) for user in range(8)]
    service.send(body or {"sessions": [31], "user": 3})
    after = [serving.recommend(str(user), 7) for user in range(8)]
    shown = after.pop(3)
    assert after == before[:3] + before[4:], "nobody else's changes yet"
    assert shown["set_aside"] == 4
    _, data = original(service)
    assert data.events is not None
    assert data.events.time is not None
    rest = data.keep_rows((data.events.users != 3) | (data.events.time // 10 != 301))
    rows = version.model.rows_of_users([3])
    lists, _ = version.model.top_items(rows, k=7, seen=rest)
    wanted = version.model.items.ids_of(lists[0][lists[0] >= 0]).to_pylist()
    left = set(rest.select(users=[3]).to_table()["item_id"].to_pylist())
    gone = set(data.select(users=[3]).to_table()["item_id"].to_pylist()) - left
    assert [entry["item_id"] for entry in shown["items"]] == [
        item for item in wanted if item not in gone
    ]


def test_a_session_is_asked_for_where_there_is_one(grouped: tuple[str, Service]) -> None:
    how, service = grouped
    version = service.state.load_serving()
    row = {"user": 3, "item": 0, "timestamp": 5000}
    for more, told in (
        ({}, "a session is needed here"),
        ({"session": 5, "basket": 5}, "a basket means nothing"),
        ({"session": "x"}, "whole number"),
    ):
        if how != "gap":
            with pytest.raises(InvalidInput, match=told):
                ingest(service.state, version, [row | more])
    if how == "gap":
        with pytest.raises(InvalidInput, match="a session means nothing"):
            ingest(service.state, version, [row | {"session": 5}])


def test_what_is_sent_twice_is_learned_once(grouped: tuple[str, Service]) -> None:
    how, service = grouped
    row: dict[str, Any] = {"user": 3, "item": 0, "timestamp": 5000}
    row |= {} if how == "gap" else {"session": 99}
    for _ in range(2):
        assert ingest(service.state, service.state.load_serving(), [row])["accepted"] == 1
    service.send({"users": [7]})
    service.work()
    version = service.state.load_serving()
    assert version.data.count == 96 - 12 + 1
    assert ingest(service.state, version, [row])["known"] == 1


def test_what_a_backup_brings_back_is_found_row_by_row(grouped: tuple[str, Service]) -> None:
    """As a restored state asks for it: the very events that were erased."""
    how, service = grouped
    service.send({"users": [3]} if how == "untimed" else {"user": 3, "since": 3010, "until": 3020})
    service.work()
    erased = service.state.load_serving().content.tombstones
    assert not restore._returned(service.state, erased)
    _, data = original(service)
    create(
        service.root.parent / "old",
        service.root.parent / "model",
        service.root.parent / "data.csv",
        rate=0,
    )
    old = Service(service.root.parent / "old")
    try:
        key = service.state.hashing
        mask = erased.returned(key, data)
        assert mask.sum() == (12 if how == "untimed" else 4)
        rows = Selection.of_events(data.keep_rows(mask))
        assert data.remove(rows).removed.count == mask.sum()
        named = named_rows(data.keep_rows(mask))
        restore._send(old.state, list(named))
        old.work()
        left = old.state.load_serving()
        assert left.data.digest == data.keep_rows(~mask).digest
    finally:
        old.close()


def test_pairs_that_an_older_version_erased_are_known(grouped: tuple[str, Service]) -> None:
    """Up to the last time that the pair had; without times, at any."""
    how, service = grouped
    _, data = original(service)
    key = service.state.hashing
    pairs = replace(data.keep(data.user_rows == 3), events=None)
    erased = Tombstones().with_erased(key, pairs)
    events = data.events
    assert events is not None
    np.testing.assert_array_equal(erased.returned(key, data), events.users == 3)
    if how != "untimed":
        earlier = replace(pairs, timestamp=np.full(len(pairs), 3010))
        found = Tombstones().with_erased(key, earlier).returned(key, data)
        assert events.time is not None
        np.testing.assert_array_equal(found, (events.users == 3) & (events.time <= 3010))
