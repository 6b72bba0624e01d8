"""The smallest curvature μ = min vᵀ∇²L v over unit v in the slice: proved on small problems,
estimated on others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cholesky, eigvalsh

from alteraser.evidence.certificate.plain import Pair, Plain, inner, norm, rounding
from alteraser.evidence.certificate.rotation import Slice
from alteraser.evidence.certificate.solve import Solver

Float64 = npt.NDArray[np.float64]

SETTLED = 0.8
"""An inverse iteration that leaves this share of the least curvature or more was the last one."""


@dataclass(frozen=True)
class LeastCurvature:
    """μ and how it is known."""

    value: float
    how: Literal["proved", "estimated", "negative"]
    """``proved``: a lower bound. ``estimated``: an upper bound, close. ``negative``: a direction
    that bends down."""


def proved(plain: Plain, across: Slice) -> float | None:
    """A lower bound of μ, or None where none is found: Cholesky of ∇²L + τTTᵀ − cI, rounding
    subtracted.

    T is an orthonormal basis of the orbit. A factorization that runs to its end proves A ≻ −γ_{N+1}
    tr(A) I for what it was given (Demmel 1989; Rump 2006); the rounding of the entries of ∇²L is
    bounded by the same sums over absolute values, that of T by its angle to the orbit.
    """
    hessian = plain.dense_hessian()
    size = hessian.shape[0]
    tall = max(plain.data.shape) + 2 * plain.h.size + 20
    scale = float(np.abs(hessian).sum(axis=1).max())
    if across.rotates:
        orbit = across.orbit()
        hessian += scale * (orbit @ orbit.T)
    smallest = (
        float(eigvalsh(hessian, subset_by_index=[0, 0])[0]) if size <= 2000 else _lowest(hessian)
    )
    if not smallest > 0:
        return None
    magnitudes = Plain(plain.objective, plain.data, plain.factors, magnitudes=True).dense_hessian()
    slack = rounding(tall) * float(magnitudes.sum(axis=1).max())
    del magnitudes
    if across.rotates:
        tilt = (
            rounding(size + 20) * float(across.singular_values[-1] / across.least)
            if across.rank
            else 0.0
        )
        slack += 3.0 * scale * tilt + rounding(size + 20) * scale
    slack += rounding(size + 2) * (float(np.trace(hessian)) + size * smallest)
    diagonal = np.einsum("ii->i", hessian)
    for share in (0.99, 0.9, 0.5):
        diagonal -= share * smallest
        try:
            cholesky(hessian, lower=True, check_finite=False)
        except LinAlgError:
            diagonal += share * smallest
            continue
        bound = share * smallest - slack
        return bound if bound > 0 else None
    return None


def _lowest(matrix: Float64) -> float:
    """Least eigenvalue of a symmetric matrix by Lanczos on its inverse; only a guess for ``proved``
    to try.
    """
    from scipy.linalg import lu_factor, lu_solve
    from scipy.sparse.linalg import LinearOperator, eigsh

    factored = lu_factor(matrix, check_finite=False)
    inverse = LinearOperator(
        matrix.shape, matvec=lambda x: lu_solve(factored, x, check_finite=False), dtype=float
    )
    start = np.random.default_rng(0).standard_normal(matrix.shape[0])
    largest = eigsh(inverse, k=1, which="LM", v0=start, tol=1e-6, return_eigenvectors=False)
    return float(1.0 / largest[0])


def quotient(plain: Plain, across: Slice, direction: Pair) -> float:
    """vᵀ∇²L v / vᵀv of the part of ``direction`` in the slice; infinite where there is none."""
    line = across.project(direction)
    length = norm(line)
    return (
        inner(line, across.project(plain.product(line))) / length**2 if length > 0 else float("inf")
    )


def estimated(plain: Plain, across: Slice, solver: Solver, *, rounds: int = 4) -> LeastCurvature:
    """An upper bound of μ that is near it: Rayleigh–Ritz on the directions that ``solver`` has gone
    and goes.

    Inverse iterates of the best direction so far are added, until one lowers it by less than a
    fifth. The directions come from ``solver``, which nobody has to trust; the quotient is taken
    with ``plain.product``.
    """
    best = solver.least()
    for _ in range(rounds):
        if best is None:
            break
        known = solver.least_value
        found = solver.solve((-best[0], -best[1]), forcing=0.1)
        if found.negative is not None:
            best = found.negative
            break
        best = solver.least()
        if solver.least_value > SETTLED * known:
            break
    quotients = [float("inf") if best is None else quotient(plain, across, best)]
    for row, about in (solver.weakest_row(0), solver.weakest_row(1)):
        if about < quotients[0]:
            quotients.append(quotient(plain, across, row))
    value = min(quotients)
    return LeastCurvature(value, "estimated" if value > 0 else "negative")


__all__: list[Any] = ["LeastCurvature", "estimated", "proved"]
