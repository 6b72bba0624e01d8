"""Exact minimization along a line: the objective is a quartic in the step, so five values determine
it.

Used where extrapolation was refused. That happens near saddle points, which attract extrapolation
(it looks for stationary points, not for minima) and which alternating passes leave very slowly; a
pass's own displacement points out of them, and the minimum along it may be hundreds of its lengths
away (De Sterck, SIAM J. Sci. Comput. 2012, uses the same search inside nonlinear GMRES for tensor
decompositions).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.polynomial import Polynomial


def quartic_step(objective: Callable[[float], float], reach: float) -> float:
    """The t in (0, 4·reach] that minimizes the quartic ``objective(t)``; 0 if none is below
    ``objective(0)``.

    ``reach`` is the scale on which the quartic is sampled, at 0, ±reach and ±2·reach.

    >>> # 0.04 t³ + 2 t = 6
    >>> round(quartic_step(lambda t: (t - 3.0) ** 2 + 0.01 * t**4, reach=1.0), 3)
    2.634
    """
    nodes = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    values = np.array([objective(node * reach) for node in nodes])
    if not np.all(np.isfinite(values)):
        return 0.0
    # differences from the value at 0, so that a large constant does not swallow them
    quartic = Polynomial(np.linalg.solve(np.vander(nodes, 5, increasing=True), values - values[2]))
    roots = np.asarray(quartic.deriv().roots(), dtype=complex)
    candidates = [
        float(r.real) for r in roots if abs(r.imag) < 1e-9 * (1 + abs(r)) and 0 < r.real <= 4.0
    ]
    best = min(candidates, key=lambda t: float(quartic(t)), default=0.0)
    return best * reach if quartic(best) < 0 else 0.0
