"""One side of a factorization at a point: its rows, what they see of the other's, and the operators
of the joint system that live on this side.

With half the Hessian of L at (P, Q) written as [[B_P, C], [Cᵀ, B_Q]], B_P = blockdiag(A_u) and B_Q
= blockdiag(A_v), a side has

    factor()      A of its rows, packed and factored, and half their gradient
    solve(r)      B⁻¹ r
    times(x)      B x
    across(d)     C d: by what the half gradients of this side change when the other moves along d
    residual(X)   E X for the matrix of residuals E = ½ ∂L/∂ŷ of this side's rows

so Cᵀ of one side is C of the other, and S = B_Q − Cᵀ B_P⁻¹ C is
``items.times(x) - items.across(users.solve(users.across(x)))``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from alteraser.models import Problem, Side
from alteraser.runtime.workers import blocks, run
from alteraser.solvers.blocks import factor_blocks
from alteraser.solvers.rows.protocol import aligned, aligned_empty

Array = npt.NDArray[Any]


class Operators(Protocol):
    """What a joint system needs of a side."""

    def solve(self, right: Array) -> Array:
        """B⁻¹ r of every row, (rows, w)."""
        ...

    def times(self, x: Array) -> Array:
        """B x of every row, (rows, w)."""
        ...

    def across(self, direction: Array) -> Array:
        """C d for a direction (other rows, w) of the other side."""
        ...


class OneSide:
    """The rows ``x`` (rows, w) of a side, padded and changed in place, facing another side's."""

    def __init__(
        self,
        side: Side,
        x: Array,
        faced: Array,
        h: Array,
        threads: int,
        *,
        factors: Array | None = None,
    ) -> None:
        """``faced`` are the rows of the other side, whose owner changes them in place (the array,
        not that side: two sides that held each other would outlive their run); ``h`` (d,) is the
        prediction vector; ``factors`` packed blocks to begin with, of a point not far from this
        one.
        """
        from alteraser.solvers.kernels.joint import packed_size

        self.side, self.x, self.faced = side, x, faced
        self.threads, self.rank = threads, h.size
        width = x.shape[1]
        wide = np.ones(width, x.dtype)
        wide[: h.size] = h
        self._h = wide if np.any(wide != 1) else None
        self._work = blocks(side, None, width, threads)
        self.factors = (
            aligned_empty((x.shape[0], packed_size(width)), x.dtype) if factors is None else factors
        )
        self.gradient = np.zeros_like(x)
        """Half the gradient where ``factor`` was last called"""
        self.errors = np.empty(side.indices.size, x.dtype)
        """ω s − c y of every interaction in the order of this side, after ``find_errors``"""
        self.empty = np.flatnonzero(side.counts == 0)
        x[self.empty] = 0  # their minimum, whatever the other side is

    @property
    def scaled(self) -> bool:
        """Whether h is anything but 1."""
        return self._h is not None

    def seen(self, y: Array) -> Array:
        """Rows of the other side as this side sees them: times h."""
        return y if self._h is None else y * self._h

    @property
    def other(self) -> Array:
        """The other side's rows as this side sees them."""
        return self.seen(self.faced)

    # ------------------------------------------------------------------ the blocks

    def factor(self, *, move: bool, rows: Array | None = None) -> tuple[float, float]:
        """Factor A of all rows, or of some, as they are here, and take half their gradient.

        With ``move`` the rows then go to their minimum. Returns Σ gᵀA⁻¹g before and Σ (min l −
        const).
        """
        work = (
            self._work if rows is None else blocks(self.side, rows, self.x.shape[1], self.threads)
        )
        return factor_blocks(
            self.side,
            self.other,
            self.x,
            self.factors,
            self.gradient,
            rank=self.rank,
            move=move,
            work=work,
            threads=self.threads,
        )

    def factor_with(self, confidence: Array, out: Array) -> None:
        """The blocks of all rows with other confidences, packed and factored, into ``out``."""
        factor_blocks(
            replace(self.side, confidence=confidence),
            aligned(self.other),
            self.x.copy(),
            out,
            np.zeros_like(self.x),
            rank=self.rank,
            move=False,
            work=self._work,
            threads=self.threads,
        )

    def solve(self, right: Array, factors: Array | None = None) -> Array:
        """A⁻¹ r of every row, (rows, w), with the blocks as they were last factored.

        ``factors``: other packed blocks in their place.
        """
        from alteraser.solvers.kernels.joint import solve_rows

        packed = self.factors if factors is None else factors
        out = aligned_empty(right.shape, right.dtype)
        run(lambda rows: solve_rows(rows, packed, right, out), self._work, self.threads)
        return out

    def times(self, x: Array) -> Array:
        """A x of every row, (rows, w), with the blocks as they were last factored."""
        from alteraser.solvers.kernels.joint import product_rows

        out = aligned_empty(x.shape, x.dtype)
        run(lambda rows: product_rows(rows, self.factors, x, out), self._work, self.threads)
        return out

    def wide(self, x: Array) -> Array:
        """(rows, d) padded to (rows, w), in the precision of the blocks."""
        out = np.zeros_like(self.gradient)
        out[:, : self.rank] = x
        return out

    def norm(self, r: Array) -> float:
        """√(rᵀB⁻¹r) of r (rows, w) in the precision of the blocks."""
        return float(np.sqrt(max(dot(r, self.solve(r)), 0.0)))

    def squared_norm(self, gradient: Array) -> float:
        """gᵀB⁻¹g of a float64 gradient (rows, d)."""
        size = largest(gradient)
        wide = self.wide(gradient / size)
        return size**2 * dot(wide, self.solve(wide))

    def step(self, gradient: Array) -> Array:
        """A⁻¹ g / 2 of every row for their float64 gradient (rows, d): x − x*, with the other side
        as it is.
        """
        size = largest(gradient)
        found = self.solve(self.wide(gradient * (0.5 / size)))
        return np.asarray(found[:, : self.rank].astype(np.float64) * size)

    # ------------------------------------------------------------------ where it is

    def approach(self, *, move: bool) -> tuple[Array, float, float]:
        """(half the gradient, Σ l − const, Σ xᵀA x) where it is; with ``move`` then x −= A⁻¹g.

        That step is with the blocks as they were last factored, the rest is exact.
        """
        from alteraser.solvers.kernels.joint import approach_rows

        side, x, Z = self.side, self.x, aligned(self.other)
        gram = side.gram(Z).astype(x.dtype)
        gradient = aligned_empty(x.shape, x.dtype)
        value, fit = np.empty(side.rows), np.empty(side.rows)
        arrays = side.arrays
        run(
            lambda rows: approach_rows(
                rows,
                arrays,
                Z,
                gram,
                self.factors,
                x,
                move,
                gradient,
                value,
                fit,
            ),
            self._work,
            self.threads,
        )
        return gradient, float(value.sum()), float(fit.sum())

    # ------------------------------------------------------------------ across

    def find_errors(self) -> None:
        """``errors`` of this point."""
        from alteraser.solvers.kernels.joint import error_rows

        arrays, x, Z = self.side.arrays, self.x, self.other
        run(
            lambda rows: error_rows(rows, arrays, x, Z, self.errors),
            self._work,
            self.threads,
        )

    def residual(self, X: Array) -> Array:
        """E X for few columns on the other side, after ``find_errors``; E is (rows, other rows).

        E has w s − c y in observed cells and w⁻ s in missing ones.
        """
        side, x, Z = self.side, self.x, self.other
        E = csr_array((self.errors, side.indices, side.indptr), shape=(side.rows, Z.shape[0]))
        weighted = X * side.other[:, None] if side.other.size else X
        missing = x.dtype.type(side.missing_weight) * side.own[:, None] * (x @ (Z.T @ weighted))
        return np.asarray(E @ X + missing)

    def across(self, direction: Array) -> Array:
        """C d for a direction (other rows, w) of the other side, after ``find_errors``."""
        from alteraser.solvers.kernels.joint import cross_rows

        side, x, Z = self.side, self.x, self.other
        W = aligned(self.seen(direction))
        w0 = x.dtype.type(side.missing_weight)
        along = w0 * ((Z * side.other[:, None] if side.other.size else Z).T @ W)
        # what missing cells add
        mixed = np.ascontiguousarray(along + along.T)
        arrays, out = side.arrays, aligned_empty(x.shape, x.dtype)
        run(
            lambda rows: cross_rows(rows, arrays, self.errors, x, Z, W, mixed, out),
            self._work,
            self.threads,
        )
        return out


def facing(
    problem: Problem,
    P: Array,
    Q: Array,
    h: Array,
    threads: int,
    *,
    factors: tuple[Array, Array] | None = None,
) -> tuple[OneSide, OneSide]:
    """(users, items) of a problem at (P, Q), each of which is what the other sees."""
    packed = factors or (None, None)
    return (
        OneSide(problem.users, P, Q, h, threads, factors=packed[0]),
        OneSide(problem.items, Q, P, h, threads, factors=packed[1]),
    )


def largest(x: Array) -> float:
    """The size of the largest entry, 1 where there is none: what float64 is divided by, so as not
    to underflow in float32.
    """
    return float(np.abs(x).max(initial=0.0)) or 1.0


def dot(a: Array, b: Array) -> float:
    """Σ a b, in their precision."""
    return float(np.vdot(a, b))
