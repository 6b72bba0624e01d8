"""The paper's scenario: false positives injected into some users' histories, then deleted (Liu et
al. 2022, §5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput


@dataclass(frozen=True)
class NoiseScenario:
    """``polluted`` = ``clean`` + ``noise``: train on the first, forget the last, compare with the
    middle.
    """

    polluted: Interactions
    """D_a"""
    clean: Interactions
    """D_r"""
    noise: Interactions
    """D_f"""
    users: np.ndarray
    """Rows of the users the noise was given to."""


def inject_noise(
    data: Interactions,
    *,
    users: int = 64,
    share: float = 0.5,
    seed: int = 0,
    avoid: Interactions | None = None,
) -> NoiseScenario:
    """Give ``users`` random users ⌊share · |D_u|⌋ items each that they never interacted with, at
    random.

    ``avoid`` (in the same rows) holds what must not be taken for noise, such as held-out
    interactions. Only users with at least two interactions and items that occur are drawn.
    InvalidInput if there are too few.

    >>> data = Interactions.from_pairs([(u, v) for u in range(8) for v in range(u % 2, 12, 2)])
    >>> scenario = inject_noise(data, users=3)
    >>> # 3 users, 6 // 2 items each
    >>> len(scenario.noise), len(scenario.polluted) - len(scenario.clean)
    (9, 9)
    """
    rng = np.random.default_rng(seed)
    able = np.flatnonzero(data.user_counts >= 2)
    if able.size < users or users < 1:
        raise InvalidInput(
            f"{users} users are asked for, {able.size} have at least two interactions"
        )
    if data.confidence is not None or data.target is not None:
        raise InvalidInput("noise is defined for plain interactions, without confidence or target")
    chosen = np.sort(rng.choice(able, users, replace=False))
    catalog = np.flatnonzero(data.item_counts)
    rows, items = [], []
    for user in chosen:
        own = data.indices[data.indptr[user] : data.indptr[user + 1]]
        others = np.setdiff1d(catalog, own)
        if avoid is not None:
            others = np.setdiff1d(
                others, avoid.indices[avoid.indptr[user] : avoid.indptr[user + 1]]
            )
        count = min(int(own.size * share), others.size)
        rows.append(np.full(count, user))
        items.append(rng.choice(others, count, replace=False))
    user_rows, item_rows = np.concatenate(rows), np.concatenate(items)
    polluted = Interactions._assemble(
        data.users,
        data.items,
        np.concatenate([data.user_rows, user_rows]),
        np.concatenate([data.indices.astype(np.int64), item_rows]),
        None,
        None,
        None,
        "refuse",
    )
    noise = Interactions._assemble(
        data.users, data.items, user_rows, item_rows, None, None, None, "refuse"
    )
    clean = Interactions(data.users, data.items, data.indptr, data.indices)
    return NoiseScenario(polluted, clean, noise, chosen)


@dataclass(frozen=True)
class DeletionScenario:
    """True interactions of some users are deleted: ``remaining`` = what was there minus
    ``deleted``.
    """

    remaining: Interactions
    """D_r"""
    deleted: Interactions
    """D_f"""
    users: np.ndarray
    """Rows of the users."""


def delete_true(
    data: Interactions, *, users: int = 64, share: float = 0.5, seed: int = 0
) -> DeletionScenario:
    """Delete ⌊share · |D_u|⌋, at least one, of the interactions of ``users`` random users, at
    random.

    Only users with at least two interactions are drawn. InvalidInput if there are too few.

    >>> data = Interactions.from_pairs([(u, v) for u in range(8) for v in range(u % 2, 12, 2)])
    >>> scenario = delete_true(data, users=3)
    >>> len(scenario.deleted), len(data) - len(scenario.remaining)  # 3 users, 6 // 2 items each
    (9, 9)
    """
    rng = np.random.default_rng(seed)
    able = np.flatnonzero(data.user_counts >= 2)
    if able.size < users or users < 1:
        raise InvalidInput(
            f"{users} users are asked for, {able.size} have at least two interactions"
        )
    chosen = np.sort(rng.choice(able, users, replace=False))
    gone = np.zeros(len(data), bool)
    for user in chosen:
        start, end = data.indptr[user], data.indptr[user + 1]
        gone[start + rng.choice(end - start, max(1, int((end - start) * share)), replace=False)] = (
            True
        )
    return DeletionScenario(data.keep(~gone), data.keep(gone), chosen)
