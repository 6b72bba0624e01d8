"""The four loops over interactions and rows that a certificate spends its time in, compiled.

Their readable twins are in ``plain``: ``_cells``, ``product`` and ``_solved``; tests hold the two
together. Nothing is shared with the kernels that train and erase. Every row is summed by itself, in
the order of its interactions, so neither threads nor blocks of rows change a bit. In float64, sums
may be reordered and fused: the bounds of rounding that ``plain`` adds hold for any order (Higham
2002, §3.1).

``rows`` are the rows to take; ``indptr`` and ``indices`` say which rows of the other side each of
them meets.
"""

from __future__ import annotations

import numpy as np

from alteraser.runtime.jit import kernel


@kernel
def scores(rows, indptr, indices, X, Z, out):  # type: ignore[no-untyped-def]
    """``out[j]`` = x·z of every interaction j of the rows."""
    d = X.shape[1]
    for n in range(rows.size):
        i = rows[n]
        for j in range(indptr[i], indptr[i + 1]):
            k = indices[j]
            total = X.dtype.type(0)
            for c in range(d):
                total += X[i, c] * Z[k, c]
            out[j] = total


@kernel
def curve(rows, indptr, indices, weight, error, X, V, Z, W, out):  # type: ignore[no-untyped-def]
    """``out[i]`` += Σ_j [ω (v·z + x·w) z + e w]: what the interactions add to ½ ∇²L·(V, W).

    ``V`` without rows stands for zeros: then it is the coupling of the two sides alone.
    """
    d = X.shape[1]
    moving = V.shape[0] > 0
    for n in range(rows.size):
        i = rows[n]
        for j in range(indptr[i], indptr[i + 1]):
            k = indices[j]
            t = X.dtype.type(0)
            if moving:
                for c in range(d):
                    t += X[i, c] * W[k, c] + V[i, c] * Z[k, c]
            else:
                for c in range(d):
                    t += X[i, c] * W[k, c]
            t *= weight[j]
            e = error[j]
            for c in range(d):
                out[i, c] += t * Z[k, c] + e * W[k, c]


@kernel
def solve_blocks(  # type: ignore[no-untyped-def]
    rows, indptr, indices, weight, Z, gram, own, ridge, right, out, kept
):
    """``out[i]`` = A⁻¹ ``right[i]``, A = own·gram + Σ_j ω z zᵀ + ridge, by Cholesky; infinite where
    A is not positive.

    ``kept[i]`` gets the factor C of A = C Cᵀ, row by row, the diagonal inverted, for
    ``solve_kept``, zero where there is none; without rows nothing is kept.
    """
    d = Z.shape[1]
    A = np.empty((d, d))
    w = np.empty(4)
    for n in range(rows.size):
        i = rows[n]
        keep = kept.shape[0] > 0
        asked = False
        for c in range(d):
            asked = asked or right[i, c] != 0.0
        if not asked:
            for c in range(d):
                out[i, c] = 0.0
            if not keep:
                continue
        for a in range(d):
            for c in range(a + 1):
                A[a, c] = own[i] * gram[a, c]
            A[a, a] += ridge[i]
        hi = indptr[i + 1]
        for j in range(indptr[i], hi, 4):
            for s in range(4):
                w[s] = weight[j + s] if j + s < hi else 0.0
            k0 = indices[j]
            k1, k2, k3 = (
                indices[min(j + 1, hi - 1)],
                indices[min(j + 2, hi - 1)],
                indices[min(j + 3, hi - 1)],
            )
            for a in range(d):
                t0, t1, t2, t3 = w[0] * Z[k0, a], w[1] * Z[k1, a], w[2] * Z[k2, a], w[3] * Z[k3, a]
                for c in range(a + 1):
                    A[a, c] += (t0 * Z[k0, c] + t1 * Z[k1, c]) + (t2 * Z[k2, c] + t3 * Z[k3, c])
        positive = True
        for a in range(d):
            whole = A[a, a]
            for b in range(a):
                total = A[a, b]
                for c in range(b):
                    total -= A[a, c] * A[b, c]
                A[a, b] = total * A[b, b]  # the diagonal is already inverted
            rest = whole
            for c in range(a):
                rest -= A[a, c] * A[a, c]
            # nothing is left but rounding; also for NaN
            if not rest > d * 2.220446049250313e-16 * whole:
                positive = False
                break
            A[a, a] = 1.0 / np.sqrt(rest)
        if not positive:
            if asked:
                for c in range(d):
                    out[i, c] = np.inf
            if keep:
                for c in range(kept.shape[1]):
                    kept[i, c] = 0.0
            continue
        if asked:
            for a in range(d):
                total = right[i, a]
                for c in range(a):
                    total -= A[a, c] * out[i, c]
                out[i, a] = total * A[a, a]
            for b in range(d):
                a = d - 1 - b
                x = out[i, a] * A[a, a]
                out[i, a] = x
                for c in range(a):
                    out[i, c] -= x * A[a, c]
        if keep:
            at = 0
            for a in range(d):
                for c in range(a + 1):
                    kept[i, at] = A[a, c]
                    at += 1


@kernel
def solve_kept(rows, kept, right, out):  # type: ignore[no-untyped-def]
    """``out[i]`` = A⁻¹ ``right[i]`` with what ``solve_blocks`` kept."""
    d = right.shape[1]
    for n in range(rows.size):
        i = rows[n]
        at = 0
        for a in range(d):
            total = right[i, a]
            for c in range(a):
                total -= kept[i, at + c] * out[i, c]
            out[i, a] = total * kept[i, at + a]
            at += a + 1
        for b in range(d):
            a = d - 1 - b
            at -= a + 1
            x = out[i, a] * kept[i, at + a]
            out[i, a] = x
            for c in range(a):
                out[i, c] -= x * kept[i, at + c]
