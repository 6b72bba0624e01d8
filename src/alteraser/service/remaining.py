"""Somebody's list from what is left of their history, before there is a version without the rest:
what of an erasure can be shown at once.

The rows of other people and items are those of the served version, in which what was asked to go
still has its effect; they change with the next one. What changes at once is what the list is made
from for this person:

    kinds that make lists from a history    the history that is left
    counts of a person                      the state without what goes
    people like somebody                    both: counts and histories without what goes of theirs
    factors                                 A_u⁻¹ b_u of what is left, at the served items
    what is trained by steps                nothing: their served scores
    several sources                         nothing: of a feature, a graph or another relation that
                                            goes everybody's rows may be others, and no bound is
                                            known

and whatever was asked to go is in none of it, though nothing of the model says any more that they
had it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.data.side.given import ITEM, USER
from alteraser.data.side.holding import HeldSources
from alteraser.data.side.parts import Places, shared
from alteraser.engines.store.version import Version
from alteraser.errors import NotFound
from alteraser.ledger.asked import Asked
from alteraser.models import Problem
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.factorization.model import Model
from alteraser.models.protocol import Ranking
from alteraser.models.ranking import fill_best, mask_seen
from alteraser.models.relational.composite import CompositeModel
from alteraser.service.erasing import find, going
from alteraser.solvers.rows.ah_newton import AHNewton
from alteraser.solvers.rows.protocol import padded

Array = npt.NDArray[Any]


def list_of_remaining(
    version: Version,
    row: int,
    asked: Sequence[Asked],
    k: int,
    ranking: Ranking,
    context: Mapping[str, str] | None = None,
) -> tuple[Array, Array, int]:
    """(item rows, scores) of the best ``k`` items for the user in ``row`` without what ``asked``
    name, as ``top_items`` gives them, and how many of their interactions these are. ``ranking`` is
    the version's.

    Of the data only what this user has is looked at, unless the model makes somebody's list from
    what others have. NotFound where nothing of the user would be left. ``context``: of a model that
    tells contexts apart.
    """
    data, model = version.data, version.model
    if isinstance(version.held, HeldSources):
        return _of_sources(version, row, asked, k, ranking, context or {})
    mine = data.only(row) if asked else None
    gone = None if mine is None else find(mine, asked, times=_times(data)).gone
    if mine is None or gone is None or not gone.any():
        items, scores = ranking(np.array([row]), k=k)
        return items[0], scores[0], 0
    removed, rest = mine.keep_rows(gone), mine.keep_rows(~gone)
    if not rest.user_counts[row]:
        raise NotFound("there is no such user", code="user")
    hidden = np.setdiff1d(_items(removed, row), _items(rest, row))
    items, scores = _best(model, data, removed, rest, row, k + len(hidden))
    shown = ~np.isin(items, hidden)
    return items[shown][:k], scores[shown][:k], removed.count


def _of_sources(
    version: Version,
    row: int,
    asked: Sequence[Asked],
    k: int,
    ranking: Ranking,
    context: Mapping[str, str],
) -> tuple[Array, Array, int]:
    """``list_of_remaining`` by the served rows: what was asked to go is hidden."""
    held, model = version.held, version.model
    assert isinstance(held, HeldSources)
    assert isinstance(model, CompositeModel)
    hidden, count = np.empty(0, np.int64), 0
    if asked:
        found = held.lookup.entities(USER, model.users.ids_of([row]).to_pylist())[0]
        mine: Places = {source: at for source, at in found.items() if isinstance(source, str)}
        goes = shared(mine, going(held, asked))
        count = sum(at.size for at in goes.values())
        if count and count == sum(at.size for at in mine.values()):
            raise NotFound("there is no such user", code="user")
        hidden = _items_at(held, goes)
    if context:
        hidden = np.union1d(hidden, _items(version.data, row))
        return *best_without(model.only(row).in_context(context), hidden, k), count
    items, scores = ranking(np.array([row]), k=k + len(hidden))
    shown = ~np.isin(items[0], hidden)
    return items[0][shown][:k], scores[0][shown][:k], count


def best_without(model: CompositeModel, hidden: Array, k: int) -> tuple[Array, Array]:
    """(item rows, scores) of the best ``k`` for the one user of ``model``, none of them
    ``hidden``.
    """
    items, scores = model.top_items(np.array([0]), k=k + len(hidden))
    shown = ~np.isin(items[0], hidden)
    return items[0][shown][:k], scores[0][shown][:k]


def _items_at(held: HeldSources, places: Places) -> Array:
    """The items of some rows of relations between users and items."""
    found = [np.empty(0, np.int64)]
    for links in held.given.links:
        ends = {links.source: links.heads, links.target: links.tails}
        if links.name in places and ends.keys() == {USER, ITEM}:
            known = held.given.entities[ITEM]
            found.append(ends[ITEM].within(known, ITEM)[places[links.name]])
    return np.concatenate(found)


def _times(data: Interactions) -> Array | None:
    return data.timestamp if data.events is None else data.events.time


def whose(version: Version, asked: Asked) -> frozenset[int]:
    """Rows of the users of whom something goes by ``asked``."""
    data = version.data
    if isinstance(version.held, HeldSources):
        return _owners(version.held, going(version.held, [asked]))
    owners = data.user_rows if data.events is None else data.events.users
    return frozenset(np.unique(owners[find(data, [asked]).gone]).tolist())


def _owners(held: HeldSources, places: Places) -> frozenset[int]:
    """Rows of the users who are an end of some rows of relations."""
    found: set[int] = set()
    for links in held.given.links:
        at = places.get(links.name)
        for table, coded in ((links.source, links.heads), (links.target, links.tails)):
            if at is not None and table == USER:
                rows = coded.within(held.given.entities[USER], USER)[at]
                found.update(np.unique(rows).tolist())
    return frozenset(found)


def _items(data: Interactions, row: int) -> Array:
    """Those that a user has."""
    return data.indices[data.indptr[row] : data.indptr[row + 1]]


def _best(
    model: Any, data: Interactions, removed: Interactions, rest: Interactions, row: int, k: int
) -> tuple[Array, Array]:
    if isinstance(model, Model):
        return _of_factors(model, rest, row, k)
    seen = rest
    # what is trained by steps would have to be trained again: it stays as it is served
    if isinstance(model, ExactModel) and model.settings.extra is None:
        kind = model.settings
        wanted: Any = removed if data.events is None else Selection.of_events(removed)
        if kind.reads_others or not kind.needs_history:
            deletion = Deletion(data, data.remove(wanted))
            model = replace(model, state=kind.without(model.state, deletion, threads=1))
        if kind.reads_others:
            seen = deletion.removal.remaining
    items, scores = model.top_items(np.array([row]), k=k, seen=seen)
    return items[0], scores[0]


def _of_factors(model: Model, rest: Interactions, row: int, k: int) -> tuple[Array, Array]:
    """The list of the row that is the minimum for what is left, given the items."""
    factors, rank = model.factors, model.factors.rank
    items = factors.scaled_items()
    side = Problem(model.objective, rest, factors.dtype).users.take(np.array([row]))
    mine = padded(factors.users[row : row + 1])
    AHNewton().solve(side, padded(items), mine, None, rank=rank, threads=1)
    block = (mine[:, :rank] @ items.T).astype(np.float64)
    block[:, ~np.any(items != 0, axis=1)] = -np.inf
    mask_seen(block, np.array([row]), rest)
    k = min(k, items.shape[0])
    lists, scores = np.full((1, k), -1, np.int64), np.full((1, k), np.nan)
    fill_best(block, lists, scores)
    return lists[0], scores[0]
