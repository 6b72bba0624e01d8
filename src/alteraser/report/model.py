"""What a report says, before anything is said about how it looks.

Everything is text and numbers; whoever measured decides how a number is worded. A section whose
data is empty is left out of the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alteraser.errors import InvalidInput


@dataclass(frozen=True)
class Curve:
    """One line of a plot."""

    name: str
    x: Sequence[float]
    y: Sequence[float]

    def __post_init__(self) -> None:
        """Both axes have as many values."""
        if len(self.x) != len(self.y):
            raise InvalidInput(
                f"the curve {self.name!r} has {len(self.x)} x values and {len(self.y)} y values"
            )


@dataclass(frozen=True)
class ComparisonTable:
    """The same measures of several models.

    >>> table = ComparisonTable(["original", "unlearned"], [("NDCG@10", ["0.312", "0.311"])])
    """

    columns: Sequence[str]  # the models
    rows: Sequence[tuple[str, Sequence[str]]]  # the measure, and its value for each model
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Every row has a value for each column."""
        for name, values in self.rows:
            if len(values) != len(self.columns):
                raise InvalidInput(
                    f"the row {name!r} has {len(values)} values for {len(self.columns)} columns"
                )


@dataclass(frozen=True)
class ListItem:
    """One recommendation."""

    title: str
    note: str = ""  # say, its category
    flag: bool = False  # it is like what was forgotten


@dataclass(frozen=True)
class SideBySide:
    """One account's recommendations by several models.

    With three columns or more, the last one is the reference (retrained without the forgotten
    interactions), and the report marks where the column before it agrees. Items are the same if
    their titles are.
    """

    heading: str
    columns: Sequence[str]  # "before", "after forgetting", "retrained without it"
    rows: Sequence[Sequence[ListItem]]  # one per place in the list, best first
    flagged: str = "like what was forgotten"  # what a flag means, in words
    text: str = ""

    def __post_init__(self) -> None:
        """Every place is filled in each column."""
        for place, row in enumerate(self.rows, start=1):
            if len(row) != len(self.columns):
                raise InvalidInput(
                    f"place {place} of {self.heading!r} has {len(row)} items for "
                    f"{len(self.columns)} columns"
                )


@dataclass(frozen=True)
class ForgettingReport:
    """One act of forgetting: what was asked, what was done, what can be measured of it."""

    title: str
    lead: str  # two or three sentences for somebody who reads nothing else
    story: str | None = None  # what happened, and to whom
    figures: Sequence[tuple[str, str, str]] = ()  # label, value, explanation
    rows: ComparisonTable | None = None  # original, unlearned, retrained
    residual_by_pass: Sequence[Curve] = ()  # drawn on a logarithmic axis
    residual_tolerance: float | None = None  # a line across that plot
    scores_before: Sequence[float] = ()  # of the forgotten interactions, by the original model
    scores_after: Sequence[float] = ()  # by the unlearned one
    scores_retrained: Sequence[float] = ()
    lists: Sequence[SideBySide] = ()
    details: Sequence[tuple[str, str]] = ()  # hyper-parameters, versions, digests, the machine
    limits: Sequence[str] = ()  # what the report does not say
