"""What a state is that alternating passes move: two halves of a pass, and what is known of where it
is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass
class RowWork:
    """What was done, in a record or beside one."""

    rows: int = 0
    products: int = 0
    rejected: int = 0
    """Extrapolated points that were thrown away"""


@dataclass(frozen=True)
class HalfPass:
    """What the second half of a pass found."""

    estimate: float | None
    """Of the residual before it, at the point where the first half had ended"""
    objective: float
    """L as far as the pass knows it, NaN where it does not"""
    rows: int
    """Solved in the whole pass"""


class Alternation(ABC):
    """Factors in working form, ``P`` (m, w) and ``Q`` (n, w), changed in place, one side after the
    other.

    After an exact first half P = P*(Q) is the minimum given Q, so passes are a fixed-point
    iteration Q ← T(Q) on the reduced objective φ(Q) = min_P L(P, Q): that is what extrapolation
    accelerates, what its safeguard watches, and why the decrement of the second half is the
    residual of the whole point (P*(Q), Q) at no cost.
    """

    def __init__(self, P: Array, Q: Array, tolerance: float) -> None:
        self.P, self.Q, self.tolerance = P, Q, tolerance
        self.work = RowWork()
        self.measured: tuple[float, float] | None = None
        """(residual, objective) of the factors as they are, where they have been measured"""
        self.promising = tolerance
        """Estimates of the residual up to this are worth a measurement"""
        self.owed = False
        """The rows of the first half are near their minima but not there: that is owed before
        factors are handed out"""

    @abstractmethod
    def factors(self) -> Any:
        """See ``solvers.loop.State``."""

    @abstractmethod
    def first_half(self) -> float:
        """Sweep one side; the reduced objective (for inexact rows, L at the current point)."""

    @abstractmethod
    def second_half(self) -> HalfPass:
        """Sweep the other."""

    @abstractmethod
    def settle(self) -> None:
        """Every row of the first half to its own minimum given the other side as it is kept."""

    @abstractmethod
    def measure(self) -> tuple[float, float]:
        """(residual, objective) of the factors as they would be stored."""

    def arrived(self, estimate: float) -> bool:
        """Measure; True within the tolerance, else the next measurement waits for a smaller
        estimate than this one.
        """
        self.measured = self.measure()
        if self.measured[0] <= self.tolerance:
            return True
        self.promising = estimate * min(0.5, self.tolerance / self.measured[0])
        return False

    def finish(self) -> tuple[float, float]:
        """See ``solvers.loop.State``."""
        if self.measured is None and self.owed:
            self.settle()
        return self.measured or self.measure()

    def near(self, estimate: float, within: float) -> bool:
        """Whether a residual of ``estimate`` is within a share of the model's own size; False where
        nobody knows.
        """
        return False

    def escape(self, P: Array, Q: Array) -> bool:
        """From (P, Q) through the current point and beyond, out of a saddle; False where that leads
        no further.
        """
        return False
