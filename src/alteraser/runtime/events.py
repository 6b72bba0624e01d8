"""What happens at the borders of the verbs, as events: a name and a few values. Off until somebody
listens.

    read      interactions, users, items            DATA was read
    checked   what belongs together, in counts      before anything is changed
    started   verb
        train, forget, verify, evaluate, compare, tune, compact
    pass      number, scope, residual, rows, …      every pass over rows
    step      what, share                           part of a measurement or a search is done
    written   bytes                                 an output has its name
    finished  verb, seconds, and what its result says
    refused   verb, kind, exit_code
        an error of ``errors.py``: of a verb, and of a command (no verb)
    interrupted  the same
    answered  exit_code, seconds                    a command has ended

Nobody is named: values are numbers, truth values, and words of this program, never an id, a path or
the text of a message. The log of a forgetting must not be the place where what was forgotten can be
read.

Why a list of listeners, and not a library for logs: a log, a progress bar and a service listen to
the same events, and only the first is text; ``import logging`` and structlog take longer than all
of ``alteraser --help`` may; and an event that nobody listens to costs the test of an empty list.
``to_logging`` hands them to the standard library's ``logging``.

>>> heard = []
>>> with listening(heard.append):
...     emit("read", interactions=3)
>>> heard[0].name, heard[0].values
('read', {'interactions': 3})
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, ParamSpec, TypeVar

from alteraser.errors import AltEraserError, Interrupted

Value = bool | int | float | str | None
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Event:
    """What happened, when (seconds since the epoch), and its values."""

    name: str
    at: float
    values: dict[str, Value]


Listener = Callable[[Event], None]

_listeners: list[Listener] = []


def emit(name: str, **values: Value) -> None:
    """Tell whoever listens; an ``int`` or ``float`` of NumPy becomes Python's."""
    if not _listeners:
        return
    plain = {
        key: getattr(value, "item", lambda value=value: value)() for key, value in values.items()
    }
    event = Event(name, time.time(), plain)
    for listener in tuple(_listeners):
        listener(event)


def heard() -> bool:
    """Whether anybody listens: what costs something to say is worked out then."""
    return bool(_listeners)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """``listener`` hears every event of this process, of all threads, until the block ends."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def verb(name: str, *says: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a verb: started, and finished with the attributes of its result that ``says`` names,
    or how it failed.

    >>> class Result:
    ...     passes = 3
    >>> @verb("train", "passes")
    ... def train():
    ...     return Result()
    >>> heard = []
    >>> with listening(heard.append):
    ...     _ = train()
    >>> [event.name for event in heard], heard[1].values["passes"]
    (['started', 'finished'], 3)
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def observed(*args: P.args, **kwargs: P.kwargs) -> R:
            if not _listeners:
                return function(*args, **kwargs)
            with _told(name) as tell:
                result = function(*args, **kwargs)
                tell({each: getattr(result, each, None) for each in says})
            return result

        return observed

    return decorate


def refused(error: AltEraserError, **values: Value) -> None:
    """Tell of an error by its kind and exit code: its message names what was asked for."""
    name = "interrupted" if isinstance(error, Interrupted) else "refused"
    emit(name, **values, kind=error.kind, exit_code=error.exit_code)


@contextmanager
def _told(name: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    began = time.perf_counter()
    said: dict[str, Any] = {}
    emit("started", verb=name)
    try:
        yield said.update
    except AltEraserError as error:
        refused(error, verb=name)
        raise
    except KeyboardInterrupt:
        emit("interrupted", verb=name)
        raise
    emit("finished", verb=name, seconds=time.perf_counter() - began, **said)


def passes(on_pass: Callable[[Any], None] | None) -> Callable[[Any], None] | None:
    """``on_pass`` that tells of every pass as well; as it is where nobody listens."""
    if not _listeners:
        return on_pass

    def both(record: Any) -> None:
        emit("pass", **{name: getattr(record, name) for name in PASS})
        if on_pass is not None:
            on_pass(record)

    return both


def steps() -> Callable[[str, float], None]:
    """What tells of a ``step``, what is being done and the share of all work that is done; shares
    never fall, also where work has to begin again.
    """
    most = 0.0

    def tell(what: str, share: float) -> None:
        nonlocal most
        most = max(most, float(share))
        emit("step", what=what, share=most)

    return tell


PASS = ("number", "scope", "residual", "objective", "rows", "products", "seconds")
"""Fields of a PassRecord that are told."""


def json_lines(file: IO[str]) -> Listener:
    """A listener that writes a JSON document per line: ``time`` (UTC), ``event`` and the values.

    A file that takes no more is said once on stderr, and the work goes on.
    """
    import json
    import math
    import sys
    from datetime import UTC, datetime

    broken = False

    def write(event: Event) -> None:
        nonlocal broken
        if broken:
            return
        values = {
            k: None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in event.values.items()
        }
        at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds")
        try:
            file.write(json.dumps({"time": at, "event": event.name, **values}) + "\n")
            file.flush()
        except OSError as error:
            broken = True
            print(f"the log ends here: {error.strerror or error}", file=sys.stderr)

    return write


def to_logging(event: Event) -> None:
    """A listener that hands an event to the logger ``alteraser.events`` at level INFO, as ``name
    key=value …``.

    The values are the record's attribute ``values`` as well.
    """
    import logging

    text = " ".join([event.name, *(f"{key}={value}" for key, value in event.values.items())])
    logging.getLogger("alteraser.events").info(text, extra={"values": event.values})
