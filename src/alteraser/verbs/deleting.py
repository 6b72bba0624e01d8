"""A request and data in, a ``Deletion`` out, after checking that the data are those a model stands
for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np
import pyarrow as pa

from alteraser.data.deletion import Deletion
from alteraser.data.erased import admit
from alteraser.data.interactions import Interactions, Removal, accounted
from alteraser.data.selection import Selection
from alteraser.data.side.deletion import Request
from alteraser.data.sums import Missing, missing
from alteraser.errors import IntegrityError
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.protocol import Recommender, TrainedOn
from alteraser.runtime import events


@dataclass(frozen=True)
class Matching:
    """How a request is held against the data."""

    grown: bool = False
    """The data also hold interactions that were added since; they are learned along."""
    readmit: bool = False
    """With ``grown`` also those that were erased from this model before; else they are refused."""
    strict: bool = False
    """A request of which any row matches nothing is refused."""
    below: Callable[[Selection], Any] | None = None
    """Which rows of a selection match rows of the file below the threshold, which no model saw"""


PLAIN = Matching()
"""The data as trained on, or these without what goes"""


def asked_for(forget_set: Any, *, whole_users: bool = False, whole_items: bool = False) -> Any:
    """What ``forget`` takes as one ``Selection``; a ``Request`` of several sources stays one."""
    if isinstance(forget_set, Request):
        return forget_set
    return Selection.of(forget_set, whole_users=whole_users, whole_items=whole_items)


@singledispatch
def match(model: Any, selection: Selection, data: Interactions, how: Matching = PLAIN) -> Deletion:
    """D_a and what forgetting would remove, after checking that ``data`` belongs to ``model``;
    nothing is computed.

    Raises as ``forget`` does.
    """
    grown = how.grown
    data = aligned(model, data, grown=grown)
    known = data.digest == model.trained_on.digest
    if grown and not known:
        _check_grown(model, data, selection)
    gone = None if known or grown else _missing(model, data, selection)
    given, (data, removal) = data, _taken_out(model, data, selection, gone)
    removal = accounted(removal, strict=how.strict, below=how.below)
    # what goes again with this request does no harm
    returned = admit(model.erased, removal.remaining, readmit=how.readmit) if grown else None
    joined = data.users.size - model.users.size, data.items.size - model.items.size
    events.emit(
        "checked", forgotten=removal.count, remaining=removal.remaining.count, digest_known=known
    )
    return Deletion(
        data,
        removal,
        joined,
        returned,
        added=0 if known or not grown else data.count - model.trained_on.interactions,
        known=known or data is not given,
        missing=gone,
    )


def belongs(model: Recommender, data: Interactions) -> None:
    """IntegrityError, saying what differs, unless ``data`` are the interactions ``model`` stands
    for.
    """
    if data.digest != model.trained_on.digest:
        raise IntegrityError(_difference(model, data))


def aligned(model: Recommender, data: Interactions, *, grown: bool) -> Interactions:
    """``data`` in the rows of ``model``; with ``grown`` behind them those of users and items that
    joined.
    """
    users, items = model.users, model.items
    if grown:
        users, items = users.extended(data.users.ids), items.extended(data.items.ids)
    return data.in_rows_of(users, items)


def _missing(model: Recommender, data: Interactions, selection: Selection) -> Missing:
    """What ``data`` lack of what the model was trained on, all of it named by ``selection``; else
    IntegrityError.

    A model without sums is held against its digest: then what is missing are the pairs that are
    asked for.
    """
    if model.trained_on.sums is not None:
        try:
            found = missing(model.trained_on.sums, data, selection)
        except IntegrityError as cause:
            raise IntegrityError(
                _difference(model, data, cause.message), **cause.details
            ) from cause
        if data.events is not None:  # sums count pairs
            found = replace(
                found, interactions=model.trained_on.interactions - data.count, pairs=None
            )
        if found.interactions <= 0:
            raise IntegrityError(_difference(model, data))
        return found
    if selection.kind == "pairs" and selection.window is None and data.events is None:
        u, v = (
            model.users.rows_of(selection.users, "user_id"),
            model.items.rows_of(selection.items, "item_id"),
        )
        known = (u >= 0) & (v >= 0) & (data.locate(u, v) < 0)
        width = np.int64(max(model.items.size, 1))
        keys = np.unique(u[known] * width + v[known])
        found = Missing(
            len(keys),
            np.unique(keys // width),
            np.unique(keys % width),
            (keys // width, keys % width),
            0,
        )
        if len(keys) and _completed(model, data, found) is not None:
            return found
    raise IntegrityError(_difference(model, data))


def _taken_out(
    model: Recommender, data: Interactions, selection: Selection, gone: Missing | None
) -> tuple[Interactions, Removal]:
    """(D_a, what ``selection`` takes out of it), with what the data did not have any more.

    D_a is put together where ``gone`` tells it to the last number; else it stays ``data``.
    """
    if gone is None:
        return data, data.remove(selection)
    # times and events of what is missing are not known
    needs_more = isinstance(model, ExactModel) and model.settings.needed()
    whole = None if needs_more else _completed(model, data, gone)
    if whole is None:
        return data, _with_missing(data.remove(selection), gone)
    whole = replace(whole, unrated=data.unrated)
    return whole, whole.remove(selection)


def _check_grown(model: Recommender, data: Interactions, selection: Selection) -> None:
    """IntegrityError where data with additions lack something: fewer interactions than in training,
    in all or of users whom the request does not name.
    """
    if data.count < model.trained_on.interactions:
        raise IntegrityError(
            f"the data have {data.count:,} interactions, the model was trained on "
            f"{model.trained_on.interactions:,}: `grown` allows additions, but some are missing"
        )
    sums = model.trained_on.sums
    if sums is None:
        return
    m = model.users.size
    fewer = np.zeros(data.users.size, bool)
    fewer[:m] = data.user_counts[:m] < sums.users.counts
    if selection.users is not None:
        rows = data.users.rows_of(selection.users, "user_id")
        fewer[rows[rows >= 0]] = False
    elif selection.items is not None:
        return
    if fewer.any():
        first = data.users.ids_of(np.flatnonzero(fewer)[:1])[0].as_py()
        raise IntegrityError(
            f"{int(fewer.sum()):,} user(s) have fewer interactions than the model was trained on, "
            f"the first is {first!r}: `grown` allows additions, but some are missing"
        )


def _completed(model: Recommender, data: Interactions, gone: Missing) -> Interactions | None:
    """D_a, put together from D_r and what is missing; None where that is not known to the last
    number.
    """
    if (
        gone.pairs is None
        or data.confidence is not None
        or data.target is not None
        or data.events is not None
    ):
        return None
    u = np.concatenate([data.user_rows, gone.pairs[0]])
    v = np.concatenate([data.indices.astype(np.int64), gone.pairs[1]])
    whole = Interactions._assemble(model.users, model.items, u, v, None, None, None, "refuse")
    return whole if whole.digest == model.trained_on.digest else None


def _with_missing(removal: Removal, gone: Missing) -> Removal:
    """``removal`` with what the data did not have any more; rows of the request that are about it
    are matched.
    """
    remaining, removed, vanished = removal.remaining, removal.removed, gone.interactions
    if gone.pairs is not None:
        u = np.concatenate([removed.user_rows, gone.pairs[0]])
        v = np.concatenate([removed.indices.astype(np.int64), gone.pairs[1]])
        removed = Interactions._assemble(
            remaining.users, remaining.items, u, v, None, None, None, "refuse"
        )
        vanished = 0
    table, kind = removal.unmatched, removal.selection.kind
    if kind == "pairs" and gone.pairs is not None:
        rows = remaining.users.rows_of(table["user_id"]), remaining.items.rows_of(table["item_id"])
        about = removed.locate(*rows) >= 0
    else:
        sides = {"user_id": (remaining.users, gone.users), "item_id": (remaining.items, gone.items)}
        about = np.ones(table.num_rows, bool)
        for name in table.column_names:
            ids, lacking = sides[name]
            about &= np.isin(ids.rows_of(table[name]), lacking)
    return replace(
        removal,
        removed=removed,
        unmatched=table.filter(pa.array(~about)),
        absent=(gone.users, gone.items),
        vanished=vanished,
    )


def completed(model: Recommender, data: Interactions, forget_set: Any) -> Interactions:
    """D_a from D_r and the pairs that were forgotten, where that is what the digest says; else
    IntegrityError.
    """
    found = _completed(model, data, _missing(model, data, Selection.of(forget_set)))
    if found is None:
        raise IntegrityError(_difference(model, data))
    return found


def _difference(model: Recommender, data: Interactions, found: str = "") -> str:
    """What ``data`` have that the model was not trained on, by counts; ``found``: more of it, in
    words.
    """
    have, want = TrainedOn.of(data), model.trained_on
    parts = [
        f"{name} {getattr(have, name):,} instead of {getattr(want, name):,}"
        for name in ("interactions", "users", "items")
        if getattr(have, name) != getattr(want, name)
    ]
    what = "; ".join(parts) or "the same counts, but other pairs, targets or confidences"
    return (
        f"the data are not what the model was trained on ({what}; digest {have.digest[:12]}…, "
        f"expected {want.digest[:12]}…){found and ': ' + found}. Give the data as trained on, or "
        "these without the forget set; if interactions were added since, forget --grown learns "
        "them along"
    )
