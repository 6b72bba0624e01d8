"""Ctrl-C from the first moment on: one line, a document where ``--json`` asks for it, and exit code
130.

    while importing
        the process ends at once: nothing is open, and an exception would come out of some module's
        import
    while working
        KeyboardInterrupt, so that clean-up runs; it is remembered, since extensions that were being
                      loaded turn it into an ImportError
    when all is done  the process ends at once with the code of what was done

Imports nothing that takes time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType

MESSAGE = "interrupted; no output is half written, and inputs are as they were"

CODE = 130

AGAIN = 1.0
"""Seconds in which a second Ctrl-C is the impatience of the first: clean-up is not interrupted by
it."""

_first: float | None = None


def seen() -> bool:
    """Whether Ctrl-C was pressed since ``watch``."""
    return _first is not None


@contextlib.contextmanager
def while_importing() -> Iterator[None]:
    """End the process on Ctrl-C, where nobody else has said what it does."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    try:
        signal.signal(signal.SIGINT, _leave)
    except ValueError:  # not the main thread: it is never the one that is interrupted
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def watch() -> None:
    """From now on Ctrl-C and SIGTERM raise KeyboardInterrupt and are remembered; an ignored Ctrl-C
    stays ignored.
    """
    global _first
    _first = None
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, _interrupt)


def done(code: int) -> None:
    """What was asked for is done: from now on either signal ends the process with ``code``."""

    def leave(number: int, frame: FrameType | None) -> None:
        os._exit(code)

    if signal.getsignal(signal.SIGINT) is _interrupt:
        signal.signal(signal.SIGINT, leave)
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, leave)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _first
    now = time.monotonic()
    if _first is None or now - _first > AGAIN:
        _first = now
        raise KeyboardInterrupt


def _leave(number: int, frame: FrameType | None) -> None:
    error = (
        f'{{"error": {{"kind": "interrupted", "exit_code": {CODE}, "message": "{MESSAGE}", '
        f'"details": {{}}}}}}\n'
    )
    with contextlib.suppress(OSError):
        if "--json" in sys.argv:
            os.write(1, error.encode())
    with contextlib.suppress(OSError):
        os.write(2, f"error: {MESSAGE}\n".encode())
    os._exit(CODE)
