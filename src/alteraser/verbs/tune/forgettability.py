"""How well defined a solution is: what "the model that retraining would have given" can mean at a
setting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alteraser.data.interactions import Interactions
from alteraser.erasers.driver import Settings, Watch, run_passes
from alteraser.metrics import relative_model_distance
from alteraser.models import Factors, Problem
from alteraser.solvers import JointNewton
from alteraser.solvers.limits import DEFAULT
from alteraser.verbs.evaluate import compare
from alteraser.verbs.tune.grid import GridPoint
from alteraser.verbs.tune.trial import as_model, objective_of


@dataclass(frozen=True)
class Forgettability:
    """How well defined the solution at a point is."""

    agreement: float
    """RBO@10 of sampled users' lists between converged models of two seeds; 1: the seed does not
    matter"""
    distance: float
    """Relative distance of the two models, up to rotation"""
    curvature: float
    """Estimate, from above, of the least eigenvalue of L's Hessian relative to its blocks: how flat
    L is at worst"""
    steps: int
    """Passes and joint steps from a random start to class C"""
    products: int
    """Evaluations of the gradient and iterations of conjugate gradients on the way"""
    converged: bool
    """Both runs got there"""


def forgettability(
    point: GridPoint,
    train: Interactions,
    *,
    users: int,
    seed: int,
    max_passes: int,
    threads: int,
    watch: Watch | None = None,
) -> Forgettability:
    """Train at ``point`` from two seeds until class C holds, and compare the two for up to
    ``users`` users.
    """
    problem = Problem(objective_of(point), train, np.float32)
    settings = Settings(JointNewton(), 1e-5, max_passes, threads=threads, limits=DEFAULT)
    runs = [
        run_passes(
            problem,
            Factors.random(*train.shape, point.factors, seed=s, dtype=np.float32),
            settings,
            watch=watch,
        )
        for s in (seed, seed + 1)
    ]
    first, second = (as_model(run.factors, point, train) for run in runs)
    alive = np.flatnonzero(train.user_counts > 0)
    sample = np.sort(np.random.default_rng(seed).permutation(alive)[:users])
    agree = compare(first, second, data=train, users=train.users.ids_of(sample), depths=(10,))
    smallest = [run.measured.smallest for run in runs if run.measured is not None]
    return Forgettability(
        agreement=agree["rbo@10"],
        distance=relative_model_distance(second.factors, first.factors),
        curvature=min(smallest, default=float("nan")),
        steps=runs[0].passes,
        products=runs[0].products,
        converged=all(run.converged and run.measured is not None for run in runs),
    )
