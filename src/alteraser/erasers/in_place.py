"""Forgetting in factors that fill the memory: exact passes in place, nothing of their size beside
them.

The same objective, passes and residual as ``driver``, without what the driver keeps copies for
(extrapolation, joint steps, a measured certificate): 1.0 times the factors and the data, where the
driver takes about eight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.linalg.anderson import Safeguarded
from alteraser.models import Problem, Side
from alteraser.runtime.workers import default_threads
from alteraser.solvers.loop import End, Plan, Until, minimize
from alteraser.solvers.phases.alternation import Alternation, HalfPass
from alteraser.solvers.phases.passes import Passes
from alteraser.solvers.phases.touched import TouchedRows
from alteraser.solvers.residuals import fit, half_gradients, squared_gradient_norm
from alteraser.solvers.rows.ah_newton import AHNewton
from alteraser.solvers.rows.protocol import RowReport
from alteraser.solvers.stationarity import block_solve
from alteraser.solvers.trace import OnPass, PassRecord
from alteraser.tolerances import checked_tolerance

Array = npt.NDArray[Any]

MARGIN = 0.7
"""Share of the tolerance at which passes end: the residual is measured after one more half-step, in
another sum."""


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
    """Exact alternating passes on ``after`` in ``P`` (m, w) and ``Q`` (n, w), padded, until the
    residual is small.

    ``touched`` = (user rows, item rows) of the forget set. The side called ``last`` is left at its
    minimum given the other. Raises NumericFailure for a row without a solution and Interrupted on
    Ctrl-C; P and Q are then half changed.
    """
    checked_tolerance(tolerance)
    state = _InPlace(before, after, P, Q, rank, tolerance, last, threads or default_threads())
    plan = Plan[_InPlace](
        "touched",
        {"touched": TouchedRows(*touched), "passes": Passes(Safeguarded(None, lambda _: 0.0))},
        {
            ("touched", "done"): "passes",
            ("passes", "arrived"): End("tolerance"),
            ("passes", "stuck"): "passes",
        },
    )

    def begin() -> tuple[_InPlace, Plan[_InPlace]]:
        state.begin(touched)
        return state, plan

    found = minimize(begin, Until(tolerance, max(max_passes, 1)), on_pass=on_pass)
    return InPlace(
        found.residual,
        state.push,
        state.floor,
        state.objective_before,
        found.objective,
        len(found.trace),
        state.work.rows,
        found.ended or "passes",
        found.trace,
    )


class _InPlace(Alternation):
    """The very factors that were given: nothing of their size is kept beside them, nothing is
    undone.
    """

    def __init__(
        self,
        before: Problem,
        after: Problem,
        P: Array,
        Q: Array,
        rank: int,
        tolerance: float,
        last: str,
        threads: int,
    ) -> None:
        super().__init__(P, Q, tolerance)
        self.before, self.after, self.rank, self.threads = before, after, rank, threads
        self.order = ("user", "item") if last == "item" else ("item", "user")
        self.promising = MARGIN * tolerance
        self.push, self.objective_before = 0.0, np.nan
        self.floor: float | None = None

    def begin(self, touched: tuple[Array, Array]) -> None:
        """What is measured before anything moves."""
        at = self.P, self.Q
        self.push = push_of(
            self.before, self.after, *at, rank=self.rank, touched=touched, threads=self.threads
        )
        rest, _ = gradient_norm(self.before, *at, rank=self.rank, threads=self.threads)
        self.floor = rest / self.push if self.push > 0 else None
        users = self.after.users
        self.objective_before = fit(users, self.Q, self.P, threads=self.threads) + ridge_of(
            self.after, *at
        )

    def factors(self) -> tuple[Array, Array]:
        """See ``Alternation``; no copies."""
        return self.P, self.Q

    def solve(self, name: str, rows: Array | None) -> RowReport:
        """Rows of a side, or all, exactly."""
        side, x, other = (
            (self.after.users, self.P, self.Q)
            if name == "user"
            else (self.after.items, self.Q, self.P)
        )
        report = AHNewton().solve(side, other, x, rows, rank=self.rank, threads=self.threads)
        self.work.rows += report.rows
        return report

    def first_half(self) -> float:
        """The side that is not to be last."""
        return self.solve(self.order[0], None).value

    def second_half(self) -> HalfPass:
        """The other: at (x*(z), z) the whole gradient is that of z's rows, which its sweep
        measures.
        """
        report = self.solve(self.order[1], None)
        estimate = 2.0 * float(np.sqrt(max(report.decrement, 0.0))) / (self.push or 1.0)
        return HalfPass(estimate, float("nan"), self.after.users.rows + self.after.items.rows)

    def settle(self) -> None:
        """Nothing: the last side stays at its minimum."""

    def arrived(self, estimate: float) -> bool:
        """True: MARGIN is for what measuring may find."""
        return True

    def measure(self) -> tuple[float, float]:
        """See ``Alternation``."""
        norm, objective = gradient_norm(
            self.after, self.P, self.Q, rank=self.rank, threads=self.threads
        )
        return norm / (self.push or 1.0), objective


def push_of(
    before: Problem,
    after: Problem,
    P: Array,
    Q: Array,
    *,
    rank: int,
    touched: tuple[Array, Array],
    threads: int,
) -> float:
    """‖∇L_after(Θ) − ∇L_before(Θ)‖_{B⁻¹} with B of ``after``, looking at the touched rows alone.

    With uniform missing weights the other rows' sub-problems do not change, so theirs is exactly 0.
    """
    total = 0.0
    sides: tuple[tuple[Side, Side, Array, Array, Array], ...] = (
        (before.users, after.users, P, Q, touched[0]),
        (before.items, after.items, Q, P, touched[1]),
    )
    for old, new, x, other, rows in sides:
        if rows.size:
            gram = new.gram(other)
            some, here = new.take(rows), x[rows]
            now, _ = half_gradients(some, other, here, gram, threads)
            then, _ = half_gradients(old.take(rows), other, here, gram, threads)
            squared, _ = block_solve(
                some, other, 2.0 * (now - then), some.all_rows, rank=rank, threads=threads
            )
            total += squared
    return float(np.sqrt(total))


def gradient_norm(
    problem: Problem, P: Array, Q: Array, *, rank: int, threads: int
) -> tuple[float, float]:
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
