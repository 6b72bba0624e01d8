"""Two ways to only a deletion's effect, for originals that AdamW left before they came to rest.

An early-stopped original has a gradient of its own left. The reference of the experiments, the same
training on D_r, is stopped as early, so going on to an optimum leads away from it. Both methods
here leave what training had left:

- anchored passes, where every row has its exact minimum (AH-Newton) of L_{D_r} − ⟨g, Θ⟩, g =
  ∇L_{D_a}(Θ_a);
- the difference of two runs, Θ_a + T_r^k(Θ_a) − T_a^k(Θ_a), T a pass of AltEraser on D_r and on
  D_a: what k passes do because the data are gone, without what they do because training had not
  arrived.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alteraser.erasers.driver import Outcome
from alteraser.erasers.shift import Shift
from alteraser.errors import InvalidInput, NumericFailure
from alteraser.models import Factors, Side
from alteraser.runtime.interrupt import whole
from alteraser.solvers import AHNewton
from alteraser.solvers.anchors import Anchors, anchored_norm
from alteraser.solvers.phases.state import refuse_damaged
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import block_solve, evaluate, half_gradients
from alteraser.solvers.trace import OnPass, PassRecord, Reason, Scope, Trace

Float64 = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Pair = tuple[Float64, Float64]


@dataclass(frozen=True)
class AnchoredPasses:
    """The rows of the deletion, then passes over all rows, each row to its minimum on the anchored
    system.

        A_u p = b_u + g_u / 2        A_u, b_u of D_r at the present items; likewise for items

    g = ∇L_{D_a}(Θ_a) in every row that D_r does not leave empty, so that a row far from the
    deletion stays where training left it, and 0 in the others, which become zero. Every row solve
    lowers L_{D_r}(Θ) − ⟨g, Θ⟩. Where training had not arrived that may bend down without a minimum
    near by, and passes that went on would leave the original behind for good: they end with the
    last one that lowered the anchored residual (``alteraser.solvers.anchors``).
    """

    max_passes: int = 5
    """Cap, the pass over the rows of the deletion included."""
    tolerance: float = 0.0
    """Anchored residual at which to end."""
    solver: str = "ah-newton"
    name: str = "local"

    def __post_init__(self) -> None:
        _check(self.max_passes)

    def erase(self, shift: Shift, on_pass: OnPass | None = None) -> Outcome:
        """See ``Eraser.erase``; ``Outcome.residual`` is the anchored one.

        Raises InvalidInput where D_a is not known, NumericFailure for a row without a solution or a
        model that is not finite, Interrupted on Ctrl-C.
        """
        work = _Work(shift, self.name, on_pass)
        with whole():
            return _anchored(self, work)


@dataclass(frozen=True)
class TwoRuns:
    """Θ_a + T_r^k(Θ_a) − T_a^k(Θ_a): k plain passes by exact rows on D_r less as many on D_a, both
    from the original.

    T is the paper's: the rows of the deletion first, then all rows. Rows that D_r leaves empty are
    zero. Twice the cost of the passes alone; at an optimum the second run stands still, and this is
    AltEraser [AH-Newton].
    """

    max_passes: int = 5
    """k"""
    tolerance: float = 0.0
    """Anchored residual that counts as converged; the number of passes is fixed."""
    solver: str = "ah-newton"
    name: str = "two-runs"

    def __post_init__(self) -> None:
        _check(self.max_passes)

    def erase(self, shift: Shift, on_pass: OnPass | None = None) -> Outcome:
        """See ``Eraser.erase`` and ``AnchoredPasses.erase``."""
        work = _Work(shift, self.name, on_pass)
        with whole():
            return _difference(self, work)


def _check(max_passes: int) -> None:
    if max_passes < 1:
        raise InvalidInput(
            f"max_passes={max_passes}: expected at least 1, the rows of the deletion"
        )


class _Work:
    """What both methods share: the problems, what training had left, counting, and looking after
    each pass.
    """

    def __init__(self, shift: Shift, name: str, on_pass: OnPass | None) -> None:
        if shift.before is None:
            raise InvalidInput(
                f"{name} needs the interactions as trained on: what training left of its gradient "
                "is measured on them"
            )
        original = shift.original
        refuse_damaged(original, "original")
        self.shift, self.before = shift, shift.before
        self.h = np.asarray(original.prediction, dtype=np.float64)
        self.trace: Trace[PassRecord] = Trace(on_pass)
        self.rows = 0

    def factors(self, P: Float64, Q: Float64) -> Factors:
        """As they would be stored: empty rows of D_r zero, in the original's precision."""
        original, after = self.shift.original, self.shift.after
        users, items = P.astype(original.dtype), Q.astype(original.dtype)
        users[after.users.counts == 0], items[after.items.counts == 0] = 0, 0
        return Factors(users, items, original.prediction)

    def passed(
        self, scope: Scope, residual: float | None, began: float, P: Float64, Q: Float64
    ) -> bool:
        """Note a pass; True when the watcher wants it to be the last."""
        shift = self.shift
        everything = shift.after.users.rows + shift.after.items.rows
        rows = (
            shift.touched_users.size + shift.touched_items.size
            if scope == "touched"
            else everything
        )
        self.rows += rows
        record = self.trace.add(PassRecord.of(scope, float("nan"), residual, rows), began)
        return shift.watch is not None and shift.watch(record.number, lambda: self.factors(P, Q))

    def outcome(
        self, factors: Factors, residual: float, tolerance: float, reason: Reason
    ) -> Outcome:
        """The end, with L_{D_r} there."""
        objective = evaluate(self.shift.after, factors, threads=self.shift.workers).objective
        if not (np.isfinite(objective) and np.isfinite(residual)):
            raise NumericFailure(
                "the model is no longer finite; train the original further, or with a larger λ"
            )
        converged = residual <= tolerance
        return Outcome(
            factors,
            tuple(self.trace.records),
            objective,
            residual,
            converged,
            len(self.trace),
            self.rows,
            0,
            0,
            "tolerance" if converged else reason,
        )


def _anchored(settings: AnchoredPasses, work: _Work) -> Outcome:
    shift, after = work.shift, work.shift.after
    held = Anchors.of(
        evaluate(work.before, shift.original, threads=shift.workers), after, shift.original
    )
    scale = shift.push or 1.0
    began = time.perf_counter()
    P, Q = (
        np.asarray(x, dtype=np.float64).copy() for x in (shift.original.users, shift.original.items)
    )
    P[after.users.counts == 0], Q[after.items.counts == 0] = 0.0, 0.0
    for side, x, other, g, rows in (
        (after.users, P, Q, held.users, shift.touched_users),
        (after.items, Q, P, held.items, shift.touched_items),
    ):
        if rows.size:
            x[rows] += _newton(work, side, x, other, g, rows)[0][rows]
    # the step of the users that the next pass begins with is what measures this one
    step, squared = _newton(work, after.users, P, Q, held.users, after.users.all_rows)
    squared += _newton(work, after.items, Q, P, held.items, after.items.all_rows)[1]
    residual = 2.0 * float(np.sqrt(squared)) / scale
    reason: Reason = "watch" if work.passed("touched", residual, began, P, Q) else "passes"
    while (
        reason == "passes"
        and len(work.trace) < settings.max_passes
        and residual > settings.tolerance
    ):
        began = time.perf_counter()
        users = P + step
        items = Q + _newton(work, after.items, Q, users, held.items, after.items.all_rows)[0]
        step, squared = _newton(work, after.users, users, items, held.users, after.users.all_rows)
        # the items are at their minima given these users
        reached = 2.0 * float(np.sqrt(squared)) / scale
        if not reached < residual:
            reason = "bent"
            break
        P, Q, residual = users, items, reached
        if work.passed("all", residual, began, P, Q):
            reason = "watch"
    return work.outcome(work.factors(P, Q), residual, settings.tolerance, reason)


def _newton(
    work: _Work, side: Side, x: Float64, other: Float64, held: Float64, rows: Rows
) -> tuple[Float64, float]:
    """(steps (side's rows, d) of ``rows`` to their anchored minima and 0 elsewhere, Σ rᵀA⁻¹r), r =
    g/2 − (A x − b).
    """
    threads, scaled = work.shift.workers, other * work.h
    right, step = np.zeros_like(x), np.zeros_like(x)
    right[rows] = 0.5 * held[rows] - half_gradients(side, scaled, x, rows, threads=threads)
    theirs = padded(scaled.astype(work.shift.after.dtype))
    squared, _ = block_solve(
        side, theirs, right, rows, rank=work.h.size, threads=threads, solution=step
    )
    return step, squared


def _difference(settings: TwoRuns, work: _Work) -> Outcome:
    shift = work.shift
    dtype = shift.after.dtype
    original = shift.original
    runs = [
        (problem, padded(original.users.astype(dtype)), padded(original.items.astype(dtype)))
        for problem in (shift.after, work.before)
    ]
    solver, d = AHNewton(), original.rank
    h = original.prediction.astype(dtype)
    P, Q = base = original.users.astype(np.float64), original.items.astype(np.float64)
    reason: Reason = "passes"
    while reason == "passes" and len(work.trace) < settings.max_passes:
        began = time.perf_counter()
        first = not work.trace
        for problem, p, q in runs:
            for side, x, other, rows in (
                (problem.users, p, q, shift.touched_users),
                (problem.items, q, p, shift.touched_items),
            ):
                theirs = other.copy()
                theirs[:, :d] *= h
                solver.solve(
                    side, theirs, x, rows if first else None, rank=d, threads=shift.workers
                )
        (_, p, q), (_, p0, q0) = runs
        P, Q = (
            base[0] + p[:, :d] - p0[:, :d].astype(np.float64),
            base[1] + q[:, :d] - q0[:, :d].astype(np.float64),
        )
        if work.passed("touched" if first else "all", None, began, P, Q):
            reason = "watch"
    factors = work.factors(P, Q)
    held = Anchors.of(evaluate(work.before, original, threads=shift.workers), shift.after, original)
    residual = anchored_norm(shift.after, factors, held, threads=shift.workers) / (
        shift.push or 1.0
    )
    return work.outcome(factors, residual, settings.tolerance, reason)
