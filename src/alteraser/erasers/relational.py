"""Going to the optimum of a linear problem on what remains, and what may be said of having gone.

The push of a deletion is the change of the whole gradient: of the cells that go, and of everything
that is counted on the data, graph and weights included. It is taken at the original, in the norm of
the preconditioner there, and what is left of it at the end is the residual.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alteraser.erasers.driver import OnPass
from alteraser.erasers.optimum import norm_at, reach
from alteraser.evidence.certificate.words import sentence
from alteraser.evidence.claims import Evidence, Measured, ResidualOnly
from alteraser.models.relational import LinearProblem, Point
from alteraser.runtime.allocator import kept
from alteraser.solvers.limits import DEFAULT, Limits, influence, untold
from alteraser.solvers.relational import Goal, Preconditioner, Reached, evaluate
from alteraser.solvers.relational.symmetry import rotated_onto

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Went:
    """Where an erasure of a linear model ended."""

    reached: Reached
    push: float
    """‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖_{M⁻¹}"""
    floor: float | None
    """‖∇L_{D_a}(Θ_a)‖_{M⁻¹} over it: what training left; None where D_a is not known"""
    objective_before: float
    """L_{D_r}(Θ_a)"""
    residual: float
    """‖∇L_{D_r}(Θ_u)‖_{M⁻¹} over the push"""
    influence: float
    """ι, what may be left of the way from the original"""
    evidence: Evidence


def gradient_of(problem: LinearProblem, point: Point, *, threads: int) -> Float64:
    """∇L at a point, a vector: what a deletion's push is the change of."""
    return evaluate(problem, point, threads=threads).gradient.vector


@kept()
def converge(
    after: LinearProblem,
    original: Point,
    start: Point,
    *,
    known: Float64 | None = None,
    limits: Limits = DEFAULT,
    max_passes: int = 5000,
    continuation: float = 1.0,
    threads: int = 1,
    on_pass: OnPass | None = None,
) -> Went:
    """From ``start`` to the optimum of ``after``; ``original`` is what was trained on D_a, in the
    rows of ``after``.

    ``known`` is ∇L_{D_a} at the original in these rows; None where D_a is not known: then the whole
    gradient counts as push. ``start`` is the original, or a random point to train anew;
    ``continuation``: how many times itself the penalty comes down from.
    """
    measure = norm_at(after, original, threads=threads)
    here = evaluate(after, original, threads=threads)
    change = here.gradient.vector - (0.0 if known is None else known)
    push = measure.norm(change)
    floor = None if known is None or push == 0.0 else measure.norm(known) / push
    goal = Goal(
        limits,
        scale=push or None,
        origin=original,
        max_passes=max_passes,
        continuation=continuation,
    )
    M = measure if isinstance(measure, Preconditioner) else None
    found = reach(after, start, goal, threads=threads, on_pass=on_pass, M=M)
    turned = rotated_onto(after, found.point, original)
    moved = float(np.linalg.norm(turned - original.vector))
    size = float(np.linalg.norm(found.point.vector))
    left = influence(found.distance * size, moved, size)
    return Went(found, push, floor, here.value, found.residual, left, _said(found, left, limits))


def _said(found: Reached, left: float, limits: Limits) -> Evidence:
    """C within the limits of a certificate, else D."""
    told = not untold(found.distance, 1.0)
    conditions = (
        ("distance", found.distance, limits.distance),
        *((("influence", left, limits.influence),) if told else ()),
        ("residual", found.residual, limits.residual),
    )
    failed = [
        f"{name} {value:.1e} is above {limit:.1e}"
        for name, value, limit in conditions
        if not value <= limit
    ]
    if not found.valley:
        failed.insert(0, "L bends down, or nothing was measured")
    if failed:
        return ResidualOnly(sentence("D", None, None), lacks="; ".join(failed))
    size = float(np.linalg.norm(found.point.vector))
    return Measured(sentence("C", found.distance * size, found.distance))
