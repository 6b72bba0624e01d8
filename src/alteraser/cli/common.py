"""Options that several commands have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alteraser.cli import completion, inputs

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions

Json = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout; everything else on stderr.")
]

Threads = Annotated[
    int, typer.Option("--threads", min=0, help="Worker threads; 0 for every processor.")
]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")]

Verbose = Annotated[
    bool, typer.Option("--verbose", help="List all of what is shown the first few of.")
]

DataArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATA", help="Interactions: a file, or a folder with interactions.parquet."
    ),
]

DataOption = Annotated[Path, typer.Option("--data", help="Interactions: a file, or a folder.")]

ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="A model directory.")]

Among = Annotated[
    Path | None,
    typer.Option(
        "--among",
        metavar="FILE",
        help="Rank these items alone: a table with item_id.",
        show_default="all of them",
    ),
]
UserColumn = Annotated[str, typer.Option("--user-column", help="Column with the user ids.")]

ItemColumn = Annotated[str, typer.Option("--item-column", help="Column with the item ids.")]

Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold", help="Keep rows whose rating is at least this.", show_default=False
    ),
]

ThresholdColumn = Annotated[
    str, typer.Option("--threshold-column", help="Column the threshold looks at.")
]

Confidence = Annotated[
    str | None,
    typer.Option(
        "--confidence", help='Column or rule for c, such as "1 + 40 * rating".', show_default=False
    ),
]

Target = Annotated[
    str | None,
    typer.Option("--target", help="Column or rule for the target y.", show_default=False),
]

TimestampColumn = Annotated[
    str | None,
    typer.Option(
        "--timestamp-column",
        help="Column that says when: numbers, dates, times, or ISO 8601 text.",
        show_default=False,
    ),
]

SessionColumn = Annotated[
    str | None,
    typer.Option(
        "--session-column",
        help="Column that says in which session of its user a row was; the user column, "
        "where every user is one session.",
        show_default=False,
    ),
]

SessionGap = Annotated[
    str | None,
    typer.Option(
        "--session-gap",
        metavar="TIME",
        help="Where no column says it: a time after which whatever comes is "
        "another session, such as 30m, 1h, 2d, or a number in the unit of --timestamp-column.",
        show_default=False,
    ),
]

BasketColumn = Annotated[
    str | None,
    typer.Option(
        "--basket-column",
        help="Column that says in which basket of its user a row was.",
        show_default=False,
    ),
]

PositionColumn = Annotated[
    str | None,
    typer.Option(
        "--position-column",
        help="Column of numbers that orders rows of the same time, or, without times, all of them.",
        show_default="the order of the rows",
    ),
]

SegmentColumn = Annotated[
    str | None,
    typer.Option(
        "--segment-column",
        help="Column that says of which segment a row is, such as a country or a device, where "
        "popularity is counted by it.",
        show_default=False,
    ),
]

Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Names of the columns of text without a header, in their order, such as "
        "user_id,item_id,rating.",
        show_default=False,
    ),
]

Separator = Annotated[
    str | None,
    typer.Option(
        "--separator",
        help="What is between the fields of text: ';', '::', tab, space.",
        show_default="what its first line is cut by",
    ),
]

Decimal = Annotated[
    str | None,
    typer.Option(
        "--decimal", help="What is before a fraction in text: '.' or ','.", show_default="."
    ),
]

Layout = Annotated[
    str | None,
    typer.Option(
        "--layout",
        autocompletion=completion.LAYOUT,
        help="Text whose lines are no rows: netflix (an item's 1: and its users below), adjacency "
        "(a user and all of its items).",
        show_default=False,
    ),
]

Confirm = Annotated[
    bool,
    typer.Option(
        "--confirm", help="At the tolerance, look for a saddle and go on from it (costly)."
    ),
]

Duplicates = Annotated[
    str,
    typer.Option(
        "--duplicates", autocompletion=completion.DUPLICATES, help="refuse, first, last or sum."
    ),
]


def paragraphs(text: str) -> str:
    """A docstring's paragraphs as lines of their own, which the terminal wraps as wide as it is.

    Square brackets are text: help is set by rich, which would take ``[service]`` for a style.
    """
    lines = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return "\n\n".join(lines).replace("[", "\\[")


@dataclass(frozen=True)
class Talk:
    """With how many workers, and how much is said."""

    threads: Threads = 0
    verbose: Verbose = False
    quiet: Quiet = False
    json: Json = False


@dataclass(frozen=True)
class HowRead:
    """How DATA are read: their columns, and what of them counts."""

    user_column: UserColumn = "user_id"
    item_column: ItemColumn = "item_id"
    threshold: Threshold = None
    threshold_column: ThresholdColumn = "rating"
    confidence: Confidence = None
    target: Target = None
    timestamp_column: TimestampColumn = None
    session_column: SessionColumn = None
    session_gap: SessionGap = None
    basket_column: BasketColumn = None
    position_column: PositionColumn = None
    segment_column: SegmentColumn = None
    duplicates: Duplicates = "refuse"
    columns: Columns = None
    separator: Separator = None
    decimal: Decimal = None
    layout: Layout = None

    def options(self) -> ReadingOptions:
        """The same as a model keeps it; InvalidInput, naming the option, for what cannot be."""
        return inputs.reading_options(**vars(self))
