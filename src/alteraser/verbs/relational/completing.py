"""DATA that are already without what is to be forgotten, put together again: by the rows of the
request, or by the sums that the model keeps of what it was trained on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alteraser.data.ids import Coded
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.data.side.given import MAIN, Given
from alteraser.data.side.links import Links, joined
from alteraser.data.sums import Missing
from alteraser.errors import IntegrityError
from alteraser.models.relational.composite import CompositeModel
from alteraser.verbs import deleting


def completed(
    model: CompositeModel, main: Links, selection: Selection | None, rows: Links | None = None
) -> Links:
    """``main`` with what of a request it does not have any more; as it is where that does not make
    it what ``model`` was trained on, to the last row.

    ``rows``: the request as rows of DATA, with their contexts, which sums do not tell.
    """
    if main.digest == model.sources[MAIN]:
        return main
    if rows is not None and rows.contexts.keys() == main.contexts.keys():
        both = joined(main, rows)
        if both.digest == model.sources[MAIN]:
            return both
    if selection is None or main.contexts or not (main.confidence is None and main.aim is None):
        return main
    try:
        data = Interactions.from_coded(
            main.heads, main.tails, {}, duplicates="first", known=(model.users, model.items)
        )
        whole = deleting.completed(model, data, selection)
    except IntegrityError:  # the caller says which source differs
        return main
    found = replace(
        main,
        heads=Coded(whole.users, whole.user_rows),
        tails=Coded(whole.items, whole.indices.astype(np.int64)),
        times=None,
        places=None,
    )
    return found.keep(np.ones(len(found), bool))


def lacking(given: Given, main: Links) -> Missing:
    """Which pairs of DATA as completed are not in ``main``, in the rows of ``given``."""
    data = given.interactions()
    rows = [
        coded.within(ids, "ids")
        for coded, ids in ((main.heads, data.users), (main.tails, data.items))
    ]
    there = np.zeros(len(data), bool)
    there[data.locate(rows[0], rows[1])] = True
    users, items = data.user_rows[~there], data.indices[~there].astype(np.int64)
    return Missing(users.size, np.unique(users), np.unique(items), (users, items), 0)
