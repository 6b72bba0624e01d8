"""DATA from which somebody deleted first, for models whose files keep nothing of their data.

That a user was deleted whole shows: the model has a vector, and the data nothing. Of somebody who
has other interactions it does not, so ``--purged`` says it. Where FORGET tells what is gone (the
pairs, and the columns that r is read from), all the data are put together again, and everything is
as if nobody had deleted. Where it does not, what the data were is not known: then the training is
repeated on what remains, if the file tells how, and compared with the file by the lists of
everybody else; or the model goes on to an optimum for what remains.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.adapters.als import ALS, longer
from alteraser.adapters.data import all_data, read_interactions, sheet_of
from alteraser.data.interactions import Interactions, Removal
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.adapters.contract import Foreign
    from alteraser.adapters.opened import Opened
    from alteraser.adapters.selfcheck import SelfCheck
    from alteraser.data.sheet import Sheet

Rows = npt.NDArray[np.int64]
Pairs = tuple[Rows, Rows]


def gone(
    foreign: Foreign, data: Interactions, removal: Removal, *, purged: bool
) -> tuple[Rows, Rows, Pairs | None]:
    """(rows of users, rows of items, pairs where these are named) that a request names and the data
    lack.

    Users and items that have a vector and no interactions; with ``purged`` every pair that matched
    nothing.
    """
    table, empty = removal.unmatched, np.empty(0, np.int64)
    if removal.selection.window is not None or not table.num_rows:
        return empty, empty, None
    rows = {}
    for side, ids in (("user", data.users), ("item", data.items)):
        if f"{side}_id" in table.column_names:
            rows[side] = ids.rows_of(table[f"{side}_id"], f"{side}_id")
    lost = {
        side: _with_vector(foreign, side, found, counts) & (counts[found] == 0)
        for side, found, counts in (
            (side, found, data.user_counts if side == "user" else data.item_counts)
            for side, found in rows.items()
        )
    }
    if len(rows) == 2:
        u, v = rows["user"], rows["item"]
        chosen = (u >= 0) & (v >= 0) & (lost["user"] | purged)
        pairs = np.unique(np.stack([u[chosen], v[chosen]]), axis=1)
        return np.unique(pairs[0]), np.unique(pairs[1]), (pairs[0], pairs[1])
    side, found = next(iter(rows.items()))
    named = np.unique(found[lost[side]])
    return (named, empty, None) if side == "user" else (empty, named, None)


def completed(
    opened: Opened, sheet: Sheet, forget_set: Path | None, pairs: Pairs | None
) -> Opened | None:
    """``opened`` with all the data, what is missing put back; None where nothing tells what it
    was.
    """
    from alteraser.data.readers import read_rows

    data, options = opened.data, opened.options
    if pairs is not None and options.rating is None:
        u, v = (
            np.concatenate([data.user_rows, pairs[0]]),
            np.concatenate([data.indices.astype(np.int64), pairs[1]]),
        )
        whole = Interactions._assemble(data.users, data.items, u, v, None, None, None, "refuse")
        return replace(opened, data=whole)
    if forget_set is None or options.rating is None:
        return None
    try:
        forgotten = _known(read_rows(forget_set, options.reading), data, opened)
        table = all_data(sheet.rows, forgotten, options)
    except (InvalidInput, pa.ArrowException):  # it does not have the columns
        return None
    return replace(
        opened,
        data=read_interactions(
            sheet_of(table, options), opened.foreign.maps, options, ids_from=opened.foreign.ids_from
        ),
    )


def with_gone(removal: Removal, users: Rows, items: Rows) -> Removal:
    """``removal`` with users and items of whom everything was deleted before; the rows about them
    are matched.
    """
    about = np.zeros(removal.unmatched.num_rows, bool)
    for name, ids, lost in (
        ("user_id", removal.remaining.users, users),
        ("item_id", removal.remaining.items, items),
    ):
        if name in removal.unmatched.column_names:
            about |= np.isin(ids.rows_of(removal.unmatched[name], name), lost)
    return replace(
        removal, absent=(users, items), unmatched=removal.unmatched.filter(pa.array(~about))
    )


def of_what_remains(found: SelfCheck, lost: int) -> SelfCheck:
    """A self-check on data that lack everything of ``lost`` rows: the measures that those rows do
    not decide.

    Their vectors are still there, and count as those of people who had nothing; what they had is
    missing from the rows of the other side, of which therefore the usual one is judged and not the
    worst.
    """
    kept = []
    for measure in found.measures:
        if measure.name == "rows out of place":
            kept.append(replace(measure, value=measure.value - lost, passed=measure.value <= lost))
        elif measure.passed or "residual" not in measure.name or "median" in measure.name:
            kept.append(measure)
    return replace(found, measures=tuple(kept))


def _known(table: pa.Table, data: Interactions, opened: Opened) -> pa.Table:
    """The rows whose user and item the model knows."""
    reading = opened.options.reading
    keep = np.ones(table.num_rows, bool)
    for name, standard, ids in (
        (reading.user_column, "user_id", data.users),
        (reading.item_column, "item_id", data.items),
    ):
        column = name if name in table.column_names else standard
        if column not in table.column_names:
            raise InvalidInput(f"no column {name}")
        keep &= ids.rows_of(table[column], name) >= 0
    return table.filter(pa.array(keep))


def _with_vector(
    foreign: Foreign, side: str, rows: Rows, counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    x, loss = getattr(foreign, f"{side}s"), foreign.loss
    lingering = loss.lingering(x, counts) if isinstance(loss, ALS) else 0.0
    return np.asarray((rows >= 0) & longer(np.asarray(x[np.maximum(rows, 0)]), lingering))
