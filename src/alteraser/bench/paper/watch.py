"""Looking at a model after every pass without paying for it: the clock stands while anything is
measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from alteraser.models import Factors

DETAILED = frozenset((1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 400, 500))
"""Passes after which the costlier measures are taken too."""


@dataclass
class Clock:
    """CPU seconds of all threads and wall seconds, without what happened while it was stopped."""

    _cpu: float = 0.0
    _wall: float = 0.0
    watching: float = 0.0
    """CPU seconds spent while stopped."""

    def start(self) -> None:
        """Begin at zero."""
        self._cpu, self._wall, self.watching = time.process_time(), time.perf_counter(), 0.0

    def read(self) -> tuple[float, float]:
        """(CPU seconds, wall seconds)."""
        return time.process_time() - self._cpu, time.perf_counter() - self._wall

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Nothing in here counts."""
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            spent = time.process_time() - cpu
            self._cpu += spent
            self.watching += spent
            self._wall += time.perf_counter() - wall


@dataclass
class Watcher:
    """Scores, remembers the best, records a trace; what a ``Task`` calls after each pass."""

    clock: Clock
    glance: Callable[[int, Factors], dict[str, float]]
    """(pass, factors) → metrics for the trace"""
    score: Callable[[Factors], float] | None = None
    """What early stopping looks at; None: run to the method's own end."""
    patience: int = 10
    """Looks without a better score."""
    every: int = 1
    """Passes between two looks."""
    trace: list[dict[str, Any]] = field(default_factory=list)
    best: Factors | None = None
    best_pass: int = 0
    best_score: float = float("-inf")

    def __call__(self, number: int, factors: Callable[[], Factors]) -> bool:
        """True when the score has not risen for ``patience`` looks."""
        cpu, wall = self.clock.read()
        with self.clock.stopped():
            now = factors()
            metrics = self.glance(number, now)
            if self.score is not None and number % self.every == 0:
                score = self.score(now)
                metrics["stopping_score"] = score
                if score > self.best_score:
                    self.best, self.best_pass, self.best_score = now, number, score
            self.trace.append(
                {"pass": number, "cpu_seconds": cpu, "wall_seconds": wall, "metrics": metrics}
            )
        return self.score is not None and number - self.best_pass >= self.patience * self.every
