"""Confidences over many orders of magnitude: what a heavy cell weighs for its item once its user
gives way.

A cell of confidence c ties its user and its item together: in B it is the term c p pᵀ of the item's
block, 10⁶ times the rest for a play count of 10⁶, and steps preconditioned by that hardly move the
item at all. But the user moves along: the diagonal block of item v in S = B_Q − Cᵀ B_P⁻¹ C has,
leaving out what is of the size of the errors,

    Σ_u c (1 − c ℓ_uv) p_u p_uᵀ,      ℓ_uv = q_vᵀ A_u⁻¹ q_v ≤ 1/c

for the observed cells: the same block with what is left of each confidence, near c for a light cell
among many and no more than the user's other cells hold against it for a heavy one. It is a
preconditioner like any other (block Jacobi on the Schur complement), so only the number of steps
depends on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models import Side
from alteraser.models.factorization.magnitudes import LEAST
from alteraser.solvers.rows.protocol import aligned_empty

Array = npt.NDArray[Any]

PAYS = 100.0
"""Ratio of the largest confidence to the least from which fewer steps make up for dearer ones: a
fifth of them, where measured, from 10³ on."""

LEFT = 1e-9
"""Least share of a confidence that is left: 1 − c ℓ is a difference of nearly equal numbers
there."""


def is_wide(confidence: Array) -> bool:
    """Whether confidences (empty: all 1) are so far apart that easing pays."""
    return bool(confidence.size) and float(confidence.max()) >= PAYS * max(
        float(confidence.min()), LEAST
    )


def eased_confidence(users: Side, items: Array, factors: Array) -> npt.NDArray[np.float64]:
    """C (1 − c ℓ) of every interaction in the order of users, (|D|,); O(|D| d²).

    ``items`` (n, w) are padded, as users see them; ``factors`` the packed blocks A of the users.
    """
    from alteraser.solvers.kernels.joint import solve_rows

    counts = users.counts
    leverage = np.zeros(users.indices.size)
    right = aligned_empty((users.rows, items.shape[1]), items.dtype)
    solved = aligned_empty(right.shape, items.dtype)
    heaviest_first = np.argsort(-counts, kind="stable")
    ascending = np.sort(counts)
    # the place-th interaction of everybody who has so many
    for place in range(int(counts.max(initial=0))):
        rows = heaviest_first[: counts.size - int(np.searchsorted(ascending, place, side="right"))]
        cells = users.indptr[rows] + place
        right[rows] = items[users.indices[cells]]
        solve_rows(rows, factors, right, solved)
        leverage[cells] = np.einsum("id,id->i", right[rows], solved[rows], dtype=np.float64)
    c = users.confidence.astype(np.float64)
    return np.asarray(c * np.clip(1.0 - c * leverage, LEFT, 1.0))
