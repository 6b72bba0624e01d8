"""How models of events are measured: what comes next in a session, event by event; and the next
basket.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser import metrics
from alteraser.data.events import Events
from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput, NotFound
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.ranking import fill_best

Array = npt.NDArray[Any]

DEPTHS = (10, 20)
AT_A_TIME = 64
"""Lists made at a time"""

SESSION_METRICS = {
    "recall": metrics.recall_at_k,
    "mrr": metrics.mrr_at_k,
    "ndcg": metrics.ndcg_at_k,
}
BASKET_METRICS = {
    "recall": metrics.recall_at_k,
    "ndcg": metrics.ndcg_at_k,
    "hit_ratio": metrics.hit_ratio_at_k,
}


def reveal(
    model: ExactModel, test: Interactions, *, users: Any = None, depths: tuple[int, ...] = DEPTHS
) -> dict[str, float]:
    """Recall@k, MRR@k and NDCG@k of the next event, every session of ``test`` being revealed event
    by event.

    After each event but the last of a session a list is made of what was revealed of this session,
    and held against the event that follows (Ludewig and Jannach, UMUAI 2018, section 5.1). Items
    that the model does not know are not revealed to it, and are missed where they follow. Averages
    over all lists; ``predictions`` and ``sessions`` count these. ``users`` (ids) restricts to the
    sessions of some. NotFound where no session has two events.
    """
    events = _events(model, test)
    items = _known(model, test)[events.items]
    groups = np.flatnonzero((np.diff(events.indptr) > 1) & _of(test, events, users))
    if not groups.size:
        raise NotFound("no session of the test has two events: there is nothing that follows")
    ends = np.concatenate([np.arange(events.indptr[g] + 1, events.indptr[g + 1]) for g in groups])
    begins = np.repeat(events.indptr[groups], np.diff(events.indptr)[groups] - 1)
    formed = model.settings.formed(model.state, None)
    lists = np.full((ends.size, max(depths)), -1, np.int64)
    memory = np.empty((AT_A_TIME, model.shape[1]))
    for start in range(0, ends.size, AT_A_TIME):
        part = slice(start, start + AT_A_TIME)
        block = memory[: len(ends[part])]
        block.fill(-np.inf)
        sessions = [items[a:b] for a, b in zip(begins[part], ends[part], strict=True)]
        shown = [session[session < model.shape[1]] for session in sessions]
        some = [row for row, session in enumerate(shown) if session.size]
        model.settings.continued_all(formed, [shown[row] for row in some], block, some)
        _fill(block, lists[part])
    indptr = np.arange(ends.size + 1)
    answer = _means(SESSION_METRICS, lists, indptr, items[ends], depths)
    return answer | {"predictions": int(ends.size), "sessions": int(groups.size)}


def next_baskets(
    model: ExactModel,
    test: Interactions,
    *,
    seen: Interactions,
    users: Any = None,
    depths: tuple[int, ...] = DEPTHS,
) -> dict[str, float]:
    """Recall@k, NDCG@k and the personal hit ratio of everybody's first basket in ``test``.

    ``seen``: the data in the rows of the model. Averages over the users that the model knows, whose
    number is ``users``; NotFound if there is none. Items that the model does not know count as
    missed.
    """
    events = _events(model, test)
    first = np.flatnonzero((np.diff(events.owners, prepend=-1) != 0) & _of(test, events, users))
    rows = model.users.rows_of(test.users.ids_of(events.owners[first]), "user_id")
    first, rows = first[rows >= 0], rows[rows >= 0]
    if not rows.size:
        raise NotFound("no user has both a basket in the test and a row in the model")
    items = _known(model, test)
    baskets = [
        np.unique(items[events.items[events.indptr[g] : events.indptr[g + 1]]]) for g in first
    ]
    indptr = np.concatenate([[0], np.cumsum([basket.size for basket in baskets])])
    lists, _ = model.top_items(rows, k=max(depths), seen=seen)
    return _means(BASKET_METRICS, lists, indptr, np.concatenate(baskets), depths) | {
        "users": int(rows.size)
    }


def _events(model: ExactModel, test: Interactions) -> Events:
    if test.events is None:
        raise InvalidInput(
            f"a model of kind {model.kind} is measured on events: read the test as the data were "
            "read"
        )
    return test.events


def _known(model: ExactModel, test: Interactions) -> Array:
    """The model's row of every item row of ``test``; for items that it does not know rows of their
    own behind these.
    """
    found = np.full(test.items.size, -1, np.int64)
    found[test.items.rows] = model.items.rows_of(test.items.ids, "item_id")
    unknown = found < 0
    found[unknown] = model.shape[1] + np.arange(unknown.sum())
    return found


def _of(test: Interactions, events: Events, users: Any) -> Array:
    """Which groups are those of ``users`` (ids); all for None."""
    if users is None:
        return np.ones(events.owners.size, bool)
    return np.isin(events.owners, test.users.rows_of(users, "users"))


def _fill(block: Array, lists: Array) -> None:
    k = min(lists.shape[1], block.shape[1])
    fill_best(block, lists[:, :k], np.empty((len(lists), k)))


def _means(
    measures: Any, lists: Array, indptr: Array, wanted: Array, depths: tuple[int, ...]
) -> dict[str, float]:
    return {
        f"{name}@{k}": float(measure(lists, indptr, wanted, k).mean())
        for name, measure in measures.items()
        for k in depths
    }
