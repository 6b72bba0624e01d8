"""The smallest curvature μ = min vᵀ∇²L v over unit v in the slice: proved on small problems, estimated on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cholesky, eigvalsh

from alteraser.certificate.plain import Pair, Plain, inner, norm, rounding
from alteraser.certificate.rotation import Slice
from alteraser.certificate.solve import Solver

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curvature:
    """μ and how it is known."""

    value: float
    how: Literal["proved", "estimated", "negative"]
    """``proved``: a lower bound. ``estimated``: an upper bound, close. ``negative``: a direction that bends down."""


def proved(plain: Plain, across: Slice) -> float | None:
    """A lower bound of μ, or None where none is found: Cholesky of ∇²L + τTTᵀ − cI, rounding subtracted.

    T is an orthonormal basis of the orbit. A factorization that runs to its end proves A ≻ −γ_{N+1} tr(A) I for what
    it was given (Demmel 1989; Rump 2006); the rounding of the entries of ∇²L is bounded by the same sums over absolute
    values, that of T by its angle to the orbit.
    """
    hessian = plain.dense_hessian()
    size = hessian.shape[0]
    tall = max(plain.data.shape) + 2 * plain.h.size + 20
    scale = float(np.abs(hessian).sum(axis=1).max())
    if across.rotates:
        orbit = across.orbit()
        hessian += scale * (orbit @ orbit.T)
    smallest = float(eigvalsh(hessian, subset_by_index=[0, 0])[0]) if size <= 2000 else _lowest(hessian)
    if not smallest > 0:
        return None
    magnitudes = Plain(plain.objective, plain.data, plain.factors, magnitudes=True).dense_hessian()
    slack = rounding(tall) * float(magnitudes.sum(axis=1).max())
    del magnitudes
    if across.rotates:
        tilt = rounding(size + 20) * float(across.singular_values[-1] / across.least) if across.rank else 0.0
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
    """Least eigenvalue of a symmetric matrix by Lanczos on its inverse; only a guess for ``proved`` to try."""
    from scipy.linalg import lu_factor, lu_solve
    from scipy.sparse.linalg import LinearOperator, eigsh

    factored = lu_factor(matrix, check_finite=False)
    inverse = LinearOperator(matrix.shape, matvec=lambda x: lu_solve(factored, x, check_finite=False), dtype=float)
    start = np.random.default_rng(0).standard_normal(matrix.shape[0])
    largest = eigsh(inverse, k=1, which="LM", v0=start, tol=1e-6, return_eigenvectors=False)
    return float(1.0 / largest[0])


def estimated(plain: Plain, across: Slice, solver: Solver, start: Pair, *, rounds: int = 3) -> Curvature:
    """An upper bound of μ that is near it: Rayleigh–Ritz on inverse iterates of ``start``, in the slice.

    The iterates come from ``solver``, which nobody has to trust; the quotients are taken with ``plain.product``.
    """
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal(plain.P.shape), rng.standard_normal(plain.Q.shape))
    vector = across.project(noise)
    if norm(start) > 0:  # a Newton step is rich in directions of little curvature
        size = norm(start) / max(norm(vector), 1e-300) / 0.1
        vector = start[0] + size * vector[0], start[1] + size * vector[1]
    basis: list[Pair] = []
    products: list[Pair] = []
    for _ in range(rounds):
        length = norm(vector)
        if not length > 0:
            break
        vector = vector[0] / length, vector[1] / length
        found = solver.solve((-vector[0], -vector[1]), forcing=0.1)
        for line in (found.negative, found.step):
            if line is None:
                continue
            line = _orthogonal(across.project(line), basis)
            if line is None:
                continue
            product = across.project(plain.product(line))
            basis.append(line)
            products.append(product)
        if found.step is None:
            break
        vector = across.project(found.step)
    if not basis:
        return Curvature(float("nan"), "estimated")
    matrix = np.array([[inner(a, b) for b in products] for a in basis])
    value = float(np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[0])
    return Curvature(value, "estimated" if value > 0 else "negative")


def _orthogonal(vector: Pair, basis: list[Pair]) -> Pair | None:
    """Unit vector along the part of ``vector`` that ``basis`` lacks; None if there is hardly any."""
    whole = norm(vector)
    for _ in range(2):
        for known in basis:
            share = inner(known, vector)
            vector = vector[0] - share * known[0], vector[1] - share * known[1]
    left = norm(vector)
    return None if not left > 1e-8 * whole else (vector[0] / left, vector[1] / left)


__all__: list[Any] = ["Curvature", "estimated", "proved"]
