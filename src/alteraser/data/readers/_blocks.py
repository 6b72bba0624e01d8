"""Text whose lines are no rows: Netflix' blocks and LightGCN's adjacency lists, by their names
alone.

netflix     1:                      item 1
            1488844,3,2005-09-06    user, rating, date; down to the next item
adjacency   7 12 5 40               user 7 and all of its items; a user may have none
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from alteraser.data.readers._opening import STANDARD, Opening
from alteraser.data.readers._raw import Raw, WantedColumns, Where
from alteraser.data.readers._source import BLOCK, Source, check_text
from alteraser.errors import InvalidInput

_NEVER = "\x1f"
"""The separator of lines that are one field; what holds it is no such file, and fails as a damaged
one."""


def _netflix(source: Source, opening: Opening, wanted: WantedColumns) -> Raw:
    lines, numbers = _lines(source, opening)
    heads = np.asarray(pc.match_substring(lines, ":").to_numpy(zero_copy_only=False), dtype=bool)
    if len(heads) and not heads[0]:
        raise _refuse(source, numbers[0], lines[0], "a row before the first item, such as 1:")
    rows, items = np.flatnonzero(~heads), lines.filter(pa.array(heads))
    odd = pc.index(pc.match_substring_regex(items, r"^[^:,\s]+:\s*$"), False).as_py()
    if odd >= 0:
        raise _refuse(
            source, numbers[np.flatnonzero(heads)[odd]], items[odd], "expected an item, such as 1:"
        )
    fields = pc.split_pattern(lines.take(pa.array(rows)), ",")
    short = pc.index(pc.equal(pc.list_value_length(fields), 3), False).as_py()
    if short >= 0:
        raise _refuse(
            source, numbers[rows[short]], lines[int(rows[short])], "expected user,rating,date"
        )
    cells = fields.flatten()
    named = pc.utf8_rtrim_whitespace(pc.utf8_rtrim(pc.utf8_rtrim_whitespace(items), ":"))
    places = np.arange(len(rows)) * 3
    columns = {
        "user_id": cells.take(pa.array(places)),
        "item_id": named.take(pa.array(np.cumsum(heads)[rows] - 1)),
        "rating": cells.take(pa.array(places + 1)),
        "timestamp": cells.take(pa.array(places + 2)),
    }
    return _raw(source, columns, numbers[rows], wanted)


def _adjacency(source: Source, opening: Opening, wanted: WantedColumns) -> Raw:
    lines, numbers = _lines(source, opening)
    separator = wanted.hints.separator
    text = pc.utf8_trim_whitespace(lines)
    words = pc.split_pattern(text, separator) if separator else pc.utf8_split_whitespace(text)
    lengths = pc.list_value_length(words).to_numpy().astype(np.int64)
    cells = words.flatten()
    first = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    is_item = np.ones(len(cells), bool)
    is_item[first] = False
    line = np.repeat(np.arange(len(lines)), lengths)[is_item]
    columns = {
        "user_id": cells.take(pa.array(first[line])),
        "item_id": cells.filter(pa.array(is_item)),
    }
    return _raw(source, columns, numbers[line], wanted)


def _raw(
    source: Source, columns: dict[str, pa.Array], numbers: np.ndarray, wanted: WantedColumns
) -> Raw:
    """The columns under the names that are asked for: ids as the options call them."""
    users, items = wanted.hints.ids
    renamed = {
        {STANDARD[0]: users, STANDARD[1]: items}.get(name, name): cells
        for name, cells in columns.items()
    }
    kept = {
        name: cells
        for name, cells in renamed.items()
        if wanted.columns is None or name in wanted.columns
    }
    table = pa.table({name: pa.chunked_array([cells], pa.string()) for name, cells in kept.items()})
    return Raw(table, list(renamed), _where(source, numbers), name=str(source.path))


def _where(source: Source, numbers: np.ndarray) -> Where:
    return lambda row: f"{source.path}, line {numbers[row]}"


def _lines(source: Source, opening: Opening) -> tuple[pa.Array, np.ndarray]:
    """(the lines that are not blank, their numbers)."""
    check_text(source)
    with source.open_arrow(opening.start) as stream:
        table = pa.csv.read_csv(
            stream,
            read_options=pa.csv.ReadOptions(block_size=BLOCK, column_names=["line"]),
            parse_options=pa.csv.ParseOptions(
                delimiter=_NEVER, quote_char=False, ignore_empty_lines=False
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types={"line": pa.string()}, strings_can_be_null=False
            ),
        )
    column = table["line"]
    lines = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())
    there = np.asarray(
        pc.not_equal(pc.utf8_trim_whitespace(lines), "").to_numpy(zero_copy_only=False), dtype=bool
    )
    return lines.filter(pa.array(there)), np.flatnonzero(there) + opening.line


def _refuse(source: Source, number: int, line: pa.Scalar, what: str) -> InvalidInput:
    return InvalidInput(
        f"{source.path}, line {number}: {line.as_py()[:60]!r}, {what}. Correct the line; nothing "
        "was read.",
        path=str(source.path),
        line=int(number),
    )


LAYOUTS: dict[str, Callable[[Source, Opening, WantedColumns], Raw]] = {
    "netflix": _netflix,
    "adjacency": _adjacency,
}
