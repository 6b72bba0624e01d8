"""The reduced Hessian of the items, S = B_Q − Cᵀ B_P⁻¹ C, and conjugate gradients on it.

Because B_Q is also a part of S, B_Q p comes from a recurrence, so an iteration costs two products
across (C and Cᵀ) and one solve with the factors per row: less than a pass of three CG steps, and it
takes half the iterations that the whole Hessian with B as its preconditioner would (Reid, SIAM J.
Numer. Anal. 1972, on matrices of this form). A plain pass is the first of these iterations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.linalg.ahead import Ahead
from alteraser.solvers.curvatures import Curvatures
from alteraser.solvers.one_side import Operators, dot
from alteraser.solvers.preconditioner import Image, ItemPreconditioner
from alteraser.solvers.recycled import Lanczos
from alteraser.solvers.rotations import Rotations
from alteraser.solvers.rows.protocol import aligned

Array = npt.NDArray[Any]
Pair = tuple[Array, Array]

DELAY = 3
"""Iterations of conjugate gradients after which it is known how far it was."""


@dataclass(frozen=True)
class ReducedHessian:
    """S, applied and never formed; the errors of both sides and their blocks are those of a
    point.
    """

    users: Operators
    items: Operators

    def __matmul__(self, p: Array) -> Array:
        """S p for a direction p (n, w) of the items."""
        return self.product(self.items.times(p), self.giving_way(p))

    def giving_way(self, p: Array) -> Array:
        """Y = B_P⁻¹ C p, (m, w): when the items go along p, the users' minimum goes along −y."""
        return self.users.solve(self.users.across(p))

    def product(self, B_p: Array, y: Array) -> Array:
        """S p from B_Q p and ``giving_way``."""
        return B_p - self.items.across(y)


@dataclass(frozen=True)
class SolveProgress:
    """Where conjugate gradients is."""

    products: int = 0
    fallen: float = 1.0
    """‖r‖_{B⁻¹} over what it was"""
    length: float = 0.0
    """‖x‖, both sides"""
    smallest: float = np.nan
    """Least Ritz value so far"""
    left: float = np.inf
    """Estimates ‖x* − x‖_B / ‖x‖_B: the energy ‖x* − x‖²_S of DELAY iterations ago, which is what
    they have removed and a little more (Hestenes & Stiefel 1952; Strakoš & Tichý, ETNA 2002), over
    the least curvature."""
    ahead: float = np.inf
    """Estimates ‖x* − x‖, both sides, from above"""


@dataclass(frozen=True)
class ReducedSolution:
    """Where it ended."""

    users: Array
    """(m, w), as the users give way"""
    items: Array
    """x ≈ S⁻¹ r, (n, w)"""
    bent: Pair | None
    """A direction of both sides in which L bends down, where one turned up"""
    last: SolveProgress
    exact: bool
    """Whether nothing is left of r"""


@dataclass(frozen=True)
class Observers:
    """What listens to the coefficients of a run."""

    curvatures: Curvatures
    ahead: Ahead
    learned: Lanczos | None = None
    known: float = np.inf
    """The least curvature, where something is known of it beforehand"""


def conjugate(
    S: ReducedHessian,
    M: ItemPreconditioner,
    right: Array,
    users: Array,
    *,
    enough: Callable[[SolveProgress], bool],
    products: int,
    rotations: Rotations | None,
    told: Observers,
    level: bool = False,
) -> ReducedSolution:
    """S x ≈ ``right`` for the items until ``enough``, or after so many ``products``.

    ``users`` (m, w), which is changed, gets − B_P⁻¹ C x added to it. Residuals are kept off
    ``rotations``. That keeps x as good as off them where S annihilates them; ``level`` keeps x off
    them wherever it is, which takes a product with B_Q more.
    """

    def image(r: Array) -> Image:
        z, B_z, plain = M.image(r)
        if level and rotations:
            z = aligned(rotations.off(z))
            B_z = S.items.times(z)
        return z, B_z, plain

    r = rotations.off(right) if rotations else right
    z, B_z, plain = image(r)
    p, B_p = z, B_z
    # M p: what curvature is relative to, B or other blocks
    M_p = B_p if M.is_of_blocks else r
    x, M_x = np.zeros_like(r), np.zeros_like(r)
    rz, first = dot(r, z), plain
    bent = None
    dtype = r.dtype.type
    led: tuple[float, float] | None = None
    gains: list[float] = []
    now = SolveProgress()
    while now.products < products and rz > 0.0 and not (now.products and enough(now)):
        y = S.giving_way(p)
        q = S.product(B_p, y)
        curvature = dot(p, q)
        if not curvature > 0.0:
            now = replace(now, products=now.products + 1)
            bent = -y, p
            break
        step = dtype(rz / curvature)
        if told.learned is not None:
            told.learned.add(z, rz, float(step), led)
        across = dot(p, p) + dot(y, y)
        ratio = dot(p, M_p) / across
        x += step * p
        M_x += step * M_p
        users -= step * y
        r = r - step * q
        if rotations:
            r = rotations.off(r)
        z, B_z, plain = image(r)
        rz, before = dot(r, z), rz
        beta = dtype(rz / before)
        gains.append(float(step) * before)
        smallest = told.curvatures.met(float(step), float(beta), curvature, p, B_p)
        led = float(step), float(beta)
        told.ahead.met(float(step), float(beta), rz, ratio)
        p, B_p = aligned(z + beta * p), B_z + beta * B_p
        M_p = B_p if M.is_of_blocks else r + beta * M_p
        energy = min(smallest, told.known) * dot(x, M_x)
        now = SolveProgress(
            products=now.products + 1,
            fallen=float(np.sqrt(max(plain, 0.0) / first)),
            length=float(np.sqrt(dot(x, x) + dot(users, users))),
            smallest=smallest,
            left=_root(sum(gains[-DELAY:]), energy),
            ahead=told.ahead.length,
        )
    return ReducedSolution(users, x, bent, now, rz <= 0.0)


def _root(part: float, whole: float) -> float:
    """√(part / whole); infinite where there is no whole."""
    return float(np.sqrt(part / whole)) if whole > 0 else np.inf
