"""Newton steps for the certificate: found by whatever is fast, checked by ``Plain.product``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.certificate.plain import Pair
from alteraser.models import Factors, Problem
from alteraser.solvers.hessian import Curvature, newton_direction
from alteraser.solvers.joint import Joint, JointNewton
from alteraser.solvers.rows import padded

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Step:
    """(∇²L)⁻¹ times minus a right-hand side, or a direction in which L bends down."""

    step: Pair | None
    negative: Pair | None
    products: int


@dataclass(frozen=True)
class Solver:
    """Conjugate gradients on the items' Schur complement, at ``factors``; nothing here has to be trusted."""

    problem: Problem
    factors: Factors
    threads: int
    products: int = 400
    """Iterations that one solve may take."""

    def solve(self, gradient: Pair, *, forcing: float) -> Step:
        """−(∇²L)⁻¹ ``gradient`` until the residual has fallen by ``forcing`` in the norm of the blocks' inverses."""
        if not Joint.fits(self.problem, self._width):  # no room for factored blocks: factor again in every product
            half = 0.5 * gradient[0], 0.5 * gradient[1]
            whole = newton_direction(self._whole, half, products=self.products, forcing=forcing)
            line = whole.users, whole.items
            return Step(None, line, whole.products) if whole.negative else Step(line, None, whole.products)
        found = self._joint.solve(gradient, forcing=forcing, products=self.products)
        step = found.newton
        if step is not None:
            for place, x in enumerate(step):
                self._fill_empty_rows(place, gradient[place], x)
        return Step(step, found.negative, found.products)

    def _fill_empty_rows(self, place: int, gradient: Array, x: Array) -> None:
        """Rows without interactions, which erasers keep at zero: A = a G + λρ is all there is to them."""
        side = (self.problem.users, self.problem.items)[place]
        other = (self.factors.items, self.factors.users)[place] * self.factors.prediction
        empty = np.flatnonzero((side.counts == 0) & np.any(gradient != 0, axis=1))
        if not empty.size:
            return
        values, vectors = np.linalg.eigh(side.gram(other))
        curvature = side.own[empty, None] * np.maximum(values, 0.0) + side.ridge[empty, None]
        turned = -0.5 * gradient[empty] @ vectors
        x[empty] = np.divide(turned, curvature, out=np.zeros_like(turned), where=curvature > 0) @ vectors.T

    @cached_property
    def _width(self) -> int:
        return int(padded(np.zeros((1, self.factors.rank), self.problem.dtype)).shape[1])

    @cached_property
    def _whole(self) -> Curvature:
        return Curvature(self.problem, self.factors, self.threads)

    @cached_property
    def _joint(self) -> Joint:
        dtype = self.problem.dtype
        P, Q = (padded(np.asarray(x, dtype=dtype)) for x in (self.factors.users, self.factors.items))
        joint = Joint(self.problem, P, Q, self.factors.prediction.astype(dtype), self.threads)
        joint.settle(move=False)
        joint.find_slow(JointNewton())
        return joint
