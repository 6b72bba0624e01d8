"""Kernels of the joint solver: factored blocks, products across the two sides, and the objective along a line.

Letters as in ``_kernels.py``: row x of this side, z of the other; V, W are directions on this and the other side.
"""

from __future__ import annotations

import numpy as np

from alteraser.solvers._dense import cholesky
from alteraser.solvers._jit import kernel
from alteraser.solvers._kernels import CHUNK, NOT_FINITE, SINGULAR, SOLVED, _system

PANEL = 4  # rows of a factor that are used together
LANES = 8  # rows start at a multiple of it, so that loops over them are whole vectors; both widths of padding have it


def packed_size(padded: int) -> int:
    """Numbers that the packed factor of one padded × padded block takes, somewhat over half of its square."""
    return PANEL * sum(PANEL + padded - k // LANES * LANES for k in range(0, padded, PANEL))


@kernel
def _pack(A, U):  # type: ignore[no-untyped-def]
    """Upper factor A into U: for each panel its diagonal block, with reciprocals on the diagonal, then what is right
    of it, with zeros up to where the first whole vector starts.
    """
    d = A.shape[0]
    o = 0
    one = A.dtype.type(1)
    zero = A.dtype.type(0)
    for k in range(0, d, PANEL):
        for r in range(k, k + PANEL):
            for c in range(k, k + PANEL):
                U[o] = one / A[r, r] if c == r else A[r, c]
                o += 1
        for r in range(k, k + PANEL):
            for c in range(k // LANES * LANES, d):
                U[o] = A[r, c] if c >= k + PANEL else zero
                o += 1


@kernel
def _solve(U, x):  # type: ignore[no-untyped-def]
    """Overwrite ``x`` with A⁻¹ x for a packed factor of A; reading the factor is what it costs."""
    d = x.size
    o = 0
    for k in range(0, d, PANEL):
        start = k // LANES * LANES
        length = d - start
        D = U[o : o + 16]
        o += 16
        r0, r1 = U[o : o + length], U[o + length : o + 2 * length]
        r2, r3 = U[o + 2 * length : o + 3 * length], U[o + 3 * length : o + 4 * length]
        o += PANEL * length
        x0 = x[k] * D[0]
        x1 = (x[k + 1] - x0 * D[1]) * D[5]
        x2 = (x[k + 2] - x0 * D[2] - x1 * D[6]) * D[10]
        x3 = (x[k + 3] - x0 * D[3] - x1 * D[7] - x2 * D[11]) * D[15]
        x[k], x[k + 1], x[k + 2], x[k + 3] = x0, x1, x2, x3
        rest = x[start:]
        for b in range(0, length, LANES):
            for c in range(b, b + LANES):
                rest[c] -= x0 * r0[c] + x1 * r1[c] + x2 * r2[c] + x3 * r3[c]
    zero = x.dtype.type(0)
    for k in range(d - PANEL, -1, -PANEL):
        start = k // LANES * LANES
        length = d - start
        o -= PANEL * length + 16
        D = U[o : o + 16]
        p = o + 16
        r0, r1 = U[p : p + length], U[p + length : p + 2 * length]
        r2, r3 = U[p + 2 * length : p + 3 * length], U[p + 3 * length : p + 4 * length]
        rest = x[start:]
        t0, t1, t2, t3 = zero, zero, zero, zero
        for b in range(0, length, LANES):
            for c in range(b, b + LANES):
                y = rest[c]
                t0 += y * r0[c]
                t1 += y * r1[c]
                t2 += y * r2[c]
                t3 += y * r3[c]
        x3 = (x[k + 3] - t3) * D[15]
        x2 = (x[k + 2] - t2 - D[11] * x3) * D[10]
        x1 = (x[k + 1] - t1 - D[6] * x2 - D[7] * x3) * D[5]
        x[k] = (x[k] - t0 - D[1] * x1 - D[2] * x2 - D[3] * x3) * D[0]
        x[k + 1], x[k + 2], x[k + 3] = x1, x2, x3


@kernel
def factor_rows(  # type: ignore[no-untyped-def]
    rows, indptr, indices, confidence, target, own, other, ridge, Z, G, w0, d, width, X, move, U, g, decrement, value,
    status,
):  # fmt: skip
    """Keep the factor of A in U[i] (UᵀU = A) for every i of ``rows``; with ``move`` put X[i] at its minimum as well.

    Writes ``g[i]`` = A x − b before the move (half the gradient), ``decrement`` = gᵀA⁻¹g and ``value`` = min l − const
    (with ``move``). A row without interactions has its minimum at zero and its factor is I.
    """
    padded = Z.shape[1]
    S = np.empty((CHUNK, padded), Z.dtype)
    W = np.empty((CHUNK, padded), Z.dtype)
    b = np.empty(padded, Z.dtype)
    r = np.empty(padded, Z.dtype)
    one = Z.dtype.type(1.0)
    zero = Z.dtype.type(0.0)
    A = np.empty((padded, padded), Z.dtype)
    for n in range(rows.size):
        i = rows[n]
        x = X[i]
        gradient = g[i]
        lo, hi = indptr[i], indptr[i + 1]
        status[i] = SOLVED
        decrement[i] = 0.0
        value[i] = 0.0
        if lo == hi:
            for k in range(padded):
                for c in range(padded):
                    A[k, c] = one if k == c else zero
                gradient[k] = zero
                if move:
                    x[k] = zero
            _pack(A, U[i])
            continue
        _system(A, b, S, W, lo, hi, indices, confidence, target, other, Z, G, own[i], ridge[i], w0, d, width)
        for c in range(padded):
            r[c] = b[c]
        for k in range(padded):
            row = A[k, k + 1 :]
            x_after = x[k + 1 :]
            r_after = r[k + 1 :]
            x_k = x[k]
            total = A[k, k] * x_k
            for c in range(row.size):
                total += row[c] * x_after[c]
            for c in range(row.size):
                r_after[c] -= row[c] * x_k
            r[k] -= total
        if not cholesky(A, W, width):
            status[i] = SINGULAR
            continue
        for c in range(padded):
            gradient[c] = -r[c]
        _pack(A, U[i])
        _solve(U[i], r)
        dec = 0.0
        val = 0.0
        for c in range(padded):
            dec -= np.float64(r[c]) * np.float64(gradient[c])
            val -= np.float64(b[c]) * np.float64(x[c] + r[c])
        if not (np.isfinite(dec) and np.isfinite(val)):
            status[i] = NOT_FINITE
            continue
        if move:
            for c in range(padded):
                x[c] += r[c]
        decrement[i] = dec
        value[i] = val


@kernel
def solve_rows(rows, U, right, out):  # type: ignore[no-untyped-def]
    """``out[i]`` = A⁻¹ ``right[i]`` with the factors that ``factor_rows`` kept."""
    for n in range(rows.size):
        i = rows[n]
        o, r = out[i], right[i]
        for c in range(o.size):
            o[c] = r[c]
        _solve(U[i], o)


@kernel
def error_rows(  # type: ignore[no-untyped-def]
    rows, indptr, indices, confidence, target, own, other, w0, X, Z, error
):
    """``error[j]`` = ω s − c y of every interaction of the rows, with s = x·z and ω = c − w₀ a b."""
    padded = X.shape[1]
    zero = X.dtype.type(0)
    one = X.dtype.type(1)
    for n in range(rows.size):
        i = rows[n]
        x = X[i]
        missing = w0 * own[i]
        for j in range(indptr[i], indptr[i + 1]):
            k = indices[j]
            z = Z[k]
            s = zero
            for c in range(padded):
                s += x[c] * z[c]
            c_j = confidence[j] if confidence.size else one
            weight = c_j - (missing * other[k] if other.size else missing)
            error[j] = weight * s - (c_j * target[j] if target.size else c_j)


@kernel
def cross_rows(  # type: ignore[no-untyped-def]
    rows, indptr, indices, confidence, own, other, w0, error, X, Z, W, M, out
):
    """``out[i]`` = change of this side's half-gradient when the other side moves by W.

    a x M + Σ_j [ω (x·w) z + e w],      ω = c − w₀ a b,   M = w₀ (Zᵀ diag(b) W + Wᵀ diag(b) Z),   e from ``error_rows``
    """
    padded = X.shape[1]
    zero = X.dtype.type(0)
    one = X.dtype.type(1)
    for n in range(rows.size):
        i = rows[n]
        x = X[i]
        total = out[i]
        a = own[i]
        missing = w0 * a
        for c in range(padded):
            total[c] = zero
        for k in range(0, padded, 4):
            m0, m1, m2, m3 = M[k], M[k + 1], M[k + 2], M[k + 3]
            x0, x1, x2, x3 = a * x[k], a * x[k + 1], a * x[k + 2], a * x[k + 3]
            for c in range(padded):
                total[c] += x0 * m0[c] + x1 * m1[c] + x2 * m2[c] + x3 * m3[c]
        j, hi = indptr[i], indptr[i + 1]
        while j + 4 <= hi:  # four at a time, to share the loads of x and the stores of the sum
            k0, k1, k2, k3 = indices[j], indices[j + 1], indices[j + 2], indices[j + 3]
            v0, v1, v2, v3 = W[k0], W[k1], W[k2], W[k3]
            t0, t1, t2, t3 = zero, zero, zero, zero
            for c in range(padded):
                y = x[c]
                t0 += y * v0[c]
                t1 += y * v1[c]
                t2 += y * v2[c]
                t3 += y * v3[c]
            t0 *= (confidence[j] if confidence.size else one) - (missing * other[k0] if other.size else missing)
            t1 *= (confidence[j + 1] if confidence.size else one) - (missing * other[k1] if other.size else missing)
            t2 *= (confidence[j + 2] if confidence.size else one) - (missing * other[k2] if other.size else missing)
            t3 *= (confidence[j + 3] if confidence.size else one) - (missing * other[k3] if other.size else missing)
            e0, e1, e2, e3 = error[j], error[j + 1], error[j + 2], error[j + 3]
            z0, z1, z2, z3 = Z[k0], Z[k1], Z[k2], Z[k3]
            for c in range(padded):
                total[c] += (
                    (t0 * z0[c] + e0 * v0[c]) + (t1 * z1[c] + e1 * v1[c])
                    + (t2 * z2[c] + e2 * v2[c]) + (t3 * z3[c] + e3 * v3[c])
                )  # fmt: skip
            j += 4
        while j < hi:
            k0 = indices[j]
            z0, v0 = Z[k0], W[k0]
            t0 = zero
            for c in range(padded):
                t0 += x[c] * v0[c]
            t0 *= (confidence[j] if confidence.size else one) - (missing * other[k0] if other.size else missing)
            e0 = error[j]
            for c in range(padded):
                total[c] += t0 * z0[c] + e0 * v0[c]
            j += 1


@kernel
def line_rows(  # type: ignore[no-untyped-def]
    rows, indptr, indices, confidence, target, own, other, w0, X, V, Z, W, coefficients
):
    """Observed cells' part of L(x + t v, z + t w) − L(x, z) as a polynomial: ``coefficients[i]`` of t, t², t³, t⁴."""
    padded = X.shape[1]
    zero = X.dtype.type(0)
    for n in range(rows.size):
        i = rows[n]
        x, v = X[i], V[i]
        missing = w0 * own[i]
        first, second, third, fourth = 0.0, 0.0, 0.0, 0.0
        for j in range(indptr[i], indptr[i + 1]):
            k = indices[j]
            z, w = Z[k], W[k]
            f0, f1, f2 = zero, zero, zero
            for c in range(padded):
                f0 += x[c] * z[c]
                f1 += v[c] * z[c] + x[c] * w[c]
                f2 += v[c] * w[c]
            s0, s1, s2 = np.float64(f0), np.float64(f1), np.float64(f2)
            c_j = np.float64(confidence[j]) if confidence.size else 1.0
            pull = 2.0 * c_j * (np.float64(target[j]) if target.size else 1.0)
            weight = c_j - missing * (np.float64(other[k]) if other.size else 1.0)
            first += 2.0 * weight * s0 * s1 - pull * s1
            second += weight * (s1 * s1 + 2.0 * s0 * s2) - pull * s2
            third += 2.0 * weight * s1 * s2
            fourth += weight * s2 * s2
        out = coefficients[i]
        out[0], out[1], out[2], out[3] = first, second, third, fourth
