"""Somebody else's model files: read, checked against their data, forgotten in, written back as they
were.

    adapter = find(path)                            # by content; or adapter_named("implicit")
    foreign = adapter.read(path, ForeignOptions())

To add a format, write its module beside ``implicit.py`` with an object ``ADAPTER`` that has the
four methods of ``Adapter``, and its line into ``ADAPTERS``. Modules are imported when they are
asked for.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from alteraser.adapters.contract import (
    CONTAINER,
    Adapter,
    Changed,
    Foreign,
    ForeignErasing,
    ForeignLoss,
    ForeignOutcome,
    Holding,
    Sibling,
)
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.selfcheck import SelfCheck
from alteraser.errors import IntegrityError, InvalidInput, NotFound

ADAPTERS: dict[str, str] = {
    "arrays": "alteraser.adapters.arrays",
    "cornac": "alteraser.adapters.cornac",
    "implicit": "alteraser.adapters.implicit",
    "keras": "alteraser.adapters.keras",
    "lightfm": "alteraser.adapters.lightfm",
    "recbole": "alteraser.adapters.recbole",
    "spark": "alteraser.adapters.spark",
    "surprise": "alteraser.adapters.surprise",
    "torch": "alteraser.adapters.torch",
}
"""Formats by their name on the command line, and the module that knows each."""


def adapter_named(name: str) -> Adapter:
    """The adapter called ``name``. Raises InvalidInput for an unknown one."""
    if name not in ADAPTERS:
        raise InvalidInput(f"--format {name}: unknown; there are {', '.join(ADAPTERS)}")
    adapter: Adapter = import_module(ADAPTERS[name]).ADAPTER
    return adapter


def find(path: Path, name: str | None = None) -> Adapter:
    """The adapter called ``name``, or the one that recognizes what is at ``path``.

    Raises NotFound where there is nothing, IntegrityError for a file that is empty or was cut off,
    InvalidInput where no adapter or more than one recognizes it.
    """
    if not path.exists():
        raise NotFound(f"there is no model at {path}; check the path", path=str(path))
    if name is not None:
        return adapter_named(name)
    known = [each for each in map(adapter_named, ADAPTERS) if each.recognizes(path)]
    if len(known) == 1:
        return known[0]
    if known:
        raise InvalidInput(
            f"{path} could be {' or '.join(each.name for each in known)}: say which it is with "
            "--format",
            path=str(path),
        )
    from alteraser.adapters.elsewhere import damaged
    from alteraser.adapters.elsewhere import known as known_elsewhere

    broken = damaged(path)
    if broken is not None:
        raise IntegrityError(broken, path=str(path))
    words = known_elsewhere(path)
    if words is not None:
        raise InvalidInput(words, path=str(path))
    raise InvalidInput(
        f"{path} is neither a model that alteraser train wrote nor one of {', '.join(ADAPTERS)}. "
        "Check the path, or name its --format to hear what is missing",
        path=str(path),
    )


__all__ = [
    "ADAPTERS",
    "CONTAINER",
    "Adapter",
    "Changed",
    "Foreign",
    "ForeignErasing",
    "ForeignLoss",
    "ForeignOptions",
    "ForeignOutcome",
    "Holding",
    "SelfCheck",
    "Sibling",
    "adapter_named",
    "find",
]
