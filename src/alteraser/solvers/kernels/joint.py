"""Kernels of the joint solver: factored blocks, products across the two sides, and the objective
along a line.

Letters as in ``rows``: row x of this side, z of the other; V, W are directions on this and the
other side.
"""

from __future__ import annotations

import numpy as np

from alteraser.linalg.kernels.dense import cholesky, subtract_product
from alteraser.linalg.kernels.vector import (
    add_four,
    dot_four,
    fetch,
    short_add_four,
    short_dot_four,
    short_scaled,
)
from alteraser.runtime.jit import kernel
from alteraser.solvers.kernels.rows import (
    CHUNK,
    NOT_FINITE,
    SINGULAR,
    SOLVED,
    four,
    omega,
    row_system,
)

PANEL = 4  # rows of a factor that are used together
# rows start at a multiple of it, so that loops over them are whole vectors; both widths of padding
# have it
LANES = 8


def packed_size(padded: int) -> int:
    """Numbers that the packed factor of one padded × padded block takes, somewhat over half of its
    square.
    """
    return PANEL * sum(PANEL + padded - k // LANES * LANES for k in range(0, padded, PANEL))


# interactions between asking for a row and using it: where there are many rows, each comes from
# memory
AHEAD = 12


@kernel
def _pack(A, U):  # type: ignore[no-untyped-def]
    """Upper factor A into U: for each panel its diagonal block D, then what is right of it, with
    zeros up to where the first whole vector starts.

    Of D, 4 × 4, the inverse is kept, on and above the diagonal, so that four unknowns are found
    side by side instead of one after the other; below the diagonal D itself, transposed, for
    products.
    """
    d = A.shape[0]
    flat = A.reshape(-1)
    o = 0
    one = A.dtype.type(1)
    zero = A.dtype.type(0)
    for k in range(0, d, PANEL):
        i0, i1 = one / A[k, k], one / A[k + 1, k + 1]
        i2, i3 = one / A[k + 2, k + 2], one / A[k + 3, k + 3]
        a01, a02, a03 = A[k, k + 1], A[k, k + 2], A[k, k + 3]
        a12, a13, a23 = A[k + 1, k + 2], A[k + 1, k + 3], A[k + 2, k + 3]
        b01, b12, b23 = -a01 * i0 * i1, -a12 * i1 * i2, -a23 * i2 * i3
        b02, b13 = -(a02 * i0 + a12 * b01) * i2, -(a13 * i1 + a23 * b12) * i3
        U[o], U[o + 1], U[o + 2], U[o + 3] = i0, b01, b02, -(a03 * i0 + a13 * b01 + a23 * b02) * i3
        U[o + 4], U[o + 5], U[o + 6], U[o + 7] = a01, i1, b12, b13
        U[o + 8], U[o + 9], U[o + 10], U[o + 11] = a02, a12, i2, b23
        U[o + 12], U[o + 13], U[o + 14], U[o + 15] = a03, a13, a23, i3
        o += 16
        start = k // LANES * LANES
        for r in range(k, k + PANEL):
            short_scaled(U, o, flat, r * d + start, one, d - start)
            for c in range(start, k + PANEL):
                U[o + c - start] = zero
            o += d - start


@kernel
def half_solve_at(U, o, x, at, d):  # type: ignore[no-untyped-def]
    """Overwrite x[at : at + d] with L⁻¹ x, A = L Lᵀ, for the packed factor at U[o:]; returns where
    that ends.
    """
    for k in range(0, d, PANEL):
        start = k // LANES * LANES
        length = d - start
        p = at + k
        v0, v1, v2, v3 = x[p], x[p + 1], x[p + 2], x[p + 3]
        x0 = v0 * U[o]
        x1 = v0 * U[o + 1] + v1 * U[o + 5]
        x2 = v0 * U[o + 2] + v1 * U[o + 6] + v2 * U[o + 10]
        x3 = v0 * U[o + 3] + v1 * U[o + 7] + v2 * U[o + 11] + v3 * U[o + 15]
        o += 16
        short_add_four(
            x,
            at + start,
            U,
            o,
            o + length,
            o + 2 * length,
            o + 3 * length,
            -x0,
            -x1,
            -x2,
            -x3,
            length,
        )
        x[p], x[p + 1], x[p + 2], x[p + 3] = x0, x1, x2, x3
        o += PANEL * length
    return o


@kernel
def back_solve_at(U, o, x, at, d):  # type: ignore[no-untyped-def]
    """Overwrite x[at : at + d] with L⁻ᵀ x, A = L Lᵀ, for the packed factor that ends at U[o]."""
    for k in range(d - PANEL, -1, -PANEL):
        start = k // LANES * LANES
        length = d - start
        o -= PANEL * length
        t0, t1, t2, t3 = short_dot_four(
            x, at + start, U, o, o + length, o + 2 * length, o + 3 * length, length
        )
        o -= 16
        p = at + k
        v0, v1, v2, v3 = x[p] - t0, x[p + 1] - t1, x[p + 2] - t2, x[p + 3] - t3
        x[p] = v0 * U[o] + v1 * U[o + 1] + v2 * U[o + 2] + v3 * U[o + 3]
        x[p + 1] = v1 * U[o + 5] + v2 * U[o + 6] + v3 * U[o + 7]
        x[p + 2] = v2 * U[o + 10] + v3 * U[o + 11]
        x[p + 3] = v3 * U[o + 15]


@kernel
def solve_at(U, o, x, at, d):  # type: ignore[no-untyped-def]
    """Overwrite x[at : at + d] with A⁻¹ x for the packed factor of A at U[o:]; flat arrays."""
    back_solve_at(U, half_solve_at(U, o, x, at, d), x, at, d)


@kernel
def product_at(U, o, x, at, out, to, d):  # type: ignore[no-untyped-def]
    """out[to : to + d] = A x[at : at + d] for the packed factor of A at U[o:]; flat arrays."""
    one = x.dtype.type(1)
    for c in range(to, to + d):
        out[c] = x.dtype.type(0)
    for k in range(0, d, PANEL):
        start = k // LANES * LANES
        length = d - start
        p, q = at + k, to + k
        x0, x1, x2, x3 = x[p], x[p + 1], x[p + 2], x[p + 3]
        d0, d1, d2, d3 = one / U[o], one / U[o + 5], one / U[o + 10], one / U[o + 15]
        a01, a02, a12 = U[o + 4], U[o + 8], U[o + 9]
        a03, a13, a23 = U[o + 12], U[o + 13], U[o + 14]
        o += 16
        y0, y1, y2, y3 = short_dot_four(
            x, at + start, U, o, o + length, o + 2 * length, o + 3 * length, length
        )
        y0 += d0 * x0 + a01 * x1 + a02 * x2 + a03 * x3
        y1 += d1 * x1 + a12 * x2 + a13 * x3
        y2 += d2 * x2 + a23 * x3
        y3 += d3 * x3
        out[q] += d0 * y0
        out[q + 1] += a01 * y0 + d1 * y1
        out[q + 2] += a02 * y0 + a12 * y1 + d2 * y2
        out[q + 3] += a03 * y0 + a13 * y1 + a23 * y2 + d3 * y3
        short_add_four(
            out,
            to + start,
            U,
            o,
            o + length,
            o + 2 * length,
            o + 3 * length,
            y0,
            y1,
            y2,
            y3,
            length,
        )
        o += PANEL * length


@kernel
def factor_rows(rows, of, Z, G, d, width, X, move, U, g, decrement, value, status):  # type: ignore[no-untyped-def]
    """Keep the factor of A in U[i] (UᵀU = A) for every i of ``rows``; with ``move`` put X[i] at its
    minimum as well.

    Writes ``g[i]`` = A x − b before the move (half the gradient), ``decrement`` = gᵀA⁻¹g and
    ``value`` = min l − const (with ``move``). A row without interactions has its minimum at zero
    and its factor is I.
    """
    padded = Z.shape[1]
    S = np.empty((CHUNK, padded), Z.dtype)
    W = np.empty((CHUNK, padded), Z.dtype)
    b = np.empty(padded, Z.dtype)
    r = np.empty(padded, Z.dtype)
    one = Z.dtype.type(1.0)
    zero = Z.dtype.type(0.0)
    A = np.empty((padded, padded), Z.dtype)
    flat = U.reshape(-1)
    for n in range(rows.size):
        i = rows[n]
        x = X[i]
        gradient = g[i]
        status[i] = SOLVED
        decrement[i] = 0.0
        value[i] = 0.0
        if of.start[i] == of.stop[i]:
            for k in range(padded):
                for c in range(padded):
                    A[k, c] = one if k == c else zero
                gradient[k] = zero
                if move:
                    x[k] = zero
            _pack(A, U[i])
            continue
        row_system(A, b, S, W, i, of, Z, G, d, width)
        for c in range(padded):
            r[c] = b[c]
        subtract_product(A, x, r)
        if not cholesky(A, W, width):
            status[i] = SINGULAR
            continue
        for c in range(padded):
            gradient[c] = -r[c]
        _pack(A, U[i])
        solve_at(flat, i * U.shape[1], r, 0, padded)
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
    flat, result, given = U.reshape(-1), out.reshape(-1), right.reshape(-1)
    padded = out.shape[1]
    for n in range(rows.size):
        i = rows[n]
        at = i * padded
        for c in range(at, at + padded):
            result[c] = given[c]
        solve_at(flat, i * U.shape[1], result, at, padded)


@kernel
def half_solve_rows(rows, U, right, out):  # type: ignore[no-untyped-def]
    """``out[i]`` = L⁻¹ ``right[i]``, A = L Lᵀ, with the factors that ``factor_rows`` kept."""
    flat, result, given = U.reshape(-1), out.reshape(-1), right.reshape(-1)
    padded = out.shape[1]
    for n in range(rows.size):
        i = rows[n]
        at = i * padded
        for c in range(at, at + padded):
            result[c] = given[c]
        half_solve_at(flat, i * U.shape[1], result, at, padded)


@kernel
def back_solve_rows(rows, U, right, out):  # type: ignore[no-untyped-def]
    """``out[i]`` = L⁻ᵀ ``right[i]``, A = L Lᵀ, with the factors that ``factor_rows`` kept."""
    flat, result, given = U.reshape(-1), out.reshape(-1), right.reshape(-1)
    padded = out.shape[1]
    for n in range(rows.size):
        i = rows[n]
        at = i * padded
        for c in range(at, at + padded):
            result[c] = given[c]
        back_solve_at(flat, (i + 1) * U.shape[1], result, at, padded)


@kernel
def product_rows(rows, U, right, out):  # type: ignore[no-untyped-def]
    """``out[i]`` = A ``right[i]`` with the factors that ``factor_rows`` kept."""
    flat, result, given = U.reshape(-1), out.reshape(-1), right.reshape(-1)
    padded = out.shape[1]
    for n in range(rows.size):
        i = rows[n]
        product_at(flat, i * U.shape[1], given, i * padded, result, i * padded, padded)


@kernel
def error_rows(rows, of, X, Z, error):  # type: ignore[no-untyped-def]
    """``error[j]`` = ω s − c y of every interaction of the rows, with s = x·z and ω = c − w₀ a
    b.
    """
    padded = X.shape[1]
    one = X.dtype.type(1)
    mine, theirs = X.reshape(-1), Z.reshape(-1)
    indices, confidence, other = of.indices, of.confidence, of.other
    for n in range(rows.size):
        i = rows[n]
        missing = X.dtype.type(of.missing_weight) * of.own[i]
        lo, hi = of.start[i], of.stop[i]
        for j in range(lo, hi, 4):
            last = min(4, hi - j) - 1
            i0, i1, i2, i3 = four(indices, j, last)
            scores = dot_four(
                mine, i * padded, theirs, i0 * padded, i1 * padded, i2 * padded, i3 * padded, padded
            )
            for s in range(last + 1):
                c_j = of.confidence[j + s] if of.confidence.size else one
                weight = omega(confidence, other, j + s, indices[j + s], missing, one)
                error[j + s] = weight * scores[s] - (
                    c_j * of.target[j + s] if of.target.size else c_j
                )


@kernel
def cross_rows(rows, of, error, X, Z, W, M, out):  # type: ignore[no-untyped-def]
    """``out[i]`` = change of this side's half-gradient when the other side moves by W.

    a x M + Σ_j [ω (x·w) z + e w],      ω = c − w₀ a b,   M = w₀ (Zᵀ diag(b) W + Wᵀ diag(b) Z),   e
    from ``error_rows``
    """
    padded = X.shape[1]
    one = X.dtype.type(1)
    none = X.dtype.type(0)
    indices, confidence, other = of.indices, of.confidence, of.other
    mine, theirs, moved, mixed, result = (
        X.reshape(-1),
        Z.reshape(-1),
        W.reshape(-1),
        M.reshape(-1),
        out.reshape(-1),
    )
    for n in range(rows.size):
        i = rows[n]
        a = of.own[i]
        missing = X.dtype.type(of.missing_weight) * a
        x = i * padded
        for c in range(x, x + padded):
            result[c] = none
        for k in range(0, padded, 4):
            m = k * padded
            add_four(
                result,
                x,
                mixed,
                m,
                m + padded,
                m + 2 * padded,
                m + 3 * padded,
                a * mine[x + k],
                a * mine[x + k + 1],
                a * mine[x + k + 2],
                a * mine[x + k + 3],
                padded,
            )
        lo, hi = of.start[i], of.stop[i]
        for j in range(lo, hi, 4):
            last = min(4, hi - j) - 1
            i0, i1, i2, i3 = four(indices, j, last)
            z0, z1, z2, z3 = i0 * padded, i1 * padded, i2 * padded, i3 * padded
            t0, t1, t2, t3 = dot_four(mine, x, moved, z0, z1, z2, z3, padded)
            t0 *= omega(confidence, other, j, i0, missing, one)
            t1 = t1 * omega(confidence, other, j + 1, i1, missing, one) if last >= 1 else none
            t2 = t2 * omega(confidence, other, j + 2, i2, missing, one) if last >= 2 else none
            t3 = t3 * omega(confidence, other, j + 3, i3, missing, one) if last >= 3 else none
            e0 = error[j]
            e1 = error[j + 1] if last >= 1 else none
            e2 = error[j + 2] if last >= 2 else none
            e3 = error[j + 3] if last >= 3 else none
            add_four(result, x, theirs, z0, z1, z2, z3, t0, t1, t2, t3, padded)
            add_four(result, x, moved, z0, z1, z2, z3, e0, e1, e2, e3, padded)


@kernel
def row_product(i, of, Z, G, x, at, pull, out):  # type: ignore[no-untyped-def]
    """``out`` = A x − pull · b and bᵀx, with A x = a G x + λρ x + Σ ω (z·x) z and b = Σ c y z;
    ``pull`` is 0 or 1.

    For row i; x begins at place ``at`` of a flat array.
    """
    padded = out.size
    one = Z.dtype.type(1)
    none = Z.dtype.type(0)
    a = of.own[i]
    theirs, shared, indices = Z.reshape(-1), G.reshape(-1), of.indices
    for c in range(padded):
        out[c] = of.ridge[i] * x[at + c]
    for k in range(0, padded, 4):
        g = k * padded
        add_four(
            out,
            0,
            shared,
            g,
            g + padded,
            g + 2 * padded,
            g + 3 * padded,
            a * x[at + k],
            a * x[at + k + 1],
            a * x[at + k + 2],
            a * x[at + k + 3],
            padded,
        )
    missing = Z.dtype.type(of.missing_weight) * a
    along = 0.0
    hi = of.stop[i]
    for j in range(of.start[i], hi, 4):
        last = min(4, hi - j) - 1
        for ahead in range(j + AHEAD, min(j + AHEAD + 4, hi)):
            fetch(theirs, indices[ahead] * padded, padded)
        i0, i1, i2, i3 = four(indices, j, last)
        z0, z1, z2, z3 = i0 * padded, i1 * padded, i2 * padded, i3 * padded
        scores = dot_four(x, at, theirs, z0, z1, z2, z3, padded)
        e0, e1, e2, e3 = none, none, none, none
        for n in range(last + 1):
            k = indices[j + n]
            s = scores[n]
            c_j = Z.dtype.type(of.confidence[j + n]) if of.confidence.size else one
            b_j = pull * c_j * (Z.dtype.type(of.target[j + n]) if of.target.size else one)
            along += np.float64(b_j) * np.float64(s)
            e = (c_j - (missing * of.other[k] if of.other.size else missing)) * s - b_j
            if n == 0:
                e0 = e
            elif n == 1:
                e1 = e
            elif n == 2:
                e2 = e
            else:
                e3 = e
        add_four(out, 0, theirs, z0, z1, z2, z3, e0, e1, e2, e3, padded)
    return along


@kernel
def approach_rows(rows, of, Z, G, U, X, move, g, value, fit):  # type: ignore[no-untyped-def]
    """``g[i]`` = A x − b at X[i], ``value`` = l − const and ``fit`` = xᵀA x there; with ``move``
    then X[i] −= Ã⁻¹ g.

    Ã is the block whose factor is in U[i], that of an earlier point: near the row's minimum when it
    was one near by.
    """
    padded = X.shape[1]
    flat, mine = U.reshape(-1), X.reshape(-1)
    z = np.empty(padded, X.dtype)
    one = X.dtype.type(1)
    none = X.dtype.type(0)
    for n in range(rows.size):
        i = rows[n]
        x, gradient = X[i], g[i]
        value[i] = 0.0
        fit[i] = 0.0
        if of.start[i] == of.stop[i]:
            for c in range(padded):
                gradient[c] = none
                if move:
                    x[c] = none
            continue
        pull = row_product(i, of, Z, G, mine, i * padded, one, gradient)
        along = 0.0
        for c in range(padded):
            along += np.float64(x[c]) * np.float64(gradient[c])
            z[c] = gradient[c]
        value[i] = along - pull
        fit[i] = along + pull
        if move:
            solve_at(flat, i * U.shape[1], z, 0, padded)
            for c in range(padded):
                x[c] -= z[c]


@kernel
def line_rows(rows, of, X, V, Z, W, coefficients):  # type: ignore[no-untyped-def]
    """Observed cells' part of L(x + t v, z + t w) − L(x, z) as a polynomial: ``coefficients[i]`` of
    t, t², t³, t⁴.
    """
    padded = X.shape[1]
    indices = of.indices
    mine, moving, theirs, moved = X.reshape(-1), V.reshape(-1), Z.reshape(-1), W.reshape(-1)
    for n in range(rows.size):
        i = rows[n]
        x = i * padded
        missing = X.dtype.type(of.missing_weight) * of.own[i]
        first, second, third, fourth = 0.0, 0.0, 0.0, 0.0
        lo, hi = of.start[i], of.stop[i]
        for j in range(lo, hi, 4):
            last = min(4, hi - j) - 1
            i0, i1, i2, i3 = four(indices, j, last)
            z0, z1, z2, z3 = i0 * padded, i1 * padded, i2 * padded, i3 * padded
            xz = dot_four(mine, x, theirs, z0, z1, z2, z3, padded)
            vz = dot_four(moving, x, theirs, z0, z1, z2, z3, padded)
            xw = dot_four(mine, x, moved, z0, z1, z2, z3, padded)
            vw = dot_four(moving, x, moved, z0, z1, z2, z3, padded)
            for m in range(last + 1):
                s0, s1, s2 = (
                    np.float64(xz[m]),
                    np.float64(vz[m]) + np.float64(xw[m]),
                    np.float64(vw[m]),
                )
                c_j = np.float64(of.confidence[j + m]) if of.confidence.size else 1.0
                pull = 2.0 * c_j * (np.float64(of.target[j + m]) if of.target.size else 1.0)
                b_j = np.float64(of.other[indices[j + m]]) if of.other.size else 1.0
                weight = c_j - missing * b_j
                first += 2.0 * weight * s0 * s1 - pull * s1
                second += weight * (s1 * s1 + 2.0 * s0 * s2) - pull * s2
                third += 2.0 * weight * s1 * s2
                fourth += weight * s2 * s2
        out = coefficients[i]
        out[0], out[1], out[2], out[3] = first, second, third, fourth
