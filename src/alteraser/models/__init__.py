"""What is minimized or counted: the objective, its configuration, the factors it is a function of,
and other kinds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alteraser.models.factorization.factors import Factors
    from alteraser.models.factorization.objective import Objective
    from alteraser.models.factorization.problem import Problem, Side

__all__ = ["Factors", "Objective", "Problem", "Side"]

_WHERE = {"Factors": "factors", "Objective": "objective", "Problem": "problem", "Side": "problem"}


def __getattr__(name: str) -> Any:  # so that the names and settings of kinds come without NumPy
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.factorization.{_WHERE[name]}"), name)
