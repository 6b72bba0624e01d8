"""LightGCN with a loss of sampled pairs, for as many CPU seconds as the loss over all cells took.

The learning rate, λ and the pairs of a step are chosen on a tenth of the data, held out: all of
the trials are given a share of the seconds, the best of them a larger one. Then the best is trained
on all of the data and scored on the test at shares of its time, none of which chooses anything.
Only training counts, scoring does not; a pass that began in time is finished.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from alteraser.bench.trials import PairTrial, trials_for, watched
from alteraser.data.interactions import Interactions
from alteraser.neural.loss import Loss
from alteraser.neural.modules import LightGCN, Network
from alteraser.neural.ranking import Ranker
from alteraser.neural.training import Training, train

ROUNDS = ((1 / 16, 2), (1 / 4, 1))
"""(share of the seconds that everything left gets, how many go on from there)"""
MARKS = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of the seconds at which the chosen one is scored"""


@dataclass(frozen=True)
class Mark:
    """Where training was when it was scored."""

    share: float
    passes: int
    seconds: float
    """CPU seconds of training up to here"""
    ndcg: float


@dataclass
class Budget:
    """Ends a run of ``train`` when its CPU seconds are used, and scores it on the way.

    It is what ``on_epoch`` is called with; its own work is left out of the seconds.
    """

    seconds: float
    shares: Sequence[float]
    """Of the seconds, rising, the last one 1: when to score"""
    score: Callable[[], float]
    clock: Callable[[], float] = time.process_time
    marks: list[Mark] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._begun = self.clock()

    def __call__(self, passes: int, _: float) -> bool:
        """Whether time is up after so many passes."""
        used = self.clock() - self._begun
        due = [x for x in self.shares[len(self.marks) :] if used >= x * self.seconds]
        if due:
            ndcg = self.score()
            self.marks += [Mark(share, passes, used, ndcg) for share in due]
            self._begun = self.clock() - used
        return len(self.marks) == len(self.shares)


@dataclass(frozen=True)
class EqualTime:
    """What training by AdamW on sampled pairs gives in so many seconds."""

    tried: dict[PairTrial, tuple[Mark, ...]]
    """Of every trial, what it had on the held-out tenth after each round it was in"""
    chosen: PairTrial
    marks: tuple[Mark, ...]
    """Of the chosen one, on the test"""


def equal_time(
    data: Interactions,
    test: Interactions,
    seconds: float,
    *,
    layers: int,
    factors: int,
    trials: Sequence[PairTrial] | None = None,
    threads: int = 1,
) -> EqualTime:
    """Train LightGCN with BPR on ``data`` for ``seconds`` of CPU time, and evaluate it on
    ``test``.
    """
    torch.set_num_threads(threads)

    def run(
        trial: PairTrial,
        seen: Interactions,
        asked: Interactions,
        rows: np.ndarray,
        most: float,
        shares: Sequence[float],
    ) -> tuple[Mark, ...]:
        module: Network = LightGCN(*data.shape, factors, layers=layers, seed=1)
        loss = Loss(regularization=trial.regularization, seed=0)
        endless = Training(
            learning_rate=trial.learning_rate,
            batch=trial.batch,
            max_epochs=1 << 30,
            seed=1,
        )

        def score() -> float:
            return Ranker(module, seen).accuracy(rows, asked, seen, (10,))["ndcg@10"]

        budget = Budget(most, shares, score)
        train(module, seen, loss, endless, on_epoch=budget)
        return tuple(budget.marks)

    fit, held, who = watched(data)
    left = list(trials_for(data) if trials is None else trials)
    tried: dict[PairTrial, tuple[Mark, ...]] = dict.fromkeys(left, ())
    for share, going_on in ROUNDS:
        for trial in left:
            tried[trial] += run(trial, fit, held, who, share * seconds, (1.0,))
        left = sorted(left, key=lambda x: -tried[x][-1].ndcg)[:going_on]
    everybody = np.flatnonzero(data.user_counts > 0)
    return EqualTime(tried, left[0], run(left[0], data, test, everybody, seconds, MARKS))
