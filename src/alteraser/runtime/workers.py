"""Sharing rows out among workers: heavy rows first, blocks handed to whichever worker is free.

Every row's result depends on that row alone, so neither the number of threads nor the order of the
blocks changes a single bit of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

BLOCKS_PER_WORKER = 12
SMALL = 2_000_000  # multiply-adds below which one call is cheaper than waking workers


class Sized(Protocol):
    """One side of a problem, as far as sharing out its rows goes."""

    @property
    def all_rows(self) -> Array:
        """Every row, (rows,) int64."""
        ...

    @property
    def counts(self) -> Array:
        """Terms or interactions of each row, (rows,) int64."""
        ...


def default_threads() -> int:
    """Processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every platform
        return os.cpu_count() or 1


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="alteraser-rows")


if hasattr(os, "register_at_fork"):  # a fork has the pools, and none of their threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def blocks(side: Sized, rows: Array | None, rank: int, threads: int) -> list[Array]:
    """Split ``rows`` into blocks of about equal work, heaviest rows first (longest processing time
    rule).
    """
    rows = side.all_rows if rows is None else np.asarray(rows, dtype=np.int64)
    cost = (side.counts[rows] + rank).astype(np.float64)
    if threads == 1 or cost.sum() * rank < SMALL or rows.size < 2:
        return [rows]
    order = np.argsort(-cost, kind="stable")
    share = np.cumsum(cost[order]) / cost.sum()
    count = min(rows.size, threads * BLOCKS_PER_WORKER)
    cuts = np.searchsorted(share, np.arange(1, count) / count)
    return [block for block in np.split(rows[order], np.unique(cuts)) if block.size]


def run(kernel: Callable[[Array], None], work: Sequence[Array], threads: int) -> None:
    """Call ``kernel`` on every block; on an interrupt no further block starts and running ones are
    waited for.
    """
    if len(work) == 1:
        kernel(work[0])
        return
    pending: list[Future[None]] = []
    try:
        pending.extend(_pool(threads).submit(kernel, block) for block in work)
        for future in pending:
            future.result()
    except BaseException:
        for future in pending:
            future.cancel()
        for future in pending:
            if not future.cancelled():
                future.exception()
        raise
