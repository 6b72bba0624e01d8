"""The process itself: it says where it is, stops when it is told to, and goes on where it was
killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from alteraser.ledger import receipts
from alteraser.service import run
from alteraser.service.state import open_state

from .conftest import BASE

ALTERASER = [sys.executable, "-m", "alteraser"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """A function that starts a service and gives its process and its address."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        command = [*ALTERASER, "serve", "--port", "0", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        running.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield begin
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def finished(client: httpx.Client, name: str) -> str:
    for _ in range(600):
        status = client.get(f"/v1/requests/{name}").json()["status"]
        if status in ("completed", "completed_nothing_found", "failed"):
            return status
        time.sleep(0.1)
    raise AssertionError(status)


def client_of(state: Path, address: str) -> httpx.Client:
    key = (state / "admin.key").read_text().strip()
    return httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=60)


def test_begins_serves_stops_and_is_killed(made: Path, tmp_path: Path, start) -> None:
    state = tmp_path / "state"
    given = ("--state", str(state), "--model", str(made / "knn"), "--data", str(made / "data.csv"))
    process, address = start(*given)
    assert address.startswith("http://127.0.0.1:")
    assert (state / "admin.key").stat().st_mode & 0o777 == 0o600
    with client_of(state, address) as client:
        assert client.get("/readyz").json()["status"] == "ready"
        body, name = {"users": [BASE + 5]}, {"Idempotency-Key": "a"}
        sent = client.post("/v1/requests", json=body, headers=name).json()["request_id"]
        for arguments in (
            ["serve", "--port", "0", "--state", str(state)],
            ["worker", "--state", str(state), "--once"],
        ):
            second = subprocess.run([*ALTERASER, *arguments], capture_output=True, text=True)
            assert (second.returncode, second.stdout) == (4, ""), second.stderr
        assert finished(client, sent) == "completed"
        other = client.post(
            "/v1/requests", json={"users": [BASE + 6]}, headers={"Idempotency-Key": "b"}
        )
        assert other.status_code == 202
        os.kill(process.pid, signal.SIGKILL)  # at some moment of the work
        process.wait()
    process, address = start(*given)
    with client_of(state, address) as client:
        assert finished(client, other.json()["request_id"]) == "completed"
        again = client.post("/v1/requests", json=body, headers=name)
        assert (again.status_code, again.json()["request_id"]) == (200, sent)
        receipts.check(client.get(f"/v1/requests/{other.json()['request_id']}/receipt").content)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert process.stdout is not None
    assert process.stdout.read() == "", "one line, the address"
    # the contract of a service manager, not a measure of speed
    assert time.monotonic() - began < 10
    wrong = ("--state", str(state), "--model", str(made / "enmf"), "--data", str(made / "data.csv"))
    assert (
        subprocess.run([*ALTERASER, "serve", "--port", "0", *wrong], capture_output=True).returncode
        == 4
    )


@pytest.mark.parametrize("moment", ["making the state", "opening it", "working"])
def test_who_stops_it_before_it_is_ready_is_obeyed(made: Path, tmp_path: Path, moment: str) -> None:
    """Exit code 0, as at any other time, and the next start finds nothing half made."""
    state = tmp_path / "state"
    where = {
        "making the state": "alteraser.service.state:read_for",
        "opening it": "alteraser.service.run:listening",
        "working": "alteraser.service.worker:Worker.begin",
    }[moment]
    code = (
        "import importlib, operator, os, signal, sys\n"
        "from alteraser.cli.main import main\n"
        "module, _, name = sys.argv[1].partition(':')\n"
        "module = importlib.import_module(module)\n"
        "*path, last = name.split('.')\n"
        "owner = operator.attrgetter('.'.join(path))(module) if path else module\n"
        "def stopped(*given, **named):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    raise SystemExit('it was not obeyed')\n"
        "setattr(owner, last, stopped)\n"
        "sys.exit(main(sys.argv[2:]))\n"
    )
    given = ["--state", str(state), "--model", str(made / "knn"), "--data", str(made / "data.csv")]
    command = ["serve", "--port", "0", *given]
    if moment == "working":
        shutil.copytree(made / "state-knn", state)
        command = ["worker", "--state", str(state)]
    found = subprocess.run(
        [sys.executable, "-c", code, where, *command], capture_output=True, text=True
    )
    assert (found.returncode, found.stdout) == (0, ""), found.stderr
    assert state.exists() == (moment != "making the state")
    assert not [path for path in tmp_path.iterdir() if path != state]
    if state.exists():
        open_state(state).close()


def test_a_worker_that_is_killed_is_started_again(made: Path, tmp_path: Path, start) -> None:
    state = tmp_path / "state"
    shutil.copytree(made / "state-knn", state)
    process, address = start("--state", str(state))
    (child,) = children(process.pid)
    with client_of(state, address) as client:
        sent = client.post(
            "/v1/requests", json={"users": [BASE + 5]}, headers={"Idempotency-Key": "a"}
        )
        os.kill(child, signal.SIGKILL)  # at some moment of the work
        assert finished(client, sent.json()["request_id"]) == "completed"
        assert client.get("/readyz").status_code == 200
    (other,) = children(process.pid)
    assert other != child
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert not Path(f"/proc/{other}").exists(), "it ends with the service"


def children(process: int) -> list[int]:
    found = Path("/proc").glob("[0-9]*/stat")
    parents = {}
    for path in found:
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return [child for child, parent in parents.items() if parent == process]


def test_a_worker_of_its_own(made: Path, tmp_path: Path, start) -> None:
    state = tmp_path / "state"
    shutil.copytree(made / "state-knn", state)
    process, address = start("--state", str(state), "--no-worker")
    with client_of(state, address) as client:
        sent = client.post(
            "/v1/requests", json={"users": [BASE + 5]}, headers={"Idempotency-Key": "a"}
        ).json()
        before = client.get(f"/v1/recommendations/{BASE + 6}").json()["version"]
        assert client.get(f"/v1/requests/{sent['request_id']}").json()["status"] == "queued"
        done = subprocess.run(
            [*ALTERASER, "worker", "--state", str(state), "--once"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert client.get(f"/v1/requests/{sent['request_id']}").json()["status"] == "completed"
        after = client.get(f"/v1/recommendations/{BASE + 6}").json()["version"]
        assert after != before, "lists are those of the version that the pointer names"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    opened = open_state(state)
    assert opened.load_serving().id == after
    opened.close()


def test_answers_are_sent_at_once() -> None:
    """What is in two parts does not wait for who acknowledges the first one late."""

    async def accepted() -> int:
        found = asyncio.get_running_loop().create_future()

        class Seen(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                sock = transport.get_extra_info("socket")
                found.set_result(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        place = run.listening("127.0.0.1", 0)
        server = await asyncio.get_running_loop().create_server(Seen, sock=place)
        async with server:
            _, writer = await asyncio.open_connection(*place.getsockname())
            answer = await asyncio.wait_for(found, 10)
            writer.close()
        return answer

    assert asyncio.run(accepted()) == 1
