"""The interactions a foreign model was trained on, in its rows.

r, the entry of the matrix that the library was given, comes from ``--rating``: a column, or a rule such as
``1 + 40 * plays`` for callers who weighted before they fitted. Without it r is 1 for every row, and a rating column is
ignored, as everywhere. ``--threshold`` drops rows first; ``--duplicates sum`` adds the r of repeated pairs, which is
what building a sparse matrix from them does.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from alteraser.adapters.contract import Foreign
from alteraser.adapters.idmaps import ROWS
from alteraser.adapters.options import ForeignOptions
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.ids import IdMap
from alteraser.interactions import Interactions, naming
from alteraser.readers import ReadingOptions


def reading_of(options: ForeignOptions) -> ReadingOptions:
    """How DATA is read: the columns of ``options.reading``, with r in place of confidence and target."""
    from alteraser.readers._options import confidence_rule

    column = None if options.rating is None else confidence_rule(options.rating).column
    return options.reading.model_copy(update={"confidence": None, "target": column, "timestamp_column": None})


def read_interactions(source: Path | pa.Table, foreign: Foreign, options: ForeignOptions) -> Interactions:
    """DATA in the rows of ``foreign``, whose maps are resolved; r is the ``target``.

    Raises IntegrityError for an id that the model does not know, InvalidInput for ids that are no rows where they are
    said to be, and what ``read_table`` raises.
    """
    from alteraser.readers import read_table
    from alteraser.readers._options import confidence_rule

    try:
        table = read_table(source, reading_of(options))
    except InvalidInput as cause:  # the reader knows r as the target
        raise InvalidInput(cause.message.replace("--target NAME", "--rating"), **cause.details) from cause
    assert foreign.user_ids is not None
    assert foreign.item_ids is not None
    for side, ids in (("user", foreign.user_ids), ("item", foreign.item_ids)):
        _require_known(table[f"{side}_id"], ids, side, foreign, str(source) if isinstance(source, Path) else "the data")
    columns = {name: table[name] for name in ("user_id", "item_id")}
    if options.rating is not None:
        rule = confidence_rule(options.rating)
        r = rule.intercept + rule.slope * table["target"].to_numpy()
        if not np.all(np.isfinite(r)):
            raise InvalidInput(f"--rating {options.rating!r}: gives numbers that are not finite")
        columns["confidence"] = pa.array(r)  # the policy for duplicates adds this column's values
    with naming(source):
        data = Interactions.from_table(
            pa.table(columns), duplicates=options.reading.duplicates, users=foreign.user_ids, items=foreign.item_ids
        )
    return replace(data, confidence=None, target=data.confidence)


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
