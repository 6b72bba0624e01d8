"""External ids (what people and requests use) to rows (what arithmetic uses), converted once, at
the border.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from alteraser.data.id_columns import NotAnId, as_written
from alteraser.errors import InvalidInput

Rows = npt.NDArray[np.int64]
IdKind = Literal["int64", "string"]


def id_kind(dtype: pa.DataType) -> IdKind:
    """``int64`` or ``string`` for an Arrow type; InvalidInput for anything else."""
    if pa.types.is_dictionary(dtype):
        dtype = dtype.value_type
    if pa.types.is_integer(dtype):
        return "int64"
    if (
        pa.types.is_string(dtype)
        or pa.types.is_large_string(dtype)
        or pa.types.is_string_view(dtype)
    ):
        return "string"
    raise InvalidInput(f"ids of type {dtype} are not supported: use integers or strings")


def as_id_array(values: Any, what: str = "ids") -> pa.Array:
    """``values`` (Arrow, NumPy, or a Python sequence) as one flat Arrow array of int64 or string.

    Columns of Arrow may also be of the types of ``id_columns``. Raises InvalidInput for mixed
    types, nulls, fractions, and the floats and booleans of Python.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
        values = values if isinstance(values, pa.Array) else pa.concat_arrays(values.chunks)
    if isinstance(values, str | bytes):
        raise InvalidInput(f"{what}: {values!r} is one value where a list of ids is expected")
    if not isinstance(values, pa.Array):
        try:
            array = pa.array(values)
        except OverflowError as cause:
            raise InvalidInput(
                f"{what}: {cause}; ids must fit in 64-bit signed integers"
            ) from cause
        except UnicodeEncodeError as cause:
            raise InvalidInput(
                f"{what}: {cause.object!r} is not valid Unicode text ({cause.reason})"
            ) from cause
        except (pa.ArrowInvalid, pa.ArrowTypeError) as cause:
            raise InvalidInput(
                f"{what} mix types ({cause}); use integers or strings, never both in one column"
            ) from cause
        values = array
    else:
        try:
            values = as_written(values)
        except NotAnId as cause:
            raise InvalidInput(f"{what}: entry {cause.row}: {cause.reason}") from cause
    if len(values) == 0 and pa.types.is_null(values.type):
        values = values.cast(pa.int64())
    kind = id_kind(values.type)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if values.null_count:
        first = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
        raise InvalidInput(f"{what}: entry {first} is null; every id must be given")
    try:
        return values.cast(pa.int64() if kind == "int64" else pa.string())
    except pa.ArrowInvalid as cause:
        raise InvalidInput(f"{what}: {cause}; ids must fit in 64-bit signed integers") from cause


FEW = 64
"""A map this many times as long as a request is searched, not hashed: a request costs what it asks
for."""


@dataclass(frozen=True, eq=False)
class IdMap:
    """A frozen map between ids and the rows of one side of a model.

    ``ids[i]`` belongs to row ``rows[i]``; ``rows`` is strictly increasing, ``size`` is the number
    of rows. A row without an id (a user erased whole) stays, so rows never move.

    >>> users, rows = IdMap.build(pa.array(["eve", "ann", "eve"]))
    >>> rows.tolist(), users.ids.to_pylist()
    ([1, 0, 1], ['ann', 'eve'])
    >>> users.rows_of(["eve", "zoe"]).tolist()
    [1, -1]
    """

    ids: pa.Array
    rows: Rows
    size: int

    @property
    def kind(self) -> IdKind:
        """``int64`` or ``string``."""
        return id_kind(self.ids.type)

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, IdMap)
            and self.size == other.size
            and self.ids.equals(other.ids)
            and np.array_equal(self.rows, other.rows)
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def build(cls, values: Any) -> tuple[IdMap, Rows]:
        """Map of the distinct ``values``, rows in the order of sorted ids, and the row of every
        value.

        Sorting makes the map, and so the model, independent of the order of the input.
        """
        codes, distinct = encoded(values)
        order = pc.sort_indices(distinct).to_numpy()
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        ids = distinct.take(pa.array(order))
        return cls(ids, np.arange(len(ids), dtype=np.int64), len(ids)), rank[codes]

    def rows_of(self, values: Any, what: str = "ids") -> Rows:
        """Row of every value, -1 where it is unknown; int64 (values,).

        ids are converted to the map's type where nothing is lost ("1" ↔ 1); otherwise InvalidInput.
        """
        codes, distinct = encoded(values, what)
        converted = convert_ids(distinct, self.kind, what)
        if FEW * len(converted) < len(self.ids) and self._sorted:
            positions = self._bisected(converted)
        else:
            positions = (
                pc.index_in(converted, value_set=self.ids).fill_null(-1).to_numpy().astype(np.int64)
            )
        found = np.where(positions >= 0, self.rows[positions] if len(self.rows) else -1, -1)
        return np.asarray(found[codes] if len(found) else np.empty(0, np.int64))

    @cached_property
    def _sorted(self) -> bool:
        return len(self.ids) < 2 or bool(pc.all(pc.less(self.ids[:-1], self.ids[1:])).as_py())

    def _bisected(self, values: pa.Array) -> Rows:
        """Positions of a few values, -1 where unknown, without the hash table that ``index_in``
        builds of all ids.
        """
        if self.kind == "int64":
            known, wanted = self.ids.to_numpy(), values.to_numpy()
            at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
            return np.where(known[at] == wanted, at, -1)
        places = []
        for value in values.to_pylist():
            at = bisect_left(self.ids, value, key=lambda scalar: scalar.as_py())
            places.append(at if at < len(self.ids) and self.ids[at].as_py() == value else -1)
        return np.array(places, np.int64)

    def ids_of(self, rows: Any) -> pa.Array:
        """Ids of ``rows``, in their order; a row without an id is an IndexError."""
        rows = np.asarray(rows, dtype=np.int64)
        positions = np.searchsorted(self.rows, rows)
        clipped = np.minimum(positions, max(len(self.rows) - 1, 0))
        if rows.size and (len(self.rows) == 0 or not np.array_equal(self.rows[clipped], rows)):
            missing = rows[self.rows[clipped] != rows][0] if len(self.rows) else rows[0]
            raise IndexError(f"row {int(missing)} has no id")
        return self.ids.take(pa.array(positions))

    def extended(self, values: Any) -> IdMap:
        """The map with unknown values appended as new rows, in sorted order; known rows do not
        move.
        """
        distinct = convert_ids(encoded(values)[1], self.kind)
        unknown = distinct.filter(pc.invert(pc.is_in(distinct, value_set=self.ids)))
        unknown = unknown.take(pc.sort_indices(unknown))
        rows = np.concatenate([self.rows, self.size + np.arange(len(unknown), dtype=np.int64)])
        return IdMap(pa.concat_arrays([self.ids, unknown]), rows, self.size + len(unknown))

    def without(self, rows: Any) -> IdMap:
        """The map with the ids of ``rows`` dropped; the rows themselves stay, empty."""
        keep = ~np.isin(self.rows, np.asarray(rows, dtype=np.int64))
        return IdMap(self.ids.filter(pa.array(keep)), self.rows[keep], self.size)


class Coded(NamedTuple):
    """A column of ids, converted once: the distinct ones, and the row of each entry in their map.

    >>> column = Coded(*IdMap.build(pa.array(["eve", "ann", "eve"])))
    >>> others = IdMap.build(pa.array(["bob", "eve"]))[0]
    >>> column.within(others).tolist(), column.take(np.array([0])).ids.ids.to_pylist()
    ([1, -1, 1], ['eve'])
    """

    ids: IdMap
    rows: Rows

    def take(self, places: Any) -> Coded:
        """Some entries of the column, and of the ids those that occur in them."""
        rows = self.rows[places]
        used = np.zeros(self.ids.size, bool)
        used[rows] = True
        if used.all():
            return Coded(self.ids, rows)
        ids = self.ids.ids.filter(pa.array(used))
        return Coded(
            IdMap(ids, np.arange(len(ids), dtype=np.int64), len(ids)), (np.cumsum(used) - 1)[rows]
        )

    def within(self, known: IdMap, what: str = "ids") -> Rows:
        """The row of every entry in another map, -1 where that does not have it; every distinct id
        is looked up once.

        Raises InvalidInput as ``IdMap.rows_of``.
        """
        found = known.rows_of(self.ids.ids, what)
        return found[self.rows] if len(found) else self.rows

    def converted(self, kind: IdKind, what: str = "ids") -> Coded:
        """The same with ids of another kind; InvalidInput where that would lose something."""
        ids = convert_ids(self.ids.ids, kind, what)
        if ids is self.ids.ids:
            return self
        built, places = IdMap.build(ids)
        return Coded(built, places[self.rows])


def convert_ids(values: pa.Array, kind: IdKind, what: str = "ids") -> pa.Array:
    """``values`` as ``kind`` where nothing is lost; InvalidInput names the first id that would be
    changed.
    """
    have = id_kind(values.type)
    if have == kind:
        return values
    if kind == "string":
        return values.cast(pa.string())
    canonical = pc.match_substring_regex(values, r"^(0|-?[1-9][0-9]{0,18})$")
    if not pc.all(canonical, min_count=0).as_py():
        bad = values.filter(pc.invert(canonical))[0].as_py()
        raise InvalidInput(
            f"{what}: {bad!r} is a string, but the ids here are integers and it does not convert "
            "without loss; write ids as they were in the training data"
        )
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid as cause:
        raise InvalidInput(f"{what}: {cause}; the ids here are 64-bit integers") from cause


def named_ids(values: Any, what: str) -> pa.Array:
    """``as_id_array`` of what somebody asks for by name. Raises InvalidInput also for an empty id:
    no data are read with one, so it names nothing, and stands where an id was meant.

    >>> named_ids(["ann", ""], "--user")
    Traceback (most recent call last):
    alteraser.errors.InvalidInput: --user: entry 1 is empty; every id must be given
    """
    ids = as_id_array(values, what)
    empty = -1 if pa.types.is_integer(ids.type) else pc.index(ids, "").as_py()
    if empty >= 0:
        raise InvalidInput(f"{what}: entry {empty} is empty; every id must be given")
    return ids


def encoded(values: Any, what: str = "ids") -> tuple[Rows, pa.Array]:
    """Codes and the distinct ids they stand for; uses the dictionary where the column has one."""
    if isinstance(values, pa.ChunkedArray | pa.Array) and pa.types.is_dictionary(values.type):
        if isinstance(values, pa.ChunkedArray):
            values = values.unify_dictionaries().combine_chunks()
            values = values if isinstance(values, pa.Array) else pa.concat_arrays(values.chunks)
        if values.null_count or values.dictionary.null_count:
            as_id_array(values, what)  # raises, naming the entry
            values = values.dictionary_decode().dictionary_encode()  # a null that no entry uses
        dictionary = as_id_array(values.dictionary, what)
        codes = values.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        # Arrow allows a dictionary to hold a value twice
        if len(dictionary.unique()) < len(dictionary):
            again = dictionary.dictionary_encode()
            codes, dictionary = again.indices.to_numpy().astype(np.int64)[codes], again.dictionary
        used = np.zeros(len(dictionary), bool)
        used[codes] = True
        if used.all():
            return codes, dictionary
        renumbered = np.cumsum(used) - 1
        return renumbered[codes], dictionary.filter(pa.array(used))
    encoded = as_id_array(values, what).dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary
