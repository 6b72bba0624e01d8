"""``erasing`` where the model learned from interactions alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.events import Events
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.engines.store.changes import compare
from alteraser.engines.store.version import Content, Version
from alteraser.ledger.asked import GROUPS, Asked
from alteraser.service.erasing.questions import (
    FoundInData,
    Mask,
    certify,
    erase,
    find,
    learned,
    people,
    worked,
)
from alteraser.verbs.forget import forget
from alteraser.verbs.verify import verify

NOWHERE = np.empty(0, np.int64)


@find.register(Interactions)
def _find(data: Interactions, requests: Sequence[Asked], *, times: Any = None) -> FoundInData:
    """Everything that ``requests`` name in ``data``, but for what a legal hold keeps. ``times``
    tell the unit of windows, where ``data`` are a part of the interactions that have them.

    Names are looked up together: a batch costs what it asks for, and one look at the data where it
    names pairs.
    """
    gone, keeps = np.zeros(data.count, bool), np.zeros(data.count, bool)
    pairs = iter(_places_of_pairs(data, [each.names for each in requests if each.kind == "pairs"]))
    kept = iter(_places_of_pairs(data, [each.kept for each in requests if each.kept]))
    counts = []
    for each in requests:
        places = next(pairs) if each.kind == "pairs" else _places(data, each, times)
        hit = np.concatenate([NOWHERE, *places])
        stays = np.intersect1d(hit, np.concatenate(next(kept))) if each.kept else hit[:0]
        gone[hit], keeps[stays] = True, True
        matched = sum(len(found) > 0 for found in places)
        counts.append(
            {
                "asked": len(each.names) + len(each.unknown),
                "matched": matched,
                "absent": len(each.names) + len(each.unknown) - matched,
                "interactions": len(hit) - len(stays),
                "held": len(stays),
            }
        )
    return FoundInData(gone & ~keeps, counts)


def _places(data: Interactions, asked: Asked, times: Any) -> list[Any]:
    """Of every user or item that is named, where its interactions are."""
    if not asked.names:
        return []
    if data.events is not None:
        return _places_of_events(data.events, data, asked, times)
    selection = asked.selection.settled(data.timestamp if times is None else times)
    if asked.kind == "items":
        by_item = data.by_item
        rows = data.items.rows_of(selection.items, "item_id")
        return [
            by_item.order[by_item.indptr[row] : by_item.indptr[row + 1]] if row >= 0 else NOWHERE
            for row in rows
        ]
    rows = data.users.rows_of(selection.users, "user_id")
    found = [
        np.arange(data.indptr[row], data.indptr[row + 1]) if row >= 0 else NOWHERE for row in rows
    ]
    if selection.window is None:
        return found
    assert data.timestamp is not None
    return [each[selection.window.mask(data.timestamp[each])] for each in found]


def _places_of_pairs(data: Interactions, asked: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Of every pair of every request, where it is: one place or none."""
    table = Selection.of([pair for pairs in asked for pair in pairs]) if asked else None
    if table is None:
        return []
    if data.events is not None:
        return [
            _places_of_events(data.events, data, Asked("pairs", tuple(pairs))) for pairs in asked
        ]
    rows = data.users.rows_of(table.users, "user_id"), data.items.rows_of(table.items, "item_id")
    places = data.locate(*rows)
    found, start = [], 0
    for pairs in asked:
        mine = places[start : start + len(pairs)]
        found.append(
            [mine[at : at + 1] if place >= 0 else NOWHERE for at, place in enumerate(mine.tolist())]
        )
        start += len(pairs)
    return found


def _places_of_events(
    events: Events, data: Interactions, asked: Asked, times: Any = None
) -> list[Any]:
    """Of everything that is named, where its events are: those of a user are together."""
    selection = asked.selection.settled(events.time if times is None else times)
    if asked.kind == "items":
        rows = data.items.rows_of(selection.items, "item_id")
        return [np.flatnonzero(events.items == row) if row >= 0 else NOWHERE for row in rows]
    if asked.kind in GROUPS and asked.user is None:
        return _places_of_groups(events, selection)
    users = data.users.rows_of(selection.users, "user_id")
    starts = np.searchsorted(events.users, np.stack([users, users + 1]))
    starts[:, users < 0] = 0
    found = [np.arange(start, stop) for start, stop in starts.T.tolist()]
    for column, wanted in _columns(events, data, selection):
        found = [
            each[column[each] == value] for each, value in zip(found, wanted.tolist(), strict=True)
        ]
    if selection.window is None:
        return found
    assert events.time is not None
    return [each[selection.window.mask(events.time[each])] for each in found]


def _columns(events: Events, data: Interactions, selection: Selection) -> list[tuple[Any, Any]]:
    """(what events have, what each row of ``selection`` asks for), beside their users."""
    columns: list[tuple[Any, Any]] = []
    if selection.items is not None:
        columns.append((events.items, data.items.rows_of(selection.items, "item_id")))
    if selection.groups is not None and events.groups is not None:
        groups = events.groups
        columns.append((groups.rows, groups.ids.rows_of(selection.groups, "group")))
    if selection.at is not None and events.time is not None:
        columns.append((events.time, selection.at))
    return columns


def _places_of_groups(events: Events, selection: Selection) -> list[Any]:
    """Of every session or basket that is named, where its events are, whoever's they are."""
    assert events.groups is not None
    rows = events.groups.ids.rows_of(selection.groups, "group")
    order = np.argsort(events.groups.rows, kind="stable")
    bounds = np.searchsorted(events.groups.rows[order], np.stack([rows, rows + 1]))
    return [
        order[start:stop] if row >= 0 else NOWHERE
        for row, start, stop in zip(rows.tolist(), *bounds.tolist(), strict=True)
    ]


def there_already(mine: Interactions, data: Interactions) -> Mask:
    """Which of ``data`` are in ``mine``, (|data|,): pairs, or of events the very rows (E,)."""
    if data.events is None or mine.events is None:
        users = mine.users.rows_of(data.users.ids_of(data.user_rows))
        return mine.locate(users, mine.items.rows_of(data.items.ids_of(data.indices))) >= 0
    rows = Selection.of_events(data)
    columns = [mine.users.rows_of(rows.users), mine.items.rows_of(rows.items)]
    have: list[npt.NDArray[Any]] = [mine.events.users, mine.events.items]
    if rows.groups is not None and mine.events.groups is not None:
        columns.append(mine.events.groups.ids.rows_of(rows.groups))
        have.append(mine.events.groups.rows)
    if rows.at is not None and mine.events.time is not None:
        columns.append(rows.at)
        have.append(mine.events.time)
    near = np.isin(have[0], columns[0])
    there = set(map(tuple, np.stack(have, axis=1)[near].tolist()))
    return np.array([tuple(row) in there for row in np.stack(columns, axis=1).tolist()], bool)


@people.register(Interactions)
def _people(data: Interactions) -> pa.Array:
    return data.users.ids


@learned.register(Interactions)
def _learned(data: Interactions, added: Sequence[Interactions]) -> Interactions:
    """``learned``, in the rows of ``data``."""
    for each in added:
        if len(each):
            fresh = each if data.events is None else each.keep_rows(~there_already(data, each))
            data = data.add(fresh, duplicates="first")
    return data


@erase.register(Interactions)
def _erased(
    whole: Interactions,
    start: Version,
    gone: Mask,
    *,
    method: str,
    threads: int,
    key: bytes,
    watch: Any = None,
) -> tuple[Content, dict[str, Any]]:
    original: Any = start.model
    model: Any = replace(original, erased=replace(start.model.erased, spare=key))
    removed = whole.keep_rows(gone)
    wanted: Any = removed if whole.events is None else Selection.of_events(removed)
    grown = whole.digest != start.model.trained_on.digest
    erasure = forget(
        model,
        wanted,
        data=whole,
        method=method,
        grown=grown,
        readmit=grown,
        threads=threads,
        on_pass=None if watch is None else (lambda record: watch()),
    )
    before = start.model, start.data, start.content.changes
    changes = compare(before, (erasure.model, erasure.remaining))
    tombstones = start.content.tombstones.with_erased(key, erasure.removed)
    work = worked(erasure) | {
        "interactions_removed": erasure.removed.count,
        "interactions_added": int(erasure.deletion.added),
    }
    return Content(erasure.model, erasure.remaining, tombstones, changes), work


@certify.register(Interactions)
def _certified(
    whole: Interactions, start: Version, version: Version, *, threads: int
) -> dict[str, Any]:
    model: Any = version.model
    found = verify(
        model,
        version.data,
        before=start.model,
        forgotten=whole,
        folder=version.folder / "model",
        threads=threads,
    ).certificate
    return dict(found.to_document())
