"""How rows of a source become sessions or baskets: what a column says, or what a gap in time
cuts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SESSION, BASKET = "session", "basket"
_GAP = re.compile(r"(\d{1,12})\s*(s|m|h|d)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def gap_of(text: str) -> tuple[int, bool]:
    """(a number, whether it is seconds): ``30m`` is 1800 seconds, a bare number is in the unit of
    the data's times.

    Raises ValueError for anything else.

    >>> gap_of("30m"), gap_of("1800"), gap_of("1d")
    ((1800, True), (1800, False), (86400, True))
    """
    found = _GAP.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"{text!r} is no length of time. Write for example 30m, 1h, 2d, 45s, or a number in "
            "the unit of the times"
        )
    return int(found[1]) * _SECONDS.get(found[2], 1), found[2] is not None


@dataclass(frozen=True)
class Grouping:
    """How rows become sessions or baskets."""

    name: str = SESSION
    """``session``, whose events have an order, or ``basket``, whose have none"""
    gap: str | None = None
    """What cuts groups where no column says them: see ``gap_of``"""
    timed: bool = True
    """Whether times, where they were read, say the order: not of a model that was trained
    without"""
    ticks: int | None = None
    """The gap in the unit of the data's times, once there are some: a part of them, whose size may
    say another unit, is cut as the whole was"""

    def to_document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Grouping:
        """Read again."""
        return cls(**document)
