"""Newton steps for the certificate, in single precision: what they are worth is measured by
``Plain.product``.

With B_P, B_Q the rows' blocks and C the coupling of the two sides, ½ ∇²L = (B_P, C; Cᵀ, B_Q). Users
are eliminated and S = B_Q − Cᵀ B_P⁻¹ C is solved by conjugate gradients with B_Q as its
preconditioner (Reid, SIAM J. Numer. Anal. 1972): as B_Q is a part of S, an iteration costs C, Cᵀ
and one solve with every block. Residuals are kept off the rotations.

Directions are kept: they are conjugate, so that the next solve begins with what they can give, and
the direction of least curvature among all their combinations is known without a product more.
Neither has to be trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, eigh

from alteraser.evidence.certificate.compiled import Compiled
from alteraser.evidence.certificate.plain import Pair
from alteraser.evidence.certificate.rotation import Slice

Array = npt.NDArray[Any]

KEPT_BYTES = 1 << 28
"""Room for kept directions; where it is full the few of least curvature stay, at least
LEAST_KEPT."""

LEAST_KEPT, INVERSE_ITERATIONS = 4, 4

EXPLORES = 0.3
"""A first solve begins this share of its length away, in a random direction: or it would see
nothing of directions that the gradient has no part in, and a saddle has none."""


@dataclass(frozen=True)
class SolvedStep:
    """(∇²L)⁻¹ times minus a right-hand side, or a direction in which L bends down."""

    step: Pair | None
    negative: Pair | None


@dataclass
class Solver:
    """Conjugate gradients at the factors of ``plain``; ``across`` is the slice there."""

    plain: Compiled
    across: Slice
    products: int = 400
    """Iterations that one solve may take."""
    dtype: Any = np.float32
    on_iteration: Callable[[float], None] | None = None
    """Called after an iteration with what ‖r‖ has fallen to, as a share."""
    spent: int = 0
    """Products of all solves"""
    # a kept direction: its part in the slice, of length 1; what conjugate gradients went along; S
    # times that; curvature
    _users: list[Array] = field(default_factory=list)
    _items: list[Array] = field(default_factory=list)
    _ways: list[Array] = field(default_factory=list)
    _slopes: list[Array] = field(default_factory=list)
    _curvatures: list[float] = field(default_factory=list)

    def solve(self, gradient: Pair, *, forcing: float) -> SolvedStep:
        """−(∇²L)⁻¹ ``gradient`` until ‖r‖_{B⁻¹} is ``forcing`` of what it was."""
        size = max(float(np.abs(g).max(initial=0.0)) for g in gradient) or 1.0  # nothing underflows
        users, items = (np.asarray(g * (-0.5 / size), dtype=self.dtype) for g in gradient)
        right = self.off(items - self.couple(1, self.solved(0, users)))
        z = self.solved(1, right)
        whole, products = float(np.sqrt(max(_dot(right, z), 0.0))), 1
        if self._items:
            x, r = self._begin(right)
        else:
            x = self._random_way(float(np.sqrt(_dot(z, z))))
            r, products = right - self.bend(x)[1], 2
        negative: Pair | None = None
        forcing = max(forcing, 4.0 * float(np.finfo(self.dtype).eps))
        while products < self.products:
            z = self.solved(1, r)
            left = float(np.sqrt(max(_dot(r, z), 0.0)))
            # the gradient is zero: then only the random way is solved for
            whole = whole if whole > 0 else left
            if self.on_iteration is not None:
                self.on_iteration(min(float(left / max(whole, 1e-300)), 1.0))
            if not left > forcing * whole:  # also where it is no number
                break
            p = self._conjugate(self.off(z))
            y, Sp = self.bend(p)
            products += 1
            curvature = _dot(p, Sp)
            if not curvature > 0:
                negative = self._wide(y), self._wide(p)
                break
            t = self.dtype(_dot(p, r) / curvature)
            x, r = x + t * p, r - t * Sp
            self._keep(y, p, Sp, curvature)
        self.spent += products
        step = self.solved(0, users - self.couple(0, x)), x
        wide = self._wide(step[0]) * size, self._wide(step[1]) * size
        return SolvedStep(wide if all(np.isfinite(side).all() for side in wide) else None, negative)

    def least(self) -> Pair | None:
        """The combination of kept directions in which L bends least, of length 1; None where none
        is kept.
        """
        if not self._items:
            return None
        vectors = self._reduced()[1]
        combined = [
            self._wide(np.tensordot(vectors[:, 0], np.stack(side), 1))
            for side in (self._users, self._items)
        ]
        length = float(np.sqrt(sum(np.vdot(x, x) for x in combined)))
        return None if not length > 0 else (combined[0] / length, combined[1] / length)

    @property
    def least_value(self) -> float:
        """The curvature of ``least``, by what the solves saw of it; NaN where none is kept."""
        return 2.0 * float(self._reduced()[0][0]) if self._items else float("nan")

    def weakest_row(self, place: int) -> tuple[Pair, float]:
        """(a direction of one user's (0) or item's (1) row alone, about its curvature), the least
        of all of that side.

        By inverse iterations on every block at once. ``least`` sees little of them: to conjugate
        gradients with the blocks as preconditioner all rows that meet nobody are alike.
        """
        shape = self.plain.data.shape[place], self.plain.h.size
        x = np.asarray(np.random.default_rng(1).standard_normal(shape), dtype=self.dtype)
        lengths = np.ones(shape[0])
        for _ in range(INVERSE_ITERATIONS):
            x = self.solved(
                place,
                x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(self.dtype).tiny),
            )
            lengths = np.linalg.norm(x.astype(np.float64), axis=1)
        pair = np.zeros(self.plain.P.shape), np.zeros(self.plain.Q.shape)
        if not lengths.size or not lengths.max() > 0:
            return pair, float("inf")
        row = int(np.argmax(lengths))
        pair[place][row] = x[row] / lengths[row]
        return pair, 2.0 / float(lengths[row])

    # ------------------------------------------------------------------ what is kept

    def _keep(self, users: Array, items: Array, slope: Array, curvature: float) -> None:
        """Keep a direction, the users' part of which is theirs to follow ``items``."""
        inside = self.across.project((users, items))
        length = float(np.sqrt(_dot(inside[0], inside[0]) + _dot(inside[1], inside[1])))
        if not (np.isfinite(length) and length > 0):
            return
        if len(self._items) >= max(
            KEPT_BYTES // max(users.nbytes + 3 * items.nbytes, 1), 2 * LEAST_KEPT
        ):
            self._compress()
        for kept, new in (
            (self._users, inside[0]),
            (self._items, inside[1]),
            (self._ways, items),
            (self._slopes, slope),
        ):
            kept.append(new / self.dtype(length))
        self._curvatures.append(curvature / length**2)

    def _reduced(self) -> tuple[Array, Array]:
        """(values, vectors) of the kept directions' curvatures, least first, over their lengths."""
        flat = [np.stack(side).reshape(len(side), -1) for side in (self._users, self._items)]
        gram = sum((x @ x.T).astype(np.float64) for x in flat)
        try:
            found = eigh(np.diag(self._curvatures), gram)
        except LinAlgError:  # they repeat each other
            best = int(np.argmin(self._curvatures))
            return np.array([self._curvatures[best]]), np.eye(len(self._curvatures))[:, [best]]
        return found[0], found[1]

    def _compress(self) -> None:
        values, vectors = self._reduced()
        values, vectors = values[:LEAST_KEPT], vectors[:, :LEAST_KEPT].astype(self.dtype)
        self._users, self._items, self._ways, self._slopes = (
            list(np.tensordot(vectors.T, np.stack(kept), 1))
            for kept in (self._users, self._items, self._ways, self._slopes)
        )
        self._curvatures = [float(x) for x in values]

    def _begin(self, right: Array) -> Pair:
        """(x, right − S x) with x the best that the kept directions give."""
        x, r = np.zeros_like(right), right.copy()
        for p, Sp, curvature in zip(self._ways, self._slopes, self._curvatures, strict=True):
            t = self.dtype(_dot(p, right) / curvature)
            x += t * p
            r -= t * Sp
        return x, r

    def _conjugate(self, z: Array) -> Array:
        """``z`` without its part in the kept directions, in the inner product of S."""
        p = z.copy()
        for known, slope, curvature in zip(self._ways, self._slopes, self._curvatures, strict=True):
            p -= self.dtype(_dot(slope, z) / curvature) * known
        return np.asarray(p)

    def _random_way(self, length: float) -> Array:
        way = np.random.default_rng(0).standard_normal(self.plain.Q.shape)
        x = self.off(np.asarray(way, dtype=self.dtype))
        away = float(np.sqrt(_dot(x, x))) or 1.0
        return np.asarray(x * self.dtype((EXPLORES * length if length > 0 else 1.0) / away))

    # ------------------------------------------------------------------ pieces

    def bend(self, p: Array) -> Pair:
        """(−B_P⁻¹ C p, S p): how the users follow a direction of the items, and ½ ∇²L along both
        for the items.
        """
        y = -self.solved(0, self.couple(0, p))
        return y, self.off(self.couple(1, y, p))

    def couple(self, place: int, other: Array, own: Array | None = None) -> Array:
        """C times a direction of the items (0), Cᵀ times one of the users (1); with ``own`` plus B
        times that.
        """
        from alteraser.evidence.certificate._kernels import curve

        x, Z, weighted, side = self._sides[place]
        dZ = other * self._h
        mixed = weighted.T @ dZ
        out: Array = x @ (mixed + mixed.T)
        if own is not None:
            out += own @ (weighted.T @ Z)
        out *= self.plain._weights[place][:, None].astype(self.dtype)
        if own is not None:
            out += self.plain._ridges[place][:, None].astype(self.dtype) * own
        moved = np.zeros((0, x.shape[1]), self.dtype) if own is None else own
        weight, error = self._cells[place]
        self.plain.share_out(
            lambda rows: curve(
                rows, side.indptr, side.indices, weight, error, x, moved, Z, dZ, out
            ),
            self.plain.parts[place],
        )
        return out

    def solved(self, place: int, right: Array) -> Array:
        """B⁻¹ ``right``; zero where a row's block has no inverse."""
        from alteraser.evidence.certificate._kernels import solve_kept

        kept = self._kept[place]
        if not kept.shape[0]:
            found = self.plain._solved(place, right.astype(np.float64))
            return np.where(np.isfinite(found), found, 0.0).astype(self.dtype)
        out = np.empty_like(right)
        self.plain.share_out(
            lambda rows: solve_kept(rows, kept, right, out), self.plain.parts[place]
        )
        return out

    def off(self, items: Array) -> Array:
        """A direction of the items without what would only rotate them."""
        return np.asarray(self._turn.project((self._none, items))[1])

    def _wide(self, x: Array) -> Array:
        return x.astype(np.float64)

    @cached_property
    def _turn(self) -> Slice:
        return Slice(np.zeros((0, self.plain.h.size)), self.plain.Q, self.across.rotates)

    @cached_property
    def _none(self) -> Array:
        return np.zeros((0, self.plain.h.size), self.dtype)

    @cached_property
    def _h(self) -> Array:
        return self.plain.h.astype(self.dtype)

    @cached_property
    def _sides(self) -> list[Any]:
        """(x, Z, w₀ b Z, interactions) of users and items."""
        found = []
        for place, (x, other) in enumerate(
            ((self.plain.P, self.plain.Q), (self.plain.Q, self.plain.P))
        ):
            Z = other * self.plain.h
            weighted = (
                self.plain.objective.missing_weight * self.plain._weights[1 - place][:, None] * Z
            )
            arrays = (np.ascontiguousarray(a, dtype=self.dtype) for a in (x, Z, weighted))
            found.append((*arrays, self.plain.sides[place]))
        return found

    @cached_property
    def _cells(self) -> list[tuple[Array, Array]]:
        return [
            (side.weight.astype(self.dtype), side.error.astype(self.dtype))
            for side in self.plain.sides
        ]

    @cached_property
    def _kept(self) -> tuple[Array, Array]:
        return self.plain.factored(self.dtype)


def _dot(a: Array, b: Array) -> float:
    return float(np.vdot(a, b))
