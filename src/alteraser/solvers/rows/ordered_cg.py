"""Conjugate gradients on rows with implicit's own roundings: the same bytes where the same BLAS is
there.

implicit 0.7 solves a row by a few steps of conjugate gradients in the factors' precision, by calls
of scipy's BLAS one after the other. Nothing but their order decides the roundings, and these decide
what a model with large weights is like after fifteen iterations (two orders: lists that agree to
0.79). Here the order is taken over, by ``linalg.kernels``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from alteraser.runtime.workers import blocks, run

Array = npt.NDArray[Any]

PROBES = 64
"""Pairs of random vectors on which an order has to agree with the BLAS bit for bit."""

ROUTINES = "scipy.linalg.cython_blas"


class WeightedRows(NamedTuple):
    """A sparse matrix of float32 weights, rows by rows, as implicit's trainer is given it, and as
    the compiled loop takes it.
    """

    indptr: Array
    """(rows + 1,) int64"""
    indices: Array
    """(entries,) int32, increasing in every row"""
    weight: Array
    """(entries,) float32, α r"""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.indptr.size - 1)

    @property
    def all_rows(self) -> Array:
        """Every row, (rows,) int64."""
        return np.arange(self.rows, dtype=np.int64)

    @property
    def counts(self) -> Array:
        """Entries per row."""
        return np.diff(self.indptr)


def ordered_steps(
    matrix: WeightedRows,
    other: Array,
    x: Array,
    *,
    regularization: float,
    steps: int,
    tiny: float,
    threads: int,
) -> None:
    """``steps`` on every row of ``x`` (rows, d) in place, given the other side's ``other``
    (columns, d); float32.

    Raises LookupError where the BLAS takes its sums in no order that is known (``order_of``).
    """
    from alteraser.solvers.kernels.ordered_rows import ordered_cg_rows

    d = x.shape[1]
    order = order_of(d)
    if order is None:
        raise LookupError("the order of sums of this BLAS is not known")
    # ZᵀZ is left to NumPy, whose result implicit takes too
    gram = np.ascontiguousarray(
        np.dot(other.T, other) + np.float32(regularization) * np.eye(d, dtype=np.float32)
    )
    flat, seen = x.reshape(-1), other.reshape(-1)
    address = _address("ssymv")
    run(
        lambda rows: ordered_cg_rows(
            rows,
            matrix,
            seen,
            gram.reshape(-1),
            address,
            order,
            steps,
            tiny,
            flat,
        ),
        blocks(matrix, None, d, threads),
        threads,
    )


@lru_cache(maxsize=16)
def order_of(d: int) -> int | None:
    """The order in which this machine's BLAS takes float32 inner products and additions of length
    d; None: unknown.
    """
    from alteraser.linalg.kernels.ordered import FOLDED, PAIRED
    from alteraser.solvers.kernels.ordered_rows import ordered_add, ordered_dot

    rng = np.random.default_rng(0)
    sdot, saxpy = _routine("sdot", 5, True), _routine("saxpy", 6, False)
    n, one = np.array([d], np.int32), np.array([1], np.int32)
    for order in (FOLDED, PAIRED):
        same = True
        for _ in range(PROBES):
            x, y = rng.standard_normal((2, d)).astype(np.float32)
            t = rng.standard_normal(1).astype(np.float32)
            known = np.float32(sdot(*(a.ctypes.data for a in (n, x, one, y, one))))
            mine, theirs = y.copy(), y.copy()
            ordered_add(order, mine, 0, x, 0, t[0], d)
            saxpy(*(a.ctypes.data for a in (n, t, x, one, theirs, one)))
            same = (
                same
                and bool(ordered_dot(order, x, 0, y, 0, d) == known)
                and np.array_equal(mine, theirs)
            )
            if not same:
                break
        if same:
            return order
    return None


def _address(name: str) -> int:
    from numba.extending import get_cython_function_address

    return int(get_cython_function_address(ROUTINES, name))


def _routine(name: str, arguments: int, answers: bool) -> Any:
    import ctypes

    kind = ctypes.CFUNCTYPE(ctypes.c_float if answers else None, *([ctypes.c_void_p] * arguments))
    return kind(_address(name))
