"""What the C library does with memory that is given back: keep it for the next array, or return it
page by page.

glibc maps every array of more than 32 MB anew and unmaps it when it goes, so that each of its pages
is cleared and entered once more: of an iteration over a table of that size, half of the time.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""Names of what ``mallopt`` sets, see its manual page"""
ALL = (1 << 31) - 1
MAPPED, TRIMMED, MAPPINGS = 32 << 20, 64 << 20, 65536
"""What glibc arrives at by itself where large arrays come and go, and its own number of mappings"""

_lock = threading.Lock()
_inside = [0]


@contextmanager
def kept() -> Iterator[None]:
    """While this goes on, memory that is given back stays with the process; afterward it is
    returned. Nothing happens where the C library is not glibc.

    >>> with kept():
    ...     total = sum(range(4))
    >>> total
    6
    """
    library = _glibc()
    if library is None:
        yield
        return
    with _lock:
        _inside[0] += 1
        if _inside[0] == 1:
            library.mallopt(MMAP_MAX, 0)
            library.mallopt(TRIM_THRESHOLD, ALL)
    try:
        yield
    finally:
        with _lock:
            _inside[0] -= 1
            if _inside[0] == 0:
                library.mallopt(MMAP_MAX, MAPPINGS)
                library.mallopt(MMAP_THRESHOLD, MAPPED)
                library.mallopt(TRIM_THRESHOLD, TRIMMED)
                library.malloc_trim(0)


@cache
def _glibc() -> Any:
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version, library.mallopt, library.malloc_trim  # noqa: B018
    except (AttributeError, OSError, TypeError):  # another C library, or another platform
        return None
    library.malloc_trim.argtypes = [ctypes.c_size_t]
    return library
