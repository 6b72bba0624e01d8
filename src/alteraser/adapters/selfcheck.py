"""Do these factors belong to these data? Asked before anything is forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alteraser.errors import IntegrityError

LISTED = 5
"""Rows that a message names; a document lists as many as the check gives."""


@dataclass(frozen=True)
class RowFault:
    """A row that does not fit."""

    side: str
    """``user`` or ``item``"""
    row: int
    value: float


@dataclass(frozen=True)
class Measure:
    """One thing that was measured; ``passed`` when it is within its limit."""

    name: str
    value: float
    limit: float
    passed: bool
    meaning: str
    """What the value is, with its formula in words."""


@dataclass(frozen=True)
class SelfCheck:
    """What the check measured and which rows are furthest off."""

    measures: tuple[Measure, ...]
    worst: tuple[RowFault, ...] = ()
    """Furthest off first."""
    hint: str = ""
    """What likely is wrong, where it failed."""
    blind: str = ""
    """What it does not see, where that is more than a trifle."""

    @property
    def passed(self) -> bool:
        """True when every measure is within its limit."""
        return all(measure.passed for measure in self.measures)

    def require(self, path: Any) -> None:
        """IntegrityError, saying by how much and which rows, unless the check passed."""
        if self.passed:
            return
        failed = "; ".join(
            f"{m.name} is {m.value:.2g}, expected "
            f"{'at least' if m.value < m.limit else 'at most'} {m.limit:.2g} ({m.meaning})"
            for m in self.measures
            if not m.passed
        )
        rows = ", ".join(
            f"{fault.side} {fault.row} ({fault.value:.2g})" for fault in self.worst[:LISTED]
        )
        raise IntegrityError(
            f"{path} does not fit these data with this loss: {failed}."
            + (f" Furthest off are the rows {rows}." if rows else "")
            + (f" {self.hint}" if self.hint else ""),
            path=str(path),
            measures=[vars(m) for m in self.measures],
            rows=[vars(f) for f in self.worst],
        )

    def to_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "passed": self.passed,
            "measures": [vars(measure) for measure in self.measures],
            "worst_rows": [vars(fault) for fault in self.worst],
            "does_not_see": self.blind,
        }
