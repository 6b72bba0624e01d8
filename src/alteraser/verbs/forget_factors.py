"""Forgetting in a model with factors: by the way that was asked for, or the one that fits."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions
from alteraser.erasers import Eraser, Outcome, Shift, eraser
from alteraser.erasers.driver import OnPass
from alteraser.erasers.level import judge
from alteraser.errors import InvalidInput
from alteraser.models import Factors, Problem
from alteraser.models.factorization.magnitudes import check_magnitudes
from alteraser.models.factorization.model import Model
from alteraser.runtime import events
from alteraser.solvers.rest import way_to_rest
from alteraser.verbs.choose import WAYS, Auto, Choice, choose, trained
from alteraser.verbs.erasure import Erasure, Way, Work
from alteraser.verbs.lists import ListsChanged, lists_changed, seen_after
from alteraser.verbs.replaying import remember
from alteraser.verbs.roads import Method, OnChoice, plan, unlearn


@unlearn.register(Model)
@events.verb("forget", "method", "kind", "residual", "converged", "forgotten")
def unlearn_factors(
    model: Model,
    found: Deletion,
    *,
    method: Method = "auto",
    threads: int = 0,
    on_pass: OnPass | None = None,
    on_choice: OnChoice | None = None,
) -> Erasure[Model]:
    """``unlearn`` for a model with factors."""
    began, on_pass = time.perf_counter(), events.passes(on_pass)
    shift = shift_of(model, found, threads)
    way, choice = _way(model, found, shift, method, on_pass, on_choice)
    outcome = way.erase(shift, on_pass)
    outcome, evidence = judge(
        shift, outcome, name=way.name, tolerance=getattr(way, "tolerance", None)
    )
    start = outcome.push or shift.start
    training = _training(way, outcome, model, found.forgotten) | {"class": evidence.kind}
    unlearned = model.succeeded_by(found, training, factors=outcome.factors)
    return Erasure(
        model=unlearned,
        deletion=found,
        way=Way(
            way.name,
            _name(method),
            None if choice is None else choice.why,
            training["tolerance"],
            refit_seconds=None if choice is None else choice.refit_seconds,
            details={} if choice is None else choice.details(),
        ),
        evidence=evidence,
        work=Work.of(outcome, start, solver=training["solver"]),
        aftermath=seen_after(model, unlearned, found),
        details={
            "measured": None if outcome.measured is None else vars(outcome.measured),
            "effect": None if outcome.effect is None else vars(outcome.effect),
        },
        on_save=(lambda saved: remember(saved, True)) if way.name == "replay" else None,
        seconds=time.perf_counter() - began,
    )


@plan.register(Model)
def plan_factors(
    model: Model, found: Deletion, method: Method = "auto", *, threads: int = 0
) -> Choice | None:
    """``plan`` for a model with factors; None for methods that ``auto`` never takes."""
    auto = _auto(method)
    return None if auto is None else choose(model, shift_of(model, found, threads), auto.way)


def _way(
    model: Model,
    found: Deletion,
    shift: Shift,
    method: Method,
    on_pass: OnPass | None,
    on_choice: OnChoice | None,
) -> tuple[Eraser, Choice | None]:
    """(what will do it, why that; None where it is one that ``auto`` never takes)."""
    auto = _auto(method)
    if auto is None:
        assert not isinstance(method, Auto)
        return eraser(
            method, **({"train_prediction": True} if model.trains_prediction else {})
        ), None
    choice = choose(model, shift, auto.way)
    if on_choice is not None:
        on_choice(choice, lambda: _lists_at_rest(model, shift, found))
    return auto.eraser(choice, model, shift, on_pass), choice


def shift_of(model: Model, found: Deletion, threads: int) -> Shift:
    """What an eraser is given for ``found``."""
    check_magnitudes(model.objective, found.data)
    original = fitted(model.factors, found.data)
    return Shift.of(
        found,
        original,
        lambda data: Problem(model.objective, data, original.dtype),
        threads=threads,
    )


def _name(method: Method) -> str:
    if isinstance(method, str):
        return method
    return method.way or "auto" if isinstance(method, Auto) else method.name


def _auto(method: Method) -> Auto | None:
    """``method`` where it is ``auto`` or one of its ways; None for a method of its own."""
    if isinstance(method, Auto):
        return method
    if method == "auto":
        return Auto()
    return next((Auto(way) for way in WAYS if way == method), None)


def _lists_at_rest(model: Model, shift: Shift, found: Deletion) -> ListsChanged:
    """Estimate: how many lists of others differ where training had led, a Newton step from the
    original.
    """
    assert shift.before is not None
    there = way_to_rest(shift.before, shift.original, threads=shift.workers).there
    return lists_changed(
        model, replace(model, factors=there), found.removal.remaining, found.asking
    )


def fitted(factors: Factors, data: Interactions) -> Factors:
    """``factors`` with zero rows for users and items that joined since."""
    m, n = data.shape
    if factors.users.shape[0] > m or factors.items.shape[0] > n:
        raise InvalidInput("the data have fewer rows than the model; rows never shrink")

    def extended(x: Any, rows: int) -> Any:
        return (
            x
            if x.shape[0] == rows
            else np.vstack([x, np.zeros((rows - x.shape[0], x.shape[1]), x.dtype)])
        )

    return Factors(extended(factors.users, m), extended(factors.items, n), factors.prediction)


def _training(method: Eraser, outcome: Outcome, original: Model, forgotten: int) -> dict[str, Any]:
    solver = getattr(method, "solver", None)
    return {
        "method": method.name,
        "solver": solver if isinstance(solver, str) else getattr(solver, "name", None),
        "passes": outcome.passes,
        "products": outcome.products,
        "rows_updated": outcome.rows_updated,
        "objective": outcome.objective,
        "residual": outcome.residual,
        "tolerance": getattr(method, "tolerance", None),
        "converged": outcome.converged,
        "memory": getattr(method, "memory", None),
        "seed": getattr(method, "seed", None),
        "train_prediction": getattr(method, "train_prediction", False),
        "interactions_forgotten": forgotten,
        "route": list(outcome.route),
        "recipe": outcome.recipe,
        **_rest(outcome, original),
        "effect_left": None if outcome.effect is None else outcome.effect.left,
        "trained": trained(original.training),
    }


def _rest(outcome: Outcome, original: Model) -> dict[str, Any]:
    """How far it is from an optimum: of a local erasure as far as the original, by definition."""
    if outcome.effect is not None:
        return {name: original.training.get(name) for name in ("distance", "rest")}
    return {"distance": outcome.least, "rest": outcome.rest}
