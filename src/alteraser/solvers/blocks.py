"""The factored blocks of rows: whether there is room for them, and how they come about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models import Side
from alteraser.runtime import memory
from alteraser.runtime.workers import run
from alteraser.solvers.rows.protocol import check

Array = npt.NDArray[Any]


def room_for(rows: int, width: int, dtype: Any) -> bool:
    """True when the factored blocks of so many rows take no more than a quarter of this machine's
    memory.
    """
    from alteraser.solvers.kernels.joint import packed_size

    room = memory.planned() // 4
    return rows * packed_size(width) * int(np.dtype(dtype).itemsize) <= room


def factor_blocks(
    side: Side,
    other: Array,
    x: Array,
    factors: Array,
    gradients: Array,
    *,
    rank: int,
    move: bool,
    work: Sequence[Array],
    threads: int,
) -> tuple[float, float]:
    """Factor A of the rows in ``work``, packed, into ``factors``; half their gradient goes into
    ``gradients``.

    With ``move`` the rows go to their minimum. Returns Σ gᵀA⁻¹g before and Σ (min l − const).
    NumericFailure for a row whose block is singular.
    """
    from alteraser.linalg.kernels.tile import lanes
    from alteraser.solvers.kernels.joint import factor_rows

    dtype = x.dtype
    arrays, gram = side.arrays, side.gram(other).astype(dtype)
    decrement, value = np.zeros(side.rows), np.zeros(side.rows)
    status = np.zeros(side.rows, np.int8)
    run(
        lambda rows: factor_rows(
            rows,
            arrays,
            other,
            gram,
            rank,
            lanes(dtype.itemsize),
            x,
            move,
            factors,
            gradients,
            decrement,
            value,
            status,
        ),
        work,
        threads,
    )
    check(side, status)
    return float(decrement.sum()), float(value.sum())
