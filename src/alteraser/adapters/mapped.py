"""Arrays that stay in their files: read a block at a time, and let go of again."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import NumericFailure

Array = npt.NDArray[Any]

BLOCK = 16 << 20
"""Bytes that are looked at together."""


MAPPED = 64 << 20
"""Bytes from which on an array stays in its file; smaller ones are copied, which aligns them."""


def map_region(
    path: Path, offset: int, dtype: npt.DTypeLike, shape: tuple[int, ...], order: Any = "C"
) -> Array:
    """The array at ``offset`` of a file: a copy, or where it is large a read-only view of the
    mapped file.
    """
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=object))
    with open(path, "rb") as file:
        if count * dtype.itemsize < MAPPED:
            file.seek(offset)
            flat = np.frombuffer(bytearray(file.read(count * dtype.itemsize)), dtype, count)
        else:
            flat = np.frombuffer(
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype, count, offset
            )
    return flat.reshape(shape, order=order)


def blocks_of(array: Array) -> Iterator[tuple[int, int]]:
    """(start, stop) of runs of rows of about BLOCK bytes."""
    step = max(1, BLOCK // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        yield start, min(start + step, len(array))


def release(array: Array) -> None:
    """Give back the memory of a mapped file's pages; they are read again when they are needed."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    base = base.obj if isinstance(base, memoryview) else base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def padded_copy(array: Array) -> Array:
    """``solvers.rows.padded`` of a mapped array, without ever holding it twice."""
    from alteraser.linalg.kernels.tile import lanes

    width = lanes(array.dtype.itemsize)
    d = array.shape[1]
    out = np.zeros((array.shape[0], -(-d // width) * width), array.dtype)
    for start, stop in blocks_of(array):
        out[start:stop, :d] = array[start:stop]
        release(array)
    return out


def changed_rows(new: Array, old: Array) -> npt.NDArray[np.int64]:
    """Rows in which the two differ, increasing."""
    found = []
    for start, stop in blocks_of(old):
        differ = new[start:stop] != old[start:stop]
        found.append(start + np.flatnonzero(differ if differ.ndim == 1 else differ.any(axis=1)))
        release(old)
    return np.concatenate(found).astype(np.int64) if found else np.empty(0, np.int64)


def check_finite(path: Any, name: str, array: Array) -> None:
    """NumericFailure naming the first row of ``array`` that is not finite."""
    for start, stop in blocks_of(array):
        good = np.isfinite(array[start:stop])
        bad = ~(good if good.ndim == 1 else good.all(axis=1))
        if bad.any():
            raise NumericFailure(
                f"{path}: row {start + int(bad.argmax())} of {name} holds NaN or infinite "
                "entries; such a model is not used",
                path=str(path),
            )
        release(array)
