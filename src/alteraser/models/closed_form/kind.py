"""A kind that forgets exactly, as it is met: its rule, and ``fit``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alteraser.models.closed_form.rule import (
    ROUNDED,
    Protocol,
    Rule,
    fits,
    largest_difference,
    relative,
    same_arrays,
)

if TYPE_CHECKING:
    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import ReadingOptions
    from alteraser.models.closed_form.model import ExactModel

__all__ = [
    "ROUNDED",
    "ExactKind",
    "Protocol",
    "Rule",
    "fits",
    "largest_difference",
    "relative",
    "same_arrays",
]


class ExactKind(Rule):
    """The rule of a kind, from which models are made."""

    def fit(
        self, data: Interactions, *, reading: ReadingOptions | None = None, threads: int = 0
    ) -> ExactModel:
        """The model of ``data``; ``reading`` is kept in it so that later commands read data the
        same way.

        Raises InvalidInput if there are no interactions, or if they have targets.
        """
        from alteraser.models.closed_form.model import fit

        return fit(self, data, reading=reading, threads=threads)
