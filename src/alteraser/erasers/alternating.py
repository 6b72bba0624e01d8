"""Passes for losses whose rows are not quadratic: BPR, logistic, biased squares.

The same method as ``driver`` (Liu et al., RecSys 2022, Algorithm 1): the touched rows first, then users and items in
turn, extrapolated, until the residual is within the tolerance. It is a loop of its own because nothing that makes the
other one fast holds here: no Gram matrix stands for the missing cells, a row is several Newton steps, items of BPR see
each other, and the two sides of a logistic model may have no loss in common.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from alteraser.erasers.anderson import Anderson
from alteraser.erasers.driver import OnPass, PassRecord, Reason
from alteraser.errors import Interrupted
from alteraser.models.biased import BiasedFactors
from alteraser.models.terms import RowProblem
from alteraser.solvers.rows import RowReport, default_threads, padded
from alteraser.solvers.terms import TO_THE_END, ridge, slope_norm, slopes, solve_terms, unrest

Array = npt.NDArray[Any]

ROUNDING = 1e-12
"""Share of the loss by which an extrapolated point may be worse and still be taken for as good."""


@dataclass(frozen=True)
class RowPush:
    """What a deletion does to a model's gradient, before anything is updated; see ``stationarity.Push``."""

    norm: float
    """‖∇L_after(Θ) − ∇L_before(Θ)‖_{H⁻¹}, H of ``after``"""
    objective: float
    """L_after(Θ)"""
    floor: float
    """‖∇L_before(Θ)‖_{H⁻¹} / norm: what training left; above 1 for most models that stopped early."""


@dataclass(frozen=True)
class Alternated:
    """What the passes arrived at, measured on the factors it holds."""

    factors: BiasedFactors
    trace: tuple[PassRecord, ...]
    objective: float
    residual: float
    """‖∇L(Θ)‖_{H⁻¹} over the scale of the run."""
    converged: bool
    passes: int
    rows_updated: int
    reason: Reason


def row_push(before: RowProblem, after: RowProblem, factors: BiasedFactors, *, threads: int = 0) -> RowPush:
    """How hard a deletion pushes the model (Liu et al., RecSys 2022, Eq. 6); both problems of one seed."""
    threads = threads or default_threads()
    first, second = (slopes(problem, factors, threads=threads) for problem in (before, after))
    norm = slope_norm(after, factors, second.users - first.users, second.items - first.items, threads=threads)
    rest = unrest(before, factors, first, threads=threads)
    return RowPush(norm, second.objective, rest / norm if norm > 0 else 0.0)


def alternate(
    problem: RowProblem,
    start: BiasedFactors,
    *,
    scale: float,
    tolerance: float,
    max_passes: int,
    memory: int = 6,
    touched: tuple[Array, Array] | None = None,
    steps: int = 1,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> Alternated:
    """Passes from ``start`` until ‖∇L‖_{H⁻¹} ≤ tolerance · scale, or the cap; ``start`` is never changed.

    ``touched`` = (user rows, item rows) are updated alone first; ``steps`` bounds the Newton steps of a row in one
    sweep, but for the last one; ``memory`` is Anderson's, 0 for plain passes. Raises
    NumericFailure for a row without a solution and Interrupted on Ctrl-C.
    """
    start.check_finite()
    with threadpool_limits(1):
        try:
            loop = _Loop(problem, start, scale, tolerance, max_passes, memory, steps, threads or default_threads())
            return loop.run(touched, on_pass)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing was changed") from None


class _Loop:
    def __init__(
        self, problem: RowProblem, start: BiasedFactors, scale: float, tolerance: float, max_passes: int, memory: int,
        steps: int, threads: int,
    ) -> None:  # fmt: skip
        self.problem, self.scale, self.tolerance, self.max_passes = problem, scale or 1.0, tolerance, max_passes
        self.steps, self.threads = steps, threads
        self.P, self.Q = (padded(x) for x in problem.layout.pack(start))
        self.rows = 0
        self.trace: list[PassRecord] = []
        # where the sides have no common loss there is nothing that tells a good extrapolation from a bad one
        self.history = Anderson(memory, problem.items.counts + 1.0) if memory and problem.shared else None

    def run(self, touched: tuple[Array, Array] | None, on_pass: OnPass | None) -> Alternated:
        began = time.perf_counter()
        first = touched is not None and self.max_passes > 0
        if touched is not None and first:
            self._sweep("user", touched[0])
            self._sweep("item", touched[1])
        residual, objective = self._measure()
        if first:
            self._record("touched", began, objective, residual, False, on_pass, self.rows)
        plain: Array | None = None
        best, promising = np.inf, self.tolerance
        while residual > self.tolerance and len(self.trace) < self.max_passes:
            began, rows = time.perf_counter(), self.rows
            reached = self._users()
            if plain is not None and self.history is not None and reached > best + ROUNDING * abs(best):
                self.Q[:] = plain
                plain = None
                self.history.restart()
                reached = self._users()
            best = min(best, reached)
            previous = self.Q.copy()
            estimate = float(np.sqrt(max(self._sweep("item").decrement, 0.0))) / self.scale
            self._record("all", began, reached, estimate, plain is not None, on_pass, self.rows - rows)
            plain = None
            last = len(self.trace) >= self.max_passes
            if estimate <= promising or last or not self.problem.shared:
                self._sweep("user", steps=TO_THE_END)
                residual, objective = self._measure()
                promising = estimate * min(0.5, self.tolerance / residual) if residual > 0 else promising
            if residual > self.tolerance and not last and self.history is not None:
                following = self.history.extrapolate(previous, self.Q)
                if following is not None:
                    plain = self.Q.copy()
                    self.Q[:] = following
        converged = residual <= self.tolerance
        return Alternated(
            self._factors(), tuple(self.trace), objective, residual, converged, len(self.trace), self.rows,
            "tolerance" if converged else "passes",
        )  # fmt: skip

    def _users(self) -> float:
        """Sweep the users; L there, from the sweep's own sums."""
        return float(self._sweep("user").value) + ridge(self.problem.items, self.Q)

    def _sweep(self, name: str, rows: Array | None = None, *, steps: int = 0) -> RowReport:
        user = name == "user"
        terms = self.problem.users if user else self.problem.items
        other, x = (self.Q, self.P) if user else (self.P, self.Q)
        report = solve_terms(terms, other, x, rows, steps=steps or self.steps, threads=self.threads)
        self.rows += report.rows
        return report

    def _record(
        self, scope: Any, began: float, objective: float, residual: float | None, extrapolated: bool,
        on_pass: OnPass | None, rows: int,
    ) -> None:  # fmt: skip
        seconds = time.perf_counter() - began
        record = PassRecord(len(self.trace) + 1, scope, objective, residual, seconds, rows, extrapolated)
        self.trace.append(record)
        if on_pass:
            on_pass(record)

    def _measure(self) -> tuple[float, float]:
        return measured(self.problem, self._factors(), self.scale, self.threads)

    def _factors(self) -> BiasedFactors:
        width = self.problem.layout.width
        return self.problem.layout.unpack(self.P[:, :width], self.Q[:, :width])


def measured(problem: RowProblem, factors: BiasedFactors, scale: float, threads: int = 0) -> tuple[float, float]:
    """(‖∇L‖_{H⁻¹} / scale, L) of ``factors`` as they are stored."""
    threads = threads or default_threads()
    here = slopes(problem, factors, threads=threads)
    return unrest(problem, factors, here, threads=threads) / (scale or 1.0), here.objective
