"""Factors that hold nothing: where λ outweighed the data, or training failed, every row is zero but for rounding."""

from __future__ import annotations

import numpy as np

from alteraser.adapters.contract import Array, Foreign
from alteraser.adapters.mapped import blocks_of, release
from alteraser.errors import IntegrityError

ZERO = 1e-6
"""Scores below this are nobody's preference: they are of the order of 1 in every loss here."""


def largest_score(foreign: Foreign) -> float:
    """Max |P| · max |Q| · d, which no |p·q| of the embeddings exceeds; biases are left out."""
    return _largest(foreign.users) * _largest(foreign.items) * foreign.shape[2]


def zero_words(foreign: Foreign) -> str | None:
    """In words, that the embeddings are numerically zero; None where they are not."""
    most = largest_score(foreign)
    if most >= ZERO:
        return None
    sides = [side for side in ("user", "item") if _largest(getattr(foreign, f"{side}s")) ** 2 * foreign.shape[2] < ZERO]
    whose = " and ".join(sides) or "user and item"
    biased = foreign.user_biases is not None or foreign.item_biases is not None
    return (
        f"the {whose} factors are numerically zero: no score"
        + (" but that of the biases" if biased else "")
        + f" is further from 0 than {most:.1g}. The regularization outweighed the data, or training failed; there is "
        "nothing of anybody to forget in such factors. Train again with a smaller regularization"
    )


def refuse_zero(foreign: Foreign) -> None:
    """IntegrityError where the embeddings are numerically zero, for models that do not fit their data."""
    words = zero_words(foreign)
    if words is not None:
        raise IntegrityError(f"{foreign.path}: {words}", path=str(foreign.path), numerically_zero=True)


def _largest(table: Array) -> float:
    found = 0.0
    for start, stop in blocks_of(table):
        found = max(found, float(np.max(np.abs(table[start:stop]), initial=0.0)))
        release(table)
    return found
