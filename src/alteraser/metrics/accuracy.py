"""Accuracy of top-k lists on held-out interactions: Recall and NDCG, all items ranked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def hits(lists: Array, test_indptr: Array, test_indices: Array) -> npt.NDArray[np.bool_]:
    """Whether each listed item is a test item of its user; (users, K), False for padding.

    ``lists`` (users, K) holds item rows padded with −1; ``test_indptr`` (users + 1,) and ``test_indices`` are the
    test items of the same users in the same order.
    """
    lists, test_indptr, test_indices = np.asarray(lists), np.asarray(test_indptr), np.asarray(test_indices)
    if lists.ndim != 2 or test_indptr.shape != (lists.shape[0] + 1,):
        raise InvalidInput(
            f"lists have shape {lists.shape} and test_indptr {test_indptr.shape}: expected (users, K) and (users + 1,)"
        )
    width = np.int64(max(lists.max(initial=0), test_indices.max(initial=0)) + 1)
    owner = np.repeat(np.arange(lists.shape[0], dtype=np.int64), np.diff(test_indptr))
    wanted = np.sort(owner * width + test_indices)
    keys = np.arange(lists.shape[0], dtype=np.int64)[:, None] * width + lists
    place = np.minimum(np.searchsorted(wanted, keys), max(wanted.size - 1, 0))
    found = wanted[place] == keys if wanted.size else np.zeros(keys.shape, bool)
    return np.asarray(found & (lists >= 0))


def recall_at_k(lists: Array, test_indptr: Array, test_indices: Array, k: int) -> Float64:
    """Recall@k = hits in the first k / test items, per user (users,); NaN for a user without test items.

    >>> import numpy as np
    >>> recall_at_k(np.array([[4, 7, 1]]), np.array([0, 2]), np.array([7, 9]), 3).tolist()      # 1 hit of 2
    [0.5]
    """
    return _recall(hits(lists, test_indptr, test_indices), np.diff(test_indptr), _checked(k))


def ndcg_at_k(lists: Array, test_indptr: Array, test_indices: Array, k: int) -> Float64:
    """NDCG@k with binary gains, per user (users,); NaN for a user without test items.

        DCG = Σ_{i ≤ k} hit_i / log2(i + 1),      IDCG = Σ_{i ≤ min(k, n_test)} 1 / log2(i + 1)

    Rank 2 hits, two test items: (1/log2 3) / (1 + 1/log2 3) = 0.6309 / 1.6309 = 0.3869

    >>> import numpy as np
    >>> ndcg_at_k(np.array([[4, 7, 1]]), np.array([0, 2]), np.array([7, 9]), 3).round(4).tolist()
    [0.3869]
    """
    return _ndcg(hits(lists, test_indptr, test_indices), np.diff(test_indptr), _checked(k))


def accuracy(
    lists: Array, test_indptr: Array, test_indices: Array, ks: tuple[int, ...] = (10, 20, 50)
) -> dict[str, float]:
    """Means over the users with test items: ``recall@k`` and ``ndcg@k`` for every k, and ``users``, their number.

    >>> import numpy as np
    >>> accuracy(np.array([[4, 7], [1, 2]]), np.array([0, 1, 1]), np.array([4]), (2,))
    {'recall@2': 1.0, 'ndcg@2': 1.0, 'users': 1}
    """
    found, counts = hits(lists, test_indptr, test_indices), np.diff(test_indptr)
    answer: dict[str, float] = {}
    some = counts > 0
    for name, measure in (("recall", _recall), ("ndcg", _ndcg)):
        for k in ks:
            values = measure(found[some], counts[some], _checked(k))
            answer[f"{name}@{k}"] = float(values.mean()) if values.size else float("nan")
    return answer | {"users": int(some.sum())}


def _recall(found: Array, counts: Array, k: int) -> Float64:
    with np.errstate(invalid="ignore"):
        return np.where(counts > 0, found[:, :k].sum(axis=1) / np.maximum(counts, 1), np.nan)


def _ndcg(found: Array, counts: Array, k: int) -> Float64:
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[np.nan], np.cumsum(discounts)])[np.minimum(counts, k)]
    head = found[:, :k]
    return np.asarray((head * discounts[: head.shape[1]]).sum(axis=1) / ideal)


def _checked(k: int) -> int:
    if k < 1:
        raise InvalidInput(f"k={k}: expected at least 1")
    return k
