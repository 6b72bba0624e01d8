"""What people see after a model has forgotten: how many lists of those who asked for nothing
changed, and how much of what was forgotten is recommended again to those who asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions
from alteraser.models.protocol import Recommender

LENGTH, USERS = 10, 500
"""Items of a list, and users who are looked at: a share of theirs is within 0.02 of everybody's,
one standard error."""


@dataclass(frozen=True)
class ListsChanged:
    """Lists before and after, of users of whom nothing was forgotten."""

    users: int
    """Who were looked at"""
    changed: float
    """Share of them whose list has another item in it"""
    overlap: float
    """Mean share of a list's items that are in both"""


def lists_changed(
    before: Recommender,
    after: Recommender,
    remaining: Interactions,
    asking: npt.NDArray[np.bool_],
    *,
    seed: int = 0,
) -> ListsChanged:
    """Top-10 of both models for users with something in ``remaining`` who are not ``asking`` (m,),
    what they have left out; of at most 500, drawn with ``seed``. Without any such user nothing has
    changed.

    >>> from alteraser import ENMF
    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> model = ENMF(factors=2, regularization=0.1, missing_weight=0.1).fit(data)
    >>> lists_changed(model, model, data, np.arange(6) == 0)
    ListsChanged(users=5, changed=0.0, overlap=1.0)
    """
    others = np.flatnonzero((remaining.user_counts > 0) & ~asking[: remaining.shape[0]])
    if others.size > USERS:
        others = np.sort(np.random.default_rng(seed).choice(others, USERS, replace=False))
    if not others.size:
        return ListsChanged(0, 0.0, 1.0)
    pairs = [model.top_items(others, k=LENGTH, seen=remaining)[0] for model in (before, after)]
    shares = np.ones(others.size)
    for row, (old, new) in enumerate(zip(*pairs, strict=True)):
        old, new = old[old >= 0], new[new >= 0]
        longer = max(old.size, new.size)
        if longer:
            shares[row] = np.intersect1d(old, new).size / longer
    return ListsChanged(int(others.size), float(np.mean(shares < 1.0)), float(np.mean(shares)))


@dataclass(frozen=True)
class ListedAgain:
    """What was forgotten and is in its user's list all the same: what remains leads there, as it
    would after a retrain.

    Forgetting takes an interaction out of a model; it does not keep the item out of anybody's list.
    """

    users: int
    """Who were looked at, of those with something forgotten and something left"""
    interactions: int
    """Forgotten interactions of theirs with items that the model still recommends to anybody"""
    listed: int
    """How many of these have their item in their user's list"""


def listed_again(
    top: Callable[[npt.NDArray[np.int64]], npt.NDArray[Any]],
    remaining: Interactions,
    removed: Interactions,
    *,
    seed: int = 0,
) -> ListedAgain:
    """``removed`` held against ``top(users)``, (len(users), k) item rows of the new model's lists,
    -1 behind their end.

    Of at most 500 users, drawn with ``seed``.

    >>> pairs = [(0, 0), (0, 1), (0, 2), (1, 1)]
    >>> data = Interactions.from_pairs(pairs)
    >>> rest = data.remove([(0, 0), (0, 1)]).remaining
    >>> gone = data.remove([(0, 2), (1, 1)]).remaining
    >>> listed_again(lambda users: np.array([[1]] * len(users)), rest, gone)
    ListedAgain(users=1, interactions=1, listed=1)
    """
    m, n = removed.shape
    users = np.flatnonzero((removed.user_counts > 0) & (remaining.user_counts[:m] > 0))
    if users.size > USERS:
        users = np.sort(np.random.default_rng(seed).choice(users, USERS, replace=False))
    alive = (remaining.item_counts[:n] > 0)[removed.indices]
    looked = np.isin(removed.user_rows, users) & alive
    at = np.searchsorted(users, removed.user_rows[looked])
    listed = 0
    if at.size:
        lists = top(users)
        listed = int((lists[at] == removed.indices[looked][:, None]).any(axis=1).sum())
    return ListedAgain(int(users.size), int(at.size), listed)


@dataclass(frozen=True)
class Aftermath:
    """What people see of it; None where scores are no lists."""

    lists: ListsChanged | None = None
    """Top-10 lists of users of whom nothing was forgotten, before and after"""
    again: ListedAgain | None = None
    """What was forgotten and is in its user's top-10 all the same"""

    def document(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "lists_changed": None if self.lists is None else vars(self.lists),
            "listed_again": None if self.again is None else vars(self.again),
        }


def seen_after(before: Recommender, after: Recommender, gone: Deletion) -> Aftermath:
    """Lists of the others before and after, where rows are the same; what was forgotten and is
    listed again.
    """
    remaining, removed, lists = gone.remaining, gone.removed, None
    if before.shape == after.shape and not any(gone.joined):
        lists = lists_changed(before, after, remaining, gone.asking)
    if gone.left is not None and any(gone.joined):  # in rows of its own
        removed = removed.as_far_as(remaining.users, remaining.items)
    return Aftermath(
        lists,
        listed_again(
            lambda users: after.top_items(users, k=LENGTH, seen=remaining)[0], remaining, removed
        ),
    )
