"""Linear models: training one, forgetting in one, and checking one.

>>> from alteraser import Interactions, forget, verify
>>> from alteraser.models.relational.lightgcn import LinearLightGCN
>>> data = Interactions.from_pairs([(u, v) for u in range(9) for v in range(u % 3, 9, 3)])
>>> model = train_linear(LinearLightGCN(factors=2, regularization=0.1, missing_weight=0.1), data)
>>> erasure = forget(model, [(0, 0)], data=data)
>>> erasure.kind, verify(erasure.model, erasure.remaining, before=model).certificate.kind
('C', 'C')
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions
from alteraser.erasers.driver import OnPass
from alteraser.erasers.relational import Went, converge, gradient_of
from alteraser.errors import InvalidInput
from alteraser.evidence.certificate import Limits
from alteraser.evidence.certificate.certificate import Watch
from alteraser.evidence.certificate.relational import LinearCertificate, certify
from alteraser.models import Factors
from alteraser.models.closed_form.rule import of_pairs
from alteraser.models.protocol import TrainedOn
from alteraser.models.relational.kind import LinearKind
from alteraser.models.relational.model import LinearModel
from alteraser.models.relational.problem import LinearProblem, Point
from alteraser.runtime import events
from alteraser.runtime.workers import default_threads
from alteraser.solvers.relational import Goal, Reached, minimize
from alteraser.verbs.erasure import Erasure, Way, Work
from alteraser.verbs.lists import seen_after
from alteraser.verbs.roads import Method, OnChoice, plan, unlearn

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions

METHODS = ("auto", "converge", "retrain")
"""Names of the ways that there are: to the optimum for what remains, from the original or anew"""


@events.verb("train", "kind")
def train_linear(
    settings: LinearKind,
    data: Interactions,
    *,
    reading: ReadingOptions | None = None,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> LinearModel:
    """The model of ``data``: from a random start until it is measured to be at its optimum.

    Raises InvalidInput if there are no interactions, or if these are in sessions or baskets.
    """
    if len(data) == 0:
        raise InvalidInput("there are no interactions to train on")
    if data.events is not None:
        raise InvalidInput(of_pairs(settings.name, data.events.grouping.name))
    settings = settings.settled(data)
    problem, workers = settings.problem(data), threads or default_threads()
    found = minimize(
        problem,
        settings.start(data),
        Goal(max_passes=settings.max_passes),
        threads=workers,
        on_pass=events.passes(on_pass),
    )
    # a model names nobody of whom it holds nothing
    users = data.users.without(np.flatnonzero(data.user_counts == 0))
    return LinearModel(
        settings=settings,
        tables=found.point.tables,
        predictions=found.point.predictions,
        factors=_scoring(settings, problem, found.point),
        users=users,
        items=data.items,
        trained_on=TrainedOn.of(data),
        reading=reading,
        training={"method": "train", "seed": settings.seed, **_recorded(found)},
    )


@unlearn.register(LinearModel)
@events.verb("forget", "method", "kind", "residual", "converged", "forgotten")
def unlearn_linear(
    model: LinearModel,
    found: Deletion,
    *,
    method: Method = "auto",
    threads: int = 0,
    on_pass: OnPass | None = None,
    on_choice: OnChoice | None = None,
) -> Erasure[LinearModel]:
    """``unlearn`` for a linear kind: to the optimum for what remains.

    Raises InvalidInput for a method that it does not have.
    """
    began, asked = time.perf_counter(), check_method(model.kind, method)
    way, workers = "retrain" if asked == "retrain" else "converge", threads or default_threads()
    settings, remaining = model.settings, found.remaining
    problem = settings.problem(remaining)
    original = point_of(model, problem, found.data)
    known = None
    if found.data.digest == model.trained_on.digest:
        known = gradient_of(settings.problem(found.data), original, threads=workers)
    start = settings.start(remaining) if way == "retrain" else settings.emptied(original, remaining)
    went = converge(
        problem,
        original,
        start,
        known=known,
        max_passes=settings.max_passes,
        threads=workers,
        on_pass=events.passes(on_pass),
    )
    reached = went.reached
    training = {
        "method": way,
        "seed": settings.seed,
        **_recorded(reached),
        "residual": went.residual,
        "interactions_forgotten": found.forgotten,
        "class": went.evidence.kind,
    }
    unlearned = replace(
        model,
        tables=reached.point.tables,
        predictions=reached.point.predictions,
        factors=_scoring(settings, problem, reached.point),
        users=remaining.users,
        items=remaining.items,
        trained_on=TrainedOn.of(remaining),
        training=training,
        parent=model.digest,
        ancestors=model.lineage,
        digest=None,
        erased=found.recorded(model.erased),
    )
    why = None if asked == way else "the optimum for what remains, from where the model is"
    return Erasure(
        model=unlearned,
        deletion=found,
        way=Way(way, asked, why, tolerance=1e-3),
        evidence=went.evidence,
        work=_work(went),
        aftermath=seen_after(model, unlearned, found),
        details={"measured": {"distance": reached.distance, "influence": went.influence}},
        seconds=time.perf_counter() - began,
    )


@plan.register(LinearModel)
def plan_linear(
    model: LinearModel, found: Deletion, method: Method = "auto", *, threads: int = 0
) -> None:
    """There is nothing to choose."""
    check_method(model.kind, method)


def check_method(kind: str, method: Any) -> str:
    """``method`` by its name; InvalidInput for one that is for other models."""
    name = method if isinstance(method, str) else getattr(method, "name", "auto")
    if name not in METHODS:
        raise InvalidInput(
            f"method {name!r} is for models with factors of their own: {kind} goes to the optimum "
            f"for what remains; its methods are {', '.join(METHODS)}"
        )
    return name


def verify_linear(
    model: LinearModel,
    data: Interactions,
    before: LinearModel | None,
    *,
    limits: Limits | None = None,
    threads: int = 0,
    watch: Watch | None = None,
) -> LinearCertificate:
    """The certificate of ``model`` on the remaining ``data``, which are in its rows."""
    problem = model.settings.problem(data)
    point = point_of(model, problem, data)
    original = None if before is None else point_of(before, problem, data)
    return certify(
        problem,
        point,
        (model.factors.users, model.factors.items),
        model.settings.composed(problem, point),
        before=original,
        limits=limits,
        threads=threads or default_threads(),
        watch=watch,
    )


def point_of(model: LinearModel, problem: LinearProblem, data: Interactions) -> Point:
    """Where ``model`` is, in the rows of ``data`` and ``problem``; InvalidInput for tables that are
    not those of the problem.
    """
    tables = model.settings.fitted(dict(model.tables), model.shape, data)
    rank, width = problem.rank, problem.width
    found = problem.point(np.zeros(problem.size))
    for name, E in found.tables.items():
        if name not in tables or tables[name].shape != E.shape:
            raise InvalidInput(
                f"the model's table {name} does not have {E.shape[0]:,} rows of {width} numbers"
            )
        E[:] = tables[name]
    for name, h in found.predictions.items():
        if name not in model.predictions or model.predictions[name].shape != (rank,):
            raise InvalidInput(f"the model has no prediction vector {name} of {rank} numbers")
        h[:] = model.predictions[name]
    return found


def _scoring(settings: LinearKind, problem: LinearProblem, point: Point) -> Factors:
    users, items = settings.composed(problem, point)
    return Factors(users, items, np.ones(users.shape[1]))


def _recorded(found: Reached) -> dict[str, Any]:
    """What a manifest says of a run."""
    return {
        "passes": found.passes,
        "products": found.products,
        "objective": found.value,
        "residual": found.residual,
        "distance": float(found.distance) if np.isfinite(found.distance) else None,
        "converged": found.converged,
    }


def _work(went: Went) -> Work:
    found = went.reached
    return Work(
        "joint",
        found.passes,
        found.products,
        found.passes * sum(E.shape[0] for E in found.point.tables.values()),
        went.residual,
        found.converged,
        found.reason,
        ("joint",),
        went.objective_before,
        found.value,
        went.push,
        went.floor,
        found.trace,
    )
