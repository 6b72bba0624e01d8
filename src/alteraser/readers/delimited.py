"""CSV and TSV: UTF-8, one header line, fields quoted where they hold the separator, a quote or a newline.

The separator is the extension's (``.csv`` a comma, ``.tsv`` a tab) if the header holds it, else the one of
comma, tab, semicolon and bar that the header holds most of. Blank lines are skipped. A column whose every
value is a canonical integer becomes int64; every other id column stays strings, exactly as written.
"""

from __future__ import annotations

from alteraser.readers._raw import Format, Raw, Wanted
from alteraser.readers._source import Source
from alteraser.readers._text import Dialect, read_delimited

_BY_SUFFIX = {".csv": ",", ".tsv": "\t", ".tab": "\t"}


def _read(source: Source, wanted: Wanted) -> Raw:
    return read_delimited(source, Dialect(_delimiter(source)), wanted)


def _delimiter(source: Source) -> str:
    by_suffix = _BY_SUFFIX.get(source.suffix, ",")
    header = source.head.line
    if by_suffix in header:
        return by_suffix
    most = max(",\t;|", key=header.count)
    return most if most in header else by_suffix


DELIMITED = Format("CSV or TSV", (".csv", ".tsv", ".tab", ".txt"), lambda head: False, _read)
