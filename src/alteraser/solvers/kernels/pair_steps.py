"""Stochastic gradient steps on sampled pairs (BPR), one sample after the other."""

from __future__ import annotations

import numpy as np

from alteraser.runtime.jit import kernel


@kernel
def _mixed(state):  # type: ignore[no-untyped-def]
    """splitmix64 (Steele et al., OOPSLA 2014), as ``models.factorization.negatives`` has it."""
    z = state + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def _below(state, size):  # type: ignore[no-untyped-def]
    return np.int64(np.float64(state >> np.uint64(11)) * 2.0**-53 * size)


@kernel
def _has_met(bits, indptr, indices, u, j, width):  # type: ignore[no-untyped-def]
    if bits.size:
        cell = u * width + j
        return bits[cell >> 3] & (np.uint8(1) << np.uint8(cell & 7)) != 0
    start, end = indptr[u], indptr[u + 1]
    stop = end
    while start < stop:
        middle = (start + stop) // 2
        if indices[middle] < j:
            start = middle + 1
        else:
            stop = middle
    return start < end and indices[start] == j


@kernel
def pair_steps(bits, indptr, rows, indices, negatives, P, Q, rate, ridge, keep, seed, samples):  # type: ignore[no-untyped-def]
    """``samples`` steps in P (m, w) and Q (n, w), in place. Sample k takes the interaction (u, i) =
    (``rows``, ``indices``)[a], a = hash(2k), and the item j = ``negatives[hash(2k + 1)]``; where u
    has met j it is skipped, unless ``keep``. Then, with z = 1 / (1 + exp(p·(q_i − q_j))),

        p += η (z (q_i − q_j) − λ p),   q_i += η (z p − λ q_i),   q_j += η (−z p − λ q_j)

    with p from before in all three, one after the other (i may be j). The last column of P stays
    as it is: 1, so that the last of Q is the bias. ``bits`` are the cells u n + j that were met, of
    eight a byte; where there are none rows are searched, which takes twice as long.
    """
    d = P.shape[1] - 1
    base, one = _mixed(np.uint64(seed)), P.dtype.type(1.0)
    for k in range(samples):
        first = _mixed(base ^ np.uint64(2 * k))
        second = _mixed(base ^ np.uint64(2 * k + 1))
        a = _below(first, rows.size)
        u, i, j = rows[a], indices[a], negatives[_below(second, negatives.size)]
        if not keep and _has_met(bits, indptr, indices, u, j, Q.shape[0]):
            continue
        p, q, other = P[u], Q[i], Q[j]
        s = P.dtype.type(0.0)
        for c in range(d + 1):
            s += p[c] * (q[c] - other[c])
        z = one / (one + np.exp(s))
        for c in range(d):
            mine = p[c]
            p[c] += rate * (z * (q[c] - other[c]) - ridge * mine)
            q[c] += rate * (z * mine - ridge * q[c])
            other[c] += rate * (-z * mine - ridge * other[c])
        q[d] += rate * (z - ridge * q[d])
        other[d] += rate * (-z - ridge * other[d])
