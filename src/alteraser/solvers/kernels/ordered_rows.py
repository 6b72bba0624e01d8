"""Row kernels with sums in another library's order (``alteraser.linalg.kernels.ordered``); not
fast-math.
"""

from __future__ import annotations

import numpy as np

from alteraser.linalg.kernels.ordered import (
    BLOCK,
    FOLDED,
    add_blocks,
    add_four_blocks,
    dot_folded,
    dot_paired,
    four_folded,
    four_paired,
    fused,
    symmetric_product,
)
from alteraser.runtime.jit import exact_order


@exact_order
def ordered_dot(order, x, at, Y, y, d):  # type: ignore[no-untyped-def]
    """x[at : at + d] · Y[y : y + d] as BLAS takes it: whole blocks in float32, the rest one by one
    in float64.
    """
    whole = d // BLOCK * BLOCK
    blocks = 0.0
    if whole:
        blocks = np.float64(
            dot_folded(x, at, Y, y, whole) if order == FOLDED else dot_paired(x, at, Y, y, whole)
        )
    rest = np.float64(0)
    for c in range(whole, d):
        rest += np.float64(np.float32(x[at + c] * Y[y + c]))
    return np.float32(rest + blocks)


@exact_order
def ordered_add(order, x, at, Y, y, t, d):  # type: ignore[no-untyped-def]
    """x[at : at + d] += t Y[y : y + d] as BLAS does it: fused in whole blocks, and in the rest
    where ``order`` does.
    """
    whole = d // BLOCK * BLOCK
    add_blocks(x, at, Y, y, t, whole)
    for c in range(whole, d):
        if order == FOLDED:
            x[at + c] = fused(t, Y[y + c], x[at + c])
        else:
            x[at + c] = x[at + c] + np.float32(t * Y[y + c])


@exact_order
def _gather(order, v, at, i, of, Z, pulled, out, d):  # type: ignore[no-untyped-def]
    """Add Σ_j t_j z_j to ``out``, in the order of j: t_j = (|c| − 1)(z_j·v), or with ``pulled``
    max(c, 0) − that.
    """
    whole = d // BLOCK * BLOCK
    t = np.empty(4, np.float32)
    indices, hi = of.indices, of.indptr[i + 1]
    for first in range(of.indptr[i], hi, 4):
        count = min(4, hi - first)
        together = count == 4 and whole == d
        if together:
            z0, z1, z2, z3 = (
                indices[first] * d,
                indices[first + 1] * d,
                indices[first + 2] * d,
                indices[first + 3] * d,
            )
            if order == FOLDED:
                t[0], t[1], t[2], t[3] = four_folded(v, at, Z, z0, z1, z2, z3, d)
            else:
                t[0], t[1], t[2], t[3] = four_paired(v, at, Z, z0, z1, z2, z3, d)
        else:
            for k in range(count):
                t[k] = ordered_dot(order, Z, indices[first + k] * d, v, at, d)
        for k in range(count):
            c = of.weight[first + k]
            product = (np.float64(abs(c)) - 1.0) * np.float64(t[k])
            if pulled:
                product = (np.float64(c) if c > 0 else 0.0) - product
            t[k] = np.float32(product)
        if together:
            add_four_blocks(out, 0, Z, z0, z1, z2, z3, t[0], t[1], t[2], t[3], d)
        else:
            for k in range(count):
                ordered_add(order, out, 0, Z, indices[first + k] * d, t[k], d)


@exact_order
def ordered_cg_rows(rows, of, Z, G, symv, order, steps, tiny, X):  # type: ignore[no-untyped-def]
    """``steps`` of conjugate gradients on every row of X from where it is, in float32 and in
    implicit's order of sums.

    The row's system is (G + Σ (|c| − 1) z zᵀ) x = Σ_{c > 0} c z with the weights c of ``of``
    (``WeightedRows``) and G = ZᵀZ + λ I; a row without interactions becomes zero. Ends early where
    the squared residual is below ``tiny``. Z, G and X are flat.
    """
    d = int(np.sqrt(G.size))
    r, p, q = np.zeros(d, np.float32), np.zeros(d, np.float32), np.zeros(d, np.float32)
    for n in range(rows.size):
        i = rows[n]
        x = i * d
        if of.indptr[i] == of.indptr[i + 1]:
            for c in range(d):
                X[x + c] = 0
            continue
        symmetric_product(symv, G, np.float32(-1), X, x, r, d)
        _gather(order, X, x, i, of, Z, True, r, d)
        p[:] = r
        old = ordered_dot(order, r, 0, r, 0, d)
        if old < tiny:
            continue
        for _ in range(steps):
            symmetric_product(symv, G, np.float32(1), p, 0, q, d)
            _gather(order, p, 0, i, of, Z, False, q, d)
            step = np.float32(old / ordered_dot(order, p, 0, q, 0, d))
            ordered_add(order, X, x, p, 0, step, d)
            ordered_add(order, r, 0, q, 0, -step, d)
            new = ordered_dot(order, r, 0, r, 0, d)
            if new < tiny:
                break
            turn = np.float32(new / old)
            for c in range(d):
                p[c] = np.float32(turn * p[c])
            ordered_add(order, p, 0, r, 0, np.float32(1), d)
            old = new
