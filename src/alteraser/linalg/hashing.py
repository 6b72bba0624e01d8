"""Numbers that look random and are a function of what they are for: drawn, not remembered.

Everything comes from a counter-based hash (splitmix64; Steele, Lea & Flood, OOPSLA 2014) of its own
coordinates, never from a stream. So what is drawn for one person does not depend on who else is
there, nor on the order in which it is asked for, nor on the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def hashed(*parts: Any) -> npt.NDArray[np.uint64]:
    """64 mixed bits of integers or integer arrays, which broadcast; equal parts give equal bits, on
    every machine.

    >>> hashed(1, np.array([2, 3])).tolist() == [hashed(1, 2).item(), hashed(1, 3).item()]
    True
    """
    state = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            state = state ^ np.asarray(part).astype(np.uint64)
            state = state + _GOLDEN
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return np.asarray(state)


def of_ids(ids: Iterable[Any]) -> npt.NDArray[np.uint64]:
    """64 bits of each of ``ids`` as text (BLAKE2b): 7 and "7" are the same.

    >>> bool(of_ids([7])[0] == of_ids(["7"])[0])
    True
    """
    digests = (hashlib.blake2b(str(one).encode(), digest_size=8).digest() for one in ids)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def normals(*parts: Any) -> npt.NDArray[np.float64]:
    """Standard normal numbers, one for each entry of the parts, which broadcast (Box and Muller,
    1958).

    >>> found = normals(3, np.arange(20_000))
    >>> bool(abs(found.mean()) < 0.02), bool(abs(found.std() - 1.0) < 0.02)
    (True, True)
    """
    radius, angle = (
        (hashed(*parts, which) >> np.uint64(11)).astype(np.float64) + 0.5 for which in (0, 1)
    )
    scale = 2.0**-53
    return np.sqrt(-2.0 * np.log(radius * scale)) * np.cos(2.0 * np.pi * angle * scale)
