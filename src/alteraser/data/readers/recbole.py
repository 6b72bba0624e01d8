"""RecBole's atomic files: tabs, and a header of ``name:type``.

Tokens are integers where a whole column is canonical integers, else strings. The types are
remembered in the metadata of the columns, so that a table read from ``.inter`` is written to
``.inter`` with the same header.
"""

from __future__ import annotations

import re

import pyarrow as pa

from alteraser.data.readers._opening import header_line
from alteraser.data.readers._raw import Format, Raw, WantedColumns
from alteraser.data.readers._source import Head, Source
from alteraser.data.readers._text import Dialect, finish, read_delimited
from alteraser.errors import InvalidInput

TYPE = b"recbole_type"
_CELL = re.compile(r'"?([^\t:"]+):(token|float|token_seq|float_seq)"?')


def spaced(field: pa.Field) -> bool:
    """Whether a column is of several tokens a row, with spaces between them."""
    return bool((field.metadata or {}).get(TYPE) == b"token_seq")


def _matches(head: Head) -> bool:
    return all(_CELL.fullmatch(cell) for cell in head.line.split("\t"))


def _read(source: Source, wanted: WantedColumns) -> Raw:
    if not _matches(source.head):
        raise InvalidInput(
            f"{source.path}, line 1: the header of a .inter file is tab-separated cells of "
            "name:type with token, float, token_seq or float_seq, such as user_id:token; found "
            f"{source.head.line[:60]!r}. "
            "Correct the header, or rename a plain CSV or TSV file to .csv or .tsv.",
            path=str(source.path),
            line=1,
        )
    dialect = Dialect(
        header_line(source, "\t"),
        rename=lambda cell: cell.rsplit(":", 1)[0],
        fractions=lambda cell: cell.endswith(":float"),
        note=lambda cell: {TYPE: cell.rsplit(":", 1)[1].encode()},
    )
    return read_delimited(source, dialect, wanted)


RECBOLE = Format("RecBole .inter", (".inter",), _matches, _read, finish)
