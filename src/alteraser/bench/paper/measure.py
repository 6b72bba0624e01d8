"""What is measured on a model of a scene (paper §5.1): consistency, accuracy, thoroughness."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser import metrics
from alteraser.bench.paper.scene import Scene
from alteraser.data.interactions import Interactions
from alteraser.models import Factors, Objective
from alteraser.models.factorization.model import Model, TrainedOn

Array = npt.NDArray[Any]
Metrics = dict[str, float]

DEPTHS = (10, 20, 50)
OTHERS = 512
"""Other users whose lists are compared."""
WATCHED = 2048
"""Users that early stopping is scored on."""
PERSISTENCE = 0.9
"""p of the extrapolated RBO; the paper does not name its own."""


@dataclass(frozen=True)
class Lists:
    """Ranked item rows per user, −1 behind the end."""

    unseen: Array
    """(users, 50): items that are not in the remaining data"""
    seen: Array
    """(users, 50): the user's own remaining training items"""
    others: Array
    """(OTHERS, 50): unseen items of users who asked for nothing"""


@dataclass(frozen=True)
class Ruler:
    """Measures models of one scene."""

    scene: Scene
    objective: Objective
    logistic: bool = False
    """Scores are logits: re-predict is the mean of their probabilities."""

    @cached_property
    def _others(self) -> Array:
        others = self.scene.others
        rng = np.random.default_rng([self.scene.run, 77])
        return np.sort(rng.choice(others, min(OTHERS, others.size), replace=False))

    @cached_property
    def _watched(self) -> Array:
        able = np.flatnonzero(
            (self.scene.watched.user_counts > 0) & (self.scene.after.user_counts > 0)
        )
        rng = np.random.default_rng([self.scene.run, 78])
        return np.sort(rng.choice(able, min(WATCHED, able.size), replace=False))

    def stopping_score(self, factors: Factors) -> float:
        """NDCG@10 on the cut that early stopping looks at, of at most WATCHED users."""
        return self._accuracy(factors, self._watched, self.scene.watched, (10,))["ndcg@10"]

    def re_predict(self, factors: Factors) -> float:
        """Mean score of the forget set."""
        cells = self.scene.forgotten.user_rows, self.scene.forgotten.indices
        if not self.logistic:
            return float(metrics.re_predict(factors, *cells))
        return float(np.mean(1.0 / (1.0 + np.exp(-factors.scores(*cells)))))

    def lists(self, factors: Factors) -> Lists:
        """The lists that are compared with another model's."""
        data = self.scene.after
        return Lists(
            _ranked(factors, self.scene.users, data, seen=False),
            _ranked(factors, self.scene.users, data, seen=True),
            _ranked(factors, self._others, data, seen=False),
        )

    def agreement(self, lists: Lists, reference: Lists, suffix: str = "") -> Metrics:
        """rbo@k of unseen items, rbo@10/train of own items, rbo@10/others."""
        answer = {f"rbo@{k}{suffix}": _rbo(lists.unseen, reference.unseen, k) for k in DEPTHS}
        if not suffix:
            answer["rbo@10/train"] = _rbo(lists.seen, reference.seen, 10)
            answer["rbo@10/others"] = _rbo(lists.others, reference.others, 10)
        return answer

    def accuracy(self, factors: Factors) -> Metrics:
        """Recall and NDCG of the forgetting users on test items, and of all others with the suffix
        ``/others``.
        """
        mine = self._accuracy(factors, self.scene.users, self.scene.test, DEPTHS)
        rest = self._accuracy(factors, self.scene.others, self.scene.test, DEPTHS)
        return mine | {f"{name}/others": value for name, value in rest.items()}

    def glance(self, factors: Factors) -> Metrics:
        """What is cheap enough to look at after every pass."""
        mine = self._accuracy(factors, self.scene.users, self.scene.test, (10,))
        return {
            "re_predict": self.re_predict(factors),
            "ndcg@10": mine.get("ndcg@10", float("nan")),
        }

    def _accuracy(
        self, factors: Factors, rows: Array, test: Interactions, depths: tuple[int, ...]
    ) -> Metrics:
        rows = rows[test.user_counts[rows] > 0]
        if rows.size == 0:
            return {}
        held = test.keep(np.isin(test.user_rows, rows))
        indptr = np.concatenate([[0], np.cumsum(test.user_counts[rows])])
        lists, _ = self._model(factors).top_items(rows, k=max(depths), seen=self.scene.after)
        found = metrics.accuracy(lists, indptr, held.indices, depths)
        return {name: float(value) for name, value in found.items() if name != "users"}

    def _model(self, factors: Factors) -> Model:
        data = self.scene.after
        return Model(
            factors,
            self.objective,
            users=data.users,
            items=data.items,
            trained_on=TrainedOn("", 0, 0, 0),
        )


def _ranked(factors: Factors, rows: Array, data: Interactions, *, seen: bool) -> Array:
    """The best 50 of the items that are (or are not) the user's own; ties by row."""
    scores = factors.users[rows].astype(np.float64) @ factors.scaled_items().astype(np.float64).T
    own = np.zeros(scores.shape, bool)
    for place, row in enumerate(rows):
        own[place, data.indices[data.indptr[row] : data.indptr[row + 1]]] = True
    scores[own != seen] = -np.inf
    depth = min(max(DEPTHS), scores.shape[1])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    return np.where(np.isfinite(np.take_along_axis(scores, order, axis=1)), order, -1)


def _rbo(first: Array, second: Array, depth: int) -> float:
    filled = (first[:, 0] >= 0) & (second[:, 0] >= 0)
    if not filled.any():
        return float("nan")
    return float(
        np.mean(
            metrics.rank_biased_overlap(first[filled], second[filled], p=PERSISTENCE, depth=depth)
        )
    )
