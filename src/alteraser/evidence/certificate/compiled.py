"""``Plain`` with its loops compiled: the same numbers in a tenth of the time, rows shared out over
threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.evidence.certificate.plain import Float64, Pair, Plain
from alteraser.runtime import memory
from alteraser.runtime.workers import blocks, run

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Compiled(Plain):
    """As ``Plain``, by the kernels of ``_kernels``; the number of threads changes no bit."""

    threads: int = 1

    @cached_property
    def sides(self) -> tuple[CertificateSide, CertificateSide]:
        """Users and items, and how each sees the other."""
        data, view = self.data, self.data.by_item
        weight = self._observed[0]
        users = CertificateSide(data.indptr, data.indices, weight, self.errors)
        items = CertificateSide(
            view.indptr, view.indices, weight[view.order], self.errors[view.order]
        )
        return users, items

    @cached_property
    def parts(self) -> tuple[list[Array], list[Array]]:
        """Users and items in parts of about equal work."""
        shapes = RowsByPlace(self.data.indptr), RowsByPlace(self.data.by_item.indptr)
        found = [blocks(side, None, self.h.size, self.threads) for side in shapes]
        return found[0], found[1]

    def share_out(self, work: Callable[[Array], None], parts: Sequence[Array]) -> None:
        """Call ``work`` on every part of the rows."""
        run(work, parts, self.threads)

    def product(self, direction: Pair) -> Pair:
        from alteraser.evidence.certificate._kernels import curve

        V, W = direction
        found = []
        for place, (x, v, other, moved) in enumerate(
            ((self.P, V, self.Q, W), (self.Q, W, self.P, V))
        ):
            side, Z, dZ = self.sides[place], other * self.h, moved * self.h
            weight = self._weights[1 - place][:, None]
            gram, mixed = Z.T @ (weight * Z), Z.T @ (weight * dZ)
            own = self.objective.missing_weight * self._weights[place][:, None]
            out = own * (v @ gram + x @ (mixed + mixed.T)) + self._ridges[place][:, None] * v
            v = np.ascontiguousarray(v, dtype=np.float64)
            self.share_out(
                lambda rows, side=side, x=x, v=v, Z=Z, dZ=dZ, out=out: curve(  # type: ignore[misc]
                    rows, side.indptr, side.indices, side.weight, side.error, x, v, Z, dZ, out
                ),
                self.parts[place],
            )
            found.append(2.0 * out)
        return found[0], found[1]

    @cached_property
    def settled(self) -> tuple[Pair, tuple[Array, Array]]:
        """(A⁻¹ ∇L / 2 of every row, factors of every A in single precision for ``solve_kept``).

        The steps are taken with the factors as they were in double precision. Rows whose A has no
        inverse are infinite, or zero where the gradient is. Where memory is short there are no
        factors.
        """
        fits = sum(self.data.shape) * self._packed * 4 <= memory.planned() // 4
        kept = self._room(np.float32, fits)
        steps = [
            self._solve_blocks(place, 0.5 * right, kept[place])
            for place, right in enumerate(self.gradient)
        ]
        return (steps[0], steps[1]), kept

    def factored(self, dtype: Any) -> tuple[Array, Array]:
        """Factors of every A for ``solve_kept``, in ``dtype``; without rows where memory is
        short.
        """
        if dtype == np.float32:
            return self.settled[1]
        fits = sum(self.data.shape) * self._packed * 8 <= memory.planned() // 4
        kept = self._room(dtype, fits)
        for place, right in enumerate(self.gradient if fits else ()):
            self._solve_blocks(place, right, kept[place])
        return kept

    def _room(self, dtype: Any, fits: bool) -> tuple[Array, Array]:
        found = [np.zeros((rows if fits else 0, self._packed), dtype) for rows in self.data.shape]
        return found[0], found[1]

    @property
    def _packed(self) -> int:
        return self.h.size * (self.h.size + 1) // 2

    def user_distances(self) -> Float64:
        return np.asarray(np.linalg.norm(self.settled[0][0], axis=1))

    def item_distances(self) -> Float64:
        return np.asarray(np.linalg.norm(self.settled[0][1], axis=1))

    def _solved(self, place: int, right: Float64) -> Float64:
        return self._solve_blocks(place, right, np.zeros((0, 0), np.float32))

    def _solve_blocks(self, place: int, right: Float64, kept: Array) -> Float64:
        from alteraser.evidence.certificate._kernels import solve_blocks

        side, Z = self.sides[place], (self.Q, self.P)[place] * self.h
        gram = self.objective.missing_weight * (Z.T @ (self._weights[1 - place][:, None] * Z))
        own, ridge = (
            np.ascontiguousarray(x[place], dtype=np.float64) for x in (self._weights, self._ridges)
        )
        right = np.ascontiguousarray(right)
        out = np.empty(right.shape)
        self.share_out(
            lambda rows: solve_blocks(
                rows, side.indptr, side.indices, side.weight, Z, gram, own, ridge, right, out, kept
            ),
            self.parts[place],
        )
        return out

    def _cells(self, products: tuple[tuple[Float64, Float64], ...]) -> Float64:
        from alteraser.evidence.certificate._kernels import scores

        left, right = (
            np.ascontiguousarray(np.hstack([pair[i] for pair in products])) for i in (0, 1)
        )
        out = np.empty(len(self.data))
        self.share_out(
            lambda rows: scores(rows, self.data.indptr, self.data.indices, left, right, out),
            self.parts[0],
        )
        return out


@dataclass(frozen=True)
class CertificateSide:
    """The interactions as one side's rows meet them, in order of these rows."""

    indptr: Array
    indices: Array
    weight: Float64
    """ω"""
    error: Float64
    """e"""


@dataclass(frozen=True)
class RowsByPlace:
    """Rows by the places of their interactions."""

    indptr: Array

    @property
    def all_rows(self) -> Array:
        """Every row, (rows,)."""
        return np.arange(self.indptr.size - 1)

    @property
    def counts(self) -> Array:
        """Interactions of each row, (rows,)."""
        return np.diff(self.indptr)


def block_solver() -> Any:
    """``_kernels.solve_blocks``: A⁻¹ of a row's block on one vector, for all rows; compiled on
    first use.
    """
    from alteraser.evidence.certificate._kernels import solve_blocks

    return solve_blocks
