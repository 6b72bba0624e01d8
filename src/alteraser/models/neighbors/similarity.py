"""How alike two items are, from three numbers: what they share, and the size of each.

With x_i the column of item i (m,), holding 1 or a confidence for each of its interactions,

    cosine    s(i, j) = x_iᵀx_j / (‖x_i‖ ‖x_j‖ + shrinkage)                       (Sarwar et al., WWW 2001)
    jaccard   s(i, j) = |U_i ∩ U_j| / (|U_i| + |U_j| − |U_i ∩ U_j| + shrinkage)   (Jaccard 1901; pairs count as 1)

Every number here is a sum of integers where the data have no confidences, so that it does not depend on the order in
which people came and went. Shrinkage S pulls what rests on few people towards 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput
from alteraser.interactions import Interactions

Float64 = npt.NDArray[np.float64]
Name = Literal["cosine", "jaccard"]
NAMES: tuple[Name, ...] = ("cosine", "jaccard")


@dataclass(frozen=True)
class Similarity:
    """A similarity and its shrinkage S ≥ 0."""

    name: Name = "cosine"
    shrinkage: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise InvalidInput(f"similarity {self.name!r}: there are {', '.join(NAMES)}")
        if not 0 <= self.shrinkage < np.inf:
            raise InvalidInput(f"shrinkage {self.shrinkage:g}: expected a number from 0, such as 10")

    def weights(self, data: Interactions) -> Float64 | None:
        """What an interaction counts for, (|D|,); None: 1 each."""
        return data.confidence if self.name == "cosine" else None

    def sizes(self, data: Interactions) -> Float64:
        """‖x_i‖ for the cosine, |U_i| for Jaccard, (n,)."""
        if self.name == "jaccard":
            return data.item_counts.astype(np.float64)
        weights = self.weights(data)
        if weights is None:
            return np.sqrt(data.item_counts.astype(np.float64))
        view = data.by_item
        return np.sqrt(_sums(weights[view.order] ** 2, view.indptr))

    def of(self, shared: Any, mine: Any, theirs: Any) -> Any:
        """s(i, j) of what i and j share and their sizes, elementwise; 0 where they share nothing.

        >>> float(Similarity("jaccard").of(np.array([2.0]), 3.0, 3.0)[0])
        0.5
        """
        below = mine * theirs if self.name == "cosine" else mine + theirs - shared
        return np.divide(shared, below + self.shrinkage, out=np.zeros_like(shared), where=shared > 0)


def _sums(values: Float64, indptr: Any) -> Float64:
    """Σ of each segment, added from left to right in its own segment alone."""
    out = np.zeros(indptr.size - 1)
    full = np.flatnonzero(np.diff(indptr))
    if full.size:
        out[full] = np.add.reduceat(values, indptr[full])
    return out
