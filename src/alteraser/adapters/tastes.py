"""What rows know of what is theirs, of models beside one another on the same draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.rowloss import Squares

Array = npt.NDArray[Any]

ROWS, PAIRS = 2000, 50_000
"""Rows of either side that are looked at, and their pairs in all, both evenly spread: the more, the
less training tells something, and the longer it takes."""

LEAST, MOST = 2, 16
"""Draws a pair: the fewer pairs, the more, for as many comparisons in all."""

BLOCK = 4096
"""Comparisons at once."""


@dataclass(frozen=True)
class Comparisons:
    """Cells of one side: ``rows`` have met ``met`` and have not met ``others``, all
    (comparisons,).
    """

    rows: Array
    met: Array
    others: Array
    alive: Array
    """(rows of the side,) bool: who has interactions"""

    @classmethod
    def of(cls, data: Interactions, side: str, seed: int) -> Comparisons:
        """Of at most ROWS users or items of ``data``, as many pairs each as PAIRS allow. The same
        ``seed`` gives the same.
        """
        rows, met, _ = _some(data, side)
        alive = (data.user_counts if side == "user" else data.item_counts) > 0
        indices = data.indices if side == "user" else data.by_item.indices
        rng = np.random.default_rng(seed)
        others = indices[rng.integers(0, max(len(data), 1), rows.size)].astype(np.int64)
        new = data.locate(*((rows, others) if side == "user" else (others, rows))) < 0
        return cls(rows[new], met[new], others[new], alive)

    def tastes(self, x: Array, y: Array) -> Tastes:
        """Of rows ``x`` among rows ``y`` of the other side."""
        x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
        own = x - x[self.alive].mean(axis=0) if self.alive.any() else x
        won = np.empty(self.rows.size)
        for start in range(0, won.size, BLOCK):  # in the cache
            part = slice(start, start + BLOCK)
            apart = y[self.met[part]] - y[self.others[part]]
            way = np.einsum("id,id->i", own[self.rows[part]], apart)
            won[part] = (way > 0) + 0.5 * (way == 0)
        size = len(x)
        return Tastes(
            np.bincount(self.rows, weights=won, minlength=size),
            np.bincount(self.rows, minlength=size).astype(np.float64),
        )


@dataclass(frozen=True)
class Tastes:
    """t, row by row."""

    above: Array
    """(rows,) comparisons that what a row has met won"""
    looked: Array
    """(rows,) comparisons"""

    @property
    def share(self) -> float:
        """T; ½ where there is nothing to compare."""
        total = float(self.looked.sum())
        return float(self.above.sum()) / total if total else 0.5

    @property
    def low(self) -> float:
        """F, each row counting by its comparisons."""
        return Tastes(self._low, self.looked).share

    @property
    def _low(self) -> Array:
        half = self.looked / 2
        return np.asarray(self.looked * ((self.above < half) + 0.5 * (self.above == half)))

    def error(self, other: Tastes | None = None) -> float:
        """Standard error of T, or of its difference to the one of ``other`` on the same cells: rows
        are independent, their comparisons are not.
        """
        total = max(float(self.looked.sum()), 1.0)
        above = self.above if other is None else self.above - other.above
        rest = above - self.looked * float(above.sum()) / total
        return float(np.sqrt(rest @ rest)) / total

    def low_error(self, other: Tastes | None = None) -> float:
        """The same of F."""
        return Tastes(self._low, self.looked).error(
            None if other is None else Tastes(other._low, other.looked)
        )


@dataclass(frozen=True)
class Predictions:
    """Ratings of one side: ``rows`` gave (or got) ``ratings`` to ``met``, and how near do they come
    against ``others`` of their own side? All (comparisons,).
    """

    rows: Array
    met: Array
    others: Array
    ratings: Array
    """Without the mean, where the loss is about it"""
    size: int

    @classmethod
    def of(cls, data: Interactions, side: str, loss: Squares, seed: int) -> Predictions:
        """As ``Comparisons.of``; others at random among rows with ratings."""
        rows, met, at = _some(data, side)
        r = np.ones(len(data)) if data.target is None else data.target
        r = r - r.mean() if loss.centered and r.size else r
        if side == "item":
            at = data.by_item.order[at]
        counts = data.user_counts if side == "user" else data.item_counts
        alive = np.flatnonzero(counts)
        rng = np.random.default_rng(seed)
        others = alive[rng.integers(0, max(alive.size, 1), rows.size)] if alive.size else rows
        new = others != rows
        return cls(rows[new], met[new], others[new], r[at][new], counts.size)

    def tastes(self, theta: BiasedFactors) -> Tastes:
        """Of the rows that ``theta`` has as users: where they come nearer than another."""
        own = np.abs(self.ratings - theta.scores(self.rows, self.met))
        other = np.abs(self.ratings - theta.scores(self.others, self.met))
        won = (own < other) + 0.5 * (own == other)
        return Tastes(
            np.bincount(self.rows, weights=won, minlength=self.size),
            np.bincount(self.rows, minlength=self.size).astype(np.float64),
        )


def _some(data: Interactions, side: str) -> tuple[Array, Array, Array]:
    """(row, met, place in its side's order) of the pairs of at most ROWS rows, each as often as it
    is compared.
    """
    if side == "user":
        indptr, indices, counts = data.indptr, data.indices, data.user_counts
    else:
        view = data.by_item
        indptr, indices, counts = view.indptr, view.indices, data.item_counts
    chosen = np.flatnonzero(counts)
    chosen = chosen[:: max(1, -(-chosen.size // ROWS))]
    some = np.minimum(counts[chosen], PAIRS // max(chosen.size, 1))
    first = np.repeat(np.cumsum(some) - some, some)
    place = (np.arange(int(some.sum())) - first) * np.repeat(counts[chosen], some)
    at = np.repeat(indptr[chosen], some) + place // np.repeat(some, some)
    draws = int(np.clip(LEAST * PAIRS // max(at.size, 1), LEAST, MOST))
    at = np.repeat(at, draws)
    return np.repeat(chosen, some * draws), indices[at].astype(np.int64), at
