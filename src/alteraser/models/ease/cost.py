"""What EASE costs before it is done, in time and in memory.

Times are in dense multiply-adds, of which one at BLAS's speed is 1; the others' weights were
measured on MovieLens-1M with ``alteraser bench exact``, which prints what is predicted beside what
is measured.
"""

from __future__ import annotations

INVERT = 1.1
"""A multiply-add of factoring and inverting, which work on smaller blocks"""
SHARED = 50.0
"""One of XᵀX, added up in places that lie apart"""
SPARSE = 3.5
"""One of sparse rows with P; as dense ones they would be faster from a third of all items on"""
LAID_OUT = 25.0
"""An entry of P that is laid out for them"""
BESIDE = 100.0
"""An entry of n × n where P is changed beside the one that stays: it is copied, and looked through
for rounding. 70 on MovieLens-100K, 140 on MovieLens-1M, which no cache holds"""
WORKING = 1.1
"""Memory in triangles while one is made or changed in place: rows that are taken together and their
products."""


def anew(n: int, shared: float) -> float:
    """Making P of n items of whose users Σ|D_u|²/2 is ``shared``."""
    return INVERT * n**3 / 2 + SHARED * shared


def update(n: int, rows: int, entries: int) -> float:
    """Changing P by ``rows`` rows with ``entries`` entries: products, M, and n × n by YYᵀ."""
    if not rows:
        return 0.0
    together = min(rows, slab(n))
    steps = -(-rows // together)
    laid_out = n * min(n * steps, entries)
    return SPARSE * n * entries + LAID_OUT * laid_out + rows * n * (n + together) / 2


def copied(n: int) -> float:
    """What changing P takes however few the rows, where the P before stays."""
    return BESIDE * n**2


def slab(n: int) -> int:
    """Rows that are taken in one step: their products are ≤ 1/12 of P, from n = 3,072 on; BLAS
    wants 128.
    """
    return max(128, n // 24)


def triangle(n: int, itemsize: int) -> int:
    """Bytes of P."""
    return n * (n + 1) // 2 * itemsize


def fitting(available: float, itemsize: int) -> int:
    """The most items whose P can be made in so many bytes.

    >>> fitting(WORKING * triangle(40_000, 4), 4)
    40000
    """
    return int(((8 * available / (WORKING * itemsize) + 1) ** 0.5 - 1) / 2)
