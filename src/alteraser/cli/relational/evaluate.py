"""Accuracy of a model of several sources, by user and context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alteraser.cli import inputs
from alteraser.cli.examining import EvaluateRequest
from alteraser.cli.relational.sources import contexts_of

if TYPE_CHECKING:
    from alteraser.verbs.evaluate import Coverage


def by_context(asked: EvaluateRequest) -> tuple[dict[str, float], Coverage]:
    """Accuracy by user and context; by user where there are no contexts to tell apart."""
    from alteraser.cli.evaluate import by_user
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.sheet import Sheet
    from alteraser.data.side.contexts import columns_of
    from alteraser.data.side.sources import main_links
    from alteraser.verbs.relational.evaluate import evaluate_in_contexts

    model = asked.model
    names = contexts_of(asked.context) or model.context_names
    if not names:
        return by_user(asked)
    reading = model.reading or ReadingOptions()
    with asked.screen.phase("read", "reading"):
        sheet = Sheet.read(asked.test, reading, every_column=True, names=inputs.NOT_ASKED)
        if asked.context is None:
            there = columns_of(names, sheet.raw, reading.timestamp_column)
            lacking = [name for name in names if name not in there]
            if lacking:
                asked.screen.note(
                    f"{asked.test} says nothing of {', '.join(lacking)}: every list is for the "
                    "average"
                )
            names = there
        if not names:
            return by_user(asked)
        held_out = main_links(sheet, names)
        every = tuple(dict.fromkeys((*names, *model.context_names)))
        sheet = Sheet.read(asked.data, reading, every_column=True, names=inputs.NOT_ASKED)
        masked = main_links(sheet, every)
    with asked.screen.phase("solve", "ranking"), inputs.blas_threads(asked.threads):
        return evaluate_in_contexts(
            model, held_out, data=masked, users=asked.users, among=asked.among
        )
