"""Rows with fewer interactions than factors, by the inverse of a matrix of their interactions."""

from __future__ import annotations

import numpy as np

from alteraser.runtime.jit import kernel


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
