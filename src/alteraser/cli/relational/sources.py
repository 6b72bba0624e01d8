"""Models of several sources on the command line: read with all that they learned from, and as lists
are asked of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alteraser.cli import inputs
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.cli.beside import Beside
    from alteraser.data.side.given import Given
    from alteraser.data.side.sources import Sources
    from alteraser.models.relational.composite import CompositeModel


def contexts_of(text: str | None) -> tuple[str, ...]:
    """``weekday,daytime``; InvalidInput for a name that is there twice."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    empty = text is not None and not names
    if empty or len(set(names)) < len(names) or any("=" in name for name in names):
        raise InvalidInput(f"--context {text}: expected names, each once, such as weekday,daytime")
    return tuple(names)


def load(path: Path) -> CompositeModel:
    """The model; InvalidInput for one of another kind."""
    from alteraser.models.folder import load_model
    from alteraser.models.relational.composite import CompositeModel

    found = load_model(path)
    if not isinstance(found, CompositeModel):
        raise InvalidInput(f"{path} is of kind {found.kind}, not linear: it is not its original")
    return found


def read(model: CompositeModel, data: Path, beside: Beside) -> Given:
    """Everything that a model stands for, read as it was for training."""
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.sheet import Sheet
    from alteraser.data.side.sources import read_given

    sources = beside.of(model)
    reading = model.reading or ReadingOptions()
    sheet = Sheet.read(data, reading, every_column=bool(sources.contexts), names=inputs.NOT_ASKED)
    return read_given(sheet, sources, kinds=model.id_kinds)


def shown(
    model: CompositeModel, sources: Sources, context: str | None, features: Path | None
) -> CompositeModel:
    """The model as lists are asked of it: in a context, with cold items, or of somebody new."""
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.side.attributes import read_attributes
    from alteraser.data.side.spec import FeatureFile, words_of

    reading = model.reading or ReadingOptions()
    columns = {"user": reading.user_column, "item": reading.item_column}
    for table, file in sources.features.items():
        if not model.settings.features.get(table):
            raise InvalidInput(
                f"--{table}-features: the model was trained without features of {table}s, so it "
                f"can say nothing by these; train with --{table}-features"
            )
        if table not in columns:
            continue  # nobody is listed of a further table
        known = read_attributes(file, table, columns[table], option=f"--{table}-features")
        model = model.with_items(known) if table == "item" else model.with_users(known)
    if features is not None:
        settled = {x.column: x.kind for x in model.settings.features.get("user", ())}
        if not settled:
            raise InvalidInput(
                "--features: the model was trained without features of users, so it can say "
                "nothing of somebody it does not know; train with --user-features"
            )
        file = FeatureFile(features, tuple(settled), tuple(settled.items()))
        known = read_attributes(file, "user", columns["user"], option="--features", partly=True)
        model = model.of_users(known)
    # last: those before it are in a context on average
    return model if context is None else model.in_context(words_of(context))
