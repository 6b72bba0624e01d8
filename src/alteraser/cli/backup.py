"""alteraser backup"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alteraser.cli import common
from alteraser.cli.screen import Screen
from alteraser.cli.serve import require_service


def backup(
    state: Annotated[
        Path, typer.Argument(metavar="DIR", help="The state directory of the service.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The backup, a new file.")],
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Write a consistent copy of a state into one file, while the service runs.

    It holds the ledger, the versions that may be served, interactions that are not learned yet, and
    all keys: keep it as you keep DIR. What was erased before is not in it; what is erased
    afterwards is, until the backup is deleted.

    Takes as long as copying the files: 2 s at MovieLens-1M's size.

    Example: alteraser backup state --out state.backup
    """
    require_service()
    from alteraser.service.backup import backup as take

    screen = Screen(json, quiet)
    with screen.phase("backup", "copying"):
        head = take(state, out)
    document = {"backup": str(out), "bytes": out.stat().st_size, **head}
    rows = [
        ("backup", str(out)),
        ("of", str(head["at"])),
        ("requests", f"{head['requests']:,}"),
        ("receipts", f"{head['receipts']:,}"),
        ("versions", f"{head['versions']:,}"),
        ("bytes", f"{document['bytes']:,}"),
    ]
    screen.result(document, rows)
