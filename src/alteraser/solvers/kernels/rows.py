"""The row kernels: everything that touches interactions one by one.

They minimize, for one row x with the other side's (scaled) factors Z fixed, the quadratic

    l(x) = xᵀ A x - 2 bᵀ x + const,
    A = sum_j (c_j - w0 a b_j) z_j z_jᵀ + a G + ridge I,     b = sum_j c_j y_j z_j,
        G = w0 Zᵀ diag(b) Z

where j runs over the row's interactions. Letters are those of the formulas (Hu et al. 2008; Chen et
al., TOIS 2020). Optional arrays (confidence c, target y, the other side's missing weights b) are
passed with length 0 when all ones. Factors are padded with zero columns to a multiple of the vector
length; ``d`` is the true number of factors. Readable oracles of the same names are in ``twins.py``.
"""

from __future__ import annotations

import numpy as np

from alteraser.linalg.kernels.dense import add_outer, cholesky, cholesky_solve, subtract_product
from alteraser.linalg.kernels.vector import add_four, dot_four
from alteraser.runtime.jit import kernel

# interactions gathered at a time: two buffers of 32 x 128 float32 still fit a first-level cache
CHUNK = 32
SOLVED, SINGULAR, NOT_FINITE = 0, 1, 2


@kernel
def _system(A, r, S, W, lo, hi, indices, confidence, target, other, Z, G, a, ridge, w0, d, width):  # type: ignore[no-untyped-def]
    """Fill the upper triangle of A, and b into r, for the interactions lo..hi of one row."""
    padded = Z.shape[1]
    one = Z.dtype.type(1.0)
    for i in range(padded):
        row = A[i]
        g = G[i]
        for c in range(padded):
            row[c] = a * g[c]
        row[i] += ridge if i < d else one
        r[i] = 0.0
    missing = w0 * a
    while lo < hi:
        count = min(CHUNK, hi - lo)
        for k in range(count):
            j = lo + k
            v = indices[j]
            c_j = confidence[j] if confidence.size else one
            y_j = target[j] if target.size else one
            weight = c_j - (missing * other[v] if other.size else missing)
            pull = c_j * y_j
            z = Z[v]
            s = S[k]
            w = W[k]
            for c in range(padded):
                s[c] = z[c]
                w[c] = weight * z[c]
            for c in range(padded):
                r[c] += pull * z[c]
        add_outer(A, W, S, count, width)
        lo += count


@kernel
def exact_rows(  # type: ignore[no-untyped-def]
    rows,
    indptr,
    indices,
    confidence,
    target,
    own,
    other,
    ridge,
    Z,
    G,
    w0,
    d,
    width,
    X,
    decrement,
    value,
    status,
):
    """Replace X[i] by its minimizer for every i of ``rows``; the AH-Newton step.

    Writes per row: ``decrement`` = gᵀA⁻¹g at the old X[i] (g = A x - b, half the gradient),
    ``value`` = min l - const = -bᵀx, and ``status``. A row that fails keeps its old X.
    """
    padded = Z.shape[1]
    A = np.empty((padded, padded), Z.dtype)
    S = np.empty((CHUNK, padded), Z.dtype)
    W = np.empty((CHUNK, padded), Z.dtype)
    b = np.empty(padded, Z.dtype)
    r = np.empty(padded, Z.dtype)
    for n in range(rows.size):
        i = rows[n]
        x = X[i]
        lo, hi = indptr[i], indptr[i + 1]
        _system(
            A,
            b,
            S,
            W,
            lo,
            hi,
            indices,
            confidence,
            target,
            other,
            Z,
            G,
            own[i],
            ridge[i],
            w0,
            d,
            width,
        )
        # g = A x - b, from the upper triangle alone
        for c in range(padded):
            r[c] = b[c]
        subtract_product(A, x, r)
        if lo == hi:  # no interactions: b = 0, so the minimizer is exactly zero whatever A is
            dec = 0.0
            for c in range(padded):
                dec -= np.float64(r[c]) * np.float64(x[c])
                x[c] = 0.0
            decrement[i] = dec
            value[i] = 0.0
            status[i] = SOLVED if np.isfinite(dec) else NOT_FINITE
            continue
        if not cholesky(A, W, width):
            status[i] = SINGULAR
            continue
        for c in range(padded):
            S[0, c] = r[c]
        cholesky_solve(A, r)
        dec = 0.0
        val = 0.0
        for c in range(padded):
            dec += np.float64(r[c]) * np.float64(S[0, c])
            val -= np.float64(b[c]) * np.float64(x[c] + r[c])
        if not (np.isfinite(dec) and np.isfinite(val)):
            status[i] = NOT_FINITE
            continue
        for c in range(padded):
            x[c] += r[c]
        decrement[i] = dec
        value[i] = val
        status[i] = SOLVED


@kernel
def norm_rows(  # type: ignore[no-untyped-def]
    rows,
    indptr,
    indices,
    confidence,
    target,
    own,
    other,
    ridge,
    Z,
    G,
    w0,
    d,
    width,
    gradient,
    decrement,
    status,
    solution,
):
    """``decrement[i]`` = gᵀA⁻¹g and, unless it has length 0, ``solution[i]`` = A⁻¹g, for g =
    ``gradient[i]``.
    """
    padded = Z.shape[1]
    A = np.empty((padded, padded), Z.dtype)
    S = np.empty((CHUNK, padded), Z.dtype)
    W = np.empty((CHUNK, padded), Z.dtype)
    r = np.empty(padded, Z.dtype)
    for n in range(rows.size):
        i = rows[n]
        g = gradient[i]
        top = 0.0
        for c in range(g.size):
            top = max(top, abs(g[c]))
        decrement[i] = 0.0
        status[i] = SOLVED
        if solution.shape[0]:
            solution[i] = 0.0
        if not np.isfinite(top):
            status[i] = NOT_FINITE
            continue
        if top == 0.0:
            continue
        lo, hi = indptr[i], indptr[i + 1]
        if lo == hi and ridge[i] == 0.0 and w0 * own[i] == 0.0:
            # nothing is asked of this row: every value of it is a minimum, zero is taken, and
            # nothing pushes
            continue
        _system(
            A,
            r,
            S,
            W,
            lo,
            hi,
            indices,
            confidence,
            target,
            other,
            Z,
            G,
            own[i],
            ridge[i],
            w0,
            d,
            width,
        )
        if not cholesky(A, W, width):
            status[i] = SINGULAR
            continue
        # scaled by its largest entry, so that a tiny float64 gradient does not underflow in float32
        for c in range(padded):
            r[c] = g[c] / top if c < g.size else 0.0
        cholesky_solve(A, r)
        total = 0.0
        for c in range(g.size):
            total += np.float64(r[c]) * g[c] * top
        decrement[i] = total
        if solution.shape[0]:
            for c in range(g.size):
                solution[i, c] = r[c] * top


@kernel
def _product(out, v, lo, hi, indices, confidence, other, Z, G, a, ridge, w0):  # type: ignore[no-untyped-def]
    """``out`` = A v without forming A; four rows at a time to share the loads of v."""
    padded = Z.shape[1]
    one = Z.dtype.type(1.0)
    none = Z.dtype.type(0.0)
    missing = w0 * a
    factors, gram = Z.reshape(-1), G.reshape(-1)
    for c in range(padded):
        out[c] = ridge * v[c]
    for k in range(0, padded, 4):
        g = k * padded
        add_four(
            out,
            0,
            gram,
            g,
            g + padded,
            g + 2 * padded,
            g + 3 * padded,
            a * v[k],
            a * v[k + 1],
            a * v[k + 2],
            a * v[k + 3],
            padded,
        )
    for j in range(lo, hi, 4):
        last = min(4, hi - j) - 1  # at the end of a row the last one fills up, weighing nothing
        i0, i1, i2, i3 = (
            indices[j],
            indices[j + min(1, last)],
            indices[j + min(2, last)],
            indices[j + last],
        )
        z0, z1, z2, z3 = i0 * padded, i1 * padded, i2 * padded, i3 * padded
        t0, t1, t2, t3 = dot_four(v, 0, factors, z0, z1, z2, z3, padded)
        t0 *= (confidence[j] if confidence.size else one) - (
            missing * other[i0] if other.size else missing
        )
        if last >= 1:
            t1 *= (confidence[j + 1] if confidence.size else one) - (
                missing * other[i1] if other.size else missing
            )
        else:
            t1 = none
        if last >= 2:
            t2 *= (confidence[j + 2] if confidence.size else one) - (
                missing * other[i2] if other.size else missing
            )
        else:
            t2 = none
        if last >= 3:
            t3 *= (confidence[j + 3] if confidence.size else one) - (
                missing * other[i3] if other.size else missing
            )
        else:
            t3 = none
        add_four(out, 0, factors, z0, z1, z2, z3, t0, t1, t2, t3, padded)


@kernel
def cg_rows(  # type: ignore[no-untyped-def]
    rows,
    indptr,
    indices,
    confidence,
    target,
    own,
    other,
    ridge,
    Z,
    G,
    w0,
    d,
    steps,
    small,
    tiny,
    anchor,
    X,
    decrement,
    value,
    status,
    products,
):
    """Improve X[i] by at most ``steps`` of conjugate gradients on A x = b + anchor[i], from X[i]; A
    is never formed.

    ``anchor`` (rows, d) may have length 0: none. Stops early once |r| <= small * |b + anchor| or
    |r|² <= tiny. ``decrement`` is the energy the steps removed, a lower bound of gᵀA⁻¹g; ``value``
    = l(x) - const = -(b + r)ᵀx with the final residual r; ``products`` counts A v.
    """
    padded = Z.shape[1]
    b = np.empty(padded, Z.dtype)
    r = np.empty(padded, Z.dtype)
    p = np.empty(padded, Z.dtype)
    q = np.empty(padded, Z.dtype)
    x = np.empty(padded, Z.dtype)
    one = Z.dtype.type(1.0)
    for n in range(rows.size):
        i = rows[n]
        lo, hi = indptr[i], indptr[i + 1]
        a, lam = own[i], ridge[i]
        for c in range(padded):
            x[c] = X[i, c]
            b[c] = 0.0
        _product(q, x, lo, hi, indices, confidence, other, Z, G, a, lam, w0)
        products[i] = 1
        if lo == hi:
            dec = 0.0
            for c in range(padded):
                dec += np.float64(q[c]) * np.float64(x[c])
                X[i, c] = 0.0
            decrement[i] = dec
            value[i] = 0.0
            status[i] = SOLVED if np.isfinite(dec) else NOT_FINITE
            continue
        for j in range(lo, hi):
            z = Z[indices[j]]
            pull = (confidence[j] if confidence.size else one) * (target[j] if target.size else one)
            for c in range(padded):
                b[c] += pull * z[c]
        if anchor.shape[0]:
            for c in range(anchor.shape[1]):
                b[c] += Z.dtype.type(anchor[i, c])
        rr = 0.0
        bb = 0.0
        for c in range(padded):
            r[c] = b[c] - q[c]
            p[c] = r[c]
            rr += np.float64(r[c]) * np.float64(r[c])
            bb += np.float64(b[c]) * np.float64(b[c])
        dec = 0.0
        outcome = SOLVED
        for _ in range(steps):
            if rr <= small * small * bb or rr <= tiny:
                break
            _product(q, p, lo, hi, indices, confidence, other, Z, G, a, lam, w0)
            products[i] += 1
            curvature = 0.0
            for c in range(padded):
                curvature += np.float64(p[c]) * np.float64(q[c])
            if not curvature > 0.0:
                outcome = SINGULAR if np.isfinite(curvature) else NOT_FINITE
                break
            step = rr / curvature
            before = rr
            rr = 0.0
            for c in range(padded):
                x[c] += Z.dtype.type(step) * p[c]
                r[c] -= Z.dtype.type(step) * q[c]
                rr += np.float64(r[c]) * np.float64(r[c])
            dec += step * before
            beta = Z.dtype.type(rr / before)
            for c in range(padded):
                p[c] = r[c] + beta * p[c]
        val = 0.0
        for c in range(padded):
            val -= np.float64(b[c] + r[c]) * np.float64(x[c])
        if outcome == SOLVED and not (np.isfinite(val) and np.isfinite(rr)):
            outcome = NOT_FINITE
        status[i] = outcome
        if outcome != SOLVED:
            continue
        for c in range(padded):
            X[i, c] = x[c]
        decrement[i] = dec
        value[i] = val


@kernel
def gradient_rows(  # type: ignore[no-untyped-def]
    rows, indptr, indices, confidence, target, own, other, ridge, Z, G, w0, X, gradient, loss, fit
):
    """Half-gradient g = A x - b of each row and its share of the loss, accumulated in float64.

    ``loss[i]`` = sum_j [c_j (y_j - s_j)² - w0 a b_j s_j²] + a xᵀGx, so that summed over one side
    (plus the ridge terms) it is the objective; ``fit[i]`` = bᵀx. G is float64 here; Z and X are the
    stored factors.
    """
    d = gradient.shape[1]
    x = np.empty(d, np.float64)
    for n in range(rows.size):
        i = rows[n]
        g = gradient[i]
        a = np.float64(own[i])
        lam = np.float64(ridge[i])
        missing = w0 * a
        for c in range(d):
            x[c] = X[i, c]
            g[c] = 0.0
        for k in range(d):
            row = G[k]
            t = a * x[k]
            for c in range(d):
                g[c] += t * row[c]
        total = 0.0
        for c in range(d):
            total += g[c] * x[c]
        for c in range(d):
            g[c] += lam * x[c]
        explained = 0.0
        for j in range(indptr[i], indptr[i + 1]):
            v = indices[j]
            z = Z[v, :d]
            c_j = np.float64(confidence[j]) if confidence.size else 1.0
            y_j = np.float64(target[j]) if target.size else 1.0
            w_j = missing * (np.float64(other[v]) if other.size else 1.0)
            s = 0.0
            for c in range(d):
                s += x[c] * z[c]
            total += c_j * (y_j - s) * (y_j - s) - w_j * s * s
            explained += c_j * y_j * s
            t = (c_j - w_j) * s - c_j * y_j
            for c in range(d):
                g[c] += t * z[c]
        loss[i] = total
        fit[i] = explained


@kernel
def hessian_rows(  # type: ignore[no-untyped-def]
    rows, indptr, indices, confidence, target, own, other, w0, X, V, Z, W, out
):
    """Add to ``out[i]`` the observed cells' part of the half-Hessian of L times (V, W), for the
    rows i.

    With s = x·z, ds = v·z + x·w and ω = c - w0 a b:  out += sum_j [ω ds z + (ω s - c y) w].
    """
    d = X.shape[1]
    one = X.dtype.type(1.0)
    for n in range(rows.size):
        i = rows[n]
        x, v, total = X[i], V[i], out[i]
        missing = w0 * own[i]
        for j in range(indptr[i], indptr[i + 1]):
            k = indices[j]
            z, w = Z[k], W[k]
            s, ds = X.dtype.type(0), X.dtype.type(0)
            for c in range(d):
                s += x[c] * z[c]
                ds += v[c] * z[c] + x[c] * w[c]
            c_j = confidence[j] if confidence.size else one
            y_j = target[j] if target.size else one
            weight = c_j - (missing * other[k] if other.size else missing)
            t = weight * ds
            e = weight * s - c_j * y_j
            for c in range(d):
                total[c] += t * z[c] + e * w[c]
