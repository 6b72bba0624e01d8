"""The commands in their table: a command is imported when it is called or asked for its help, and
no other one is.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from alteraser.cli import common

COMMANDS = {
    "train": "Train a model on DATA.",
    "forget": "Make MODEL forget FORGET and write the result as a new model.",
    "verify": "Recompute how far MODEL is from an optimum for the remaining data, and say which "
    "class that is.",
    "compact": "Write MODEL without the empty rows of users and items that are gone.",
    "recommend": "List the best items for users.",
    "evaluate": "Recall@k and NDCG@k on held-out interactions, all items ranked, the items in "
    "--data masked.",
    "compare": "How far MODEL is from OTHER: overlap of their lists, distance of their scores and "
    "factors.",
    "tune": "Choose the factors, the missing weight and the regularization for DATA on a "
    "validation cut.",
    "inspect": "Tell what MODEL is: kind, shapes, hyper-parameters, and what else holds data. "
    "Nothing is written.",
    "serve": "Serve erasure requests over HTTP: taken in durably, done in batches, checked, "
    "published, with receipts.",
    "worker": "Work on the requests of a state, apart from the process that serves it (serve "
    "--no-worker).",
    "ingest": "Add interactions to a state; the model learns them with the next batch of requests.",
    "backup": "Write a consistent copy of a state into one file, while the service runs.",
    "restore": "Make a backup a state again, without what was erased since.",
    "demo": "Train, forget, retrain, compare: the main job, with a report to look at.",
    "doctor": "Check the installation: versions, compiled kernels against NumPy, threads, cache, "
    "disk.",
}
"""Every command is a module of this package with a function of its name, whose docstring begins
with the sentence."""

GROUPS = {
    "data": "Split, describe, download and generate interactions.",
    "bench": "Experiments that compare ways to forget.",
    "request": "Send requests to a forgetting service, and ask after them.",
    "receipt": "Check receipts of the forgetting service.",
    "key": "API keys of the forgetting service.",
}
"""Every group of commands is a module of this package with an ``app``."""


class Made(MutableMapping[str, Any]):
    """{name: command} whose values come about when they are looked up."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _made(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*COMMANDS, *GROUPS, *self._made]))

    def __len__(self) -> int:
        return len(list(iter(self)))


class Commands(TyperGroup):
    """The commands of the table. A list of them takes their sentences from it, and imports none."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = Made()
        self._listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of the table."""
        return [*self.commands]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command, or in a list of them its name and its sentence; None for a name that is
        none.
        """
        sentences = COMMANDS | GROUPS
        if self._listing and cmd_name in sentences:
            return TyperCommand(name=cmd_name, help=sentences[cmd_name])
        return super().get_command(ctx, cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the list."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


def _made(name: str) -> Any:
    """The command or the group of that name; KeyError."""
    if name not in COMMANDS and name not in GROUPS:
        raise KeyError(name)
    module = importlib.import_module(f"alteraser.cli.{name}")
    if name in GROUPS:
        made = module.app
        made.info.help, made.info.name = GROUPS[name], name
    else:
        made = typer.Typer(name=name, add_completion=False)
        made.command(name, cls=getattr(module, "COMMAND", None))(getattr(module, name))
    made.rich_markup_mode, made.pretty_exceptions_enable = "rich", False
    made._add_completion = False  # the program's, not each command's
    for command in made.registered_commands:
        assert command.callback is not None
        command.help = common.paragraphs(command.callback.__doc__ or "")
    return typer.main.get_command(made)
