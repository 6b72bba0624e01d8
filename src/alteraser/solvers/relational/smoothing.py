"""An approximate inverse of a propagation, as a polynomial of its graph: what a preconditioner is
of.

S = (I + Ã + … + Ã^K) / (K + 1) shrinks what differs from node to node by about K + 1 and keeps what
is smooth on the graph. In the space that it maps to, a loss is that of matrix factorization, whose
curvature is a block per node; p(Ã) ≈ S⁻¹ goes there and back. Nearly all eigenvalues of the graph
of a recommender's data are within ``WITHIN``; p is the interpolation at Chebyshev's points there.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from alteraser.models.relational import Propagation

WITHIN, DEGREE = 0.7, 4
"""Half the interval of eigenvalues where p is to be near, and its degree"""
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
    mean = Polynomial(np.full(layers + 1, 1.0 / (layers + 1)))
    everywhere = np.linspace(-1.0, 1.0, 401)
    for degree in range(DEGREE, 0, -1):
        found = Chebyshev.interpolate(lambda x: 1.0 / mean(x), degree, domain=[-WITHIN, WITHIN])
        if found(everywhere).min() >= LEAST * (layers + 1):
            return tuple(found.convert(kind=Polynomial).coef.tolist())
    return (layers + 1.0,)


def undone(walk: Propagation, X: Any, *, threads: int = 1) -> Any:
    """p(Ã) X, about S⁻¹ X, in the precision of X; symmetric and positive definite."""
    coefficients = [X.dtype.type(value) for value in inverse_of_mean(walk.layers)]
    total = coefficients[-1] * X
    for coefficient in coefficients[-2::-1]:
        total = walk.step(total, threads=threads)
        total += coefficient * X
    return total
