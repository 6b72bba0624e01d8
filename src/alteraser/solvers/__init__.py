"""What updates rows: one file per solver, compiled loops in ``kernels``; by their names in
``table``.
"""

from __future__ import annotations

from alteraser.solvers.joint_newton import JointNewton
from alteraser.solvers.rows.ah_newton import AHNewton
from alteraser.solvers.rows.cg import ConjugateGradient
from alteraser.solvers.rows.protocol import RowReport, RowSolver
from alteraser.solvers.strategy import Solver, Strategy, strategy
from alteraser.solvers.table import SOLVERS

__all__ = [
    "SOLVERS",
    "AHNewton",
    "ConjugateGradient",
    "JointNewton",
    "RowReport",
    "RowSolver",
    "Solver",
    "Strategy",
    "strategy",
]
