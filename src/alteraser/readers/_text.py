"""What the formats with one row a line share: parsing by Arrow, and finding the line of what went wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from alteraser.errors import InvalidInput, ResourceLimit
from alteraser.readers._numbers import typed
from alteraser.readers._raw import Raw, Wanted, Where
from alteraser.readers._source import BLOCK, Source, check_text, damaged


@dataclass(frozen=True)
class Dialect:
    """How the lines of a file are cut into fields."""

    delimiter: str
    names: tuple[str, ...] | None = None
    """The columns, where the file has no header. A name of None's place is ``""``: a field always empty."""

    quotes: bool = True
    rename: Callable[[str], str] = str
    """From a name in the header to the column's name."""

    fractions: Callable[[str], bool] = lambda header: True
    """Whether a column, by its name in the header, may be read as fractions."""

    note: Callable[[str], dict[bytes, bytes]] = lambda header: {}
    """What to remember of a column's header."""


def read_delimited(source: Source, dialect: Dialect, wanted: Wanted) -> Raw:
    """Read a file of separated fields: all of it or, at the first malformed line, nothing."""
    quoted = check_text(source) and dialect.quotes
    header = list(dialect.names or _header(source, dialect))
    columns = [dialect.rename(name) for name in header]
    if quoted:  # Arrow lets a forgotten quote swallow lines; the strict scan does not
        for _ in _scan(source, dialect, len(header)):
            pass
    keep = [i for i, name in enumerate(columns) if wanted.columns is None or name in wanted.columns]
    _refuse_repeated([columns[i] for i in keep], source, strict=wanted.columns is not None)
    fillers = [i for i, name in enumerate(columns) if not name and dialect.names]
    table = _parse(source, dialect, len(header), sorted({*keep, *fillers}), quoted)
    where = _where(source, dialect, len(header))
    for i in fillers:
        _refuse_filled(table[str(i)], where, dialect)
    arrays, fields = [], []
    for i in keep:
        if i in fillers:
            continue
        fractions = columns[i] not in wanted.ids and dialect.fractions(header[i])
        array, style = typed(table[str(i)], fractions=fractions)
        arrays.append(array)
        fields.append(pa.field(columns[i], array.type, metadata={**dialect.note(header[i]), **style} or None))
    result = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    return Raw(result, [name for name in columns if name], where, name=str(source.path))


def _parse(source: Source, dialect: Dialect, width: int, keep: list[int], quoted: bool) -> pa.Table:
    """Every column by its position, as the strings it holds."""
    names = [str(i) for i in range(width)]
    try:
        with source.open_arrow() as stream:
            return pa.csv.read_csv(
                stream,
                read_options=pa.csv.ReadOptions(
                    block_size=BLOCK,
                    column_names=names,
                    skip_rows=_blank_lines(source) if dialect.names is None else 0,
                    skip_rows_after_names=int(dialect.names is None),
                ),
                parse_options=pa.csv.ParseOptions(
                    delimiter=dialect.delimiter,
                    quote_char='"' if dialect.quotes else False,
                    newlines_in_values=quoted,
                ),
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=[str(i) for i in keep],
                    strings_can_be_null=False,
                ),
            )
    except (pa.ArrowInvalid, OSError) as error:
        rows = sum(1 for _ in _scan(source, dialect, width))  # raises, with the line, at the first bad one
        if not rows:
            return pa.table({str(i): pa.array([], pa.string()) for i in keep})
        if "block" in str(error):
            raise ResourceLimit(
                f"{source.path}: a row is longer than {BLOCK >> 20} MiB. Look for a forgotten quote, or cut "
                "the long field.",
                path=str(source.path),
            ) from error
        raise damaged(source.path, error) from error


def _header(source: Source, dialect: Dialect) -> list[str]:
    lines = csv.reader(
        io.StringIO(source.head.start.decode("utf-8-sig", errors="ignore"), newline=""),
        delimiter=dialect.delimiter,
        quoting=csv.QUOTE_MINIMAL if dialect.quotes else csv.QUOTE_NONE,
    )
    try:
        return next(fields for fields in lines if fields)
    except (StopIteration, csv.Error) as error:
        raise damaged(source.path, error) from error


def _blank_lines(source: Source) -> int:
    """Blank lines before the header; Arrow would count them as rows to skip."""
    text = source.head.start.decode("utf-8-sig", errors="ignore")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return next((i for i, line in enumerate(lines) if line), 0)


def _scan(source: Source, dialect: Dialect, width: int) -> Iterator[int]:
    """The line on which each row of data begins; slow and strict, for errors and for quotes."""
    with source.open() as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        rows = csv.reader(
            text,
            delimiter=dialect.delimiter,
            quoting=csv.QUOTE_MINIMAL if dialect.quotes else csv.QUOTE_NONE,
            strict=True,
        )
        line, header = 1, dialect.names is None
        try:
            for fields in rows:
                if fields and len(fields) != width:
                    raise _wrong_width(source, dialect, line, width, fields)
                if fields and not header:
                    yield line
                header = header and not fields
                line = rows.line_num + 1
        except csv.Error as error:
            if "field limit" in str(error):
                raise ResourceLimit(
                    f"{source.path}, line {line}: a field is longer than {csv.field_size_limit():,} "
                    "characters. Look for a forgotten quote, or cut the field.",
                    path=str(source.path),
                    line=line,
                ) from error
            raise InvalidInput(
                f"{source.path}, line {line}: its quotes do not match ({error}). "
                'Close the quote, or double the quotes inside a quoted field ("").',
                path=str(source.path),
                line=line,
            ) from error
        finally:
            text.detach()


def _wrong_width(source: Source, dialect: Dialect, line: int, width: int, fields: list[str]) -> InvalidInput:
    if dialect.names and "" in dialect.names:  # ratings.dat: every second field is the inside of a ::
        width, found = width // 2 + 1, len(dialect.delimiter.join(fields).split(dialect.delimiter * 2))
        delimiter = dialect.delimiter * 2
    else:
        found, delimiter = len(fields), dialect.delimiter
    named = {"\t": "tabs", ",": "commas", ";": "semicolons"}.get(delimiter, repr(delimiter))
    return InvalidInput(
        f"{source.path}, line {line}: {found} {'column' if found == 1 else 'columns'} separated by {named}, "
        f"where {width} were expected. Correct the line, or quote fields that hold the separator; "
        "nothing was read.",
        path=str(source.path),
        line=line,
    )


def _where(source: Source, dialect: Dialect, width: int) -> Where:
    def where(row: int) -> str:
        for i, line in enumerate(_scan(source, dialect, width)):
            if i == row:
                return f"{source.path}, line {line}"
        return f"{source.path}, row {row + 1}"

    return where


def _refuse_filled(column: pa.ChunkedArray, where: Where, dialect: Dialect) -> None:
    row = pc.index(pc.not_equal(column, ""), True).as_py()
    if row >= 0:
        raise InvalidInput(
            f"{where(row)}: fields are separated by single {dialect.delimiter!r}, "
            f"where {dialect.delimiter * 2!r} was expected. Correct the line; nothing was read."
        )


def _refuse_repeated(names: list[str], source: Source, *, strict: bool) -> None:
    repeated = next((name for name in names if strict and name and names.count(name) > 1), None)
    if repeated is not None:
        raise InvalidInput(
            f"{source.path}: the column {repeated!r} is there twice. Rename one of them.",
            path=str(source.path),
        )
