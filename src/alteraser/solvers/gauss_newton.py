"""The Gauss–Newton part of ½ ∇²L at a point, by sides: A of every row, and C without errors.

    A x = a G x + ridge x + Σ ω z (z·x)        (C W)_x = a w₀ Zᵀdiag(b)W x + Σ ω z (w·x)

What all rows share is a product of matrices, and where every ω is 0 nothing else is left. A is
factored for rows of many interactions; the inverse of others is that of the shared part, in a
``basis`` in which that is diagonal, with Woodbury's formula for their interactions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import NumericFailure
from alteraser.models import Side
from alteraser.runtime.workers import blocks, run
from alteraser.solvers.blocks import factor_blocks
from alteraser.solvers.rows.protocol import aligned, aligned_empty

Array = npt.NDArray[Any]

SHORT = 0.4
"""Share of d up to which a row's interactions are few."""


def heavy(side: Side) -> bool:
    """Whether every row is A = G + λ + Σ ω z zᵀ with the same G and λ > 0, and no ω below 0."""
    least = side.confidence.min(initial=np.inf) if side.confidence.size else 1.0
    ridge = side.ridge
    alike = bool(ridge.size and ridge[0] > 0 and np.all(ridge == ridge[0]))
    return (
        alike
        and not side.other.size
        and bool(np.all(side.own == 1))
        and float(least) >= side.missing_weight
    )


def basis(side: Side, other: Array, rank: int) -> tuple[Array, Array] | None:
    """(V (d, d), eigenvalues of G): with the other side's rows times V, G is diagonal; None where A
    needs more than that, or has no inverse by it.
    """
    if not heavy(side):
        return None
    values, vectors = np.linalg.eigh(side.gram(other)[:rank, :rank])
    return vectors, np.maximum(values, 0.0)


class GaussNewtonSide:
    """The rows ``x`` (rows, w) of a side, padded, and how they see the other side's, (…, w)."""

    def __init__(
        self,
        side: Side,
        x: Array,
        other: Array,
        *,
        rank: int,
        threads: int,
        diagonal: Array | None = None,
    ) -> None:
        """``diagonal``: the eigenvalues of G, where ``other`` are in their ``basis``.

        Raises NumericFailure for a row whose block has no factor in this precision.
        """
        self.side, self.x, self.other = side, x, other
        self.rank, self.threads = rank, threads
        self._work = blocks(side, None, x.shape[1], threads)
        self._alike: Array | None = None
        """A⁻¹ where it is that of every row"""
        if heavy(side):
            _refuse_lost(side, other)
        if heavy(side) and not side.confidence.size and side.missing_weight == 1.0:
            shared = side.gram(other) + float(side.ridge[0]) * np.eye(x.shape[1])
            self._alike = np.linalg.inv(shared).astype(x.dtype)
            return
        few = np.zeros(side.rows, bool)
        if diagonal is not None:
            few = side.counts <= SHORT * rank
            self._scale = 1.0 / (diagonal + float(side.ridge[0]))
        self._short, self._long = np.flatnonzero(few), np.flatnonzero(~few)
        self._factor_short()
        self._factor_long()

    def _factor_short(self) -> None:
        from alteraser.solvers.kernels.short import short_factor_rows

        counts = np.zeros(self.side.rows, np.int64)
        counts[self._short] = self.side.counts[self._short]
        sizes = counts * (counts + 1) // 2
        self._most = max(int(counts.max(initial=0)), 1)
        self._where = np.cumsum(sizes) - sizes
        self._packed = np.empty(max(int(sizes.sum()), 1))
        if self._short.size:
            arrays = self.side.arrays
            run(
                lambda rows: short_factor_rows(
                    rows, arrays, self.other, self._scale, self._where, self._packed
                ),
                blocks(self.side, self._short, self.rank, self.threads),
                self.threads,
            )

    def _factor_long(self) -> None:
        from alteraser.solvers.kernels.joint import packed_size

        some, width, dtype = self.side.take(self._long), self.x.shape[1], self.x.dtype
        self._long_work = blocks(some, None, width, self.threads)
        self._factors = aligned_empty((self._long.size, packed_size(width)), dtype)
        if self._long.size:
            factor_blocks(
                some,
                aligned(self.other),
                np.zeros((self._long.size, width), dtype),
                self._factors,
                np.zeros((self._long.size, width), dtype),
                rank=self.rank,
                move=False,
                work=self._long_work,
                threads=self.threads,
            )

    def solve(self, right: Array) -> Array:
        """A⁻¹ r of every row, (rows, w)."""
        from alteraser.solvers.kernels.joint import solve_rows
        from alteraser.solvers.kernels.short import short_solve_rows

        if self._alike is not None:
            return np.asarray(right @ self._alike)
        out = aligned_empty(right.shape, right.dtype)
        out[:, self.rank :] = 0
        if self._long.size:
            found = aligned_empty((self._long.size, right.shape[1]), right.dtype)
            some = aligned(right[self._long])
            run(
                lambda rows: solve_rows(rows, self._factors, some, found),
                self._long_work,
                self.threads,
            )
            out[self._long] = found
        if self._short.size:
            arrays = self.side.arrays
            run(
                lambda rows: short_solve_rows(
                    rows,
                    arrays,
                    self.other,
                    self._scale,
                    self._where,
                    self._packed,
                    right,
                    out,
                    self._most,
                ),
                blocks(self.side, self._short, self.rank, self.threads),
                self.threads,
            )
        return out

    def times(self, x: Array) -> Array:
        """A x of every row, (rows, w)."""
        return np.asarray(self._held(x, self.other) + self.side.ridge[:, None] * x)

    def across(self, direction: Array) -> Array:
        """C d for a direction (other rows, w) of the other side."""
        return self._held(self.x, direction)

    def _held(self, x: Array, moved: Array) -> Array:
        """(a w₀ Zᵀdiag(b)W) x + Σ ω (x·w) z of every row."""
        from alteraser.solvers.kernels.short import held_rows

        side, Z = self.side, self.other
        seen = Z * side.other[:, None] if side.other.size else Z
        mixed = x.dtype.type(side.missing_weight) * (moved.T @ seen)
        out = x @ mixed
        if not np.all(side.own == 1):
            out *= side.own[:, None]
        if self._alike is None:
            arrays = side.arrays
            run(
                lambda rows: held_rows(rows, arrays, x, Z, moved, out),
                self._work,
                self.threads,
            )
        return np.asarray(out)


def _refuse_lost(side: Side, other: Array) -> None:
    """NumericFailure where rounding G hides the ridge."""
    largest = float(np.trace(side.gram(other)))
    if not float(side.ridge[0]) > float(np.finfo(np.float64).eps) * largest:
        raise NumericFailure(f"the {side.name} rows' ridge is lost in the rounding of their blocks")
