"""Where compilation happens: kernels are plain functions, compiled here with one set of options.

``nogil`` lets our own worker threads run rows side by side; ``error_model="numpy"`` keeps a
division by zero a value that the kernel tests for instead of an exception; the fast-math subset
allows fused and reordered sums but never assumes that numbers are finite, because non-finite rows
are a named outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile ``function`` on first use and cache the result on disk where a cache can be written.

    In a read-only installation with an unwritable home numba finds no place for a cache; then the
    kernel is compiled in every process, which is slower and otherwise the same.
    """
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:
        return numba.njit(cache=False, **OPTIONS)(function)


def exact_order(function: Callable[..., Any]) -> Any:
    """As ``kernel``, for sums whose order and roundings are the point: nothing is fused or
    reordered but by hand.
    """
    options = OPTIONS | {"fastmath": False}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(cache=False, **options)(function)
