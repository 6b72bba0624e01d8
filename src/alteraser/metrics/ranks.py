"""Where the first hit of a list is, and whether there is one: for what comes next in a session, or
in a basket.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.metrics._lists import depth_of
from alteraser.metrics.accuracy import hits

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def mrr_at_k(lists: Array, test_indptr: Array, test_indices: Array, k: int) -> Float64:
    """MRR@k = 1 / rank of the first hit among the first k, 0 without one; per user (Voorhees,
    TREC-8 1999).

    Arguments and errors are those of ``recall_at_k``; NaN for a user without test items.

    The second rank hits, then none does:

    >>> import numpy as np
    >>> lists = np.array([[4, 7, 1], [4, 7, 1]])
    >>> mrr_at_k(lists, np.array([0, 1, 2]), np.array([7, 9]), 3).tolist()
    [0.5, 0.0]
    """
    found = hits(lists, test_indptr, test_indices)[:, : depth_of("k", k)]
    first = 1.0 / (found.argmax(axis=1) + 1.0) if found.shape[1] else np.zeros(len(found))
    return np.where(np.diff(test_indptr) > 0, np.where(found.any(axis=1), first, 0.0), np.nan)


def hit_ratio_at_k(lists: Array, test_indptr: Array, test_indices: Array, k: int) -> Float64:
    """1 where any of the first k is a test item, else 0; per user. Its mean is the personal hit
    ratio of baskets.

    Arguments and errors are those of ``recall_at_k``; NaN for a user without test items.

    >>> import numpy as np
    >>> lists = np.array([[4, 7, 1], [4, 7, 1]])
    >>> hit_ratio_at_k(lists, np.array([0, 2, 3]), np.array([7, 1, 9]), 3).tolist()
    [1.0, 0.0]
    """
    found = hits(lists, test_indptr, test_indices)[:, : depth_of("k", k)]
    return np.where(np.diff(test_indptr) > 0, found.any(axis=1).astype(np.float64), np.nan)
