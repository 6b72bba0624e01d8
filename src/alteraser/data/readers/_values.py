"""Ratings, confidences and targets: one finite number a row."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from alteraser.data.readers._raw import Where, is_text
from alteraser.data.readers._rules import ColumnRule
from alteraser.errors import InvalidInput

Floats = NDArray[np.float64]


def numbers(column: pa.ChunkedArray, name: str, where: Where, decimal: str = ".") -> Floats:
    """A column as finite float64; text is read as numbers, with ``decimal`` before their
    fractions.
    """
    refuse_nulls(column, name, where)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_temporal(kind) or pa.types.is_nested(kind):
        if len(column):
            raise refuse(
                where(0), name, column[0].as_py(), f"is of type {kind}, where a number was expected"
            )
        return np.zeros(0)
    if is_text(kind):
        column = column.cast(pa.string())
        if decimal == ",":
            _refuse_points(column, name, where)
            column = pc.replace_substring(column, ",", ".")
    try:
        values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        row = next((i for i, value in enumerate(column.to_pylist()) if not _is_number(value)), 0)
        value = column[row].as_py()
        comma = isinstance(value, str) and re.fullmatch(r"-?[0-9]+,[0-9]+", value)
        what = "is not a number; with --decimal , it is" if comma else "is not a number"
        raise refuse(where(row), name, value, what) from None
    _refuse_first(~np.isfinite(values), values, name, where, "is not a finite number")
    return values


def _refuse_points(column: pa.ChunkedArray, name: str, where: Where) -> None:
    """Where the comma is before a fraction, a point is between thousands, or an error."""
    row = pc.index(pc.match_substring(column, "."), True).as_py()
    if row >= 0:
        raise refuse(
            where(row), name, column[row].as_py(), "has a point where the decimal sign is a comma"
        )


def numbers_or_nothing(
    column: pa.ChunkedArray, name: str, where: Where, decimal: str = "."
) -> tuple[Floats, NDArray[np.int64]]:
    """(the values that are there as finite float64, their rows); nulls, NaN and empty text are not
    there.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_text(column.type):
        column = column.cast(pa.string())  # views have few functions
    missing = pc.is_null(column, nan_is_null=True)
    if is_text(column.type):
        missing = pc.or_kleene(missing, pc.equal(column, "")).fill_null(True)
    rows = np.flatnonzero(~np.asarray(missing.to_numpy(), dtype=bool)).astype(np.int64)
    if len(rows) == len(column):
        return numbers(column, name, where, decimal), rows
    return numbers(
        column.filter(pc.invert(missing)), name, lambda row: where(int(rows[row])), decimal
    ), rows


def confidences(values: Floats, rule: ColumnRule, where: Where) -> Floats:
    """``rule`` of the column's ``values``, every one of them finite and above zero."""
    result = rule.rows(values)
    bad = ~(np.isfinite(result) & (result > 0))
    if bad.any():
        row = int(bad.argmax())
        came = "" if result is values else f" (from {rule.column} = {values[row]:g})"
        raise InvalidInput(
            f"{where(row)}, column {rule.column!r}: the confidence is {result[row]:g}{came}, "
            "where a finite number above zero was expected. Remove the row, set --threshold, "
            "or choose another --confidence rule.",
            column=rule.column,
        )
    return result


def targets(values: Floats, rule: ColumnRule, where: Where) -> Floats:
    """``rule`` of the column's ``values``, every one of them finite."""
    result = rule.rows(values)
    bad = ~np.isfinite(result)
    if bad.any():
        row = int(bad.argmax())
        raise InvalidInput(
            f"{where(row)}, column {rule.column!r}: the target is {result[row]:g} (from "
            f"{rule.column} = {values[row]:g}), where a finite number was expected. Remove the "
            "row or choose another --target rule.",
            column=rule.column,
        )
    return result


def refuse_nulls(column: pa.ChunkedArray, name: str, where: Where) -> None:
    """InvalidInput that names the first row without a value."""
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise InvalidInput(
            f"{where(row)}, column {name!r}: the value is missing. Fill it in or remove the row.",
            column=name,
        )


def _refuse_first(
    bad: NDArray[np.bool_], values: Floats, name: str, where: Where, what: str
) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise refuse(where(row), name, float(values[row]), what)


def refuse(place: str, name: str, value: object, what: str) -> InvalidInput:
    """The error for a value that is not what was expected."""
    shown = repr(value)[:60]
    return InvalidInput(
        f"{place}, column {name!r}: {shown} {what}. Correct the value or remove the row.",
        column=name,
    )


def _is_number(value: object) -> bool:
    try:
        pa.scalar(value).cast(pa.float64())
    except (pa.ArrowException, TypeError):
        return False
    return True
