"""What a model of several sources is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alteraser.cli.relational.sources import load
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.cli.examining import InspectRequest
    from alteraser.models.relational.setup import Block


def inspect(asked: InspectRequest) -> int:
    """What a model of kind ``linear`` is, and what it learned from; nothing is written."""
    asked.check_ours()
    screen, path = asked.screen, asked.model
    if asked.data is not None:
        raise InvalidInput(
            "--data: a model of kind linear learned from more; verify holds it against all of it"
        )
    with screen.phase("read", "reading"):
        model = load(path)
    m, n = model.shape
    settings = model.settings.own()
    trained = model.trained_on
    screen.result(
        {
            "model": str(path),
            "format": "alteraser",
            "kind": model.kind,
            "users": m,
            "items": n,
            "factors": model.settings.factors,
            "dtype": "float64",
            "arrays": {name: list(x.shape) for name, x in model.tables.items()},
            "hyperparameters": settings,
            "sources": dict(model.sources),
            "digest": model.digest,
            "parent": model.parent,
            "trained_on": trained.to_document(),
            "training": dict(model.training),
            "seconds": screen.timing(),
        },
        [
            ("model", f"{path}: alteraser linear"),
            ("shape", f"{m:,} users, {n:,} items, {model.settings.factors} factors"),
            *(
                (f"table {table}", ", ".join(_block_words(block) for block in blocks))
                for table, blocks in model.blocks.items()
            ),
            *(
                (f"learned from {name}", f"{digest[:12]}…")
                for name, digest in model.sources.items()
            ),
            (
                "trained on",
                f"{trained.interactions:,} interactions of {trained.users:,} users and "
                f"{trained.items:,} items",
            ),
        ],
    )
    return 0


def _block_words(block: Block) -> str:
    if block.sort == "entity":
        return f"{block.ids.size:,} ids"
    if block.scale is None:
        return f"{block.sort} {block.name} ({block.ids.size:,} words)"
    return f"{block.name} (mean {block.scale[0]:.4g}, deviation {block.scale[1]:.4g})"
