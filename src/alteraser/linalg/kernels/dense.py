"""Dense algebra for one row: Cholesky factorization and solves on a padded upper triangle.

LAPACK would do for one large matrix; for ten thousand small ones, called from threads that must not
nest BLAS threads, the call overhead outweighs the work. Twins: ``scipy.linalg.cholesky`` and
``cho_solve``.
"""

from __future__ import annotations

import numpy as np

from alteraser.linalg.kernels.tile import TILE_ROWS, add_outer_tile
from alteraser.linalg.kernels.vector import short_add_four, short_dot_four, short_scaled
from alteraser.runtime.jit import kernel

PANEL = 8  # rows factored before the rest of the triangle is updated once


@kernel
def add_outer(A, W, S, count, width):  # type: ignore[no-untyped-def]
    """Upper triangle of ``A += W[:count].T @ S[:count]``; what is written below the diagonal means
    nothing.
    """
    for c0 in range(0, A.shape[1], width):
        for r0 in range(0, c0 + width, TILE_ROWS):
            add_outer_tile(A, W, S, count, r0, c0)


@kernel
def cholesky(U, W, width):  # type: ignore[no-untyped-def]
    """Overwrite the upper triangle of ``U`` with its factor, UᵀU; False if a pivot is not positive
    and finite.

    U is d x d with d a multiple of ``width`` (lanes of a vector); W is scratch of at least PANEL x
    d. Right-looking and blocked: factor PANEL rows, then subtract their outer products from the
    rest.
    """
    d = U.shape[0]
    flat = U.reshape(-1)
    one = U.dtype.type(1)
    none = U.dtype.type(0)
    negated = W.reshape(-1)
    # row j of the panel starts at its diagonal block, k, a multiple of 8
    for k in range(0, d, PANEL):
        length = d - k
        first = k * d + k
        for j in range(PANEL):
            row = first + j * d
            # what the rows above take off; those that are not above weigh nothing
            for i in range(0, j, 4):
                above = first + i * d
                t0 = -flat[above + j]
                t1 = -flat[above + d + j] if i + 1 < j else none
                t2 = -flat[above + 2 * d + j] if i + 2 < j else none
                t3 = -flat[above + 3 * d + j] if i + 3 < j else none
                last = first + (j - 1) * d
                short_add_four(
                    flat,
                    row,
                    flat,
                    above,
                    min(above + d, last),
                    min(above + 2 * d, last),
                    min(above + 3 * d, last),
                    t0,
                    t1,
                    t2,
                    t3,
                    length,
                )
            pivot = flat[row + j]
            if not (pivot > 0.0 and np.isfinite(pivot)):
                return False
            short_scaled(flat, row, flat, row, U.dtype.type(one / np.sqrt(pivot)), length)
        rest = k + PANEL
        if rest < d:
            for j in range(PANEL):
                short_scaled(
                    negated, j * W.shape[1] + rest, flat, (k + j) * d + rest, -one, d - rest
                )
            panel = U[k:rest]
            for r0 in range(rest, d, TILE_ROWS):
                for c0 in range(r0 - r0 % width, d, width):
                    add_outer_tile(U, W, panel, PANEL, r0, c0)
    return True


@kernel
def subtract_product(A, x, r):  # type: ignore[no-untyped-def]
    """``r`` -= A x for a symmetric A of which the upper triangle is given; d is a multiple of 8."""
    d = A.shape[0]
    flat = A.reshape(-1)
    for k in range(d):
        for c in range(k // 8 * 8, k):
            flat[k * d + c] = 0.0  # below the diagonal there may be anything
    for k in range(0, d, 4):
        start = k // 8 * 8
        first, length = k * d + start, d - start
        second, third, fourth = first + d, first + 2 * d, first + 3 * d
        s0, s1, s2, s3 = short_dot_four(x, start, flat, first, second, third, fourth, length)
        # the diagonal is in both sums; once is right
        r[k] -= s0 - A[k, k] * x[k]
        r[k + 1] -= s1 - A[k + 1, k + 1] * x[k + 1]
        r[k + 2] -= s2 - A[k + 2, k + 2] * x[k + 2]
        r[k + 3] -= s3 - A[k + 3, k + 3] * x[k + 3]
        short_add_four(
            r,
            start,
            flat,
            first,
            second,
            third,
            fourth,
            -x[k],
            -x[k + 1],
            -x[k + 2],
            -x[k + 3],
            length,
        )


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
