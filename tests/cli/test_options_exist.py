"""An option that a message or a docstring names is an option of some command."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import typer.main

import alteraser
from alteraser.cli.bench import EXPERIMENTS, experiment
from alteraser.cli.main import app

STYLE = "_style.py"  # CSS has names of that form too


def options(command: Any) -> set[str]:
    found = {
        option
        for each in command.get_params(typer.Context(command))
        for option in [*each.opts, *each.secondary_opts]
    }
    return found.union(*(options(inner) for inner in getattr(command, "commands", {}).values()))


def test_every_option_that_is_named_exists() -> None:
    known = options(typer.main.get_command(app)) | {"--help"}
    known |= {option for name in EXPERIMENTS for option in options(experiment(name))}
    assert "--rating" in known
    unknown = []
    for path in sorted(Path(alteraser.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                path.name != STYLE
                and isinstance(node, ast.Constant)
                and isinstance(node.value, str)
            ):
                named = re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", node.value)
                unknown += [
                    f"{path.name}, line {node.lineno}: {name}"
                    for name in named
                    if name not in known
                ]
    assert unknown == []
