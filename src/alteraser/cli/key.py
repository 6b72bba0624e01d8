"""alteraser key: add, list, rotate, revoke"""

from __future__ import annotations

from typing import Annotated

import typer

from alteraser.cli import common
from alteraser.cli.screen import Screen, print_document
from alteraser.cli.serve import StateOption, require_service

app = typer.Typer(no_args_is_help=True)


@app.command()
def add(
    state: StateOption,
    scopes: Annotated[
        str,
        typer.Option(
            "--scopes",
            help="What it may do: submit, verify, status, receipt:read, ingest, recommend, "
            "model:read, admin.",
        ),
    ] = "submit,verify,status,receipt:read",
    rate_limit: Annotated[
        int, typer.Option("--rate-limit", min=0, help="Writes a minute; 0 for any number.")
    ] = 60,
    expires: Annotated[
        str | None,
        typer.Option("--expires", help="ISO 8601, such as 2027-01-31.", show_default=False),
    ] = None,
    json: common.Json = False,
) -> None:
    """Make a key and print it, this once: the state keeps its digest alone.

    Requests of a key without the scope verify wait until a key with it vouches for who asked.

    Takes under 1 s.

    Example: alteraser key add --state state --scopes submit,status
    """
    require_service()
    from alteraser.ledger import keys
    from alteraser.ledger.due import moment
    from alteraser.service.state import open_state

    opened = open_state(state)
    try:
        end = None if expires is None else moment(expires, "--expires")
        wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
        with opened.database.writing() as connection:
            made = keys.make(connection, opened.clock(), wanted, rate=rate_limit, expires=end)
    finally:
        opened.close()
    if json:
        print_document(
            {"key": made, "id": made.split("_")[1], "scopes": wanted, "rate_limit": rate_limit}
        )
    else:
        print(made)


@app.command("list")
def list_keys(state: StateOption, quiet: common.Quiet = False, json: common.Json = False) -> None:
    """List keys by their ids; what they are is not kept.

    Takes under 1 s.

    Example: alteraser key list --state state
    """
    require_service()
    from alteraser.ledger import keys
    from alteraser.service.state import open_state

    opened = open_state(state)
    try:
        with opened.database.reading() as connection:
            found = keys.listed(connection)
    finally:
        opened.close()
    rows = [
        (
            str(key["id"]),
            f"{', '.join(key['scopes'])}; "  # type: ignore[arg-type]
            f"{key['rate_limit'] or 'any number of'} writes a minute"
            + ("; revoked" if key["revoked"] else "")
            + (f"; until {key['expires']}" if key["expires"] else ""),
        )
        for key in found
    ]
    Screen(json, quiet).result({"keys": found}, rows)


@app.command()
def rotate(
    state: StateOption,
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")],
    overlap: Annotated[
        float,
        typer.Option("--overlap", min=0, help="Hours for which the old one is still taken."),
    ] = 24.0,
    json: common.Json = False,
) -> None:
    """Give a key a new secret and print it, this once; its id, scopes and expiry stay.

    The old one is taken until --overlap is over, so that programs can be given the new one without
    a gap; with 0 it ends at once. Of the first key DIR/admin.key is written anew.

    Takes under 1 s.

    Example: alteraser key rotate --state state 1f2e3d4c5b6a7980 --overlap 48
    """
    require_service()
    from alteraser.data.files import replace_file
    from alteraser.ledger import keys
    from alteraser.ledger.due import written
    from alteraser.service.state import open_state

    opened = open_state(state)
    try:
        with opened.database.writing() as connection:
            made, until = keys.rotate(
                connection, key, opened.clock(), overlap=round(overlap * 3600)
            )
        first = opened.folders.admin_key
        if first.is_file() and first.read_text(encoding="ascii").split("_")[1:2] == [key]:
            replace_file(first, made.encode() + b"\n", private=True)
    finally:
        opened.close()
    if json:
        print_document({"key": made, "id": key, "old_until": written(until)})
    else:
        print(made)


@app.command()
def revoke(
    state: StateOption,
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")],
    json: common.Json = False,
) -> None:
    """End a key at once.

    Takes under 1 s.

    Example: alteraser key revoke --state state 1f2e3d4c5b6a7980
    """
    require_service()
    from alteraser.ledger import keys
    from alteraser.service.state import open_state

    opened = open_state(state)
    try:
        with opened.database.writing() as connection:
            keys.revoke(connection, key, opened.clock())
    finally:
        opened.close()
    if json:
        print_document({"id": key, "revoked": True})
