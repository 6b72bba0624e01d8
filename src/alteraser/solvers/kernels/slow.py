"""Kernels of the slow space: what its outer products do to one user, and products of ω with few
columns.

Letters as in ``joint``; L are the left factors of the space, on the items, R the right ones, in ℝᵈ.
"""

from __future__ import annotations

from alteraser.linalg.kernels.vector import add_four
from alteraser.runtime.jit import kernel
from alteraser.solvers.kernels.joint import half_solve_at
from alteraser.solvers.kernels.rows import four, omega


@kernel
def coupled_rows(rows, of, error, Z, L, T, R, U, half, pull):  # type: ignore[no-untyped-def]
    """Of the n-th of ``rows``, user i: ``half[n]`` = A^(−½) [F; Rᵀ] row by row, ``pull[n]`` = Σ_j e
    L_j.

    F (l, d) has Σ_j ω L_ja z_j + a T_a in row a; A^(−½) is the inverse of the lower Cholesky
    factor.
    """
    padded = Z.shape[1]
    count, weak = L.shape[1], R.shape[0]
    one = Z.dtype.type(1)
    none = Z.dtype.type(0)
    indices, confidence, other = of.indices, of.confidence, of.other
    theirs, factors, result = Z.reshape(-1), U.reshape(-1), half.reshape(-1)
    for n in range(rows.size):
        i = rows[n]
        a = of.own[i]
        missing = Z.dtype.type(of.missing_weight) * a
        at = n * (count + weak) * padded
        for s in range(count):
            pull[n, s] = none
            for c in range(padded):
                half[n, s, c] = a * T[s, c]
        for s in range(weak):
            for c in range(padded):
                half[n, count + s, c] = R[s, c]
        lo, hi = of.start[i], of.stop[i]
        for j in range(lo, hi, 4):
            last = min(4, hi - j) - 1
            i0, i1, i2, i3 = four(indices, j, last)
            z0, z1, z2, z3 = i0 * padded, i1 * padded, i2 * padded, i3 * padded
            w_0 = omega(confidence, other, j, i0, missing, one)
            w_1 = omega(confidence, other, j + 1, i1, missing, one) if last >= 1 else none
            w_2 = omega(confidence, other, j + 2, i2, missing, one) if last >= 2 else none
            w_3 = omega(confidence, other, j + 3, i3, missing, one) if last >= 3 else none
            e0 = error[j]
            e1 = error[j + 1] if last >= 1 else none
            e2 = error[j + 2] if last >= 2 else none
            e3 = error[j + 3] if last >= 3 else none
            for s in range(count):
                l0, l1, l2, l3 = L[i0, s], L[i1, s], L[i2, s], L[i3, s]
                pull[n, s] += e0 * l0 + e1 * l1 + e2 * l2 + e3 * l3
                add_four(
                    result,
                    at + s * padded,
                    theirs,
                    z0,
                    z1,
                    z2,
                    z3,
                    w_0 * l0,
                    w_1 * l1,
                    w_2 * l2,
                    w_3 * l3,
                    padded,
                )
        for s in range(count + weak):
            half_solve_at(factors, i * U.shape[1], result, at + s * padded, padded)
