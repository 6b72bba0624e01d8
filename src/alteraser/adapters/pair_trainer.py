"""BPR by plain stochastic gradient steps, as implicit and Cornac train it, on data of one's own.

Such a training says what a model of these data is like after so many epochs. The file's own model
it cannot give again: which pairs were drawn, and in what order, no file tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.rowloss import Pairwise

Array = npt.NDArray[Any]

CELLS = 2**28
"""Cells whose bits are kept, one each: 32 MiB."""


@dataclass(frozen=True)
class PairTrainer:
    """Steps of one ``rate`` on |D| pairs an epoch, from uniform numbers of up to 1 / (2 d)."""

    rate: float
    epochs: int

    @classmethod
    def of(cls, rate: Any, epochs: Any) -> PairTrainer | None:
        """None where a container lacks either, or has a zero."""
        return cls(float(rate), int(epochs)) if rate and epochs else None

    @property
    def steps(self) -> float:
        """Rate times epochs: how far gradient steps went."""
        return self.rate * self.epochs

    def work(self, data: Interactions, rank: int) -> float:
        """Numbers that a call reads and writes, about: 10⁹ take a second or two."""
        return float(self.epochs) * len(data) * (rank + 1)

    def fits(
        self, loss: Pairwise, data: Interactions, rank: int, *, seed: int = 0, threads: int = 1
    ) -> Iterator[BiasedFactors]:
        """Trainings on ``data`` with the ridge and the negatives of ``loss``, in float32, each from
        where the last one ended.

        A negative that its user has met is skipped, or kept where the loss keeps them. Pairs are
        taken one after the other: ``threads`` change nothing.
        """
        from alteraser.solvers.kernels.pair_steps import pair_steps

        rng = np.random.default_rng(seed)
        P, Q = ((rng.random((rows, rank + 1), np.float32) - 0.5) / rank for rows in data.shape)
        P[data.user_counts == 0], Q[data.item_counts == 0] = 0.0, 0.0
        P[:, rank] = 1.0
        items = data.indices.astype(np.int64)
        negatives = items if loss.popular else np.arange(data.shape[1])
        bits = _bits(data) if data.shape[0] * data.shape[1] <= CELLS else np.empty(0, np.uint8)
        while True:
            pair_steps(
                bits,
                data.indptr.astype(np.int64),
                data.user_rows.astype(np.int64),
                items,
                negatives,
                P,
                Q,
                np.float32(self.rate),
                np.float32(loss.ridge.users),
                loss.rejected == "keep",
                seed,
                self.epochs * len(data) if negatives.size else 0,
            )
            users, both = P[:, :rank].copy(), Q.copy()
            yield BiasedFactors(users, both[:, :rank], item_biases=both[:, rank])
            seed += 1


def _bits(data: Interactions) -> Array:
    """Which cells have interactions, in row-major order, the first of eight in the lowest bit."""
    cells = data.user_rows.astype(np.int64) * data.shape[1] + data.indices
    bits = np.zeros((data.shape[0] * data.shape[1] + 7) // 8, np.uint8)
    np.add.at(bits, cells >> 3, np.left_shift(1, cells & 7).astype(np.uint8))
    return bits
