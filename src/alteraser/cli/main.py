"""The program, and the border where exceptions become exit codes and JSON error documents."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

import typer
from typer.exceptions import TyperException

from alteraser.cli import interrupts
from alteraser.cli.commands import Commands
from alteraser.cli.screen import print_document, printable
from alteraser.errors import AltEraserError, Interrupted, InvalidInput, ResourceLimit
from alteraser.runtime import events

app = typer.Typer(
    name="alteraser",
    cls=Commands,
    help="Make a trained recommender forget, and measure that it did.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        from alteraser.runtime.version import VERSION

        print(f"alteraser {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
    log: str = typer.Option(
        None,
        "--log",
        metavar="FILE",
        envvar="ALTERASER_LOG",
        show_default="off",
        help="Add what happens to FILE, a JSON document per line; - or json for stderr. No ids, "
        "no paths.",
    ),
) -> None:
    if log:
        _logs.enter_context(_logged(log))


_logs = contextlib.ExitStack()
"""Closed when a command has answered."""


@contextlib.contextmanager
def _logged(where: str) -> Iterator[None]:
    with contextlib.ExitStack() as opened:
        file = (
            sys.stderr
            if where in ("-", "json")
            else opened.enter_context(open(where, "a", encoding="utf-8"))
        )
        opened.enter_context(events.listening(events.json_lines(file)))
        yield


def main(argv: list[str] | None = None) -> int:
    """Run the command line on ``argv`` (the process's own for None); returns the exit code."""
    if argv is not None:
        return _answered(argv)
    _prepare_process()
    code = _answered(sys.argv[1:])
    interrupts.done(code)
    return code


def _answered(arguments: list[str]) -> int:
    began = time.perf_counter()
    with _logs:
        code = _code(arguments)
        events.emit("answered", exit_code=code, seconds=time.perf_counter() - began)
    return code


def _code(arguments: list[str]) -> int:
    try:
        try:
            code = _run(arguments)
        except BrokenPipeError:
            raise
        except (Exception, KeyboardInterrupt) as error:
            code = _fail(_translated(error), arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # nobody reads on; not our failure
        _silence_stdout()
        return 0
    except OSError as error:  # nor is there a place for an error document
        _silence_stdout()
        _complain(f"standard output: {error.strerror or error}")
        return ResourceLimit.exit_code


def _prepare_process() -> None:
    # threads that wait spin by default, which on a shared machine slows the others and is counted
    # as work
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    interrupts.watch()
    for stream in (sys.stdout, sys.stderr):
        # a terminal without λ gets \u03bb, never a failure after the work is done
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: list[str]) -> int:
    try:
        code = app(args=arguments, standalone_mode=False)
    except SystemExit as leaving:  # what typer and rich make of a closed pipe
        if isinstance(leaving.__context__, BrokenPipeError):
            raise BrokenPipeError from None
        raise
    if code == Interrupted.exit_code:  # what typer makes of Ctrl-C
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _translated(error: BaseException) -> AltEraserError:
    # whatever came of it on its way here
    if interrupts.seen() and not isinstance(error, Interrupted):
        return Interrupted(interrupts.MESSAGE)
    if isinstance(error, AltEraserError):
        return error
    if isinstance(error, TyperException):
        return InvalidInput(_usage(error))
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(interrupts.MESSAGE)
    if isinstance(error, MemoryError):
        return ResourceLimit(
            "out of memory: less data, fewer factors, fewer threads, or a larger machine"
        )
    if isinstance(error, OSError):
        kind = (
            ResourceLimit
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            else InvalidInput
        )
        advice = (
            ". Check the path and its permissions"
            if error.errno in (errno.EACCES, errno.EPERM)
            else ""
        )
        return kind(f"{error.filename or 'a file'}: {error.strerror or error}{advice}")
    traceback.print_exception(error)
    return AltEraserError(
        f"this is a bug in AltEraser, please report it: {type(error).__name__}: {error}"
    )


def _usage(error: Any) -> str:
    message = str(error.format_message()) if hasattr(error, "format_message") else str(error)
    if not message:  # no command at all: the help was shown
        return ""
    return f"{message.rstrip('.')}. Run the command with --help to see what it takes."


def _fail(error: AltEraserError, arguments: list[str]) -> int:
    events.refused(error)
    if "--json" in arguments:
        print_document(
            {
                "error": {
                    "kind": error.kind,
                    "exit_code": error.exit_code,
                    "message": error.message,
                    "details": error.details,
                }
            }
        )
    if error.message:
        _complain(error.message)
    return error.exit_code


def _complain(message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble(("error: ", "bold red"), printable(message))
    Console(stderr=True, soft_wrap=True, emoji=False).print(line, highlight=False)


def _silence_stdout() -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not fail on it when it
    ends.
    """
    with contextlib.suppress(OSError, AttributeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
