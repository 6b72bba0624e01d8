"""The solvers of the paper's list that SciPy has, one row after the other (Liu et al. 2022, §5.1;
Nocedal & Wright).

Values, gradients and Hessian–vector products come from autograd, in float64 whatever the rows'
dtype: line searches need the digits. Slow by construction, and that is the point of the comparison:
nothing here sees many rows at once. They are oracles for what is fast.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput
from alteraser.solvers.rows.differentiated import Minimized

if TYPE_CHECKING:
    from torch import Tensor

    from alteraser.solvers.differentiable.rowbatch import RowBatch

Vector = npt.NDArray[np.float64]
Name = Literal["bfgs", "l-bfgs", "nonlinear-cg", "newton-cg", "trust-ncg", "trust-krylov"]

SCIPY = {
    "bfgs": "BFGS",
    "l-bfgs": "L-BFGS-B",
    "nonlinear-cg": "CG",
    "newton-cg": "Newton-CG",
    "trust-ncg": "trust-ncg",
    "trust-krylov": "trust-krylov",  # GLTR; Gould, Lucidi, Roma & Toint, SIAM J. Optim. 1999
}

WITH_PRODUCTS = ("newton-cg", "trust-ncg", "trust-krylov")


@dataclass(frozen=True)
class SciPyRows:
    """Rows by ``scipy.optimize.minimize``: ``iterations`` at most, until the gradient is ``small``
    of what it was.
    """

    method: Name
    iterations: int = 100
    small: float = 1e-4

    def __post_init__(self) -> None:
        if self.method not in SCIPY:
            raise InvalidInput(f"unknown method {self.method!r}; there are {', '.join(SCIPY)}")
        if self.iterations < 1 or self.small < 0:
            raise InvalidInput("SciPyRows: iterations must be at least 1 and small at least 0")

    def minimize(self, batch: RowBatch, x: Tensor) -> Minimized:
        """See ``Minimizer.minimize``."""
        import torch

        found = x.clone()
        products = 0
        for row in range(x.shape[0]):
            arrived, spent = self._one(batch.row(row, x), x[row].double().numpy())
            found[row] = torch.from_numpy(arrived)
            products += spent
        after = batch.values(found)  # judged after rounding, as the caller will
        kept = torch.isfinite(found).all(1) & torch.isfinite(after) & (after <= batch.values(x))
        return Minimized(torch.where(kept[:, None], found, x), products)

    def _one(self, batch: RowBatch, x0: Vector) -> tuple[Vector, int]:
        """Where SciPy arrives from ``x0`` (d,), and the products it took."""
        import torch
        from scipy.optimize import minimize

        spent = 0

        def tensor(values: Vector) -> Tensor:
            return torch.tensor(values, dtype=torch.float64)[None]

        def value(values: Vector) -> tuple[float, Vector]:
            losses, gradient = batch.gradient(tensor(values))
            return float(losses[0]), gradient[0].numpy()

        last: tuple[bytes, Any] | None = None

        def product(values: Vector, direction: Vector) -> Vector:
            nonlocal last, spent
            spent += 1
            here = values.tobytes()
            if last is None or last[0] != here:  # one graph serves all products at a point
                last = here, batch.hessian(tensor(values))[2]
            answer: Vector = last[1](tensor(direction))[0].numpy()
            return answer

        slope = value(x0)[1]
        size = float(np.linalg.norm(slope))
        if size == 0 or not np.isfinite(size):
            return x0, 0
        goal = self.small * size
        options: dict[str, Any] = {"maxiter": self.iterations}
        if self.method in ("bfgs", "nonlinear-cg", "trust-ncg", "trust-krylov"):
            options["gtol"] = goal
        elif self.method == "l-bfgs":
            options |= {"gtol": goal / np.sqrt(x0.size), "ftol": 0.0}
        else:
            options["xtol"] = self.small * 1e-2
        if self.method in ("trust-ncg", "trust-krylov"):
            # the default radius of 1 is far from a row's scale; the curvature along the gradient
            # gives a better one
            bent = float(slope @ product(x0, slope))
            radius = size**3 / bent if bent > 0 else 1.0
            options |= {"initial_trust_radius": 10 * radius, "max_trust_radius": 1e4 * radius}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lost precision is normal at the end of a row
            found = minimize(
                value,
                x0,
                jac=True,
                method=SCIPY[self.method],
                options=options,
                **({"hessp": product} if self.method in WITH_PRODUCTS else {}),
            )
        return np.asarray(found.x, np.float64), spent
