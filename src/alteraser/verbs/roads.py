"""What a kind of model says for itself so that ``forget`` takes it: one function each, found by the
model's type.

``opened`` (a path becomes a model and its data), ``match`` (what a request means on the data),
``plan`` (what would be done) and ``unlearn`` (do it). ``match`` is in ``alteraser.verbs.deleting``.
A module that knows a kind registers there what is different about it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from importlib import import_module
from pathlib import Path
from typing import Any

from alteraser.data.deletion import Deletion
from alteraser.erasers import Eraser
from alteraser.errors import InvalidInput
from alteraser.verbs.choose import Auto, Choice
from alteraser.verbs.erasure import Erasure
from alteraser.verbs.lists import ListsChanged

Method = str | Auto | Eraser
OnChoice = Callable[[Choice, Callable[[], ListsChanged]], None]

ELSEWHERE = "alteraser.adapters.forget"
"""Knows models that are not folders of ours; imported for one"""


@singledispatch
def unlearn(
    model: Any,
    found: Deletion,
    *,
    method: Any = "auto",
    threads: int = 0,
    on_pass: Callable[[Any], None] | None = None,
    on_choice: OnChoice | None = None,
) -> Erasure[Any]:
    """``forget`` once ``match`` has said what that means.

    ``method`` is a ``Method``, or settings that the kind has for a way of its own.
    """
    raise NotImplementedError(type(model).__name__)


@singledispatch
def plan(model: Any, found: Deletion, method: Method = "auto", *, threads: int = 0) -> Any:
    """What ``unlearn`` would do, and at what cost; None where there is nothing to choose."""
    return None


@singledispatch
def opened(model: Any, data: Any, **options: Any) -> tuple[Any, Any]:
    """(the model, its data), where they are files read.

    Raises InvalidInput for ``options`` that nothing asks for, and for what is no model that can
    forget.
    """
    if unlearn.dispatch(type(model)) is unlearn.dispatch(object):
        raise InvalidInput(
            f"cannot forget in a {type(model).__name__}: give a model, or the path of one"
        )
    if options:
        raise InvalidInput(
            f"forget has no use for {', '.join(options)} with a {type(model).__name__}"
        )
    return model, data


@opened.register(str)
def _named(model: str, data: Any, **options: Any) -> tuple[Any, Any]:
    return opened(Path(model), data, **options)


@opened.register(Path)
def _at(model: Path, data: Any, **options: Any) -> tuple[Any, Any]:
    from alteraser.data.interactions import Interactions
    from alteraser.models.folder import load_model

    if not (model / "model.json").is_file():
        return import_module(ELSEWHERE).opened_at(model, data, **options)  # type: ignore[no-any-return]
    loaded = load_model(model)
    read = data if isinstance(data, Interactions) else Interactions.read(data, loaded.reading)
    return opened(loaded, read, **options)
