"""Ctrl-C from the first moment on: one line, a document where ``--json`` asks for it, and exit code
130.

    while importing
        the process ends at once: nothing is open, and an exception would come out of some module's
        import
    while working
        KeyboardInterrupt, so that clean-up runs; it is remembered, since extensions that were being
                      loaded turn it into an ImportError
    when all is done  the process ends at once with the code of what was done

Imports nothing that takes time, and so not ``signal`` either: its enumerations take longer than all
of this.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import atexit
import os
import sys
import time

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
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


class WhileImporting:
    """End the process on Ctrl-C, where nobody else has said what it does."""

    def __enter__(self) -> None:
        self._mine = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
        if not self._mine:
            return
        try:
            _signal.signal(_signal.SIGINT, _leave)
        except ValueError:  # not the main thread: it is never the one that is interrupted
            self._mine = False

    def __exit__(self, *raised: object) -> None:
        if self._mine:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def watch() -> None:
    """From now on Ctrl-C and SIGTERM raise KeyboardInterrupt and are remembered; an ignored Ctrl-C
    stays ignored.
    """
    global _first
    _first = None
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _interrupt)
    if hasattr(_signal, "SIGTERM"):
        _signal.signal(_signal.SIGTERM, _interrupt)


def end_on_sigterm() -> None:
    """From now on SIGTERM is what ends this command as it should: what is open is cleaned up, and
    the exit code is 0. Of commands that would go on for ever.
    """
    if hasattr(_signal, "SIGTERM"):
        _signal.signal(_signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _ignore() -> None:
    if _signal.getsignal(_signal.SIGINT) is not _signal.SIG_DFL:
        _signal.signal(_signal.SIGINT, _signal.SIG_IGN)


def done(code: int) -> None:
    """What was asked for is done: from now on either signal ends the process with ``code``."""

    def leave(number: int, frame: FrameType | None) -> None:
        os._exit(code)

    if _signal.getsignal(_signal.SIGINT) is _interrupt:
        _signal.signal(_signal.SIGINT, leave)
    if hasattr(_signal, "SIGTERM"):
        _signal.signal(_signal.SIGTERM, leave)
    # the interpreter takes its handlers away on its way out, and Ctrl-C would kill it there
    atexit.register(_ignore)


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
    if "--json" in sys.argv:
        _write(1, error)
    _write(2, f"error: {MESSAGE}\n")
    os._exit(CODE)


def _write(where: int, words: str) -> None:
    try:
        os.write(where, words.encode())
    except OSError:  # nobody reads it
        return
