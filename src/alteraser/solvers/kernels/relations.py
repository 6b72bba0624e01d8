"""Kernels of a relation's loss: what observed cells are to its gradient and to products with its
Hessian, one side at a time.

Letters as in ``rows``: row x of this side, z of the other; V, W are directions on this and the
other side; e = ω s − c y with s = x·z and ω = c − w₀ a b. Rows are padded to whole vectors. The
twins are ``gradient_rows`` and ``hessian_rows`` of ``rows``. (That the columns gather what the rows
have found of their cells was slower than finding it twice: it comes from all over memory.)
"""

from __future__ import annotations

from alteraser.linalg.kernels.vector import add_four, dot_four, fetch
from alteraser.runtime.jit import kernel
from alteraser.solvers.kernels.rows import four, omega

AHEAD = 12
"""Cells between asking for a row and using it"""


@kernel
def error_and_gradient_rows(rows, of, X, Z, error, gradient, loss, fit):  # type: ignore[no-untyped-def]
    """``error[j]`` = e of the cells of the rows; ``gradient[i]`` += Σ e z; ``loss[i]`` = Σ c (y −
    s)² − w₀ a b s² and ``fit[i]`` = Σ c y s.
    """
    padded = X.shape[1]
    one, none = X.dtype.type(1), X.dtype.type(0)
    mine, theirs, found = X.reshape(-1), Z.reshape(-1), gradient.reshape(-1)
    indices, confidence, target, other = of.indices, of.confidence, of.target, of.other
    for n in range(rows.size):
        i = rows[n]
        missing = X.dtype.type(of.missing_weight) * of.own[i]
        total, explained = 0.0, 0.0
        lo, hi = of.start[i], of.stop[i]
        for j in range(lo, hi, 4):
            for k in range(j + AHEAD, min(j + AHEAD + 4, hi)):
                fetch(theirs, indices[k] * padded, padded)
            last = min(4, hi - j) - 1
            i0, i1, i2, i3 = four(indices, j, last)
            z0, z1, z2, z3 = i0 * padded, i1 * padded, i2 * padded, i3 * padded
            s = dot_four(mine, i * padded, theirs, z0, z1, z2, z3, padded)
            for m in range(last + 1):
                c_j = confidence[j + m] if confidence.size else one
                y_j = target[j + m] if target.size else one
                weight = omega(confidence, other, j + m, indices[j + m], missing, one)
                total += c_j * y_j * y_j + (weight * s[m] - 2.0 * c_j * y_j) * s[m]
                explained += c_j * y_j * s[m]
                error[j + m] = weight * s[m] - c_j * y_j
            e1 = error[j + 1] if last >= 1 else none
            e2 = error[j + 2] if last >= 2 else none
            e3 = error[j + 3] if last >= 3 else none
            add_four(found, i * padded, theirs, z0, z1, z2, z3, error[j], e1, e2, e3, padded)
        loss[i] = total
        fit[i] = explained


@kernel
def bent_rows(rows, of, error, X, V, Z, W, out):  # type: ignore[no-untyped-def]
    """``out[i]`` += Σ_j ω (v·z + x·w) z + e w, with e from ``error_and_gradient_rows``."""
    padded = X.shape[1]
    one, none = X.dtype.type(1), X.dtype.type(0)
    mine, moving, theirs, moved = X.reshape(-1), V.reshape(-1), Z.reshape(-1), W.reshape(-1)
    found = out.reshape(-1)
    indices, confidence, other = of.indices, of.confidence, of.other
    for n in range(rows.size):
        i = rows[n]
        x = i * padded
        missing = X.dtype.type(of.missing_weight) * of.own[i]
        lo, hi = of.start[i], of.stop[i]
        for j in range(lo, hi, 4):
            for k in range(j + AHEAD, min(j + AHEAD + 4, hi)):
                fetch(theirs, indices[k] * padded, padded)
                fetch(moved, indices[k] * padded, padded)
            last = min(4, hi - j) - 1
            i0, i1, i2, i3 = four(indices, j, last)
            z0, z1, z2, z3 = i0 * padded, i1 * padded, i2 * padded, i3 * padded
            vz = dot_four(moving, x, theirs, z0, z1, z2, z3, padded)
            xw = dot_four(mine, x, moved, z0, z1, z2, z3, padded)
            t0 = omega(confidence, other, j, i0, missing, one) * (vz[0] + xw[0])
            t1, e1, t2, e2, t3, e3 = none, none, none, none, none, none
            if last >= 1:
                t1 = omega(confidence, other, j + 1, i1, missing, one) * (vz[1] + xw[1])
                e1 = error[j + 1]
            if last >= 2:
                t2 = omega(confidence, other, j + 2, i2, missing, one) * (vz[2] + xw[2])
                e2 = error[j + 2]
            if last >= 3:
                t3 = omega(confidence, other, j + 3, i3, missing, one) * (vz[3] + xw[3])
                e3 = error[j + 3]
            add_four(found, x, theirs, z0, z1, z2, z3, t0, t1, t2, t3, padded)
            add_four(found, x, moved, z0, z1, z2, z3, error[j], e1, e2, e3, padded)
