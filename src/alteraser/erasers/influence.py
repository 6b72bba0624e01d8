"""Influence-function removal: one step on the whole model (Liu et al., RecSys 2022, §4.2; Koh &
Liang, ICML 2017).

    Θ_u = Θ_a − H⁻¹ g,      g = ∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)

g is the push of the deletion (Eq. 6, and exact where a deleted cell stays in the sum as a missing
one). H is the Hessian of L over P and Q together, on D_a (it could have been stored before the
request came) or on D_r. It is never formed; its inverse is applied by conjugate gradients, by a
Neumann series, or replaced by a Kronecker-factored one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from alteraser.erasers.driver import Outcome
from alteraser.erasers.shift import Shift, measured
from alteraser.errors import InvalidInput, NumericFailure
from alteraser.linalg.pairs import inner
from alteraser.models import Factors, Problem, Side
from alteraser.runtime.interrupt import whole
from alteraser.solvers.hessian import Curvature
from alteraser.solvers.phases.state import refuse_damaged
from alteraser.solvers.stationarity import evaluate
from alteraser.solvers.trace import OnPass, PassRecord, Trace

Float64 = npt.NDArray[np.float64]
Pair = tuple[Float64, Float64]
Apply = Callable[[Pair], Pair]
When = Literal["after", "before"]
Inverse = Literal["cg", "neumann", "kfac"]
PushKind = Literal["difference", "gradient"]

POWER_ITERATIONS = 30
"""Products that estimate the largest eigenvalue of H, for the series without a preconditioner."""


@dataclass(frozen=True)
class Influence:
    """One step Θ_a − H⁻¹ g on P and Q together; nothing is iterated over data but the products with
    H.
    """

    hessian: When = "after"
    """H of L on D_r, or on D_a: the one that can be prepared before anybody asks."""
    inverse: Inverse = "cg"
    """``cg``: conjugate gradients. ``neumann``: Σ_k (I − H/σ)^k g/σ, truncated (Agarwal et al.,
    JMLR 2017). ``kfac``: Kronecker-factored blocks (Martens & Grosse, ICML 2015), stored in O(m +
    n + d²)."""
    steps: int = 60
    """Products with H that CG, or terms that the series, may take; what scales the damping or σ
    comes on top."""
    damping: float = 1e-3
    """Added to H, relative to the curvature along g; H has none along rotations and may bend down
    elsewhere, where CG and the series stop with what they found until then. For ``kfac`` it is
    relative to the shared factor."""
    preconditioned: bool = True
    """CG and the series with the block diagonal of H, the rows' own systems (damped as H is)."""
    push: PushKind = "difference"
    """``difference``: g as above. ``gradient``: ∇L_{D_r}(Θ_a), which also finishes what training
    left."""
    tolerance: float = 1e-3
    """What residual counts as converged."""
    solver: str = "influence"
    name: str = "influence"

    def __post_init__(self) -> None:
        for field, known in (("hessian", When), ("inverse", Inverse), ("push", PushKind)):
            if (value := getattr(self, field)) not in get_args(known):
                raise InvalidInput(
                    f"Influence: unknown {field} {value!r}; there are {', '.join(get_args(known))}"
                )
        if self.steps < 1 or self.steps != int(self.steps) or not 0 <= self.damping < np.inf:
            raise InvalidInput(
                "Influence: steps must be a whole number of at least 1, damping a number of at "
                "least 0"
            )
        if not 0 <= self.tolerance < np.inf:
            raise InvalidInput(f"tolerance={self.tolerance}: expected a number of at least 0")

    def erase(self, shift: Shift, on_pass: OnPass | None = None) -> Outcome:
        """See ``Eraser.erase``: one step, one record, factors in the original's precision.

        Raises InvalidInput where D_a is needed and not known, or h is trained; NumericFailure where
        the model or the step is not finite; Interrupted on Ctrl-C.
        """
        # overflow shows in the answer, which is checked
        with whole(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return self._erase(shift, on_pass)

    def _erase(self, shift: Shift, on_pass: OnPass | None) -> Outcome:
        began = time.perf_counter()
        if np.any(shift.original.prediction != 1):
            raise InvalidInput("influence needs h = 1; this model has a trained prediction vector")
        if shift.before is None and (self.hessian == "before" or self.push == "difference"):
            raise InvalidInput(
                "the data before the deletion are not known exactly (interactions were added "
                "since): "
                'use Influence(hessian="after", push="gradient")'
            )
        start = shift.original.astype(np.float64)
        refuse_damaged(start)
        g = self._gradient(shift, start)
        problem = (
            shift.before if self.hessian == "before" and shift.before is not None else shift.after
        )
        step, products = self._apply_inverse(problem, start, g, shift.workers)
        factors = Factors(start.users - step[0], start.items - step[1], start.prediction)
        if not (np.all(np.isfinite(factors.users)) and np.all(np.isfinite(factors.items))):
            raise NumericFailure(
                "the influence step is not finite: raise the damping or the regularization"
            )
        factors = factors.astype(shift.original.dtype)  # may overflow too: the objective tells
        residual, objective = measured(shift, factors)
        if not (np.isfinite(residual) and np.isfinite(objective)):
            raise NumericFailure(
                "the objective is not finite: raise the damping or the regularization"
            )
        rows = sum(shift.after.interactions.shape)
        record = Trace(on_pass).add(PassRecord.of("all", objective, residual, rows), began)
        if shift.watch is not None:
            shift.watch(1, lambda: factors)
        return Outcome(
            factors,
            (record,),
            objective,
            residual,
            residual <= self.tolerance,
            1,
            rows,
            products,
            0,
        )

    def _gradient(self, shift: Shift, start: Factors) -> Pair:
        """Half of g."""
        after = evaluate(shift.after, start, threads=shift.workers)
        g = after.user_gradient, after.item_gradient
        if self.push == "difference" and shift.before is not None:
            before = evaluate(shift.before, start, threads=shift.workers)
            g = g[0] - before.user_gradient, g[1] - before.item_gradient
        return g[0] / 2, g[1] / 2

    def _apply_inverse(
        self, problem: Problem, start: Factors, g: Pair, threads: int
    ) -> tuple[Pair, int]:
        size = inner(g, g)
        if size == 0:
            return g, 0
        if self.inverse == "kfac":
            users = kronecker_inverse(problem.users, start.items, g[0], self.damping)
            return (users, kronecker_inverse(problem.items, start.users, g[1], self.damping)), 0
        along = abs(inner(g, Curvature(problem, start, threads).hessian(g))) / size
        curvature = Curvature(_Damped(problem, self.damping * along), start, threads)
        precondition: Apply = curvature.precondition if self.preconditioned else (lambda r: r)
        solve = self._series if self.inverse == "neumann" else self._conjugate_gradients
        step, products = solve(curvature.hessian, precondition, g)
        return step, 1 + products

    def _conjugate_gradients(
        self, product: Apply, precondition: Apply, g: Pair
    ) -> tuple[Pair, int]:
        """H⁻¹ g and the products it took; where H bends down along a search direction, what was
        found until then.
        """
        x: Pair = (np.zeros_like(g[0]), np.zeros_like(g[1]))
        r = g
        z = precondition(r)
        p = z
        rz = first = inner(r, z)
        count = 0
        while count < self.steps and rz > 1e-12 * first:
            q = product(p)
            count += 1
            bent = inner(p, q)
            if not bent > 0:
                # not even the first direction can be trusted: the blocks alone
                return (z if count == 1 else x), count
            step = rz / bent
            x = (x[0] + step * p[0], x[1] + step * p[1])
            r = (r[0] - step * q[0], r[1] - step * q[1])
            z = precondition(r)
            rz, before = inner(r, z), rz
            p = (z[0] + rz / before * p[0], z[1] + rz / before * p[1])
        return x, count

    def _series(self, product: Apply, precondition: Apply, g: Pair) -> tuple[Pair, int]:
        """Terms of Σ (I − B⁻¹H/σ)^k B⁻¹g/σ, summed by Horner's rule x ← x + B⁻¹(g − Hx)/σ, and the
        products.

        With the two-block diagonal B no eigenvalue of B⁻¹H is above 2 where H is not negative;
        without, σ is a power iteration's. There ‖g − Hx‖_{B⁻¹} falls with every term. Where it
        rises H bends down, the series has no sum, and the terms until then (the first at least) are
        the answer.
        """
        scale, spent = 2.1, 0
        if not self.preconditioned:
            v = (np.ones_like(g[0]) + g[0], np.ones_like(g[1]) + g[1])
            for _ in range(POWER_ITERATIONS):
                length = np.sqrt(inner(v, v))
                v = product((v[0] / length, v[1] / length))
            scale, spent = 1.3 * float(np.sqrt(inner(v, v))), POWER_ITERATIONS
        r, z = g, precondition(g)
        x = before = (np.zeros_like(g[0]), np.zeros_like(g[1]))
        size = inner(r, z)
        for term in range(self.steps):
            before, x = x, (x[0] + z[0] / scale, x[1] + z[1] / scale)
            hx = product(x)
            spent += 1
            r = (g[0] - hx[0], g[1] - hx[1])
            z = precondition(r)
            size, last = inner(r, z), size
            if not size <= last * (1 + 1e-6):  # rounding at the end of the series is no rise
                return (before if term else x), spent
        return (x[0] + z[0] / scale, x[1] + z[1] / scale), spent


class _Damped(Problem):
    """A problem whose ridges are raised by μ: half its Hessian is H + μ, its blocks are B + μ."""

    def __init__(self, problem: Problem, extra: float) -> None:
        super().__init__(problem.objective, problem.interactions, problem.dtype)
        for name, side in (("users", problem.users), ("items", problem.items)):
            self.__dict__[name] = replace(side, ridge=side.ridge + side.ridge.dtype.type(extra))


def kronecker_inverse(side: Side, other: Float64, right: Float64, damping: float) -> Float64:
    """F⁻¹ · right for one embedding table, F = diag(κ) ⊗ S + ridge, (rows, d).

    The exact block of row i is A_i = Σ_cells w z zᵀ + ridge_i I. K-FAC takes the expectation of a
    product for the product of expectations: with one-hot inputs the input factor is diagonal, κ_i =
    Σ_cells w_ij (observed c, missing w₀ a_i b_j), and S = Σ_ij w_ij z_j z_jᵀ / Σ_ij w_ij is what
    all rows share. ``damping`` is relative to tr(S)/d.
    """
    z = other.astype(np.float64)
    b = side.other.astype(np.float64) if side.other.size else np.ones(len(z))
    own = side.own.astype(np.float64)
    w0 = float(side.missing_weight)
    rows = np.repeat(np.arange(side.rows), side.counts)
    missing = w0 * own[rows] * b[side.indices]
    surplus = (side.confidence.astype(np.float64) if side.confidence.size else 1.0) - missing
    kappa = w0 * own * b.sum() + np.bincount(rows, surplus, minlength=side.rows)
    weight = w0 * own.sum() * b + np.bincount(side.indices, surplus, minlength=len(z))
    shared = (z * weight[:, None]).T @ z / max(float(weight.sum()), 1e-300)
    values, vectors = np.linalg.eigh(shared)
    level = damping * float(np.trace(shared)) / len(values)
    scales = np.maximum(kappa, 0.0)[:, None] * (np.maximum(values, 0.0) + level)[None, :]
    answer: Float64 = (
        (right @ vectors) / (scales + side.ridge.astype(np.float64)[:, None])
    ) @ vectors.T
    return answer
