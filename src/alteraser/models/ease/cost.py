"""What EASE costs before it is done, in time and in memory.

Times are in dense multiply-adds, of which one at BLAS's speed is 1; the others' weights were
measured on MovieLens-1M with ``alteraser bench exact``, which prints what is predicted beside what
is measured.
"""

from __future__ import annotations

INVERT = 1.3
"""A multiply-add of factoring and inverting, which work on smaller blocks"""
SHARED = 50.0
"""One of XᵀX, added up in places that lie apart"""
SPARSE = 8.0
"""One of sparse rows with P"""
LAID_OUT = 50.0
"""An entry of P that is laid out for them"""
WORKING = 1.1
"""Memory in triangles while one is made or changed in place: rows that are taken together and their
products."""


def anew(n: int, shared: float) -> float:
    """Making P of n items of whose users Σ|D_u|²/2 is ``shared``."""
    return INVERT * n**3 / 2 + SHARED * shared


def update(n: int, rows: int, entries: int) -> float:
    """Changing P by ``rows`` rows with ``entries`` entries: products, M, and n × n by YYᵀ."""
    together = slab(n, rows, entries)
    steps = -(-rows // together) if rows else 0
    product = dense_rows(n, rows) if is_dense(n, rows, entries) else sparse_rows(n, entries, steps)
    return product + rows * n * (n + together) / 2


def slab(n: int, rows: int, entries: int) -> int:
    """Rows that are taken in one step: they and their products are ≤ 1/12 of P, from n = 6,000 on;
    BLAS wants 128.
    """
    return max(128, n // (48 if is_dense(n, rows, entries) else 24))


def is_dense(n: int, rows: int, entries: int) -> bool:
    """Whether so many rows are faster taken as dense ones."""
    return dense_rows(n, rows) < sparse_rows(n, entries)


def dense_rows(n: int, rows: int) -> float:
    """P with dense rows."""
    return float(n * n * rows)


def sparse_rows(n: int, entries: int, steps: int = 1) -> float:
    """P with sparse rows in so many steps."""
    return n * (SPARSE * entries + LAID_OUT * n * steps)


def triangle(n: int, itemsize: int) -> int:
    """Bytes of P."""
    return n * (n + 1) // 2 * itemsize


def fitting(available: float, itemsize: int) -> int:
    """The most items whose P can be made in so many bytes.

    >>> fitting(WORKING * triangle(40_000, 4), 4)
    40000
    """
    return int(((8 * available / (WORKING * itemsize) + 1) ** 0.5 - 1) / 2)
