"""Which user or item each row is. Most libraries leave that to their callers, so it comes from a file of theirs.

A map is frozen: it is read, never rebuilt. Rebuilding one from data after rows were deleted would silently give every
row to somebody else.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from alteraser.adapters.contract import CONTAINER, Changed, Foreign, Sibling
from alteraser.adapters.options import ForeignOptions
from alteraser.errors import InvalidInput, NotFound
from alteraser.files import replace_file
from alteraser.ids import IdMap, as_id_array

ROWS = "the rows themselves"


def resolved(foreign: Foreign, options: ForeignOptions) -> Foreign:
    """``foreign`` with both id maps: the container's, else from the files named, else its rows where that is said.

    Raises InvalidInput where there are none, where options contradict the container, and for maps that do not fit.
    """
    given = options.users_map, options.items_map
    found = foreign.user_ids, foreign.item_ids
    if foreign.ids_from == CONTAINER and (any(given) or options.rows_are_ids):
        raise InvalidInput(
            f"{foreign.path} has its own id maps; leave --users-map, --items-map and --rows-are-ids out",
            path=str(foreign.path),
        )
    maps: list[IdMap] = []
    for side, ids, file, size in zip(("user", "item"), found, given, foreign.shape[:2], strict=True):
        if ids is None and file is not None:
            ids = read_id_map(file, side, size)
        if ids is None and options.rows_are_ids:
            ids = IdMap(pa.array(np.arange(size, dtype=np.int64)), np.arange(size, dtype=np.int64), size)
        if ids is None:
            raise InvalidInput(
                f"{foreign.path} does not say which {side} each of its {size:,} {side} rows is: give the map that was "
                f"used in training with --{side}s-map, or --rows-are-ids if the data's ids are rows from 0",
                path=str(foreign.path),
            )
        maps.append(ids)
    words = foreign.ids_from or (ROWS if options.rows_are_ids else "files")
    return replace(foreign, user_ids=maps[0], item_ids=maps[1], ids_from=words)


def read_id_map(path: Path, side: str, size: int) -> IdMap:
    """The map of one side from a table (``row`` and an id column, or ids alone in row order) or a JSON file.

    JSON is a list in row order, null for a row without an id, or an object of id → row. Raises InvalidInput where it
    does not fit ``size`` rows.
    """
    if not path.exists():
        raise NotFound(f"--{side}s-map {path} does not exist; check the path", path=str(path))
    ids, rows, complete = _from_json(path) if path.suffix.lower() == ".json" else _from_table(path, side)
    if complete and len(rows) != size:
        raise InvalidInput(
            f"--{side}s-map {path} has {len(rows):,} ids, the model {size:,} {side} rows: it is not this model's map",
            path=str(path),
        )
    outside = (rows < 0) | (rows >= size)
    if outside.any():
        raise InvalidInput(
            f"--{side}s-map {path}: row {int(rows[outside][0])} is not one of the model's {size:,} {side} rows "
            f"(0 … {size - 1}): it is not this model's map",
            path=str(path),
        )
    array = as_id_array(ids, f"{path}")
    for what, distinct in (("row", len(np.unique(rows))), ("id", len(array.unique()))):
        if distinct != len(rows):
            raise InvalidInput(f"--{side}s-map {path} has a {what} twice; a map has each once", path=str(path))
    order = np.argsort(rows)
    return IdMap(array.take(pa.array(order)), rows[order], size)


def map_files(options: ForeignOptions) -> tuple[Sibling, ...]:
    """The map files the user named, as siblings that lose the ids of users who are gone."""
    if options.users_map is None:
        return ()
    path = options.users_map
    known = path.suffix.lower() in (".json", ".parquet", ".csv", ".tsv")
    advice = "" if known else "take the erased users' ids out, and leave every other row where it is"
    return (Sibling(path, "the map of user ids", advice, scrub_map(path) if known else None),)


def scrub_map(path: Path) -> Any:
    """Rewrites a map of user ids in place without the users who are gone; the others keep their rows."""

    def scrub(foreign: Foreign, changed: Changed) -> None:
        assert foreign.user_ids is not None
        left = foreign.user_ids.without(changed.erased_users)
        if len(left) == len(foreign.user_ids):
            return
        if path.suffix.lower() == ".json":
            replace_file(path, _to_json(path, left))
        else:
            replace_file(path, _to_table(path, left))

    return scrub


def _from_json(path: Path) -> tuple[Any, Any, bool]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as cause:
        raise InvalidInput(f"{path} is not JSON ({cause})", path=str(path)) from cause
    if isinstance(found, list):
        named = [(row, name) for row, name in enumerate(found) if name is not None]
        if not named:
            raise InvalidInput(f"{path} names no row", path=str(path))
        if len(named) == len(found):
            return found, np.arange(len(found)), True
        return [name for _, name in named], np.array([row for row, _ in named]), False
    if isinstance(found, dict) and all(isinstance(row, int) and not isinstance(row, bool) for row in found.values()):
        return list(found), np.array(list(found.values()), np.int64), False
    raise InvalidInput(
        f'{path}: expected a list of ids in row order, or an object of id → row, such as {{"ann": 0}}', path=str(path)
    )


def _from_table(path: Path, side: str) -> tuple[Any, Any, bool]:
    from alteraser.readers import ReadingOptions, read_rows

    table = read_rows(path, ReadingOptions())
    names = [name for name in table.column_names if name != "row"]
    name = f"{side}_id" if f"{side}_id" in names else names[0] if len(names) == 1 else None
    if name is None:
        raise InvalidInput(
            f"{path} has the columns {', '.join(table.column_names)}: expected row and {side}_id, or the ids alone in "
            "row order",
            path=str(path),
        )
    if "row" not in table.column_names:
        return table[name], np.arange(table.num_rows), True
    if not pa.types.is_integer(table["row"].type) or table["row"].null_count:
        raise InvalidInput(f"{path}: column row must hold whole numbers from 0", path=str(path))
    return table[name], table["row"].to_numpy().astype(np.int64), False


def _to_json(path: Path, left: IdMap) -> bytes:
    found = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(found, list):
        kept = set(left.rows.tolist())
        document: Any = [name if row in kept else None for row, name in enumerate(found)]
    else:
        kept = set(left.rows.tolist())
        document = {name: row for name, row in found.items() if row in kept}
    return (json.dumps(document, ensure_ascii=False) + "\n").encode("utf-8")


def _to_table(path: Path, left: IdMap) -> bytes:
    import tempfile

    from alteraser.readers import write_rows

    table = pa.table({"row": pa.array(left.rows), "user_id": left.ids})
    with tempfile.TemporaryDirectory() as folder:
        write_rows(table, Path(folder) / path.name)
        return (Path(folder) / path.name).read_bytes()
