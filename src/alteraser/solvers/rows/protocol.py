"""What a row solver is, and the memory its kernels work in; who works on which rows:
``alteraser.runtime.workers``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alteraser.errors import NumericFailure
from alteraser.models.factorization.problem import Side

Array = npt.NDArray[Any]

LINE = 64  # bytes of a cache line, and of the longest vector
HEAVY = 1e4  # confidences and targets above this are what a singular row is put down to


@dataclass(frozen=True)
class RowReport:
    """What one sweep over a set of rows did.

    ``decrement`` is Σ gᵀA⁻¹g before the sweep (g half the gradient): the squared, B⁻¹-weighted norm
    of this side's gradient, and for exact solves also the loss the sweep removed. ``value`` is Σ (l
    − const) after it, −Σ bᵀx for exact solves.
    """

    rows: int
    products: int
    decrement: float
    value: float


class RowSolver(Protocol):
    """Updates a set of rows of one side in place, the other side fixed."""

    @property
    def name(self) -> str:
        """Its name on the command line."""
        ...

    @property
    def exact(self) -> bool:
        """True when a sweep leaves each row at its minimum."""
        ...

    def solve(
        self, side: Side, other: Array, x: Array, rows: Array | None, *, rank: int, threads: int
    ) -> RowReport:
        """Update ``x[rows]`` (all rows for None) given the other side's factors ``other``; return
        the report.

        ``other`` and ``x`` are padded (see ``padded``), ``rank`` is the true number of factors.
        Raises NumericFailure naming the row when a system is singular or not finite.
        """
        ...


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """As ``numpy.empty``, beginning at a whole cache line: a vector that straddles two costs two
    loads.
    """
    itemsize = np.dtype(dtype).itemsize
    size = int(np.prod(shape)) * itemsize
    raw = np.empty(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return np.asarray(raw[start : start + size].view(dtype).reshape(shape))


def aligned(array: Array) -> Array:
    """``array`` if it is contiguous and begins at a whole cache line, or a copy that does."""
    if array.flags.c_contiguous and array.ctypes.data % LINE == 0:
        return array
    out = aligned_empty(array.shape, array.dtype)
    out[...] = array
    return out


def padded_width(rank: int, dtype: Any) -> int:
    """``rank`` up to a multiple of the vector length."""
    from alteraser.linalg.kernels.tile import lanes

    width = lanes(np.dtype(dtype).itemsize)
    return -(-rank // width) * width


def padded(array: Array) -> Array:
    """A writable, aligned copy of ``array`` (rows × d) with zero columns up to a multiple of the
    vector length.
    """
    d = array.shape[1]
    out = aligned_empty((array.shape[0], padded_width(d, array.dtype)), array.dtype)
    out[:, d:] = 0
    out[:, :d] = array
    return out


def check(side: Side, status: Array) -> None:
    """Raise NumericFailure for the first failed row, saying which and what helps."""
    failed = np.flatnonzero(status)
    if failed.size == 0:
        return
    row = int(failed[0])
    kind = "singular" if status[row] == 1 else "not finite"
    remedy = (
        "raise the regularization or the missing weight"
        if status[row] == 1
        else "look for extreme confidences or targets, or use dtype float64"
    )
    for name, values, what in (
        (
            "confidences",
            side.confidence,
            "take a rule such as log1p(column) or min(column, 1000) as --confidence",
        ),
        ("targets", np.abs(side.target), "rescale the column"),
    ):
        if values.size and float(values.max()) > HEAVY:
            remedy = (
                f"the {name} go up to {float(values.max()):.3g}, beside which nothing else "
                f"counts; {what}, or use --dtype float64"
            )
    raise NumericFailure(
        f"{failed.size} {side.name} row(s) have no solution; the first is row {row}, whose system "
        f"is {kind} ({int(side.counts[row])} interactions): {remedy}",
        side=side.name,
        row=row,
        outcome=kind,
        failed=int(failed.size),
    )
