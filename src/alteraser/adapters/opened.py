"""Another library's model with the data it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alteraser.adapters import find
from alteraser.adapters.contract import Adapter, Foreign
from alteraser.adapters.data import read_interactions, sheet_of
from alteraser.adapters.idmaps import resolved
from alteraser.adapters.options import ForeignOptions
from alteraser.data.interactions import Interactions
from alteraser.data.sheet import Sheet


@dataclass(frozen=True, eq=False)
class Opened:
    """A foreign model with its data."""

    adapter: Adapter
    foreign: Foreign
    data: Interactions
    options: ForeignOptions
    source: Path | None
    """The file of the data, where they came from one."""


def open_foreign(
    path: Path, source: Any, options: ForeignOptions | None = None, *, format: str | None = None
) -> Opened:
    """The model at ``path`` with the data it was trained on, rows resolved. Raises as
    ``Adapter.read`` and readers.

    ``source`` is a file, a folder, a table, or a ``Sheet`` of one that was read as ``options`` say.
    """
    options = options or ForeignOptions()
    adapter, foreign = read_foreign(path, options, format=format)
    return with_data(
        adapter,
        foreign,
        source if isinstance(source, Sheet) else sheet_of(source, options),
        options,
    )


def read_foreign(
    path: Path, options: ForeignOptions, *, format: str | None = None
) -> tuple[Adapter, Foreign]:
    """(what knows the file, the model in it with its id maps)."""
    adapter = find(path, format)
    return adapter, resolved(adapter.read(path, options), options)


def with_data(adapter: Adapter, foreign: Foreign, sheet: Sheet, options: ForeignOptions) -> Opened:
    """A model that was read, with its data. Raises as ``read_interactions``."""
    data = read_interactions(sheet, foreign.maps, options, ids_from=foreign.ids_from)
    return Opened(adapter, foreign, data, options, sheet.path)
