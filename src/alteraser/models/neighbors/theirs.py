"""What somebody had, as rows of a sparse matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions

Array = npt.NDArray[Any]


def of(history: Interactions, rows: Array, weights: Array | None = None) -> Any:
    """(len(rows), n) float64, sparse: what the users in ``rows`` had, 1 or the ``weights`` of the
    interactions. It costs what they had, however many others there are.
    """
    from scipy.sparse import csr_array

    counts = history.user_counts[rows]
    indptr = np.concatenate([[0], np.cumsum(counts)])
    places = np.arange(indptr[-1]) + np.repeat(history.indptr[rows] - indptr[:-1], counts)
    values = np.ones(len(places)) if weights is None else weights[places].astype(np.float64)
    return csr_array((values, history.indices[places], indptr), shape=(len(rows), history.shape[1]))
