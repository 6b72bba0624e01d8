"""alteraser compare"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alteraser.cli import common, inputs
from alteraser.cli.beside import Beside
from alteraser.cli.options import grouped
from alteraser.cli.screen import Screen
from alteraser.errors import InvalidInput


@grouped
def compare(
    model: common.ModelArgument,
    other: Annotated[
        Path,
        typer.Argument(metavar="OTHER", help="The model to compare with, such as a retrained one."),
    ],
    data: Annotated[
        Path, typer.Option("--data", help="Interactions to mask for both: the remaining data.")
    ],
    users: Annotated[
        Path | None,
        typer.Option(
            "--users", help="Table with user_id: lists of these alone.", show_default=False
        ),
    ] = None,
    p: Annotated[float, typer.Option("--p", help="Persistence of the rank-biased overlap.")] = 0.9,
    *,
    beside: Beside,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """How far MODEL is from OTHER: overlap of their lists, distance of their scores and factors.

    rbo@k is the mean extrapolated rank-biased overlap of top-k lists; the distances are relative to
    OTHER.

    MovieLens-1M takes 3 s of processor time.

    Example: alteraser compare unlearned retrained --data remaining.parquet --users forget.csv
    """
    from alteraser.cli.recommend import load_shown
    from alteraser.verbs.evaluate import compare as compare_models

    if not 0.0 < p < 1.0:
        raise InvalidInput(f"--p {p:g}: expected a persistence between 0 and 1, such as 0.9")
    screen = Screen(json, quiet)
    with screen.phase("read", "reading"):
        first, second = (load_shown(path, beside) for path in (model, other))
        chosen = inputs.read_users(users, first)
        masked = inputs.read_for(first, data)
    with screen.phase("solve", "comparing"), inputs.blas_threads(threads):
        answer = compare_models(first, second, data=masked, users=chosen, p=p)
    rows = [
        (name, f"{value:.6f}" if name != "users" else f"{value:,}")
        for name, value in answer.items()
    ]
    screen.result(
        {"model": str(model), "other": str(other), "p": p, **answer, "seconds": screen.timing()},
        rows,
    )
