"""How much of the data do factors of BPR not know? Asked of models whose training had hardly begun.

After few epochs a gradient is nearly whole, and most of what ranks is popularity, which other
users' data have as well. What tells is users' own tastes,

    T(Θ; D) = share of the pairs (u, i) ∈ D with (p_u − p̄)·(q_i − q_j) > 0,   j drawn as in
              training, u has not met it, p̄ the mean over users with interactions

½ where rows are a stranger's, however far training went. How much more it should be a training of
our own on D says, of as many epochs:

    strange = (T(Θ_ours; D) − T(Θ; D)) / (T(Θ_ours; D) − ½)

is about the share of pairs that the model was not trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters.pair_trainer import PairTrainer
from alteraser.adapters.selfcheck import Measure
from alteraser.data.interactions import Interactions
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.rowloss import Pairwise

Array = npt.NDArray[Any]

STRANGE = 0.1
"""Share of strange pairs up to which data count as the model's own; the spread over users is added
to it."""

SPREAD = 3.0
"""Standard errors that a difference between two trainings may have."""

TELLING = 6.0
"""Standard errors that our training's T has to be above ½ for it to tell anything."""

AFFORDABLE = 1.5e9
"""Work of a training of our own (``PairTrainer.work``) up to which it is made."""

PAIRS, DRAWS = 200_000, 2
"""Pairs that are looked at, evenly spread, and negatives of each."""


@dataclass(frozen=True)
class Tastes:
    """T, user by user."""

    above: Array
    """(m,) comparisons that a user's own items won"""
    looked: Array
    """(m,) comparisons"""

    @property
    def share(self) -> float:
        """T; ½ where there is nothing to compare."""
        total = float(self.looked.sum())
        return float(self.above.sum()) / total if total else 0.5

    def error(self, other: Tastes | None = None) -> float:
        """Standard error of T, or of its difference to the one of ``other`` on the same draws:
        users are independent, their comparisons are not.
        """
        total = max(float(self.looked.sum()), 1.0)
        above = self.above if other is None else self.above - other.above
        rest = above - self.looked * float(above.sum()) / total
        return float(np.sqrt(rest @ rest)) / total


@dataclass(frozen=True)
class Strange:
    """What a comparison with a training of our own found."""

    value: float
    """Share of the data that the factors do not know; below 0 where they know them better"""
    limit: float
    told: bool
    """Whether so short a training on these data shows anything at all"""
    trainer: PairTrainer

    def measure(self) -> Measure:
        """For the check; passed where nothing can be told."""
        meaning = (
            "share of the data that the model does not know: how much less its users' own tastes "
            f"tell their items from others than in a training of ours of {self.trainer.epochs} "
            "epochs on these data; 1 for other data"
        )
        return Measure(
            "strange data",
            self.value,
            self.limit,
            not self.told or self.value <= self.limit,
            meaning,
        )

    @property
    def blind(self) -> str:
        """What the comparison does not see."""
        if not self.told:
            return (
                f"whether these are the data: {self.trainer.epochs} epochs on them, a training of "
                "ours, leave no taste that could be told from another's"
            )
        return (
            f"less than about {self.limit:.0%} of the interactions being others', too many or "
            "missing: two trainings of so few epochs differ by that"
        )


def strange(
    factors: BiasedFactors, data: Interactions, loss: Pairwise, trainer: PairTrainer, *, seed: int
) -> Strange | None:
    """The comparison; None where a training of our own would take too long."""
    rank = factors.layout.rank
    if not 0 < trainer.work(data, rank) <= AFFORDABLE:
        return None
    theirs = tastes(factors, data, loss, seed=seed)
    ours = tastes(trainer.run(loss, data, rank, seed=seed), data, loss, seed=seed)
    more = ours.share - 0.5
    told = more > TELLING * ours.error()
    scale = more if told else 1.0
    value = (ours.share - theirs.share) / scale
    return Strange(value, STRANGE + SPREAD * ours.error(theirs) / scale, told, trainer)


def tastes(factors: BiasedFactors, data: Interactions, loss: Pairwise, *, seed: int = 0) -> Tastes:
    """T of ``factors`` on ``data``. The same ``seed`` compares the same cells."""
    rng = np.random.default_rng(seed)
    pairs = np.arange(len(data))[:: max(1, len(data) // PAIRS)]
    users, items = data.user_rows[pairs].astype(np.int64), data.indices[pairs].astype(np.int64)
    own = np.asarray(factors.users, np.float64)
    own = own - own[data.user_counts > 0].mean(axis=0) if len(data) else own
    taste = BiasedFactors(own, np.asarray(factors.items, np.float64))
    mine = taste.scores(users, items)
    above, looked = np.zeros(data.shape[0]), np.zeros(data.shape[0])
    drawn = data.indices if loss.popular else np.arange(data.shape[1])
    for _ in range(DRAWS if pairs.size else 0):
        others = drawn[rng.integers(0, drawn.size, users.size)].astype(np.int64)
        new = data.locate(users, others) < 0
        theirs = taste.scores(users, others)
        won = (mine > theirs) + 0.5 * (mine == theirs)
        above += np.bincount(users[new], weights=won[new], minlength=above.size)
        looked += np.bincount(users[new], minlength=above.size)
    return Tastes(above, looked)
