"""The settings of every kind as options: one for each name, made from the fields when they are
first asked for.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args, get_origin

import typer
import typer.main
from typer.core import TyperCommand, TyperOption

from alteraser.cli import completion
from alteraser.cli.beside import COMPOSITE
from alteraser.models.registry import KINDS, LINEAR

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from pydantic.fields import FieldInfo

    Owners = list[tuple[str, FieldInfo]]
    """Kinds that have a setting of one name, and what it is to each"""

DECIDED = "segmented"
"""A setting that the data decide, which is no option"""
NOT_TRIED = frozenset({"seed", "max_passes", "continuation"})
"""Settings that are no values to try: of the way to an optimum, not of what it is"""
GIVEN = "alteraser.kind_options"
"""Where a context keeps their values, by name"""


class WithKinds(TyperCommand):
    """A command that takes the settings of all kinds as well, without naming one of them.

    A setting whose name is an option of the command already is that option, and its help names the
    kinds.
    """

    _made: list[TyperOption] | None = None
    lists: ClassVar[bool] = False
    """Whether an option takes several values, with commas"""

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's own parameters and, before ``--help``, the settings of kinds."""
        own = super().get_params(ctx)
        if self._made is None:
            declared = {param.name: param for param in self.params}
            owners = settings(tuned(), NOT_TRIED) if self.lists else settings()
            for name in owners.keys() & declared.keys():
                declared[name].help = f"{declared[name].help} {said(owners[name], apart=True)}"  # type: ignore[attr-defined]
            own_names = {name: has for name, has in owners.items() if name not in declared}
            self._made = _options(own_names, lists=self.lists)
        count = len(self.params)
        return [*own[:count], *self._made, *own[count:]]

    def invoke(self, ctx: Any) -> Any:
        """Call the command; its context keeps the settings under ``GIVEN``."""
        names = {option.name for option in self._made or ()}
        ctx.meta[GIVEN] = {name: ctx.params.pop(name) for name in names & ctx.params.keys()}
        return super().invoke(ctx)


class WithKindLists(WithKinds):
    """The same for kinds that ``tune`` tries, where every setting takes several values, with commas
    between them.
    """

    lists = True


def tuned() -> list[str]:
    """The kinds that ``tune`` tries: all but networks of sequences."""
    exact = [kind for kind, options in KINDS.items() if not (options.of_events() and options.extra)]
    return [*exact, *LINEAR]


def settings(kinds: Iterable[str] | None = None, without: Container[str] = ()) -> dict[str, Owners]:
    """{name: kinds that have it, and what it is to each}, in the order of the table of kinds; of
    ``kinds``, or of all there are, linear ones too, and of all settings but ``without``.
    """
    found: dict[str, Owners] = {}
    for kind in (*KINDS, COMPOSITE, *LINEAR) if kinds is None else kinds:
        for name, info in _fields(kind).items():
            if name == DECIDED or name in without:
                continue
            found.setdefault(name, []).append((kind, info))
    return found


def _fields(kind: str) -> dict[str, FieldInfo]:
    """Those of a kind; of ``linear``, the rest of which is in options of its own, what linear kinds
    share.
    """
    if kind == COMPOSITE:
        from alteraser.models.relational.kind import LinearSettings

        return LinearSettings.model_fields
    return (KINDS[kind] if kind in KINDS else LINEAR[kind]).model_fields


def said(owners: Owners, *, apart: bool = False) -> str:
    """What a setting is: once, where it is the same to all of ``owners``; ``apart``: under their
    names all the same.
    """
    words: dict[str, list[str]] = {}
    for kind, info in owners:
        text = info.description or ""
        chosen = choices(info)
        text = f"{text}: {listed(chosen, 'or')}" if chosen else text
        words.setdefault(f"{text} (default {default(info)})" if apart else text, []).append(kind)
    if len(words) == 1 and not apart:
        return f"{next(iter(words))}."
    return " ".join(f"{listed(kinds, 'and')}: {text}." for text, kinds in words.items())


def choices(info: FieldInfo) -> tuple[str, ...]:
    """The words that a setting may be; none where it is no such setting."""
    for one in (info.annotation, *get_args(info.annotation)):
        if get_origin(one) is Literal:
            return tuple(str(value) for value in get_args(one))
    return ()


def default(info: FieldInfo) -> str:
    """A default as it would be given."""
    value = info.default
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def defaults(owners: Owners) -> str:
    """The default of a setting, with whose it is where these differ."""
    values: dict[str, list[str]] = {}
    for kind, info in owners:
        values.setdefault(default(info), []).append(kind)
    if len(values) == 1:
        return next(iter(values))
    return "; ".join(f"{value} of {listed(kinds, 'and')}" for value, kinds in values.items())


def listed(words: list[str] | tuple[str, ...], last: str) -> str:
    """Words in a sentence.

    >>> listed(["a", "b", "c"], "or"), listed(["a"], "or")
    ('a, b or c', 'a')
    """
    head = ", ".join(words[:-1])
    return f"{head} {last} {words[-1]}" if head else words[-1]


def _options(owners: dict[str, Owners], *, lists: bool = False) -> list[TyperOption]:
    """An option for each name, panel by panel: through a command that takes them all and is never
    run.
    """
    panels = {name: ", ".join(kind for kind, _ in has) for name, has in owners.items()}
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=_annotation(name, has, lists),
        )
        for name, has in sorted(
            owners.items(), key=lambda entry: list(panels.values()).index(panels[entry[0]])
        )
    ]

    def takes(**given: Any) -> None:
        raise AssertionError("never run")

    takes.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False)
    app.command()(takes)
    return [param for param in typer.main.get_command(app).params if isinstance(param, TyperOption)]


def _annotation(name: str, owners: Owners, lists: bool) -> Any:
    chosen = tuple(dict.fromkeys(word for _, info in owners for word in choices(info)))
    if lists:
        option = typer.Option(
            f"--{name.replace('_', '-')}",
            help=f"Values to try: {said(owners)}",
            show_default=False,
            rich_help_panel=", ".join(kind for kind, _ in owners),
            autocompletion=completion.several(*chosen) if chosen else None,
        )
        return Annotated[str | None, option]
    words = name.replace("_", "-"), f"no-{name.replace('_', '-')}"
    both = any(info.default is True for _, info in owners)
    option = typer.Option(
        "/".join(f"--{word}" for word in words[: 1 + both]),
        help=said(owners),
        rich_help_panel=", ".join(kind for kind, _ in owners),
        show_default=defaults(owners),
        autocompletion=completion.among(*chosen) if chosen else None,
    )
    types = {_type(info) for _, info in owners}
    return Annotated[(types.pop() if len(types) == 1 else str) | None, option]


def _type(info: FieldInfo) -> type:
    """What the command line makes of a value; everything but numbers and switches is left to the
    settings as text.
    """
    plain: tuple[type, ...] = (bool, int, float)
    mentioned = (info.annotation, *get_args(info.annotation))
    return next((one for one in plain if one in mentioned), str)
