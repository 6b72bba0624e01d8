"""The options that say what a linear model knows beside DATA."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.data.side.sources import SetupFile, Sources
    from alteraser.models.relational.composite import CompositeModel

COMPOSITE = "linear"
"""The kind that knows more than DATA"""
PANEL = "Features, contexts and relations"


@dataclass(frozen=True)
class Beside:
    """Files beside DATA; in every command the same."""

    item_features: Annotated[
        str | None,
        typer.Option(
            "--item-features",
            metavar="FILE[:COLUMN,…]",
            help="What is known of items: a table with item_id; words, lists of words or a|b, "
            "numbers (standardised). COLUMN=number or =category where the type does not say it.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    user_features: Annotated[
        str | None,
        typer.Option(
            "--user-features",
            metavar="FILE[:COLUMN,…]",
            help="Likewise of users, with user_id.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    relation: Annotated[
        list[str] | None,
        typer.Option(
            "--relation",
            metavar="NAME=FILE",
            help="A further relation: two columns of ids (views, tags, friends), or head, "
            "relation, tail of a graph. NAME=FILE:TABLE,TABLE where the columns do not say "
            "whose ids they hold. May be repeated.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    entities: Annotated[
        list[str] | None,
        typer.Option(
            "--entities",
            metavar="TABLE=FILE:COLUMN",
            help="Which node of a graph an item is: item=items.csv:kg_entity. May be repeated.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    setup: Annotated[
        Path | None,
        typer.Option(
            "--setup",
            metavar="FILE.toml",
            help="All of this, and what relations weigh, in a file.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """What was given, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    def refuse(self, why: str) -> None:
        """InvalidInput where any of it was given."""
        for name in self.given:
            raise InvalidInput(f"--{name.replace('_', '-')} {why}")

    def sources(self, contexts: tuple[str, ...] = ()) -> tuple[Sources, SetupFile]:
        """The files, those of ``--setup`` included, and what that says of the model."""
        from alteraser.data.side.sources import SetupFile, Sources
        from alteraser.data.side.spec import EntityFile, FeatureFile, RelationFile

        file, base = SetupFile(), Sources()
        if self.setup is not None:
            file = SetupFile.read(self.setup)
            base = Sources.of(file, self.setup)
        features = {
            table: FeatureFile.parse(text, f"--{table}-features")
            for table, text in (("item", self.item_features), ("user", self.user_features))
            if text is not None
        }
        relations = tuple(RelationFile.parse(text) for text in self.relation or ())
        names = [x.name for x in relations]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InvalidInput(f"--relation {twice}: two relations have that name")
        entities = tuple(EntityFile.parse(text) for text in self.entities or ())
        return base.and_(Sources(features, relations, entities, contexts)), file

    def of(self, model: CompositeModel) -> Sources:
        """The files, with the columns and contexts that ``model`` was trained with."""
        settled = {
            table: {x.column: x.kind for x in columns}
            for table, columns in model.settings.features.items()
        }
        return self.sources()[0].settled(settled, model.settings.contexts)


def with_sources(path: Path, beside: Beside) -> tuple[Any, Sources | None]:
    """The model at ``path`` and the files that it learned from beside DATA; None of one that knows
    DATA alone, and InvalidInput where files are given to such a one.
    """
    from alteraser.cli import inputs

    found: Any = inputs.load_model(path)
    if found.kind == COMPOSITE:
        return found, beside.of(found)
    beside.refuse(f"means nothing to a model of kind {found.kind}, which knows DATA alone")
    return found, None


BESIDE = frozenset({*(field.name for field in fields(Beside)), "context"})
"""Parameters that say what is beside DATA"""


def refuse_context(context: str | None, kind: str) -> None:
    """InvalidInput where ``--context`` was given to a model that has none."""
    if context is not None:
        raise InvalidInput(
            f"--context means nothing to a model of kind {kind}: train with --context"
        )
