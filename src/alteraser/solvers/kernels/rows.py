"""The row kernels: everything that touches interactions one by one.

They minimize, for one row x with the other side's (scaled) factors Z fixed, the quadratic

    l(x) = xᵀ A x - 2 bᵀ x + const,
    A = sum_j (c_j - w0 a b_j) z_j z_jᵀ + a G + ridge I,     b = sum_j c_j y_j z_j,
        G = w0 Zᵀ diag(b) Z

where j runs over the row's interactions. Letters are those of the formulas (Hu et al. 2008; Chen et
al., TOIS 2020); ``of`` is a ``SideArrays``: the interactions of every row, and their weights.
Factors are padded with zero columns to a multiple of the vector length; ``d`` is the true number of
factors. Readable oracles of the same names are in ``twins.py``.

A record costs nothing in a loop that has its arrays in variables from before; an array that is
passed on from inside one is counted, atomically, each time. So ``omega`` and ``_product``, which
are called per interaction and per product, take arrays.
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
def omega(confidence, other, j, k, missing, one):  # type: ignore[no-untyped-def]
    """ω = c − w₀ a b of interaction j, which is with the other side's row k; ``missing`` = w₀ a."""
    c = confidence[j] if confidence.size else one
    return c - (missing * other[k] if other.size else missing)


@kernel
def four(indices, j, last):  # type: ignore[no-untyped-def]
    """The other side's rows of interactions j to j + 3, where a row has those up to j + ``last``:
    its last one fills up, and has to weigh nothing.
    """
    return indices[j], indices[j + min(1, last)], indices[j + min(2, last)], indices[j + last]


@kernel
def row_system(A, r, S, W, i, of, Z, G, d, width):  # type: ignore[no-untyped-def]
    """Fill the upper triangle of A, and b into r, for row i."""
    padded = Z.shape[1]
    one = Z.dtype.type(1.0)
    a, ridge = of.own[i], of.ridge[i]
    indices, confidence, other = of.indices, of.confidence, of.other
    for k in range(padded):
        row = A[k]
        g = G[k]
        for c in range(padded):
            row[c] = a * g[c]
        row[k] += ridge if k < d else one
        r[k] = 0.0
    missing = Z.dtype.type(of.missing_weight) * a
    lo, hi = of.start[i], of.stop[i]
    while lo < hi:
        count = min(CHUNK, hi - lo)
        for k in range(count):
            j = lo + k
            v = indices[j]
            weight = omega(confidence, other, j, v, missing, one)
            pull = (confidence[j] if confidence.size else one) * (
                of.target[j] if of.target.size else one
            )
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
def exact_rows(rows, of, Z, G, d, width, X, decrement, value, status):  # type: ignore[no-untyped-def]
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
        row_system(A, b, S, W, i, of, Z, G, d, width)
        # g = A x - b, from the upper triangle alone
        for c in range(padded):
            r[c] = b[c]
        subtract_product(A, x, r)
        if of.start[i] == of.stop[i]:  # b = 0, so the minimizer is exactly zero whatever A is
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
def norm_rows(rows, of, Z, G, d, width, gradient, decrement, status, solution):  # type: ignore[no-untyped-def]
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
        missing = Z.dtype.type(of.missing_weight) * of.own[i]
        if of.start[i] == of.stop[i] and of.ridge[i] == 0.0 and missing == 0.0:
            # nothing is asked of this row: every value of it is a minimum, zero is taken, and
            # nothing pushes
            continue
        row_system(A, r, S, W, i, of, Z, G, d, width)
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
def _product(out, v, lo, hi, indices, confidence, other, missing, a, ridge, Z, G):  # type: ignore[no-untyped-def]
    """``out`` = A v of row i without forming A; four rows at a time to share the loads of v."""
    padded = Z.shape[1]
    one = Z.dtype.type(1.0)
    none = Z.dtype.type(0.0)
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
        last = min(4, hi - j) - 1
        i0, i1, i2, i3 = four(indices, j, last)
        z0, z1, z2, z3 = i0 * padded, i1 * padded, i2 * padded, i3 * padded
        t0, t1, t2, t3 = dot_four(v, 0, factors, z0, z1, z2, z3, padded)
        t0 *= omega(confidence, other, j, i0, missing, one)
        t1 = t1 * omega(confidence, other, j + 1, i1, missing, one) if last >= 1 else none
        t2 = t2 * omega(confidence, other, j + 2, i2, missing, one) if last >= 2 else none
        t3 = t3 * omega(confidence, other, j + 3, i3, missing, one) if last >= 3 else none
        add_four(out, 0, factors, z0, z1, z2, z3, t0, t1, t2, t3, padded)


@kernel
def cg_rows(  # type: ignore[no-untyped-def]
    rows, of, Z, G, steps, small, tiny, anchor, X, decrement, value, status, products
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
    indices, confidence, other = of.indices, of.confidence, of.other
    for n in range(rows.size):
        i = rows[n]
        lo, hi = of.start[i], of.stop[i]
        for c in range(padded):
            x[c] = X[i, c]
            b[c] = 0.0
        a, lam = of.own[i], of.ridge[i]
        missing = Z.dtype.type(of.missing_weight) * a
        _product(q, x, lo, hi, indices, confidence, other, missing, a, lam, Z, G)
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
            z = Z[of.indices[j]]
            pull = (of.confidence[j] if of.confidence.size else one) * (
                of.target[j] if of.target.size else one
            )
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
            _product(q, p, lo, hi, indices, confidence, other, missing, a, lam, Z, G)
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
def gradient_rows(rows, of, Z, G, X, gradient, loss, fit):  # type: ignore[no-untyped-def]
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
        a = np.float64(of.own[i])
        lam = np.float64(of.ridge[i])
        missing = of.missing_weight * a
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
        for j in range(of.start[i], of.stop[i]):
            v = of.indices[j]
            z = Z[v, :d]
            c_j = np.float64(of.confidence[j]) if of.confidence.size else 1.0
            y_j = np.float64(of.target[j]) if of.target.size else 1.0
            w_j = missing * (np.float64(of.other[v]) if of.other.size else 1.0)
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
def hessian_rows(rows, of, X, V, Z, W, out):  # type: ignore[no-untyped-def]
    """Add to ``out[i]`` the observed cells' part of the half-Hessian of L times (V, W), for the
    rows i.

    With s = x·z, ds = v·z + x·w and ω = c - w0 a b:  out += sum_j [ω ds z + (ω s - c y) w].
    """
    d = X.shape[1]
    one = X.dtype.type(1.0)
    for n in range(rows.size):
        i = rows[n]
        x, v, total = X[i], V[i], out[i]
        missing = X.dtype.type(of.missing_weight) * of.own[i]
        for j in range(of.start[i], of.stop[i]):
            k = of.indices[j]
            z, w = Z[k], W[k]
            s, ds = X.dtype.type(0), X.dtype.type(0)
            for c in range(d):
                s += x[c] * z[c]
                ds += v[c] * z[c] + x[c] * w[c]
            c_j = of.confidence[j] if of.confidence.size else one
            y_j = of.target[j] if of.target.size else one
            weight = c_j - (missing * of.other[k] if of.other.size else missing)
            t = weight * ds
            e = weight * s - c_j * y_j
            for c in range(d):
                total[c] += t * z[c] + e * w[c]
