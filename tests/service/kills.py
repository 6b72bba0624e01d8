"""A small full run that is ended, or fails, at its k-th durable operation; run as a program of its
own.

    python kills.py STATE WORK KIND FIRST STEP OUT

STATE is a state, copied to WORK for every k. Nothing is computed in this process: each run is a
fork of it, so that what is imported and compiled is there already.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from alteraser.errors import AltEraserError
from alteraser.ledger import log, receipts, requests, versions
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
KILL, FAILS = "kill", {"full": errno.ENOSPC, "error": errno.EIO}


def run(root: Path, told: list[str]) -> None:
    """Send, work, send again, work; ``told`` is what was acknowledged, kept by the client."""
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
            told.append(found["request_id"])

    send(FIRST)
    ingest(state, state.load_serving(), ADDED)
    while worker.once():
        pass
    send(SECOND)
    while worker.once():
        pass
    worker.end()
    state.close()


def attempt(root: Path, acknowledged: Path, how: str, at: int) -> tuple[int, int]:
    """One run in a fork; (operations that were counted, exit status)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            seen = pipe.read()
        status = os.waitpid(child, 0)[1]
        return len(seen), status
    os.close(reading)
    count, told = 0, []

    def watcher(operation: str, place: Any) -> None:
        nonlocal count
        count += 1
        os.write(writing, b".")
        if count == at:
            if how == KILL:
                keep(acknowledged, told)
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(FAILS[how], os.strerror(FAILS[how]))

    code = 0
    try:
        with watched(watcher):
            run(root, told)
    except (OSError, AltEraserError) as error:
        code = 1 if isinstance(error, OSError) else error.exit_code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 99
    keep(acknowledged, told)
    os._exit(code)


def keep(acknowledged: Path, told: list[str]) -> None:
    """What the client knows; it outlives the service."""
    with open(acknowledged, "a", encoding="ascii") as file:
        file.writelines(f"{each}\n" for each in told)


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
    """Every STEP-th operation from FIRST on, of a kind of fault: a line of JSON each."""
    source, work, how, first, step, out = sys.argv[1:]
    place = Path(work)

    def fresh() -> tuple[Path, Path]:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(source, place / "state")
        (place / "told").touch()
        return place / "state", place / "told"

    root, told = fresh()
    operations, status = attempt(root, told, KILL, 0)
    assert status == 0, status
    expected = look(root, told)
    with open(out, "w", encoding="ascii") as file:
        print(json.dumps({"operations": operations, "expected": expected}), file=file)
        for at in range(int(first), operations + 1, int(step)):
            root, told = fresh()
            reached, status = attempt(root, told, how, at)
            began = time.perf_counter()
            _, again = attempt(root, told, KILL, 0)
            seconds = time.perf_counter() - began
            line = {
                "at": at,
                "reached": reached,
                "status": status,
                "again": again,
                "seconds": seconds,
            }
            print(json.dumps(line | {"found": look(root, told)}), file=file, flush=True)


if __name__ == "__main__":
    main()
