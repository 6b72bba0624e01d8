"""Rows with fewer interactions than factors, by the inverse of a matrix of their interactions."""

from __future__ import annotations

import numpy as np

from alteraser.linalg.kernels.vector import add_four, dot_four
from alteraser.runtime.jit import kernel
from alteraser.solvers.kernels.rows import four, omega


@kernel
def short_norm_rows(rows, of, Z, values, gradient, norms, most):  # type: ignore[no-untyped-def]
    """``norms[i]`` = gᵀA⁻¹g for g = ``gradient[i]`` of rows with at most ``most`` interactions, all
    in float64.

    Z and g are in the basis in which the Gram matrix is diagonal, with ``values``: A = M + Σ ω z
    zᵀ, M = a G + ridge is diagonal, so that gᵀA⁻¹g = gᵀM⁻¹g − wᵀ(Ω⁻¹ + Z M⁻¹ Zᵀ)⁻¹w, w = Z M⁻¹ g
    (Woodbury 1950). Needs ω ≥ 0.
    """
    d = Z.shape[1]
    K = np.empty((most, most))
    S = np.empty((most, d))
    w = np.empty(most)
    root = np.empty(d)
    g = np.empty(d)
    for n in range(rows.size):
        i = rows[n]
        a, lam = np.float64(of.own[i]), np.float64(of.ridge[i])
        total = 0.0
        for c in range(d):
            root[c] = 1.0 / np.sqrt(a * values[c] + lam)
            g[c] = gradient[i, c] * root[c]
            total += g[c] * g[c]
        k = 0
        for j in range(of.start[i], of.stop[i]):
            v = of.indices[j]
            c_j = np.float64(of.confidence[j]) if of.confidence.size else 1.0
            b_j = np.float64(of.other[v]) if of.other.size else 1.0
            weight = c_j - of.missing_weight * a * b_j
            if weight <= 0.0:
                continue
            s = S[k]
            z = Z[v]
            pull = 0.0
            for c in range(d):
                s[c] = z[c] * root[c]
                pull += s[c] * g[c]
            w[k] = pull
            for m in range(k + 1):
                t = S[m]
                product = 0.0
                for c in range(d):
                    product += s[c] * t[c]
                K[k, m] = product
            K[k, k] += 1.0 / weight
            k += 1
        for m in range(k):  # Cholesky and the forward solve of w at once
            for p in range(m):
                entry = K[m, p]
                for q in range(p):
                    entry -= K[m, q] * K[p, q]
                K[m, p] = entry / K[p, p]
            pivot = K[m, m]
            entry = w[m]
            for q in range(m):
                pivot -= K[m, q] * K[m, q]
                entry -= K[m, q] * w[q]
            K[m, m] = np.sqrt(pivot)
            w[m] = entry / K[m, m]
            total -= w[m] * w[m]
        norms[i] = max(total, 0.0)


@kernel
def short_factor_rows(rows, of, Z, scale, where, packed):  # type: ignore[no-untyped-def]
    """The Cholesky factor of K = Ω⁻¹ + Z M⁻¹ Zᵀ of rows with few interactions, M⁻¹ = ``scale``
    (d,), lower and row by row at ``packed[where[i]]``. Interactions with ω ≤ 0 are left out.
    """
    d = scale.size
    for n in range(rows.size):
        i = rows[n]
        a = np.float64(of.own[i])
        at, k = where[i], 0
        for j in range(of.start[i], of.stop[i]):
            z = Z[of.indices[j]]
            c_j = np.float64(of.confidence[j]) if of.confidence.size else 1.0
            weight = c_j - of.missing_weight * a
            if weight <= 0.0:
                continue
            row = at + k * (k + 1) // 2
            m = 0
            for other in range(of.start[i], j + 1):
                c_o = np.float64(of.confidence[other]) if of.confidence.size else 1.0
                if c_o - of.missing_weight * a <= 0.0:
                    continue
                y = Z[of.indices[other]]
                entry = 0.0
                for c in range(d):
                    entry += np.float64(z[c]) * scale[c] * np.float64(y[c])
                if other == j:
                    entry += 1.0 / weight
                column = at + m * (m + 1) // 2
                for q in range(m):
                    entry -= packed[row + q] * packed[column + q]
                packed[row + m] = np.sqrt(entry) if m == k else entry / packed[column + m]
                m += 1
            k += 1


@kernel
def short_solve_rows(rows, of, Z, scale, where, packed, right, out, most):  # type: ignore[no-untyped-def]
    """``out[i]`` = A⁻¹ ``right[i]`` with what ``short_factor_rows`` has left.

    By Woodbury's formula: M⁻¹ r − M⁻¹ Zᵀ K⁻¹ Z M⁻¹ r.
    """
    d = scale.size
    y, w = np.empty(d), np.empty(most)
    for n in range(rows.size):
        i = rows[n]
        a = np.float64(of.own[i])
        at, k = where[i], 0
        for c in range(d):
            y[c] = np.float64(right[i, c]) * scale[c]
        for j in range(of.start[i], of.stop[i]):
            c_j = np.float64(of.confidence[j]) if of.confidence.size else 1.0
            if c_j - of.missing_weight * a <= 0.0:
                continue
            z = Z[of.indices[j]]
            row, entry = at + k * (k + 1) // 2, 0.0
            for c in range(d):
                entry += np.float64(z[c]) * y[c]
            for q in range(k):
                entry -= packed[row + q] * w[q]
            w[k] = entry / packed[row + k]
            k += 1
        for m in range(k - 1, -1, -1):
            entry = w[m]
            for q in range(m + 1, k):
                entry -= packed[at + q * (q + 1) // 2 + m] * w[q]
            w[m] = entry / packed[at + m * (m + 1) // 2 + m]
        k = 0
        for j in range(of.start[i], of.stop[i]):
            c_j = np.float64(of.confidence[j]) if of.confidence.size else 1.0
            if c_j - of.missing_weight * a <= 0.0:
                continue
            z = Z[of.indices[j]]
            for c in range(d):
                y[c] -= scale[c] * np.float64(z[c]) * w[k]
            k += 1
        for c in range(d):
            out[i, c] = y[c]


@kernel
def held_rows(rows, of, X, Z, W, out):  # type: ignore[no-untyped-def]
    """Add Σ_j ω (x·w) z to ``out[i]``, x = ``X[i]``, w of ``W`` and z of ``Z`` as its interactions
    have it.
    """
    padded = X.shape[1]
    one, none = X.dtype.type(1), X.dtype.type(0)
    indices, confidence, other = of.indices, of.confidence, of.other
    mine, theirs, moved, result = X.reshape(-1), Z.reshape(-1), W.reshape(-1), out.reshape(-1)
    for n in range(rows.size):
        i = rows[n]
        missing = X.dtype.type(of.missing_weight) * of.own[i]
        x = i * padded
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
            add_four(result, x, theirs, z0, z1, z2, z3, t0, t1, t2, t3, padded)
