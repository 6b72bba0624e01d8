"""What comes over a connection before there is a request: heads of any length and form."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import uvicorn
from fastapi import FastAPI, Request

from alteraser.service import protocol
from alteraser.service.protocol import HEAD, HEADERS, configured


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a service that says what it was sent."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def told(request: Request) -> dict[str, object]:
        body = await request.body()
        return {"body": len(body), "names": sorted(request.headers)}

    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configured(app, grace=1))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])))
    thread.start()
    yield sock.getsockname()[1]
    server.should_exit = True
    thread.join()


def answered(port: int, *parts: bytes, wait: float = 0.0) -> bytes:
    """All that comes back until the connection is closed, or nothing more is said."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        try:
            for part in parts:
                raw.sendall(part)
                time.sleep(wait)
            raw.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # closed at the other end
        found = b""
        try:
            while part := raw.recv(65536):
                found += part
        except OSError:
            pass
        return found


@contextmanager
def connected(port: int, number: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        place = ("127.0.0.1", port)
        yield [
            stack.enter_context(socket.create_connection(place, timeout=20)) for _ in range(number)
        ]


def head(*lines: bytes) -> bytes:
    return b"\r\n".join((*lines, b"Host: x", b"Connection: close", b"", b""))


LONG = b"a" * (2 * HEAD)
ENDLESS = [b"a" * 16384] * 64  # 1 MiB
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = (b"Host: x", CHUNKED, b"", b"1", b"{", b"0", b"")
UPGRADE = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")

REFUSED = {
    "a long address": [head(b"GET /" + LONG + b" HTTP/1.1")],
    "an endless address": [b"GET /", *ENDLESS],
    "a long header": [head(b"GET / HTTP/1.1", b"X: " + LONG)],
    "an endless header": [b"GET / HTTP/1.1\r\nX: ", *ENDLESS],
    "an endless name": [b"GET / HTTP/1.1\r\n", *ENDLESS],
    "headers without end": [b"GET / HTTP/1.1\r\n", *([b"X: 1\r\n" * 1000] * 100)],
    "too many headers": [head(b"GET / HTTP/1.1", *[b"X: 1"] * (HEADERS + 1))],
    "two lengths": [head(b"POST / HTTP/1.1", b"Content-Length: 1", b"Content-Length: 2") + b"{}"],
    "a length and chunks": [
        head(b"POST / HTTP/1.1", b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"{}"
    ],
    "chunks within something else": [
        head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked, x") + b"0\r\n\r\n"
    ],
    "a length that is none": [head(b"POST / HTTP/1.1", b"Content-Length: +2") + b"{}"],
    "a blank before a colon": [head(b"GET / HTTP/1.1", b"X : 1")],
    "a line that goes on": [head(b"GET / HTTP/1.1", b"X: 1", b" 2")],
    "a bare line feed in a header": [head(b"GET / HTTP/1.1", b"X: 1\nY: 2\r\x00")],
    "no such version": [head(b"GET / HTTP/9.9")],
    "no HTTP": [b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" * 20],
    "bytes in an address": [head(b"GET /\xff\xfe HTTP/1.1")],
    "a zero byte in a header": [head(b"GET / HTTP/1.1", b"Authorization: Bearer \x00")],
    "an address without a path": [head(b"GET http://x HTTP/1.1")],
    "a method in small letters": [head(b"get / HTTP/1.1")],
    "small talk": [b"hello there\r\n\r\n"],
    "no colon": [head(b"GET / HTTP/1.1", b"hello")],
    "HTTP/2": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    "a chunk of no length": [head(b"POST / HTTP/1.1", CHUNKED) + b"zz\r\n{}\r\n0\r\n\r\n"],
    "a chunk longer than it says": [head(b"POST / HTTP/1.1", CHUNKED) + b"1\r\n{}\r\n0\r\n\r\n"],
    "a body for another protocol": [
        head(b"POST / HTTP/1.1", b"Content-Length: 2", *UPGRADE) + b"{}"
    ],
    "chunks for another protocol": [
        head(b"POST / HTTP/1.1", CHUNKED, *UPGRADE) + b"2\r\n{}\r\n0\r\n\r\n"
    ],
}


def is_refused(found: bytes) -> str:
    """One answer, the document that every error is; what it says."""
    start, _, body = found.partition(b"\r\n\r\n")
    lines = [line.lower() for line in start.split(b"\r\n")]
    assert lines[0] == b"http/1.1 400 bad request", found[:100]
    assert {b"content-type: application/problem+json", b"connection: close"} <= set(lines)
    document = json.loads(body)
    assert (document["status"], document["code"]) == (400, "http")
    return str(document["detail"])


@pytest.mark.parametrize("name", REFUSED)
def test_a_head_that_is_refused(port: int, name: str) -> None:
    """400 and the end of the connection; or the end alone, where the answer was overtaken by it.
    Nothing of it is taken for a second request, and others are served."""
    found = answered(port, *REFUSED[name])
    if found:
        is_refused(found)
    assert answered(port, head(b"GET / HTTP/1.1")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "head_of_it", [(b"X: " + b"a" * (HEAD + 1),), (b"X: 1",) * (HEADERS + 1)], ids=["long", "many"]
)
def test_a_head_that_is_refused_is_said_to_be(port: int, head_of_it: tuple[bytes, ...]) -> None:
    found = answered(port, head(b"GET / HTTP/1.1", *head_of_it))
    assert is_refused(found) == protocol.TOO_LONG


@pytest.mark.parametrize("wait", [0.0, 0.2])
@pytest.mark.parametrize("first", ["POST", "GET"])
def test_what_follows_an_upgrade_that_is_not_done_is_no_request(
    port: int, first: str, wait: float
) -> None:
    """Where a proxy passes both on, the answer to the second would be the next one's."""
    inner = b"GET /inner HTTP/1.1\r\nHost: x\r\n\r\n"
    lines = (f"{first} / HTTP/1.1", "Host: x", f"Content-Length: {len(inner)}")
    whole = "\r\n".join(lines).encode() + b"\r\n" + b"\r\n".join((*UPGRADE, b"", b""))
    found = answered(port, whole, inner, wait=wait)
    assert not found or is_refused(found)


def test_an_upgrade_is_not_done(port: int) -> None:
    """Some clients ask for HTTP/2 with each request, and take HTTP/1.1 where they are given it."""
    for more in ((), (b"Content-Length: 0",)):
        lines = (b"GET / HTTP/1.1", b"Host: x", *UPGRADE, *more, b"", b"")
        with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
            for _ in range(2):
                raw.sendall(b"\r\n".join(lines))
                one_answer(raw)


@pytest.mark.parametrize("before", [1, 3])
@pytest.mark.parametrize(
    ("junk", "expected"),
    [
        (b"junk\r\n\r\n", []),
        (b"POST / HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"\r\n\r\nzz", [b"400"]),
    ],
    ids=["head", "body"],
)
def test_who_sent_something_before_is_answered_that(
    port: int, junk: bytes, expected: list[bytes], before: int
) -> None:
    """A 400 in its place would say of a request which is done that it was not."""
    with connected(port, 1) as (raw,):  # who closes their side is gone, and is answered no more
        raw.sendall((WHOLE + b"{}") * before + junk)
        found = raw.makefile("rb").read()
    assert [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]] == [b"200"] * before + expected
    if expected:
        is_refused(found[found.rindex(b"HTTP/1.1 ") :])


def test_a_head_that_is_just_short_enough(port: int) -> None:
    found = answered(port, head(b"GET / HTTP/1.1", b"X: " + b"a" * (HEAD - 100)))
    assert found.startswith(b"HTTP/1.1 200 ")


def test_a_long_body_is_no_long_head(port: int) -> None:
    body = b"b" * (4 * HEAD)
    whole = head(b"POST / HTTP/1.1", b"Content-Length: %d" % len(body)) + body
    assert b'"body":%d' % len(body) in answered(port, whole)
    parts = [whole[start : start + 1000] for start in range(0, len(whole), 1000)]
    assert b'"body":%d' % len(body) in answered(port, *parts)


def test_what_follows_a_body_is_no_header(port: int) -> None:
    """An Authorization among the trailers would count for who sent none."""
    lines = (b"POST / HTTP/1.1", *CHUNKS[:-1], b"Authorization: Bearer x", b"", b"")
    found = answered(port, b"\r\n".join(lines))
    assert found.startswith(b"HTTP/1.1 200 ")
    assert b"authorization" not in found
    endless = b"\r\n".join((b"POST / HTTP/1.1", *CHUNKS[:-1], b"X: "))
    found = answered(port, endless, *ENDLESS)
    assert found.count(b"HTTP/1.1 200 ") == 0


WHOLE = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"


def one_answer(raw: socket.socket) -> None:
    """Read it."""
    found = b""
    while not found.endswith(b"}"):
        part = raw.recv(65536)
        if not part:
            raise ConnectionError("the connection stays")
        found += part
    assert found.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b""),
        (b"", b"PO"),
        (b"", b"GET / HTTP/1.1\r\nHost: x\r\n"),
        (b"", b"\r\n\r\n"),
        (WHOLE + b"{}", b"PO"),
        (WHOLE + b"{}", b"\r\n"),
        (WHOLE + b"{}", WHOLE[:-2]),
    ],
)
def test_who_begins_and_does_not_go_on_is_left(
    port: int, first: bytes, then: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "PATIENCE", 0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        raw.sendall(first)
        if first:
            one_answer(raw)
        raw.sendall(then)
        assert raw.recv(65536) == b"", "the other end closes"


def test_who_takes_time_over_a_body_or_between_two_requests_is_not(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those others take care: the reading of a body, and the keeping of a connection."""
    monkeypatch.setattr(protocol, "PATIENCE", 0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        for _ in range(2):
            raw.sendall(WHOLE)
            time.sleep(0.5)
            raw.sendall(b"{}")
            one_answer(raw)
            time.sleep(0.5)


def test_who_is_silent_makes_room(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody keeps others out by holding connections open."""
    monkeypatch.setattr(protocol, "CONNECTIONS", 5)
    with connected(port, 5) as there:
        for raw in (*there, there[0]):  # of the second nothing is heard for the longest
            raw.sendall(WHOLE + b"{}")
            one_answer(raw)
        assert answered(port, head(b"GET / HTTP/1.1")).startswith(b"HTTP/1.1 200 ")
        with pytest.raises(ConnectionError):
            one_answer(there[1])
        for raw in (there[0], *there[2:]):
            raw.sendall(WHOLE + b"{}")
            one_answer(raw)


def test_who_comes_when_all_are_at_work_is_told(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS", 5)
    with connected(port, 5) as there:
        for raw in there:
            raw.sendall(WHOLE[:-2] + b"Expect: 100-continue\r\n\r\n")
            assert raw.recv(65536).startswith(b"HTTP/1.1 100 ")
        start, _, body = answered(port).partition(b"\r\n\r\n")
        assert start.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: " in start
        assert json.loads(body)["code"] == "busy"
        for raw in there:
            raw.sendall(b"{}")
            one_answer(raw)


def test_no_more_connections_than_half_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, expected in ((128, 64), (2**20, protocol.CONNECTIONS), (-1, protocol.CONNECTIONS)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert protocol.most() == expected
