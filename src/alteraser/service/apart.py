"""The worker in a process of its own, so that batches and requests share no interpreter: they take
turns at processors, not at its lock.

    parent → child   a line is "there is something to do", ``stop`` is to end; the end of the pipe,
                     which is the end of the parent however that came about, is the end of the child
    child → parent   ``ready``, or why not, as JSON
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from alteraser.errors import AltEraserError, Conflict
from alteraser.ledger.leases import SECONDS
from alteraser.service import tracing
from alteraser.service.faults import told
from alteraser.service.state import open_state
from alteraser.service.tempo import Hours, Tempo
from alteraser.service.worker import Worker

HANDOVER = 5.0
"""Seconds to wait for a worker that is ending"""
LONGEST = 60.0
"""Seconds until a worker that was killed again and again is started anew"""
NICE = 5
"""How much batches give way to answers"""
LOST, HALTED = Conflict.exit_code, 1
"""Exit statuses: another worker took over; the disk, or a fault of ours"""

logger = logging.getLogger("alteraser.service")


class WorkerApart:
    """A worker's process, kept alive. ``halt`` is told where it can give no promise any more."""

    def __init__(self, root: Path, threads: int, when: Tempo, halt: Callable[[str], None]) -> None:
        words = [str(root), str(threads), str(int(when.wait)), str(when.hours or "")]
        self._command = [sys.executable, "-m", "alteraser.service.apart", *words]
        self._halt, self._stopping = halt, threading.Event()
        self._process = self._started()
        self._keeper = threading.Thread(target=self._keep, name="alteraser-worker", daemon=True)
        self._alive = True

    def await_ready(self) -> None:
        """Once it has the lease; the child's error otherwise, Conflict ``locked`` first of all."""
        said = self._said()
        if said != "ready":
            raise Conflict(said or "the worker did not start", code="locked")
        self._keeper.start()

    @property
    def alive(self) -> bool:
        """Whether it works, or will again."""
        return self._alive

    def wake(self) -> None:
        """There is something to do."""
        self._tell("wake")

    def end(self, grace: float) -> None:
        """Stop it: the batch that it is at is done again from its plan, where it does not end in
        time.
        """
        self._stopping.set()
        self._tell("stop")
        try:
            self._process.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._closed()

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def _said(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return str(json.loads(line)) if line else ""

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # it has ended: whoever keeps it alive sees to that
            self._process.stdin.write(word + "\n")

    def _closed(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(OSError):
                stream.close()

    def _keep(self) -> None:
        """Start it anew where something killed it; it goes on from the ledger."""
        wait = 1.0
        while True:
            began = time.monotonic()
            status = self._process.wait()
            if self._stopping.is_set():
                return
            if status == HALTED:
                self._halt("worker")
            if status >= 0:
                self._alive = False
                return
            logger.error("the worker was killed (signal %d); it is started again", -status)
            wait = 1.0 if time.monotonic() - began > LONGEST else min(2 * wait, LONGEST)
            if self._stopping.wait(wait):
                return
            self._closed()
            self._process = self._started()
            self._said()


def main() -> int:
    """The child."""
    root, threads, wait, hours = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    when = Tempo(wait == "1", Hours.read(hours) if hours else None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's, who says stop
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(NICE)
    try:
        tracing.begin(role="worker")
        state = open_state(root)
        worker = Worker(state, threads=threads, when=when)
        _begun(worker)
    except AltEraserError as error:
        print(json.dumps(error.message), flush=True)
        return error.exit_code
    threading.Thread(target=_listen, args=(worker,), daemon=True).start()
    print(json.dumps("ready"), flush=True)
    worker.run()
    if state.halted is not None:
        return HALTED
    return 0 if worker.stopped_by_parent else LOST


def _begun(worker: Worker) -> None:
    """With the lease; a worker whose parent was killed needs a moment to let go of it."""
    until = time.monotonic() + min(HANDOVER, SECONDS)
    while True:
        try:
            worker.begin()
            return
        except Conflict:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _listen(worker: Worker) -> None:
    for line in sys.stdin:
        if line == "stop\n":
            worker.stopped_by_parent = True
            worker.stop.set()
        worker.state.wake.set()
    if not worker.stop.is_set():
        os._exit(0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as error:
        logger.error("the worker ended: %s", told(error))
        sys.exit(HALTED)
