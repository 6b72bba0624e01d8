"""What a batch means on what a version holds, the model without it, and what may be said of that:
all that the service knows of how forgetting is done.

A version holds interactions, or several sources: the same questions (``questions``), answered by
the type of it.
"""

from __future__ import annotations

from alteraser.service.erasing.interactions import there_already
from alteraser.service.erasing.questions import (
    FoundInData,
    certify,
    check_left,
    erase,
    find,
    learned,
    people,
    stopping,
)
from alteraser.service.erasing.several import going

__all__ = [
    "FoundInData",
    "certify",
    "check_left",
    "erase",
    "find",
    "going",
    "learned",
    "people",
    "stopping",
    "there_already",
]
