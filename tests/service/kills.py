"""A small full run that is ended, or fails, at its k-th durable operation or at a random moment;
run as a program of its own.

    python kills.py STATE WORK KIND FIRST STEP LAST OUT

STATE is a state, copied to WORK for every STEP-th k from FIRST to LAST. Nothing is computed in this
process after a first run: each other one is a fork of it, so that what is imported and compiled
is there already. KIND:

    kill          the process is killed before the operation
    torn          and what was not synced by then is as a power cut may leave it
    full, error   the operation fails: no room on the disk, or an error of it
    stopped       the worker stands still before its k-th operation on files (SIGSTOP) until its
                  lease is over and another one has done its work, and goes on then
    random        k is the seed of five kills, one after another, at moments of no operation
"""

from __future__ import annotations

import errno
import json
import math
import os
import random
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from alteraser.errors import AltEraserError
from alteraser.ledger import leases, log, receipts, requests, versions
from alteraser.ledger.asked import asked
from alteraser.runtime.durable import watched
from alteraser.service.ingest import ingest
from alteraser.service.state import open_state
from alteraser.service.worker import Worker

BASE = 7_305_118_246_091_000_000
FIRST = [
    {"users": [BASE + 5]},
    {"pairs": [[BASE + 1, 102], [BASE + 9, 103]]},
    {"users": [4]},
    {"users": [4, BASE + 5]},
]
SECOND = [{"items": [101]}]  # one alone: of two, a kill in between would rightly make two batches
ADDED = [{"user": 77, "item": 103, "timestamp": 978_400_000}]
NEVER, STOPPED, RANDOM, FAILS = (
    "never",
    "stopped",
    "random",
    {"full": errno.ENOSPC, "error": errno.EIO},
)
KILLS = 5


class Client:
    """What was acknowledged, in a file: it outlives the service."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def told(self, name: str) -> None:
        os.write(self._file, f"{name}\n".encode())


class PowerCut:
    """What is on the disk where the power fails before an operation: of what was not synced, any
    part."""

    def __init__(self, place: Path, seed: int) -> None:
        self._aside, self._draw = place, random.Random(seed)
        self._renamed: list[tuple[Path, Path | None]] = []
        self._count = 0

    def watch(self, operation: str, place: Path) -> None:
        """Remember what a name was before it becomes something else."""
        if operation == "rename":
            before = None
            if place.exists():
                self._count += 1
                before = self._aside / str(self._count)
                before.parent.mkdir(exist_ok=True)
                (shutil.copytree if place.is_dir() else shutil.copy)(place, before)
            self._renamed.append((place, before))
        elif operation == "fsync" and place.is_dir():
            self._renamed = [each for each in self._renamed if each[0].parent != place]

    def strike(self, operation: str, place: Path) -> None:
        """Leave it at that."""
        if operation == "fsync" and place.is_file():
            size = place.stat().st_size
            with place.open("r+b") as file:
                file.truncate(self._draw.randrange(size + 1))
                file.seek(0, os.SEEK_END)
                file.write(self._draw.randbytes(self._draw.randrange(100)))
        elif operation == "fsync" and place.is_dir():
            for name, before in reversed(self._renamed):
                if name.parent == place and name.exists():
                    shutil.rmtree(name) if name.is_dir() else name.unlink()
                if name.parent == place and before is not None:
                    shutil.move(before, name)
        elif operation == "remove" and place.is_dir():
            for path in place.rglob("*"):
                if path.is_file() and self._draw.random() < 0.5:
                    path.unlink()
        elif operation == "commit":
            with Path(f"{place}-wal").open("ab") as file:
                file.write(self._draw.randbytes(self._draw.randrange(1, 9000)))


def run(
    root: Path, client: Client, *, second: bool = True, working: Callable[[], None] | None = None
) -> None:
    """Send, work, send again, work. ``working`` is called before the first work."""
    state = open_state(root)
    state.sweep()
    worker = Worker(state, threads=1)
    worker.begin()

    def send(bodies: list[dict[str, Any]]) -> None:
        for body in bodies:
            text = json.dumps(body) + str(bodies is SECOND)
            sender = requests.Sender("client", text, text.encode())
            wanted = asked(body, state.declared)
            found, _ = state.database.together(
                partial(
                    requests.submit,
                    wanted=wanted,
                    sender=sender,
                    secret=state.hashing,
                    now=state.clock(),
                )
            )
            client.told(found["request_id"])

    send(FIRST)
    ingest(state, state.load_serving(), ADDED)
    if working is not None:
        working()
    while worker.once():
        pass
    if second:
        send(SECOND)
        while worker.once():
            pass
    worker.end()
    state.close()


def attempt(
    root: Path, acknowledged: Path, how: str, at: int, moment: float | None = None
) -> tuple[int, int]:
    """One run in a fork; (operations that were counted, exit status). ``moment``: seconds after
    which it is killed, wherever it is."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        seen, until = b"", math.inf if moment is None else time.monotonic() + moment
        while part := _until(reading, until):
            seen += part
        if moment is not None:
            os.kill(child, signal.SIGKILL)  # which nobody feels where it has ended by then
        status = os.waitpid(child, 0)[1]
        os.close(reading)
        return len(seen), status
    os.close(reading)
    count, cut = 0, PowerCut(root.parent / "before", at)

    def watcher(operation: str, place: Any) -> None:
        nonlocal count
        count += 1
        os.write(writing, b".")
        if count == at:
            if how in FAILS:
                raise OSError(FAILS[how], os.strerror(FAILS[how]))
            if how == "torn":
                cut.strike(operation, Path(place))
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "torn":
            cut.watch(operation, Path(place))

    code = 0
    try:
        with watched(watcher):
            run(root, Client(acknowledged))
    except (OSError, AltEraserError) as error:
        code = 1 if isinstance(error, OSError) else error.exit_code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 99
    os._exit(code)


def _until(pipe: int, moment: float) -> bytes:
    """What comes next; nothing at the end, or at the ``moment``."""
    left = max(moment - time.monotonic(), 0)
    there, _, _ = select.select([pipe], [], [], None if left == math.inf else left)
    return os.read(pipe, 4096) if there else b""


def stopped(root: Path, acknowledged: Path, at: int) -> tuple[int, int]:
    """(operations on files of the worker that was stopped, its exit status)."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        count, working = 0, False

        def begins() -> None:
            nonlocal working
            working = True

        def watcher(operation: str, place: Any) -> None:
            nonlocal count
            if working and operation != "commit":  # in a transaction nobody else could work
                count += 1
                os.write(writing, b".")
                if count == at:
                    os.kill(os.getpid(), signal.SIGSTOP)

        code = 0
        try:
            with watched(watcher):
                run(root, Client(acknowledged), second=False, working=begins)
        except AltEraserError as error:
            code = error.exit_code
        except BaseException:
            code = 99
        os._exit(code)
    os.close(writing)
    status = os.waitpid(child, os.WUNTRACED)[1]
    if os.WIFSTOPPED(status):
        finished(root, leases.SECONDS + 1)
        os.kill(child, signal.SIGCONT)
        status = os.waitpid(child, 0)[1]
    with os.fdopen(reading) as pipe:
        return len(pipe.read()), status


def finished(root: Path, later: float = 0.0) -> None:
    """A worker in a fork does what there is to do, ``later`` seconds from now."""
    child = os.fork()
    if not child:
        now = leases._time
        leases._time = lambda *given: (now(*given)[0], now(*given)[1] + later)
        code = 99
        try:
            state = open_state(root)
            worker = Worker(state, threads=1)
            worker.begin()
            while worker.once():
                pass
            worker.end()
            state.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def stops(fresh: Callable[[], tuple[Path, Path]], first: int, step: int, out: Any) -> None:
    """The lines of ``main`` for a worker that is stopped."""
    root, told = fresh()
    operations, status = stopped(root, told, 0)
    assert status == 0, status
    print(json.dumps({"operations": operations, "expected": look(root, told)}), file=out)
    for at in range(first, operations + 1, step):
        root, told = fresh()
        reached, status = stopped(root, told, at)
        finished(root)
        line = {"at": at, "reached": reached, "status": status, "found": look(root, told)}
        print(json.dumps(line), file=out, flush=True)


def look(root: Path, acknowledged: Path) -> dict[str, Any]:
    """What came of it."""
    state = open_state(root)
    told = set(acknowledged.read_text(encoding="ascii").split())
    with state.database.reading() as connection:
        found = {each["request_id"]: each for each in requests.listed(connection)}
        pointer = versions.serving(connection)
        written = {name: log.receipt(connection, name, state.signer.public) for name in found}
    version = state.load(pointer.version)
    checked = [
        receipts.check(each, log=log.Log(state.folders.log))
        for each in written.values()
        if each is not None
    ]
    answer = {
        "missing": sorted(told - found.keys()),
        "open": [
            each["status"] for each in found.values() if not each["status"].startswith("completed")
        ],
        "requests": len(found),
        "receipts": len(checked),
        "version": version.id,
        "model": version.model.digest,
        "data": version.data.digest,
        "floor": pointer.floor,
        "left": sorted(
            path.name
            for folder in (state.folders.versions, state.folders.added, state.folders.log)
            for path in folder.iterdir()
            if path.name not in (version.id, log.LEAVES, log.HEAD, log.PUBLIC)
        ),
    }
    state.close()
    return answer


def main() -> None:
    """Every STEP-th operation from FIRST to LAST, of a kind of fault: a line of JSON each."""
    source, work, how, first, step, last, out = sys.argv[1:]
    place = Path(work)

    def fresh() -> tuple[Path, Path]:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(source, place / "state")
        (place / "told").touch()
        return place / "state", place / "told"

    root, told = fresh()
    run(root, Client(told))  # here once, so that forks have what is imported and compiled by it
    if how == STOPPED:
        with open(out, "w", encoding="ascii") as file:
            stops(fresh, int(first), int(step), file)
        return
    times = []
    for _ in range(3):
        root, told = fresh()
        began = time.perf_counter()
        operations, status = attempt(root, told, NEVER, 0)
        times.append(time.perf_counter() - began)
        assert status == 0, status
    expected, whole = look(root, told), sorted(times)[1]
    with open(out, "w", encoding="ascii") as file:
        print(json.dumps({"operations": operations, "expected": expected}), file=file)
        most = int(last) if how == RANDOM else min(operations, int(last))
        for at in range(int(first), most + 1, int(step)):
            root, told = fresh()
            within = 0
            if how == RANDOM:
                draw = random.Random(at)
                tries = [
                    attempt(root, told, NEVER, 0, draw.uniform(0, whole)) for _ in range(KILLS)
                ]
                reached, status = max(tries)
                within = sum(each == signal.SIGKILL for _, each in tries)
            else:
                reached, status = attempt(root, told, how, at)
            began = time.perf_counter()
            _, again = attempt(root, told, NEVER, 0)
            seconds = time.perf_counter() - began
            line = {
                "at": at,
                "reached": reached,
                "status": status,
                "within": within,
                "again": again,
                "seconds": seconds,
            }
            print(json.dumps(line | {"found": look(root, told)}), file=file, flush=True)
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
