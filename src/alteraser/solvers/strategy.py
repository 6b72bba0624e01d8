"""How a run gets to its optimum: by which rows, and whether both sides move at once."""

from __future__ import annotations

from dataclasses import dataclass

from alteraser.errors import InvalidInput
from alteraser.solvers.joint_newton import JointNewton
from alteraser.solvers.rows.protocol import RowSolver
from alteraser.solvers.table import SOLVERS


@dataclass(frozen=True)
class Strategy:
    """Passes of ``rows`` and, with ``joint``, steps on both sides at once as soon as these are the
    faster way.
    """

    rows: RowSolver
    joint: JointNewton | None = None
    """None: joint steps are only the way on from where passes are stuck."""

    @property
    def name(self) -> str:
        """On the command line."""
        return self.rows.name if self.joint is None else self.joint.name


Solver = str | RowSolver | JointNewton | Strategy
"""What settings call a solver: a name, or what the name stands for"""


def strategy(solver: Solver) -> Strategy:
    """The strategy that ``solver`` means. Raises InvalidInput for an unknown name."""
    if isinstance(solver, Strategy):
        return solver
    if isinstance(solver, str):
        if solver not in SOLVERS:
            raise InvalidInput(f"unknown solver {solver!r}; there are {', '.join(SOLVERS)}")
        return strategy(SOLVERS[solver]())
    return Strategy(solver.rows, solver) if isinstance(solver, JointNewton) else Strategy(solver)
