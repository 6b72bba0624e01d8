"""``verify``: what a published model shows of having forgotten, recomputed from its files and the remaining data."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alteraser.certificate import Certificate, Check, Limits, certify
from alteraser.certificate.certificate import PROVE_UP_TO
from alteraser.certificate.words import sentence
from alteraser.erasers.driver import OnPass
from alteraser.erasers.recipe import Recipe
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.forgetting import _aligned, _fitted, belongs
from alteraser.interactions import Interactions
from alteraser.model import Model
from alteraser.models import Factors, Problem
from alteraser.solvers.rows import default_threads


@dataclass(frozen=True)
class Verification:
    """A certificate with what it is about."""

    certificate: Certificate
    model: str | None
    """Digest of the model"""
    data: str
    """Digest of the remaining interactions"""
    before: str | None
    """Digest of the original model; None when it was not given"""
    descends: bool | None
    """True when the model names the original as its parent"""


def verify(
    model: Model,
    data: Interactions,
    *,
    before: Model | None = None,
    replay: bool = False,
    limits: Limits | None = None,
    prove_up_to: int = PROVE_UP_TO,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> Verification:
    """Recompute from the remaining ``data`` alone how far ``model`` is from an optimum for them.

    Args:
        model: the model to be checked, as loaded from disk.
        data: D_r, all of the interactions the model may still stand for.
        before: the original model: then also what is left of it is measured.
        replay: train again as the model's record says and compare the bytes (class A).
        limits: thresholds; the defaults are those of ``Limits``.
        prove_up_to: (m + n) d up to which the curvature is proved rather than estimated.
        threads: workers; 0 for every processor this process may use.
        on_pass: called after each pass of a replay.

    Raises:
        IntegrityError: ``data`` are not what the model says it stands for.
        InvalidInput: ``before`` has other factors or ids; NumericFailure: a block is singular.

    >>> from alteraser import ENMF, Interactions, forget
    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> model = ENMF(factors=2, regularization=0.1, missing_weight=0.1, dtype="float64").fit(data)
    >>> erasure = forget(model, [(0, 0)], data=data)
    >>> verify(erasure.model, erasure.remaining, before=model).certificate.name
    'certified'
    """
    data = _aligned(model, data, grown=False)
    belongs(model, data)
    original = None if before is None else _original(before, model, data)
    found = certify(
        model.objective, data, model.factors, before=original, limits=limits, prove_up_to=prove_up_to,
        threads=threads or default_threads(),
    )  # fmt: skip
    found = _with_check(found, _absent_rows(model))
    if replay and replays(model, data, threads=threads, on_pass=on_pass):
        found = replace(found, kind="A", sentence=sentence("A", None, None), why_not_proved=None)
    return Verification(
        found, model.digest, data.digest, None if before is None else before.digest,
        None if before is None else model.parent == before.digest,
    )  # fmt: skip


def replays(model: Model, data: Interactions, *, threads: int = 0, on_pass: OnPass | None = None) -> bool:
    """True when training on ``data`` as the model's record says gives the very bytes of ``model``.

    Raises InvalidInput for a model that was not trained from a seed: an eraser's result depends on the original.
    """
    record = model.training.get("recipe")
    if record is None:
        raise InvalidInput(
            f"--replay: the model was made by {model.training.get('method', 'an unknown method')!r} from another model "
            "or without a record; only train and forget --method retrain start from a seed"
        )
    try:
        recipe = Recipe(**record)
    except (TypeError, ValueError) as cause:
        raise IntegrityError(f"the model's record of its training cannot be read: {cause}") from cause
    problem = Problem(model.objective, data, model.factors.dtype)
    outcome = recipe.run(problem, model.factors.rank, threads=threads or default_threads(), on_pass=on_pass)
    return all(
        np.array_equal(a, b) and a.dtype == b.dtype
        for a, b in zip(vars(outcome.factors).values(), vars(model.factors).values(), strict=True)
    )


def _original(before: Model, model: Model, data: Interactions) -> Factors:
    if before.factors.rank != model.factors.rank:
        raise InvalidInput(
            f"--before has {before.factors.rank} factors, the model {model.factors.rank}: it is not its original"
        )
    rows = model.users.rows_of(before.users.ids, "user_id"), model.items.rows_of(before.items.ids, "item_id")
    for side, mine, theirs in (("user", rows[0], before.users.rows), ("item", rows[1], before.items.rows)):
        if np.any((mine >= 0) & (mine != theirs)):
            raise InvalidInput(f"--before has other {side} rows than the model: it is not its original")
    return _fitted(before.factors, data)


def _absent_rows(model: Model) -> Check:
    """Rows without an id belong to users who are gone, and must hold nothing."""
    full = 0
    for ids, x in ((model.users, model.factors.users), (model.items, model.factors.items)):
        absent = np.ones(x.shape[0], bool)
        absent[ids.rows] = False
        full += int(np.sum(np.any(x[absent] != 0, axis=1)))
    return Check("absent", float(full), 0.0, full == 0, "rows without an id that are not zero")


def _with_check(found: Certificate, check: Check) -> Certificate:
    if check.passed:
        return replace(found, checks=(*found.checks, check))
    return replace(found, checks=(*found.checks, check), kind="D", sentence=sentence("D", None, None))
