"""``--help`` of every command says how long it takes."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from alteraser.cli.commands import COMMANDS
from alteraser.cli.main import app

EXPERIMENTS = "bench"  # they report the time of every method themselves


def commands() -> dict[str, str]:
    """The help of every command by its words."""
    whole = typer.main.get_command(app)
    found = {}
    for name, command in whole.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None) or {"": command}
        found |= {
            f"{name} {sub}".strip(): str(each.help)
            for sub, each in inner.items()
            if name != EXPERIMENTS
        }
    return found


def test_there_are_all() -> None:
    assert {*COMMANDS} <= {*commands()}


@pytest.mark.parametrize("name", commands())
def test_the_help_says_how_long_it_takes(name: str) -> None:
    said = re.search(
        r"MovieLens-1M takes .*?\d (s|minutes?)\b|Takes .*?\d (s|MB)\b", commands()[name]
    )
    assert said is not None, commands()[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_help_begins_with(name: str) -> None:
    assert typer.main.get_command(app).commands[name].help.split("\n\n")[0] == COMMANDS[name]  # type: ignore[attr-defined]


def test_a_list_of_commands_imports_none_of_them() -> None:
    code = (
        "import sys; from alteraser.cli import main; main(['--help']); sys.stderr.write(' "
        "'.join(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {f"alteraser.cli.{name}" for name in COMMANDS} & {*found.stderr.split()}
    assert all(name in found.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != EXPERIMENTS])
def test_every_word_of_the_help_is_shown(name: str) -> None:
    """Square brackets among them, in which a terminal's styles would be written."""
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "300"}).output.split()
    told = (command.help or "").replace("\\[", "[").split()
    told += [
        word for option in command.params for word in (getattr(option, "help", "") or "").split()
    ]
    assert not set(told) - set(shown)
