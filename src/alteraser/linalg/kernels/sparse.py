"""Products of a matrix in compressed rows with a dense one of few columns."""

from __future__ import annotations

from alteraser.linalg.kernels.vector import fetch, short_add_four
from alteraser.runtime.jit import kernel

AHEAD = 12
"""Entries between asking for a row and using it"""


@kernel
def times_rows(rows, indptr, indices, data, E, out):  # type: ignore[no-untyped-def]
    """``out[i]`` = Σ_j data_j E[indices_j] over the entries j of row i, for every i of ``rows``.

    E and out have a number of columns that is a multiple of 8, and one float type with ``data``.
    The twin is ``A @ E`` of SciPy.
    """
    width = E.shape[1]
    given, found = E.reshape(-1), out.reshape(-1)
    zero = E.dtype.type(0)
    for n in range(rows.size):
        i = rows[n]
        at = i * width
        for c in range(at, at + width):
            found[c] = zero
        lo, hi = indptr[i], indptr[i + 1]
        four = lo + (hi - lo) // 4 * 4
        for j in range(lo, four, 4):
            for k in range(j + AHEAD, min(j + AHEAD + 4, hi)):
                fetch(given, indices[k] * width, width)
            short_add_four(
                found,
                at,
                given,
                indices[j] * width,
                indices[j + 1] * width,
                indices[j + 2] * width,
                indices[j + 3] * width,
                data[j],
                data[j + 1],
                data[j + 2],
                data[j + 3],
                width,
            )
        for j in range(four, hi):
            place = indices[j] * width
            short_add_four(
                found, at, given, place, place, place, place, data[j], zero, zero, zero, width
            )
