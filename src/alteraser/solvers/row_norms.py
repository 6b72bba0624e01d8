"""gᵀA⁻¹g of a side's rows for a gradient g: a bound from above for every row, and the number itself
for some.

    A = a G + λ + Σ ω z zᵀ ⪰ a G + λ        for ω ≥ 0, so that        gᵀA⁻¹g ≤ gᵀ(a G + λ)⁻¹g

with G = w₀ ZᵀZ, which all rows share: in its eigenbasis the bound costs d numbers a row. In that
basis a row with k interactions takes k²d, by Woodbury's formula, where factoring A takes kd² and
d³/3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models import Side
from alteraser.runtime.workers import blocks, run
from alteraser.solvers.stationarity import block_solve

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

SHORT = 0.4
"""Share of d up to which a row's interactions are few."""


class RowNorms:
    """For half the gradient ``half`` (rows, d) of ``side``, doubled, with the other side's padded
    rows ``other``.
    """

    def __init__(self, side: Side, other: Array, half: Array, *, threads: int) -> None:
        self.side, self.other, self.threads = side, other, threads
        self.right = np.multiply(half, 2.0, dtype=np.float64)
        self.rank = rank = half.shape[1]
        # where a confidence is below its missing weight, observed cells take away from the missing
        # ones
        heavy = (
            not side.confidence.size
            or float(side.confidence.min(initial=np.inf)) >= side.missing_weight
        )
        self.shared = heavy and not side.other.size and bool(np.all(side.own == 1))
        self._values, self._vectors = np.zeros(rank), np.eye(rank)
        turned = self.right
        if self.shared:
            values, self._vectors = np.linalg.eigh(side.gram(other)[:rank, :rank])
            self._values = np.maximum(values, 0.0)
            turned = self.right @ self._vectors
        self._turned = turned
        self._short = np.zeros(side.rows, bool)
        if (
            self.shared
            and (least := float(side.ridge.min(initial=np.inf))) > 0
            and np.isfinite(least)
        ):
            self._short = side.counts <= SHORT * rank
        self._seen: Float64 | None = None
        self.bounds: Float64
        ridge = side.ridge.astype(np.float64)
        if ridge.size and np.all(ridge == ridge[0]):
            self.bounds = np.square(turned) @ (1.0 / np.maximum(ridge[0] + self._values, 1e-300))
        else:
            curvatures = np.maximum(ridge[:, None] + self._values, 1e-300)
            self.bounds = np.einsum("id,id->i", np.square(turned), 1.0 / curvatures)
        """(rows,) at least gᵀA⁻¹g"""

    def total(self, rows: Array) -> float:
        """Σ gᵀA⁻¹g over some rows. Raises NumericFailure for a row whose A is singular."""
        few = self._short[rows]
        short, long = rows[few], rows[~few]
        found = 0.0
        if long.size:
            found += block_solve(
                self.side, self.other, self.right, long, rank=self.rank, threads=self.threads
            )[0]
        return found + self._of_short(short) if short.size else found

    def _of_short(self, rows: Array) -> float:
        from alteraser.solvers.kernels.short import short_norm_rows

        side = self.side
        if self._seen is None:
            self._seen = self.other[:, : self.rank].astype(np.float64) @ self._vectors
        arrays, seen, norms = side.arrays, self._seen, np.zeros(side.rows)
        most = max(int(side.counts[rows].max()), 1)
        run(
            lambda some: short_norm_rows(
                some,
                arrays,
                seen,
                self._values,
                self._turned,
                norms,
                most,
            ),
            blocks(side, rows, self.rank, self.threads),
            self.threads,
        )
        return float(norms[rows].sum())
