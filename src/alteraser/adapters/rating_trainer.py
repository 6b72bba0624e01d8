"""Biased MF by plain stochastic gradient steps, as Surprise and Cornac train it, on data of one's
own.

As of ``pair_trainer``: it says what a model of these data is like, and is not the file's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.rowloss import Squares

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class RatingTrainer:
    """Epochs over all ratings, user by user, from normal numbers and biases of zero."""

    rates: tuple[float, float, float, float]
    """Of users, items, user biases and item biases; the last two are not used without biases."""
    epochs: int
    mean: float = 0.0
    """Of the numbers that training begins from"""
    deviation: float = 0.1

    @property
    def steps(self) -> float:
        """Rate times epochs: how far gradient steps went."""
        return self.epochs * (self.rates[0] + self.rates[1]) / 2

    def work(self, data: Interactions, rank: int) -> float:
        """Numbers that a call reads and writes, about: 10⁹ take a second or two."""
        return float(self.epochs) * len(data) * (rank + 1) if self.steps > 0 else 0.0

    def fits(
        self, loss: Squares, data: Interactions, rank: int, *, seed: int = 0, threads: int = 1
    ) -> Iterator[BiasedFactors]:
        """Trainings on ``data`` with the ridge of ``loss``, each from where the last one ended.

        Ratings are taken one after the other: ``threads`` change nothing.
        """
        from alteraser.solvers.kernels.rating_steps import rating_steps

        rng = np.random.default_rng(seed)
        P, Q = (rng.normal(self.mean, self.deviation, (rows, rank)) for rows in data.shape)
        b, c = (np.zeros(rows) for rows in data.shape)
        r = np.ones(len(data)) if data.target is None else data.target
        r = r - r.mean() if loss.centered and r.size else r
        ridge = loss.ridge
        rates = np.array(self.rates) if loss.centered else np.array([*self.rates[:2], 0.0, 0.0])
        ridges = np.array([ridge.users, ridge.items, ridge.user_biases, ridge.item_biases])
        while True:
            rating_steps(
                data.user_rows.astype(np.int64),
                data.indices.astype(np.int64),
                r.astype(np.float64),
                P,
                Q,
                b,
                c,
                rates,
                ridges,
                self.epochs,
            )
            yield BiasedFactors(P.copy(), Q.copy(), b.copy(), c.copy())
