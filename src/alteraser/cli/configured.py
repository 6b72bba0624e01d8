"""Options of a command from a TOML file and from the environment too: the command line counts
before the environment, that before the file, that before the default.

A key of the file is an option's name without the dashes in front; ``-`` and ``_`` are the same. The
types, the ranges and the help are the options' own, so that nothing can be set in one place and not
in another.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand
from typer.exceptions import TyperException

from alteraser.errors import InvalidInput, NotFound

PREFIX = "ALTERASER"
COMMANDS = ("serve", "worker")
"""Commands that one file is for: each takes the keys that it knows"""
OF_THE_CALL = frozenset({"config", "help", "json"})
"""Parameters that say how one call talks; no file and no variable sets them"""


def _read(ctx: typer.Context, given: Path | None) -> Path | None:
    """Have ``ctx`` take what the file sets, before anything else is looked up."""
    _misspelled(ctx.command.params, os.environ)
    if given is not None and not ctx.resilient_parsing:
        ctx.default_map = {**(ctx.default_map or {}), **_settings(ctx, given)}
    return given


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="ALTERASER_CONFIG",
        is_eager=True,
        callback=_read,
        show_default=False,
        help="Options from this TOML file: keys are their names. The command line and the "
        "environment (ALTERASER_ and the name) count before it.",
    ),
]


class ConfiguredCommand(TyperCommand):
    """A command each option of which is also a variable of the environment: ``--rate-limit`` is
    ``ALTERASER_RATE_LIMIT``.
    """

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.context_settings.setdefault("auto_envvar_prefix", PREFIX)
        for parameter in self.params:
            if parameter.name in OF_THE_CALL and hasattr(parameter, "allow_from_autoenv"):
                parameter.allow_from_autoenv = False


def _settings(ctx: typer.Context, path: Path) -> dict[str, Any]:
    """{parameter: value} of what the file at ``path`` sets for this command."""
    mine = _settable(ctx.command.params)
    known = set(mine).union(*(_names_of(name) for name in COMMANDS))
    types = _types(str(ctx.command.name))
    found: dict[str, Any] = {}
    for key, value in _table(path).items():
        name = key.replace("-", "_")
        if name not in known:
            raise InvalidInput(f"{path}: there is no option {key!r}{_near(name, known)}")
        if name in found:
            raise InvalidInput(f"{path}: {key!r} is set twice, with - and with _")
        found[name] = None
        if name in mine:
            found[name] = _checked(ctx, mine[name], types[name], value, f"{path}: {key}")
    return {name: value for name, value in found.items() if value is not None}


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}; check --config", path=str(path)) from None
    except (OSError, UnicodeDecodeError) as cause:
        raise InvalidInput(f"{path} cannot be read ({cause})") from None
    except tomllib.TOMLDecodeError as cause:
        raise InvalidInput(f"{path} is not TOML: {cause}") from None


def _checked(ctx: typer.Context, parameter: Any, wanted: type, value: Any, where: str) -> Any:
    """``value`` if it is one of the option's; InvalidInput. Nothing is converted from another
    type.
    """
    if not _is(value, wanted):
        raise InvalidInput(f"{where}: expected {WORDS[wanted]}, found {value!r}")
    try:
        parameter.process_value(ctx, value)
    except TyperException as cause:
        raise InvalidInput(f"{where}: {getattr(cause, 'message', cause)}") from None
    return value


WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list of texts",
}


def _is(value: Any, wanted: type) -> bool:
    if isinstance(value, bool):
        return wanted is bool
    if wanted is list:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    return isinstance(value, wanted) or (wanted is float and isinstance(value, int))


def _types(command: str) -> dict[str, type]:
    """Of the parameters of ``command``, as TOML has them: a path is text."""
    function = getattr(importlib.import_module(f"alteraser.cli.{command}"), command)
    hints, found = get_type_hints(function), {}
    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints.get(name, parameter.annotation)  # of a group's fields the signature knows
        if get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
        kinds = [get_origin(each) or each for each in get_args(hint) or (hint,)]
        kinds = [each for each in kinds if each in WORDS]
        found[name] = kinds[0] if kinds else str
    return found


def _settable(parameters: Iterable[Any]) -> dict[str, Any]:
    return {each.name: each for each in parameters if each.name not in OF_THE_CALL}


def _names_of(command: str) -> set[str]:
    from alteraser.cli.commands import Made

    return set(_settable(Made()[command].params))


def _near(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}"


def _misspelled(parameters: Iterable[Any], environment: Any) -> None:
    """A line on stderr for each variable that is nearly the name of an option, and of no other."""
    from alteraser.cli.screen import Screen

    known = {f"{PREFIX}_{name.upper()}" for name in (*_settable(parameters), "config")}
    others = known.union(*({f"{PREFIX}_{each.upper()}" for each in _names_of(n)} for n in COMMANDS))
    for name in sorted(set(environment) - others):
        close = difflib.get_close_matches(name, sorted(known), 1, 0.85)
        if name.startswith(f"{PREFIX}_") and close and name not in ELSEWHERE:
            Screen(False, False).warn(f"{name} is no option and does nothing; {close[0]} is one")


ELSEWHERE = frozenset({"ALTERASER_LOG", "ALTERASER_URL", "ALTERASER_KEY_FILE"})
"""Variables that other commands read"""
