"""What a kind may need of its data beside who and what, and how that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import ReadingOptions


@dataclass(frozen=True)
class Need:
    """One thing, which ``Interactions`` have under a name where one of some reading options asked
    for it.
    """

    words: str
    """What it says of an interaction: ``when it was``"""
    attribute: str
    """The name in ``Interactions``, None there where it was not read"""
    options: tuple[str, ...]
    """Fields of ``ReadingOptions``, one of which asks for it"""

    def is_read(self, reading: ReadingOptions) -> bool:
        """Whether ``reading`` asks for it."""
        return any(getattr(reading, name, None) is not None for name in self.options)

    def is_in(self, data: Interactions) -> bool:
        """Whether ``data`` have it."""
        return getattr(data, self.attribute, None) is not None

    def missing(self, kind: str, *, command_line: bool) -> str:
        """The message: what ``kind`` needs and what to give."""
        form = "--{}" if command_line else "{}="
        names = " or ".join(
            form.format(name.replace("_", "-") if command_line else name) for name in self.options
        )
        where = "give" if command_line else "read them with"
        return f"{kind} needs to know of every interaction {self.words}: {where} {names}"


TIMES = Need("when it was", "timestamp", ("timestamp_column",))
SEGMENTS = Need("of which segment it is", "segments", ("segment_column",))
SESSIONS = Need("in which session it was", "events", ("session_column", "session_gap"))
BASKETS = Need(
    "in which basket it was", "events", ("basket_column", "session_gap", "session_column")
)
