"""What is written down of a run as it goes: a record per pass, counted and timed in one place."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Literal, Protocol, TypeVar

Scope = Literal["touched", "all", "joint", "polish"]
Reason = Literal["tolerance", "passes", "watch", "rounding", "bent", "rows"]


class Stamped(Protocol):
    """A record that a phase made of its move; the loop knows when and the how manieth it was."""

    def stamped(self, number: int, seconds: float) -> Stamped:
        """The same with its number and time."""
        ...


@dataclass(frozen=True)
class PassRecord:
    """One pass, for the trace."""

    number: int
    scope: Scope
    objective: float
    """L after the pass, from the sweep's own sums."""
    residual: float | None
    """The stopping measure as the pass saw it; exact once the loop ends, an estimate inside. None
    for ``touched``."""
    seconds: float
    rows: int
    extrapolated: bool
    """True when the pass started from an extrapolated point that was accepted."""
    products: int = 0
    """Evaluations of the reduced gradient in a joint step, products with the reduced Hessian in a
    polishing one."""
    distance: float | None = None
    """Estimated distance to the stationary point over ‖Θ‖_F, before a polishing step; of a local
    erasure what of the effect was missing after it."""

    @classmethod
    def of(
        cls,
        scope: Scope,
        objective: float,
        residual: float | None,
        rows: int,
        *,
        extrapolated: bool = False,
        products: int = 0,
        distance: float | None = None,
    ) -> PassRecord:
        """A record without number and time."""
        return cls(0, scope, objective, residual, 0.0, rows, extrapolated, products, distance)

    def stamped(self, number: int, seconds: float) -> PassRecord:
        """See ``Stamped``."""
        return replace(self, number=number, seconds=seconds)


OnPass = Callable[[PassRecord], None]

R = TypeVar("R", bound=Stamped)


class Trace(Generic[R]):
    """The records so far; tells each to who listens. Numbers begin at ``first``."""

    def __init__(self, listener: Callable[[R], None] | None = None, *, first: int = 1) -> None:
        self.records: list[R] = []
        self._listener, self._first = listener, first

    def __len__(self) -> int:
        return len(self.records)

    def add(self, record: R, began: float) -> R:
        """Number and time a record of work that ``began`` at that ``time.perf_counter()``, and tell
        of it.
        """
        seconds = time.perf_counter() - began
        stamped: R = record.stamped(len(self.records) + self._first, seconds)  # type: ignore[assignment]
        self.records.append(stamped)
        if self._listener is not None:
            self._listener(stamped)
        return stamped
