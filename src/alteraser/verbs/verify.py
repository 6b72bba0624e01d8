"""``verify``: what a published model shows of having forgotten, recomputed from its files and the
remaining data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from alteraser.data.interactions import Interactions
from alteraser.data.sums import Sums
from alteraser.erasers.driver import OnPass
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.evidence.certificate import Certificate, Check, Limits, certify
from alteraser.evidence.certificate.anchored import Anchored, anchored
from alteraser.evidence.certificate.certificate import PROVE_UP_TO, Watch
from alteraser.evidence.certificate.exact import ExactCertificate
from alteraser.evidence.certificate.exact import certify as certify_exactly
from alteraser.evidence.certificate.relational import LinearCertificate
from alteraser.evidence.certificate.words import sentence
from alteraser.models import Factors
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.factorization.model import Model
from alteraser.models.relational.model import LinearModel
from alteraser.runtime import events
from alteraser.runtime.workers import default_threads
from alteraser.verbs.deleting import aligned, belongs, completed
from alteraser.verbs.forget_factors import fitted
from alteraser.verbs.relational.plain import verify_linear
from alteraser.verbs.replaying import recipe_of, runs_again
from alteraser.verbs.strict import SHOWN, named, strangers, unaccounted

UNTOLD = (
    "made by local: the deletion's effect on a model that is not at rest (L) cannot be told from "
    "a model that has not forgotten (D) without the original model and what was forgotten; give "
    "--before and --forgotten"
)


Found = Certificate | ExactCertificate | LinearCertificate


@dataclass(frozen=True)
class Verification:
    """A certificate with what it is about."""

    certificate: Found
    model: str | None
    """Digest of the model"""
    data: str
    """Digest of the remaining interactions"""
    before: str | None
    """Digest of the original model; None when it was not given"""
    descends: bool | None
    """True when the original is among the models that this one says it comes from"""


@events.verb("verify", "passed")
def verify(
    model: Model | ExactModel | LinearModel,
    data: Interactions,
    *,
    before: Model | ExactModel | LinearModel | None = None,
    forgotten: Any = None,
    unrelated: bool = False,
    folder: Path | None = None,
    replay: bool | None = None,
    limits: Limits | None = None,
    prove_up_to: int = PROVE_UP_TO,
    threads: int = 0,
    on_pass: OnPass | None = None,
    watch: Watch | None = None,
) -> Verification:
    """Recompute from the remaining ``data`` alone how far ``model`` is from an optimum for them.

    Args:
        model: the model to be checked, as loaded from disk.
        data: D_r, all of the interactions the model may still stand for.
        before: a model that it comes from: then also what is left of that is measured.
        forgotten: what was forgotten: (user, item) pairs, a table of them, or Interactions where
            the data have confidences or targets; rows that are in ``data`` as well do not count, so
            all of the data as trained on will do. With it and ``before``, a model that was made by
            ``local`` is measured for class L.
        unrelated: ``before`` need not be one that ``model`` says it comes from.
        folder: where ``model`` was loaded from: then nothing may lie there that does not belong to
            it.
        replay: train again as the model's record says and compare the bytes (class A). None: where
            the model was made by a replay, which is nothing else, or has a record and no better
            class.
        limits: thresholds; the defaults are those of ``Limits``.
        prove_up_to: (m + n) d up to which the curvature is proved rather than estimated.
        threads: workers; 0 for every processor this process may use.
        on_pass: called after each pass of a replay.
        watch: called with what is being done and the share of all work that is done, an estimate.

    Raises:
        IntegrityError: ``data`` are not what the model says it stands for, ``before`` is none of
            its ancestors, or ``data`` and ``forgotten`` together not what ``before`` was trained
            on.
        InvalidInput: ``before`` has other factors or ids, or ``forgotten`` is given without it;
            NumericFailure: a block is singular.

    >>> from alteraser import ENMF, Interactions, forget
    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> model = ENMF(factors=2, regularization=0.1, missing_weight=0.1, dtype="float64").fit(data)
    >>> erasure = forget(model, [(0, 0)], data=data)
    >>> verify(erasure.model, erasure.remaining, before=model).certificate.name
    'certified'
    """
    data = aligned(model, data, grown=False)
    belongs(model, data)
    _counted(model, data)
    if before is not None:
        _related(model, before, unrelated=unrelated)
    beside = [_folder(model, folder), _ids(model, data), _other_sums(model, data)]
    if isinstance(model, ExactModel):
        found: Found = _exact(model, data, before)
    elif isinstance(model, LinearModel):
        how = _How(limits, prove_up_to, threads or default_threads(), watch)
        found = _linear(model, data, before, how)
        beside += _beside_linear(model, before)
    else:
        original = _factorization(model, before)
        how = _How(limits, prove_up_to, threads or default_threads(), watch)
        certified = _certified(model, data, original, forgotten, how)
        found = certified
        if original is not None:
            beside.append(_same_objective(model, original))
        if _trained_again(model, data, certified, replay, threads=threads, on_pass=on_pass):
            found = replace(
                certified, kind="A", sentence=sentence("A", None, None), why_not_proved=None
            )
        else:
            # the training itself may leave more in such a row than nothing, which then is none of
            # theirs
            beside.append(_absent_rows(model))
    return Verification(
        _with_checks(found, beside),
        model.digest,
        data.digest,
        None if before is None else before.digest,
        _descends(model, before),
    )


@dataclass(frozen=True)
class _How:
    """With what a certificate is made."""

    limits: Limits | None
    prove_up_to: int
    threads: int
    watch: Watch | None


def _certified(
    model: Model, data: Interactions, before: Model | None, forgotten: Any, how: _How
) -> Certificate:
    """The certificate of the files; of a model that was made by ``local``, held against what it
    comes from.
    """
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
        limits=how.limits,
        prove_up_to=how.prove_up_to,
        threads=how.threads,
        watch=how.watch,
    )
    if model.training.get("method") != "local":
        return found
    if before is not None and original is not None and forgotten is not None:
        whole = _whole(before, model, data, forgotten)
        limits = how.limits or Limits()
        return _local(found, model, data, whole, original, limits, how.threads)
    return found if found.passed else replace(found, sentence=UNTOLD)


def _factorization(model: Model, before: Model | ExactModel | LinearModel | None) -> Model | None:
    """``before``, once it is of the model's kind; else InvalidInput."""
    if before is not None and not isinstance(before, Model):
        raise _other_kind(model, before)
    return before


def _other_kind(
    model: Model | ExactModel | LinearModel, before: Model | ExactModel | LinearModel
) -> InvalidInput:
    return InvalidInput(
        f"--before is of kind {before.kind}, the model of kind {model.kind}: it is not its original"
    )


def _exact(
    model: ExactModel, data: Interactions, before: Model | ExactModel | LinearModel | None
) -> ExactCertificate:
    """Counted anew by other code, or trained once more: class A or D, whatever the model says of
    itself.
    """
    if before is not None and before.kind != model.kind:
        raise _other_kind(model, before)
    return certify_exactly(model.settings, model.state, data, model.digest)


def _linear(
    model: LinearModel,
    data: Interactions,
    before: Model | ExactModel | LinearModel | None,
    how: _How,
) -> LinearCertificate:
    """Measured on the problem that the remaining data make: class C or D."""
    if before is None or (isinstance(before, LinearModel) and before.kind == model.kind):
        return verify_linear(
            model, data, before, limits=how.limits, threads=how.threads, watch=how.watch
        )
    raise _other_kind(model, before)


def _beside_linear(
    model: LinearModel, before: Model | ExactModel | LinearModel | None
) -> list[Check]:
    """What else must hold: the same settings, and nothing in the rows of who is gone."""
    found = [_absent_rows(model)]
    if isinstance(before, LinearModel):  # forgetting changes the data, never the settings
        ours, theirs = model.settings.own(), before.settings.own()
        other = sorted(name for name in ours if ours[name] != theirs.get(name))
        meaning = "settings that are not those of --before" + (
            f": {', '.join(other)}" if other else ""
        )
        found.append(Check("objective", float(len(other)), 0.0, not other, meaning))
    return found


def _trained_again(
    model: Model,
    data: Interactions,
    found: Certificate,
    asked: bool | None,
    *,
    threads: int,
    on_pass: OnPass | None,
) -> bool:
    """Whether the training was repeated, to the very bytes of the model.

    It is where it is ``asked`` for, and for None where nothing else speaks for the model: made by a
    replay, or by a retrain that ended before its optimum.
    """
    if asked is None:
        asked = model.training.get("method") == "replay" or (
            not found.passed and recipe_of(model) is not None
        )
    return asked and replays(model, data, threads=threads, on_pass=on_pass)


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
        meaning += "; not known: L bends down there, or steps did not settle"
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


def _absent_rows(model: Model | LinearModel) -> Check:
    """Rows without an id belong to users who are gone, and must hold nothing."""
    full = 0
    for ids, x in ((model.users, model.factors.users), (model.items, model.factors.items)):
        absent = np.ones(x.shape[0], bool)
        absent[ids.rows] = False
        full += int(np.sum(np.any(x[absent] != 0, axis=1)))
    return Check("absent", float(full), 0.0, full == 0, "rows without an id that are not zero")


def _other_sums(model: Model | ExactModel | LinearModel, data: Interactions) -> Check:
    """What the model keeps of its data must be that of these data, and of nobody else."""
    sums = model.trained_on.sums
    odd = 0 if sums is None else sums.differing(Sums.of(data))
    return Check(
        "sums", float(odd), 0.0, odd == 0, "rows whose sums are not those of the remaining data"
    )


C = TypeVar("C", bound=Found)


def _with_checks(found: C, checks: list[Check]) -> C:
    """``found`` with some more conditions, each of which it has to keep."""
    found = replace(found, checks=(*found.checks, *checks))
    if all(check.passed for check in checks):
        return found
    return replace(found, kind="D", sentence=sentence("D", None, None))


def _folder(model: Model | ExactModel | LinearModel, folder: Path | None) -> Check:
    """Nothing lies in the model's folder but what this version writes there."""
    found = () if folder is None else strangers(folder, model)
    meaning = "things in the folder that do not belong to a model"
    if found:
        meaning += f": {'; '.join(found[:SHOWN])}" + ("; …" if len(found) > SHOWN else "")
        meaning += ". Move them away; what holds an erased id has not forgotten"
    return Check("folder", float(len(found)), 0.0, not found, meaning)


def _ids(model: Model | ExactModel | LinearModel, data: Interactions) -> Check:
    """Every user in the map has interactions: who has none left is gone from it."""
    found = unaccounted(model, data)
    meaning = "users in the map of whom the remaining data hold nothing" + (
        f": {named(found)}" if found else ""
    )
    return Check("ids", float(len(found)), 0.0, not found, meaning)


def _counted(model: Model | ExactModel | LinearModel, data: Interactions) -> None:
    """IntegrityError where what the model says of its data is not so, though the digest is
    right.
    """
    said = model.trained_on
    have = {
        "users": int((data.user_counts > 0).sum()),
        "items": int((data.item_counts > 0).sum()),
        "interactions": data.count,
    }
    for name, count in have.items():
        if getattr(said, name) != count:
            raise IntegrityError(
                f"trained_on says {getattr(said, name)!r} {name}, the data of this digest have "
                f"{count:,}: the manifest was edited; restore the model from a copy"
            )


def _related(
    model: Model | ExactModel | LinearModel,
    before: Model | ExactModel | LinearModel,
    *,
    unrelated: bool,
) -> None:
    """IntegrityError unless ``before`` is a model that ``model`` comes from, or is said not to
    be.
    """
    if before is model or (before.digest is not None and before.digest == model.digest):
        raise IntegrityError("--before is the model itself: give the one from before it forgot")
    if unrelated or before.digest is None or before.digest in model.ancestors:
        return
    known = (
        f"the nearest of {len(model.ancestors):,} is {model.ancestors[0][:12]}…"
        if model.ancestors
        else "it names none"
    )
    raise IntegrityError(
        f"--before ({before.digest[:12]}…) is no ancestor of the model: {known}. Give one that it "
        "comes from, or --unrelated to compare with another all the same"
    )


def _descends(
    model: Model | ExactModel | LinearModel, before: Model | ExactModel | LinearModel | None
) -> bool | None:
    if before is None:
        return None
    return before.digest is not None and before.digest in model.ancestors


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
