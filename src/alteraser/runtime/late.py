"""Modules that are imported when they are first used, so that settings can be shown without what
computes with them.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class _Late(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__":  # asked of everything by who only looks around, as doctest does
            raise AttributeError(name)
        value = getattr(import_module(self.__name__), name)
        setattr(self, name, value)
        return value


def late(name: str) -> Any:
    """A stand-in for the module ``name``, which is imported when one of its names is first asked
    for.

    For modules whose classes are settings, which the command line lists, and which compute as well:

        if TYPE_CHECKING:
            import numpy as np
        else:
            np = late("numpy")

    >>> late("math").gcd(12, 18)
    6
    """
    return _Late(name)
