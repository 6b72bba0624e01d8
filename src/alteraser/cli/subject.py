"""A model that a command was given, of whatever kind: how it is opened, forgets, and what is said
of it afterwards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alteraser.cli import again, inputs, selecting
from alteraser.cli.screen import Screen
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.cli.forget_options import ForgetRequest
    from alteraser.data.deletion import Deletion
    from alteraser.data.ids import IdMap
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.selection import Selection
    from alteraser.data.sheet import Sheet
    from alteraser.verbs.erasure import Erasure

Rows = list[tuple[str, str]]


class Subject(ABC):
    """What differs between kinds on the way from the command line to its answer."""

    ours = True
    """Whether ``recommend`` takes what comes out"""
    names: dict[str, str | None] | None = inputs.NOT_ASKED
    """Which options name columns of the data, for messages about FORGET"""

    reading: ReadingOptions
    """How its data are read, once it is open"""
    ids: tuple[IdMap, IdMap]
    """Its maps, once it is open"""

    def __init__(self, asked: ForgetRequest, screen: Screen) -> None:
        self.asked, self.screen = asked, screen

    @abstractmethod
    def check(self) -> None:
        """Raise InvalidInput for options that mean nothing to it; nothing is read but a few
        bytes.
        """

    @abstractmethod
    def open(self) -> None:
        """Read it."""

    def check_asked(self) -> None:
        """Raise InvalidInput for requests that only a linear model knows."""
        wanted = self.asked.wanted
        for name, given in (
            ("from", wanted.from_),
            ("entity", wanted.entity),
            ("attributes", wanted.attributes),
        ):
            if given:
                raise InvalidInput(
                    f"--{name} is for models of kind linear, which know more than DATA"
                )
        self.asked.beside.refuse("is for models of kind linear: this one knows DATA alone")

    def check_ids(self, selection: Selection) -> None:
        """Raise InvalidInput, naming FORGET, for ids that do not convert to the type of its own."""
        selecting.check_ids(self.asked.forget_set, selection, *self.ids)

    def selection(self) -> Selection:
        """What is asked for, by FORGET and the options beside it."""
        return self.asked.wanted.selection(self.asked.forget_set, self.reading, self.names)

    @abstractmethod
    def sheet(self, *, every_column: bool) -> Sheet:
        """DATA, parsed."""

    @abstractmethod
    def match(self, selection: Selection, sheet: Sheet) -> Deletion:
        """What ``selection`` means on the data."""

    @abstractmethod
    def plan(self, found: Deletion) -> Any:
        """What would be done; None where there is nothing to choose."""

    @abstractmethod
    def forget(self, found: Deletion) -> Erasure[Any]:
        """Do it."""

    def write_remaining(self, sheet: Sheet, found: Deletion, remaining: Path) -> bool:
        """Write what is left of DATA; whether this command did.

        What an earlier run wrote that was killed before its model stays where it is the same, and
        is refused where not.
        """
        return again.written(
            again.table(lambda: sheet.without(found.removed, found.selection)), remaining
        )

    def save(self, erasure: Erasure[Any], out: Path) -> Any:
        """Write what came out."""
        return erasure.save(out)

    @abstractmethod
    def identity(self, saved: Any) -> dict[str, Any]:
        """What a document says of what was written: its digest, its parent's, and what else there
        is.
        """

    def title(self, erasure: Erasure[Any]) -> str:
        """What stands behind the path of what was written."""
        return ""

    @abstractmethod
    def standing(self, erasure: Erasure[Any]) -> Rows:
        """For people: by which way, with what work, of which class."""

    def beside(self, saved: Any) -> Rows:
        """For people: what else was written, or is to be looked at."""
        return []

    @abstractmethod
    def shortfall(self, erasure: Erasure[Any]) -> str:
        """One line: what was not reached, what was, what to do."""
