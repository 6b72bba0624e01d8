"""Where compilation happens: kernels are plain functions, compiled here with one set of options.

``nogil`` lets our own worker threads run rows side by side; ``error_model="numpy"`` keeps a
division by zero a value that the kernel tests for instead of an exception; the fast-math subset
allows fused and reordered sums but never assumes that numbers are finite, because non-finite rows
are a named outcome.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
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
    return _compiled(function, OPTIONS)


def exact_order(function: Callable[..., Any]) -> Any:
    """As ``kernel``, for sums whose order and roundings are the point: nothing is fused or
    reordered but by hand.
    """
    return _compiled(function, OPTIONS | {"fastmath": False})


def _compiled(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    try:
        found = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(cache=False, **options)(function)
    # numba compiles anew when the file of the function changes. The machine code of the kernels
    # that it calls is in there too: after an upgrade of their files alone it would run on.
    if (file := getattr(getattr(found, "_cache", None), "_cache_file", None)) is not None:
        file._source_stamp = (file._source_stamp, stamp(function.__module__))
    return found


def stamp(module: str) -> tuple[tuple[str, str], ...]:
    """What the machine code of the kernels of a module was made from: digests of its file and of
    those of its package that it takes anything compiled from, and constants, wherever from.
    """
    found: set[tuple[str, str]] = set()
    for name in _below(module, set()):
        names = vars(sys.modules[name])
        found.add((name, _digest(names.get("__file__") or "")))
        found |= {
            (constant, repr(value))
            for constant, value in names.items()
            if not constant.startswith("__") and isinstance(value, bool | int | float | str)
        }
    return tuple(sorted(found))


def _below(module: str, seen: set[str]) -> set[str]:
    """``module`` and the modules of its package that it has names of, and so on."""
    if module not in seen and module in sys.modules:
        seen.add(module)
        for value in list(vars(sys.modules[module]).values()):
            name = value.__name__ if isinstance(value, ModuleType) else _module_of(value)
            if name.partition(".")[0] == module.partition(".")[0]:
                _below(name, seen)
    return seen


def _module_of(value: Any) -> str:
    """The module in which ``value`` was defined, empty where it does not say."""
    name = getattr(value, "__module__", None)
    return name if isinstance(name, str) else ""


@cache
def _digest(path: str) -> str:
    """Of a file; of its path where it is none that can be read (in an archive)."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return path
