"""What can be told wrong about options before a model or any data are read."""

from __future__ import annotations

from pathlib import Path

from alteraser.adapters import find
from alteraser.adapters.contract import Adapter
from alteraser.adapters.losses import named_loss
from alteraser.adapters.options import ForeignOptions
from alteraser.errors import InvalidInput, NotFound

NAMED = ("arrays", "keras", "torch")
"""Formats that hold tables and nothing about their loss."""

SAID: dict[str, tuple[str, ...]] = {
    "cornac": ("alpha", "loss", "missing_weight", "regularization"),
    "implicit": ("loss", "missing_weight"),
    "lightfm": ("alpha", "missing_weight", "regularization"),
    "recbole": ("alpha", "loss"),
    "spark": ("loss", "missing_weight"),
    "surprise": ("alpha", "loss", "missing_weight", "regularization"),
}
"""Options that a format has no use for, whatever is in the file."""


FEEDBACK = {"implicit": True, "recbole": True, "surprise": False}
"""Whether models of a format are for implicit feedback, where all of them are or none."""


def checked(path: Path, options: ForeignOptions, format: str | None = None) -> Adapter:
    """The adapter for the model at ``path``, after a look at ``options`` that reads a few bytes of
    it at most.

    Raises InvalidInput for a loss that is unknown, lacks what it needs, or is the container's own
    business, for options that contradict each other or the format, and as ``find``; NotFound for a
    map that is not there.
    """
    adapter = find(path, format)
    for name in SAID.get(adapter.name, ()):
        value = getattr(options, name)
        if value is not None:
            raise InvalidInput(
                f"--{name.replace('_', '-')} {value}: {path} says which loss it minimized; leave "
                "it out",
                path=str(path),
            )
    expected = FEEDBACK.get(adapter.name)
    if options.implicit is not None and expected is not None and options.implicit != expected:
        option, kind = (
            ("--implicit", "ratings") if options.implicit else ("--explicit", "implicit feedback")
        )
        raise InvalidInput(
            f"{option} contradicts {path}: such models are trained on {kind}", path=str(path)
        )
    if adapter.name == "spark" and options.implicit is False and options.alpha is not None:
        raise InvalidInput(
            f"--alpha {options.alpha:g} means nothing with --explicit; leave one of them out"
        )
    if adapter.name in NAMED:
        named_loss(path, options, 1)
    for side, file in (("users", options.users_map), ("items", options.items_map)):
        if file is not None and not file.exists():
            raise NotFound(f"--{side}-map {file} does not exist; check the path", path=str(file))
    return adapter
