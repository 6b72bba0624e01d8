"""The interactions a foreign model was trained on, in its rows.

r, the entry of the matrix that the library was given, comes from ``--rating``: a column, or a rule
such as ``1 + 40 * log1p(plays)`` or ``bm25(plays)`` for callers who weighted before they fitted
(``readers._rules`` has the grammar). Without it r is 1 for every row, and a rating column is
ignored, as everywhere. ``--threshold`` drops rows first; ``--duplicates sum`` adds the r of
repeated pairs, which is what building a sparse matrix from them does.

A weight such as bm25's is a statistic of all data, so the r of D_r are not the r of D_a with some
left out: a retrain would have weighed what remains anew, and what it weighed would not have counted
the forgotten. Forgetting does the same (``reweighted``), and the change of everybody's weights is
part of what the deletion changes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.adapters.idmaps import ROWS
from alteraser.adapters.options import ForeignOptions
from alteraser.data.ids import Coded, IdMap
from alteraser.data.interactions import Interactions
from alteraser.data.readers import ReadingOptions
from alteraser.data.sheet import Sheet
from alteraser.errors import IntegrityError, InvalidInput


@dataclass(frozen=True, eq=False)
class Weighted(Interactions):
    """Interactions whose r are a statistic of all of them: a parent that remembers what they were
    made from.
    """

    summed: npt.NDArray[np.float64] | None = None
    """(|D|,) what the statistic was taken of."""


def reading_of(options: ForeignOptions) -> ReadingOptions:
    """How DATA is read: the columns of ``options.reading``, with r in place of confidence and
    target.
    """
    from alteraser.data.readers import quoted, rating_rule

    rule = None if options.rating is None else rating_rule(options.rating)
    return options.reading.model_copy(
        update={
            "confidence": None,
            "target": None if rule is None or rule.column is None else quoted(rule.column),
            "duplicates": "sum" if rule is not None and rule.sums else options.reading.duplicates,
        }
    )


def sheet_of(source: Any, options: ForeignOptions, *, every_column: bool = False) -> Sheet:
    """DATA, parsed as ``options`` say; ``every_column`` where rows of it are to be written
    again.
    """
    names = {"target": "--rating", "timestamp_column": "--timestamp-column"}
    return Sheet.read(source, reading_of(options), every_column=every_column, names=names)


def read_interactions(
    sheet: Sheet,
    known: tuple[IdMap, IdMap],
    options: ForeignOptions,
    *,
    ids_from: str | None = None,
) -> Interactions:
    """DATA in the rows of the maps ``known``, which come from ``ids_from``; r is the ``target``.

    Where r is a statistic of the data they are ``Weighted``, for ``reweighted``. Raises
    IntegrityError for an id that the model does not know, InvalidInput for ids that are no rows
    where they are said to be.
    """
    from alteraser.data.readers import rating_rule

    for side, column, ids in zip(("user", "item"), sheet.kept, known, strict=True):
        _require_known(
            column, ids, side, ids_from, "the data" if sheet.path is None else str(sheet.path)
        )
    if options.rating is None:
        data = sheet.interactions(known)
        return replace(data, confidence=None, target=data.confidence)
    rule, columns = rating_rule(options.rating), sheet.settled.columns
    rows = len(sheet.kept[0].rows)
    found = np.full(rows, rule.constant) if rule.column is None else columns["target"].to_numpy()
    r = rule.rows(found)
    if not np.isfinite(r).all():
        users, items = sheet.kept
        _require_finite(
            options.rating,
            r,
            found,
            {"user_id": users.ids.ids_of(users.rows), "item_id": items.ids.ids_of(items.rows)},
        )
    weighed = {name: column for name, column in columns.items() if name == "timestamp"}
    weighed["confidence"] = pa.array(r)  # the policy for duplicates adds this column's values
    data = replace(sheet, settled=replace(sheet.settled, columns=weighed)).interactions(known)
    return _with_entries(
        options.rating, data, np.ones(len(data)) if data.confidence is None else data.confidence
    )


def all_data(remaining: pa.Table, forgotten: pa.Table, options: ForeignOptions) -> pa.Table:
    """The rows of both, those of ``forgotten`` that remain once: D_a from D_r and what was
    forgotten, or from all data.

    Raises InvalidInput where ``forgotten`` lacks a column that the data are read by.
    """
    reading = reading_of(options)
    pair = (reading.user_column, reading.item_column)
    for standard, name in zip(("user_id", "item_id"), pair, strict=True):
        if name not in forgotten.column_names and standard in forgotten.column_names:
            forgotten = forgotten.rename_columns({standard: name})
    needed = [name for name in reading.columns if name in remaining.column_names]
    missing = [name for name in needed if name not in forgotten.column_names]
    if missing:
        raise InvalidInput(
            f"--forgotten has no column {', '.join(map(repr, missing))}: to recompute what the "
            "deletion changed, give the forgotten interactions themselves with the columns of the "
            "data, or the whole data from before"
        )
    remaining = _decoded(remaining.select(needed))
    forgotten = forgotten.select(needed).cast(remaining.schema)
    known = remaining.select(list(pair)).group_by(list(pair)).aggregate([])
    gone = forgotten.join(known, keys=list(pair), join_type="left anti").select(needed)
    return pa.concat_tables([remaining, gone.cast(remaining.schema)])


def _decoded(table: pa.Table) -> pa.Table:
    """``table`` without dictionaries, on which Arrow does not join."""
    kinds = [
        f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f
        for f in table.schema
    ]
    return table.cast(pa.schema(kinds))


def reweighted(
    options: ForeignOptions, before: Interactions, remaining: Interactions
) -> Interactions:
    """D_r with the r that ``--rating`` gives on D_r alone; ``before`` is D_a as
    ``read_interactions`` returned it.

    The same interactions, in the same rows, and of the same shape: the number of documents counts
    the rows of the model, which never change. Where r of an interaction does not depend on others,
    ``remaining`` as it is.

    Raises InvalidInput where a weight on what remains is no finite number.
    """
    if not isinstance(before, Weighted) or before.summed is None or options.rating is None:
        return remaining
    places = before.locate(remaining.user_rows, remaining.indices.astype(np.int64))
    return _with_entries(options.rating, remaining, before.summed[places])


def _with_entries(rating: str, data: Interactions, summed: npt.NDArray[np.float64]) -> Interactions:
    """``data`` with r as its target, from what its rows add up to."""
    from alteraser.data.readers import Matrix, rating_rule

    rule = rating_rule(rating)
    r = rule.entries(summed, Matrix(data.user_rows, data.indices.astype(np.int64), data.shape))
    _require_finite(
        rating,
        r,
        summed,
        {
            "user_id": data.users.ids_of(data.user_rows) if len(data) else [],
            "item_id": data.items.ids_of(data.indices) if len(data) else [],
        },
    )
    settled: dict[str, Any] = {
        field.name: getattr(data, field.name) for field in fields(Interactions)
    }
    settled |= {"confidence": None, "target": None if np.all(r == 1.0) else r}
    return Weighted(**settled, summed=summed) if rule.statistic else Interactions(**settled)


def _require_finite(rating: str, r: Any, found: Any, ids: Any) -> None:
    """InvalidInput naming the first interaction whose r is no finite number."""
    bad = ~np.isfinite(r)
    if bad.any():
        at = int(bad.argmax())
        raise InvalidInput(
            f"--rating {rating!r}: gives numbers that are not finite, the first from "
            f"{float(found[at]):g} for user {ids['user_id'][at].as_py()!r} and item "
            f"{ids['item_id'][at].as_py()!r} ({int(bad.sum()):,} in all). Drop such rows with "
            "--threshold, or take another rule (log1p where there are zeros)"
        )


def _require_known(column: Coded, ids: IdMap, side: str, ids_from: str | None, source: str) -> None:
    strange = column.rows[column.within(ids, f"{side}_id") < 0]
    if not strange.size:
        return
    first, count = column.ids.ids_of(strange[:1])[0].as_py(), np.unique(strange).size
    if ids_from == ROWS:
        raise InvalidInput(
            f"{source}: {side}_id {first!r} is no row of the model, which has {ids.size:,} {side} "
            f"rows (0 … {ids.size - 1}); {count:,} ids are out of range. If ids are not rows, "
            f"give --{side}s-map",
            side=side,
            unknown=count,
        )
    raise IntegrityError(
        f"{count:,} {side}(s) of {source} are not in the model's id map, the first is {first!r}: "
        "these are not the data that the model was trained on, or the map is another model's",
        side=side,
        unknown=count,
    )
