"""The id maps that Cornac pickles with a model: ``uid_map`` and ``iid_map``, ids to rows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from alteraser.adapters._pickle import Call
from alteraser.adapters._pickled import id_map, scalar
from alteraser.data.ids import IdMap
from alteraser.errors import InvalidInput

ERASED = "erased"


def ids_of(attributes: dict[str, Any], name: str, size: int, path: Path) -> IdMap:
    """Ids that have a row; a map may also hold those of a test set."""
    pairs = [
        (key, scalar(row, name))
        for key, row in _pairs(attributes.get(name), name, path)
        if type(key) is not tuple
    ]
    return id_map(
        [(key, row) for key, row in pairs if type(row) is not int or row < size],
        size,
        f"{path}: {name}",
    )


def leave(table: Any, erased: Collection[int]) -> None:
    """Put ("erased", row) in place of the ids of erased users, in ``uid_map``: Cornac also reads
    positions off its order.
    """
    gone = {int(row) for row in erased}
    pairs = [
        ((ERASED, row) if row in gone else key, row)
        for key, row in _pairs(table, "uid_map", Path())
    ]
    if isinstance(table, Call):
        table.pairs = pairs
    else:
        table.clear()
        table.update(pairs)


def _pairs(table: Any, name: str, path: Path) -> list[tuple[Any, Any]]:
    if isinstance(table, Call):
        return table.pairs
    if isinstance(table, dict):
        return list(table.items())
    raise InvalidInput(f"{path} has no {name}: it was saved before it was fitted", path=str(path))
