"""``verify``: what a published model shows of having forgotten, recomputed from its files and the
remaining data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alteraser.data.interactions import Interactions
from alteraser.erasers.driver import OnPass
from alteraser.errors import IntegrityError
from alteraser.evidence.certificate import Limits
from alteraser.evidence.certificate.certificate import PROVE_UP_TO
from alteraser.evidence.certificate.exact import ExactCertificate, certify
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.protocol import Recommender
from alteraser.runtime import events
from alteraser.runtime.workers import default_threads
from alteraser.verbs.examined import (
    AnyCertificate,
    Inquiry,
    examined,
    kept_of_data,
    same_kind,
    standing_for,
    with_checks,
)
from alteraser.verbs.relational.verify import examined_linear
from alteraser.verbs.verify_factors import examined_factors, replays


@dataclass(frozen=True)
class Verification:
    """A certificate with what it is about."""

    certificate: AnyCertificate
    model: str | None
    """Digest of the model"""
    data: str
    """Digest of the remaining interactions"""
    before: str | None
    """Digest of the original model; None when it was not given"""
    descends: bool | None
    """True when the original is among the models that this one says it comes from"""

    @property
    def passed(self) -> bool:
        """Whether a class was reached."""
        return self.certificate.passed


@events.verb("verify", "passed")
def verify(
    model: Recommender,
    data: Any,
    *,
    before: Recommender | None = None,
    forgotten: Any = None,
    unrelated: bool = False,
    folder: Path | None = None,
    replay: bool | None = None,
    limits: Limits | None = None,
    prove_up_to: int = PROVE_UP_TO,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> Verification:
    """Recompute from the remaining ``data`` alone how far ``model`` is from an optimum for them.

    Args:
        model: the model to be checked, as loaded from disk.
        data: D_r, all that the model may still stand for: interactions, or everything given.
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
        on_pass: called after each pass of a replay. ``step`` events tell how far the rest is.

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
    asked = Inquiry(
        before,
        forgotten,
        folder,
        replay,
        limits,
        prove_up_to,
        threads or default_threads(),
        events.passes(on_pass),
    )
    if before is not None:
        _related(model, before, unrelated=unrelated)
    found, digest = examined(model, data, asked)
    return Verification(
        found,
        model.digest,
        digest,
        None if before is None else before.digest,
        _descends(model, before),
    )


@examined.register(ExactModel)
def examined_exactly(
    model: ExactModel, data: Interactions, asked: Inquiry
) -> tuple[ExactCertificate, str]:
    """``examined`` for an exact kind: counted anew by other code, or trained once more: class A or
    D, whatever the model says of itself.
    """
    data = standing_for(model, data)
    same_kind(model, asked.before)
    found = certify(model.settings, model.state, data, model.digest)
    return with_checks(found, *kept_of_data(model, data, asked)), data.digest


def _related(
    model: Recommender,
    before: Recommender,
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


def _descends(model: Recommender, before: Recommender | None) -> bool | None:
    if before is None:
        return None
    return before.digest is not None and before.digest in model.ancestors


__all__ = [
    "Verification",
    "examined",
    "examined_exactly",
    "examined_factors",
    "examined_linear",
    "replays",
    "verify",
]
