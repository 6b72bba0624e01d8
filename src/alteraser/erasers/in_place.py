"""Forgetting in factors that fill the memory: exact passes in place, nothing of their size beside them.

The same objective, passes and residual as ``driver``, without what the driver keeps copies for (extrapolation, joint
steps, a measured certificate): 1.0 times the factors and the data, where the driver takes about eight.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from alteraser.erasers.driver import OnPass, PassRecord
from alteraser.errors import Interrupted
from alteraser.models import Problem, Side
from alteraser.runtime.workers import default_threads
from alteraser.solvers.residuals import fit, half_gradients, squared_gradient_norm
from alteraser.solvers.rows.ah_newton import AHNewton
from alteraser.solvers.stationarity import block_solve
from alteraser.tolerances import checked_tolerance

Array = npt.NDArray[Any]

MARGIN = 0.7
"""Share of the tolerance at which passes end: the residual is measured after one more half-step, in another sum."""


@dataclass(frozen=True)
class InPlace:
    """What the passes did to the factors they were given."""

    residual: float
    push: float
    training_floor: float | None
    objective_before: float
    objective: float
    passes: int
    rows_updated: int
    reason: str
    trace: tuple[PassRecord, ...]


def forget_in_place(
    before: Problem,
    after: Problem,
    P: Array,
    Q: Array,
    *,
    rank: int,
    touched: tuple[Array, Array],
    tolerance: float,
    max_passes: int,
    last: str = "item",
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> InPlace:
    """Exact alternating passes on ``after`` in ``P`` (m, w) and ``Q`` (n, w), padded, until the residual is small.

    ``touched`` = (user rows, item rows) of the forget set. The side called ``last`` is left at its minimum given the
    other. Raises NumericFailure for a row without a solution and Interrupted on Ctrl-C; P and Q are then half changed.
    """
    threads = threads or default_threads()
    with threadpool_limits(1):
        try:
            return _passes(before, after, P, Q, rank, touched, tolerance, max_passes, last, threads, on_pass)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing was changed") from None


def _passes(
    before: Problem, after: Problem, P: Array, Q: Array, rank: int, touched: tuple[Array, Array], tolerance: float,
    max_passes: int, last: str, threads: int, on_pass: OnPass | None,
) -> InPlace:  # fmt: skip
    checked_tolerance(tolerance)
    push = push_of(before, after, P, Q, rank=rank, touched=touched, threads=threads)
    rest, _ = gradient_norm(before, P, Q, rank=rank, threads=threads)
    objective_before = fit(after.users, Q, P, threads=threads) + ridge_of(after, P, Q)
    solver, trace, rows_updated = AHNewton(), list[PassRecord](), 0

    def solve(name: str, rows: Array | None = None) -> float:
        nonlocal rows_updated
        side, x, other = (after.users, P, Q) if name == "user" else (after.items, Q, P)
        report = solver.solve(side, other, x, rows, rank=rank, threads=threads)
        rows_updated += report.rows
        return report.decrement

    def record(scope: Any, began: float, residual: float | None, rows: int) -> None:
        trace.append(
            PassRecord(len(trace) + 1, scope, float("nan"), residual, time.perf_counter() - began, rows, False)
        )
        if on_pass is not None:
            on_pass(trace[-1])

    began = time.perf_counter()
    for name, rows in zip(("user", "item"), touched, strict=True):
        if rows.size:
            solve(name, rows)
    record("touched", began, None, touched[0].size + touched[1].size)
    first = "user" if last == "item" else "item"
    residual, reason = np.inf, "passes"
    while len(trace) < max_passes:
        began = time.perf_counter()
        solve(first)
        # at (x*(z), z) the whole gradient is that of z's rows, and the sweep that removes it has measured it
        residual = 2.0 * float(np.sqrt(max(solve(last), 0.0))) / (push or 1.0)
        record("all", began, residual, after.users.rows + after.items.rows)
        if residual <= MARGIN * tolerance:
            reason = "tolerance"
            break
    norm, objective = gradient_norm(after, P, Q, rank=rank, threads=threads)
    return InPlace(
        norm / (push or 1.0), push, rest / push if push > 0 else None, objective_before, objective, len(trace),
        rows_updated, reason, tuple(trace),
    )  # fmt: skip


def push_of(
    before: Problem, after: Problem, P: Array, Q: Array, *, rank: int, touched: tuple[Array, Array], threads: int
) -> float:
    """‖∇L_after(Θ) − ∇L_before(Θ)‖_{B⁻¹} with B of ``after``, looking at the touched rows alone.

    With uniform missing weights the other rows' sub-problems do not change, so theirs is exactly 0.
    """
    total = 0.0
    sides: tuple[tuple[Side, Side, Array, Array, Array], ...] = (
        (before.users, after.users, P, Q, touched[0]), (before.items, after.items, Q, P, touched[1]),
    )  # fmt: skip
    for old, new, x, other, rows in sides:
        if rows.size:
            gram = new.gram(other)
            some, here = new.take(rows), x[rows]
            now, _ = half_gradients(some, other, here, gram, threads)
            then, _ = half_gradients(old.take(rows), other, here, gram, threads)
            squared, _ = block_solve(some, other, 2.0 * (now - then), some.all_rows, rank=rank, threads=threads)
            total += squared
    return float(np.sqrt(total))


def gradient_norm(problem: Problem, P: Array, Q: Array, *, rank: int, threads: int) -> tuple[float, float]:
    """(‖∇L‖_{B⁻¹}, L) at padded factors, a block of rows at a time."""
    users, fitted = squared_gradient_norm(problem.users, Q, P, rank=rank, threads=threads)
    items, _ = squared_gradient_norm(problem.items, P, Q, rank=rank, threads=threads)
    return float(np.sqrt(users + items)), fitted + ridge_of(problem, P, Q)


def ridge_of(problem: Problem, P: Array, Q: Array) -> float:
    """Σ λρ ‖x‖² of both sides."""
    return sum(
        float(np.dot(side.ridge.astype(np.float64), np.einsum("id,id->i", x, x, dtype=np.float64)))
        for side, x in ((problem.users, P), (problem.items, Q))
    )
