"""From a strong penalty down to the one asked for.

A loss of products has one least only where the penalty leaves columns empty (Haeffele & Vidal, CVPR
2015). Below that it may have several: a group of rows that many columns could serve keeps to the
one that it found first, whatever more there is for it elsewhere, and two starts end in two places.
Coming down from where the penalty has emptied columns, or nearly, groups choose while each of them
is still small, by what the data say and not by the start (continuation: Hale, Yin & Zhang, SIAM J.
Optim. 2008; warm starts along a path: Friedman et al., J. Stat. Softw. 2010).
"""

from __future__ import annotations

import math
from dataclasses import replace

from alteraser.models.relational import LinearProblem
from alteraser.solvers.loop import AGAIN, Decided, Move
from alteraser.solvers.relational.descent import LinearDescent, LinearRun

STEP = math.sqrt(2.0)
"""What a penalty is divided by from one stage to the next"""
FOLLOWED, ITERATIONS = 1e-3, 100
"""Share of ‖Θ‖_B to which the gradient comes in a stage, to follow the path; iterations at most"""


def stages(continuation: float) -> tuple[float, ...]:
    """Shares of λ above 1, from the first one down.

    >>> [round(x, 2) for x in stages(4.0)], stages(1.0)
    ([4.0, 2.83, 2.0, 1.41], ())
    """
    count = round(math.log(continuation, STEP) + 0.49)
    return tuple(continuation / STEP**at for at in range(count))


def strengthened(problem: LinearProblem, share: float) -> LinearProblem:
    """``problem`` with a penalty of ``share`` times its own."""
    return replace(problem, ridge={name: share * x for name, x in problem.ridge.items()})


class Continuation(Decided):
    """Iterations of L-BFGS, stage after stage; ``come`` where the penalty is the one asked for."""

    def __init__(self, state: LinearRun) -> None:
        self._asked, self._left = state.asked_for, list(stages(state.goal.continuation))
        self._descent, self._count = LinearDescent(state), 0

    def move(self, state: LinearRun) -> Move:
        """One iteration."""
        if state.problem is self._asked:
            self._next(state)
        made = self._descent.move(state)
        self._count += 1
        far = state.norm > FOLLOWED * state.theta
        if made.signal == AGAIN and far and self._count < ITERATIONS:
            return made
        return Move(made.record, self._next(state))

    def _next(self, state: LinearRun) -> str:
        """On to the next stage."""
        share = self._left.pop(0) if self._left else 1.0
        state.pose(self._asked if share == 1.0 else strengthened(self._asked, share))
        self._descent, self._count = LinearDescent(state), 0
        return AGAIN if state.problem is not self._asked else "come"
