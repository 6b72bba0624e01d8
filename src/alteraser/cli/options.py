"""Options from typed settings: a command takes a few groups of settings, the command line sees
their fields.

@dataclass(frozen=True)
class Talk:
    threads: Annotated[int, typer.Option("--threads", help="Worker threads.")] = 0

@grouped
def forget(model: ModelArgument, talk: Talk) -> int: ...
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


@dataclass(frozen=True)
class Some:
    """Which fields of a group a command takes; the others keep their defaults."""

    names: tuple[str, ...]
    taken: bool
    """Whether these are taken, or all but these"""

    def __contains__(self, name: str) -> bool:
        return (name in self.names) == self.taken


def only(*names: str) -> Some:
    """Beside the group in ``Annotated`` where a command takes only the fields with these
    ``names``.
    """
    return Some(names, True)


def but(*names: str) -> Some:
    """Likewise where it takes all but these."""
    return Some(names, False)


def grouped(command: Callable[..., T]) -> Callable[..., T]:
    """``command`` with the fields of each parameter that is a dataclass in that parameter's place,
    by their names.

    Annotations, defaults and the order are the fields'; what was given comes back as one object of
    each.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[Any, list[str]]] = {}
    parameters = []
    for name, parameter in inspect.signature(command).parameters.items():
        kind, *notes = (
            get_args(hints[name]) if get_origin(hints[name]) is Annotated else (hints[name],)
        )
        if not is_dataclass(kind):
            parameters.append(
                parameter.replace(annotation=hints[name], kind=parameter.KEYWORD_ONLY)
            )
            continue
        taken = [field for field in fields(kind) if not notes or field.name in notes[0]]
        groups[name] = kind, [field.name for field in taken]
        inner = get_type_hints(kind, include_extras=True)
        for field in taken:
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            parameters.append(
                inspect.Parameter(
                    field.name,
                    parameter.KEYWORD_ONLY,
                    default=default,
                    annotation=inner[field.name],
                )
            )

    def asked(**given: Any) -> T:
        made = {
            name: kind(**{field: given.pop(field) for field in names})
            for name, (kind, names) in groups.items()
        }
        return command(**given, **made)

    asked.__name__, asked.__doc__, asked.__module__ = (
        command.__name__,
        command.__doc__,
        command.__module__,
    )
    asked.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return asked
