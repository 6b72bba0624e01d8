"""Ways to run AdamW on LightGCN's sampled pairs, and what they are chosen on: a tenth of the data,
held out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alteraser.bench.neural.methods import LARGE
from alteraser.data.interactions import Interactions

WATCHED = 2000
"""Users whom what is held out is scored on"""
SMALLER = 8
"""Parts that a step of a large set is divided by on others"""


@dataclass(frozen=True)
class PairTrial:
    """How AdamW is run."""

    learning_rate: float
    regularization: float
    batch: int
    """Pairs of a step"""

    def __str__(self) -> str:
        return (
            f"learning rate {self.learning_rate:g}, λ = {self.regularization:g}, {self.batch} "
            "pairs a step"
        )


TRIALS = (
    PairTrial(0.005, 0.1, 32768),
    PairTrial(0.01, 0.001, 32768),
    PairTrial(0.02, 0.1, 32768),
    PairTrial(0.02, 0.01, 32768),
    PairTrial(0.02, 0.001, 32768),
    PairTrial(0.02, 0.01, 8192),
    PairTrial(0.05, 0.01, 131072),
)
"""What is tried on a large set"""


def trials_for(data: Interactions) -> tuple[PairTrial, ...]:
    """What is tried on ``data``: on a small set with steps of fewer pairs."""
    if len(data) >= LARGE:
        return TRIALS
    return tuple(replace(trial, batch=trial.batch // SMALLER) for trial in TRIALS)


def watched(data: Interactions) -> tuple[Interactions, Interactions, np.ndarray]:
    """(what is trained on, a tenth held out of ``data``, rows of who is scored on it)."""
    fit, held = data.split(0.1, seed=1)
    able = np.flatnonzero((held.user_counts > 0) & (fit.user_counts > 0))
    who = np.random.default_rng(0).choice(able, min(WATCHED, able.size), replace=False)
    return fit, held, np.sort(who)
