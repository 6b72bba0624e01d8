"""LightGCN as published, with a loss of sampled pairs, beside the one with a loss over all cells.

How AdamW is run and for how many passes is chosen on a tenth of the data, held out: there each of
the trials is trained until its NDCG@10 has not risen for ``PATIENCE`` passes. What is timed is that
many passes of the best over all the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from alteraser import metrics
from alteraser.bench.common import clocked
from alteraser.bench.paper.measure import PERSISTENCE
from alteraser.bench.trials import PairTrial, trials_for, watched
from alteraser.data.interactions import Interactions
from alteraser.neural.loss import Loss
from alteraser.neural.modules import LightGCN
from alteraser.neural.ranking import Ranker
from alteraser.neural.training import Trained, Training, train

PATIENCE, MOST = 20, 400
"""Passes without a better score after which to stop, and passes at most"""


@dataclass(frozen=True)
class BesidePairs:
    """What training by AdamW on sampled pairs gives."""

    chosen: PairTrial
    passes: int
    seconds: float
    """CPU seconds of training on all of the data"""
    ndcg: float
    agreement: float
    """RBO@10 of two trainings that differ in their seeds alone, over everybody"""


def pairwise(
    data: Interactions,
    test: Interactions,
    *,
    layers: int,
    factors: int,
    trials: Sequence[PairTrial] | None = None,
    threads: int = 1,
) -> BesidePairs:
    """Train LightGCN with BPR on ``data``, twice, and evaluate it on ``test``."""
    torch.set_num_threads(threads)
    fit, held, who = watched(data)

    def run(
        trial: PairTrial, of: Interactions, passes: int, seed: int, score: Any
    ) -> tuple[LightGCN, Trained]:
        module = LightGCN(*data.shape, factors, layers=layers, seed=seed)
        loss = Loss(regularization=trial.regularization, seed=0)
        how = Training(
            learning_rate=trial.learning_rate,
            batch=trial.batch,
            max_epochs=passes,
            patience=PATIENCE,
            seed=seed,
        )
        return module, train(module, of, loss, how, score=score)

    def score(found: Any) -> float:
        return Ranker(found, fit).accuracy(who, held, fit, (10,))["ndcg@10"]

    chances = trials_for(data) if trials is None else trials
    tried = {trial: run(trial, fit, MOST, 0, score)[1] for trial in chances}
    best = max(tried, key=lambda trial: max(tried[trial].scores))
    passes = tried[best].best_epoch
    lists, seconds, ndcg = [], 0.0, 0.0
    everybody = np.flatnonzero(data.user_counts > 0)
    for seed in (1, 2):
        (module, _), seconds, _ = clocked(partial(run, best, data, passes, seed, None))
        ranker = Ranker(module, data)
        ndcg = ranker.accuracy(everybody, test, data, (10,))["ndcg@10"]
        lists.append(ranker.top(everybody, k=10, seen=data)[0])
    agreement = metrics.rank_biased_overlap(lists[0], lists[1], p=PERSISTENCE, depth=10)
    return BesidePairs(best, passes, seconds, ndcg, float(np.mean(agreement)))
