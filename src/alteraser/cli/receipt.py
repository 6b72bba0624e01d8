"""alteraser receipt: verify"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from alteraser.cli import common
from alteraser.cli.screen import Screen

RECEIPT = 16 * 2**20
"""Bytes of a receipt: one of them has some thousands"""

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A receipt.")],
    log: Annotated[
        Path | None,
        typer.Option(
            "--log",
            metavar="DIR",
            help="The folder log of the issuer's state: the receipt must be in it.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="The issuer's public key, such as log/public.key.",
            show_default=False,
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--page",
            metavar="FILE",
            help="Also write it as a page for people, to read and to print: a new HTML file.",
            show_default=False,
        ),
    ] = None,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Check a receipt, without a network: its form, signature, and place in the log. Exit code 6
    where that fails.

    Without --log or --key it is checked against the key in the file, which shows that the file is
    whole, not who wrote it.

    Takes under 1 s.

    Example: alteraser receipt verify receipt.json --log state/log
    """
    from alteraser.cli.serve import require_service

    require_service()
    from alteraser.data.files import small_file
    from alteraser.ledger.log import Log
    from alteraser.ledger.receipts import LIMITS, check, read_public

    content = small_file(file, RECEIPT)
    public = None if key is None else read_public(key)
    found = check(content, log=None if log is None else Log(log), public=public)
    if page is not None:
        from alteraser.data.files import atomic_write
        from alteraser.service.console.receipt import standalone

        with atomic_write(page) as written:
            written.write(standalone(found).encode())
    predicate = found.predicate
    certificate = predicate["certificate"] or {
        "class": None,
        "sentence": "nothing was found, nothing was changed",
    }
    document: dict[str, Any] = {
        "receipt": str(file),
        "valid": True,
        "key": found.key,
        "key_trusted": found.trusted,
        "leaf": found.leaf,
        "tree_size": found.size,
        "in_log": log is not None,
        "statement": found.statement,
    }
    rows = [
        ("receipt", "in order: form, signature and proof"),
        (
            "signed by",
            found.key
            + ("" if found.trusted else " (the key in the file: compare it with the issuer's)"),
        ),
        (
            "log",
            f"leaf {found.leaf} of {found.size}"
            + (", found in the log" if log is not None else ""),
        ),
        ("request", f"{predicate['request']['id']} ({predicate['request']['kind']})"),
        ("status", predicate["status"]),
        ("interactions", f"{predicate['counts']['interactions']:,} removed"),
        ("model", predicate["model"]["after"]),
        ("class", str(certificate["class"])),
        ("", certificate["sentence"]),
        *[("does not say", f"{code}: {LIMITS.get(code, '')}") for code in predicate["limits"]],
    ]
    Screen(json, quiet).result(document, rows)
