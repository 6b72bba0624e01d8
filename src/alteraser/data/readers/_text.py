"""What the formats with one row a line share: parsing by Arrow, and finding the line of what went
wrong.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from alteraser.data.readers._numbers import typed
from alteraser.data.readers._opening import BOM, Opening, header_words, is_header
from alteraser.data.readers._raw import Raw, WantedColumns, Where
from alteraser.data.readers._source import BLOCK, Source, check_text, damaged, marked_inside
from alteraser.errors import InvalidInput, ResourceLimit

_TOKEN = b"alteraser.token"
"""In the metadata of a field of text: it is never read as fractions."""

_INTEGER = r"^-?[0-9]+$"
_WORD = re.compile(r"[^\W\d_][^\W\d]{2,}([ -][^\W\d]+)*")
_FEW = 100
"""Of the rows of integers, one in so many at most is a header that was left between them."""


@dataclass(frozen=True)
class Dialect:
    """How the lines of a file are cut into fields."""

    opening: Opening
    quotes: bool = True
    rename: Callable[[str], str] = str
    """From a name in the header to the column's name."""

    fractions: Callable[[str], bool] = lambda header: True
    """Whether a column, by its name in the header, may be read as fractions."""

    note: Callable[[str], dict[bytes, bytes]] = lambda header: {}
    """What to remember of a column's header."""

    columns: tuple[str, ...] = field(init=False)
    """What the fields of a line belong to; between two of ``::`` there is one that is empty."""

    def __post_init__(self) -> None:
        names = [self.rename(name) for name in self.opening.names]
        if self.doubled:
            names = [name for each in names for name in (each, "")][:-1]
        object.__setattr__(self, "columns", tuple(names))

    @property
    def delimiter(self) -> str:
        """What Arrow and Python cut lines by."""
        return self.opening.separator[0]

    @property
    def doubled(self) -> bool:
        """Whether the separator is one character twice."""
        return len(self.opening.separator) > 1

    @property
    def fillers(self) -> list[int]:
        """Fields that are always empty."""
        return list(range(1, len(self.columns), 2)) if self.doubled else []


def read_delimited(source: Source, dialect: Dialect, wanted: WantedColumns) -> Raw:
    """A file of separated fields as the text that it holds: all of it or, at the first malformed
    line, nothing.
    """
    quoted = check_text(source) and dialect.quotes
    if quoted:
        dialect, quoted = _quoting(source, dialect)
    columns, header = dialect.columns, dialect.opening.names
    keep = [i for i, name in enumerate(columns) if wanted.columns is None or name in wanted.columns]
    _refuse_repeated([columns[i] for i in keep], source, strict=wanted.columns is not None)
    table = _parse(source, dialect, sorted({*keep, *dialect.fillers}), quoted)
    where = _where(source, dialect)
    for i in dialect.fillers:
        _refuse_filled(table[str(i)], where, dialect)
    arrays, fields = [], []
    for i in keep:
        if i in dialect.fillers or (not columns[i] and not dialect.opening.headed):
            continue
        spelled = header[i // 2 if dialect.doubled else i]
        fractions = (
            columns[i] not in wanted.ids
            and dialect.fractions(spelled)
            and wanted.hints.decimal == "."
        )
        notes = dialect.note(spelled) | ({} if fractions else {_TOKEN: b""})
        arrays.append(_without_space(table[str(i)], dialect, i))
        fields.append(pa.field(columns[i], pa.string(), metadata=notes or None))
    text = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    raw = Raw(
        text,
        [name for name in columns if name],
        where,
        name=str(source.path),
        guess=dialect.opening.guess,
    )
    _refuse_headers(raw, source, dialect, wanted)
    return raw


def _without_space(column: pa.ChunkedArray, dialect: Dialect, i: int) -> pa.ChunkedArray:
    """Where the header and every row have a space behind the separator, it belongs to that."""
    place = i // 2 if dialect.doubled else i
    if not (
        dialect.opening.headed
        and place
        and dialect.opening.cells[place].startswith(" ")
        and len(column)
    ):
        return column
    return pc.utf8_ltrim(column, " ") if pc.all(pc.starts_with(column, " ")).as_py() else column


def finish(raw: Raw, wanted: WantedColumns) -> Raw:
    """Text as numbers where nothing is lost, by all of a column."""
    arrays, fields, untyped = [], [], set()
    for column, known in zip(raw.table.columns, raw.table.schema, strict=True):
        notes = dict(known.metadata or {})
        if not pa.types.is_string(known.type):  # in the name of a folder, not in the text
            arrays.append(column)
            fields.append(known)
            continue
        fractions = notes.pop(_TOKEN, None) is None
        array, style = typed(column, fractions=fractions)
        if fractions and pa.types.is_string(array.type):
            untyped.add(known.name)
        arrays.append(array)
        fields.append(pa.field(known.name, array.type, metadata=notes | style or None))
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    result = replace(raw, table=table, untyped=frozenset(untyped))
    ids = [name for name in wanted.hints.ids if result.table.column_names.count(name) == 1]
    if len(ids) == 2 and all(
        pa.types.is_string(result.table.schema.field(name).type) for name in ids
    ):
        _refuse_words_between_integers(result.table[ids[0]], result.table[ids[1]], raw.where)
    return result


# ---------------------------------------------------------------- headers where rows should be


def _refuse_headers(raw: Raw, source: Source, dialect: Dialect, wanted: WantedColumns) -> None:
    """Refuse a header among the rows: two files were put together, or rows were expected where it
    is.
    """
    spelled = dict(
        zip(dialect.columns[:: 2 if dialect.doubled else 1], dialect.opening.cells, strict=True)
    )
    ids = [name for name in wanted.hints.ids if raw.table.column_names.count(name) == 1]
    variants = {
        before + spelling + behind
        for name in ids
        for cell in (name, spelled.get(name, name))
        for spelling in (cell.strip(), f'"{cell.strip()}"')
        for before in ("", " ", BOM, BOM + " ")
        for behind in ("", " ")
    }
    again = None
    for name in ids:
        found = pc.is_in(raw.table[name], value_set=pa.array(sorted(variants)))
        again = found if again is None else pc.and_(again, found)
    row = -1 if again is None else pc.index(again, True).as_py()
    if row < 0 and len(ids) == 2:
        row = _words(raw.table[ids[0]], raw.table[ids[1]])
    first = dialect.columns[0]
    mark = (
        pc.index(pc.starts_with(raw.table[first], BOM), True).as_py()
        if row < 0 and first in ids
        else -1
    )
    if mark >= 0 and marked_inside(source):
        raise InvalidInput(
            f"{raw.where(mark)}: begins with a byte order mark, as where files were put together. "
            "Take the mark out; nothing was read.",
            path=raw.name,
        )
    if row >= 0:
        cells = ", ".join(str(raw.table[name][row].as_py()) for name in ids)
        raise InvalidInput(
            f"{raw.where(row)}: a header ({cells}) where a row was expected. Where files were put "
            "together, leave out all headers but the first; nothing was read.",
            path=raw.name,
        )


def _words(users: pa.ChunkedArray, items: pa.ChunkedArray) -> int:
    """The first row whose ids are what people call such columns; -1: none."""
    words = pa.array(header_words())
    both = pc.and_(pc.is_in(users, value_set=words), pc.is_in(items, value_set=words))
    for row in np.flatnonzero(np.asarray(both.to_numpy(), dtype=bool)):
        if is_header(users[int(row)].as_py(), items[int(row)].as_py()):
            return int(row)
    return -1


def _refuse_words_between_integers(
    users: pa.ChunkedArray, items: pa.ChunkedArray, where: Where
) -> None:
    """Refuse rows of words in both columns where all other rows are integers in both: headers in
    other words.
    """
    if not len(users):
        return
    integer = [
        np.asarray(pc.match_substring_regex(ids, _INTEGER).to_numpy(), dtype=bool)
        for ids in (users, items)
    ]
    rows = np.flatnonzero(~integer[0])
    if (
        not 0 < len(rows) <= max(1, len(users) // _FEW)
        or len(rows) == len(users)
        or (integer[0] != integer[1]).any()
    ):
        return
    row = int(rows[0])
    cells = users[row].as_py(), items[row].as_py()
    if all(_WORD.fullmatch(cell) for cell in cells):
        raise InvalidInput(
            f"{where(row)}: {cells[0]!r} and {cells[1]!r}, where every other row has integers: it "
            "reads like a header. Take the line out; nothing was read."
        )


# ---------------------------------------------------------------- rows


def _parse(source: Source, dialect: Dialect, keep: list[int], quoted: bool) -> pa.Table:
    """Every column by its position, as the strings it holds."""
    names = [str(i) for i in range(len(dialect.columns))]
    try:
        with source.open_arrow(dialect.opening.start) as stream:
            return pa.csv.read_csv(
                stream,
                read_options=pa.csv.ReadOptions(block_size=BLOCK, column_names=names),
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
    except MemoryError:
        raise
    except (pa.ArrowInvalid, OSError) as error:
        rows = sum(1 for _ in _scan(source, dialect))  # raises, with the line, at the first bad one
        if not rows:
            return pa.table({str(i): pa.array([], pa.string()) for i in keep})
        if "block" in str(error):
            raise ResourceLimit(
                f"{source.path}: a row is longer than {BLOCK >> 20} MiB. Look for a forgotten "
                "quote, or cut the long field.",
                path=str(source.path),
            ) from error
        raise damaged(source.path, error) from error


def _quoting(source: Source, dialect: Dialect) -> tuple[Dialect, bool]:
    """How quotes are meant: (the dialect, whether fields may hold newlines).

    Arrow lets a forgotten quote swallow lines; the strict scan does not. Between tabs, quotes that
    do not match are characters like any other, where every line has all of its fields without them.
    """
    try:
        for _ in _scan(source, dialect):
            pass
    except InvalidInput:
        if dialect.delimiter != "\t":
            raise
        plain = replace(dialect, quotes=False)
        try:
            for _ in _scan(source, plain):
                pass
        except InvalidInput:
            pass
        else:
            return plain, False
        raise
    return dialect, True


def _scan(source: Source, dialect: Dialect) -> Iterator[int]:
    """The line on which each row of data begins; slow and strict, for errors and for quotes."""
    width, first = len(dialect.columns), dialect.opening.line
    with source.open(dialect.opening.start) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        rows = csv.reader(
            text,
            delimiter=dialect.delimiter,
            quoting=csv.QUOTE_MINIMAL if dialect.quotes else csv.QUOTE_NONE,
            strict=True,
        )
        line = first
        try:
            for fields in rows:
                if fields and len(fields) != width:
                    raise _wrong_width(source, dialect, line, width, fields)
                if fields:
                    yield line
                line = rows.line_num + first
        except csv.Error as error:
            if "field limit" in str(error):
                raise ResourceLimit(
                    f"{source.path}, line {line}: a field is longer than "
                    f"{csv.field_size_limit():,} characters. Look for a forgotten quote, or cut "
                    "the field.",
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


def _wrong_width(
    source: Source, dialect: Dialect, line: int, width: int, fields: list[str]
) -> InvalidInput:
    delimiter, found = dialect.opening.separator, len(fields)
    if dialect.doubled:  # every second field is the inside of a ::
        width, found = width // 2 + 1, len(dialect.delimiter.join(fields).split(delimiter))
    named = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "spaces"}.get(
        delimiter, repr(delimiter)
    )
    return InvalidInput(
        f"{source.path}, line {line}: {found} {'column' if found == 1 else 'columns'} separated "
        f"by {named}, where {width} were expected. Correct the line, or quote fields that hold "
        "the separator; nothing was read.",
        path=str(source.path),
        line=line,
    )


def _where(source: Source, dialect: Dialect) -> Where:
    def where(row: int) -> str:
        for i, line in enumerate(_scan(source, dialect)):
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
