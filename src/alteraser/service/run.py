"""HTTP in this process, and unless told otherwise the worker in one of its own."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from alteraser.errors import AltEraserError, Conflict, IntegrityError, InvalidInput
from alteraser.service import tracing
from alteraser.service.apart import WorkerApart
from alteraser.service.app import Api, make_app
from alteraser.service.faults import Unnamed, told
from alteraser.service.outside import Outside
from alteraser.service.protocol import configured
from alteraser.service.serving import Serving
from alteraser.service.state import State, open_state
from alteraser.service.tempo import Tempo
from alteraser.service.worker import AT_ONCE

TURN = 0.0005
"""Seconds that a thread which computes keeps the interpreter while one that answers waits for it"""
TIDY = 1.0
"""Seconds between two times that the ledger is tidied"""
GRACE = 3
"""Seconds that open connections, and then the worker, have to end"""

logger = logging.getLogger("alteraser.service")


class _Server(uvicorn.Server):
    """uvicorn's server that says when it is ready, and leaves signals to ``serve``."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    def capture_signals(self) -> Any:
        return nullcontext()


def serve(
    root: Path,
    *,
    host: str,
    port: int,
    work: bool,
    threads: int = 0,
    when: Tempo = AT_ONCE,
    outside: Outside | None = None,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve the state in ``root`` until SIGTERM or Ctrl-C; ``announce`` is told the address once it
    is ready.

    Raises Conflict ``locked`` where another process serves it or works on it, InvalidInput for an
    address that cannot be had.
    """
    logging.getLogger("uvicorn.error").addFilter(Unnamed())
    tracing.begin(role="api")
    sys.setswitchinterval(TURN)
    state = open_state(root)
    lock = state.folders.lock()
    try:
        state.sweep()
        sock = listening(host, port)
        worker = (
            WorkerApart(root, threads, when, partial(setattr, state, "halted")) if work else None
        )
        try:
            serving = Serving(state)
            serving.warm()
            _ = state.declared  # reads the version: now, not at the first request
            if worker is not None:
                worker.await_ready()
            _run(state, serving, worker, sock, announce, outside or Outside())
        finally:
            sock.close()
            if worker is not None:
                worker.end(GRACE)
    finally:
        state.close()
        lock.close()


def _run(
    state: State,
    serving: Serving,
    worker: WorkerApart | None,
    sock: socket.socket,
    announce: Callable[[str], None],
    outside: Outside,
) -> None:
    def ready() -> str | None:
        if state.halted is not None:
            return "the disk does not keep what it is given"
        if worker is not None and not worker.alive:
            return "the worker has stopped"
        return None

    api = Api(state, serving, ready, outside)
    config = configured(make_app(api), grace=GRACE)
    address = sock.getsockname()
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    server = _Server(config, lambda: announce(f"http://{shown}:{address[1]}"))
    ended = threading.Event()
    followers = [
        threading.Thread(target=serving.follow, args=(ended,), daemon=True),
        threading.Thread(target=outside.relay(state, ended).run, daemon=True),
        threading.Thread(target=_tidy, args=(state, ended), daemon=True),
    ]
    if worker is not None:
        followers.append(threading.Thread(target=_wake, args=(state, worker, ended), daemon=True))
    examining = threading.Thread(target=_examine, args=(state,), daemon=True)
    for each in (*followers, examining):  # the last is waited for by nobody
        each.start()
    gc.collect()
    gc.freeze()  # what is there stays: looking through it again and again would stop everybody
    try:
        with _stopping(server):
            asyncio.run(_served(server, sock))
    finally:
        ended.set()
        state.wake.set()
        for each in followers:
            each.join()


def _wake(state: State, worker: WorkerApart, ended: threading.Event) -> None:
    """Tell the worker of what came in."""
    while not ended.is_set():
        state.wake.wait()
        state.wake.clear()
        worker.wake()


def _examine(state: State) -> None:
    """Stop taking requests in, should the ledger turn out to be damaged where ``open`` has not
    looked.
    """
    try:
        state.database.examine()
    except IntegrityError as error:
        logger.error("stopping: %s", error.message)
        state.halted = error.kind
    except (AltEraserError, OSError) as error:  # who reads or writes is told
        logger.warning("the ledger was not examined: %s", told(error))


def _tidy(state: State, ended: threading.Event) -> None:
    """Keep from writers what can be done beside them."""
    while not ended.wait(TIDY):
        with suppress(AltEraserError, OSError):  # who writes is told
            state.database.tidy()


async def _served(server: _Server, sock: socket.socket) -> None:
    await server.serve(sockets=[sock])


@contextmanager
def _stopping(server: _Server) -> Any:
    """SIGTERM and Ctrl-C end the service cleanly; the second one at once."""

    def stop(number: int, frame: Any) -> None:
        if server.should_exit:
            os.kill(os.getpid(), signal.SIGKILL)
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listening(host: str, port: int) -> socket.socket:
    """A socket that connections come to; Conflict for an address that is taken, InvalidInput for
    none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        family, kind_of_socket, protocol, _, address = found
        # with its protocol named, asyncio sends what it is given at once: without, the second part
        # of an answer waits 40 ms for who delays to acknowledge the first (Nagle's algorithm)
        sock = socket.socket(family, kind_of_socket, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as error:
        kind = Conflict if error.errno == 98 else InvalidInput
        raise kind(
            f"{host}:{port} cannot be listened on ({error.strerror}); choose another --host or "
            "--port"
        ) from error
    return sock
