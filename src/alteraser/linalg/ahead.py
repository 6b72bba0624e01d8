"""How far conjugate gradients still has to go, from its own coefficients: an estimate from above.

For S x = b with the preconditioner M, after k iterations with steps α, turns β and ρ_k =
r_kᵀM⁻¹r_k,

    ‖x − x_k‖²_S = r_kᵀ S⁻¹ r_k <= γ_k ρ_k,
        γ_0 = 1/μ,  γ_{j+1} = (γ_j − α_j) / (μ (γ_j − α_j) + β_{j+1})

for every μ below the spectrum of M⁻¹S (Gauss–Radau quadrature: Golub & Meurant, BIT 1997; this
recurrence: Meurant & Tichý, Numer. Algorithms 2013). No such bound of a Hessian is known
beforehand. The least Ritz value is above the spectrum and comes down to it, and while it still
falls much of the solution may lie where it has not been: what the last iterations added says
nothing of that. Here μ is the least Ritz value θ times the square of what it has fallen by in the
last quarter of the iterations: below the spectrum once θ has come to rest, and about there while it
falls.

An estimate therefore, not a bound: nothing tells of a direction that the right-hand side has no
part in, or so small a part that no Ritz value has gone there yet.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

FIRST = 5
"""Iterations before which θ says nothing."""

LAST = 4
"""θ is compared with what it was one LAST-th of the iterations ago."""

POWER = 2
"""μ = θ (θ / θ before)^POWER"""

BELOW = 0.999
"""Of μ, to be below a θ that has come to rest."""

SURE = 2.0
"""What a solve has left is taken to be so many times its estimate where something is claimed by it:
in two of a thousand small systems twice of it was still too little."""

RECENT = 8
"""Directions over which the ratio of two norms is averaged."""


class Ahead:
    """What one run of conjugate gradients knows of the rest of its way."""

    def __init__(self, *, least: float = np.inf, curvature: float = np.inf) -> None:
        """``least``: about the least eigenvalue of M⁻¹S, where something is known of it beforehand;
        ``curvature``: the least eigenvalue of B⁻¹S, where M is B but for known directions in which
        it is less.
        """
        self._known, self._curvature = least, curvature
        self._steps: list[float] = []
        self._turns: list[float] = []
        self._thetas: list[float] = []
        self._ratios: list[float] = []
        self._rho = 0.0

    def met(self, step: float, turn: float, rho: float, ratio: float) -> None:
        """After an iteration with ``step`` α along p, the next ``turn`` β and ρ = rᵀM⁻¹r.

        ``ratio`` = ‖p‖²_B / ‖p‖², B being M but for what was made of it in known directions: the
        second norm is that in which the answer is wanted.
        """
        self._steps.append(step)
        self._turns.append(turn)
        self._ratios.append(ratio)
        self._thetas.append(smallest_ritz(self._steps, self._turns))
        self._rho = max(rho, 0.0)

    @property
    def spectrum(self) -> float:
        """μ, an estimate of the least eigenvalue of M⁻¹S that the right-hand side has a part in;
        infinite at first.
        """
        count = len(self._thetas)
        if not count:
            return float("inf")
        falling = min(self._thetas[-1] / self._thetas[max(count - 1 - count // LAST, 0)], 1.0)
        return self._thetas[-1] * falling**POWER

    @property
    def energy(self) -> float:
        """Estimates ‖x − x_k‖²_S from above."""
        if self._rho == 0.0:  # also where there was nothing to do
            return 0.0
        if len(self._thetas) < FIRST:
            return float("inf")
        mu = min(self.spectrum, self._known) * BELOW
        if not mu > 0:
            return float("inf")
        gamma = 1.0 / mu
        for step, turn in zip(self._steps, self._turns, strict=True):
            rest = gamma - step
            if not rest > 0:  # rounding: θ is below what these steps allow
                return self._rho / mu
            gamma = rest / (mu * rest + turn)
        return min(gamma, 1.0 / mu) * self._rho

    @property
    def length(self) -> float:
        """Estimates ‖x − x_k‖ from above: what is left lies where there is least curvature, at the
        worst.
        """
        energy = self.energy
        if energy == 0.0 or not np.isfinite(energy):
            return energy
        least = min(self._curvature, self.spectrum)
        recent = self._ratios[-RECENT:]
        return float(np.sqrt(energy / (BELOW * least * (sum(recent) / len(recent)))))


def smallest_ritz(steps: list[float], turns: list[float]) -> float:
    """Least eigenvalue of the Lanczos matrix that conjugate gradients with these α and β have
    built; NaN for none.
    """
    if not steps:
        return float("nan")
    a, b = np.array(steps), np.array(turns)
    diagonal = 1.0 / a
    diagonal[1:] += b[:-1] / a[:-1]
    off = np.sqrt(b[:-1]) / a[:-1]
    return float(eigvalsh_tridiagonal(diagonal, off, select="i", select_range=(0, 0))[0])
