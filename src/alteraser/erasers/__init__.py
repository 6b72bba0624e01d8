"""Methods that unlearn: one file per eraser, one driver they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

from alteraser.erasers.alteraser import AltEraser
from alteraser.erasers.driver import Outcome, PassRecord, Settings, run_passes
from alteraser.erasers.first_order import FirstOrder, retrain_adamw, warm_start
from alteraser.erasers.global_newton import GlobalNewton
from alteraser.erasers.influence import Influence
from alteraser.erasers.local import Local
from alteraser.erasers.retrain import Retrain
from alteraser.erasers.shift import Eraser, Shift
from alteraser.errors import InvalidInput


@dataclass(frozen=True)
class Entry:
    """A method in the table."""

    make: Callable[..., Eraser]
    """The eraser, from settings by name"""
    settings: frozenset[str]
    """Names of the settings it takes"""


def entry(
    kind: type,
    *,
    make: Callable[..., Eraser] | None = None,
    fixed: tuple[str, ...] = (),
    **named: str,
) -> Entry:
    """The line of a dataclass of settings: all of its fields can be set but its name and those
    ``fixed`` or ``named``.

    ``make``: what makes one, where that is not the class itself with ``named``.
    """
    settings = {field.name for field in fields(kind)} - {"name", *fixed, *named}
    return Entry(make or partial(kind, **named), frozenset(settings))


ERASERS: dict[str, Entry] = {
    "local": entry(Local),
    "converge": entry(AltEraser, name="converge"),
    "alteraser": entry(AltEraser),
    "retrain": entry(Retrain),
    "warm-start": entry(FirstOrder, make=warm_start, fixed=("start",)),
    "retrain-adamw": entry(FirstOrder, make=retrain_adamw, fixed=("start",)),
    "influence": entry(Influence, fixed=("solver",)),
    "global-newton": entry(GlobalNewton, fixed=("solver",)),
}
"""Erasers by the name used on the command line; ``alteraser`` is another name of ``converge``."""


CHOSEN = ("auto", "replay")
"""Methods that depend on what the model says of its training; see ``alteraser.verbs.choose``."""


def accepted(method: str) -> frozenset[str]:
    """Names of the settings that the eraser called ``method`` takes. Raises InvalidInput if
    unknown.
    """
    return _entry(method).settings


def eraser(method: str | Eraser, **settings: object) -> Eraser:
    """The eraser called ``method`` with ``settings``, or ``method`` itself. Raises InvalidInput if
    unknown.
    """
    if not isinstance(method, str):
        return method
    return _entry(method).make(**settings)


def _entry(method: str) -> Entry:
    if method not in ERASERS:
        raise InvalidInput(f"unknown method {method!r}; there are {', '.join((*CHOSEN, *ERASERS))}")
    return ERASERS[method]


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
    "Shift",
    "eraser",
    "run_passes",
]
