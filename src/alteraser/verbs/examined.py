"""What a kind says for itself so that ``verify`` takes it, and the conditions that several share.

A module that knows a kind registers there, by the model's type, how its files are held against the
remaining data (``examined``); it comes to a certificate with every condition that the kind has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from alteraser.data.interactions import Interactions
from alteraser.data.sums import Sums
from alteraser.erasers.driver import OnPass
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.evidence.certificate import Certificate, Check, Limits
from alteraser.evidence.certificate.certificate import PROVE_UP_TO
from alteraser.evidence.certificate.exact import ExactCertificate
from alteraser.evidence.certificate.relational import LinearCertificate
from alteraser.evidence.certificate.words import sentence
from alteraser.models.factorization.model import Model
from alteraser.models.protocol import Recommender
from alteraser.models.relational.plain import PlainModel
from alteraser.verbs.deleting import aligned, belongs
from alteraser.verbs.strict import SHOWN, named, strangers, unaccounted

AnyCertificate = Certificate | ExactCertificate | LinearCertificate
C = TypeVar("C", bound=AnyCertificate)


@dataclass(frozen=True)
class Inquiry:
    """What ``verify`` was asked beside the model and the data; see there."""

    before: Any = None
    forgotten: Any = None
    folder: Path | None = None
    replay: bool | None = None
    limits: Limits | None = None
    prove_up_to: int = PROVE_UP_TO
    threads: int = 1
    on_pass: OnPass | None = None


@singledispatch
def examined(model: Any, data: Any, asked: Inquiry) -> tuple[AnyCertificate, str]:
    """(the certificate of ``model`` on the remaining ``data``, their digest).

    Raises IntegrityError where ``data`` are not what the model says it stands for.
    """
    raise InvalidInput(f"cannot verify a {type(model).__name__}")


def standing_for(model: Recommender, data: Interactions) -> Interactions:
    """``data`` in the rows of ``model``; IntegrityError unless they are what it says it stands
    for.
    """
    data = aligned(model, data, grown=False)
    belongs(model, data)
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
    return data


def same_kind(model: Recommender, before: Any) -> None:
    """InvalidInput for a model from before that is of another kind."""
    if before is not None and before.kind != model.kind:
        raise InvalidInput(
            f"--before is of kind {before.kind}, the model of kind {model.kind}: it is not its "
            "original"
        )


def with_checks(found: C, *checks: Check) -> C:
    """``found`` with some more conditions, each of which it has to keep."""
    found = replace(found, checks=(*found.checks, *checks))
    if all(check.passed for check in checks):
        return found
    return replace(found, kind="D", sentence=sentence("D", None, None))


def in_folder(model: Recommender, asked: Inquiry) -> Check:
    """Nothing lies in the model's folder but what this version writes there."""
    found = () if asked.folder is None else strangers(asked.folder, model)
    meaning = "things in the folder that do not belong to a model"
    if found:
        meaning += f": {'; '.join(found[:SHOWN])}" + ("; …" if len(found) > SHOWN else "")
        meaning += ". Move them away; what holds an erased id has not forgotten"
    return Check("folder", float(len(found)), 0.0, not found, meaning)


def kept_of_data(model: Recommender, data: Interactions, asked: Inquiry) -> tuple[Check, ...]:
    """What the model keeps must be of these data, and of nobody else: its folder, ids, and sums."""
    gone = unaccounted(model, data)
    meaning = "users in the map of whom the remaining data hold nothing" + (
        f": {named(gone)}" if gone else ""
    )
    sums = model.trained_on.sums
    odd = 0 if sums is None else sums.differing(Sums.of(data))
    return (
        in_folder(model, asked),
        Check("ids", float(len(gone)), 0.0, not gone, meaning),
        Check(
            "sums", float(odd), 0.0, odd == 0, "rows whose sums are not those of the remaining data"
        ),
    )


def absent_rows(model: Model | PlainModel) -> Check:
    """Rows without an id belong to users who are gone, and must hold nothing."""
    full = 0
    for ids, x in ((model.users, model.factors.users), (model.items, model.factors.items)):
        absent = np.ones(x.shape[0], bool)
        absent[ids.rows] = False
        full += int(np.sum(np.any(x[absent] != 0, axis=1)))
    return Check("absent", float(full), 0.0, full == 0, "rows without an id that are not zero")
