"""The solvers of the paper's list that SciPy has, one row after the other (Liu et al. 2022, §5.1; Nocedal & Wright).

Values, gradients and Hessian–vector products come from autograd; SciPy works in float64. Slow by construction, and
that is the point of the comparison: nothing here sees many rows at once. They are oracles for what is fast.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput
from alteraser.solvers.differentiated import Minimized

if TYPE_CHECKING:
    from torch import Tensor

    from alteraser.autograd.rowbatch import RowBatch

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
    """Rows by ``scipy.optimize.minimize``: ``iterations`` at most, until the gradient is ``small`` of what it was."""

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
        answer = x.clone()
        products = 0
        for row in range(x.shape[0]):
            one = batch.row(row)
            start = x[row : row + 1]
            found, spent = self._one(one, start)
            products += spent
            if bool(one.values(found)[0] < one.values(start)[0]):
                answer[row] = found[0]
        return Minimized(answer, products)

    def _one(self, batch: RowBatch, start: Tensor) -> tuple[Tensor, int]:
        import torch
        from scipy.optimize import minimize

        dtype, spent = start.dtype, 0

        def tensor(values: npt.NDArray[Any]) -> Tensor:
            return torch.from_numpy(np.asarray(values, np.float64)).to(dtype)[None]

        def value(values: npt.NDArray[Any]) -> tuple[float, npt.NDArray[np.float64]]:
            losses, gradient = batch.gradient(tensor(values))
            return float(losses[0]), gradient[0].double().numpy()

        last: tuple[bytes, Any] | None = None

        def product(values: npt.NDArray[Any], direction: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
            nonlocal last, spent
            spent += 1
            here = np.asarray(values, np.float64).tobytes()
            if last is None or last[0] != here:  # one graph serves all products at a point
                last = here, batch.hessian(tensor(values))[2]
            answer: npt.NDArray[np.float64] = last[1](tensor(direction))[0].double().numpy()
            return answer

        x0 = start[0].double().numpy()
        size = float(np.linalg.norm(value(x0)[1]))
        if size == 0:
            return start, 0
        goal = self.small * size
        options: dict[str, Any] = {"maxiter": self.iterations}
        if self.method in ("bfgs", "nonlinear-cg", "trust-ncg", "trust-krylov"):
            options["gtol"] = goal
        elif self.method == "l-bfgs":
            options |= {"gtol": goal / np.sqrt(x0.size), "ftol": 0.0}
        else:
            options["xtol"] = self.small * 1e-2
        if self.method in ("trust-ncg", "trust-krylov"):
            # the default radius of 1 is far from a row's scale; the curvature along the gradient gives a better one
            slope = value(x0)[1]
            bent = float(slope @ product(x0, slope))
            radius = size**3 / bent if bent > 0 else 1.0
            options |= {"initial_trust_radius": 10 * radius, "max_trust_radius": 1e4 * radius}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lost precision is normal at the end of a float32 row
            found = minimize(
                value, x0, jac=True, method=SCIPY[self.method], options=options,
                **({"hessp": product} if self.method in WITH_PRODUCTS else {}),
            )  # fmt: skip
        return tensor(found.x), spent
