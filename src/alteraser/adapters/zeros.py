"""Factors that hold nothing: where λ outweighed the data, or training failed, every row is zero but
for rounding.

What is next to nothing is told by the data: scores that are fitted to ratings are of their size,
others of that of 1.
"""

from __future__ import annotations

import numpy as np

from alteraser.adapters.contract import Array, Foreign
from alteraser.adapters.mapped import blocks_of, release
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError
from alteraser.models.factorization.rowloss import Squares

ZERO = 1e-6
"""Scores below this share of what they were fitted to are nobody's preference."""


def largest_score(foreign: Foreign) -> float:
    """Max |P| · max |Q| · d, which no |p·q| of the embeddings exceeds; biases are left out."""
    return _largest(foreign.users) * _largest(foreign.items) * foreign.shape[2]


def scale_of(foreign: Foreign, data: Interactions | None) -> float:
    """What scores are fitted to: the root mean square of r about the constant, where r itself is;
    else 1.
    """
    loss = foreign.loss
    rated = getattr(loss, "explicit", False) or isinstance(getattr(loss, "loss", None), Squares)
    if not rated or data is None or data.target is None or not len(data):
        return 1.0
    return float(np.sqrt(np.mean((data.target - foreign.offset) ** 2))) or 1.0


def zero_words(foreign: Foreign, data: Interactions | None = None) -> str | None:
    """In words, that the embeddings are numerically zero beside ``data``; None where they are
    not.
    """
    most, zero = largest_score(foreign), ZERO * scale_of(foreign, data)
    if most >= zero:
        return None
    sides = [
        side
        for side in ("user", "item")
        if _largest(getattr(foreign, f"{side}s")) ** 2 * foreign.shape[2] < zero
    ]
    whose = " and ".join(sides) or "user and item"
    biased = foreign.user_biases is not None or foreign.item_biases is not None
    return (
        f"the {whose} factors are numerically zero: no score"
        + (" but that of the biases" if biased else "")
        + f" is further from 0 than {most:.1g}. The regularization outweighed the data, or "
        "training failed; there is nothing of anybody to forget in such factors. Train again with "
        "a smaller regularization"
    )


def refuse_zero(foreign: Foreign, data: Interactions) -> None:
    """IntegrityError where the embeddings are numerically zero, for models that do not fit their
    data.
    """
    words = zero_words(foreign, data)
    if words is not None:
        raise IntegrityError(
            f"{foreign.path}: {words}", path=str(foreign.path), numerically_zero=True
        )


def _largest(table: Array) -> float:
    found = 0.0
    for start, stop in blocks_of(table):
        found = max(found, float(np.max(np.abs(table[start:stop]), initial=0.0)))
        release(table)
    return found
