"""Callbacks: to nobody but who was named, in order, at least once, and nobody waits for another."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from alteraser.errors import AltEraserError, InvalidInput
from alteraser.ledger import subscriptions
from alteraser.service import outbound
from alteraser.service.outbound import Hosts, Unreachable, is_public
from alteraser.service.outside import Outside
from alteraser.service.relay import Relay

from .certificates import Authority
from .conftest import BASE
from .test_http import Site, code, running


class Ear:
    """A server that keeps what it is told, and answers as it is told to."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        ear = self
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[int] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                ear.heard.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status = ear.answers.pop(0) if ear.answers else 204
                self.send_response(status)
                if status in (301, 307):
                    self.send_header("Location", f"http://127.0.0.1:{ear.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        class Quiet(HTTPServer):
            def handle_error(self, request: Any, address: Any) -> None:
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.heard]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def ear() -> Iterator[Ear]:
    found = Ear()
    yield found
    found.close()


@pytest.fixture
def site(service: Any, ear: Ear) -> Iterator[Site]:
    hosts = Hosts([f"127.0.0.1:{ear.port}=127.0.0.1"])
    with running(service("knn"), Outside(hosts)) as found:
        found.relay = Relay(found.service.state, hosts, {})  # type: ignore[attr-defined]
        yield found


# ---------------------------------------------------------------- where to

NAMED = Hosts(
    [
        "controller.example",
        "controller.example:8443",
        "bücher.example",
        "inside.example=10.0.0.7",
        "127.0.0.1:8080=127.0.0.1",
    ]
)
TAKEN = [
    "https://controller.example/callback?x=1",
    "https://CONTROLLER.example:443/",
    "https://controller.example:8443/",
    "https://xn--bcher-kva.example/",
    "https://inside.example/",
    "http://127.0.0.1:8080/",
]
REFUSED = [
    "http://controller.example/",
    "http://inside.example/",
    "https://controller.example:22/",
    "https://controller.example:6379/",
    "https://controller.example./",
    "https://controller.example.evil.example/",
    "https://evil.example/?https://controller.example/",
    "https://evil.example#controller.example",
    "https://controller.example#@evil.example/",
    "https://controller.example@evil.example/",
    "https://user:secret@controller.example/",
    "https://controller.example\\@evil.example/",
    "https://controller.example\n.evil.example/",
    "https://controller.example /",
    "https://cоntroller.example/",
    "https://controller。example/",
    "https://bücher.example/",
    "https://localhost/",
    "https://127.0.0.1/",
    "http://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://169.254.169.254/latest/meta-data/",
    "https://metadata.google.internal/",
    "https://10.0.0.7/",
    "https://192.168.0.1/",
    "https://172.16.0.1/",
    "https://100.64.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[fe80::1]/",
    "https://[fd00::1]/",
    "file:///etc/passwd",
    "gopher://controller.example/",
    "ftp://controller.example/",
    "data:text/plain,x",
    "javascript:alert(1)",
    "//controller.example/",
    "controller.example",
    "https://",
    "https:///path",
    "https://controller.example:99999/",
    "https://controller.example:x/",
    "https://[controller.example/",
    "",
    "https://controller.example/" + "x" * 2000,
    None,
    7,
    ["https://controller.example/"],
]


@pytest.mark.parametrize("url", TAKEN)
def test_addresses_of_named_hosts(url: str) -> None:
    assert NAMED.checked(url) == url


@pytest.mark.parametrize("url", REFUSED, ids=repr)
def test_addresses_that_are_refused(url: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def connects(*arguments: Any, **named: Any) -> None:
        raise AssertionError("nobody is called")

    monkeypatch.setattr(socket, "create_connection", connects)
    monkeypatch.setattr(socket, "getaddrinfo", connects)
    with pytest.raises(InvalidInput) as caught:
        NAMED.checked(url)
    assert caught.value.details["code"] == "callback_host"
    if isinstance(url, str) and len(url) > 8:
        assert url not in caught.value.message
    with pytest.raises(InvalidInput):
        NAMED.post(url, b"", {})  # type: ignore[arg-type]


NOT_PUBLIC = [
    "127.0.0.1",
    "10.1.2.3",
    "172.31.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.1.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::1",
    "2001:0:1::1",
    "2001:db8::1",
    "nonsense",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_names_that_lead_inside(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: pytest.fail("called"))
    assert not is_public(address)
    for found in ([address], ["93.184.216.34", address], [address, "93.184.216.34"], []):
        with pytest.raises(Unreachable):
            NAMED.post("https://controller.example/", b"", {}, lookup=lambda n, p, f=found: f)


def test_the_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked at is what is called: a second answer to the same question changes
    nothing."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    called: list[Any] = []

    def connects(address: Any, *arguments: Any) -> None:
        called.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket, "create_connection", connects)
    with pytest.raises(Unreachable):
        NAMED.post("https://controller.example/", b"", {}, lookup=lambda name, port: next(answers))
    assert called == [("93.184.216.34", 443)]


@pytest.mark.parametrize("entry", ["", "a/b", "user@a", "a:x", "a=b", "a?b", ":8080"])
def test_entries_that_are_none(entry: str) -> None:
    with pytest.raises(InvalidInput, match="--callback-host"):
        Hosts([entry])


def test_the_certificate_has_to_be_the_names(tmp_path: Path, monkeypatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("controller.test"))
    ear = Ear(context)
    try:
        for name, taken in (("controller.test", True), ("other.test", False)):
            hosts = Hosts([f"{name}:{ear.port}=127.0.0.1"])
            url = f"https://{name}:{ear.port}/x"
            if taken:
                assert hosts.post(url, b"{}", {}) == 204
                assert ear.heard[-1][1]["host"] == f"{name}:{ear.port}"
            else:
                with pytest.raises(Unreachable, match="SSLCertVerificationError"):
                    hosts.post(url, b"{}", {})
    finally:
        ear.close()
    assert len(ear.heard) == 1


def test_who_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        stop = threading.Event()

        def drips() -> None:
            connection, _ = server.accept()
            with connection:
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=drips)
        thread.start()
        with pytest.raises(Unreachable):
            Hosts([f"127.0.0.1:{port}=127.0.0.1"]).post(f"http://127.0.0.1:{port}/", b"", {})
        stop.set()
        thread.join()


# ---------------------------------------------------------------- what


def hook(site: Site, ear: Ear) -> dict[str, Any]:
    answer = site.post({"url": f"http://127.0.0.1:{ear.port}/hook"}, path="/v1/webhooks")
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_everything_that_happens_is_told_in_order(site: Site, ear: Ear) -> None:
    before = site.post({"users": [BASE + 1], "hold": True}, "before").json()["request_id"]
    made = hook(site, ear)
    name = site.post({"users": [BASE + 5]}).json()["request_id"]
    site.service.work()
    site.client.delete(f"/v1/requests/{before}", headers=site.headers())
    site.relay.once()
    events = [
        {"event_id": each["sequence"], "at": each["at"], "request_id": request, "status": event}
        for request in (name, before)
        for each in site.get(f"/v1/requests/{request}").json()["events"]
        if (event := each["event"]) and (request == name or event == "cancelled")
    ]
    assert ear.documents == sorted(events, key=lambda each: each["event_id"])
    secret = base64.b64decode(made["secret"].removeprefix("whsec_"))
    for _, headers, body in ear.heard:
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{wanted}"
        assert str(BASE) not in body.decode()
    assert len({headers["webhook-id"] for _, headers, _ in ear.heard}) == len(ear.heard)
    site.relay.once()
    assert len(ear.heard) == len(events), "once"
    assert made["secret"] not in site.get("/v1/webhooks").text
    assert site.client.delete(f"/v1/webhooks/{made['id']}", headers=site.headers()).is_success
    site.post({"users": [BASE + 6]}, "b")
    site.relay.once()
    assert len(ear.heard) == len(events)
    for call in (site.client.delete, site.client.post):
        place = "/v1/webhooks/none" + ("/resume" if call == site.client.post else "")
        assert code(call(place, headers=site.headers())) == (404, "subscription")


@pytest.mark.parametrize("status", [500, 429, 404, 301, 307])
def test_who_says_no_is_told_again(site: Site, ear: Ear, status: int) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    site.service.state.clock = lambda: now
    hook(site, ear)
    site.post({"users": [BASE + 5], "hold": True})
    ear.answers = [204, status, status]
    waits = []
    for _ in range(3):
        site.relay.once()
        site.relay.once()  # not before its time
        (shown,) = site.get("/v1/webhooks").json()["webhooks"]
        waits.append((datetime.fromisoformat(shown["next"]) - now).total_seconds())
        now = datetime.fromisoformat(shown["next"]) + timedelta(seconds=0.001)
    assert 2.5 <= waits[0] <= 5 <= waits[1] <= 10
    ids = [each["event_id"] for each in ear.documents]
    assert [each["status"] for each in ear.documents] == [
        "received",
        "verified",
        "verified",
        "verified",
        "held",
    ]
    assert ids == sorted(ids)
    assert all(path == "/hook" for path, _, _ in ear.heard), "no redirect is followed"


def test_an_answer_that_is_not_kept_is_told_twice(site: Site, ear: Ear, monkeypatch) -> None:
    hook(site, ear)
    site.post({"users": [BASE + 5]})

    def lost(*arguments: Any) -> None:
        raise OSError("killed here")

    kept = subscriptions.answered
    monkeypatch.setattr(subscriptions, "answered", lost)
    with pytest.raises((OSError, AltEraserError)):
        site.relay.once()
    monkeypatch.setattr(subscriptions, "answered", kept)
    site.relay.once()
    ids = [each["event_id"] for each in ear.documents]
    assert ids == [ids[0], *sorted(set(ids))]
    assert ear.heard[0][1]["webhook-id"] == ear.heard[1][1]["webhook-id"]


def test_given_up_and_resumed(site: Site, ear: Ear, monkeypatch) -> None:
    monkeypatch.setattr(subscriptions, "ATTEMPTS", 3)
    made = hook(site, ear)
    now = datetime.now(UTC)
    site.service.state.clock = lambda: now
    site.post({"users": [BASE + 5]})
    ear.answers = [503] * 3
    for _ in range(5):
        now += timedelta(hours=2)
        site.relay.once()
    assert len(ear.heard) == 3
    (shown,) = site.get("/v1/webhooks").json()["webhooks"]
    assert (shown["failures"], shown["reason"], shown["next"]) == (3, "503", None)
    assert 'alteraser_callbacks{status="given_up"} 1' in site.get("/metrics").text
    resumed = site.client.post(f"/v1/webhooks/{made['id']}/resume", headers=site.headers())
    assert resumed.status_code == 204
    site.relay.once()
    assert [each["status"] for each in ear.documents[3:]] == ["received", "verified", "queued"]


def test_nobody_waits_for_another(site: Site, ear: Ear) -> None:
    """The thread itself: one subscriber never answers, the other is told."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        hosts = Hosts([f"127.0.0.1:{port}=127.0.0.1", f"127.0.0.1:{ear.port}=127.0.0.1"])
        state = site.service.state
        with state.database.writing() as connection:
            for each in (port, ear.port):
                url = f"http://127.0.0.1:{each}/"
                subscriptions.subscribe(connection, "webhook", url, state.clock())
        site.post({"users": [BASE + 5]})
        relay = Relay(state, hosts, {})
        thread = threading.Thread(target=relay.run)
        thread.start()
        for _ in range(200):
            if len(ear.heard) >= 3:
                break
            threading.Event().wait(0.05)
        relay.stop.set()
        thread.join()
    assert [each["status"] for each in ear.documents] == ["received", "verified", "queued"]


def test_only_named_hosts_are_registered(site: Site) -> None:
    for url in ("https://evil.example/", "http://169.254.169.254/", 7):
        assert code(site.post({"url": url}, path="/v1/webhooks")) == (400, "callback_host")
    for body in ({}, {"url": "x", "secret": "y"}, []):
        assert site.post(body, path="/v1/webhooks").status_code == 400
    assert site.get("/v1/webhooks").json() == {"webhooks": []}
