"""What is left of the files that a model learned from, written again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from alteraser.data.files import atomic_directory
from alteraser.data.interactions import Interactions
from alteraser.data.readers import Hints, WantedColumns, read_raw, write_rows
from alteraser.data.selection import Selection
from alteraser.data.sheet import Sheet
from alteraser.data.side.features import Numbers
from alteraser.data.side.given import Given
from alteraser.data.side.holding import kept_places, setup_toml
from alteraser.data.side.relations import tables_of_graphs
from alteraser.data.side.sources import Sources


def kept_rows(
    sheet: Sheet, given: Given, rest: Given, removed: Interactions, selection: Selection | None
) -> pa.Table:
    """The rows of DATA that are left, with every column."""
    if given.main.places is None:
        return sheet.without(removed, selection)
    return sheet.rows.filter(pa.array(kept_places([given.main], [rest.main], sheet.rows.num_rows)))


def write_all(
    rows: pa.Table, sheet: Sheet, given: Given, rest: Given, sources: Sources, folder: Path
) -> None:
    """A new folder: ``data.parquet``, a file for every other source, and ``setup.toml``, which
    names them. OutputExists where it is there.
    """
    with atomic_directory(folder) as path:
        write_rows(rows, path / "data.parquet")
        sections: list[tuple[str, str, dict[str, Any]]] = []
        for table in sources.features:
            name = f"{table}-features.parquet"
            column = {"user": sheet.reading.user_column, "item": sheet.reading.item_column}
            known = rest.attributes[table]
            write_rows(known.to_table(column.get(table, f"{table}_id")), path / name)
            kinds = [
                f"{x.name}={'number' if isinstance(x, Numbers) else 'category'}"
                for x in known.features
            ]
            sections.append(("features", table, {"file": name, "columns": kinds}))
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
            kept = kept_places(own[0], own[1], raw.table.num_rows)
            if not kept.any():
                continue
            write_rows(raw.table.filter(pa.array(kept)), path / name)
            tables = {"tables": list(file.tables)} if file.tables else {}
            sections.append(("relations", file.name, {"file": name, **tables}))
        graphs = tables_of_graphs(rest.links)
        for entity in (x for x in sources.entities if x.table in graphs):
            name = f"entities-{entity.table}.parquet"
            write_rows(_entities(entity.path, entity.table, given, rest), path / name)
            sections.append(("entities", entity.table, {"file": name, "column": entity.column}))
        text = setup_toml(sources.contexts, sections)
        (path / "setup.toml").write_text(text, encoding="utf-8")


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
