"""Do the interactions that a model was trained on score higher than what was not there?

For losses that leave no equation to check. The items that an interaction is compared with are drawn
as often as they occur in the data, so that a model that merely knows what is popular, or one whose
users were mixed up, gains nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters.selfcheck import Measure, RowFault
from alteraser.data.interactions import Interactions

Array = npt.NDArray[Any]

PAIRS = 50_000
LEAST = 0.55
"""Of the training pairs outrank the others: a half do by chance, six in ten in a model under heavy
dropout, nine in ten in others."""


def outranked(
    score: Callable[[Array, Array], Array],
    data: Interactions,
    *,
    seed: int = 0,
    least: float = LEAST,
) -> tuple[Measure, tuple[RowFault, ...]]:
    """The share of up to PAIRS training pairs (u, v) with s(u, v) > s(u, w), ties counting half,
    and the worst users.

    w is drawn by popularity among what u did not interact with (``score``: user rows, item rows →
    scores).
    """
    rng = np.random.default_rng(seed)
    places = (
        np.arange(len(data)) if len(data) <= PAIRS else rng.choice(len(data), PAIRS, replace=False)
    )
    users, items = data.user_rows[places], data.indices[places].astype(np.int64)
    others = data.indices[rng.integers(0, len(data), places.size)].astype(np.int64)
    # draw again where it was hit; who interacted with nearly everything is left out below
    for _ in range(20):
        taken = data.locate(users, others) >= 0
        if not taken.any():
            break
        others[taken] = data.indices[rng.integers(0, len(data), int(taken.sum()))]
    free = data.locate(users, others) < 0
    users, items, others = users[free], items[free], others[free]
    difference = score(users, items) - score(users, others)
    wins = (difference > 0) + 0.5 * (difference == 0)
    share = float(wins.mean()) if wins.size else 0.0
    sums = np.bincount(users, wins, minlength=data.shape[0])
    counts = np.bincount(users, minlength=data.shape[0])
    rates = np.where(counts >= 3, sums / np.maximum(counts, 1), 1.0)
    worst = np.argsort(rates, kind="stable")[:20]
    faults = tuple(
        RowFault("user", int(row), float(rates[row])) for row in worst if rates[row] < 0.5
    )
    meaning = "share of training pairs that score above an item that the user did not have"
    return Measure("the rank of training pairs", share, least, share >= least, meaning), faults
