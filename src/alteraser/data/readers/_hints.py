"""What somebody who reads text knows of it beforehand. Imports nothing: options are made before
anything is read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hints:
    """What is known of text that does not say it itself."""

    ids: tuple[str, str] = ("user_id", "item_id")
    """The columns of users and of items."""

    names: tuple[str, ...] | None = None
    """The columns, in their order, of text without a header."""

    separator: str | None = None
    layout: str | None = None
    """``netflix`` or ``adjacency``: text whose lines are no rows."""

    decimal: str = "."
