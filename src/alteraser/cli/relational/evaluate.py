"""Accuracy of a model of several sources, by user and context."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alteraser.cli import inputs
from alteraser.cli.relational.sources import contexts_of
from alteraser.cli.screen import Screen

if TYPE_CHECKING:
    from alteraser.models.relational.composite import CompositeModel
    from alteraser.verbs.evaluate import Coverage


def evaluated(
    screen: Screen,
    model: CompositeModel,
    test: Path,
    data: Path,
    context: str | None,
    *,
    users: Any,
    among: Any,
    threads: int,
) -> tuple[dict[str, float], Coverage] | None:
    """Accuracy by user and context; None where there are no contexts to tell apart."""
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.sheet import Sheet
    from alteraser.data.side.contexts import columns_of
    from alteraser.data.side.sources import main_links
    from alteraser.verbs.relational.evaluate import evaluate_in_contexts

    names = contexts_of(context) or model.context_names
    if not names:
        return None
    reading = model.reading or ReadingOptions()
    with screen.phase("read", "reading"):
        sheet = Sheet.read(test, reading, every_column=True, names=inputs.NOT_ASKED)
        if context is None:
            there = columns_of(names, sheet.raw, reading.timestamp_column)
            lacking = [name for name in names if name not in there]
            if lacking:
                screen.note(
                    f"{test} says nothing of {', '.join(lacking)}: every list is for the average"
                )
            names = there
        if not names:
            return None
        held_out = main_links(sheet, names)
        every = tuple(dict.fromkeys((*names, *model.context_names)))
        sheet = Sheet.read(data, reading, every_column=True, names=inputs.NOT_ASKED)
        masked = main_links(sheet, every)
    with screen.phase("solve", "ranking"), inputs.blas_threads(threads):
        return evaluate_in_contexts(model, held_out, data=masked, users=users, among=among)
