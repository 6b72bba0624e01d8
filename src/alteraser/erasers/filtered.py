"""The deletion's effect alone, in models that were stopped early: anchored passes through the
trainer's own filter.

A model that fifteen iterations of three conjugate-gradient steps left is no optimum: in directions
of little curvature its training had hardly begun. What training left there, g = ∇L_{D_a}(Θ_a)/2, is
to stay. So every row solves

    A_u p = b_u + g_u          A_u, b_u of the remaining data at the present other side

and only by as many steps of conjugate gradients, from where it is, as the trainer takes (*anchored*
passes). Solved exactly, these rows would multiply what training had left by A⁻¹ of a matrix that
has changed: measured on play counts, exact anchored passes blow up after three to ten, while three
steps, which move weak directions as little as the trainer did, do not, and bring everybody's lists
nearer to a retrain with the same seed. The rows of the deletion come first.

In the rows of the deletion it is not that gradient that stays, but the way to their minimum, p −
A⁻¹ b of the data as they were (``AnchoredRows.displaced``). That of a user who lost a share of
their weight is multiplied by the share that remains, to the fourth power: what training had left in
a row of which half is gone says little about the row that is left.

Where the anchored residual does not fall (weights over many orders of magnitude), passes lead away
from the retrain; then the rows of the deletion alone are changed, by what the same steps do on the
remaining data and not on all, if that leaves less of the anchored gradient.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np

from alteraser.erasers.anchored_rows import (
    IMPLICIT,
    AnchoredRows,
    Array,
    Pair,
    Rows,
    RowsLeft,
    Trainer,
)
from alteraser.models import Problem
from alteraser.runtime.interrupt import whole
from alteraser.runtime.workers import default_threads
from alteraser.solvers.least_residual import least_residual
from alteraser.solvers.loop import AGAIN, Decided, End, Move, Phase, Plan, Until, minimize
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.trace import OnPass, PassRecord, Scope
from alteraser.tolerances import checked_tolerance

FADING = 0.9
"""A pass that does not do less than this share of what the pass before did is the last but one:
what is left then moves along directions that the trainer's steps hardly see."""

NEGLIGIBLE = 0.3
"""Share of the tolerance, in units of the push, that a pass has to do for another one to follow."""

SMALL = 2e-3
"""Share of all interactions up to which a deletion is small. A pass costs the same whatever was
deleted, and what it would still bring to others is little then: passes end once one does no more
than the tolerance, unless the residual turns out to be above it."""

SLACK = 0.05
"""How far above the original's, which is 1, the anchored residual of the rows alone may be: along
weak directions the trainer's steps leave more of a changed row than they found, and still bring it
nearer to its retrain."""

FEW = 0.1
"""Share of all interactions up to which rows count as few."""

NEARBY = 10
"""Passes over few rows, at most."""

THOROUGH = 0.1
"""Tolerance below which passes go on for as long as each does less than the one before."""

ASKERS = 0.95
"""Of the deletion's push in the row of a user who asked, so much may be left, or of half of their
mean push where theirs is less. Where such a row was left as it was it is 1 and more; honest runs
stay below 0.7."""

WORTH = 0.3
"""Anchored residual above which it is asked whether passes have helped: of them and of the rows of
the deletion alone, what leaves less is kept. On play counts and Frappe, weights of ten kinds,
passes left 0.05 to 0.25 and brought others' lists nearer to the retrain than the rows alone did, or
1.1 to 4.8 and led away from it, where the rows alone never did."""

PRODUCTS = 4
"""Of a step on both sides: what passes leave lies in quick directions of many rows, and more would
go along slow ones, in which training had hardly begun."""

SHARES = (1.0, 0.5, 0.25)
"""Of a step on both sides, so much is tried. Of what the deletion makes of the trainer's steps, so
much is taken in the rows of the deletion: the first that does not lead further away than SLACK
allows, or the last."""


@dataclass(frozen=True)
class Filtered:
    """What was done to the factors that were given."""

    method: Literal["local", "rows"]
    residual: float
    """The anchored residual, on the factors as they are now."""
    resolved: bool
    """True when that is within the tolerance, or no more than storing the factors leaves, and
    ``askers`` is too."""
    askers: float
    """The largest ``left_of_askers`` of a user in the deletion who has something left."""
    push: float
    objective_before: float
    """L_{D_r}(Θ_a)"""
    objective: float
    passes: int
    products: int
    rows_updated: int
    reason: str
    trace: tuple[PassRecord, ...]
    left: Pair | None
    """Half of ∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a), (m, d) and (n, d), where there is room to keep it"""


def forget_filtered(
    before: Problem,
    after: Problem,
    original: tuple[Array, Array],
    P: Array,
    Q: Array,
    *,
    touched: tuple[Rows, Rows],
    reweighted: bool = False,
    trainer: Trainer = IMPLICIT,
    tolerance: float,
    max_passes: int,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> Filtered:
    """Anchored passes in ``P`` (m, w) and ``Q`` (n, w), padded copies of ``original``, (m, d) and
    (n, d).

    ``touched`` = (user rows, item rows) of the forget set; ``reweighted`` says that other rows'
    weights differ between ``before`` and ``after`` too. ``trainer`` says how the model was trained:
    the side that it solves exactly is left exact. Ends after ``max_passes``, or where a pass no
    longer does enough. Raises NumericFailure for a row without a solution and Interrupted on
    Ctrl-C; P and Q are then half changed.
    """
    checked_tolerance(tolerance)

    def begin() -> tuple[AnchoredRows, Plan[AnchoredRows]]:
        state = AnchoredRows(
            before,
            after,
            original,
            P,
            Q,
            touched=touched,
            trainer=trainer,
            threads=threads or default_threads(),
        )
        state.begin(reweighted=reweighted)
        return state, _plan(state, tolerance, max_passes)

    found = minimize(begin, Until(tolerance, sys.maxsize), on_pass=on_pass)
    state, here = found.state, found.state.found
    small = here.residual <= tolerance
    method: Literal["local", "rows"] = "rows" if found.ended == "rows" else "local"
    reason = "askers" if small and here.askers > ASKERS and not here.stored else found.reason
    return Filtered(
        method,
        here.residual,
        here.stored or (small and here.askers <= ASKERS),
        here.askers,
        state.start.push,
        state.start.objective,
        here.objective,
        len(found.trace),
        state.work.products,
        state.work.rows,
        reason,
        found.trace,
        here.gradient,
    )


def _plan(state: AnchoredRows, tolerance: float, max_passes: int) -> Plan[AnchoredRows]:
    size = len(state.before.interactions) - len(state.after.interactions)
    small = size <= SMALL * len(state.before.interactions)
    moves = max_passes > 0
    passes = FilteredPasses(tolerance * (1.0 if small else NEGLIGIBLE), tolerance, max_passes - 1)
    phases: dict[str, Phase[AnchoredRows]] = {
        "deleted": Deleted(),
        "nearby": Nearby(),
        "passes": passes,
        "look": LastWord(tolerance, moves=moves, further=True),
        "thorough": FilteredPasses(tolerance * NEGLIGIBLE, tolerance, max_passes - 1, passes),
        "arrived": LastWord(tolerance, moves=moves),
        "capped": LastWord(tolerance, moves=moves),
        "both": BothSides(tolerance),
        "both, capped": BothSides(tolerance),
        "instead": RowsAlone(),
        "instead, capped": RowsAlone(),
    }
    table: dict[tuple[str, str], str | End] = {
        ("deleted", "done"): "nearby",
        ("nearby", "done"): "passes",
        ("passes", "enough"): "look" if small else "arrived",
        ("passes", "spent"): "capped",
        ("look", "open"): "thorough",
        ("look", "there"): End("tolerance"),
        ("thorough", "enough"): "arrived",
        ("thorough", "spent"): "capped",
        ("arrived", "there"): End("tolerance"),
        ("arrived", "doubtful"): "both",
        ("both", "there"): End("tolerance"),
        ("both", "open"): "instead",
        ("capped", "there"): End("passes"),
        ("capped", "doubtful"): "both, capped",
        ("both, capped", "there"): End("passes"),
        ("both, capped", "open"): "instead, capped",
        ("instead", "kept"): End("tolerance"),
        ("instead", "taken"): End("rows"),
        ("instead, capped", "kept"): End("passes"),
        ("instead, capped", "taken"): End("rows"),
    }
    return Plan("deleted" if max_passes > 0 else "passes", phases, table)


class Deleted:
    """The rows of the deletion. Signals: ``done``."""

    def move(self, state: AnchoredRows) -> Move:
        """Each on its anchored system."""
        return Move(_record("touched", state.deleted()))

    def judge(self, state: AnchoredRows) -> str:
        """Whatever it has come to."""
        return "done"


class Nearby:
    """The rows of the deletion and those that meet them, where these are few and cheap. Signals:
    ``done``.
    """

    def __init__(self) -> None:
        self._near: tuple[Rows, Rows] | None = None
        self._last = self._removed = np.inf
        self._count = 0

    def move(self, state: AnchoredRows) -> Move:
        """A pass over these."""
        if self._near is None:
            self._near = state.meeting(0), state.meeting(1)
            if not self._few(state, self._near):
                return Move(signal="done")
        self._last = self._removed
        self._removed, rows = state.sweep(self._near)
        self._count += 1
        return Move(_record("touched", rows))

    def judge(self, state: AnchoredRows) -> str:
        """Done when it fades no more, or NEARBY times."""
        return "done" if self._removed > FADING * self._last or self._count == NEARBY else AGAIN

    def _few(self, state: AnchoredRows, near: tuple[Rows, Rows]) -> bool:
        sides = state.after.users, state.after.items
        met = sum(float(side.counts[rows].sum()) for side, rows in zip(sides, near, strict=True))
        return met <= FEW * 2.0 * max(float(sides[0].counts.sum()), 1.0)


class FilteredPasses:
    """All rows. Signals: ``enough``, a pass did little or no less than the one before; ``spent``,
    no more may be.
    """

    def __init__(
        self, enough: float, tolerance: float, most: int, earlier: FilteredPasses | None = None
    ) -> None:
        """``enough`` is a share of the push; ``most`` passes may be, those of ``earlier`` among
        them.
        """
        self._enough, self._most, self._earlier = enough, most, earlier
        self._fading = FADING if tolerance >= THOROUGH else 1.0
        self._last = self._removed = np.inf
        self.count = 0

    def move(self, state: AnchoredRows) -> Move:
        """One pass."""
        if self.count + (0 if self._earlier is None else self._earlier.count) >= self._most:
            return Move(signal="spent")
        removed, rows = state.sweep()
        push = state.start.push
        self._last, self._removed = self._removed, removed / push if push > 0 else 0.0
        self.count += 1
        return Move(_record("all", rows))

    def judge(self, state: AnchoredRows) -> str:
        """By what it did."""
        return (
            "enough"
            if self._removed <= self._enough or self._removed > self._fading * self._last
            else AGAIN
        )


class LastWord(Decided):
    """The rows of the deletion once more, and a measurement. Signals: ``there``; ``doubtful``,
    passes may have led away; with ``further``, ``open`` where more of them could still do
    something.
    """

    def __init__(self, tolerance: float, *, moves: bool, further: bool = False) -> None:
        self._tolerance, self._moves, self._further = tolerance, moves, further

    def move(self, state: AnchoredRows) -> Move:
        """Only measured where nothing is to move."""
        record = _record("touched", state.deleted()) if self._moves else None
        state.leave_exact()
        found = state.measure(self._tolerance, WORTH)
        if self._further:
            good = found.residual <= self._tolerance and found.askers <= ASKERS
            return Move(record, "there" if good else "open")
        doubtful = found.residual > max(WORTH, self._tolerance) and not found.stored
        return Move(record, "doubtful" if doubtful else "there")


class BothSides(Decided):
    """Where passes have left too much: the step on both sides that leaves least, if it leaves less.

    Signals: ``there``, that is little enough; ``open``.
    """

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance

    def move(self, state: AnchoredRows) -> Move:
        """A few products and a measurement, or more where the step is too long."""
        before, gradient = state.found, state.found.gradient
        if gradient is None or not before.residual < 1.0:
            return Move(signal="open")
        here = state.P.copy(), state.Q.copy()
        step = least_residual(
            state.after,
            (here[0][:, : state.rank], here[1][:, : state.rank]),
            gradient,
            products=PRODUCTS,
            threads=state.threads,
        )
        if step is None:
            return Move(signal="open")
        for share in SHARES:
            for x, start, way in zip((state.P, state.Q), here, step, strict=True):
                x[:, : state.rank] = start[:, : state.rank] + share * way
            state.grams.clear()
            state.leave_exact()
            if state.measure(self._tolerance, WORTH).residual < before.residual:
                break
        else:
            state.P[:], state.Q[:] = here
            state.grams.clear()
            state.found = before
            return Move(signal="open")
        record = PassRecord.of("joint", float("nan"), None, len(here[0]) + len(here[1]))
        small = state.found.residual <= self._tolerance
        return Move(record, "there" if small else "open")


class RowsAlone(Decided):
    """The rows of the deletion alone from the original, in place of passes that led away. Signals:
    ``taken``, that leaves less; ``kept``, it does not, and what passes have come to is there again.
    """

    def __init__(self) -> None:
        self._before: tuple[Pair | None, RowsLeft] | None = None
        self._shares = iter(SHARES)

    def move(self, state: AnchoredRows) -> Move:
        """One share of the difference."""
        if self._before is None:
            found = state.measure()  # without bounds, to compare
            led_away = found.residual >= 1.0
            # no room for both, and what has helped stays
            if not led_away and state.kept != np.float64:
                return Move(signal="kept")
            self._before = None if led_away else (state.P.copy(), state.Q.copy()), found
        share = next(self._shares)
        state.rows_alone(share)
        state.leave_exact()
        found = state.measure()
        record = _record("touched", state.touched[0].size + state.touched[1].size)
        if found.residual > 1.0 + SLACK and not found.stored and share != SHARES[-1]:
            return Move(record, AGAIN)
        passes, before = self._before
        if passes is None or found.residual < before.residual:
            return Move(record, "taken")
        state.P[:], state.Q[:] = passes
        state.grams.clear()
        state.found = before
        return Move(record, "kept")


def _record(scope: Scope, rows: int) -> PassRecord:
    return PassRecord.of(scope, float("nan"), None, int(rows))


def anchored_residual(
    before: Problem,
    after: Problem,
    original: tuple[Array, Array],
    new: tuple[Array, Array],
    *,
    touched: tuple[Rows, Rows],
    reweighted: bool = False,
    threads: int = 0,
) -> tuple[float, float, bool]:
    """(the anchored residual, the largest ``left_of_askers``, whether storing leaves as much) of
    ``new``.

    Arguments as for ``forget_filtered``; nothing is changed.
    """
    P, Q = (padded(np.asarray(x)) for x in original)
    rank = int(original[0].shape[1])
    with whole():
        state = AnchoredRows(
            before,
            after,
            original,
            P,
            Q,
            touched=touched,
            trainer=IMPLICIT,
            threads=threads or default_threads(),
        )
        state.begin(reweighted=reweighted)
        P[:, :rank], Q[:, :rank] = new
        state.grams.clear()
        found = state.measure()
    return found.residual, found.askers, found.stored
