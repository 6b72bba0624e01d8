"""Id columns: int64, or strings as the codes of one dictionary. Never a mixture, never a null."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alteraser.data.id_columns import NotAnId, as_written
from alteraser.data.readers._raw import Where, is_text
from alteraser.errors import InvalidInput

CODES = pa.dictionary(pa.int32(), pa.string())
"""The type of a column of string ids."""


def identifiers(column: pa.ChunkedArray, name: str, where: Where) -> pa.Array:
    """One id column, checked: ``int64``, or ``dictionary(int32, string)``."""
    _require_codes(column, name, where)
    column = _decoded(column)
    try:
        column = as_written(column)
    except NotAnId as cause:
        raise InvalidInput(
            f"{where(cause.row)}, column {name!r}: {cause.reason}", column=name
        ) from cause
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise _refuse(where(row), name, "the id is missing", "Remove the row or fill in the id.")
    kind = column.type
    if pa.types.is_integer(kind):
        return _combined(_integers(column, name, where), pa.int64())
    if kind == CODES:
        return _checked(_unified(column), name, where)
    if is_text(kind):
        try:
            return _checked(_unified(column.cast(pa.string()).dictionary_encode()), name, where)
        except pa.ArrowInvalid as error:
            raise _refuse(
                "the table", name, f"cannot be held as strings ({error})", "Cut the ids."
            ) from error
    if not len(column) and pa.types.is_null(kind):
        return pa.array([], pa.int64())
    value = repr(column[0].as_py())[:40] + " is of type " if len(column) else "the type is "
    hint = "Cast it to integers or strings first."
    raise _refuse(where(0), name, f"{value}{kind}, where an integer or a string was expected", hint)


def take(ids: pa.Array, rows: Any) -> pa.Array:
    """Some rows of an id column, its dictionary cut down to what they use."""
    return compact(ids.take(rows))


def compact(ids: pa.Array) -> pa.Array:
    """The same ids with a dictionary in which every entry is used."""
    if ids.type != CODES:
        return ids
    codes = ids.indices.to_numpy()
    used = np.zeros(len(ids.dictionary), bool)
    used[codes] = True
    if used.all():
        return ids
    renumbered = (np.cumsum(used, dtype=np.int32) - np.int32(1))[codes]
    return pa.DictionaryArray.from_arrays(
        pa.array(renumbered), ids.dictionary.filter(pa.array(used))
    )


def plain(ids: pa.Array) -> pa.Array:
    """The ids themselves, int64 or string."""
    return ids.cast(pa.string()) if ids.type == CODES else ids


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Other people's dictionaries may repeat values, hold nulls or code integers; clean ones are
    kept.
    """
    if not pa.types.is_dictionary(column.type):
        return column
    if column.type == CODES and all(_is_clean(chunk.dictionary) for chunk in column.chunks):
        return column
    return pa.chunked_array(
        [_decode(chunk) for chunk in column.chunks], _narrow(column.type.value_type)
    )


def _require_codes(column: pa.ChunkedArray, name: str, where: Where) -> None:
    """Refuse codes without an entry of their dictionary: a damaged file has them, and Arrow does
    not look.
    """
    if not pa.types.is_dictionary(column.type):
        return
    start = 0
    for chunk in column.chunks:
        codes = chunk.indices.fill_null(0).to_numpy(zero_copy_only=False)
        bad = (codes < 0) | (codes >= max(len(chunk.dictionary), 1))
        if bad.any():
            row = int(bad.argmax())
            raise _refuse(
                where(start + row),
                name,
                f"entry {int(codes[row])} of a dictionary of {len(chunk.dictionary):,}",
                "The file is damaged: restore it from a copy.",
            )
        start += len(chunk)


def _decode(chunk: pa.DictionaryArray) -> pa.Array:
    return chunk.dictionary.cast(_narrow(chunk.type.value_type)).take(chunk.indices)


def _narrow(kind: pa.DataType) -> pa.DataType:
    return pa.string() if is_text(kind) else kind  # views cannot be taken from


def _is_clean(dictionary: pa.Array) -> bool:
    return not dictionary.null_count and len(pc.unique(dictionary)) == len(dictionary)


def _integers(column: pa.ChunkedArray, name: str, where: Where) -> pa.ChunkedArray:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        row = pc.index(pc.greater(column, pa.scalar(2**63 - 1, pa.uint64())), True).as_py()
        raise _refuse(
            where(row),
            name,
            f"{column[row]} is beyond 64-bit signed integers",
            "Use strings for such ids.",
        ) from None


def _unified(column: pa.ChunkedArray) -> pa.DictionaryArray:
    if column.num_chunks > 1:
        column = column.unify_dictionaries()
    return _combined(column, CODES)


def _combined(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], kind)


def _checked(ids: pa.DictionaryArray, name: str, where: Where) -> pa.DictionaryArray:
    ids = compact(ids)
    try:
        ids.dictionary.validate(full=True)
    except pa.ArrowInvalid as error:
        row = int(np.argmax(ids.indices.to_numpy() == _first_invalid(ids.dictionary)))
        raise _refuse(
            where(row), name, "the id is not valid UTF-8", "Write the ids as UTF-8."
        ) from error
    empty = pc.index(ids.dictionary, "").as_py()
    if empty >= 0:
        row = pc.index(ids.indices, pa.scalar(empty, pa.int32())).as_py()
        raise _refuse(where(row), name, "the id is empty", "Remove the row or fill in the id.")
    return ids


def _first_invalid(dictionary: pa.Array) -> int:
    for i, data in enumerate(dictionary.cast(pa.binary()).to_pylist()):
        try:
            data.decode()
        except UnicodeDecodeError:
            return i
    return 0


def _refuse(place: str, name: str, what: str, remedy: str) -> InvalidInput:
    return InvalidInput(f"{place}, column {name!r}: {what}. {remedy}", column=name)
