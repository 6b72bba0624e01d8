"""Accuracy of top-k lists on held-out interactions: Recall and NDCG, all items ranked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput
from alteraser.metrics._lists import depth_of, ranked_lists

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def hits(lists: Array, test_indptr: Array, test_indices: Array) -> npt.NDArray[np.bool_]:
    """Whether each listed item is a test item of its user.

    Both sides become keys user · width + item, and the listed ones are looked up in the sorted
    wanted ones: O((users · K + tests) log tests), no loop over users.

    Args:
        lists: (users, K) item rows, best first, padded at the end with −1.
        test_indptr: (users + 1,) where each user's test items begin in ``test_indices``, as in CSR.
        test_indices: (tests,) item rows, those of one user distinct.

    Returns:
        (users, K) booleans, False for padding.

    Raises:
        InvalidInput: lists that are not ranked lists, an indptr that does not fit lists and
            indices, a test item below 0 or twice for one user.

    >>> import numpy as np
    >>> # wanted: 7 and 9
    >>> hits(np.array([[4, 7], [7, -1]]), np.array([0, 1, 2]), np.array([7, 9])).tolist()
    [[False, True], [False, False]]
    """
    lists = ranked_lists("lists", lists)
    test_indptr, test_indices = _checked_tests(lists.shape[0], test_indptr, test_indices)
    width = np.int64(max(lists.max(initial=0), test_indices.max(initial=0)) + 1)
    users = np.arange(lists.shape[0], dtype=np.int64)
    wanted = np.sort(np.repeat(users, np.diff(test_indptr)) * width + test_indices)
    twice = wanted[1:] == wanted[:-1]
    if twice.any():
        user, item = divmod(int(wanted[1:][twice][0]), int(width))
        raise InvalidInput(
            f"test_indices holds item {item} twice for user {user}, expected distinct items: drop "
            "the repetition"
        )
    if wanted.size == 0:
        return np.zeros(lists.shape, np.bool_)
    keys = users[:, None] * width + lists
    place = np.minimum(np.searchsorted(wanted, keys), wanted.size - 1)
    return np.asarray((wanted[place] == keys) & (lists >= 0))


def recall_at_k(lists: Array, test_indptr: Array, test_indices: Array, k: int) -> Float64:
    """Recall@k = hits among the first k / test items, per user.

    Divided by all test items, so a user with more than k of them cannot reach 1 (Liu et al., RecSys
    2022, §5.1). A list shorter than k is judged as it is.

    Args:
        lists: (users, K) item rows, best first, padded at the end with −1.
        test_indptr: (users + 1,) where each user's test items begin in ``test_indices``, as in CSR.
        test_indices: (tests,) item rows.
        k: ranks that count, at least 1.

    Returns:
        (users,) values in [0, 1]; NaN for a user without test items, to be left out by
        ``np.nanmean``.

    Raises:
        InvalidInput: as ``hits``, and k below 1.

    >>> import numpy as np
    >>> # 1 hit of 2
    >>> recall_at_k(np.array([[4, 7, 1]]), np.array([0, 2]), np.array([7, 9]), 3).tolist()
    [0.5]
    """
    return _recall(hits(lists, test_indptr, test_indices), np.diff(test_indptr), depth_of("k", k))


def ndcg_at_k(lists: Array, test_indptr: Array, test_indices: Array, k: int) -> Float64:
    """NDCG@k = DCG / IDCG with binary gains, per user (Järvelin & Kekäläinen, ACM TOIS 2002).

        DCG = Σ_{i ≤ k} hit_i / log2(i + 1),      IDCG = Σ_{i ≤ min(k, n_test)} 1 / log2(i + 1)

    Args:
        lists: (users, K) item rows, best first, padded at the end with −1.
        test_indptr: (users + 1,) where each user's test items begin in ``test_indices``, as in CSR.
        test_indices: (tests,) item rows.
        k: ranks that count, at least 1.

    Returns:
        (users,) values in [0, 1]; NaN for a user without test items, to be left out by
        ``np.nanmean``.

    Raises:
        InvalidInput: as ``hits``, and k below 1.

    Rank 2 hits, two test items: (1/log2 3) / (1/log2 2 + 1/log2 3) = 0.6309 / 1.6309 = 0.3869

    >>> import numpy as np
    >>> ndcg_at_k(np.array([[4, 7, 1]]), np.array([0, 2]), np.array([7, 9]), 3).round(4).tolist()
    [0.3869]
    """
    return _ndcg(hits(lists, test_indptr, test_indices), np.diff(test_indptr), depth_of("k", k))


def accuracy(
    lists: Array, test_indptr: Array, test_indices: Array, ks: Iterable[int] = (10, 20, 50)
) -> dict[str, float]:
    """Means over the users with test items: ``recall@k`` and ``ndcg@k`` for every k, and ``users``,
    their number.

    The hits are looked up once for all k. Arguments and errors are those of ``recall_at_k`` and
    ``ndcg_at_k``; where no user has test items the means are NaN and ``users`` is 0.

    The first user's only test item is at rank 1, the second user has none and is left out:

    >>> import numpy as np
    >>> accuracy(np.array([[4, 7], [1, 2]]), np.array([0, 1, 1]), np.array([4]), (2,))
    {'recall@2': 1.0, 'ndcg@2': 1.0, 'users': 1}
    """
    depths = [depth_of("ks", k) for k in ks]
    found, counts = hits(lists, test_indptr, test_indices), np.diff(test_indptr)
    some = counts > 0
    found, counts = found[some], counts[some]
    answer: dict[str, float] = {}
    for name, measure in (("recall", _recall), ("ndcg", _ndcg)):
        for k in depths:
            answer[f"{name}@{k}"] = (
                float(measure(found, counts, k).mean()) if counts.size else float("nan")
            )
    return answer | {"users": int(counts.size)}


def _recall(found: Array, counts: Array, k: int) -> Float64:
    return np.where(counts > 0, found[:, :k].sum(axis=1) / np.maximum(counts, 1), np.nan)


def _ndcg(found: Array, counts: Array, k: int) -> Float64:
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    # NaN without test items
    ideal = np.concatenate([[np.nan], np.cumsum(discounts)])[np.minimum(counts, k)]
    head = found[:, :k]
    return np.asarray((head * discounts[: head.shape[1]]).sum(axis=1) / ideal)


def _checked_tests(users: int, indptr: Array, indices: Array) -> tuple[Array, Array]:
    indptr, indices = np.asarray(indptr), np.asarray(indices)
    if indptr.shape != (users + 1,):
        raise InvalidInput(
            f"test_indptr has shape {indptr.shape}, expected ({users + 1},) for {users} lists: "
            "pass the tests of the same users in the same order"
        )
    if (
        indices.ndim != 1
        or indptr[0] != 0
        or indptr[-1] != indices.size
        or np.any(np.diff(indptr) < 0)
    ):
        raise InvalidInput(
            f"test_indptr runs from {indptr[0]} to {indptr[-1]} over test_indices of shape "
            f"{indices.shape}, expected it to rise from 0 to their number: cut both from one CSR "
            "matrix"
        )
    if indices.min(initial=0) < 0:
        raise InvalidInput(
            f"test_indices holds {indices.min()}, expected item rows of at least 0: give an item "
            "that no model knows a row behind the others, since it is a test item that cannot be "
            "hit"
        )
    return indptr, indices
