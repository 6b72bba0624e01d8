"""The neighbor lists once more, by SciPy's matrix product and NumPy's sort: the kernels' oracle and
``verify``'s arithmetic, which shares no line with them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.models.neighbors.similarity import Similarity

Array = npt.NDArray[Any]

ITEMS_AT_A_TIME = 256


def lists(
    data: Interactions, similarity: Similarity, length: int, rows: Array | None = None
) -> tuple[Array, Array]:
    """(neighbors, values), both (rows, K), of the items ``rows`` (all of them for None); see
    ``kernels.nearest``.
    """
    from scipy.sparse import csr_array

    rows = np.arange(data.shape[1]) if rows is None else rows
    weights = similarity.weights(data)
    values = np.ones(len(data)) if weights is None else weights
    x = csr_array((values, data.indices, data.indptr), shape=data.shape)
    columns, sizes = x.T.tocsr(), similarity.sizes(data)
    neighbors = np.full((rows.size, length), -1, np.int32)
    similarities = np.zeros((rows.size, length))
    for start in range(0, rows.size, ITEMS_AT_A_TIME):
        part = rows[start : start + ITEMS_AT_A_TIME]
        shared = (columns[part] @ x).toarray()
        alike = similarity.of(shared, sizes[part, None], sizes[None, :])
        alike[np.arange(part.size), part] = 0.0
        order = np.argsort(-alike, axis=1, kind="stable")[:, :length]
        best = np.take_along_axis(alike, order, 1)
        into = slice(start, start + part.size), slice(0, order.shape[1])
        neighbors[into] = np.where(best > 0, order, -1)
        similarities[into] = best
    return neighbors, similarities
