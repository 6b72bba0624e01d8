"""Which user or item each row is. Most libraries leave that to their callers, so it comes from a
file of theirs.

A map is frozen: it is read, never rebuilt. Rebuilding one from data after rows were deleted would
silently give every row to somebody else.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from alteraser.adapters import map_files as forms
from alteraser.adapters.contract import CONTAINER, Changed, Foreign, Sibling
from alteraser.adapters.options import ForeignOptions
from alteraser.data.files import replace_file
from alteraser.data.ids import IdMap, as_id_array
from alteraser.errors import InvalidInput, NotFound

ROWS = "the rows themselves"


def resolved(foreign: Foreign, options: ForeignOptions) -> Foreign:
    """``foreign`` with both id maps: the container's, else from the files named, else its rows
    where that is said.

    Raises InvalidInput where there are none, where options contradict the container, and for maps
    that do not fit.
    """
    given = options.users_map, options.items_map
    found = foreign.user_ids, foreign.item_ids
    if foreign.ids_from == CONTAINER and (any(given) or options.rows_are_ids):
        raise InvalidInput(
            f"{foreign.path} has its own id maps; leave --users-map, --items-map and "
            "--rows-are-ids out",
            path=str(foreign.path),
        )
    maps: list[IdMap] = []
    for side, ids, file, size in zip(
        ("user", "item"), found, given, foreign.shape[:2], strict=True
    ):
        if ids is None and file is not None:
            ids = read_id_map(file, side, size)
        if ids is None and options.rows_are_ids:
            ids = IdMap(
                pa.array(np.arange(size, dtype=np.int64)), np.arange(size, dtype=np.int64), size
            )
        if ids is None:
            raise InvalidInput(
                f"{foreign.path} does not say which {side} each of its {size:,} {side} rows is: "
                f"give the map that was used in training with --{side}s-map, or --rows-are-ids if "
                "the data's ids are rows from 0",
                path=str(foreign.path),
            )
        maps.append(ids)
    words = foreign.ids_from or (ROWS if options.rows_are_ids else "files")
    return replace(foreign, user_ids=maps[0], item_ids=maps[1], ids_from=words)


def read_id_map(path: Path, side: str, size: int) -> IdMap:
    """The map of one side from a table, JSON or ``.npy``, in any of the forms of ``map_files.py``.

    Raises InvalidInput where it does not fit ``size`` rows, and as ``map_files.read``.
    """
    if not path.exists():
        raise NotFound(f"--{side}s-map {path} does not exist; check the path", path=str(path))
    ids, rows, complete = forms.read(path, side, size)
    if complete and len(rows) != size:
        raise InvalidInput(
            f"--{side}s-map {path} has {len(rows):,} ids, the model {size:,} {side} rows: it is "
            "not this model's map",
            path=str(path),
        )
    outside = (rows < 0) | (rows >= size)
    if outside.any():
        raise InvalidInput(
            f"--{side}s-map {path}: row {int(rows[outside][0])} is not one of the model's "
            f"{size:,} {side} rows (0 … {size - 1}): it is not this model's map",
            path=str(path),
        )
    array = as_id_array(ids, f"{path}")
    for what, distinct in (("a row", len(np.unique(rows))), ("an id", len(array.unique()))):
        if distinct != len(rows):
            raise InvalidInput(
                f"--{side}s-map {path} has {what} twice; a map has each once", path=str(path)
            )
    order = np.argsort(rows)
    return IdMap(array.take(pa.array(order)), rows[order], size)


def map_files(options: ForeignOptions) -> tuple[Sibling, ...]:
    """The map files the user named, as siblings that lose the ids of users who are gone."""
    if options.users_map is None:
        return ()
    path = options.users_map
    known = forms.writable(path)
    advice = (
        "" if known else "take the erased users' ids out, and leave every other row where it is"
    )
    return (Sibling(path, "the map of user ids", advice, scrub_map(path) if known else None),)


def scrub_map(path: Path) -> Any:
    """Rewrites a map of user ids in place without the users who are gone; the others keep their
    rows.
    """

    def scrub(foreign: Foreign, changed: Changed) -> None:
        assert foreign.user_ids is not None
        left = foreign.user_ids.without(changed.erased_users)
        if len(left) == len(foreign.user_ids):
            return
        replace_file(path, forms.write(path, left))

    return scrub
