"""Forgetting in a linear model of any kind: the problem of what remains is made anew, and its
optimum gone to from where the model is.

Nothing of the old problem is updated: graphs, counts, standardization, vocabularies and averages
are those of what remains because they are computed from it. The old model gives the start.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from alteraser.data.deletion import Deletion
from alteraser.erasers.relational import Went, converge, gradient_of
from alteraser.errors import InvalidInput
from alteraser.models.relational.model import LinearModel
from alteraser.runtime import events
from alteraser.runtime.workers import default_threads
from alteraser.solvers.limits import DEFAULT, Limits
from alteraser.solvers.trace import OnPass
from alteraser.verbs.erasure import Erasure, Way, Work
from alteraser.verbs.lists import seen_after
from alteraser.verbs.relational.train import told
from alteraser.verbs.roads import Method, OnChoice, plan, unlearn

M = TypeVar("M", bound=LinearModel)

METHODS = ("auto", "converge", "retrain")
"""Names of the ways that there are: to the optimum for what remains, from the original or anew"""


@dataclass(frozen=True)
class ToOptimum:
    """How to forget in a linear model; a method of ``forget``."""

    name: str = "auto"
    """One of ``METHODS``"""
    seed: int | None = None
    """Of the random start of ``retrain``; None: that of the training"""
    max_passes: int | None = None
    """Cap on iterations; None: that of the training"""
    limits: Limits = DEFAULT

    @classmethod
    def of(cls, kind: str, method: Any) -> ToOptimum:
        """``method``, or the one of that name; InvalidInput for one that a linear model of ``kind``
        does not have.
        """
        found = method if isinstance(method, cls) else cls(_name(method))
        if found.name not in METHODS:
            raise InvalidInput(
                f"method {found.name!r} is for other models: {kind} goes to the optimum for what "
                f"remains; its methods are {', '.join(METHODS)}"
            )
        return found


@unlearn.register(LinearModel)
@events.verb("forget", "method", "kind", "residual", "converged", "forgotten")
def unlearn_linear(
    model: M,
    found: Deletion,
    *,
    method: Method | ToOptimum = "auto",
    threads: int = 0,
    on_pass: OnPass | None = None,
    on_choice: OnChoice | None = None,
) -> Erasure[M]:
    """``unlearn`` for a linear kind: to the optimum for what remains.

    Raises InvalidInput for a method that it does not have.
    """
    began, how = time.perf_counter(), ToOptimum.of(model.kind, method)
    way, workers = "retrain" if how.name == "retrain" else "converge", threads or default_threads()
    settings, (before, after) = model.settings, model.around(found)
    here, known = model.point(before), None
    original = after.problem.point(after.carried(before, here.vector))
    if found.known:
        gradient = gradient_of(before.problem, here, threads=workers)
        known = after.carried(before, gradient, h=0.0)
    seed = settings.seed if how.seed is None else how.seed
    went = converge(
        after.problem,
        original,
        after.start(seed) if way == "retrain" else after.emptied(original),
        known=known,
        limits=how.limits,
        max_passes=how.max_passes or settings.max_passes,
        continuation=settings.continuation,
        threads=workers,
        on_pass=events.passes(on_pass),
    )
    training = {
        "method": way,
        "seed": seed,
        **told(went.reached),
        "residual": went.residual,
        "interactions_forgotten": found.forgotten,
        "class": went.evidence.kind,
    }
    unlearned = type(model).at(
        after,
        went.reached.point,
        reading=model.reading,
        training=training,
        parent=model.digest,
        ancestors=model.lineage,
        erased=found.recorded(model.erased),
    )
    kept = unlearned.in_rows_of(model.users, model.items) if found.left is not None else unlearned
    why = None if how.name == way else "the optimum for what remains, from where the model is"
    return Erasure(
        model=unlearned,
        deletion=found,
        way=Way(way, how.name, why, how.limits.residual),
        evidence=went.evidence,
        work=_work(went),
        aftermath=seen_after(model, kept, replace(found, left=None)),
        details={
            "measured": {"distance": went.reached.distance, "influence": went.influence},
            "effect": None,
            **found.said,
        },
        seconds=time.perf_counter() - began,
    )


@plan.register(LinearModel)
def plan_linear(
    model: LinearModel, found: Deletion, method: Method | ToOptimum = "auto", *, threads: int = 0
) -> None:
    """There is nothing to choose."""
    ToOptimum.of(model.kind, method)


def _name(method: Any) -> str:
    return method if isinstance(method, str) else getattr(method, "name", "auto")


def _work(went: Went) -> Work:
    found = went.reached
    return Work(
        "lbfgs",
        found.passes,
        found.products,
        found.passes * sum(E.shape[0] for E in found.point.tables.values()),
        went.residual,
        found.converged,
        found.reason,
        ("lbfgs", "newton"),
        went.objective_before,
        found.value,
        went.push,
        went.floor,
        found.trace,
    )
