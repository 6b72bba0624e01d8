"""Columns of ids that are stored as something else than integers or text, turned into these without
a loss.

    DECIMAL, FLOAT, DOUBLE   integers, where the value is one that the type holds exactly
    UUID                     text, 8-4-4-4-12 hexadecimal digits
    BINARY
        text where the bytes are printable UTF-8, else 0x and hexadecimal digits

What a value becomes depends on that value alone, never on the others in its column: an id in a list
of what is to be forgotten becomes what it became in the data. No two values become one: text that
begins with 0x is written as digits.
"""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_EXACT = {16: 2**11, 32: 2**24, 64: 2**53}
"""Up to here floating-point numbers of so many bits hold every integer."""

_VIEWS = (pa.binary_view(), pa.string_view())


class NotAnId(ValueError):
    """A value that is no id: ``row`` from 0, and ``reason`` with what to do."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row, self.reason = row, reason


def described(kind: pa.DataType) -> str | None:
    """What a column of that type is read as; None for integers, text, and what is not read at all.

    >>> described(pa.decimal128(18, 0)), described(pa.int32())
    ('decimal128(18, 0), as integers', None)
    """
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_decimal(kind) or pa.types.is_floating(kind):
        return f"{kind}, as integers"
    if _is_uuid(kind):
        return "UUID, as text"
    name = "binary" if kind in _VIEWS else kind  # readers make no difference
    return f"{name}, as text, or as 0x and hexadecimal digits" if _is_bytes(kind) else None


def as_written(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """``column`` as int64 or string where it is one of the types above; any other column as it is.

    Nulls stay. Raises NotAnId for the first value that an integer does not hold.

    >>> columns = pa.array([1.0, 2.0]), pa.array([b"tea", b"\\xff"])
    >>> tuple(as_written(column).to_pylist() for column in columns)
    ([1, 2], ['tea', '0xff'])
    """
    kind = column.type
    if pa.types.is_dictionary(kind) and described(kind) is not None:
        column = column.cast(kind.value_type) if not _is_uuid(kind.value_type) else _decoded(column)
        kind = column.type
    if pa.types.is_decimal(kind):
        return _whole_decimals(column)
    if pa.types.is_floating(kind):
        return _whole_floats(column)
    if _is_uuid(kind):
        return _of_bytes(column.cast(pa.binary(16)), lambda value: str(uuid.UUID(bytes=value)))
    return _of_bytes(column, _text) if _is_bytes(kind) else column


def _is_uuid(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.uuid"


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or kind == pa.binary_view()
    )


def _decoded(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return pa.chunked_array(
        [chunk.dictionary.take(chunk.indices) for chunk in chunks], column.type.value_type
    )


def _whole_decimals(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        for row, value in enumerate(column.to_pylist()):
            if value is not None and value != value.to_integral_value():
                raise NotAnId(
                    row, f"{value} is not a whole number. Use integers or strings for ids."
                ) from None
            if value is not None and not -(2**63) <= value < 2**63:
                raise NotAnId(
                    row, f"{value} is beyond 64-bit signed integers. Use strings for such ids."
                ) from None
        raise


def _whole_floats(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    most = _EXACT[column.type.bit_width]
    known = column.cast(pa.float64())
    values = np.asarray(known.fill_null(0.0).to_numpy(), dtype=np.float64)
    bad = ~(np.abs(values) <= most) | (values != np.floor(values))
    if bad.any():
        row = int(bad.argmax())
        value = float(values[row])
        if np.isnan(value):
            reason = "the id is missing (NaN). Remove the row or fill in the id."
        elif value != np.floor(value):
            reason = (
                f"{value!r} is of type {column.type}, where an integer or a string was expected. "
                "Write the ids as they were before they became fractions."
            )
        else:
            reason = (
                f"{value!r} is beyond 2^{most.bit_length() - 1}, from where on a {column.type} "
                "skips integers. Use integers or strings for such ids."
            )
        raise NotAnId(row, reason)
    return known.cast(pa.int64())


def _of_bytes(column: pa.Array | pa.ChunkedArray, convert: Any) -> pa.Array | pa.ChunkedArray:
    """``convert`` of every distinct value."""
    if column.type in _VIEWS:
        column = column.cast(pa.binary())
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    texts = []
    for chunk in chunks:
        encoded = pc.dictionary_encode(chunk)
        names = pa.array([convert(value) for value in encoded.dictionary.to_pylist()], pa.string())
        texts.append(names.take(encoded.indices))
    return pa.chunked_array(texts, pa.string()) if isinstance(column, pa.ChunkedArray) else texts[0]


def _text(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return f"0x{value.hex()}"
    return text if text.isprintable() and not text.startswith("0x") else f"0x{value.hex()}"
