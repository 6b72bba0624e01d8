"""Row kernels for losses that are sums of terms (``models.terms``): damped Newton, gradients,
norms.

For one row x with terms a_t, weights w_t and targets y_t,

    f(x) = Σ_t w_t ℓ(a_t·x + o_t; y_t) + ½ ρ Σ_c λ_c x_c²,      o_t = −a_t·X[peer_t],
    g = Σ_t w_t ℓ' a_t + ρ λ∘x,
        H = Σ_t w_t ℓ'' a_t a_tᵀ + ρ diag(λ)

over the free columns of x; a fixed one has no gradient and a one on H's diagonal. ``of`` is a
``TermArrays``: the terms of every row, and its ridge. Rows may be *held*: then f has
½ μ ‖x‖² − l·x added to it, μ = ``damping[i]``, l = ``linear[i]``; both arrays are empty where they
are not. All in float64. Rows of Z and X are padded with zero columns to a multiple of the vector
length. Readable oracles are in ``term_twins.py``.
"""

from __future__ import annotations

import numpy as np

from alteraser.linalg.kernels.dense import add_outer, cholesky, cholesky_solve
from alteraser.runtime.jit import kernel
from alteraser.solvers.kernels.rows import CHUNK, NOT_FINITE, SINGULAR, SOLVED

HALVINGS = 40
SUFFICIENT = 1e-4  # share of the promised decrease that a step has to deliver (Armijo)
ROUNDING = 1e-14  # a Newton decrement below this share of the loss is rounding


@kernel
def _difference(a, t, of, Z):  # type: ignore[no-untyped-def]
    """``a`` = Z[plus] − Z[minus], an index of −1 standing for zeros."""
    i = of.plus[t]
    if i >= 0:
        z = Z[i]
        for c in range(a.size):
            a[c] = z[c]
    else:
        for c in range(a.size):
            a[c] = 0.0
    if of.minus.size and of.minus[t] >= 0:
        z = Z[of.minus[t]]
        for c in range(a.size):
            a[c] -= z[c]


@kernel
def _softplus(s):  # type: ignore[no-untyped-def]
    return max(s, 0.0) + np.log1p(np.exp(-abs(s)))


@kernel
def _sigmoid(s):  # type: ignore[no-untyped-def]
    e = np.exp(-abs(s))
    return (1.0 if s >= 0.0 else e) / (1.0 + e)


@kernel
def _offsets(a, i, of, Z, X):  # type: ignore[no-untyped-def]
    """o_t = −a_t·X[peer_t] of the terms of row i; empty where there are no peers."""
    lo, hi = of.start[i], of.stop[i]
    o = np.empty(hi - lo if of.peer.size else 0)
    if not of.peer.size:
        return o
    for t in range(lo, hi):
        o[t - lo] = 0.0
        if of.peer[t] >= 0:
            _difference(a, t, of, Z)
            x = X[of.peer[t]]
            total = 0.0
            for c in range(a.size):
                total += a[c] * x[c]
            o[t - lo] = -total
    return o


@kernel
def _value(x, a, o, i, of, Z, mu, linear):  # type: ignore[no-untyped-def]
    """f(x) of row i."""
    lo, rho = of.start[i], of.scale[i]
    total = 0.0
    for c in range(of.penalty.size):
        total += 0.5 * rho * of.penalty[c] * x[c] * x[c]
        if linear.size and of.free[c]:
            total += (0.5 * mu * x[c] - linear[c]) * x[c]
    for t in range(lo, of.stop[i]):
        _difference(a, t, of, Z)
        s = o[t - lo] if o.size else 0.0
        for c in range(a.size):
            s += a[c] * x[c]
        y = of.target[t] if of.target.size else 1.0
        w = of.weight[t] if of.weight.size else 1.0
        total += w * (0.5 * (y - s) * (y - s) if of.squares else _softplus(s) - y * s)
    return total


@kernel
def _system(A, g, S, W, x, o, i, of, Z, width, mu, linear):  # type: ignore[no-untyped-def]
    """Fill the upper triangle of A = H and g of row i; return f(x)."""
    padded = Z.shape[1]
    penalty, free, rho = of.penalty, of.free, of.scale[i]
    d = penalty.size
    total = 0.0
    for k in range(padded):
        row = A[k]
        for c in range(padded):
            row[c] = 0.0
        row[k] = rho * penalty[k] if k < d else 1.0
        g[k] = rho * penalty[k] * x[k] if k < d else 0.0
        total += 0.5 * g[k] * x[k]
        if mu > 0.0 and k < d:
            row[k] += mu
        if linear.size and k < d and free[k]:
            total += (0.5 * mu * x[k] - linear[k]) * x[k]
            g[k] += mu * x[k] - linear[k]
    lo, hi = of.start[i], of.stop[i]
    start = lo
    while start < hi:
        count = min(CHUNK, hi - start)
        for k in range(count):
            t = start + k
            a, scaled = S[k], W[k]
            _difference(a, t, of, Z)
            s = o[t - lo] if o.size else 0.0
            for c in range(padded):
                s += a[c] * x[c]
            y = of.target[t] if of.target.size else 1.0
            w = of.weight[t] if of.weight.size else 1.0
            if of.squares:
                first, second = w * (s - y), w
                total += 0.5 * w * (y - s) * (y - s)
            else:
                p, q = _sigmoid(s), _sigmoid(-s)
                # p − y without the cancellation that takes its digits where s is large
                first, second = w * ((1.0 - y) * p - y * q), w * p * q
                total += w * (_softplus(s) - y * s)
            for c in range(padded):
                scaled[c] = second * a[c]
                g[c] += first * a[c]
        add_outer(A, W, S, count, width)
        start += count
    for k in range(d):
        if not free[k]:
            g[k] = 0.0
            for c in range(k):
                A[c, k] = 0.0
            for c in range(k, padded):
                A[k, c] = 0.0
            A[k, k] = 1.0
    return total


@kernel
def newton_rows(  # type: ignore[no-untyped-def]
    rows, of, Z, X, width, steps, damping, linear, decrement, value, status
):
    """Up to ``steps`` damped Newton steps on X[i] for every i of ``rows``, in this order and in
    place.

    Writes per row ``decrement`` = gᵀH⁻¹g where it stood, ``value`` = f where it ends, and
    ``status``. A row without terms goes to zero in its free columns, its minimum. A row that fails
    keeps its old X.
    """
    padded = Z.shape[1]
    d = of.penalty.size
    A = np.empty((padded, padded))
    S = np.empty((CHUNK, padded))
    W = np.empty((CHUNK, padded))
    g = np.empty(padded)
    x = np.empty(padded)
    moved = np.empty(padded)
    step = np.empty(padded)
    nothing = np.empty(0)
    for n in range(rows.size):
        i = rows[n]
        mu = damping[i] if damping.size else 0.0
        held = linear[i] if linear.size else nothing
        status[i] = SOLVED
        if of.start[i] == of.stop[i]:
            dec = 0.0
            for c in range(d):
                if of.free[c]:
                    dec += of.scale[i] * of.penalty[c] * X[i, c] * X[i, c]
                    X[i, c] = 0.0
            decrement[i] = dec
            value[i] = 0.0
            continue
        for c in range(padded):
            x[c] = X[i, c]
        o = _offsets(g, i, of, Z, X)
        f = 0.0
        for k in range(steps):
            f = _system(A, g, S, W, x, o, i, of, Z, width, mu, held)
            if not np.isfinite(f):
                status[i] = NOT_FINITE
                break
            if not cholesky(A, W, width):
                status[i] = SINGULAR
                break
            for c in range(padded):
                step[c] = -g[c]
            cholesky_solve(A, step)
            dec = 0.0
            for c in range(padded):
                dec -= g[c] * step[c]
            if k == 0:
                decrement[i] = dec
            if not np.isfinite(dec):
                status[i] = NOT_FINITE
                break
            if dec <= ROUNDING * abs(f):
                break
            length = 1.0
            following = f
            for _ in range(HALVINGS):
                for c in range(padded):
                    moved[c] = x[c] + length * step[c]
                following = _value(moved, S[0], o, i, of, Z, mu, held)
                if following <= f - SUFFICIENT * length * dec:
                    break
                length *= 0.5
            if not following <= f:
                break
            f = following
            for c in range(padded):
                x[c] = moved[c]
        if status[i] != SOLVED:
            continue
        for c in range(padded):
            X[i, c] = x[c]
        value[i] = f


@kernel
def gradient_terms(rows, of, Z, X, gradient, value, parts):  # type: ignore[no-untyped-def]
    """``gradient[i]`` = g and ``value[i]`` = f without the ridge; ``parts[i]`` = norms of what g is
    the sum of.

    The parts are the terms that pull the scores up, those that push them down, and the ridge.
    """
    padded = Z.shape[1]
    d = of.penalty.size
    a = np.empty(padded)
    x = np.empty(padded)
    sums = np.empty((2, padded))
    for n in range(rows.size):
        i = rows[n]
        lo, hi = of.start[i], of.stop[i]
        o = _offsets(a, i, of, Z, X)
        for c in range(padded):
            x[c] = X[i, c]
            sums[0, c] = 0.0
            sums[1, c] = 0.0
        total = 0.0
        for t in range(lo, hi):
            _difference(a, t, of, Z)
            s = o[t - lo] if o.size else 0.0
            for c in range(padded):
                s += a[c] * x[c]
            y = of.target[t] if of.target.size else 1.0
            w = of.weight[t] if of.weight.size else 1.0
            if of.squares:
                first = w * (s - y)
                total += 0.5 * w * (y - s) * (y - s)
            else:
                first = w * ((1.0 - y) * _sigmoid(s) - y * _sigmoid(-s))
                total += w * (_softplus(s) - y * s)
            part = sums[0] if first < 0.0 else sums[1]
            for c in range(padded):
                part[c] += first * a[c]
        value[i] = total
        for k in range(3):
            parts[i, k] = 0.0
        for c in range(d):
            if of.free[c]:
                ridge = of.scale[i] * of.penalty[c] * x[c]
                gradient[i, c] = sums[0, c] + sums[1, c] + ridge
                parts[i, 0] += sums[0, c] * sums[0, c]
                parts[i, 1] += sums[1, c] * sums[1, c]
                parts[i, 2] += ridge * ridge
            else:
                gradient[i, c] = 0.0
        for k in range(3):
            parts[i, k] = np.sqrt(parts[i, k])


@kernel
def norm_terms(rows, of, Z, X, width, damping, gradient, out, status):  # type: ignore[no-untyped-def]
    """``out[i]`` = vᵀ(H + μ)⁻¹v for v = ``gradient[i]``, with H of each row at X; rows of zeros
    cost nothing.
    """
    padded = Z.shape[1]
    d = of.penalty.size
    A = np.empty((padded, padded))
    S = np.empty((CHUNK, padded))
    W = np.empty((CHUNK, padded))
    g = np.empty(padded)
    x = np.empty(padded)
    nothing = np.empty(0)
    for n in range(rows.size):
        i = rows[n]
        mu = damping[i] if damping.size else 0.0
        out[i] = 0.0
        status[i] = SOLVED
        top = 0.0
        for c in range(d):
            top = max(top, abs(gradient[i, c]))
        if not np.isfinite(top):
            status[i] = NOT_FINITE
            continue
        if top == 0.0:
            continue
        for c in range(padded):
            x[c] = X[i, c]
        o = _offsets(g, i, of, Z, X)
        _system(A, g, S, W, x, o, i, of, Z, width, mu, nothing)
        if not cholesky(A, W, width):
            status[i] = SINGULAR
            continue
        for c in range(padded):
            g[c] = gradient[i, c] if c < d else 0.0
        cholesky_solve(A, g)
        for c in range(d):
            out[i] += g[c] * gradient[i, c]
