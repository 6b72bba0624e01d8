"""CSV, TSV and their kin: UTF-8, one header line, fields quoted where they hold the separator, a
quote or a newline.

What separates the fields, where the header is, and what stands for one, is `_opening`'s to find.
Blank lines are skipped. A column whose every value is a canonical integer becomes int64; every
other id column stays strings, exactly as written. MovieLens' ``ratings.dat`` and ``u.data`` are
told by their lines.
"""

from __future__ import annotations

import pyarrow as pa

from alteraser.data.readers._blocks import LAYOUTS
from alteraser.data.readers._opening import opening
from alteraser.data.readers._raw import Format, Raw, WantedColumns, by_row
from alteraser.data.readers._source import Source
from alteraser.data.readers._text import Dialect, finish, read_delimited


def _read(source: Source, wanted: WantedColumns) -> Raw:
    found = opening(source, wanted.hints, wanted.ids)
    if found.layout is not None:
        return LAYOUTS[found.layout](source, found, wanted)
    # for the message: there is no column that is asked for
    if found.guess in LAYOUTS and wanted.columns is not None:
        return Raw(
            pa.table({}), found.names, by_row(source.path), name=str(source.path), guess=found.guess
        )
    return read_delimited(source, Dialect(found, quotes=found.quotes), wanted)


DELIMITED = Format(
    "CSV or TSV", (".csv", ".tsv", ".tab", ".txt"), lambda head: False, _read, finish
)
