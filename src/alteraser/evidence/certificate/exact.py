"""Class A of counts and closed forms: the state once more from the remaining data, by other code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.evidence.certificate.certificate import Check
from alteraser.evidence.certificate.words import NAMES, Class, sentence
from alteraser.models.closed_form.rule import Rule

SAME_NUMBERS = (
    "this model was computed without the data that are gone: the remaining data alone, looked "
    "at by other code, give the same numbers to rounding"
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


def certify(kind: Rule, state: Mapping[str, npt.NDArray[Any]], data: Interactions) -> ExactCertificate:
    """Count ``data`` anew and compare: class A where the bytes are the same, or to rounding where it is algebra."""
    apart = kind.apart(state, data)
    limit = kind.limit(data)
    passed = apart <= limit
    meaning = f"difference from {kind.summary} that the remaining data give, by other code"
    check = Check("anew", apart, limit, passed, meaning)
    words = sentence("D", None, None) if not passed else sentence("A", None, None) if apart == 0 else SAME_NUMBERS
    return ExactCertificate("A" if passed else "D", words, (check,), apart)
