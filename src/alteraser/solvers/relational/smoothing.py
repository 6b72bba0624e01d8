"""An approximate inverse of a propagation, as a polynomial of its graph: what a preconditioner is
of.

S = (I + Ã + … + Ã^K) / (K + 1) shrinks what differs from node to node by about K + 1 and keeps what
is smooth on the graph. In the space that it maps to, a loss is that of matrix factorization, whose
curvature is a block per node; p(Ã) ≈ S⁻¹ goes there and back. Nearly all eigenvalues μ of the graph
of a recommender's data are within ``WITHIN``, where p(μ) s(μ) is to be 1; outside there are few,
and p must not become large there: where s is almost nothing it is the penalty that bends L. So p is
of a low degree, and a fit of p s = 1 by weighted least squares.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from alteraser.models.relational import Propagation

WITHIN, OUTSIDE = 0.6, 0.3
"""Half the interval of eigenvalues that count fully, and what the others count"""
DEGREE = 2
"""Of p: twice as many products with the graph are a preconditioner's share of an iteration"""
LEAST = 0.1
"""Share of p(0) that p is everywhere above: it must be invertible, or what it is of is none"""


@cache
def inverse_of_mean(layers: int) -> tuple[float, ...]:
    """Coefficients of powers of p, lowest first: p(μ) ≈ (K + 1) / (1 + μ + … + μ^K).

    >>> inverse_of_mean(0)
    (1.0,)
    """
    if layers == 0:
        return (1.0,)
    points = np.cos(np.linspace(0.0, np.pi, 401))  # as dense as Chebyshev's
    mean = np.vander(points, layers + 1).sum(1) / (layers + 1)
    weights = np.where(np.abs(points) <= WITHIN, 1.0, OUTSIDE)
    for degree in range(DEGREE, 0, -1):
        powers = np.vander(points, degree + 1, increasing=True)
        fit = np.linalg.lstsq(powers * (mean * weights)[:, None], weights, rcond=None)[0]
        if (powers @ fit).min() >= LEAST * (layers + 1):
            return tuple(fit.tolist())
    return (layers + 1.0,)


def undone(walk: Propagation, X: Any, *, threads: int = 1) -> Any:
    """p(Ã) X, about S⁻¹ X, in the precision of X; symmetric and positive definite."""
    coefficients = [X.dtype.type(value) for value in inverse_of_mean(walk.layers)]
    total = coefficients[-1] * X
    for coefficient in coefficients[-2::-1]:
        total = walk.step(total, threads=threads)
        total += coefficient * X
    return total
