"""``ingest`` where the model learned from several sources: rows of DATA with their contexts, and of
any other relation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from alteraser.data.ids import IdKind, convert_ids, id_kind
from alteraser.data.readers import ReadingOptions
from alteraser.data.selection import UNITS
from alteraser.data.sheet import Sheet
from alteraser.data.side.contexts import FROM_TIME
from alteraser.data.side.given import ITEM, MAIN, USER
from alteraser.data.side.holding import Addition, HeldSources
from alteraser.data.side.relations import TIME, read_used, tables_of_pair
from alteraser.data.side.sources import main_links
from alteraser.data.side.spec import RelationFile
from alteraser.engines.store.version import Version
from alteraser.errors import InvalidInput
from alteraser.ledger.ids import id_of
from alteraser.models.relational.composite import CompositeModel
from alteraser.service.moments import Unit
from alteraser.service.state import State

FIELDS = frozenset({"user", "item", "head", "relation", "tail", "timestamp", "value", "context"})
ENDS = (("user", "item"), ("head", "tail"))


def from_rows(
    state: State, version: Version, relation: str, rows: list[dict[str, Any]]
) -> tuple[Addition, int]:
    """Rows of a body, and how many of them are left out; InvalidInput."""
    held = version.held
    assert isinstance(held, HeldSources)
    schema = held.columns(relation)
    _check_fields(relation, schema, rows)
    if relation == MAIN:
        table = _of_data(state, held, rows)
        return _from_data(held, Sheet.read(table, _repeated(state.reading), every_column=True))
    found: dict[str, Any] = {}
    ends = _ends(held, relation, schema)
    for name in schema.names:
        if name != TIME:
            kind = id_kind(schema.field(name).type)
            found[name] = [_end(row, ends[name], kind, at) for at, row in enumerate(rows)]
        else:
            found[name] = _unit(held, relation).of_rows(rows, state.clock())
    columns = {name: pa.array(values, schema.field(name).type) for name, values in found.items()}
    return held.addition(relation, pa.table(columns)), 0


def _check_fields(relation: str, schema: pa.Schema, rows: list[dict[str, Any]]) -> None:
    """InvalidInput for rows that lack an end, say one twice, or say what means nothing here."""
    for place, row in enumerate(rows):
        ends_said = row.keys() & {end for ends in ENDS for end in ends}
        if ends_said not in map(set, ENDS) or row.keys() - FIELDS:
            raise _invalid(
                "unknown_field",
                f"interactions[{place}]: expected user and item, or head and tail, and timestamp, "
                "value, context, or of a graph relation",
            )
        if "relation" in row and "relation" not in schema.names:
            raise _invalid(
                "relation", f"interactions[{place}]: {relation} is no graph of relations"
            )
        if "context" in row and relation != MAIN:
            raise _invalid(
                "context", f"interactions[{place}]: {relation} has no contexts, which are of {MAIN}"
            )


def from_file(state: State, version: Version, relation: str, path: Path) -> tuple[Addition, int]:
    """The rows in a file, in columns as those that the state was made from; InvalidInput."""
    held = version.held
    assert isinstance(held, HeldSources)
    schema = held.columns(relation)
    if relation == MAIN:
        sheet = Sheet.read(path, _repeated(state.reading), every_column=True)
        if state.reading.timestamp_column is not None:
            _unit(held, MAIN).check(sheet.times, f"{path}: the latest time")
        return _from_data(held, sheet)
    like = held.addition(relation, pa.table({}))
    table = read_used(RelationFile(relation, path, like.tables))
    if TIME in schema.names and TIME not in table.column_names:
        raise InvalidInput(
            f"{path}: {relation} has times, so a column {TIME!r} is needed here as well"
        )
    if TIME in schema.names:
        times = table[TIME].to_numpy()
        _unit(held, relation).check(times, f"{path}: the latest time")
    ids = [name for name in schema.names if name != TIME]
    given = [name for name in table.column_names if name != TIME]
    if set(given) != set(ids):
        if len(given) != len(ids):
            raise InvalidInput(
                f"{path}: {relation} has the columns {', '.join(ids)}, these are {', '.join(given)}"
            )
        table = table.rename_columns(
            [dict(zip(given, ids, strict=True)).get(name, name) for name in table.column_names]
        )
    columns = {}
    for name in schema.names:
        column = table[name].combine_chunks()
        if name != TIME:
            column = _converted(column, id_kind(schema.field(name).type), f"{path}: {name}")
        columns[name] = column
    return held.addition(relation, pa.table(columns)), 0


def check(version: Version, added: Addition) -> None:
    """InvalidInput for rows that the model has no relation for, or ids that its tables cannot
    hold.
    """
    held, model = version.held, version.model
    assert isinstance(held, HeldSources)
    assert isinstance(model, CompositeModel)
    for links in held.rows(added):
        if links.name not in model.settings.missing:
            known = [x for x in model.settings.missing if x.startswith(f"{links.group}/")]
            raise _invalid(
                "unknown_relation",
                f"the model was trained without {links.name}; of {links.group} there are "
                f"{', '.join(known)}",
            )
        for table, coded in ((links.source, links.heads), (links.target, links.tails)):
            ids = held.given.entities.get(table)
            if ids is not None:
                _converted(coded.ids.ids, ids.kind, f"ids of {table}")


def _converted(ids: pa.Array, kind: IdKind, what: str) -> pa.Array:
    try:
        return convert_ids(ids, kind, what)
    except InvalidInput as cause:
        raise _invalid("id_type", cause.message) from cause


def _repeated(reading: ReadingOptions) -> ReadingOptions:
    return reading.model_copy(update={"duplicates": "last"})


def _from_data(held: HeldSources, sheet: Sheet) -> tuple[Addition, int]:
    """Rows of DATA as they were read, in the columns of the state's own."""
    main = main_links(sheet, held.sources.contexts)
    left_out = sheet.raw.table.num_rows - len(main)
    return held.addition(MAIN, held.table_of(main)), left_out


def _of_data(state: State, held: HeldSources, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows of a body in the columns that DATA were read from."""
    reading, given = state.reading, held.given
    columns: dict[str, Any] = {}
    for end, table, column in (
        ("user", USER, reading.user_column),
        ("item", ITEM, reading.item_column),
    ):
        kind = given.entities[table].kind
        columns[column] = [_end(row, (end,), kind, at) for at, row in enumerate(rows)]
    times = None
    if reading.timestamp_column is not None:
        times = _unit(held, MAIN).of_rows(rows, state.clock())
        columns[reading.timestamp_column] = times
    columns |= _contexts(held, rows, times)
    for name in reading.columns:
        if name not in columns:
            missing = next((at for at, row in enumerate(rows) if "value" not in row), None)
            if missing is not None:
                raise _invalid(
                    "value",
                    f"interactions[{missing}]: a value is needed here, which stands for {name!r}",
                )
            columns[name] = [float(row["value"]) for row in rows]
    return pa.table(columns)


def _contexts(
    held: HeldSources, rows: list[dict[str, Any]], times: list[int] | None
) -> dict[str, Any]:
    """The words of every context, from the time where a row does not say one and its time does."""
    names, found = held.sources.contexts, {}
    for place, row in enumerate(rows):
        said = row.get("context", {})
        if not isinstance(said, Mapping) or not all(isinstance(x, str) for x in said.values()):
            raise _invalid("context", f'interactions[{place}].context: expected {{"NAME": "word"}}')
        unknown = sorted(set(said) - set(names))
        if unknown:
            there = ", ".join(names) or "none"
            raise _invalid("context", f"interactions[{place}].context: there are {there}")
    for name in names:
        told: list[Any] = [None] * len(rows)
        if times is not None and tells_time(held, name):
            ticks = UNITS[_unit(held, MAIN).name]
            told = FROM_TIME[name](np.array(times) // ticks).tolist()
        words = [
            row.get("context", {}).get(name, word) for row, word in zip(rows, told, strict=True)
        ]
        found[name] = pa.array(words, pa.string())
    return found


def tells_time(held: HeldSources, name: str) -> bool:
    """Whether the words of a context are those that a time gives it."""
    if name not in FROM_TIME:
        return False
    year = FROM_TIME[name](np.arange(0, 366 * 86_400, 3_600)).tolist()
    return set(held.given.main.contexts[name].values.ids.ids.to_pylist()) <= set(year)


def _ends(held: HeldSources, relation: str, schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """By column, the fields of a row that may say it."""
    ids = [name for name in schema.names if name != TIME]
    if len(ids) == 3:
        return {name: (name,) for name in ids}
    file = next(file for file in held.sources.relations if file.name == relation)
    tables = tables_of_pair(file)
    named = tables if set(tables) == {USER, ITEM} else ("head", "tail")
    return dict(zip(ids, (("head", named[0]), ("tail", named[1])), strict=True))


def _end(row: Mapping[str, Any], fields: tuple[str, ...], kind: IdKind, place: int) -> Any:
    for field in fields:
        if field in row:
            return id_of(row[field], kind, f"interactions[{place}].{field}")
    raise _invalid("unknown_field", f"interactions[{place}]: {' or '.join(fields)} is missing")


def _unit(held: HeldSources, relation: str) -> Unit:
    times = [x.times for x in held.given.links if x.group == relation and x.times is not None]
    return Unit.of(np.concatenate(times) if times else None)


def _invalid(code: str, message: str) -> InvalidInput:
    return InvalidInput(message, code=code)
