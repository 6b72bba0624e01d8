"""One column of features: words (one, several or none an entity), or numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_array

from alteraser.data.ids import Coded, IdMap
from alteraser.data.readers import Where, is_text, numbers_or_nothing
from alteraser.data.side.spec import Kind
from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]

FEW = 32
"""Whole numbers of at most so many values are taken for codes of a category"""
NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$"
"""What reads as a number; 007 is a code"""
WHOLE = r"^-?(0)\.0$|^(-?[1-9][0-9]*)\.0$", r"\1\2"
"""A whole number that is written as a fraction, and as it is"""
EXACT = 2.0**53
"""Up to where floats hold every whole number"""
NONE = np.empty(0, np.int64)
BETWEEN = "|"
"""Between the words of one entity in text"""


@dataclass(frozen=True, eq=False)
class Words:
    """Words of a category: row i has those at ``indptr[i]`` … ``indptr[i + 1]`` of ``values``."""

    name: str
    indptr: Array
    values: Coded

    @property
    def rows(self) -> int:
        """Entities."""
        return self.indptr.size - 1

    @property
    def missing(self) -> Array:
        """Rows without a word."""
        return np.flatnonzero(np.diff(self.indptr) == 0)

    def take(self, rows: Array) -> Words:
        """Some rows; words that none of them has are gone."""
        counts = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        places = np.repeat(self.indptr[:-1][rows] - indptr[:-1], counts) + np.arange(indptr[-1])
        return Words(self.name, indptr, self.values.take(places))

    def without(self, rows: Array) -> Words:
        """The same with nothing known of ``rows``."""
        keep = np.ones(self.rows, bool)
        keep[rows] = False
        return self._kept(np.repeat(keep, np.diff(self.indptr)))

    def nothing(self, rows: int) -> Words:
        """The column of so many rows of whom nothing is known."""
        return Words(self.name, np.zeros(rows + 1, np.int64), self.values.take(NONE))

    def without_word(self, word: str) -> Words:
        """The same without one word; as it is where it has no such word."""
        return self._kept(self.values.rows != self.row(word))

    def holders(self, word: str) -> Array:
        """Rows that have a word, each once."""
        of = np.repeat(np.arange(self.rows), np.diff(self.indptr))
        return np.unique(of[self.values.rows == self.row(word)])

    def row(self, word: str) -> int:
        """Which of ``values.ids`` a word is; −1 for none."""
        return row_of(self.values.ids, word)

    @property
    def entries(self) -> tuple[Array, Array]:
        """(the row of everything that is known, the row of its word in ``values.ids``)."""
        return np.repeat(np.arange(self.rows), np.diff(self.indptr)), self.values.rows

    def dropping(self, gone: Array) -> Words:
        """Without those of its ``entries`` that a mask names."""
        return self._kept(~gone)

    def _kept(self, places: Array) -> Words:
        of = np.repeat(np.arange(self.rows), np.diff(self.indptr))[places]
        counts = np.bincount(of, minlength=self.rows)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Words(self.name, indptr, self.values.take(np.flatnonzero(places)))

    def matrix(self, known: IdMap | None = None) -> csr_array:
        """(rows, words), every row the mean of its words; ``known``: in the words of another map,
        without the others.

        >>> genres = words("genres", pa.chunked_array([["a|b", "b", None]]))
        >>> genres.matrix().toarray().tolist()
        [[0.5, 0.5], [0.0, 1.0], [0.0, 0.0]]
        """
        counts = np.diff(self.indptr)
        rows = np.repeat(np.arange(self.rows), counts)
        columns = self.values.rows if known is None else self.values.within(known)
        kept = columns >= 0
        shares = np.repeat(1.0 / np.maximum(counts, 1), counts)
        size = self.values.ids.size if known is None else known.size
        return csr_array((shares[kept], (rows[kept], columns[kept])), shape=(self.rows, size))

    def parts(self) -> tuple[Any, ...]:
        """What a digest is taken of: words, and which row has which."""
        of = np.repeat(np.arange(self.rows), np.diff(self.indptr))
        order = np.lexsort((self.values.rows, of))
        return self.values.ids.ids, self.indptr, self.values.rows[order]

    def shown(self) -> pa.Array:
        """As a column of lists."""
        return pa.ListArray.from_arrays(
            pa.array(self.indptr, pa.int32()), self.values.ids.ids_of(self.values.rows)
        )


SMALLEST, LARGEST = 1e-140, 1e140
"""Sizes between which numbers have squares that can be added up"""


@dataclass(frozen=True, eq=False)
class Numbers:
    """Numbers, NaN where nothing is known."""

    name: str
    values: Array

    @property
    def rows(self) -> int:
        """Entities."""
        return self.values.size

    @property
    def missing(self) -> Array:
        """Rows without a number."""
        return np.flatnonzero(np.isnan(self.values))

    def take(self, rows: Array) -> Numbers:
        """Some rows."""
        return Numbers(self.name, self.values[rows])

    def without(self, rows: Array) -> Numbers:
        """The same with nothing known of ``rows``."""
        values = self.values.copy()
        values[rows] = np.nan
        return Numbers(self.name, values)

    def nothing(self, rows: int) -> Numbers:
        """The column of so many rows of whom nothing is known."""
        return Numbers(self.name, np.full(rows, np.nan))

    @property
    def entries(self) -> tuple[Array, None]:
        """(the row of every number, None: it is no word)."""
        return np.flatnonzero(~np.isnan(self.values)), None

    def dropping(self, gone: Array) -> Numbers:
        """Without those of its ``entries`` that a mask names."""
        return self.without(self.entries[0][gone])

    def scale(self) -> tuple[float, float]:
        """(mean, standard deviation) of the numbers that are there; (0, 0) where there are none."""
        known = self.values[~np.isnan(self.values)]
        largest = float(np.abs(known).max(initial=0.0))
        if largest == 0.0:
            return 0.0, 0.0
        unit = 1.0 if SMALLEST < largest < LARGEST else largest  # whose squares are numbers
        shares = known / unit
        return float(shares.mean()) * unit, float(shares.std()) * unit

    def matrix(self, scale: tuple[float, float] | None = None) -> csr_array:
        """(rows, 1), standardised by its own mean and deviation or by ``scale``; nothing known and
        a column of one value are 0, which is the mean.

        >>> Numbers("age", np.array([1.0, 3.0, np.nan])).matrix().toarray().ravel().tolist()
        [-1.0, 1.0, 0.0]
        """
        mean, deviation = scale or self.scale()
        found = np.zeros(self.rows)
        if deviation > 0:
            known = ~np.isnan(self.values)
            found[known] = (self.values[known] - mean) / deviation
        return csr_array(found[:, None])

    def parts(self) -> tuple[Any, ...]:
        """What a digest is taken of."""
        return (np.where(np.isnan(self.values), np.nan, self.values),)

    def shown(self) -> pa.Array:
        """As a column, nulls where nothing is known."""
        return pa.array(self.values, from_pandas=True)


Feature = Words | Numbers


def feature(
    name: str, column: pa.ChunkedArray, where: Where, kind: Kind | None = None, decimal: str = "."
) -> Feature:
    """A stored column as a feature; ``kind`` None: by its type, whole numbers of at most 32 values
    being codes.

    Raises InvalidInput for what is neither words nor numbers.
    """
    found = kind or kind_of(column, name, where)
    if found == "category":
        return words(name, column)
    if _is_list(column.type):
        raise InvalidInput(f"{where(0)}, column {name!r}: lists are words of a category, no number")
    known, rows = numbers_or_nothing(column, name, where, decimal)
    values = np.full(len(column), np.nan)
    values[rows] = known
    return Numbers(name, values)


def kind_of(column: pa.ChunkedArray, name: str, where: Where) -> Kind:
    """Whether a column is words or numbers, by its type."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_integer(kind):
        return "category" if pc.count_distinct(column).as_py() <= FEW else "number"
    if is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind) or _is_list(kind):
        return "category"
    said = (
        f"{where(0)}, column {name!r}: {kind} is no feature: give words, lists of words, or numbers"
    )
    if pa.types.is_temporal(kind):
        said += f" (such as a year), or say {name}=category to take every date for a word"
    raise InvalidInput(said)


def kind_of_text(column: pa.ChunkedArray) -> Kind:
    """What a column is of text that says no types: numbers where all that is there reads as such,
    but for whole ones that are few, as in ``kind_of``.

    >>> [kind_of_text(pa.chunked_array([x])) for x in (["0.50", ""], ["7", ""], ["007"], ["a"])]
    ['number', 'category', 'category', 'category']
    """
    there = column.filter(pc.greater(pc.utf8_length(column), 0))
    if not len(there) or not pc.all(pc.match_substring_regex(there, NUMBER)).as_py():
        return "category"
    whole = pc.all(pc.match_substring_regex(there, r"^-?[0-9]+$")).as_py()
    return "category" if whole and pc.count_distinct(there).as_py() <= FEW else "number"


def row_of(ids: IdMap, word: str) -> int:
    """The row of a word, however its number is written; −1 for none."""
    return int(ids.rows_of([_text(pa.array([word])).to_pylist()[0]])[0])


def words(name: str, column: pa.ChunkedArray) -> Words:
    """Words as they are, or between ``|``, or in lists; empty ones and NaN are none. A word that an
    entity has twice counts once.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not _is_list(array.type):
        none = pa.array([], pa.list_(pa.string()))
        array = pc.split_pattern(_text(_nothing_for_nan(array)), BETWEEN) if len(array) else none
    rows, flat = pc.list_parent_indices(array), _nothing_for_nan(pc.list_flatten(array))
    text = pc.utf8_trim_whitespace(_text(flat))
    kept = pc.fill_null(pc.greater(pc.utf8_length(text), 0), False)
    coded = Coded(*IdMap.build(text.filter(kept)))
    of = np.asarray(rows.filter(kept).to_numpy(), np.int64)
    width = np.int64(max(coded.ids.size, 1))
    keys = np.unique(of * width + coded.rows)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(keys // width, minlength=len(array)))])
    return Words(name, indptr.astype(np.int64), Coded(coded.ids, keys % width))


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _nothing_for_nan(array: pa.Array) -> pa.Array:
    """NaN is how libraries write that a number is missing, not a word."""
    if not pa.types.is_floating(array.type):
        return array
    return pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)


def _text(array: pa.Array) -> pa.Array:
    """Words as text. A number is one word however it is written, so that no word depends on what
    stands in other rows: in text 3.0 is a number where all are, and text where one is not.
    """
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not pa.types.is_floating(array.type):
        return pc.replace_substring_regex(array.cast(pa.string()), *WHOLE)
    whole = pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), EXACT))
    numbers = pc.if_else(whole, array, pa.scalar(0, array.type)).cast(pa.int64())
    return pc.if_else(whole, numbers.cast(pa.string()), array.cast(pa.string()))
