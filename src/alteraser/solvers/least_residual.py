"""A step on both sides at once that leaves least of a gradient, in the norm that judges it.

MINRES (Paige & Saunders 1975) on ½ ∇²L x = −r with the blocks B as its preconditioner has after
each product the least ‖r + ½ ∇²L x‖_{B⁻¹} of all steps of that kind, wherever L bends up or down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import LinearOperator, minres

from alteraser.errors import NumericFailure
from alteraser.models import Problem
from alteraser.solvers.joint import Joint
from alteraser.solvers.rows.protocol import padded

Array = npt.NDArray[Any]
Pair = tuple[Array, Array]


def least_residual(
    problem: Problem, at: Pair, gradient: Pair, *, products: int, threads: int
) -> Pair | None:
    """The step (m, d), (n, d) from ``at`` that so many ``products`` with the Hessian come to; None
    where there is no room for the blocks, or a row's has no factor.

    ``gradient`` is half of what is to vanish, (m, d) and (n, d); rows without interactions stay.
    """
    P, Q = (padded(np.array(x, problem.dtype)) for x in at)
    if not Joint.fits(problem, P.shape[1]):
        return None
    m, d = gradient[0].shape
    joint = Joint(problem, P, Q, np.ones(d, problem.dtype), threads)
    try:
        joint.settle(move=False)
    except NumericFailure:
        return None
    joint.find_errors()
    users, items = joint.users, joint.items
    live = [side.counts[:, None] > 0 for side in (problem.users, problem.items)]

    def split(x: Array) -> Pair:
        return users.wide(x[: m * d].reshape(m, d)), items.wide(x[m * d :].reshape(-1, d))

    def flat(V: Array, W: Array) -> Array:
        rows = (x[:, :d] * some for x, some in zip((V, W), live, strict=True))
        return np.concatenate([x.ravel() for x in rows])

    def product(x: Array) -> Array:
        V, W = split(x)
        return flat(users.times(V) + users.across(W), items.times(W) + items.across(V))

    def blocks(x: Array) -> Array:
        V, W = split(x)
        return flat(users.solve(V), items.solve(W))

    right = -flat(*gradient)
    shape = right.size, right.size
    H, M = (LinearOperator(shape, matvec=each, dtype=np.float64) for each in (product, blocks))
    found = minres(H, right, M=M, maxiter=products, rtol=0.0)[0]
    if not np.isfinite(found).all():
        return None
    return found[: m * d].reshape(m, d), found[m * d :].reshape(-1, d)
