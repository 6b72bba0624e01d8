"""A service under load, seen from another process: submissions offered at a rate, lists and lookups
beside them.

Threads keep a connection each and send by a timetable: sending number i is due i / rate seconds
after the beginning, and its latency counts from then, so that a service that stalls is charged for
all that waited behind it. The service runs as ``alteraser serve`` on generated data, with a key
that may write at any rate.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import numpy as np
import pyarrow.parquet as pq
import typer

from alteraser.bench.common import table
from alteraser.bench.postgresql import server
from alteraser.bench.warm import generated
from alteraser.data.interactions import Interactions
from alteraser.models.neighbors.item_knn import ItemKNN

Made = Callable[[int], tuple[str, str, bytes | None]]
"""Number of a sending → method, path, body"""


def serve(
    rate: Annotated[int, typer.Option("--rate", min=1, help="Submissions offered a second.")] = 200,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="How long.")] = 20.0,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Connections that submit.")] = 16,
    users: Annotated[int, typer.Option("--users", min=100, help="People in the data.")] = 20_000,
    reads: Annotated[
        int, typer.Option("--reads", min=0, help="Lists asked for a second, beside it.")
    ] = 50,
    worker: Annotated[
        bool, typer.Option("--worker/--no-worker", help="Whether batches run meanwhile.")
    ] = True,
    postgresql: Annotated[
        bool,
        typer.Option(
            "--postgresql/--no-postgresql",
            help="The ledger in a PostgreSQL server, which is started for it; else in a file.",
        ),
    ] = False,
) -> int:
    """Latency and throughput of a service that is sent requests at a rate, from another process.

    Example: alteraser bench serve --rate 200 --seconds 20
    """
    data = generated(users)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        pq.write_table(data.to_table(), root / "data.parquet")
        ItemKNN(neighbors=20).fit(data).save(root / "model")
        with server() if postgresql else nullcontext() as found:
            process, address = _started(root, worker, None if found is None else found.database())
            try:
                _measured(root, address, rate, seconds, threads, reads, users)
                _one_by_one(root, address, data)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)
    return 0


def _started(root: Path, worker: bool, database: str | None) -> tuple[subprocess.Popen[str], str]:
    command = [
        sys.executable,
        "-m",
        "alteraser",
        "serve",
        "--port",
        "0",
        "--rate-limit",
        "0",
        "--state",
    ]
    command += [
        str(root / "state"),
        "--model",
        str(root / "model"),
        "--data",
        str(root / "data.parquet"),
    ]
    command += [] if worker else ["--no-worker"]
    command += [] if database is None else ["--database", database]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def _measured(
    root: Path, address: str, rate: int, seconds: float, threads: int, reads: int, users: int
) -> None:
    key = (root / "state" / "admin.key").read_text().strip()
    draw = np.random.default_rng(0)
    who = draw.permutation(users)

    def submission(number: int) -> tuple[str, str, bytes | None]:
        return "POST", "/v1/requests", json.dumps({"users": [int(who[number % users])]}).encode()

    def listing(number: int) -> tuple[str, str, bytes | None]:
        return "GET", f"/v1/recommendations/{who[-1 - number % (users // 2)]}", None

    offered = [("submissions", rate, threads, submission)]
    if reads:
        offered.append(("lists", reads, max(threads // 4, 1), listing))
    loads = [
        Load(address, key, pace, seconds, made).start(count) for _, pace, count, made in offered
    ]
    rows = [load.finished(name) for (name, *_), load in zip(offered, loads, strict=True)]
    table(
        ["what", "offered, 1/s", "answered, 1/s", "statuses", "p50, ms", "p99, ms", "max, ms"], rows
    )
    print(f"\nload average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


ASKED = 200
"""People of whom a part is forgotten, one after the other"""
NAMED = 10**9
"""Interactions that a request names which is refused"""


def _one_by_one(root: Path, address: str, data: Interactions) -> None:
    """What somebody waits for who asks for one of their interactions to be forgotten, and then for
    their list without it; and a request that names a thousand million interactions.
    """
    key = (root / "state" / "admin.key").read_text().strip()
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def timed(method: str, path: str, body: bytes | None, **more: str) -> tuple[float, int]:
        began = time.perf_counter()
        connection.request(
            method, path, body, headers | {k.replace("_", "-"): v for k, v in more.items()}
        )
        answer = connection.getresponse()
        answer.read()
        return 1e3 * (time.perf_counter() - began), answer.status

    found: dict[str, list[tuple[float, int]]] = {"asked": [], "their list after it": []}
    for row in range(data.users.size - 1, data.users.size - 1 - ASKED, -1):
        item = int(data.indices[data.indptr[row]])
        body = json.dumps({"pairs": [[row, item]]}).encode()
        found["asked"].append(timed("POST", "/v1/requests", body, Idempotency_Key=f"one {row}"))
        found["their list after it"].append(timed("GET", f"/v1/recommendations/{row}", None))
    refused = f"{NAMED:,} interactions"
    found[refused] = []
    for number in range(20):
        length = str(len('{"pairs": []}') + NAMED * len("[1, 1],"))
        # refused by what it says it is: nothing of it is sent
        more = {"Idempotency_Key": f"many {number}", "Content_Length": length}
        found[refused].append(timed("POST", "/v1/requests", None, **more))
        connection.close()
    rows = []
    for name, each in found.items():
        took = np.array([milliseconds for milliseconds, _ in each])
        statuses = ", ".join(str(status) for status in sorted({status for _, status in each}))
        p50, p99 = np.quantile(took, [0.5, 0.99])
        rows.append(
            [name, str(len(each)), statuses, f"{p50:.1f}", f"{p99:.1f}", f"{took.max():.1f}"]
        )
    table(["one after the other", "times", "statuses", "p50, ms", "p99, ms", "max, ms"], rows)


class Load:
    """Sendings by a timetable, from threads with a connection each."""

    def __init__(self, address: str, key: str, rate: int, seconds: float, made: Made) -> None:
        self._host = urlsplit(address).netloc
        self._key, self._rate, self._count, self._made = key, rate, int(rate * seconds), made
        self._lock, self._next, self._began = threading.Lock(), 0, 0.0
        self._threads: list[threading.Thread] = []
        self._ended = 0.0
        self._found: list[tuple[float, int]] = []

    def start(self, threads: int) -> Load:
        """Begin, with ``threads`` connections."""
        self._began = time.perf_counter() + 0.2
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()
        return self

    def finished(self, name: str) -> list[str]:
        """Wait for the end; a row of the table."""
        for thread in self._threads:
            thread.join()
        latencies = 1e3 * np.array([latency for latency, _ in self._found])
        statuses = sorted({status for _, status in self._found})
        pace = len(self._found) / (self._ended - self._began)
        counted = ", ".join(
            f"{sum(each == status for _, each in self._found)} x {status}" for status in statuses
        )
        p50, p99 = np.quantile(latencies, [0.5, 0.99])
        return [
            name,
            f"{self._rate}",
            f"{pace:.0f}",
            counted,
            f"{p50:.1f}",
            f"{p99:.1f}",
            f"{latencies.max():.1f}",
        ]

    def _take(self) -> int | None:
        with self._lock:
            number, self._next = self._next, self._next + 1
        return number if number < self._count else None

    def _send(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=60)
        connection.connect()
        while (number := self._take()) is not None:
            due = self._began + number / self._rate
            time.sleep(max(due - time.perf_counter(), 0.0))
            method, path, body = self._made(number)
            headers = {"Authorization": f"Bearer {self._key}"}
            if body is not None:
                headers |= {"Content-Type": "application/json", "Idempotency-Key": f"{number}"}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            ended = time.perf_counter()
            with self._lock:
                self._found.append((ended - due, answer.status))
                self._ended = max(self._ended, ended)
        connection.close()
