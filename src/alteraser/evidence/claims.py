"""What may be said of a model that has forgotten: one of seven claims, and nothing more.

    Exact         A   counts or a closed form of what remains
    Replayed      A   training on what remains alone gave it
    Certified     B   within a proved distance of an optimum for what remains
    Measured      C   within an estimated distance of one
    Local         L   the deletion's effect on a model that is not at rest
    ResidualOnly  D   a residual alone was measured, or one that is more than any class allows
    Nothing       D   nothing that could be looked at tells

A claim is made by whoever computed the model; ``verify`` makes its own from the files alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from alteraser.evidence.certificate.words import NAMES, Class


@dataclass(frozen=True)
class Evidence:
    """A claim: its class, and the sentence that may be said."""

    kind: ClassVar[Class] = "D"
    """The class, one letter"""

    sentence: str
    lacks: str = ""
    """Of class D: the conditions that do not hold, in words"""
    left: float | None = None
    """Estimated share of the deletion's effect that is missing; None where nothing tells"""

    @property
    def name(self) -> str:
        """The class in a word."""
        return NAMES[self.kind]

    @property
    def passed(self) -> bool:
        """False for class D."""
        return self.kind != "D"


class Exact(Evidence):
    """Counts or a closed form of what remains."""

    kind = "A"


class Replayed(Evidence):
    """Training on what remains alone gave it."""

    kind = "A"


class Certified(Evidence):
    """A distance from an optimum for what remains, proved."""

    kind = "B"


class Measured(Evidence):
    """A distance from an optimum for what remains, estimated."""

    kind = "C"


class LocalEffect(Evidence):
    """The deletion's effect on a model that is not at rest."""

    kind = "L"


class ResidualOnly(Evidence):
    """A residual alone, or one that is more than any class allows."""


class Nothing(Evidence):
    """Nothing that could be looked at tells."""
