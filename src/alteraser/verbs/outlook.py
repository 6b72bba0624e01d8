"""What may come of forgetting, before it is done: the ways that it may end as, and the classes.

Which of the classes it will be nobody knows beforehand: all but A are measured on the new model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outlook:
    """What may come of it, likeliest or best first."""

    methods: tuple[str, ...]
    classes: tuple[str, ...]

    def details(self) -> dict[str, Any]:
        """For JSON."""
        return {"methods_possible": list(self.methods), "classes_possible": list(self.classes)}

    @property
    def words(self) -> str:
        """The classes, and when which of them it is will be known.

        >>> Outlook(("local", "rows"), ("L", "D")).words
        'L, or D with exit code 8: measured once it is done'
        >>> Outlook(("replay",), ("A",)).words
        'A: computed without the data'
        """
        if self.classes == ("A",):
            return "A: computed without the data"
        good = [name for name in self.classes if name != "D"]
        if not good:
            return "D, with exit code 8: nothing better can be shown of such a model"
        found = " or ".join([", ".join(good[:-1]), good[-1]] if good[1:] else good)
        if "D" in self.classes:
            found += ", or D with exit code 8"
        return f"{found}: measured once it is done"


def merged(*parts: Sequence[str]) -> tuple[str, ...]:
    """All of them, each once, in the order of the first time.

    >>> merged(("A",), ("L", "D"), ("D",))
    ('A', 'L', 'D')
    """
    return tuple(dict.fromkeys(name for part in parts for name in part))
