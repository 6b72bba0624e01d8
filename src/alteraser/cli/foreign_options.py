"""The options for model files of other libraries, and what is said of them before a file is
read.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.cli import completion, inputs
from alteraser.cli.screen import Screen
from alteraser.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from alteraser.adapters import ForeignOptions

PANEL = "Models of other libraries"

READING = (
    "user_column",
    "item_column",
    "threshold",
    "threshold_column",
    "duplicates",
    "columns",
    "separator",
    "decimal",
    "layout",
)


@dataclass(frozen=True)
class Reading:
    """Whose file it is, and how it and its data are read."""

    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            autocompletion=completion.FORMAT,
            help="Whose file MODEL is, where its content does not say.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    users_map: Annotated[
        Path | None,
        typer.Option(
            "--users-map",
            help="Which user each row is: a table (row, user_id), JSON, or RecBole's .inter or "
            "data set dump, LightFM's Dataset.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    items_map: Annotated[
        Path | None,
        typer.Option(
            "--items-map", help="The same for items.", rich_help_panel=PANEL, show_default=False
        ),
    ] = None
    rows_are_ids: Annotated[
        bool,
        typer.Option(
            "--rows-are-ids", help="Ids in DATA are MODEL's rows, from 0.", rich_help_panel=PANEL
        ),
    ] = False
    rating: Annotated[
        str | None,
        typer.Option(
            "--rating",
            help='Column or rule for r, the matrix entries MODEL was trained on, such as "plays" '
            'or "1 + 40 * plays"; without it 1.',
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    user_column: Annotated[
        str | None,
        typer.Option(
            "--user-column",
            help="Column with the user ids.",
            rich_help_panel=PANEL,
            show_default="user_id",
        ),
    ] = None
    item_column: Annotated[
        str | None,
        typer.Option(
            "--item-column",
            help="Column with the item ids.",
            rich_help_panel=PANEL,
            show_default="item_id",
        ),
    ] = None
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            help="Keep rows whose rating is at least this.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    threshold_column: Annotated[
        str | None,
        typer.Option(
            "--threshold-column",
            help="Column the threshold looks at.",
            rich_help_panel=PANEL,
            show_default="rating",
        ),
    ] = None
    duplicates: Annotated[
        str | None,
        typer.Option(
            "--duplicates",
            autocompletion=completion.DUPLICATES,
            help="refuse, first, last or sum (of r).",
            rich_help_panel=PANEL,
            show_default="refuse",
        ),
    ] = None
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            help="Names of the columns of text without a header, in their order.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    separator: Annotated[
        str | None,
        typer.Option(
            "--separator",
            help="What is between the fields of text.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    decimal: Annotated[
        str | None,
        typer.Option(
            "--decimal",
            help="What is before a fraction in text: '.' or ','.",
            rich_help_panel=PANEL,
            show_default=".",
        ),
    ] = None
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout",
            autocompletion=completion.LAYOUT,
            help="Text whose lines are no rows: netflix, adjacency.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    alpha: Annotated[
        float | None,
        typer.Option(
            "--alpha",
            help="α, where MODEL does not say.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    regularization: Annotated[
        float | None,
        typer.Option(
            "--regularization",
            help="λ, where MODEL does not say.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    missing_weight: Annotated[
        float | None,
        typer.Option(
            "--missing-weight",
            help="w₀, where MODEL holds only factors.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    loss: Annotated[
        str | None,
        typer.Option(
            "--loss",
            autocompletion=completion.LOSS,
            help="What was minimized, where MODEL holds only factors.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    implicit: Annotated[
        bool | None,
        typer.Option(
            "--implicit/--explicit",
            help="Kind of feedback, where MODEL does not say.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle",
            help="Read a pickle, with a reader that runs nothing of it.",
            rich_help_panel=PANEL,
        ),
    ] = False

    @cached_property
    def given(self) -> dict[str, Any]:
        """What was given of all but ``format``, None for the rest."""
        return {
            field.name: getattr(self, field.name) or None
            if field.default is False
            else getattr(self, field.name)
            for field in fields(self)
            if field.name != "format"
        }


@dataclass(frozen=True)
class Care:
    """How careful forgetting in such a file is."""

    purged: Annotated[
        bool,
        typer.Option(
            "--purged",
            help="Pairs of FORGET that match nothing were deleted from DATA before.",
            rich_help_panel=PANEL,
        ),
    ] = False
    unchecked: Annotated[
        bool,
        typer.Option(
            "--unchecked", help="Go on although MODEL does not fit DATA.", rich_help_panel=PANEL
        ),
    ] = False
    scrub: Annotated[
        bool,
        typer.Option(
            "--scrub",
            help="Also rewrite, in place, other files that are known to hold the erased data.",
            rich_help_panel=PANEL,
        ),
    ] = False


def is_foreign(model: Path, asked: Reading) -> bool:
    """Whether ``model`` is another library's: said so, a plain file, a folder that an adapter
    recognizes or, with options that are for such models, any that has no model.json.

    Raises NotFound where there is nothing.
    """
    if not model.exists():
        raise NotFound(f"there is no model at {model}; check the path", path=str(model))
    if asked.format is not None:
        return True
    if (model / "model.json").is_file():
        return False
    if model.is_file():
        return True
    from alteraser.adapters import ADAPTERS, adapter_named

    if any(adapter_named(name).recognizes(model) for name in ADAPTERS):
        return True
    # meant as one: let it be said which there are
    return any(value is not None for value in asked.given.values())


def refuse(given: dict[str, Any], why: str) -> None:
    """InvalidInput for the first option that was given and means nothing here."""
    for name, value in given.items():
        if value is not None and value is not False:
            option = {"implicit": "--implicit/--explicit"}.get(name, f"--{name.replace('_', '-')}")
            raise InvalidInput(f"{option} {why}")


def options_from(asked: Reading) -> ForeignOptions:
    """ForeignOptions from command-line values; InvalidInput names the option."""
    from alteraser.adapters import ForeignOptions

    given = asked.given
    reading = inputs.reading_options(
        **{name: given[name] for name in READING if given.get(name) is not None}
    )
    rest = {
        name: value for name, value in given.items() if name not in READING and value is not None
    }
    with inputs.options_named():
        return ForeignOptions(reading=reading, **rest)


def warn_of_pickles(screen: Screen, asked: Reading) -> None:
    """Say what a pickle is to whoever allowed one."""
    if asked.allow_pickle:
        screen.note(
            "[yellow]pickles are allowed:[/yellow] they are read here by a reader that runs "
            "nothing of them; whatever else opens such a file runs it"
        )
