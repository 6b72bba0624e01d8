"""Rows by their own residual: what bounds it, which rows that opens, and solving these until it is
small.

Every row's gradient is bounded by what its neighbors' changes can have done to it; no row is looked
at. The fewest rows are solved that leave no more than RESERVE of the tolerance to the others, users
and items in turn. Where the bounds would have many rows solved, or after ROUNDS turns, all
gradients are looked at once and exactly; from these the bounds begin again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alteraser.engines.session.kept import Array, Kept
from alteraser.models import Factors, Problem
from alteraser.solvers.loop import AGAIN, Decided, End, Move, Plan, Until, minimize
from alteraser.solvers.phases.alternation import RowWork
from alteraser.solvers.stationarity import evaluate
from alteraser.solvers.trace import PassRecord

LOOKS = 50
"""At most so many looks at all rows in one ``relax``."""

MESSAGE = "interrupted in the middle of a request: make a new Stream from the last model"

RESERVE, ROUNDS, MANY = 0.5, 2, 0.25
"""Share of a tolerance that rows left alone may use up; turns of both sides between looks at all
rows; share of the rows above which a look comes first, because the bounds are pessimistic where
many changes meet."""


@dataclass(frozen=True)
class Relaxed:
    """What ``Stream.relax`` did."""

    solved: int
    """Rows solved, users and items together"""
    products: int
    looks: int
    """How often all gradients were looked at"""
    residual: float
    """‖∇L‖_{B⁻¹} over the push of the requests since the last ``polish``"""


class Bounds:
    """Upper bounds of the gradients of what is kept, and the residual that they leave."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.tightness = 1.0
        """By what the bounds of gᵀA⁻¹g were too large at the last look"""

    def residual(self) -> float:
        """‖∇L‖_{B⁻¹} / push at most."""
        total = sum(float(np.sum(self.shares(place))) for place in (0, 1))
        return (self.kept.rest + 2.0 * float(np.sqrt(total))) / self.kept.push

    def shares(self, place: int) -> npt.NDArray[np.float64]:
        """Upper bounds of gᵀA⁻¹g of every row, g half its gradient; A ⪰ λρ + a λ_min(G)."""
        half = self.kept.halves[place]
        least = max(
            float(np.linalg.eigvalsh(half.gram[: self.kept.rank, : self.kept.rank])[0]), 0.0
        )
        weight = half.ridge.astype(np.float64) + half.own * least
        moved = np.maximum(half.bound + half.shared * half.own * half.norms, 0.0)
        return np.asarray(
            np.divide(moved**2, weight, out=np.full_like(moved, np.inf), where=weight > 0)
        )

    def open_rows(self, place: int, goal: float) -> Array:
        """The fewest rows without which the bounds of the others sum up to RESERVE of the tolerance
        at most.
        """
        shares = self.shares(place)
        order = np.argsort(shares)
        allowed = 0.5 * (RESERVE * goal * self.kept.push / 2.0) ** 2 / self.tightness
        return np.sort(order[np.searchsorted(np.cumsum(shares[order]), allowed, side="right") :])

    def look(self) -> float:
        """The residual, from every row's gradient in float64; bounds begin from these."""
        problem = Problem(self.kept.objective, self.kept.remaining(), np.float64)
        factors = self.kept.factors()
        now = evaluate(problem, factors, threads=self.kept.threads)
        total = 0.0
        for place, gradient in enumerate((now.user_gradient, now.item_gradient)):
            half = self.kept.halves[place]
            rows = np.arange(gradient.shape[0])
            wide = np.zeros(half.X.shape, self.kept.dtype)
            wide[:, : self.kept.rank] = gradient / 2.0
            total += self.kept.decrement(place, rows, wide)
            half.bound[:] = (
                np.linalg.norm(gradient, axis=1) / 2.0 - half.shared * half.own * half.norms
            )
        self.kept.rest = 0.0
        bounded = sum(float(np.sum(self.shares(place))) for place in (0, 1))
        self.tightness = min(max(total / bounded, 1e-3), 1.0) if 0 < bounded < np.inf else 1.0
        return 2.0 * float(np.sqrt(max(total, 0.0))) / self.kept.push


def relax(bounds: Bounds, goal: float, most: int, *, few: bool = False) -> Relaxed:
    """Solve open rows until the residual is at most ``goal``, with at most so many looks at all
    rows.

    With ``few`` it ends where a look leaves many rows open.
    """
    state = _Relaxing(bounds)
    if not state.residual > goal or not bounds.kept.push > 0:
        return Relaxed(0, 0, 0, state.residual)
    plan: Plan[_Relaxing] = Plan(
        "rows",
        {"rows": OpenRows(goal, few=few)},
        {("rows", "there"): End("tolerance"), ("rows", "many"): End("bent")},
    )
    found = minimize(lambda: (state, plan), Until(goal, most), message=MESSAGE, blas=None)
    return Relaxed(state.work.rows, state.work.products, len(found.trace), state.residual)


class _Relaxing:
    """Where it is, and what it took."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds, self.work = bounds, RowWork()
        self.residual = bounds.residual() if bounds.kept.push > 0 else 0.0

    def factors(self) -> Factors:
        """See ``solvers.loop.State``."""
        return self.bounds.kept.factors()

    def finish(self) -> tuple[float, float]:
        """See ``solvers.loop.State``; nobody asks for the objective."""
        return self.residual, float("nan")


class OpenRows(Decided):
    """Open rows in turns, and then a look. Signals: ``there``; ``many`` are open, where only few
    are wanted.
    """

    def __init__(self, goal: float, *, few: bool) -> None:
        self._goal, self._few = goal, few
        self._looked = False

    def move(self, state: _Relaxing) -> Move:
        """ROUNDS turns of both sides; none where many are open by bounds alone."""
        bounds, kept, rows_before = state.bounds, state.bounds.kept, state.work.rows
        many = MANY * sum(half.norms.size for half in kept.halves)
        for turn in range(2 * ROUNDS):
            rows = bounds.open_rows(turn % 2, self._goal)
            if rows.size > many and self._few and self._looked:
                return Move(signal="many")
            if rows.size > many and not self._looked:
                break
            if rows.size:
                state.work.products += kept.solve(turn % 2, rows)
                state.work.rows += rows.size
        state.residual, self._looked = bounds.look(), True
        record = PassRecord.of(
            "touched", float("nan"), state.residual, state.work.rows - rows_before
        )
        return Move(record, AGAIN if state.residual > self._goal else "there")
