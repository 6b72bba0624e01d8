"""Another library's model with the data it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from alteraser.adapters import find
from alteraser.adapters.contract import Adapter, Foreign
from alteraser.adapters.data import read_interactions
from alteraser.adapters.idmaps import resolved
from alteraser.adapters.options import ForeignOptions
from alteraser.data.interactions import Interactions


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
    path: Path, source: Path | pa.Table, options: ForeignOptions | None = None, *, format: str | None = None
) -> Opened:
    """The model at ``path`` with the data it was trained on, rows resolved. Raises as ``Adapter.read`` and readers."""
    options = options or ForeignOptions()
    adapter = find(path, format)
    foreign = resolved(adapter.read(path, options), options)
    data = read_interactions(source, foreign, options)
    return Opened(adapter, foreign, data, options, source if isinstance(source, Path) else None)
