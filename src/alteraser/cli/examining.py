"""What was asked of ``verify``, ``inspect`` and ``evaluate``, for whatever lies at MODEL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alteraser.cli.beside import Beside
from alteraser.cli.common import Talk
from alteraser.cli.foreign_options import Reading, refuse
from alteraser.cli.screen import Screen
from alteraser.errors import InvalidInput


@dataclass(frozen=True)
class VerifyRequest:
    """The options of ``verify``."""

    screen: Screen
    model: Path
    data: Path
    before: Path | None
    forgotten: Path | None
    unrelated: bool
    replay: bool
    tolerance: float | None
    prove_up_to: int
    theirs: Reading
    beside: Beside
    threads: int

    def check_pair(self) -> None:
        """InvalidInput for what was forgotten without the model that it was forgotten in."""
        if self.forgotten is not None and self.before is None:
            raise InvalidInput(
                "--forgotten says what --before was trained on: give the original model as well"
            )

    def check_ours(self) -> None:
        """InvalidInput for options that are about other libraries' files."""
        refuse(
            self.theirs.given | {"tolerance": self.tolerance},
            "is for models of other libraries: how its data are read, and how far it went, is kept "
            "in the model",
        )


@dataclass(frozen=True)
class InspectRequest:
    """The options of ``inspect``."""

    screen: Screen
    model: Path
    data: Path | None
    theirs: Reading
    talk: Talk

    def check_ours(self) -> None:
        """InvalidInput for options that are about other libraries' files."""
        refuse(
            self.theirs.given,
            "is for models of other libraries: how its data are read is kept in the model",
        )


@dataclass(frozen=True)
class EvaluateRequest:
    """What ``evaluate`` was asked."""

    screen: Screen
    model: Any
    """With items that nobody had, where their features were given"""
    test: Path
    data: Path
    context: str | None
    users: Any
    among: Any
    threads: int
