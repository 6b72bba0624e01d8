"""Class A of counts and closed forms: the state once more from the remaining data, by other
code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.evidence.certificate.certificate import Check
from alteraser.evidence.certificate.words import NAMES, Class, sentence
from alteraser.models.closed_form.rule import Rule

SAME_NUMBERS = (
    "this model was computed without the data that are gone: the remaining data alone, looked "
    "at {again}, give the same numbers to rounding"
)


@dataclass(frozen=True)
class ExactCertificate:
    """What was found, and the class it amounts to: A or D."""

    kind: Class
    sentence: str
    checks: tuple[Check, ...]
    apart: float
    """Relative difference from the state that other code gives; see ``Rule.apart``"""
    why_not_proved: str | None = None

    @property
    def name(self) -> str:
        """The class in a word."""
        return NAMES[self.kind]

    @property
    def passed(self) -> bool:
        """False for class D."""
        return self.kind != "D"

    def to_document(self) -> dict[str, Any]:
        """As JSON values."""
        return {"class": self.kind, "name": self.name} | {
            key: value for key, value in asdict(self).items() if key != "kind"
        }


def certify(
    kind: Rule, state: Mapping[str, npt.NDArray[Any]], data: Interactions, digest: str | None = None
) -> ExactCertificate:
    """Count ``data`` anew and compare: class A where the bytes are the same, or to rounding where
    it is algebra.

    Where that takes too long (``Rule.spot_checks``) so many items are looked at, which ``digest``,
    the model's, and that of the data draw: whoever changed one of them would have changed the
    sample. InvalidInput where ``data`` lack what the kind needs.
    """
    kind.check_data(data)
    items = data.shape[1]
    count = min(kind.spot_checks(data), items)
    apart = (
        kind.apart_in(state, data, drawn(count, items, digest, data))
        if count
        else kind.apart(state, data)
    )
    limit = kind.limit(data)
    passed = apart <= limit
    meaning = f"difference from {kind.summary} that the remaining data give, {kind.again}"
    words = (
        sentence("D", None, None)
        if not passed
        else sentence("A", None, None)
        if apart == 0
        else SAME_NUMBERS.format(again=kind.again)
    )
    if count:
        missed = f"a fault in one of a hundred would be missed with a chance of {0.99**count:.0e}"
        meaning += (
            f"; of {count:,} of {items:,} items, which the digests of the model and the "
            f"data draw: {missed}"
        )
        words += (
            f" (seen of {count:,} of {items:,} items, which the digests of the model and the "
            "data draw)"
        )
    if not passed:
        meaning += kind.otherwise()
    check = Check("anew", apart, limit, passed, meaning)
    return ExactCertificate("A" if passed else "D", words, (check,), apart)


def drawn(count: int, items: int, digest: str | None, data: Interactions) -> npt.NDArray[np.int64]:
    """``count`` distinct rows of ``items``, increasing: the same for the same model and data."""
    seed = int.from_bytes(hashlib.sha256(f"{digest} {data.digest}".encode()).digest()[:16], "big")
    return np.sort(np.random.default_rng(seed).choice(items, count, replace=False))
