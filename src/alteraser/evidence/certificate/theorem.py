"""The Newton–Kantorovich theorem for L on the slice: from numbers at one point to a stationary
point near it.

With F = ∇L restricted to the affine slice Θ + V, F'(Θ) has an inverse of norm at most 1/μ, the
first Newton step has length η, and F' is Lipschitz with constant K on the ball of radius 2η. The
theorem (Kantorovich 1948; Ortega 1968) then says: κ = Kη/μ ≤ ½ implies a zero of F within ρ = (1 −
√(1 − 2κ)) μ/K ≤ 2η, unique in that ball of the slice.

K: with Ds[a] = A_P H Qᵀ + P H A_Qᵀ and D²s[a,b] = A_P H B_Qᵀ + B_P H A_Qᵀ the third derivative of L
is 2 Σ w (D²s[a,c] Ds[b] + D²s[b,c] Ds[a] + D²s[a,b] Ds[c]); by Cauchy–Schwarz |√w Ds[a]| ≤ √w_max
‖h‖_∞ Σ |a| and |√w D²s[a,b]| ≤ √w_max ‖h‖_∞ |a||b|, with Σ² = ‖P‖₂² + ‖Q‖₂², which grows by at most
the radius. The penalty is quadratic. So K = 6 w_max ‖h‖_∞² (Σ + 2η).

The zero of F is a stationary point of L: what ∇L(Θ*) could have left lies along the orbit at Θ, and
it is orthogonal to the orbit at Θ*; the two are not orthogonal while ρ < √2 σ_d, σ_d the smallest
singular value of Θ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Ball:
    """What the theorem says of a point."""

    lipschitz: float
    """K"""
    kappa: float
    """κ = Kη/μ; the theorem needs at most ½"""
    rho: float | None
    """Radius within which there is a stationary point; None where κ > ½ or μ ≤ 0"""


def lipschitz(heaviest: float, prediction: float, size: float, eta: float) -> float:
    """K = 6 w_max ‖h‖_∞² (Σ + 2η).

    >>> lipschitz(1.0, 1.0, 10.0, 0.0)
    60.0
    """
    return 6.0 * heaviest * prediction**2 * (size + 2.0 * eta)


def ball(curvature: float, eta: float, K: float) -> Ball:
    """κ and ρ from μ, η and K.

    >>> ball(2.0, 0.01, 10.0)                                  # κ = 0.05
    Ball(lipschitz=10.0, kappa=0.05, rho=0.01026...)
    >>> ball(2.0, 1.0, 10.0).rho is None
    True
    """
    if not curvature > 0:
        return Ball(K, math.inf, None)
    kappa = K * eta / curvature
    if not kappa <= 0.5:
        return Ball(K, kappa, None)
    # (1 − √(1 − 2κ)) μ/K without the cancellation for small κ
    return Ball(K, kappa, 2.0 * eta / (1.0 + math.sqrt(1.0 - 2.0 * kappa)))
