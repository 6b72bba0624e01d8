"""LightGCN as published, with a loss of sampled pairs, beside the one with a loss over all cells.

The number of passes is chosen on a tenth of the data, held out: training there goes on until its
NDCG@10 has not risen for ``PATIENCE`` passes. What is timed is that many passes over all the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from alteraser import metrics
from alteraser.bench.common import clocked
from alteraser.bench.neural.methods import SETTINGS
from alteraser.bench.paper.measure import PERSISTENCE
from alteraser.data.interactions import Interactions
from alteraser.neural.loss import Loss
from alteraser.neural.modules import LightGCN
from alteraser.neural.ranking import Ranker
from alteraser.neural.training import Training, train

PATIENCE, MOST = 20, 400
"""Passes without a better score after which to stop, and passes at most"""
WATCHED = 2000
"""Users whom what is held out is scored on"""


@dataclass(frozen=True)
class BesidePairs:
    """What training by AdamW on sampled pairs gives."""

    passes: int
    seconds: float
    """CPU seconds of training on all of the data"""
    ndcg: float
    agreement: float
    """RBO@10 of two trainings that differ in their seeds alone, over everybody"""


def watched(data: Interactions) -> tuple[Interactions, Interactions, np.ndarray]:
    """(what is trained on, a tenth held out of ``data``, rows of who is scored on it)."""
    fit, held = data.split(0.1, seed=1)
    able = np.flatnonzero((held.user_counts > 0) & (fit.user_counts > 0))
    who = np.random.default_rng(0).choice(able, min(WATCHED, able.size), replace=False)
    return fit, held, np.sort(who)


def pairwise(
    data: Interactions, test: Interactions, *, layers: int, factors: int, threads: int = 1
) -> BesidePairs:
    """Train LightGCN with BPR on ``data``, twice, and evaluate it on ``test``."""
    torch.set_num_threads(threads)
    setting = SETTINGS["lightgcn"]
    loss = Loss(regularization=setting.regularization, seed=0)
    fit, held, who = watched(data)

    def module(seed: int) -> LightGCN:
        return LightGCN(*data.shape, factors, layers=layers, seed=seed)

    def training(passes: int, seed: int) -> Training:
        return Training(
            learning_rate=setting.learning_rate,
            batch=setting.large_batch if len(data) >= 200_000 else setting.batch,
            max_epochs=passes,
            patience=PATIENCE,
            seed=seed,
        )

    def score(found: Any) -> float:
        return Ranker(found, fit).accuracy(who, held, fit, (10,))["ndcg@10"]

    passes = train(module(0), fit, loss, training(MOST, 0), score=score).best_epoch
    lists, seconds, ndcg = [], 0.0, 0.0
    everybody = np.flatnonzero(data.user_counts > 0)
    for seed in (1, 2):
        found = module(seed)
        _, seconds, _ = clocked(lambda: train(found, data, loss, training(passes, seed)))  # noqa: B023
        ranker = Ranker(found, data)
        ndcg = ranker.accuracy(everybody, test, data, (10,))["ndcg@10"]
        lists.append(ranker.top(everybody, k=10, seen=data)[0])
    agreement = metrics.rank_biased_overlap(lists[0], lists[1], p=PERSISTENCE, depth=10)
    return BesidePairs(passes, seconds, ndcg, float(np.mean(agreement)))
