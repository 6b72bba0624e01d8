"""What is left of the files that a model learned from, written again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from alteraser.data.files import atomic_directory
from alteraser.data.interactions import Interactions
from alteraser.data.readers import Hints, WantedColumns, read_raw, write_rows
from alteraser.data.selection import Selection
from alteraser.data.sheet import Sheet
from alteraser.data.side.features import Numbers
from alteraser.data.side.given import Given
from alteraser.data.side.links import Links
from alteraser.data.side.relations import tables_of_graphs
from alteraser.data.side.sources import Sources


def kept_rows(
    sheet: Sheet, given: Given, rest: Given, removed: Interactions, selection: Selection | None
) -> pa.Table:
    """The rows of DATA that are left, with every column."""
    if given.main.places is None:
        return sheet.without(removed, selection)
    return sheet.rows.filter(pa.array(_kept([given.main], [rest.main], sheet.rows.num_rows)))


def write_all(
    rows: pa.Table, sheet: Sheet, given: Given, rest: Given, sources: Sources, folder: Path
) -> None:
    """A new folder: ``data.parquet``, a file for every other source, and ``setup.toml``, which
    names them. OutputExists where it is there.
    """
    with atomic_directory(folder) as path:
        write_rows(rows, path / "data.parquet")
        lines = []
        if sources.contexts:
            lines.append(f"context = {json.dumps(list(sources.contexts))}")
        for table in sources.features:
            name = f"{table}-features.parquet"
            column = {"user": sheet.reading.user_column, "item": sheet.reading.item_column}
            known = rest.attributes[table]
            write_rows(known.to_table(column.get(table, f"{table}_id")), path / name)
            kinds = [
                f"{x.name}={'number' if isinstance(x, Numbers) else 'category'}"
                for x in known.features
            ]
            lines += ["", f"[features.{table}]", f'file = "{name}"']
            lines.append(f"columns = {json.dumps(kinds, ensure_ascii=False)}")
        for file in sources.relations:
            own = [[x for x in g.links if x.group == file.name] for g in (given, rest)]
            raw = read_raw(
                file.path,
                WantedColumns(
                    None,
                    frozenset({"user_id", "item_id", "head", "tail"}),
                    Hints(("user_id", "item_id")),
                ),
            )
            name = f"relation-{file.name}.parquet"
            kept = _kept(own[0], own[1], raw.table.num_rows)
            if not kept.any():
                continue
            write_rows(raw.table.filter(pa.array(kept)), path / name)
            lines += ["", f"[relations.{file.name}]", f'file = "{name}"']
            if file.tables:
                lines.append(f"tables = {json.dumps(list(file.tables))}")
        graphs = tables_of_graphs(rest.links)
        for entity in (x for x in sources.entities if x.table in graphs):
            name = f"entities-{entity.table}.parquet"
            write_rows(_entities(entity.path, entity.table, given, rest), path / name)
            lines += ["", f"[entities.{entity.table}]", f'file = "{name}"']
            lines.append(f"column = {json.dumps(entity.column, ensure_ascii=False)}")
        (path / "setup.toml").write_text("\n".join(lines).lstrip() + "\n", encoding="utf-8")


def _kept(before: list[Links], after: list[Links], size: int) -> np.ndarray:
    """Which rows of a file are still in one of its relations, or never were."""
    found = np.ones(size, bool)
    for links, stays in (*((x, False) for x in before), *((x, True) for x in after)):
        assert links.places is not None
        found[links.places[links.places >= 0]] = stays
    return found


def _entities(path: Path, table: str, given: Given, rest: Given) -> pa.Table:
    """The table that joins nodes to entities, without who is gone."""
    names = (f"{table}_id", table, "id")
    raw = read_raw(path, WantedColumns(None, frozenset(names), Hints((names[0], names[0]))))
    column = next((x for x in names if x in raw.table.column_names), None)
    if column is None or table not in given.entities:
        return raw.table
    ids = raw.table[column]
    was = given.entities[table].rows_of(ids, table) >= 0
    left = rest.entities.get(table)
    here = np.zeros(len(ids), bool) if left is None else left.rows_of(ids, table) >= 0
    return raw.table.filter(pa.array(~was | here))


__all__ = ["kept_rows", "write_all"]
