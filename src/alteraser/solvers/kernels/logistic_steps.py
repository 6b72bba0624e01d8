"""Steps of logistic matrix factorization on whole rows, with sampled negatives, as implicit takes
them.
"""

from __future__ import annotations

import numpy as np

from alteraser.runtime.jit import kernel
from alteraser.solvers.kernels.pair_steps import _below, _mixed


@kernel
def logistic_steps(rows, indptr, indices, weight, x, other, squares, fixed, hyper, seed):  # type: ignore[no-untyped-def]
    """One step of each of ``rows`` of x (m, w), in place, the other side (n, w) staying:

        g = Σ_i c_i (1 − σ(x·z_i)) z_i − Σ_j σ(x·z_j) z_j − λ x
        S += g²,      x += η g / √(1e-6 + S)

    over the row's interactions i and its negatives j, which are ``indices`` at places hashed from
    (``seed``, row, number): of ``hyper`` = (η, λ, N): min(w, N · |i|)
    of them. Column ``fixed`` of x stays. Rows without interactions stay too.
    """
    rate, ridge, negatives = hyper
    w = x.shape[1]
    g = np.empty(w, x.dtype)
    base = _mixed(np.uint64(seed))
    one = x.dtype.type(1.0)
    for row in rows:
        start, stop = indptr[row], indptr[row + 1]
        if start == stop:
            continue
        mine = x[row]
        for c in range(w):
            g[c] = -ridge * mine[c]
        number = min(w, np.int64(negatives * (stop - start)))
        own = _mixed(base ^ np.uint64(row))
        for k in range(stop - start + number):
            if k < stop - start:
                z = other[indices[start + k]]
                r = weight[start + k]
            else:
                z = other[indices[_below(_mixed(own ^ np.uint64(k)), indices.size)]]
                r = x.dtype.type(0.0)
            s = x.dtype.type(0.0)
            for c in range(w):
                s += mine[c] * z[c]
            pull = one / (one + np.exp(-s))
            pull = r * (one - pull) if k < stop - start else -pull
            for c in range(w):
                g[c] += pull * z[c]
        for c in range(w):
            if c != fixed:
                squares[row, c] += g[c] * g[c]
                mine[c] += rate * g[c] / np.sqrt(x.dtype.type(1e-6) + squares[row, c])
