"""From a strong penalty down to the one asked for.

A loss of products has one least only where the penalty leaves columns empty (Haeffele & Vidal, CVPR
2015). Below that it may have several: a group of rows that many columns could serve keeps to the
one that it found first, whatever more there is for it elsewhere, and two starts end in two places.
Coming down from where the last column has just come to be, groups choose while columns are still
few or small, by what the data say and not by the start (continuation: Hale, Yin & Zhang, SIAM J.
Optim. 2008; warm starts along a path: Friedman et al., J. Stat. Softw. 2010). From further up it is
the start that says again: what has shrunk to nothing grows from what is left of it.

Where h is trained it is held at 1 meanwhile: there columns are interchangeable, and come to be one
by one. With h free a column lowers L from afar before it does so from nothing, and the start says
which.

That is no proof of one place, and none that it is the lowest.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from alteraser.models.relational import LinearProblem
from alteraser.solvers.loop import AGAIN, Decided, Move
from alteraser.solvers.relational.collapse import critical_shares
from alteraser.solvers.relational.descent import LinearDescent, LinearRun

COME = "come"
BELOW = 0.8
"""Share of the penalty below which the last column comes to be, to start from"""
SETTLED = 0.9
"""Share of itself from which on that penalty is taken for settled, where it depends on itself"""
STIFF = 100.0
"""Penalty of h while it is held, over L at zeros"""
STEP = math.sqrt(2.0)
"""What a penalty is divided by from one stage to the next"""
FOLLOWED, ITERATIONS = 3e-4, 100
"""Share of ‖Θ‖_B to which the gradient comes in a stage, to follow the path; iterations at most"""


def strongest(problem: LinearProblem, most: float, *, threads: int) -> float:
    """How many times itself the penalty of ``problem`` comes down from, ``most`` at most; 1 where
    there are fewer columns to come to be than it has, or some row is without a penalty.
    """
    if most <= 1.0:
        return 1.0
    beside, share = any(relation.biases for relation in problem.relations), most / BELOW
    while True:
        shares = critical_shares(strengthened(problem, share), problem.rank, threads=threads)
        before, share = share, share * float(shares[-1]) if len(shares) else 0.0
        # biases say more under a weaker penalty, and leave less for columns
        if not beside or share >= SETTLED * before or BELOW * share <= 1.0:
            return float(np.clip(BELOW * share, 1.0, most))


def stages(continuation: float) -> tuple[float, ...]:
    """Shares of λ, from the first one down to above 1.

    >>> [round(x, 2) for x in stages(4.0)], stages(1.1), stages(1.0)
    ([4.0, 2.83, 2.0, 1.41], (1.1,), ())
    """
    count = max(round(math.log(continuation, STEP)), int(continuation > 1.0))
    return tuple(continuation / STEP**at for at in range(count))


def strengthened(problem: LinearProblem, share: float) -> LinearProblem:
    """``problem`` with a penalty of ``share`` times its own."""
    return replace(problem, ridge={name: share * x for name, x in problem.ridge.items()})


def held(problem: LinearProblem) -> LinearProblem:
    """``problem`` with every trained h within 1 / ``STIFF`` of 1: what pulls at h is the penalty of
    its columns, at a minimum no more than L is at zeros.
    """
    cells = (
        (x.weight, x.cells.confidence, x.cells.target, len(x.cells)) for x in problem.relations
    )
    nothing = sum(
        weight * float(((c if c.size else 1.0) * (y if y.size else np.ones(count)) ** 2).sum())
        for weight, c, y, count in cells
    )
    relations = (
        x if x.prediction is None else replace(x, prediction=max(x.prediction, STIFF * nothing))
        for x in problem.relations
    )
    return replace(problem, relations=tuple(relations))


class Continuation(Decided):
    """Iterations of L-BFGS, stage after stage; ``come`` where the penalty is the one asked for, at
    once where there are no stages.
    """

    def __init__(self, state: LinearRun) -> None:
        state.strongest = strongest(state.problem, state.goal.continuation, threads=state.threads)
        self._asked, self._left = state.asked_for, list(stages(state.strongest))
        if state.point.predictions:
            self._left.append(1.0)
        self._descent, self._count = LinearDescent(state), 0

    def move(self, state: LinearRun) -> Move:
        """One iteration."""
        if state.problem is self._asked and self._next(state) == COME:
            return Move(signal=COME)
        made = self._descent.move(state)
        self._count += 1
        far = state.norm > FOLLOWED * state.theta
        if made.signal == AGAIN and far and self._count < ITERATIONS:
            return made
        return Move(made.record, self._next(state))

    def _next(self, state: LinearRun) -> str:
        """On to the next stage."""
        following = self._asked
        if self._left:
            following = held(strengthened(self._asked, self._left.pop(0)))
        if following is not state.problem:
            state.pose(following)
        self._descent, self._count = LinearDescent(state), 0
        return COME if following is self._asked else AGAIN
