"""What updates rows: one file per solver, kernels (``_kernels``) beside their NumPy twins (``twins``)."""

from __future__ import annotations

from collections.abc import Callable

from alteraser.errors import InvalidInput
from alteraser.solvers.ah_newton import AHNewton
from alteraser.solvers.cg import ConjugateGradient
from alteraser.solvers.differentiated import Differentiated
from alteraser.solvers.rows import RowReport, RowSolver


def _hf_newton() -> RowSolver:
    from alteraser.solvers.hf_newton import HFNewton

    return Differentiated("hf-newton", HFNewton())


def _gauss_newton() -> RowSolver:
    from alteraser.solvers.hf_newton import HFNewton

    return Differentiated("gauss-newton", HFNewton("gauss-newton"))


SOLVERS: dict[str, Callable[[], RowSolver]] = {
    "ah-newton": AHNewton,
    "cg": ConjugateGradient,
    "hf-newton": _hf_newton,
    "gauss-newton": _gauss_newton,
}
"""Row solvers by the name used on the command line."""


def row_solver(solver: str | RowSolver) -> RowSolver:
    """The solver called ``solver``, or ``solver`` itself. Raises InvalidInput for an unknown name."""
    if not isinstance(solver, str):
        return solver
    try:
        return SOLVERS[solver]()
    except KeyError:
        raise InvalidInput(f"unknown solver {solver!r}; there are {', '.join(SOLVERS)}") from None


__all__ = ["SOLVERS", "AHNewton", "ConjugateGradient", "RowReport", "RowSolver", "row_solver"]
