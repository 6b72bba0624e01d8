"""What ``forget`` says at its end: others' lists, what may come back, what training again would
have taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alteraser.cli.screen import seconds_text

if TYPE_CHECKING:
    from alteraser.verbs.lists import Aftermath

Rows = list[tuple[str, str]]


def rows(seen: Aftermath, *, ours: bool = True) -> Rows:
    """Rows of the answer; only models of ``ours`` are what ``recommend`` takes."""
    found: Rows = []
    lists, again = seen.lists, seen.again
    if lists is not None and lists.users:
        found.append(
            (
                "others",
                f"the top-10 of {lists.changed:.1%} of {lists.users:,} other users changed; "
                f"overlap {lists.overlap:.3f}",
            )
        )
    if again is not None and again.interactions:
        share = "none" if not again.listed else f"{again.listed:,}"
        found.append(
            (
                "may come back",
                f"{share} of {again.interactions:,} forgotten items are in the top-10 of who "
                "asked; forgetting takes clicks out of a model, no item out of a list"
                + ("; recommend --exclude FORGET keeps them out" if ours else ""),
            )
        )
    return found


def time(seconds: dict[str, float], refit: float | None) -> tuple[str, str]:
    """What it took, beside what training without the data would take."""
    against = (
        ""
        if refit is None
        else f"; training again without the data would take about {refit:.2g} s (predicted)"
    )
    return "time", seconds_text(seconds) + against
