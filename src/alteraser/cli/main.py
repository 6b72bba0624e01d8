"""The commands in their table, and the border where exceptions become exit codes and JSON error documents."""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import sys
from typing import Any

import typer
from typer.exceptions import TyperException

from alteraser.errors import AltEraserError, Interrupted, InvalidInput, ResourceLimit

COMMANDS = ("train", "forget", "recommend", "evaluate", "compare", "demo", "doctor")
"""Every command is a module of this package with a function of its name."""

app = typer.Typer(
    name="alteraser",
    help="Make a trained recommender forget, and measure that it did.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        from alteraser import __version__

        print(f"alteraser {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    pass


for _name in COMMANDS:
    _module = importlib.import_module(f"alteraser.cli.{_name}")
    app.command(_name)(getattr(_module, _name))
app.add_typer(importlib.import_module("alteraser.cli.data").app, name="data")


def main(argv: list[str] | None = None) -> int:
    """Run the command line on ``argv`` (the process's own for None); returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if argv is None and hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that clean-up runs, as for Ctrl-C
    try:
        code = app(args=arguments, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except AltEraserError as error:
        return _fail(error, arguments)
    except TyperException as error:
        return _fail(InvalidInput(_usage(error)), arguments)
    except KeyboardInterrupt:
        return _fail(Interrupted("interrupted; nothing was changed"), arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; not our failure
        return 0
    except MemoryError:
        return _fail(ResourceLimit("out of memory: fewer factors, fewer threads, or a larger machine"), arguments)
    except OSError as error:
        kind = ResourceLimit if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else InvalidInput
        return _fail(kind(f"{error.filename or 'a file'}: {error.strerror or error}"), arguments)


def _usage(error: Any) -> str:
    message = str(error.format_message()) if hasattr(error, "format_message") else str(error)
    return f"{message} Run the command with --help to see what it takes."


def _fail(error: AltEraserError, arguments: list[str]) -> int:
    if "--json" in arguments:
        document = {"error": {"kind": error.kind, "exit_code": error.exit_code, "message": error.message} | {
            "details": error.details
        }}  # fmt: skip
        print(json.dumps(document, ensure_ascii=False, default=str))
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(error.message)}", highlight=False)
    return error.exit_code
