"""Logistic matrix factorization by AdaGrad steps on whole rows, as implicit trains it, on data of
one's own.

As of ``pair_trainer``: it says what a model of these data is like, and is not the file's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.rowloss import Logistic
from alteraser.runtime.workers import run

Array = npt.NDArray[Any]

BLOCK = 64
"""Rows that a worker takes at once."""


@dataclass(frozen=True)
class LogisticTrainer:
    """Epochs of one step of every user, then of every item, from normal random numbers."""

    rate: float
    epochs: int

    @classmethod
    def of(cls, rate: Any, epochs: Any) -> LogisticTrainer | None:
        """None where a container lacks either, or has a zero."""
        return cls(float(rate), int(epochs)) if rate and epochs else None

    def work(self, data: Interactions, rank: int) -> float:
        """Numbers that a call reads and writes, about: 10⁹ take a second or less."""
        width = rank + 2
        return float(self.epochs) * (2 * len(data) + sum(data.shape) * width) * width

    def fits(
        self, loss: Logistic, data: Interactions, rank: int, *, seed: int = 0, threads: int = 1
    ) -> Iterator[BiasedFactors]:
        """Trainings on ``data`` with the ridge and the negatives of ``loss``, in float32, each from
        where the last one ended, with sums of squares of its own.

        Rows draw from seeds of their own: ``threads`` change nothing.
        """
        from alteraser.solvers.kernels.logistic_steps import logistic_steps

        rng = np.random.default_rng(seed)
        r = np.ones(len(data)) if data.target is None else data.target
        view, weight = data.by_item, r.astype(np.float32)
        sides = (
            (data.indptr, data.indices, weight),
            (view.indptr, view.indices, weight[view.order]),
        )
        both = [rng.standard_normal((rows, rank + 2), np.float32) for rows in data.shape]
        # [p, 1, b] meets [q, c, 1]
        ones = (rank, rank + 1)
        for x, one, counts in zip(both, ones, (data.user_counts, data.item_counts), strict=True):
            x[counts == 0] = 0.0
            x[:, one] = 1.0
        hyper = tuple(map(np.float32, (self.rate, loss.ridge.users, loss.negatives)))
        cuts = [range(BLOCK, len(x), BLOCK) for x in both]
        blocks = [np.split(np.arange(len(x)), cut) for x, cut in zip(both, cuts, strict=True)]
        while True:
            squares = [np.zeros_like(x) for x in both]
            for half in range(2 * self.epochs):
                side = half % 2
                step = partial(
                    _step,
                    logistic_steps,
                    sides[side],
                    (both[side], both[1 - side], squares[side]),
                    (ones[side], hyper, seed),
                )
                run(step, blocks[side] if threads > 1 else [np.arange(len(both[side]))], threads)
                seed += 1
            P, Q = (x.copy() for x in both)
            yield BiasedFactors(P[:, :rank], Q[:, :rank], P[:, rank + 1], Q[:, rank])


def _step(kernel: Any, side: Any, factors: Any, how: Any, rows: Array) -> None:
    """``kernel`` on ``rows``, which workers hand out."""
    kernel(rows, *side, *factors, *how)
