"""What a format's reader answers with, and how a format is registered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from alteraser.data.readers._hints import Hints
from alteraser.data.readers._source import Head, Source

Where = Callable[[int], str]
"""From a row, counted from 0, to the words for a message: ``ratings.csv, line 7``."""


@dataclass(frozen=True)
class WantedColumns:
    """What is asked of a format's reader."""

    columns: frozenset[str] | None
    """The columns that will be used, or None for all of them. Others may be left out."""

    ids: frozenset[str]
    """The id columns: text is read as integers or strings, never as fractions."""

    hints: Hints = field(default_factory=Hints)


@dataclass(frozen=True)
class Raw:
    """A table as it was stored: all rows, types untouched, columns under their stored names."""

    table: pa.Table
    columns: Sequence[str]
    """All columns there are, also those that were not read."""

    where: Where
    name: str = field(kw_only=True)
    """The file, for messages."""

    untyped: frozenset[str] = frozenset()
    """Columns of text that says no types, and that are not numbers as they would be written."""

    guess: str = ""
    """What text that names none of the id columns looks like: ``netflix``, ``adjacency``,
    ``rows``."""


@dataclass(frozen=True)
class Format:
    """A file format: how it is recognized, and how it is read."""

    name: str
    suffixes: tuple[str, ...]
    matches: Callable[[Head], bool]
    """Whether the beginning of a file settles it; the suffix is only asked where no format's
    does."""

    read: Callable[[Source, WantedColumns], Raw]
    finish: Callable[[Raw, WantedColumns], Raw] = lambda raw, wanted: raw
    """What is done once all parts of a table are together: text becomes numbers, by what all parts
    hold."""


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds strings, however wide their offsets."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def by_row(path: Path | str) -> Where:
    """Rows that have no lines: counted from 1."""
    return lambda row: f"{path}, row {row + 1}"
