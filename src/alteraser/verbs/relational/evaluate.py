"""Accuracy of a linear model by user and context: a query is a user in a context, and everything is
ranked for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.ids import Coded, IdMap, convert_ids, named_ids
from alteraser.data.interactions import Interactions
from alteraser.data.side.given import MAIN, USER
from alteraser.data.side.links import Links, joined, one_word
from alteraser.errors import NotFound
from alteraser.models.relational.composite import CompositeModel
from alteraser.verbs.evaluate import DEPTHS, Coverage, TrainingData
from alteraser.verbs.evaluate import evaluate as evaluate_rows

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ContextCoverage(Coverage):
    """Counted in rows of the test; masked are those whose user had the item in that context."""

    contexts: tuple[str, ...] = ()
    """What queries are told apart by"""
    test_interactions_of_unseen_contexts: int = 0
    """Rows in a context that never occurred in training (of users who did): left out"""

    @property
    def warnings(self) -> list[str]:
        """As of every model, and what was left out for its context."""
        if not self.test_interactions_of_unseen_contexts:
            return super().warnings
        return [
            *super().warnings,
            f"{self.test_interactions_of_unseen_contexts:,} of {self.test_interactions:,} test "
            "interactions are in a context that never occurred in training: they are left out",
        ]


def evaluate_in_contexts(
    model: CompositeModel,
    test: Links,
    *,
    data: Links,
    users: Any = None,
    depths: tuple[int, ...] = DEPTHS,
    among: Any = None,
) -> tuple[dict[str, float], ContextCoverage]:
    """Recall@k and NDCG@k, means over the queries (user, context) of ``test``, all items ranked for
    each.

    A query is a user with what ``test.contexts`` say, whose distinct items in ``test`` are to be
    found. Items that the user has in ``data`` *in that same context* are masked, and no others:
    what somebody uses in the morning may be right again in the evening. ``data`` has the contexts
    of ``test`` at least. Contexts of the model that ``test`` does not have count as they are on
    average; those that the model does not have tell queries apart, and nothing else, so a model
    without contexts is measured on the same queries. A row without a value is in none of that
    context, as in training.

    Left out: users that the model does not know, contexts that never occurred in training. The
    answer holds ``recall@10`` …, ``queries`` (averaged over) and ``users`` (of whom they are).
    ``users`` restricts to some, ``among`` (ids of items) to rows with these, which alone are ranked
    then. NotFound where no query is left, InvalidInput where all of it is
    masked.
    """
    names = tuple(test.contexts)
    rows, seen = test.heads.within(model.users, "user_id"), _contexts_known(model, test)
    chosen = (rows >= 0) & seen
    if users is not None:
        ids = convert_ids(named_ids(users, "users"), model.users.kind, "users")
        chosen &= np.isin(rows, model.users.rows_of(ids, "users"))
    others = 0
    if among is not None:
        wanted_rows = test.tails.ids.rows_of(among, "item_id")
        asked = np.isin(test.tails.rows, wanted_rows[wanted_rows >= 0])
        others, chosen = int((~asked).sum()), chosen & asked
    if not chosen.any():
        raise NotFound(
            "no row of the test has a user and a context that the model knows; write ids and "
            f"contexts ({', '.join(names)}) as in the data"
        )
    of_test, of_data = _queries(model, test, data, chosen)
    numbers, first = np.unique(of_test, return_index=True)
    known = IdMap(pa.array(numbers), np.arange(numbers.size), numbers.size)
    first = np.flatnonzero(chosen)[first]
    there = np.flatnonzero(np.isin(of_data, numbers))
    as_queries = replace(
        model, users=known, vectors=(_vectors(model, test, rows, first), model.vectors[1])
    )
    wanted = _pairs(of_test, test.tails.take(np.flatnonzero(chosen)))
    had = _pairs(of_data[there], data.tails.take(there))
    answer = evaluate_rows(as_queries, wanted, data=had, depths=depths, among=among)
    answer["queries"], answer["users"] = answer["users"], np.unique(rows[first]).size
    items = test.tails.within(model.items, "item_id")
    masked = had.locate(
        had.users.rows_of(pa.array(of_test)), test.tails.within(had.items, "item_id")[chosen]
    )
    return answer, ContextCoverage(
        len(test),
        int(np.unique(test.heads.rows[rows < 0]).size),
        int((rows < 0).sum()),
        int((chosen & (items < 0)).sum()),
        int((masked >= 0).sum()),
        trained_on(model, test, data),
        others,
        names,
        int(((rows >= 0) & ~seen).sum()),
    )


def trained_on(model: CompositeModel, test: Links, data: Links) -> TrainingData:
    """What the model's digest says of its training; ``other`` where ``data`` lack one of its
    contexts.
    """
    names = model.context_names
    if any(name not in data.contexts for name in names):
        return "other"
    if _with(data, names).digest == model.sources[MAIN]:
        return "data"
    if all(name in test.contexts for name in names):
        both = joined(_with(data, names), _with(test, names))
        if both.digest == model.sources[MAIN]:
            return "data and test"
    return "other"


def _contexts_known(model: CompositeModel, test: Links) -> Array:
    """Rows of the test all of whose contexts the model has, (rows,); none at all is one."""
    found = np.ones(len(test), bool)
    for block in model.blocks[USER]:
        if block.sort == "context" and block.name in test.contexts:
            said = test.contexts[block.name]
            found[np.flatnonzero(np.diff(said.indptr))] &= said.values.within(block.ids) >= 0
    return found


def _queries(model: CompositeModel, test: Links, data: Links, chosen: Array) -> tuple[Array, Array]:
    """(the number of the query of every chosen row of the test, that of every row of the data)."""
    columns = [(test.heads.within(model.users), data.heads.within(model.users))]
    for name, said in test.contexts.items():
        theirs = data.contexts[name]
        there = said.values.within(theirs.values.ids)
        # what the data do not have is behind what they have
        there = np.where(there < 0, theirs.values.ids.size + said.values.rows, there)
        mine = np.full(len(test), -1, np.int64)
        mine[np.flatnonzero(np.diff(said.indptr))] = there
        columns.append((mine, one_word(theirs)))
    keys = np.stack([np.concatenate([a[chosen], b]) for a, b in columns], axis=1)
    numbers = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    size = int(chosen.sum())
    return numbers[:size], numbers[size:]


def _vectors(model: CompositeModel, test: Links, rows: Array, first: Array) -> Array:
    """What users are in the contexts of some rows of the test, (queries, width)."""
    E = model.tables[USER]
    found = model.vectors[0][rows[first]]
    for block in model.blocks[USER]:
        if block.sort != "context" or block.name not in test.contexts:
            continue
        inside = E[block.start : block.stop]
        found = found - model.average[block.start : block.stop] @ inside
        there = test.contexts[block.name].take(first)
        found[np.flatnonzero(np.diff(there.indptr))] += inside[there.values.within(block.ids)]
    return found


def _pairs(queries: Array, items: Coded) -> Interactions:
    return Interactions.from_coded(
        Coded(*IdMap.build(pa.array(queries))), items, {}, duplicates="first"
    )


def _with(links: Links, names: tuple[str, ...]) -> Links:
    return replace(links, contexts={name: links.contexts[name] for name in names})
