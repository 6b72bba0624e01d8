"""What settings are tried on: pairs of everybody, or their last session or basket."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.events import Events
from alteraser.data.grouping import BASKET
from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput
from alteraser.linalg.hashing import hashed, of_ids

Array = npt.NDArray[Any]


def cut(data: Interactions, share: float, *, seed: int) -> tuple[Interactions, Interactions]:
    """(train, held out), both with the rows of ``data``.

    Of pairs, ``share`` of everybody's, drawn by ``seed``. Of sessions and baskets, everybody's last
    one whole, if they have two; where nobody has two sessions, the latest ``share`` of all, or
    where no times say which these are, those that a hash of ``seed`` and their user's id draws.

    Raises InvalidInput where nothing can be held out, or nothing of it be predicted.
    """
    if data.events is not None:
        parts = _groups(data, data.events, share, seed)
        return parts[0], parts[1]
    train, held = data.split(share, seed=seed)
    if len(held) == 0:
        raise InvalidInput(
            f"no user has enough interactions to hold out {share:.0%} of them; raise "
            "--validation, or give more data"
        )
    return train, held


def _groups(data: Interactions, events: Events, share: float, seed: int) -> list[Interactions]:
    if not 0.0 < share < 1.0:
        raise InvalidInput(
            f"--validation {share}: expected a share between 0 and 1, for example 0.2"
        )
    baskets = events.grouping.name == BASKET
    alone = np.unique(events.owners).size == events.owners.size
    if alone and baskets:
        raise InvalidInput(
            "nobody has two baskets: there is no last one to hold out; give more data, or other "
            "columns to tell baskets by"
        )
    drawn = alone and not events.ordered_by_time
    mask = _drawn(data, events, share, seed) if drawn else events.latest(share)
    held = events.keep(mask)
    if len(held) == 0:
        raise InvalidInput(
            f"there are too few {events.grouping.name}s to hold out {share:.0%} of them; raise "
            "--validation, or give more data"
        )
    if not baskets and np.diff(held.indptr).max() < 2:
        raise InvalidInput(
            "no session that is held out has two events: there is nothing that follows; give more "
            "data, or other columns to tell sessions by"
        )
    return [
        Interactions.of_events(data.users, data.items, part) for part in (events.keep(~mask), held)
    ]


def _drawn(data: Interactions, events: Events, share: float, seed: int) -> Array:
    """(E,): the events of ``share`` of the sessions, each of a user of its own."""
    keys = hashed(seed, of_ids(data.users.ids_of(events.owners).to_pylist()))
    chosen = np.zeros(keys.size, bool)
    chosen[np.argsort(keys, kind="stable")[: int(share * keys.size)]] = True
    return chosen[events.numbers]
