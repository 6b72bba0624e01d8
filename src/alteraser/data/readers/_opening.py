"""How a text file opens: what stands before its table, what separates its fields, and what its
columns are called.

A file that names its columns is believed: a line with the name of an id column is the header,
whatever was said of files without one. So one set of options reads the data, the rows that are to
be forgotten, and what is written of them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from alteraser.data.readers._hints import Hints
from alteraser.data.readers._source import Source, damaged, empty
from alteraser.errors import InvalidInput

BOM = "\ufeff"
STANDARD = ("user_id", "item_id", "rating", "timestamp")
"""What the columns of MovieLens' files without a header are called."""

_SEPARATORS = (",", "\t", ";", "|", "::", " ")
_SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_LOOKED_AT = 20
"""Lines by which a layout is guessed."""

_SEP_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_COMMENTS = ("#", "%")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?")
_NAME = re.compile(r"[^\W\d][^\d,;]*[0-9]{0,2}")
_VALUE = re.compile(r"[+-]?[0-9][0-9.,:TZ+ eE/-]*")
_USERS = (
    "user",
    "userid",
    "uid",
    "customer",
    "customerid",
    "reviewerid",
    "profilename",
    "useridx",
    "visitorid",
)
_ITEMS = (
    "item",
    "itemid",
    "iid",
    "movie",
    "movieid",
    "product",
    "productid",
    "asin",
    "artist",
    "artistid",
    "sid",
    "book",
    "bookid",
    "isbn",
    "track",
    "trackid",
    "song",
    "songid",
    "anime",
    "animeid",
    "businessid",
)


@dataclass(frozen=True)
class Opening:
    """Where the rows of a text file begin, and how they are cut into columns."""

    separator: str
    """One character, or one twice: ``::``."""

    cells: tuple[str, ...]
    """The columns as the header spells them, or as they were named for it."""

    names: tuple[str, ...]
    """The columns, without the spaces around them and the mark of a comment before them."""

    start: int = 0
    """The byte at which the rows begin."""

    line: int = 1
    """The line of the first row."""

    headed: bool = True
    """Whether a line of the file names the columns."""

    layout: str | None = None
    """The layout, where the lines are no rows."""

    guess: str = ""
    """What a first line that names none of the id columns looks like: ``netflix``, ``adjacency``,
    ``rows``."""

    @property
    def quotes(self) -> bool:
        """Whether a quote is more than a character: MovieLens' files have none."""
        return len(self.separator) == 1 and self.names is not STANDARD


class Line(NamedTuple):
    """One line of the beginning of a file."""

    text: str
    start: int
    end: int
    """The byte behind its newline."""


def opening(source: Source, hints: Hints, ids: frozenset[str]) -> Opening:
    """How ``source`` opens, where ``ids`` are the names of the id columns."""
    lines = list(_lines(source.head.start))
    at, separator = _after_sep(lines)
    hints = hints if separator is None else replace(hints, separator=separator)
    if not any(line.text.strip() for line in lines[at:]):
        raise empty(source.path)
    found = _headed(source, lines, at, hints, ids)
    if found is not None:
        return found
    first = _first(lines, at, data=hints.names is not None or hints.layout is not None)
    text = lines[first].text
    if hints.names is not None:
        return _named(source, lines[first], first + 1, hints, lines[first + 1 :][:_LOOKED_AT])
    if hints.layout is not None:
        return Opening(
            "\t", (), (), lines[first].start, first + 1, headed=False, layout=hints.layout
        )
    if hints.separator in (None, "::", "\t") and (known := _movielens(lines[first], first + 1)):
        return known
    cut = hints.separator or _separator(text, source.suffix)
    return _below(
        source,
        lines,
        first,
        cut,
        ids,
        guess=_guess([line.text for line in lines[first:]][:_LOOKED_AT]),
    )


def header_line(source: Source, separator: str) -> Opening:
    """The opening whose header is the first line that is not blank, cut by ``separator``."""
    lines = list(_lines(source.head.start))
    first = next((i for i, line in enumerate(lines) if line.text.strip()), 0)
    return _below(source, lines, first, separator, frozenset())


def is_header(user: str, item: str) -> bool:
    """Whether two cells, in either order, are what people call such columns, not ids.

    >>> is_header("userId", "movieId"), is_header("item", "user"), is_header("u1", "movieId")
    (True, True, False)
    """
    first, second = _plain(user), _plain(item)
    return (first in _USERS and second in _ITEMS) or (first in _ITEMS and second in _USERS)


def header_words() -> tuple[str, ...]:
    """Every spelling of a column of ids that ``is_header`` is asked about: a quick filter before
    it.
    """
    found = set()
    for word in (*_USERS, *_ITEMS):
        stem = word.removesuffix("id")
        spellings = {word}
        if stem != word and stem:
            spellings |= {f"{stem}_id", f"{stem}Id", f"{stem}ID", f"{stem} id", f"{stem}-id"}
        for each in spellings:
            found |= {
                each,
                each.capitalize(),
                each.upper(),
                each.title(),
                each[:1].upper() + each[1:],
            }
    return tuple(sorted(found | {BOM + each for each in found}))


def _plain(cell: str) -> str:
    return re.sub(r"[^a-z0-9]", "", cell.lower())


# ---------------------------------------------------------------- lines


def _lines(head: bytes) -> Iterator[Line]:
    """Lines end where readers of CSV end them, at \\n, \\r or both; not where Unicode would."""
    start = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    for match in re.finditer(rb"\r\n|\n|\r", head):
        yield Line(
            head[start : match.start()].decode("utf-8", errors="replace"), start, match.end()
        )
        start = match.end()
    if start < len(head):
        yield Line(head[start:].decode("utf-8", errors="replace"), start, len(head))


def _after_sep(lines: Sequence[Line]) -> tuple[int, str | None]:
    """Behind Excel's first line, ``sep=;``: (the line to go on from, the separator that it
    names).
    """
    if lines and (match := _SEP_LINE.fullmatch(lines[0].text.strip(" "))):
        return 1, match[1]
    return 0, None


def _first(lines: Sequence[Line], at: int, *, data: bool = False) -> int:
    """The first line of the table. Comments before a header begin with # or %, before rows with
    these and a space: an id may begin with them too.
    """
    for i in range(at, len(lines)):
        text = lines[i].text
        comment = text.lstrip().startswith(_COMMENTS)
        if data and comment:
            comment = text.strip() in _COMMENTS or text.lstrip()[1] == " "
        if text.strip() and not comment:
            return i
    return next((i for i in range(at, len(lines)) if lines[i].text.strip()), at)


# ---------------------------------------------------------------- with a header


def _headed(
    source: Source, lines: Sequence[Line], at: int, hints: Hints, ids: frozenset[str]
) -> Opening | None:
    """The header, where a line before the rows names one of ``ids``; a comment is one where no
    other line is.
    """
    commented: tuple[int, str] | None = None
    for i in range(at, len(lines)):
        text = lines[i].text
        if not text.strip():
            continue
        # the first of the best
        best = max(_candidates(hints, source.suffix), key=lambda cut: _hits(text, cut, ids))
        hit = _hits(text, best, ids) > 0
        if hit and not text.lstrip().startswith(_COMMENTS):
            return _below(source, lines, i, best, ids)
        if not text.lstrip().startswith(_COMMENTS):
            break
        commented = (i, best) if hit else commented
    return None if commented is None else _below(source, lines, commented[0], commented[1], ids)


def _candidates(hints: Hints, suffix: str) -> list[str]:
    usual = [_SUFFIXES[suffix]] if suffix in _SUFFIXES else []
    given = [hints.separator] if hints.separator else []
    return list(dict.fromkeys([*given, *usual, *_SEPARATORS]))


def _hits(text: str, separator: str, ids: frozenset[str]) -> int:
    """How many of the id columns the line names, cut by ``separator``."""
    return len(ids.intersection(_names(_cells(text, separator), ids)))


def _names(cells: Sequence[str], ids: frozenset[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if names and names[0] not in ids and (bare := names[0].lstrip("#% ")) in ids:
        names[0] = bare
    return names


def _cells(text: str, separator: str) -> list[str]:
    if len(separator) > 1:
        return text.split(separator)
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    except csv.Error:
        return [text]


def _separator(text: str, suffix: str) -> str:
    """The separator of a header that names nothing known: the suffix's if it cuts the line, else
    what cuts it most.
    """
    usual = _SUFFIXES.get(suffix, ",")
    counts = {cut: len(_cells(text, cut)) for cut in _SEPARATORS[:5]}
    if counts[usual] > 1:
        return usual
    most = max(counts, key=lambda cut: counts[cut])
    if (
        counts[most] == 1
        and len(text.split()) > 1
        and all(_NUMBER.fullmatch(word) for word in text.split())
    ):
        return " "
    return most if counts[most] > 1 else usual


def _below(
    source: Source,
    lines: Sequence[Line],
    i: int,
    separator: str,
    ids: frozenset[str],
    guess: str = "",
) -> Opening:
    """The table whose header begins on line ``i``; a quoted name may hold newlines."""
    last = i
    if len(separator) > 1:
        cells = lines[i].text.split(separator)
    else:
        rest = source.head.start[lines[i].start :].decode("utf-8", errors="ignore")
        rows = csv.reader(io.StringIO(rest, newline=""), delimiter=separator)
        try:
            cells = next(rows)
        except (StopIteration, csv.Error) as error:
            raise damaged(source.path, error) from error
        last = min(i + rows.line_num - 1, len(lines) - 1)
    return Opening(
        separator, tuple(cells), tuple(_names(cells, ids)), lines[last].end, last + 2, guess=guess
    )


# ---------------------------------------------------------------- without one


def _named(source: Source, line: Line, number: int, hints: Hints, below: Sequence[Line]) -> Opening:
    """Rows from the first line on, their columns named by whoever reads them."""
    assert hints.names is not None
    width = len(hints.names)
    cuts = [hints.separator] if hints.separator else _candidates(hints, source.suffix)
    fitting = [cut for cut in cuts if len(_cells(line.text, cut)) == width]
    found = {"\t": "tabs", " ": "spaces", ",": "commas"}
    if not fitting:
        counts = ", ".join(
            f"{len(_cells(line.text, cut))} by {found.get(cut, repr(cut))}" for cut in cuts
        )
        raise InvalidInput(
            f"{source.path}, line {number}: {width} columns were named, {', '.join(hints.names)}, "
            f"and the line has {counts}: {line.text[:60]!r}. Name every column in its order, and "
            "with --separator what is between them; or give the file a header line.",
            path=str(source.path),
            line=number,
        )
    cells = _cells(line.text, fitting[0])
    known = dict(zip(hints.names, cells, strict=True))
    user, item = (known.get(name, "") for name in hints.ids)
    if is_header(user, item) or _only_words(
        cells, [_cells(each.text, fitting[0]) for each in below], hints
    ):
        raise InvalidInput(
            f"{source.path}, line {number} is a header ({line.text[:60]!r}), where rows were "
            "expected because the columns were named. Leave the names out, and say which columns "
            "hold the ids with --user-column and --item-column.",
            path=str(source.path),
            line=number,
        )
    return Opening(fitting[0], hints.names, hints.names, line.start, number, headed=False)


def _only_words(cells: Sequence[str], below: Sequence[Sequence[str]], hints: Hints) -> bool:
    """Whether a column beside the ids has a word in its first line and numbers or times in the next
    ones.
    """
    rows = [row for row in below if len(row) == len(cells)]
    places = [i for i, name in enumerate(hints.names or ()) if name not in hints.ids]
    return bool(rows) and any(
        _NAME.fullmatch(cells[i].strip()) and all(_VALUE.fullmatch(row[i].strip()) for row in rows)
        for i in places
    )


def _movielens(line: Line, number: int) -> Opening | None:
    """``ratings.dat`` (user::item::rating::timestamp) and ``u.data`` (the same by tabs), with a
    header or without.
    """
    cells = line.text.split("::")
    separator = "::"
    if len(cells) != 4:
        cells, separator = line.text.split("\t"), "\t"
    if len(cells) != 4:
        return None
    rated = all(_NUMBER.fullmatch(cell.strip()) for cell in cells[2:])
    if separator == "\t":
        whole = rated and all(cell.isascii() and cell.isdigit() for cell in (*cells[:2], cells[3]))
        return (
            Opening(separator, STANDARD, STANDARD, line.start, number, headed=False)
            if whole
            else None
        )
    if rated:
        return Opening(separator, STANDARD, STANDARD, line.start, number, headed=False)
    usual = is_header(cells[0], cells[1]) and _plain(cells[0]) in _USERS
    names = STANDARD if usual else tuple(cell.strip() for cell in cells)
    return Opening(separator, tuple(cells), names, line.end, number + 1)


def _guess(texts: Sequence[str]) -> str:
    """What lines without a header may be, by the first of them."""
    text = texts[0]
    if re.fullmatch(r"[0-9]+:", text.strip()):
        return "netflix"
    words = [line.split() for line in texts if line.strip()]
    if len({len(each) for each in words}) > 1 and all(
        word.isdigit() for each in words for word in each
    ):
        return "adjacency"  # were all as long as the first, they would be rows
    cells = max((_cells(text, cut) for cut in _SEPARATORS), key=len)
    return "rows" if any(_NUMBER.fullmatch(cell.strip()) for cell in cells) else ""
