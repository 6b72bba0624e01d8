"""What is sent that no client sends: lengths that contradict each other, foreign targets, methods
that are none, bodies that never end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from alteraser.service import arriving
from alteraser.service.app import Api

from .conftest import BASE, Service
from .test_http import Site, running, site  # noqa: F401

BODY = b'{"users": [4]}'
KIND = "Content-Type: application/json"


def sent(site: Site, first: str, *headers: str, body: bytes = b"") -> bytes:  # noqa: F811
    """The whole answer to some bytes, after which the service closes."""
    mine = ("Host: x", f"Authorization: Bearer {site.admin}", "Connection: close")
    lines = (first, *mine, *headers, "", "")
    with socket.create_connection(("127.0.0.1", site.client.base_url.port), timeout=10) as raw:
        raw.sendall("\r\n".join(lines).encode("latin-1") + body)
        found = b""
        while part := raw.recv(65536):
            found += part
    return found


POST = "POST /v1/requests HTTP/1.1"
NAMED = "Idempotency-Key: wire"
TWICE = ("Content-Length: 14", "Content-Length: 3")


@pytest.mark.parametrize(
    ("first", "headers", "body"),
    [
        (POST, (KIND, NAMED, *TWICE), BODY),
        (POST, (KIND, NAMED, "Content-Length: 14, 3"), BODY),
        (POST, (KIND, NAMED, "Content-Length: -1"), BODY),
        (POST, (KIND, NAMED, "Content-Length: 0x0e"), BODY),
        (POST, (KIND, NAMED, "Transfer-Encoding: gzip"), BODY),
        (POST, (KIND, NAMED, "Transfer-Encoding: chunked"), b"zz\r\n" + BODY),
        (POST, (KIND, NAMED, "Content Length: 14"), BODY),
        ("POST /v1/requests HTTP/9.9", (KIND, NAMED), BODY),
        ("POST  /v1/requests", (KIND, NAMED), BODY),
    ],
)
def test_what_is_no_http_is_refused(
    site: Site,  # noqa: F811
    first: str,
    headers: tuple[str, ...],
    body: bytes,
) -> None:
    found = sent(site, first, *headers, body=body)
    assert found.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ", b"HTTP/1.1 415 ")), found[:80]
    assert found.count(b"HTTP/1.1 ") == 1, "nothing of it is taken for a second call"
    assert site.taken == 0


def test_two_lengths_are_one_call(site: Site) -> None:  # noqa: F811
    """A length beside chunks: what a proxy might take for the next call is none here."""
    inner = b"0\r\n\r\nDELETE /v1/keys/x HTTP/1.1\r\nHost: x\r\n\r\n"
    headers = (KIND, NAMED, f"Content-Length: {len(inner)}", "Transfer-Encoding: chunked")
    found = sent(site, POST, *headers, body=inner)
    assert b" 204 " not in found
    assert site.taken == 0


def test_what_is_no_http_does_not_undo_what_was(site: Site) -> None:  # noqa: F811
    """A 400 before the 202 would say that nothing was taken in, and so would no answer."""
    lines = (POST, "Host: x", f"Authorization: Bearer {site.admin}", KIND, NAMED)
    body = b'{"users": [%d]}' % BASE
    with socket.create_connection(("127.0.0.1", site.client.base_url.port), timeout=10) as raw:
        whole = "\r\n".join((*lines, f"Content-Length: {len(body)}", "", "")).encode() + body
        raw.sendall(whole + b"\x00\x01\r\n\r\n")
        found = raw.makefile("rb").read()
    assert found.startswith(b"HTTP/1.1 202 ")
    assert found.count(b"HTTP/1.1 ") == 1
    assert site.taken == 1


@pytest.mark.parametrize("method", ["TRACE", "PUT", "PATCH", "CONNECT", "FORGET", "get"])
def test_methods_that_are_none(site: Site, method: str) -> None:  # noqa: F811
    found = sent(site, f"{method} /v1/requests HTTP/1.1")
    assert found.startswith((b"HTTP/1.1 405 ", b"HTTP/1.1 400 ")), found[:80]


def test_another_method_by_header_is_not_done(site: Site) -> None:  # noqa: F811
    name = site.post({"users": [4], "hold": True}).json()["request_id"]
    headers = ("X-HTTP-Method-Override: DELETE",)
    found = sent(site, f"GET /v1/requests/{name} HTTP/1.1", *headers)
    assert found.startswith(b"HTTP/1.1 200 ")
    assert site.get(f"/v1/requests/{name}").json()["status"] == "held"


def test_a_foreign_target_is_not_fetched(site: Site) -> None:  # noqa: F811
    found = sent(site, "GET http://evil.example/v1/requests HTTP/1.1")
    assert b"evil.example" not in found
    assert not found.startswith(b"HTTP/1.1 5")


HALF = (
    (POST, "Host: x", "Authorization: Bearer {key}", KIND, "Content-Length: 99"),
    ("POST /console/login HTTP/1.1", "Host: x", "Content-Length: 99"),
    ("POST /console/keys HTTP/1.1", "Host: x", "Cookie: alteraser_key={key}", "Content-Length: 99"),
)


def half(site: Site, lines: tuple[str, ...], body: bytes) -> bytes:  # noqa: F811
    return "\r\n".join((*lines, "", "")).format(key=site.admin).encode() + body


@pytest.mark.parametrize(("lines", "status"), [*zip(HALF, (b"408", b"401", b"408"), strict=True)])
def test_a_body_that_never_ends(
    site: Site,  # noqa: F811
    lines: tuple[str, ...],
    status: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arriving, "READING", 0.2)
    with socket.create_connection(("127.0.0.1", site.client.base_url.port), timeout=10) as raw:
        raw.sendall(half(site, lines, b"{"))
        assert raw.recv(64).startswith(b"HTTP/1.1 %s " % status)
    assert site.get("/v1/requests").status_code == 200
    assert site.taken == 0


@pytest.mark.parametrize("lines", HALF)
def test_who_goes_away_in_the_middle_is_no_fault_of_ours(
    site: Site,  # noqa: F811
    lines: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for end in (b"{", b'{"users": ['):
        with socket.create_connection(("127.0.0.1", site.client.base_url.port), timeout=10) as raw:
            raw.sendall(half(site, lines, end))
    assert site.get("/v1/requests").status_code == 200
    assert not [each for each in caplog.records if each.levelname == "ERROR"]
    assert site.taken == 0


@pytest.mark.parametrize(
    ("lines", "body", "status", "code"),
    [
        (HALF[0], b"{", b"503", b"stopping"),
        (HALF[2], b"scope=", b"503", b""),  # a page
        ((*HALF[0][:-1], NAMED, "Content-Length: 14"), BODY, b"500", b"stopped"),
    ],
)
def test_who_is_still_there_when_it_stops_is_told(
    service: Callable[[str], Service],
    lines: tuple[str, ...],
    body: bytes,
    status: bytes,
    code: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def long(*given: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(Api, "submit", long)
    with running(service("knn")) as site, socket.socket() as raw:  # noqa: F811
        raw.connect(("127.0.0.1", site.client.base_url.port))
        raw.sendall(half(site, lines, body))
        assert site.get("/v1/requests").status_code == 200  # the other one is there by now
        raw = raw.dup()
    found = raw.makefile("rb").read()
    raw.close()
    assert found.startswith(b"HTTP/1.1 %s " % status)
    assert b"connection: close" in found
    assert b'"code":"%s"' % code in found or not code
    assert not [each for each in caplog.records if each.exc_info]


def test_two_names_of_one_request_are_none(site: Site) -> None:  # noqa: F811
    """A proxy may have another one in mind than we."""
    found = sent(site, POST, KIND, NAMED, "Idempotency-Key: other", "Content-Length: 14", body=BODY)
    assert found.startswith(b"HTTP/1.1 400 ")
    assert b'"key_required"' in found
    assert site.taken == 0
