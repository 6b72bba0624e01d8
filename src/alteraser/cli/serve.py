"""alteraser serve"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from alteraser.cli import common, interrupts
from alteraser.cli.beside import Beside, with_sources
from alteraser.cli.configured import ConfigOption, ConfiguredCommand
from alteraser.cli.options import grouped
from alteraser.cli.screen import Screen, print_document
from alteraser.errors import InvalidInput

COMMAND = ConfiguredCommand

StateOption = Annotated[
    Path, typer.Option("--state", metavar="DIR", help="The state directory of the service.")
]

WaitOption = Annotated[
    bool,
    typer.Option(
        "--wait",
        help="Gather requests until the first of them has to begin to be done by its due date: one "
        "batch for many. Otherwise work begins as soon as something is asked.",
    ),
]
HoursOption = Annotated[
    str | None,
    typer.Option(
        "--hours",
        metavar="FROM-TO",
        help="Begin work between these times of day (UTC), such as 22:00-06:00, unless a due date "
        "would be missed.",
        show_default=False,
    ),
]


def tempo_of(wait: bool, hours: str | None) -> Any:
    """When batches begin; InvalidInput."""
    from alteraser.service.tempo import Hours, Tempo

    return Tempo(wait, None if hours is None else Hours.read(hours))


@grouped
def serve(
    state: StateOption,
    config: ConfigOption = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="Begin a new state with this model directory.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="The interactions MODEL was trained on.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; 0 for a free one.")
    ] = 8080,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="URL",
            help="Keep the ledger in this PostgreSQL database (postgresql://…), not in a file of "
            "DIR; said once, DIR remembers it.",
            show_default=False,
        ),
    ] = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Take requests in, leave the work to others.")
    ] = False,
    rate_limit: Annotated[
        int,
        typer.Option(
            "--rate-limit",
            min=0,
            help="Writes a minute of the first key, where the state is new; 0 for any number.",
        ),
    ] = 60,
    callback_host: Annotated[
        list[str] | None,
        typer.Option(
            "--callback-host",
            metavar="NAME",
            help="A host that webhooks and protocols may call back: NAME, NAME:PORT, and "
            "=ADDRESS behind it where it is not a public one. Give it several times.",
            show_default=False,
        ),
    ] = None,
    opendsr_domain: Annotated[
        str | None,
        typer.Option(
            "--opendsr-domain",
            metavar="NAME",
            help="Take OpenDSR requests (/v2), as the processor of this domain.",
            show_default=False,
        ),
    ] = None,
    opendsr_certificate: Annotated[
        Path | None,
        typer.Option(
            "--opendsr-certificate",
            metavar="FILE",
            help="The domain's certificate, PEM, by an authority.",
            show_default=False,
        ),
    ] = None,
    opendsr_key: Annotated[
        Path | None,
        typer.Option(
            "--opendsr-key",
            metavar="FILE",
            help="The certificate's private key, PEM, RSA or ECDSA.",
            show_default=False,
        ),
    ] = None,
    drp_business: Annotated[
        str | None,
        typer.Option(
            "--drp-business",
            metavar="ID",
            help="Take requests of the Data Rights Protocol, as the business that its network "
            "calls ID.",
            show_default=False,
        ),
    ] = None,
    drp_agents: Annotated[
        Path | None,
        typer.Option(
            "--drp-agents",
            metavar="FILE",
            help="The network's directory of agents: a JSON list, each with id and verify_key.",
            show_default=False,
        ),
    ] = None,
    drp_claim: Annotated[
        str,
        typer.Option(
            "--drp-claim",
            metavar="NAME",
            help="The claim of a request whose value is a user's id in the data.",
        ),
    ] = "email",
    wait: WaitOption = False,
    hours: HoursOption = None,
    *,
    beside: Beside,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Serve erasure requests over HTTP: taken in durably, done in batches, checked, published, with
    receipts.

    The first start makes the state directory from MODEL and FILE, and the first key in
    DIR/admin.key. A MODEL of kind linear needs all that it was trained with: the options of
    relations, features and entities, or --setup. When it is ready it prints its address. SIGTERM
    ends it within 10 s with exit code 0, before that as well, and whatever was under way goes on at
    the next start.

    Takes about as long to begin as verify takes to read MODEL and FILE: MovieLens-1M takes 11 s.

    Needs the extra service: pip install "alteraser[service]".

    Example: alteraser serve --state state --model model --data ratings.csv

    Example: alteraser serve --state state --model model --data bought.csv --relation
    views=views.csv --user-features users.csv
    """
    interrupts.end_on_sigterm()
    require_service()
    from alteraser.service.outside import Outside
    from alteraser.service.run import serve as run
    from alteraser.service.state import create, open_state, same_model

    if (model is None) != (data is None):
        raise InvalidInput(
            "--model and --data go together: the model, and the interactions it was trained on"
        )
    outside = Outside.of(
        callback_host or (),
        opendsr_domain,
        opendsr_certificate,
        opendsr_key,
        business=drp_business,
        agents=drp_agents,
        claim=drp_claim,
    )
    if model is None:
        beside.refuse("goes with --model and --data")
    there = (state / "state.json").exists()
    if model is not None and data is not None:
        if there:
            opened = open_state(state)
            try:
                same_model(opened, model)
            finally:
                opened.close()
        else:
            with Screen(json, quiet).phase("make", f"making {state} of {model} and {data}"):
                create(state, model, data, with_sources(model, beside)[1], rate=rate_limit)
    if database is not None:
        from alteraser.service.place import move

        move(state, database)

    def announce(address: str) -> None:
        if json:
            print_document({"address": address, "state": str(state)})
        else:
            print(address)
        sys.stdout.flush()

    run(
        state,
        host=host,
        port=port,
        work=not no_worker,
        threads=threads,
        when=tempo_of(wait, hours),
        outside=outside,
        announce=announce,
    )


def require_service() -> None:
    """DependencyMissing, naming the extra, unless everything of it is there."""
    from alteraser.runtime.extras import require

    for package in ("sqlalchemy", "cryptography", "fastapi", "uvicorn", "httptools", "jinja2"):
        require(package, "service", "the forgetting service")
