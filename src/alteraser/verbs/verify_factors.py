"""What a model with factors shows of having forgotten, from its files and the remaining data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from alteraser.data.interactions import Interactions
from alteraser.erasers.driver import OnPass
from alteraser.errors import InvalidInput
from alteraser.evidence.certificate import Certificate, Check, Limits, certify
from alteraser.evidence.certificate.anchored import Anchored, anchored
from alteraser.evidence.certificate.words import sentence
from alteraser.models import Factors
from alteraser.models.factorization.model import Model
from alteraser.verbs.deleting import belongs, completed
from alteraser.verbs.examined import (
    Inquiry,
    absent_rows,
    examined,
    kept_of_data,
    same_kind,
    standing_for,
    with_checks,
)
from alteraser.verbs.forget_factors import fitted
from alteraser.verbs.replaying import recipe_of, runs_again

UNTOLD = (
    "made by local: the deletion's effect on a model that is not at rest (L) cannot be told from "
    "a model that has not forgotten (D) without the original model and what was forgotten; give "
    "--before and --forgotten"
)


@examined.register(Model)
def examined_factors(model: Model, data: Interactions, asked: Inquiry) -> tuple[Certificate, str]:
    """``examined`` for a model with factors: how far it is from an optimum; of one that a recipe
    made, whether that makes it again.
    """
    data = standing_for(model, data)
    same_kind(model, asked.before)
    certified = _certified(model, data, asked)
    checks = [*kept_of_data(model, data, asked)]
    if asked.before is not None:
        checks.append(_same_objective(model, asked.before))
    if _trained_again(model, data, certified, asked):
        found = replace(
            certified, kind="A", sentence=sentence("A", None, None), why_not_proved=None
        )
    else:
        # the training itself may leave more in such a row than nothing, which then is none of
        # theirs
        found = certified
        checks.append(absent_rows(model))
    return with_checks(found, *checks), data.digest


def _certified(model: Model, data: Interactions, asked: Inquiry) -> Certificate:
    """The certificate of the files; of a model that was made by ``local``, held against what it
    comes from.
    """
    before, forgotten = asked.before, asked.forgotten
    if forgotten is not None and before is None:
        raise InvalidInput(
            "--forgotten says what --before was trained on: give the original model as well"
        )
    original = None if before is None else _original(before, model, data)
    found = certify(
        model.objective,
        data,
        model.factors,
        before=original,
        limits=asked.limits,
        prove_up_to=asked.prove_up_to,
        threads=asked.threads,
    )
    if model.training.get("method") != "local":
        return found
    if before is not None and original is not None and forgotten is not None:
        whole = _whole(before, model, data, forgotten)
        limits = asked.limits or Limits()
        return _local(found, model, data, whole, original, limits, asked.threads)
    return found if found.passed else replace(found, sentence=UNTOLD)


def _trained_again(
    model: Model,
    data: Interactions,
    found: Certificate,
    asked: Inquiry,
) -> bool:
    """Whether the training was repeated, to the very bytes of the model.

    It is where that is asked for, and for None where nothing else speaks for the model: made by a
    replay, or by a retrain that ended before its optimum.
    """
    wanted = asked.replay
    if wanted is None:
        wanted = model.training.get("method") == "replay" or (
            not found.passed and recipe_of(model) is not None
        )
    return wanted and replays(model, data, threads=asked.threads, on_pass=asked.on_pass)


def replays(
    model: Model, data: Interactions, *, threads: int = 0, on_pass: OnPass | None = None
) -> bool:
    """True when training on ``data`` as the model's record says gives the very bytes of ``model``.

    Raises InvalidInput for a model that was not trained from a seed: an eraser's result depends on
    the original.
    """
    recipe = recipe_of(model)
    if recipe is None:
        raise InvalidInput(
            "--replay: the model was made by "
            f"{model.training.get('method', 'an unknown method')!r} from another model or without "
            "a record; only train and forget --method replay or retrain start from a seed"
        )
    return runs_again(model, recipe, data, threads=threads, on_pass=on_pass)


def _local(
    found: Certificate,
    model: Model,
    data: Interactions,
    whole: Interactions,
    original: Factors,
    limits: Limits,
    threads: int,
) -> Certificate:
    """Class L, or D, for a model that says it was made by ``local``, which is no better than what
    it was made from.

    A class that it has earned otherwise stays where L does not hold, or where nothing remains.
    """
    seen = anchored(
        model.objective, data, whole, original, model.factors, threads=threads, limit=limits.effect
    )
    asked, limit = model.training.get("tolerance"), limits.residual
    meaning = (
        "of what the deletion changed in the old model's gradient; what training had left "
        "counts as right"
    )
    # 1 is what doing nothing leaves
    if isinstance(asked, int | float) and 0 < asked <= 1 and asked != limit:
        limit, meaning = (
            float(asked),
            f"{meaning}. The limit is what was asked for when it was made",
        )
    passed = seen.residual <= seen.stored or (seen.residual <= limit and seen.residual < 1)
    if limit < seen.residual <= seen.stored:
        meaning += f"; no more than storing in {model.factors.dtype} leaves"
    check = Check("anchored", seen.residual, limit, passed, meaning)
    left = _effect_left(model, seen)
    meaning = (
        "of the deletion's effect that may be missing, as estimated here or by the run that "
        "made the model"
    )
    if left is None:
        meaning += (
            "; not known: L bends down there, steps did not settle, or hardly anything is left of "
            "two dimensions of the items"
        )
    share = np.inf if left is None else left
    effect = Check("effect", share, limits.effect, share <= limits.effect, meaning)
    passed = passed and effect.passed
    if found.passed and (not passed or len(data) == 0):
        return replace(found, checks=(*found.checks, check, effect))
    if not passed:
        return replace(found, checks=(check, effect), sentence=sentence("D", None, None))
    return replace(
        found,
        checks=(check, effect),
        kind="L",
        sentence=sentence("L", None, left),
        effect_left=left,
    )


def _effect_left(model: Model, seen: Anchored) -> float | None:
    """The larger of what was found and what the run that made the model says; None where one of
    them is not known.
    """
    if seen.moved == 0.0:
        return 0.0
    claimed = model.training.get("effect_left")
    if (
        seen.effect_left is None
        or isinstance(claimed, bool)
        or not isinstance(claimed, int | float)
    ):
        return None
    return max(seen.effect_left, float(claimed))


def _whole(before: Model, model: Model, data: Interactions, forgotten: Any) -> Interactions:
    """D_a, in the rows of ``before``, from D_r and what was forgotten; IntegrityError unless its
    digest says so.
    """
    remaining = Interactions.from_table(data.to_table(), users=before.users, items=before.items)
    if not isinstance(forgotten, Interactions):
        if data.confidence is not None or data.target is not None:
            raise InvalidInput(
                "--forgotten: the data have confidences or targets, so what was forgotten must "
                "have these columns too"
            )
        return completed(before, remaining, forgotten)
    gone = Interactions.from_table(forgotten.to_table(), users=before.users, items=before.items)
    whole = remaining.add(gone.keep(remaining.locate(gone.user_rows, gone.indices) < 0))
    belongs(before, whole)
    return whole


def _original(before: Model, model: Model, data: Interactions) -> Factors:
    if before.factors.rank != model.factors.rank:
        raise InvalidInput(
            f"--before has {before.factors.rank} factors, the model {model.factors.rank}: it is "
            "not its original"
        )
    rows = (
        model.users.rows_of(before.users.ids, "user_id"),
        model.items.rows_of(before.items.ids, "item_id"),
    )
    for side, mine, theirs in (
        ("user", rows[0], before.users.rows),
        ("item", rows[1], before.items.rows),
    ):
        if np.any((mine >= 0) & (mine != theirs)):
            compacted = (
                ". The model was compacted, which moved its rows: compare the one it was made from"
            )
            raise InvalidInput(
                f"--before has other {side} rows than the model: it is not its original"
                + (compacted if model.training.get("compacted") else "")
            )
    return fitted(before.factors, data)


def _same_objective(model: Model, before: Model) -> Check:
    """Forgetting changes what L is taken on, never what L is; compacting only where it keeps m and
    n.
    """
    ours, theirs = model.objective.model_dump(), before.objective.model_dump()
    for side, now, then in (
        ("users", model.users.size, before.users.size),
        ("items", model.items.size, before.items.size),
    ):
        taken, earlier = ours.pop(f"absent_{side}", 0), theirs.pop(f"absent_{side}", 0)
        if taken != earlier:  # rows were taken out, and nothing else
            ours[f"rows of {side}"], theirs[f"rows of {side}"] = now + taken, then + earlier
    other = [
        f"{name} {ours[name]!r}, before {theirs[name]!r}"
        for name in ours
        if ours[name] != theirs[name]
    ]
    meaning = "settings of the objective that are not those of --before" + (
        f": {'; '.join(other)}" if other else ""
    )
    return Check("objective", float(len(other)), 0.0, not other, meaning)
