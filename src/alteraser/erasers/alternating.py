"""Passes for losses whose rows are not quadratic: BPR, logistic, biased squares.

The same method as ``driver`` (Liu et al., RecSys 2022, Algorithm 1): the touched rows first, then
users and items in turn, extrapolated, until the residual is within the tolerance. It is a state of
its own because nothing that makes the other one fast holds here: no Gram matrix stands for the
missing cells, a row is several Newton steps, items of BPR see each other, and the two sides of a
logistic model may have no loss in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.linalg.anderson import Anderson, Safeguarded
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.terms import RowProblem
from alteraser.runtime.workers import default_threads
from alteraser.solvers.loop import Decided, End, Move, Phase, Plan, Until, minimize
from alteraser.solvers.phases.alternation import Alternation, HalfPass
from alteraser.solvers.phases.passes import Passes
from alteraser.solvers.rows.protocol import RowReport, padded
from alteraser.solvers.rows.terms import TO_THE_END, ridge, slope_norm, slopes, solve_terms, unrest
from alteraser.solvers.trace import OnPass, PassRecord, Reason

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

ROUNDING = 1e-12
"""Share of the loss by which an extrapolated point may be worse and still be taken for as good."""


@dataclass(frozen=True)
class RowPush:
    """What a deletion does to a model's gradient, before anything is updated; see
    ``stationarity.Push``.
    """

    norm: float
    """‖∇L_after(Θ) − ∇L_before(Θ)‖_{H⁻¹}, H of ``after``"""
    objective: float
    """L_after(Θ)"""
    floor: float
    """‖∇L_before(Θ)‖_{H⁻¹} / norm: what training left; above 1 for most models that stopped
    early."""


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


def row_push(
    before: RowProblem, after: RowProblem, factors: BiasedFactors, *, threads: int = 0
) -> RowPush:
    """How hard a deletion pushes the model (Liu et al., RecSys 2022, Eq. 6); both problems of one
    seed.
    """
    threads = threads or default_threads()
    first, second = (slopes(problem, factors, threads=threads) for problem in (before, after))
    norm = slope_norm(
        after, factors, second.users - first.users, second.items - first.items, threads=threads
    )
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
    """Passes from ``start`` until ‖∇L‖_{H⁻¹} ≤ tolerance · scale, or the cap; ``start`` is never
    changed.

    ``touched`` = (user rows, item rows) are updated alone first; ``steps`` bounds the Newton steps
    of a row in one sweep, but for the last one; ``memory`` is Anderson's, 0 for plain passes.
    Raises NumericFailure for a row without a solution and Interrupted on Ctrl-C.
    """
    until = Until(tolerance, max_passes)
    # where the sides have no common loss there is nothing that tells a good extrapolation from a
    # bad one
    history = Anderson(memory, problem.items.counts + 1.0) if memory and problem.shared else None
    passes = Passes(Safeguarded(history, lambda best: ROUNDING * abs(best)))

    def begin() -> tuple[RowState, Plan[RowState]]:
        state = RowState(problem, start, scale, tolerance, steps, threads or default_threads())
        phases: dict[str, Phase[RowState]] = {"look": FirstLook(), "passes": passes}
        if touched is not None:
            phases["touched"] = TouchedFirst(*touched)
        table = {key: following for key, following in TABLE.items() if key[0] in phases}
        return state, Plan("touched" if touched is not None else "look", phases, table)

    found = minimize(begin, until, on_pass=on_pass)
    return Alternated(
        found.state.factors(),
        found.trace,
        found.objective,
        found.residual,
        found.converged,
        len(found.trace),
        found.state.work.rows,
        "tolerance" if found.converged else "passes",
    )


TABLE: dict[tuple[str, str], str | End] = {
    ("look", "arrived"): End("tolerance"),
    ("look", "open"): "passes",
    ("touched", "arrived"): End("tolerance"),
    ("touched", "open"): "passes",
    ("passes", "arrived"): End("tolerance"),
    ("passes", "stuck"): "passes",
}


class RowState(Alternation):
    """A run on a problem of terms: every sweep is a few Newton steps a row."""

    def __init__(
        self,
        problem: RowProblem,
        start: BiasedFactors,
        scale: float,
        tolerance: float,
        steps: int,
        threads: int,
    ) -> None:
        start.check_finite()
        users, items = problem.layout.pack(start)
        super().__init__(padded(users), padded(items), tolerance)
        self.problem, self.scale, self.steps, self.threads = problem, scale or 1.0, steps, threads
        self.promising = tolerance if problem.shared else np.inf
        # L after the last first half; rows that records tell of
        self._reached, self._counted = np.nan, 0

    def factors(self) -> BiasedFactors:
        """See ``Alternation``."""
        width = self.problem.layout.width
        return self.problem.layout.unpack(self.P[:, :width], self.Q[:, :width])

    def sweep(self, name: str, rows: Array | None = None, *, steps: int = 0) -> RowReport:
        """Some rows of a side, or all."""
        user = name == "user"
        terms = self.problem.users if user else self.problem.items
        other, x = (self.Q, self.P) if user else (self.P, self.Q)
        report = solve_terms(terms, other, x, rows, steps=steps or self.steps, threads=self.threads)
        self.work.rows += report.rows
        return report

    def first_half(self) -> float:
        """Users; L there, from the sweep's own sums."""
        self._reached = float(self.sweep("user").value) + ridge(self.problem.items, self.Q)
        return self._reached

    def second_half(self) -> HalfPass:
        """Items."""
        report = self.sweep("item")
        self.measured, self.owed = None, True
        return HalfPass(
            float(np.sqrt(max(report.decrement, 0.0))) / self.scale, self._reached, self.solved()
        )

    def settle(self) -> None:
        """Users once more, with as many Newton steps as they take."""
        self.sweep("user", steps=TO_THE_END)
        self.owed = False
        self.solved()

    def measure(self) -> tuple[float, float]:
        """See ``Alternation``."""
        return measured(self.problem, self.factors(), self.scale, self.threads)

    def arrived(self, estimate: float) -> bool:
        """See ``Alternation``; where the sides have no common loss no estimate says anything:
        measured every time.
        """
        there = super().arrived(estimate)
        self.promising = self.promising if self.problem.shared else np.inf
        return there

    def solved(self) -> int:
        """Rows since this was last asked."""
        rows, self._counted = self.work.rows - self._counted, self.work.rows
        return rows


class FirstLook(Decided):
    """A run may begin where it is to end. Signals: ``arrived``, ``open``."""

    def move(self, state: RowState) -> Move:
        """Measure."""
        state.measured = state.measure()
        return Move(signal="arrived" if state.measured[0] <= state.tolerance else "open")


class TouchedFirst(Decided):
    """The rows of the deletion alone, users first, and then a measurement. Signals: ``arrived``,
    ``open``.
    """

    def __init__(self, users: Array, items: Array) -> None:
        self._users, self._items = users, items

    def move(self, state: RowState) -> Move:
        """One sweep."""
        state.sweep("user", self._users)
        state.sweep("item", self._items)
        signal = FirstLook().move(state).signal
        assert state.measured is not None
        residual, objective = state.measured
        return Move(PassRecord.of("touched", objective, residual, state.solved()), signal)


def measured(
    problem: RowProblem, factors: BiasedFactors, scale: float, threads: int = 0
) -> tuple[float, float]:
    """(‖∇L‖_{H⁻¹} / scale, L) of ``factors`` as they are stored."""
    threads = threads or default_threads()
    here = slopes(problem, factors, threads=threads)
    return unrest(problem, factors, here, threads=threads) / (scale or 1.0), here.objective
