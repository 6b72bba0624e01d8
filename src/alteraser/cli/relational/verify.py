"""``verify`` of a model of several sources."""

from __future__ import annotations

from alteraser.cli.examining import VerifyRequest
from alteraser.cli.foreign_options import refuse
from alteraser.cli.relational import sources
from alteraser.cli.verify import measured


def verify(asked: VerifyRequest) -> int:
    """Held against DATA and all that was given beside them."""
    asked.check_ours()
    refuse(
        {"replay": asked.replay or None},
        "means nothing to a model of kind linear, which is measured at its optimum",
    )
    refuse(
        {"forgotten": asked.forgotten},
        "means nothing to a model of kind linear, whose DATA and files say what is left: give "
        "--before alone to measure what is left of the original",
    )
    with asked.screen.phase("read", "reading"):
        loaded = sources.load(asked.model)
        original = None if asked.before is None else sources.load(asked.before)
        remaining = sources.read(loaded, asked.data, asked.beside)
    return measured(asked, loaded, original, remaining, None)
