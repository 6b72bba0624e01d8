"""Symmetric matrices in half the memory: LAPACK's rectangular full packed form, lower triangle, not
transposed.

(Gustavson, Waśniewski, Dongarra, Langou, ACM TOMS 2010.) An n × n triangle is a dense column-major
rectangle of r rows and c columns, r = n + 1 and c = n/2 for even n, r = n and c = (n + 1)/2 for odd
n, on which factoring, inverting and rank-k updates run at the speed of full matrices. With o = 1
for even n and 0 for odd n, entry (i, j), i ≥ j, is at

    row i + o,            column j                 for j < c
    row j − c,            column i − c + 1 − o     else
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def size(n: int) -> int:
    """Entries of a triangle."""
    return n * (n + 1) // 2


def rectangle(n: int) -> tuple[int, int, int]:
    """(r, c, o); see the module."""
    return (n + 1, n // 2, 1) if n % 2 == 0 else (n, (n + 1) // 2, 0)


def columns(packed: Array, n: int, wanted: Array) -> Array:
    """The columns ``wanted`` of the whole symmetric matrix, as rows: (len(wanted), n), C order."""
    r, c, o = rectangle(n)
    dense = packed.reshape(c, r)  # its transpose is the rectangle
    out = np.empty((len(wanted), n), packed.dtype)
    for row, j in zip(out, wanted.tolist(), strict=True):
        if j < c:
            row[j:] = dense[j, j + o :]
            row[:j] = dense[:j, j + o]
        else:
            row[:c] = dense[:, j + o]
            k = j - c  # the corner: (a, b), a ≥ b, is at row b of column a + 1 − o
            row[c : j + 1] = dense[k + 1 - o, : k + 1]
            row[j:] = dense[k + 1 - o :, k]
    return out


def diagonal(packed: Array, n: int) -> Array:
    """The diagonal, (n,)."""
    r, c, o = rectangle(n)
    dense = packed.reshape(c, r)
    first, corner = np.arange(c), np.arange(n - c)
    return np.concatenate([dense[first, first + o], dense[corner + 1 - o, corner]])


def isolate(packed: Array, n: int, rows: Array, value: float) -> None:
    """Set the rows and columns ``rows`` to zero and their diagonal to ``value``, in place."""
    r, c, o = rectangle(n)
    dense = packed.reshape(c, r)
    for j in rows.tolist():
        if j < c:
            dense[j, j + o :] = 0
            dense[:j, j + o] = 0
            dense[j, j + o] = value
        else:
            k = j - c
            dense[:, j + o] = 0
            dense[k + 1 - o, : k + 1] = 0
            dense[k + 1 - o :, k] = 0
            dense[k + 1 - o, k] = value


def lapack(name: str, dtype: Any) -> Any:
    """LAPACK's routine ``name`` without its first letter, such as pftrf."""
    from scipy.linalg import lapack as routines

    return getattr(routines, ("s" if np.dtype(dtype) == np.float32 else "d") + name)
