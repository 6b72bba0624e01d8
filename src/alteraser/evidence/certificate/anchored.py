"""What class L says, worked out again from files: the deletion's effect on a model that was not at
rest.

    residual = ‖∇L_{D_r}(Θ_u) − g R‖_{B⁻¹} / ‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖_{B⁻¹},
        g = ∇L_{D_a}(Θ_a)

with g zero in rows that D_r leaves empty, R the rotation that brings the items of Θ_a nearest to
those of Θ_u, B the blocks on D_r at Θ_u above and at Θ_a below, all in float64 by ``Plain``; what
of the gradient would only turn the items against Q_a R does not count (``solvers.anchors`` says
why). And what is still to go to where the residual is zero, x, by one Newton step from Θ_u,

    effect left = ε (1 + ε),    ε = ‖x‖ / min_R ‖Θ_u − Θ_a R‖,

x estimated from above. The second factor is for what L is no quadratic for: a Newton step as long
as the whole effect at most halves the way, or the run that made the model would not have come here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from threadpoolctl import threadpool_limits

from alteraser.data.interactions import Interactions
from alteraser.evidence.certificate.compiled import Compiled
from alteraser.evidence.certificate.plain import Float64, Pair, Plain, norm
from alteraser.evidence.certificate.rotation import Slice
from alteraser.evidence.certificate.solve import Solver
from alteraser.linalg.ahead import Ahead
from alteraser.models import Factors, Objective
from alteraser.solvers.limits import STORED

Rows = tuple[np.ndarray, np.ndarray]

NOTHING = 1e-12
"""Share of the largest entry of a change of the gradient below which an entry is rounding."""

COLLAPSED, LOST = 1e-5, 0.1
"""Squared length of two dimensions of the items, over that of the longest, below which they are not
used; and the share of it that has to be left."""

ROUNDED = 1e-6
"""Share of the effect that rounding in the solve may hide"""

PRODUCTS = 400
"""Iterations that the solve for what of the effect is missing may take."""

FALLEN, SURE = 0.05, 0.25
"""It ends once ‖r‖_{B⁻¹} has fallen to this share and the way ahead is this share of the way gone,
or it is clear on which side of the limit both together are."""


@dataclass(frozen=True)
class Anchored:
    """How much of a deletion's effect a model has."""

    residual: float
    """See above"""
    push: float
    """Its denominator"""
    stored: float
    """The residual that rounding the factors for storage may leave: twice ε ‖Θ_u‖_B over the
    push"""
    effect_left: float | None
    """See above, over rows that D_r leaves; None where L bends down, the model has not moved, or
    hardly anything is left of two dimensions of the items"""
    moved: float
    """min_R ‖Θ_u − Θ_a R‖_F over these rows"""


def anchored(
    objective: Objective,
    remaining: Interactions,
    whole: Interactions,
    original: Factors,
    factors: Factors,
    *,
    threads: int,
    limit: float | None = None,
) -> Anchored:
    """The anchored residual of ``factors`` (Θ_u) for ``original`` (Θ_a), ``remaining`` (D_r) and
    ``whole`` (D_a).

    ``limit`` is the share of the effect that may be missing: once it is clear on which side of it
    the share is, no more is spent on it. Without, nothing is said of it.
    """
    with threadpool_limits(1, "blas"):  # our own workers are the parallelism
        return _anchored(objective, remaining, whole, original, factors, threads, limit)


def _anchored(
    objective: Objective,
    remaining: Interactions,
    whole: Interactions,
    original: Factors,
    factors: Factors,
    threads: int,
    limit: float | None,
) -> Anchored:
    before, after, here = (
        Compiled(objective, data, point, threads=threads)
        for data, point in ((whole, original), (remaining, original), (remaining, factors))
    )
    live = remaining.user_counts > 0, remaining.item_counts > 0
    frame = _Frame(here, before, live)
    held = frame.anchors
    left = here.gradient[0] - held[0], frame.off(here.gradient[1] - held[1])
    change = after.gradient[0] - before.gradient[0], after.gradient[1] - before.gradient[1]
    largest = max(float(np.abs(x).max(initial=0.0)) for x in change)
    for x in change:
        x[np.abs(x).max(axis=1) <= NOTHING * largest] = 0.0
    push = after.block_norm(change) or 1.0
    eps = STORED if factors.users.dtype == np.float32 else float(np.finfo(np.float64).eps)
    moved, effect = frame.moved, None
    if limit is not None and moved > 0:
        across = Slice(here.P, here.Q, frame.rotates)
        solver = Solver(here, across)
        way = _way(
            solver,
            frame.off,
            left,
            lambda step: norm(_over(live, across.project(step))),
            limit * moved,
        )
        if way is not None and frame.known:
            share = way / moved
            effect = share * (1.0 + share) + ROUNDED
    return Anchored(
        here.block_norm(left) / push, push, 2.0 * eps * here.block_size / push, effect, moved
    )


class _Frame:
    """Θ_a in the frame of Θ_u, which is known up to a rotation of all rows."""

    def __init__(self, here: Plain, before: Plain, live: Rows) -> None:
        self._here, self._before, self._live = here, before, live
        self.rotates = bool(np.ptp(here.h) == 0)

    @cached_property
    def anchors(self) -> Pair:
        """What training had left, g R; zero in rows that D_r leaves empty."""
        found = [
            np.where(rows[:, None], g @ self._items, 0.0)
            for rows, g in zip(self._live, self._before.gradient, strict=True)
        ]
        return found[0], found[1]

    def off(self, items: np.ndarray) -> np.ndarray:
        """A gradient of the items without what would only turn them against Q_a R."""
        return self._level.project((self._level.P, items))[1]

    @cached_property
    def known(self) -> bool:
        """False where hardly anything is left of two dimensions of the items, and with it of how
        they have turned.
        """
        if not self.rotates:
            return True
        level = self._level.Q
        lengths, axes = np.linalg.eigh(level.T @ level)
        kept = np.einsum("id,ij,jd->d", axes, level.T @ self._here.Q, axes)
        return not any(
            COLLAPSED * lengths[-1] < lengths[i] + lengths[j]
            and kept[i] + kept[j] < LOST * (lengths[i] + lengths[j])
            for j in range(lengths.size)
            for i in range(j)
        )

    @cached_property
    def _level(self) -> Slice:
        none = np.zeros((0, self._here.h.size))
        return Slice(none, self._before.Q @ self._items * self._live[1][:, None], self.rotates)

    @cached_property
    def _items(self) -> Float64:
        """R, with Q_a R nearest to the items"""
        return self._turn((1,))

    @property
    def moved(self) -> float:
        """‖Θ_u − Θ_a R‖_F over the rows that D_r leaves, R making it least."""
        R = self._turn((0, 1))
        pairs = _over(self._live, (self._before.P, self._before.Q))
        mine = _over(self._live, (self._here.P, self._here.Q))
        return norm((mine[0] - pairs[0] @ R, mine[1] - pairs[1] @ R))

    def _turn(self, sides: tuple[int, ...]) -> Float64:
        if not self.rotates:
            return np.eye(self._here.h.size)
        pairs = _over(self._live, (self._before.P, self._before.Q))
        mine = _over(self._live, (self._here.P, self._here.Q))
        shared = np.add.reduce([pairs[side].T @ mine[side] for side in sides])
        left, _, right = np.linalg.svd(shared)
        return np.asarray(left @ right)


def _way(
    solver: Solver,
    level: Callable[[np.ndarray], np.ndarray],
    gradient: Pair,
    length: Callable[[Pair], float],
    limit: float,
) -> float | None:
    """How far a Newton step from ``gradient`` goes, estimated from above; None where L bends down.

    Plain conjugate gradients, as ``linalg.ahead`` needs them: from zero, and without what
    ``Solver.solve`` adds. Residuals are kept off the rotations in double precision: single makes no
    projection of it where dimensions are nearly unused.
    """

    def off(residual: np.ndarray) -> np.ndarray:
        return np.asarray(level(residual.astype(np.float64)), dtype=solver.dtype)

    size = max(float(np.abs(g).max(initial=0.0)) for g in gradient)
    if size == 0.0:
        return 0.0
    users, items = (np.asarray(g * (-0.5 / size), dtype=solver.dtype) for g in gradient)
    given = solver.solved(0, users)
    r = off(items - solver.couple(1, given))
    z = off(solver.solved(1, r))
    p, Bp, x, follow = z, r, np.zeros_like(r), given
    ahead, rho = Ahead(), _dot(r, z)
    first, gone, rest = rho, length((given, x)) * size, 0.0
    for _ in range(PRODUCTS):
        if not rho > 0.0:
            break
        y = -solver.solved(0, solver.couple(0, p))
        Sp = solver.couple(1, y, p)
        curvature = _dot(p, Sp)
        if not curvature > 0.0:
            return None
        step = solver.dtype(rho / curvature)
        x, follow, r = x + step * p, follow + step * y, off(r - step * Sp)
        ratio = _dot(p, Bp) / (_dot(p, p) + _dot(y, y))
        z = off(solver.solved(1, r))
        rho, last = _dot(r, z), rho
        ahead.met(float(step), rho / last, rho, ratio)
        p, Bp = z + solver.dtype(rho / last) * p, r + solver.dtype(rho / last) * Bp
        gone, rest = length((follow, x)) * size, ahead.length * size
        enough = gone + rest <= limit or gone - rest > limit or rest <= SURE * gone
        if rho <= FALLEN**2 * first and enough:
            break
    return gone + rest


def _over(rows: Rows, pair: Pair) -> Pair:
    return pair[0][rows[0]], pair[1][rows[1]]


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.vdot(a, b))
