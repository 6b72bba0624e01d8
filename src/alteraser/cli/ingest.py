"""alteraser ingest"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alteraser.cli import common
from alteraser.cli.screen import Screen
from alteraser.cli.serve import StateOption, require_service


def ingest(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="New interactions, in columns as the state's data."),
    ],
    state: StateOption,
    relation: Annotated[
        str,
        typer.Option(
            "--relation",
            metavar="NAME",
            help="Of a model of kind linear: the relation that these are rows of.",
            show_default="DATA",
        ),
    ] = "data",
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Add interactions to a state; the model learns them with the next batch of requests.

    What was erased before does not come back: it is left out and counted (erased_before), as are
    interactions that are there already (known), and those below the threshold or repeated
    (left_out). The service may run meanwhile.

    Takes about as long as reading FILE and the state's data: 2 s at MovieLens-1M's size.

    Example: alteraser ingest new.csv --state state

    Example: alteraser ingest new-views.csv --state state --relation views
    """
    require_service()
    from alteraser.service.ingest import ingest_file
    from alteraser.service.state import open_state

    screen = Screen(json, quiet)
    opened = open_state(state)
    try:
        with screen.phase("ingest", "reading"):
            counts = ingest_file(opened, opened.load_serving(), file, relation)
    finally:
        opened.close()
    screen.result(
        {"state": str(state), **counts},
        [(name.replace("_", " "), f"{n:,}") for name, n in counts.items()],
    )
