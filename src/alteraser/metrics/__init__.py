"""What is measured: agreement of lists, accuracy, distance of models, and what is left of the
forgotten.

- ``rank_biased_overlap``: do two models recommend the same, the top counting most
- ``recall_at_k``, ``ndcg_at_k``, ``accuracy``: are held-out interactions recommended
- ``mrr_at_k``, ``hit_ratio_at_k``: where the first of them is, and whether there is one
- ``model_distance``, ``relative_model_distance``, ``score_distance``, ``influence_left``: are two
  models the same
- ``effect_left``: how much of a deletion's effect is missing in a model that was no optimum before
- ``re_predict``, ``gap_left``: what is left of the forget set's score and of its loss
"""

from alteraser.metrics.accuracy import accuracy, hits, ndcg_at_k, recall_at_k
from alteraser.metrics.distance import (
    FactorsLike,
    influence_left,
    model_distance,
    relative_model_distance,
    score_distance,
)
from alteraser.metrics.effect import effect_left
from alteraser.metrics.forgetting import gap_left, re_predict
from alteraser.metrics.ranks import hit_ratio_at_k, mrr_at_k
from alteraser.metrics.rbo import rank_biased_overlap

__all__ = [
    "FactorsLike",
    "accuracy",
    "effect_left",
    "gap_left",
    "hit_ratio_at_k",
    "hits",
    "influence_left",
    "model_distance",
    "mrr_at_k",
    "ndcg_at_k",
    "rank_biased_overlap",
    "re_predict",
    "recall_at_k",
    "relative_model_distance",
    "score_distance",
]
