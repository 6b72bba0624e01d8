"""The interactions a foreign model was trained on, in its rows.

r, the entry of the matrix that the library was given, comes from ``--rating``: a column, or a rule such as
``1 + 40 * log1p(plays)`` or ``bm25(plays)`` for callers who weighted before they fitted (``readers._rules`` has the
grammar). Without it r is 1 for every row, and a rating column is ignored, as everywhere. ``--threshold`` drops rows
first; ``--duplicates sum`` adds the r of repeated pairs, which is what building a sparse matrix from them does.

A weight such as bm25's is a statistic of all data, so the r of D_r are not the r of D_a with some left out: a retrain
would have weighed what remains anew, and what it weighed would not have counted the forgotten. Forgetting does the same
(``reweighted``), and the change of everybody's weights is part of what the deletion changes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.adapters.contract import Foreign
from alteraser.adapters.idmaps import ROWS
from alteraser.adapters.options import ForeignOptions
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions, naming
from alteraser.data.readers import ReadingOptions
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.runtime import events


@dataclass(frozen=True, eq=False)
class Weighted(Interactions):
    """Interactions whose r are a statistic of all of them: a parent that remembers what they were made from."""

    summed: npt.NDArray[np.float64] | None = None
    """(|D|,) what the statistic was taken of."""


def reading_of(options: ForeignOptions) -> ReadingOptions:
    """How DATA is read: the columns of ``options.reading``, with r in place of confidence and target."""
    from alteraser.data.readers import quoted, rating_rule

    rule = None if options.rating is None else rating_rule(options.rating)
    return options.reading.model_copy(
        update={
            "confidence": None, "target": None if rule is None or rule.column is None else quoted(rule.column),
            "duplicates": "sum" if rule is not None and rule.sums else options.reading.duplicates,
        }
    )  # fmt: skip


def read_interactions(source: Path | pa.Table, foreign: Foreign, options: ForeignOptions) -> Interactions:
    """DATA in the rows of ``foreign``, whose maps are resolved; r is the ``target``.

    Where r is a statistic of the data they are ``Weighted``, for ``reweighted``. Raises IntegrityError for an id that
    the model does not know, InvalidInput for ids that are no rows where they are said to be, and what ``read_table``
    raises.
    """
    from alteraser.data.readers import rating_rule, read_table

    reading = reading_of(options)
    table = read_table(source, reading, names={"target": "--rating", "timestamp_column": "--timestamp-column"})
    assert foreign.user_ids is not None
    assert foreign.item_ids is not None
    for side, ids in (("user", foreign.user_ids), ("item", foreign.item_ids)):
        _require_known(table[f"{side}_id"], ids, side, foreign, str(source) if isinstance(source, Path) else "the data")
    columns = {name: table[name] for name in ("user_id", "item_id", "timestamp") if name in table.column_names}
    if options.rating is not None:
        rule = rating_rule(options.rating)
        found = np.full(table.num_rows, rule.constant) if rule.column is None else table["target"].to_numpy()
        r = rule.rows(found)
        _require_finite(options.rating, r, found, columns)
        columns["confidence"] = pa.array(r)  # the policy for duplicates adds this column's values
    with naming(source):
        data = Interactions.from_table(
            pa.table(columns).replace_schema_metadata(table.schema.metadata), duplicates=reading.duplicates,
            users=foreign.user_ids, items=foreign.item_ids,
        )  # fmt: skip
    events.emit("read", interactions=len(data), users=len(data.users), items=len(data.items))
    if options.rating is None:
        return replace(data, confidence=None, target=data.confidence)
    summed = np.ones(len(data)) if data.confidence is None else data.confidence
    return _with_entries(options.rating, data, summed)


def all_data(remaining: pa.Table, forgotten: pa.Table, options: ForeignOptions) -> pa.Table:
    """The rows of both, those of ``forgotten`` that remain once: D_a from D_r and what was forgotten, or from all data.

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
            f"--forgotten has no column {', '.join(map(repr, missing))}: to recompute what the deletion changed, give "
            "the forgotten interactions themselves with the columns of the data, or the whole data from before"
        )
    remaining = remaining.select(needed)
    forgotten = forgotten.select(needed).cast(remaining.schema)
    known = remaining.select(list(pair)).group_by(list(pair)).aggregate([])
    gone = forgotten.join(known, keys=list(pair), join_type="left anti").select(needed)
    return pa.concat_tables([remaining, gone.cast(remaining.schema)])


def reweighted(options: ForeignOptions, before: Interactions, remaining: Interactions) -> Interactions:
    """D_r with the r that ``--rating`` gives on D_r alone; ``before`` is D_a as ``read_interactions`` returned it.

    The same interactions, in the same rows, and of the same shape: the number of documents counts the rows of the
    model, which never change. Where r of an interaction does not depend on others, ``remaining`` as it is.

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
    _require_finite(rating, r, summed, {"user_id": data.users.ids_of(data.user_rows) if len(data) else [],
                                        "item_id": data.items.ids_of(data.indices) if len(data) else []})  # fmt: skip
    settled: dict[str, Any] = {field.name: getattr(data, field.name) for field in fields(Interactions)}
    settled |= {"confidence": None, "target": None if np.all(r == 1.0) else r}
    return Weighted(**settled, summed=summed) if rule.statistic else Interactions(**settled)


def _require_finite(rating: str, r: Any, found: Any, ids: Any) -> None:
    """InvalidInput naming the first interaction whose r is no finite number."""
    bad = ~np.isfinite(r)
    if bad.any():
        at = int(bad.argmax())
        raise InvalidInput(
            f"--rating {rating!r}: gives numbers that are not finite, the first from {float(found[at]):g} for user "
            f"{ids['user_id'][at].as_py()!r} and item {ids['item_id'][at].as_py()!r} ({int(bad.sum()):,} in all). Drop "
            "such rows with --threshold, or take another rule (log1p where there are zeros)"
        )


def _require_known(values: pa.ChunkedArray, ids: IdMap, side: str, foreign: Foreign, source: str) -> None:
    rows = ids.rows_of(values, f"{side}_id")
    unknown = np.flatnonzero(rows < 0)
    if not unknown.size:
        return
    first = values[int(unknown[0])].as_py()
    count = len(values.filter(pa.array(rows < 0)).unique())
    if foreign.ids_from == ROWS:
        raise InvalidInput(
            f"{source}: {side}_id {first!r} is no row of the model, which has {ids.size:,} {side} rows (0 … "
            f"{ids.size - 1}); {count:,} ids are out of range. If ids are not rows, give --{side}s-map",
            side=side, unknown=count,
        )  # fmt: skip
    raise IntegrityError(
        f"{count:,} {side}(s) of {source} are not in the model's id map, the first is {first!r}: these are not the "
        "data that the model was trained on, or the map is another model's",
        side=side, unknown=count,
    )  # fmt: skip
