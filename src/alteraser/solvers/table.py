"""Solvers by the name that the command line knows them by."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from alteraser.runtime.extras import require
from alteraser.solvers.joint_newton import JointNewton
from alteraser.solvers.rows.ah_newton import AHNewton
from alteraser.solvers.rows.cg import ConjugateGradient
from alteraser.solvers.rows.differentiated import Differentiated
from alteraser.solvers.rows.protocol import RowSolver


def _newton(name: str) -> RowSolver:
    require("torch", "torch", f"solver {name}")
    from alteraser.solvers.rows.hf_newton import HFNewton

    return Differentiated(name, HFNewton("gauss-newton" if name == "gauss-newton" else "hessian"))


def _scipy(name: str) -> RowSolver:
    require("torch", "torch", f"solver {name}")
    from alteraser.solvers.rows.scipy_rows import SciPyRows

    return Differentiated(name, SciPyRows(name))  # type: ignore[arg-type]


def _first_order(name: str) -> RowSolver:
    require("torch", "torch", f"solver {name}")
    if name == "adahessian":
        require("pytorch_optimizer", "torch", f"solver {name}")
    from alteraser.solvers.rows.first_order import FirstOrderRows

    return Differentiated(name, FirstOrderRows(name))  # type: ignore[arg-type]


def _torch(name: str) -> RowSolver:
    require("torch", "torch", f"solver {name}")
    from alteraser.solvers.rows.torch_rows import TorchRows

    return TorchRows()


SOLVERS: dict[str, Callable[[], RowSolver | JointNewton]] = {
    "joint": JointNewton,
    "ah-newton": AHNewton,
    "cg": ConjugateGradient,
    "torch": partial(_torch, "torch"),
    **{name: partial(_newton, name) for name in ("hf-newton", "gauss-newton")},
    **{
        name: partial(_scipy, name)
        for name in ("newton-cg", "trust-ncg", "trust-krylov", "bfgs", "l-bfgs", "nonlinear-cg")
    },
    **{name: partial(_first_order, name) for name in ("adahessian", "adamw", "adam", "sgd")},
}
"""Solvers by the name used on the command line."""
