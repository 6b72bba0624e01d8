"""Group commit: whoever writes while a transaction is being made durable shares the next one, so
that a disk which syncs a hundred times a second takes in thousands of requests.

One thread writes. What it is given waits in a queue; it takes all that is there into one
transaction, and answers once that is durable. Where one of them is refused, which is seldom, all is
done again with each in a savepoint of its own: that costs two statements more for each.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection

from alteraser.errors import AltEraserError

MOST = 64
"""Of those who share a transaction"""
IDLE = 5.0
"""Seconds without work after which the thread ends; the next piece of work starts another"""

T = TypeVar("T")


@dataclass
class _Piece:
    """Somebody's part of a shared transaction."""

    work: Callable[[Connection], Any]
    future: Future[Any] = field(default_factory=Future)
    answer: Any = None
    error: BaseException | None = None

    def done(self, connection: Connection, *, apart: bool) -> bool:
        """Its work; whether it did not raise one of our errors. ``apart``: then it left no
        trace.
        """
        try:
            with connection.begin_nested() if apart else nullcontext():
                self.answer = self.work(connection)
        except AltEraserError as error:
            self.error = error
        return self.error is None

    def told(self) -> None:
        """Its answer, or its error, goes to who waits."""
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.answer)


class _Refused(Exception):
    """One of several was refused."""


class Together:
    """Work of many threads in shared transactions. ``writing`` gives one that is durable when its
    block has ended.
    """

    def __init__(self, writing: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._writing = writing
        self._changed = threading.Condition()
        self._queue: deque[_Piece] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, work: Callable[[Connection], T]) -> Future[T]:
        """``work``'s answer, once what it wrote is durable. One of our errors leaves no trace of it
        and the others theirs; any other error, or a transaction that does not end, is everybody's.
        """
        piece = _Piece(work)
        with self._changed:
            if self._closed:
                raise RuntimeError("the ledger is closed")
            self._queue.append(piece)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
                self._thread.start()
            self._changed.notify()
        return piece.future

    def close(self) -> None:
        """Once all that was put is done."""
        with self._changed:
            self._closed, thread = True, self._thread
            self._changed.notify()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while pieces := self._taken():
            self._do([each for each in pieces if each.future.set_running_or_notify_cancel()])

    def _taken(self) -> list[_Piece]:
        """What waits, ``MOST`` of it; nothing: this is the end of the thread."""
        with self._changed:
            if not self._queue and not self._closed:
                self._changed.wait(IDLE)
            taken = [self._queue.popleft() for _ in range(min(MOST, len(self._queue)))]
            if not taken:
                self._thread = None
            return taken

    def _all_done(self, pieces: list[_Piece]) -> bool:
        """Whether nobody was refused; else there is no trace of any of them."""
        try:
            with self._writing() as connection:
                if not all(each.done(connection, apart=False) for each in pieces):
                    raise _Refused
        except _Refused:
            return False
        return True

    def _do(self, pieces: list[_Piece]) -> None:
        try:
            if not self._all_done(pieces) and len(pieces) > 1:
                for each in pieces:
                    each.answer, each.error = None, None
                with self._writing() as connection:
                    for each in pieces:
                        each.done(connection, apart=True)
        except BaseException as error:
            for each in pieces:
                each.error = error
        for each in pieces:
            each.told()
