"""Methods that unlearn: one file per eraser, one driver they share."""

from __future__ import annotations

from collections.abc import Callable

from alteraser.erasers.alteraser import AltEraser
from alteraser.erasers.driver import Outcome, PassRecord, Settings, run_passes
from alteraser.erasers.first_order import FirstOrder, retrain_adamw, warm_start
from alteraser.erasers.global_newton import GlobalNewton
from alteraser.erasers.influence import Influence
from alteraser.erasers.retrain import Retrain
from alteraser.erasers.task import Eraser, Task
from alteraser.errors import InvalidInput

ERASERS: dict[str, Callable[..., Eraser]] = {
    "alteraser": AltEraser,
    "retrain": Retrain,
    "warm-start": warm_start,
    "retrain-adamw": retrain_adamw,
    "influence": Influence,
    "global-newton": GlobalNewton,
}
"""Erasers by the name used on the command line."""


def eraser(method: str | Eraser, **settings: object) -> Eraser:
    """The eraser called ``method`` with ``settings``, or ``method`` itself. Raises InvalidInput if unknown."""
    if not isinstance(method, str):
        return method
    try:
        return ERASERS[method](**settings)
    except KeyError:
        raise InvalidInput(f"unknown method {method!r}; there are {', '.join(ERASERS)}") from None


__all__ = [
    "ERASERS",
    "AltEraser",
    "Eraser",
    "FirstOrder",
    "GlobalNewton",
    "Influence",
    "Outcome",
    "PassRecord",
    "Retrain",
    "Settings",
    "Task",
    "eraser",
    "run_passes",
]
