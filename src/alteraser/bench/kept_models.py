"""What takes long, in a folder: models and the CPU seconds of their training. A run that was cut
short goes on from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

from alteraser.bench.common import clocked
from alteraser.errors import InvalidInput
from alteraser.models.loading import load
from alteraser.models.protocol import Recommender

M = TypeVar("M", bound=Recommender)


class KeptModels:
    """Models by name, of one set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def model(self, name: str, of: object, find: Callable[[], M]) -> tuple[M, float]:
        """(a model, CPU seconds of its training), from the folder, or found and saved there.

        ``of`` is what it was trained on and how; InvalidInput where that in the folder is of
        something else.
        """
        path, told = self.folder / name, self.folder / f"{name}.json"
        if not told.exists():
            model, seconds, _ = clocked(find)
            cast(Any, model).save(path)
            told.write_text(json.dumps({"of": str(of), "cpu_seconds": seconds}))
        found = json.loads(told.read_text())
        if found["of"] != str(of):
            raise InvalidInput(
                f"{path} was trained on other data, or otherwise: name another folder, or remove it"
            )
        return cast(M, load(path)), float(found["cpu_seconds"])


def kept(folder: Path | None) -> Any:
    """A context with ``folder``, or with one that goes when it ends."""
    return nullcontext(folder) if folder is not None else TemporaryDirectory()
