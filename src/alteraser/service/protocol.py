"""HTTP on a connection: parsed in C, with a bound on what comes before a body, and on when."""

from __future__ import annotations

import asyncio
import resource
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from alteraser.service.problems import ProblemDetails, answer

HEAD = 64 * 2**10
"""Bytes of a request's line and headers; a longer one is refused"""
HEADERS = 100
"""Headers of a request; more are refused"""
TOO_LONG = f"the head of the request is longer than {HEAD} bytes or {HEADERS} headers; shorten it"
CONNECTIONS = 500
"""Connections at once, or half of the files that the process may open, where that is less: without
files nobody is answered, and asyncio writes each connection that it cannot take into the log
"""
PATIENCE = 10.0
"""Seconds that a request's line and headers may take to arrive; a connection without them ends"""


def configured(app: FastAPI, *, grace: int, keep_alive: int = 75) -> Config:
    """How the service listens. ``grace``: seconds that open connections have to end;
    ``keep_alive``: that one is kept open which nobody uses.
    """
    return Config(
        app,
        log_config=None,
        access_log=False,
        http=Bounded,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=grace,
        timeout_keep_alive=keep_alive,
        server_header=False,
        backlog=max(most() // 4, 1),  # as many are taken at once, before any can make room
    )


class Bounded(HttpToolsProtocol):
    """uvicorn's protocol over httptools, which by itself keeps headers of any length, waits for
    them for ever, takes what follows a body in chunks (trailers) for headers, and the body of a
    request that asks for another protocol for a request of its own.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._size = self._silent = self._headers = 0
        self._heard = 0.0
        self._whole, self._why = False, ""
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A request has to follow. Where there are too many, the one of which nothing was heard
        for the longest makes room, or where all are being answered, this one.
        """
        super().connection_made(transport)
        self._heard = self.loop.time()
        self._await_head()
        if len(self.connections) > most():
            mine = (each for each in self.connections if isinstance(each, Bounded))
            idle = [each for each in mine if each is not self and each.idle]
            if idle:
                silent = min(idle, key=lambda each: each._heard)
                self.connections.discard(silent)
                silent.transport.abort()
            else:
                self._end(answer(503, "busy", "too many connections", {"Retry-After": "5"}))

    @property
    def idle(self) -> bool:
        """Whether nothing is being done for it."""
        return self.cycle is None or bool(self.cycle.response_complete)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._await_no_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """400, and the end of the connection, where a head is too long."""
        self._heard = self.loop.time()
        self._silent += len(data)  # until the parser has made something of it
        super().data_received(data)
        if self._silent > HEAD and not self.transport.is_closing():
            self.send_400_response(TOO_LONG)
        # what was sent ended the time that a connection which nobody uses is kept
        if not self._whole or self.cycle is None or self.cycle.response_complete:
            self._await_head()

    def on_message_begin(self) -> None:
        """Another request."""
        self._size, self._silent, self._headers, self._whole = 0, 0, 0, False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of its address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody here reads."""
        self._headers += 1
        self._count(len(name) + len(value))
        if not self._whole:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """What follows is its body."""
        self._whole = True
        self._await_no_head()
        if self.parser.should_upgrade() and any(map(_announces_body, self.headers)):
            self._refuse("a body cannot follow a request for another protocol; send no Upgrade")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of it."""
        self._silent = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of it."""
        self._silent = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """The end of the connection: with a problem in the place of the answer to what is no HTTP,
        and where something before it is not answered yet, in its turn or not at all, since who
        sent both would take it for the answer to the first.
        """
        refused = answer(400, "http", self._why or msg)
        last = self.cycle
        if last is not None and not last.response_complete:
            if not last.more_body or last.response_started:
                last.keep_alive = False
                return
            if self.pipeline:
                last.keep_alive = False
                self.pipeline[0] = (last, refused)  # type: ignore[assignment]
                return
            last.disconnected = True  # what the application still says comes too late
        self._end(refused)

    def _end(self, last: ProblemDetails) -> None:
        headers = (*self.server_state.default_headers, *last.raw_headers)
        start = f"HTTP/1.1 {last.status_code} {HTTPStatus(last.status_code).phrase}".encode()
        lines = (start, *map(b": ".join, headers), b"connection: close", b"", b"")
        self.transport.write(b"\r\n".join(lines) + bytes(last.body))
        self.transport.close()

    def _count(self, length: int) -> None:
        self._size, self._silent = self._size + length, 0
        if self._size > HEAD or self._headers > HEADERS:
            self._refuse(TOO_LONG)

    def _refuse(self, why: str) -> None:
        """What the parser is told within a callback, it ends with; uvicorn then sends a 400."""
        self._why = why
        raise ValueError(why)

    def _await_head(self) -> None:
        if self._patience is None and not self.transport.is_closing():
            self._patience = self.loop.call_later(PATIENCE, self.transport.close)

    def _await_no_head(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def most() -> int:
    """Connections at once, in this process."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if files == resource.RLIM_INFINITY else min(CONNECTIONS, files // 2)


def _announces_body(header: tuple[bytes, bytes]) -> bool:
    name, value = header
    return name == b"transfer-encoding" or (name == b"content-length" and bool(value.strip(b"0")))
