"""BLAS on parts of matrices in place: SciPy's wrappers copy what does not begin at its array's
first entry.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np


@lru_cache(maxsize=32)
def routine(name: str, dtype: Any) -> Callable[..., None]:
    """BLAS's ``name`` without its first letter, such as gemm, of SciPy's own library; no copy, no
    check.

    Arguments are as Fortran has them: letters as bytes, sizes and increments as int, factors as
    float, matrices as the address (int) of their first entry. The interpreter is free for others
    meanwhile.
    """
    from numba.extending import get_cython_function_address

    single = np.dtype(dtype) == np.float32
    address = get_cython_function_address(
        "scipy.linalg.cython_blas", ("s" if single else "d") + name
    )
    real = ctypes.c_float if single else ctypes.c_double

    def passed(value: Any) -> Any:
        if isinstance(value, bytes | Address):
            return value
        if isinstance(value, float):
            return ctypes.byref(real(value))
        # its lower half comes first, which is all that 32 bits read
        return ctypes.byref(ctypes.c_int64(value))

    def call(*arguments: Any) -> None:
        prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arguments))
        prototype(address)(*map(passed, arguments))

    return call


class Address(int):
    """Where an array's entry is."""

    @classmethod
    def of(cls, array: Any, entry: int = 0) -> Address:
        """Of ``entry`` of ``array``, both counted flat; the array has to stay alive."""
        return cls(array.ctypes.data + entry * array.itemsize)
