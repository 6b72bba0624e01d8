"""Interactions that are added: checked like those the model was trained on, and held against what
was erased.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection

from alteraser.data.files import replace_file
from alteraser.data.interactions import Interactions
from alteraser.data.readers import ReadingOptions
from alteraser.data.side.given import MAIN
from alteraser.data.side.holding import Addition, HeldSources
from alteraser.engines.store.version import Version
from alteraser.errors import Conflict, InvalidInput, ResourceLimit
from alteraser.ledger import ingests
from alteraser.ledger.asked import Declared
from alteraser.ledger.ids import id_of
from alteraser.models.factorization.magnitudes import LEAST, MOST
from alteraser.service import ingest_several
from alteraser.service.erasing import there_already
from alteraser.service.moments import Unit
from alteraser.service.state import State, erased_before

ROWS = 100_000
FIELDS = frozenset({"user", "item", "timestamp", "value", "segment", "session", "basket"})


@dataclass(frozen=True)
class Sent:
    """The rows of a body, and which relation they are of."""

    rows: list[dict[str, Any]]
    relation: str = MAIN


def from_body(body: Any, declared: Declared) -> Sent:
    """``{"interactions": [{"user": …, "item": …, "timestamp"?: …, "value"?: …}]}``, and where the
    model learned from several sources ``"relation"``: of which they are; InvalidInput.
    """
    several = declared.sources is not None
    if (
        not isinstance(body, dict)
        or not {"interactions"} <= body.keys() <= {"interactions", "relation"}
        or not isinstance(body["interactions"], list)
    ):
        raise _invalid("body", 'expected {"interactions": [{"user": …, "item": …}]}')
    relation = body.get("relation", MAIN)
    if not isinstance(relation, str) or (relation != MAIN and not several):
        raise _invalid("unknown_relation", "relation: there is data, and no other")
    rows = body["interactions"]
    if not rows:
        raise _invalid("scope_empty", "interactions: the list is empty")
    if len(rows) > ROWS:
        raise ResourceLimit(
            f"interactions: {len(rows):,} at once, at most {ROWS:,}", code="too_many_rows"
        )
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or (
            not several and not {"user", "item"} <= row.keys() <= FIELDS
        ):
            raise _invalid(
                "unknown_field",
                f"interactions[{place}]: expected user and item, and timestamp, value, segment, "
                "session or basket",
            )
        if not several:
            id_of(row["user"], declared.users, f"interactions[{place}].user")
            id_of(row["item"], declared.items, f"interactions[{place}].item")
        _check_value(row.get("value", 1), place)
    return Sent(rows, relation)


def _check_value(value: Any, place: int) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise _invalid("value", f"interactions[{place}].value: expected a finite number")


def ingest(
    state: State, version: Version, rows: list[dict[str, Any]], relation: str = MAIN
) -> dict[str, int]:
    """``take`` the rows of a body."""
    if isinstance(version.held, HeldSources):
        found = ingest_several.from_rows(state, version, relation, rows)
        return _take_rows(state, version, *found)
    return take(state, version, _interactions(state, version, rows))


def ingest_file(state: State, version: Version, path: Path, relation: str) -> dict[str, int]:
    """``take`` the rows of a file, in columns as those that the state was made from."""
    if isinstance(version.held, HeldSources):
        found = ingest_several.from_file(state, version, relation, path)
        return _take_rows(state, version, *found)
    if relation != MAIN:
        raise InvalidInput(
            f"--relation {relation}: the model here learned from interactions alone",
            code="unknown_relation",
        )
    return take(state, version, read(state, version, path))


def read(state: State, version: Version, path: Path) -> Interactions:
    """The interactions in a file, in columns as those that the state was made from; InvalidInput
    for other ids.
    """
    found = Interactions.read(path, state.reading.model_copy(update={"duplicates": "last"}))
    sides = (
        ("users", found.users, version.model.users),
        ("items", found.items, version.model.items),
    )
    for side, mine, known in sides:
        if mine.size and mine.kind != known.kind:
            raise _invalid(
                "id_type",
                f"{path}: {side} are of type {mine.kind}, those of the state {known.kind}",
            )
    Unit.of(version.data.timestamp).check(found.timestamp, f"{path}: the latest time")
    return found


def take(state: State, version: Version, data: Interactions) -> dict[str, int]:
    """Take ``data`` in, durable when this returns; how many were new, known, erased before, or left
    out: below the threshold, or repeated.
    """
    _in_range(data)
    back = version.content.tombstones.returned(state.hashing, data)
    known = there_already(version.data, data)
    new = data.keep_rows(~back & ~known)
    counts = {
        "accepted": new.count,
        "known": int((known & ~back).sum()),
        "erased_before": int(back.sum()),
        "left_out": data.unrated,
    }
    _keep(state, new.to_table(), new.count)
    return counts


def _take_rows(state: State, version: Version, added: Addition, left_out: int) -> dict[str, int]:
    """``take`` of rows of a relation."""
    assert isinstance(version.held, HeldSources)
    for name in ("confidence", "target"):
        column = getattr(version.held.reading, name)
        if added.relation == MAIN and column is not None:
            _check_range(added.table[column].to_numpy())
    ingest_several.check(version, added)
    back, known = erased_before(state, version, added), version.held.known(added)
    new = added.table.filter(pa.array(~back & ~known))
    _keep(state, replace(added, table=new).to_table(), new.num_rows)
    return {
        "accepted": new.num_rows,
        "known": int((known & ~back).sum()),
        "erased_before": int(back.sum()),
        "left_out": left_out,
    }


def _keep(state: State, table: pa.Table, count: int) -> None:
    """``count`` new rows, durable when this returns."""
    if not count:
        return
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:32]
    name = f"{digest}-{int(state.clock().timestamp() * 1e6)}.parquet"
    replace_file(state.folders.added / name, content.getvalue())

    def added(connection: Connection) -> int:
        # a service that began meanwhile swept what nobody knew
        if not (state.folders.added / name).exists():
            raise Conflict("the service is starting; send the interactions again", code="starting")
        return ingests.add(connection, name, count, state.clock())

    state.database.together(added)


def _in_range(data: Interactions) -> None:
    """InvalidInput for numbers that no model can learn from: erasures go on without them, but they
    would be taken in for nothing.
    """
    for name in ("confidence", "target"):
        values = getattr(data, name)
        if values is not None:
            _check_range(values)


def _check_range(values: npt.NDArray[Any]) -> None:
    sizes = np.abs(values)
    if np.any((sizes > MOST) | ((sizes < LEAST) & (sizes > 0))):
        raise _invalid(
            "value", f"a value out of range: expected 0, or sizes from {LEAST:g} to {MOST:g}"
        )


def _interactions(state: State, version: Version, rows: list[dict[str, Any]]) -> Interactions:
    """``rows`` as the interactions of a file would be read; ``unrated``: how many are left out."""
    reading = state.reading.model_copy(update={"duplicates": "last"})
    columns: dict[str, Any] = {
        reading.user_column: [row["user"] for row in rows],
        reading.item_column: [row["item"] for row in rows],
    }
    if reading.timestamp_column is not None:
        unit = Unit.of(version.data.timestamp)
        columns[reading.timestamp_column] = unit.of_rows(rows, state.clock())
    _segments(version, rows, reading.segment_column, columns)
    _groups(version, rows, reading, columns)
    for name in reading.columns:
        if name not in columns:
            missing = next((place for place, row in enumerate(rows) if "value" not in row), None)
            if missing is not None:
                raise _invalid(
                    "value",
                    f"interactions[{missing}]: a value is needed here, which stands for {name!r}",
                )
            columns[name] = [float(row["value"]) for row in rows]
    found = Interactions.read(pa.table(columns), reading)
    return _with_count(found, len(rows) - _rows(found))


def _groups(
    version: Version, rows: list[dict[str, Any]], reading: ReadingOptions, columns: dict[str, Any]
) -> None:
    """The columns of sessions (baskets) and positions into ``columns``; InvalidInput where a
    session is missing, or means nothing.
    """
    events, column = version.data.events, reading.group_column
    name = None if events is None or column is None else events.grouping.name
    for place, row in enumerate(rows):
        for field in ("session", "basket"):
            if (field in row) != (field == name):
                words = "is needed here" if field == name else "means nothing to this model"
                raise _invalid(field, f"interactions[{place}]: a {field} {words}")
        if name is not None and events is not None and events.groups is not None:
            id_of(row[name], events.groups.ids.kind, f"interactions[{place}].{name}")
    if name is not None and column is not None:
        columns[column] = [row[name] for row in rows]
    if reading.position_column is not None:  # in the order in which they are sent
        columns[reading.position_column] = list(range(len(rows)))


def _segments(
    version: Version, rows: list[dict[str, Any]], column: str | None, columns: dict[str, Any]
) -> None:
    """The column of segments into ``columns``; InvalidInput where one is missing, or of no use."""
    segments = version.data.segments
    for place, row in enumerate(rows):
        if ("segment" in row) != (segments is not None):
            words = "is needed here" if segments is not None else "means nothing to this model"
            raise _invalid("segment", f"interactions[{place}]: a segment {words}")
        if segments is not None:
            id_of(row["segment"], segments.ids.kind, f"interactions[{place}].segment")
    if column is not None and segments is not None:
        columns[column] = [row["segment"] for row in rows]


def _rows(data: Interactions) -> int:
    return data.count if data.multiplicity is None else int(np.sum(data.multiplicity))


def _with_count(data: Interactions, left_out: int) -> Interactions:
    return replace(data, unrated=left_out)


def _invalid(code: str, message: str) -> InvalidInput:
    return InvalidInput(message, code=code)
