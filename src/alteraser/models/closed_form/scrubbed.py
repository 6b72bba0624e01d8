"""The receipt of what a deletion took out of a model beside the interactions: names, frequencies,
ages, lists.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Scrubbed:
    """Counts; None where a kind keeps no such thing, or where the data from before it are not
    known.
    """

    users: int
    """Ids of people who are left with nothing"""
    items: int
    """Ids of items that nobody has any more: no longer in the vocabulary"""
    document_frequencies: int
    """Items that fewer people have, whose frequency is what the rest gives"""
    days: int | None = None
    """Counts of an item's day that became less or went, of which ages are made"""
    pairs: int | None = None
    """Counts of two items that became less or went"""
    neighbor_lists: int | None = None
    """Lists that were made anew or lost somebody"""
    neighbor_lists_of_others: int | None = None
    """Those of them that belong to somebody (an item) of whom nothing was asked to go"""
    neighbor_lists_looked_at: int | None = None
    """Of how many lists that is said; where a kind keeps none, a sample of those that could hold
    who is erased"""

    def to_document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @property
    def words(self) -> str:
        """What there is, in a line: ``2 ids of people, 1 of items, 14 frequencies``."""
        named = {
            "ids of people": self.users,
            "ids of items": self.items,
            "frequencies": self.document_frequencies,
            "counts by day": self.days,
            "counts of pairs": self.pairs,
            "neighbor lists": self.neighbor_lists,
            "neighbor lists of others": self.neighbor_lists_of_others,
        }
        return ", ".join(f"{count:,} {name}" for name, count in named.items() if count)
