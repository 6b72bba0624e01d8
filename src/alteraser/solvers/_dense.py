"""Dense algebra for one row: Cholesky factorization and solves on a padded upper triangle.

LAPACK would do for one large matrix; for ten thousand small ones, called from threads that must not nest
BLAS threads, the call overhead outweighs the work. Twins: ``scipy.linalg.cholesky`` and ``cho_solve``.
"""

from __future__ import annotations

import numpy as np

from alteraser.solvers._jit import kernel
from alteraser.solvers._tile import TILE_ROWS, add_outer_tile

PANEL = 8  # rows factored before the rest of the triangle is updated once


@kernel
def add_outer(A, W, S, count, width):  # type: ignore[no-untyped-def]
    """Upper triangle of ``A += W[:count].T @ S[:count]``; what is written below the diagonal means nothing."""
    for c0 in range(0, A.shape[1], width):
        for r0 in range(0, c0 + width, TILE_ROWS):
            add_outer_tile(A, W, S, count, r0, c0)


@kernel
def cholesky(U, W, width):  # type: ignore[no-untyped-def]
    """Overwrite the upper triangle of ``U`` with its factor, UᵀU; False if a pivot is not positive and finite.

    U is d x d with d a multiple of ``width`` (lanes of a vector); W is scratch of at least PANEL x d.
    Right-looking and blocked: factor PANEL rows, then subtract their outer products from the rest.
    """
    d = U.shape[0]
    for k in range(0, d, PANEL):
        for j in range(k, k + PANEL):
            pivot = U[j, j]
            if not (pivot > 0.0 and np.isfinite(pivot)):
                return False
            inverse = 1.0 / np.sqrt(pivot)
            top = U[j, j:]
            for c in range(top.size):
                top[c] *= U.dtype.type(inverse)
            for i in range(j + 1, k + PANEL):
                factor = U[j, i]
                row = U[i, i:]
                above = U[j, i:]
                for c in range(row.size):
                    row[c] -= factor * above[c]
        rest = k + PANEL
        if rest < d:
            for j in range(PANEL):
                negated = W[j, rest:]
                row = U[k + j, rest:]
                for c in range(negated.size):
                    negated[c] = -row[c]
            panel = U[k:rest]
            for r0 in range(rest, d, TILE_ROWS):
                for c0 in range(r0 - r0 % width, d, width):
                    add_outer_tile(U, W, panel, PANEL, r0, c0)
    return True


@kernel
def cholesky_solve(U, x):  # type: ignore[no-untyped-def]
    """Overwrite ``x`` with ``(UᵀU)⁻¹ x``."""
    d = U.shape[0]
    for k in range(d):
        t = x[k] / U[k, k]
        x[k] = t
        below = x[k + 1 :]
        row = U[k, k + 1 :]
        for c in range(below.size):
            below[c] -= t * row[c]
    for k in range(d - 1, -1, -1):
        below = x[k + 1 :]
        row = U[k, k + 1 :]
        total = x[k]
        for c in range(below.size):
            total -= below[c] * row[c]
        x[k] = total / U[k, k]
