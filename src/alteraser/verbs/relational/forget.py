"""Forgetting in a composite model: the problem of what is left is made anew, and its optimum gone
to from where the model is.

Nothing of the old problem is updated: graphs, counts, standardisation, vocabularies and averages
are those of what is left because they are computed from it. The old model gives the start, by ids.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Removal
from alteraser.data.selection import Selection
from alteraser.data.side.given import MAIN, Given
from alteraser.erasers.relational import converge, gradient_of
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.models.relational.composite import CompositeModel
from alteraser.runtime import events
from alteraser.runtime.workers import default_threads
from alteraser.solvers.limits import DEFAULT, Limits
from alteraser.solvers.trace import OnPass
from alteraser.verbs.erasure import Erasure, Way, Work
from alteraser.verbs.lists import Aftermath, seen_after
from alteraser.verbs.relational.completing import completed
from alteraser.verbs.relational.request import Left, Request, left
from alteraser.verbs.relational.train import told

METHODS = ("auto", "converge", "retrain")


def belongs(model: CompositeModel, given: Given) -> None:
    """IntegrityError, naming the source that differs, unless ``given`` is what the model stands
    for.
    """
    have, want = given.digests, model.sources
    lacking, extra = ([x for x in a if x not in b] for a, b in ((want, have), (have, want)))
    for names, how, do in (
        (lacking, "with", "give them as well"),
        (extra, "without", "leave them out"),
    ):
        if names:
            said = " and ".join(_words(name) for name in names)
            raise IntegrityError(f"the model was trained {how} {said}: {do}")
    other = [name for name in want if have[name] != want[name]]
    if other:
        raise IntegrityError(
            f"{' and '.join(_words(name) for name in other)} are not what the model was trained on "
            f"(digest {have[other[0]][:12]}…, expected {want[other[0]][:12]}…): give them as they "
            "were then; what forget left is in what its --remaining wrote"
        )


def deletion(given: Given, gone: Left, selection: Selection | None) -> Deletion:
    """What went of the pairs of DATA, in the rows of ``given``."""
    data, rest = given.interactions(), gone.given.interactions()
    users = rest.users.rows_of(data.users.ids)[data.user_rows]
    items = rest.items.rows_of(data.items.ids)[data.indices]
    known = (users >= 0) & (items >= 0)
    stays = np.zeros(len(data), bool)
    stays[known] = rest.locate(users[known], items[known]) >= 0
    removal = Removal(
        data.keep(stays),
        data.keep(~stays),
        gone.unmatched,
        selection or Selection(items=data.items.ids.slice(0, 0)),
    )
    return Deletion(data, removal, left=rest)


@events.verb("forget", "method", "kind", "residual", "converged", "forgotten")
def forget(
    model: CompositeModel,
    request: Request,
    given: Given,
    *,
    method: str = "auto",
    seed: int = 1,
    max_passes: int = 5000,
    limits: Limits = DEFAULT,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> Erasure[CompositeModel]:
    """The model without what ``request`` names, at the optimum for what is left.

    ``retrain`` starts from a random point instead of the model. DATA may be without the request
    already, where the model's sums tell what is missing (no contexts, confidences or targets).
    Raises IntegrityError where ``given`` is not what the model was trained on, NotFound where
    nothing of the request is in it.
    """
    check_method(method)
    if request.relation == MAIN:
        main = completed(model, given.main, request.selection)
        given = replace(given, links=(main, *given.links[1:]))
    belongs(model, given)
    return carry_out(
        model,
        given,
        left(given, request),
        request.selection,
        method=method,
        seed=seed,
        max_passes=max_passes,
        limits=limits,
        threads=threads,
        on_pass=on_pass,
    )


def carry_out(
    model: CompositeModel,
    given: Given,
    gone: Left,
    selection: Selection | None,
    *,
    method: str = "auto",
    seed: int = 1,
    max_passes: int = 5000,
    limits: Limits = DEFAULT,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> Erasure[CompositeModel]:
    """``forget`` once it is known what goes."""
    began, threads = time.perf_counter(), threads or default_threads()
    before, after = model.setup.assemble(given), model.setup.assemble(gone.given)
    problem, vector = after.problem, model.vector(before)
    old = gradient_of(before.problem, before.problem.point(vector), threads=threads)
    original = problem.point(after.carried(before, vector))
    went = converge(
        problem,
        original,
        problem.random(seed) if method == "retrain" else original,
        known=after.carried(before, old, h=0.0),
        limits=limits,
        max_passes=max_passes,
        threads=threads,
        on_pass=events.passes(on_pass),
    )
    reached = went.reached
    found = deletion(given, gone, selection)
    unlearned = replace(
        CompositeModel.at(model.setup, gone.given, after, reached.point),
        reading=model.reading,
        training={
            "method": "retrain" if method == "retrain" else "converge",
            "interactions_forgotten": found.forgotten,
            **told(reached),
            "residual": went.residual,
            "class": went.evidence.kind,
        },
        parent=model.digest,
        ancestors=model.lineage,
        erased=found.recorded(model.erased),
    )
    return Erasure(
        model=unlearned,
        deletion=found,
        way=Way(
            unlearned.training["method"],
            method,
            None if method != "auto" else "its optimum for what is left is gone to",
            DEFAULT.residual,
        ),
        evidence=went.evidence,
        work=Work(
            "lbfgs",
            reached.passes,
            reached.products,
            reached.passes * sum(side.size for side in after.sides.values()),
            went.residual,
            reached.converged,
            reached.reason,
            ("lbfgs", "newton"),
            went.objective_before,
            reached.value,
            went.push,
            went.floor,
            reached.trace,
        ),
        aftermath=_aftermath(model, unlearned, found),
        details={
            "measured": {"distance": reached.distance, "influence": went.influence},
            "effect": None,
            "rows_forgotten": {name: int(mask.sum()) for name, mask in gone.rows.items()},
            "values_forgotten": dict(gone.values),
            "not_found": list(gone.missed),
            "sources_changed": list(gone.sources),
        },
        seconds=time.perf_counter() - began,
    )


def check_method(method: str) -> None:
    """InvalidInput for a way that there is not."""
    if method not in METHODS:
        raise InvalidInput(
            f"method {method!r}: a linear model forgets by going to its optimum for what is left; "
            f"there are {', '.join(METHODS)}"
        )


def _aftermath(before: CompositeModel, after: CompositeModel, found: Deletion) -> Aftermath:
    """In the rows of the model from before, where both have them."""
    if not len(found.remaining):
        return Aftermath()
    moved = after.in_rows_of(before.users, before.items)
    return seen_after(before, moved, replace(found, left=None))


def _words(source: str) -> str:
    return {
        "data": "DATA",
        "user features": "the features of users (--user-features)",
        "item features": "the features of items (--item-features)",
    }.get(source, f"the {source} (--relation {source.removeprefix('relation ')}=FILE)")
