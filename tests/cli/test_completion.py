"""What the shell completes are the values that the commands take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import typer.main

from alteraser.adapters import ADAPTERS
from alteraser.adapters.losses import LOSSES
from alteraser.bench.paper.methods import GROUPS
from alteraser.bench.paper.scene import Stopping
from alteraser.cli import completion
from alteraser.cli.bench import EXPERIMENTS, experiment
from alteraser.cli.main import app
from alteraser.data.readers import ReadingOptions
from alteraser.data.readers._options import Layout
from alteraser.data.sets.public import CATALOG
from alteraser.erasers import CHOSEN, ERASERS
from alteraser.models.factorization.objective import Scaling, Weighting
from alteraser.models.registry import KINDS, LINEAR
from alteraser.solvers import SOLVERS
from alteraser.verbs.train import ENMF


@pytest.mark.parametrize(
    ("complete", "values"),
    [
        (completion.METHOD, {*CHOSEN, *ERASERS}),
        (completion.SOLVER, SOLVERS),
        (completion.FORMAT, ADAPTERS),
        (completion.LOSS, LOSSES),
        (completion.DUPLICATES, get_args(ReadingOptions.model_fields["duplicates"].annotation)),
        (completion.LAYOUT, get_args(Layout)),
        (completion.WEIGHTING, get_args(Weighting)),
        (completion.KIND, {"enmf", "linear", *KINDS, *LINEAR}),
        (completion.SCALING, get_args(Scaling)),
        (completion.DTYPE, get_args(ENMF.model_fields["dtype"].annotation)),
        (completion.PUBLIC_SET, CATALOG),
        (completion.PAPER_METHODS, {*GROUPS, "all"}),
        (completion.STOPPINGS, get_args(Stopping)),
    ],
)
def test_completions_are_the_values_there_are(
    complete: completion.Complete, values: object
) -> None:
    assert sorted(complete("")) == sorted(values)  # type: ignore[call-overload]


def options(command: object, path: str = "") -> dict[str, object]:
    found = {
        f"{path} {option.opts[0]}".strip(): option
        for option in command.get_params(typer.Context(command))
    }
    for name, inner in getattr(command, "commands", {}).items():
        found |= options(inner, f"{path} {name}".strip())
    return found


def test_every_option_whose_help_lists_its_values_completes_them() -> None:
    """One option for every table, in every command that has it."""
    closed = {
        "--method",
        "--solver",
        "--format",
        "--loss",
        "--duplicates",
        "--missing-weighting",
        "--dtype",
        "--model",
        "--regularization-scaling",
        "--scenario",
        "--stopping",
    }
    every = options(typer.main.get_command(app))
    for name in EXPERIMENTS:
        every |= options(experiment(name), f"bench {name}")
    named = {name: option for name, option in every.items() if name.split()[-1] in closed}
    assert len(named) > 12
    silent = [
        name
        for name, option in named.items()
        if getattr(option, "_custom_shell_complete", None) is None
    ]
    assert silent == ["serve --model"], "which is a folder, and completed as one"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("alteraser forget m f --method re", {"replay", "retrain", "retrain-adamw"}),
        ("alteraser train d --solver tr", {"trust-ncg", "trust-krylov"}),
        ("alteraser data fetch ml-2", {"ml-20m"}),
    ],
)
def test_a_shell_is_told(words: str, expected: set[str], tmp_path: Path) -> None:
    """Asked the way bash does, by the variables that ``alteraser --install-completion`` sets up."""
    asked = {
        "_ALTERASER_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    program = (
        "import sys; sys.argv[0] = 'alteraser'; from alteraser.cli import main; sys.exit(main())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert set(answer.stdout.split()) == expected, answer.stderr
