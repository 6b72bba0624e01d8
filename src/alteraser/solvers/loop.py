"""The loop: phases move a state, a plan says which follows which, and everything else happens here,
once.

    ┌─ phase.move(state) ──▶ record, numbered and timed ──▶ watcher ──▶ phase.judge(state) ─┐
    └──────────────── plan[phase, signal] = the next phase, or the end ◀────────────────────┘

A *phase* is one way of moving: rows of the deletion, passes, steps on both sides, refinement. It
owns what it remembers from move to move (a history of points, counters of moves that led nowhere)
and nobody else reads it. What several phases need (the factors, the blocks, how far it seems to be)
stands in the *state*. A phase does not know what comes before or after it: it says what it saw, in
a word (``far``, ``slow``, ``arrived``), and the *plan*, a table from (phase, signal) to the next
phase or to the end, makes of it one algorithm or another. The loop counts, times, traces, asks the
watcher, stops at the cap, and turns Ctrl-C into ``Interrupted`` with the start as it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from alteraser.runtime.interrupt import NOTHING_CHANGED, whole
from alteraser.solvers.trace import R, Reason, Stamped, Trace

AGAIN = "again"
"""The signal of a phase that goes on; it needs no line in a plan."""


@dataclass(frozen=True)
class End:
    """In a plan: where the run ends, and why."""

    reason: Reason


@dataclass(frozen=True)
class Move:
    """What came of one call of a phase."""

    record: Stamped | None = None
    """None for a call that is none to be counted: a look around, from which it goes on in another
    phase."""
    signal: str | None = None
    """What the phase saw; None: it will say so in ``judge``, after the watcher has seen the
    factors."""


S = TypeVar("S", contravariant=True)


class Phase(Protocol[S]):
    """One way of moving a state."""

    def move(self, state: S) -> Move:
        """Change ``state``."""
        ...

    def judge(self, state: S) -> str:
        """A signal, after a move that gave none."""
        ...


class Decided:
    """A phase each of whose moves says what follows: its judgement is never asked for."""

    def judge(self, state: Any) -> str:
        """A fault of the phase."""
        raise AssertionError(f"{type(self).__name__} made a move without a signal")


class RunState(Protocol):
    """Where a run is."""

    def factors(self) -> Any:
        """A copy of the factors as they are, for a watcher."""
        ...

    def finish(self) -> tuple[float, float]:
        """(residual, objective) at the end of the run, of the very numbers that it hands out."""
        ...


T = TypeVar("T", bound=RunState)


@dataclass(frozen=True)
class Plan(Generic[T]):
    """Phases by name, and which follows which."""

    begin: str
    phases: Mapping[str, Phase[T]]
    table: Mapping[tuple[str, str], str | End]
    """(phase, signal) → the next phase's name, or the end"""

    def __post_init__(self) -> None:
        named = {self.begin, *(phase for phase, _ in self.table)}
        named |= {following for following in self.table.values() if isinstance(following, str)}
        if missing := sorted(named - self.phases.keys()):
            raise KeyError(f"a plan that speaks of phases it does not have: {', '.join(missing)}")

    def after(self, phase: str, signal: str) -> str | End:
        """What follows ``signal`` in ``phase``; KeyError where the plan has no answer."""
        if signal == AGAIN:
            return self.table.get((phase, AGAIN), phase)
        return self.table[phase, signal]


@dataclass(frozen=True)
class Until:
    """When a run ends by itself."""

    tolerance: float
    """The residual that counts as there; phases aim at it."""
    passes: int
    """Cap on recorded moves."""
    first: int = 1
    """Number of the first record."""


Watch = Callable[[int, Callable[[], Any]], bool]
"""Called after each pass with its number and a way to get the factors as they are; True ends the
run there."""


@dataclass(frozen=True)
class Solution(Generic[T, R]):
    """Where the loop ended."""

    state: T
    trace: tuple[R, ...]
    residual: float
    objective: float
    converged: bool
    """The residual is within the tolerance."""
    ended: Reason | None
    """Why it ended by itself or was ended; None: at the cap"""

    @property
    def reason(self) -> Reason:
        """``ended``; at the cap ``tolerance`` where the residual turned out to be within it."""
        return self.ended or ("tolerance" if self.converged else "passes")


def minimize(
    begin: Callable[[], tuple[T, Plan[T]]],
    until: Until,
    *,
    on_pass: Callable[[Any], None] | None = None,
    watch: Watch | None = None,
    message: str = NOTHING_CHANGED,
    blas: int | None = 1,
) -> Solution[T, Any]:
    """Run a plan from where ``begin`` puts it until it ends, the cap is reached, or the watcher has
    seen enough.

    ``begin`` makes the state, of copies of what is given, and the plan; like the final measurement
    it is a part of the whole that an interrupt undoes. See ``runtime.interrupt.whole`` for
    ``message`` and ``blas``.
    """
    with whole(message, blas=blas):
        state, plan = begin()
        trace: Trace[Any] = Trace(on_pass, first=until.first)
        at: str | End = plan.begin
        while isinstance(at, str) and len(trace) < until.passes:
            here, began = at, time.perf_counter()
            phase = plan.phases[here]
            made = phase.move(state)
            at = here if made.signal is None else plan.after(here, made.signal)
            if made.record is not None:
                number = trace.add(made.record, began).number
                if isinstance(at, str) and watch is not None and watch(number, state.factors):
                    at = End("watch")
                    break
            if made.signal is None:
                at = plan.after(here, phase.judge(state))
        residual, objective = state.finish()
        converged = residual <= until.tolerance
        ended = at.reason if isinstance(at, End) else None
        return Solution(state, tuple(trace.records), residual, objective, converged, ended)
