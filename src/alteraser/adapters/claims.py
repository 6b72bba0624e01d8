"""Does a model know whose the data are, as well as it says itself? Asked of models that no training
of ours can be put beside.

Two people and two things, each having one of them: (u, i) and (w, j) are interactions, (u, j) and
(w, i) are none. With s the log odds of an interaction that the model scores by,

    Δ = s_ui − s_uj − s_wi + s_wj,      T = share with Δ > 0,      C = mean 1 / (1 + e^−|Δ|)

Popularity and how busy people are cancel in Δ. Where interactions come as the odds say, independent
given them, Δ > 0 has the chance 1 / (1 + e^−Δ) among a pair and its exchange (Rasch's conditional
likelihood): C is the T that the model claims. A training that stops early knows more than it claims
(T > C: scores have not grown yet), a long one on these data as much or more. On data of others T is
½, whatever it claims. So nobody is accused who knows most of what is claimed, and a model that
claims nothing yet is not accused of anything.

The random numbers that training began from claim something as well, and know nothing: σ being the
standard deviation of their Δ, what is claimed beyond them is taken to be

    C₊ − ½ = √((C − ½)² − (C₀ − ½)²),      C₀ = E 1 / (1 + e^−|σ z|),  z normal
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters.selfcheck import Measure, SelfCheck
from alteraser.data.interactions import Interactions

Array = npt.NDArray[Any]

DRAWS = 50_000

PART = 0.75
"""Share of what a model claims to tell that it has to tell. Of RecBole's BPR, ENMF and NeuMF of 1
to 300 epochs, once they claimed anything, it was 1 and more on the very data."""

SPREAD = 3.0
"""Standard errors that are left to it."""

FAR = 1.5
"""RecBole's BPR of generated data, by default, had T = 0.81 at 0.6, and 0.97 at 1.55."""

NAME = "whose is which"


@dataclass(frozen=True)
class Told:
    """What was found, of ``share`` = T."""

    share: float
    claimed: float
    """C₊"""
    error: float
    """Standard error of T: both people of a pair occur in others"""
    far: bool = False
    """Whether training went so far that on its own data T is above ½, whatever is claimed"""

    @classmethod
    def of(
        cls,
        odds: Callable[[Array, Array], Array],
        data: Interactions,
        *,
        start: float = 0.0,
        far: bool = False,
        seed: int = 0,
    ) -> Told:
        """On DRAWS pairs of interactions, less those that are no two ways.

        ``odds``: user rows, item rows → log odds, up to what user and item each add; ``start``: σ.
        """
        rng = np.random.default_rng(seed)
        one, two = rng.integers(0, max(len(data), 1), (2, DRAWS if len(data) else 0))
        (u, i), (w, j) = (
            (data.user_rows[at].astype(np.int64), data.indices[at].astype(np.int64))
            for at in (one, two)
        )
        either = (data.locate(u, j) < 0) & (data.locate(w, i) < 0)
        u, i, w, j = (x[either] for x in (u, i, w, j))
        if not u.size:
            return cls(0.5, 0.5, 0.0)
        delta = (odds(u, i) - odds(u, j) - odds(w, i) + odds(w, j)).astype(np.float64)
        right = (delta > 0) + 0.5 * (delta == 0)
        share = float(right.mean())
        sums = np.bincount(u, right - share)
        error = float(np.sqrt(2 * (sums @ sums))) / u.size
        z = rng.standard_normal(DRAWS)
        claimed, began = _sure(delta) - 0.5, _sure(start * z) - 0.5
        return cls(share, 0.5 + float(np.sqrt(max(claimed**2 - began**2, 0.0))), error, far)

    @property
    def limit(self) -> float:
        """T at least."""
        left = SPREAD * self.error
        least = 0.5 + PART * (self.claimed - 0.5) - left
        return max(least, 0.5 + left) if self.far else least

    @property
    def measure(self) -> Measure:
        """T against what is claimed."""
        meaning = (
            "of two people and two things, each having one of them: share in which the scores say "
            f"who has which; half by chance, and the scores claim {self.claimed:.2g}"
        )
        return Measure(NAME, self.share, self.limit, self.share >= self.limit, meaning)

    @property
    def blind(self) -> str:
        """What it does not see."""
        more = self.share - 0.5
        if more <= SPREAD * self.error:
            return (
                "whether these are the data: the model does not tell whose they are, nor claims "
                "to, as after a few epochs"
            )
        if self.limit <= 0.5:
            return (
                "whether a part of the users, even a large one, has the interactions of others: "
                "the model tells whose is which, but claims little, as after a few epochs"
            )
        unseen = max(1 - (self.limit - 0.5) / more, 0.0)
        return f"less than about {unseen:.0%} of the users having the interactions of others"


def judged(found: SelfCheck, told: Told, also: tuple[str, ...] = ()) -> SelfCheck:
    """``found``, where measures that an early end of training explains accuse nobody: the model's
    own claim does, and those called ``also``.
    """
    if not told.measure.passed:
        return replace(found, measures=(*found.measures, told.measure))
    kept = tuple(m for m in found.measures if m.passed or m.name in also)
    blind = found.blind if found.blind and len(kept) == len(found.measures) else told.blind
    return replace(found, measures=(*kept, told.measure), blind=blind)


@dataclass(frozen=True)
class AdamSteps:
    """Training by Adam of tables whose product is the score, from PyTorch's ``xavier_normal_``."""

    rate: float = 0.0
    batch: int = 1
    epochs: int = 0
    """0: nobody knows"""
    decay: float = 0.0
    """Of weights, as Adam adds it to the gradient"""

    def start(self, data: Interactions, rank: int) -> float:
        """σ"""
        users, items = (rank + size for size in data.shape)
        return 4 * float(np.sqrt(rank / (users * items)))

    def far(self, data: Interactions, rank: int) -> bool:
        """Whether every number could have gone FAR times what it was in the beginning: a step is
        the rate, about, however small the gradient. Not where the decay outweighs what a row gets
        of the data, half of its share of the samples, and tastes go as they come.
        """
        if 2 * self.decay * max(data.shape) > 1:
            return False
        began = float(np.sqrt(2 / (rank + min(data.shape))))
        return self.rate * self.epochs * -(-len(data) // self.batch) >= FAR * began


def _sure(delta: Array) -> float:
    """C"""
    return float(np.mean(1 / (1 + np.exp(-np.abs(delta)))))
