"""Methods that unlearn: one file per eraser, one driver they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial

from alteraser.erasers.alteraser import AltEraser
from alteraser.erasers.driver import Outcome, PassRecord, Settings, run_passes
from alteraser.erasers.first_order import FirstOrder, retrain_adamw, warm_start
from alteraser.erasers.global_newton import GlobalNewton
from alteraser.erasers.influence import Influence
from alteraser.erasers.local import Local
from alteraser.erasers.retrain import Retrain
from alteraser.erasers.task import Eraser, Task
from alteraser.errors import InvalidInput

ERASERS: dict[str, Callable[..., Eraser]] = {
    "local": Local,
    "converge": partial(AltEraser, name="converge"),
    "alteraser": AltEraser,
    "retrain": Retrain,
    "warm-start": warm_start,
    "retrain-adamw": retrain_adamw,
    "influence": Influence,
    "global-newton": GlobalNewton,
}
"""Erasers by the name used on the command line; ``alteraser`` is another name of ``converge``."""


CHOSEN = ("auto", "replay")
"""Methods that depend on what the model says of its training; see ``alteraser.choosing``."""


_CLASSES: dict[str, type] = {
    "converge": AltEraser,
    "local": Local,
    "alteraser": AltEraser,
    "retrain": Retrain,
    "warm-start": FirstOrder,
    "retrain-adamw": FirstOrder,
    "influence": Influence,
    "global-newton": GlobalNewton,
}

_FIXED = {"name", "start"}
"""Fields that a method's name decides."""


def accepted(method: str) -> set[str]:
    """Names of the settings that the eraser called ``method`` takes. Raises InvalidInput if unknown."""
    if method not in _CLASSES:
        raise InvalidInput(f"unknown method {method!r}; there are {', '.join((*CHOSEN, *ERASERS))}")
    names = {field.name for field in fields(_CLASSES[method])} - _FIXED
    return names - {"solver"} if method in ("influence", "global-newton") else names


def eraser(method: str | Eraser, **settings: object) -> Eraser:
    """The eraser called ``method`` with ``settings``, or ``method`` itself. Raises InvalidInput if unknown."""
    if not isinstance(method, str):
        return method
    if method not in ERASERS:
        raise InvalidInput(f"unknown method {method!r}; there are {', '.join((*CHOSEN, *ERASERS))}")
    return ERASERS[method](**settings)


__all__ = [
    "ERASERS",
    "AltEraser",
    "Eraser",
    "FirstOrder",
    "GlobalNewton",
    "Influence",
    "Local",
    "Outcome",
    "PassRecord",
    "Retrain",
    "Settings",
    "Task",
    "eraser",
    "run_passes",
]
