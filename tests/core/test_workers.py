"""Blocks of rows in threads."""

from __future__ import annotations

import os
import signal
import warnings

import numpy as np
import pytest

from alteraser.runtime.workers import run


def doubled(threads: int) -> list[float]:
    """2 · (0, …, 9), by blocks in ``threads`` threads."""
    found = np.zeros(10)

    def kernel(rows: np.ndarray) -> None:
        found[rows] = 2.0 * rows

    run(kernel, np.split(np.arange(10), 5), threads)
    return found.tolist()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_fork_has_threads_of_its_own(threads: int) -> None:
    """Those that its parent had are not in it, and nobody waits for them."""
    expected = doubled(threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: that is it
        child = os.fork()
    if not child:
        signal.alarm(60)
        os._exit(0 if doubled(threads) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
