"""The HTTP interface: what it takes, what it refuses and how, who may do what, and that nothing is
said too much."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
import uvicorn

import alteraser as ae
from alteraser.data.readers import ReadingOptions
from alteraser.ledger import keys, receipts, requests
from alteraser.runtime.durable import watched
from alteraser.service.app import Api, make_app
from alteraser.service.outside import Outside
from alteraser.service.protocol import configured
from alteraser.service.serving import Serving
from alteraser.service.state import create

from .conftest import BASE, Service, everything


@dataclass
class Site:
    service: Service
    client: httpx.Client
    admin: str

    def headers(self, key: str | None = None, **more: str) -> dict[str, str]:
        found = {"Authorization": f"Bearer {self.admin if key is None else key}", **more}
        return {name.replace("_", "-"): value for name, value in found.items()}

    def post(
        self, body: object, name: str = "a", key: str | None = None, path: str = "/v1/requests"
    ):
        return self.client.post(path, json=body, headers=self.headers(key, Idempotency_Key=name))

    def raw(self, content: bytes, path: str = "/v1/requests", **more: str):
        headers = self.headers(Idempotency_Key="raw", Content_Type="application/json") | more
        return self.client.post(path, content=content, headers=headers)

    def get(self, path: str, key: str | None = None):
        return self.client.get(path, headers=self.headers(key))

    def key(self, *scopes: str, **more: object) -> str:
        with self.service.state.database.writing() as connection:
            return keys.make(connection, self.service.state.clock(), scopes, **more)

    @property
    def taken(self) -> int:
        with self.service.state.database.reading() as connection:
            return sum(requests.counted(connection).values())


@contextmanager
def running(opened: Service, outside: Outside | None = None) -> Iterator[Site]:
    """The application of a state, on a port of this machine."""
    serving = Serving(opened.state)
    api = Api(opened.state, serving, lambda: opened.state.halted, outside)
    opened.worker._published = serving.install
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configured(make_app(api), grace=3))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])))
    thread.start()
    address = f"http://127.0.0.1:{sock.getsockname()[1]}"
    try:
        with httpx.Client(base_url=address, follow_redirects=True, timeout=60) as client:
            yield Site(opened, client, opened.state.folders.admin_key.read_text().strip())
    finally:  # a test that fails must not leave a thread that keeps the process alive
        server.should_exit = True
        thread.join()


@pytest.fixture
def site(service) -> Iterator[Site]:
    with running(service("knn")) as found:
        yield found


def code(answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    return answer.status_code, document["code"]


def test_from_a_request_to_a_receipt(site: Site) -> None:
    answer = site.post({"users": [BASE + 5]})
    assert answer.status_code == 202
    document = answer.json()
    assert document["status"] == "queued"
    place = answer.headers["location"]
    assert place == f"/v1/requests/{document['request_id']}"
    assert code(site.get(f"{place}/receipt")) == (404, "no_receipt")
    assert code(site.get(f"/v1/recommendations/{BASE + 5}?k=3")) == (404, "user"), "at once"
    lists = site.get(f"/v1/recommendations/{BASE + 6}?k=3").json()
    assert len(lists["items"]) == 3
    before = lists["version"]
    site.service.work()
    shown = site.get(place).json()
    assert shown["status"] == "completed"
    assert [each["event"] for each in shown["events"]][-1] == "completed"
    receipt = site.get(f"{place}/receipt")
    found = receipts.check(
        receipt.content, request=(document["salt"], f'{{"kind":"users","names":[{BASE + 5}]}}')
    )
    assert found.opened
    assert site.get("/v1/requests").json()["requests"][0]["request_id"] == document["request_id"]
    gone, never = site.get(f"/v1/recommendations/{BASE + 5}"), site.get("/v1/recommendations/1")
    assert code(gone) == (404, "user")
    assert gone.content == never.content, "who left and who never was get the same answer"
    models = site.get("/v1/models").json()
    assert [each["serving"] for each in models["models"]] == [False, True]
    changes = site.get(f"/v1/changes?since={before}").json()
    assert (changes["version"], changes["all"]) == (models["serving"], False)
    assert BASE + 5 not in changes["users"]
    assert site.get("/v1/changes?since=other").json()["all"] is True
    with_scores = site.get(f"/v1/recommendations/{BASE + 6}?k=2&scores=1").json()
    assert with_scores["items"][0]["score"] >= with_scores["items"][1]["score"]


def test_the_same_again(site: Site) -> None:
    first = site.post({"users": [BASE + 5]})
    again = site.post({"users": [BASE + 5]})
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert code(site.post({"users": [BASE + 6]})) == (422, "key_reused")
    other = site.post({"users": [BASE + 5]}, "b")
    assert other.json()["duplicate_of"] == first.json()["request_id"]
    site.service.work()
    places = [f"/v1/requests/{each.json()['request_id']}/receipt" for each in (first, other)]
    assert site.get(places[0]).content == site.get(places[1]).content


def test_cancel_and_hold(site: Site) -> None:
    place = site.post({"users": [BASE + 5], "hold": True}).headers["location"]
    assert site.get(place).json()["status"] == "held"
    site.service.work()
    assert (BASE + 5) in {user for user, _ in site.service.pairs}
    assert site.client.post(f"{place}/release", headers=site.headers()).json()["status"] == "queued"
    assert site.client.delete(place, headers=site.headers()).json()["status"] == "cancelled"
    assert code(site.client.delete(place, headers=site.headers())) == (409, "too_late")
    assert code(site.client.delete("/v1/requests/none", headers=site.headers())) == (404, "request")


def test_a_dry_run_takes_nothing_in(site: Site) -> None:
    answer = site.post({"users": [BASE + 5, 1]}, path="/v1/requests?dry_run=1")
    mine = len([pair for pair in everything() if pair[0] == BASE + 5])
    assert answer.status_code == 200
    assert answer.json()["counts"] == {
        "asked": 2,
        "matched": 1,
        "absent": 1,
        "interactions": mine,
        "held": 0,
    }
    assert site.taken == 0


def test_interactions(site: Site) -> None:
    body = {
        "interactions": [
            {"user": 77, "item": 101},
            {"user": BASE, "item": 1},
            {"user": 77, "item": 101},
        ]
    }
    assert site.post(body, path="/v1/interactions").json() == {
        "accepted": 2,
        "known": 0,
        "erased_before": 0,
        "left_out": 1,
    }
    for bad, expected in (
        ({"interactions": []}, "scope_empty"),
        ({"rows": []}, "body"),
        ({"interactions": [{"user": 1}]}, "unknown_field"),
        ({"interactions": [{"user": "1", "item": 2}]}, "id_type"),
        ({"interactions": [{"user": 1, "item": 2, "timestamp": "soon"}]}, "timestamp"),
        ({"interactions": [{"user": 1, "item": 2, "timestamp": 978_300_000_000}]}, "timestamp"),
        ({"interactions": [{"user": 1, "item": 2, "value": True}]}, "value"),
    ):
        assert code(site.post(bad, path="/v1/interactions")) == (400, expected)


BODIES = [
    (b"", 400, "body_empty"),
    (b'{"users": [1, \xff]}', 400, "encoding"),
    (b'{"users": [1], "users": [2]}', 400, "duplicate_key"),
    *[(b'{"users": [%s]}' % number, 400, "number") for number in (b"NaN", b"1e999", b"-Infinity")],
    *[
        (b'{"users": [%s]}' % number, 400, "number_range")
        for number in (b"9" * 5000, b"9" * 19, b"-" + b"9" * 20)
    ],
    (b"[" * 100_000, 400, "depth"),
    (b"[" * 40 + b"]" * 40, 400, "depth"),
    (b'{"users": [1]', 400, "json"),
    (b'{"people": [1]}', 400, "unknown_field"),
    (b"{}", 400, "scope_missing"),
    (b'{"users": []}', 400, "scope_empty"),
    *[(b'{"users": [%s]}' % name, 400, "id_type") for name in (b'"*"', b'"1"')],
    *[(b'{"users": [%s]}' % name, 400, "type") for name in (b"1.0", b"null", b"true", b"[1]")],
    (b'{"users": [' + b"1," * 100_000 + b"1]}", 413, "too_many_ids"),
    (b'{"users": ["' + b"x" * 2**20 + b'"]}', 413, "body_too_large"),
    *[(body, 400, "body") for body in (b"[1, 2]", b"null", b'"text"')],
]


def test_bodies_that_are_refused(site: Site) -> None:
    for content, status, expected in BODIES:
        answer = site.raw(content)
        assert code(answer) == (status, expected), content[:30]
        assert b"people" not in answer.content
    assert site.taken == 0


def test_a_request_that_names_a_thousand_million(site: Site) -> None:
    """Refused by its declared length, before anything is read; and without one, as soon as it is
    too long."""

    def begun(*headers: str) -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", site.client.base_url.port), timeout=20)
        lines = (
            "POST /v1/requests HTTP/1.1",
            "Host: x",
            f"Authorization: Bearer {site.admin}",
            *headers,
        )
        raw.sendall("\r\n".join((*lines, "Content-Type: application/json", "", "")).encode())
        return raw

    with begun(f"Content-Length: {10**10}") as raw:
        assert raw.recv(64).startswith(b"HTTP/1.1 413 ")
    with begun("Transfer-Encoding: chunked") as raw:
        part, sent = b"1," * 8192, 0
        while sent < 2**26 and not select.select([raw], [], [], 0)[0]:
            try:
                raw.sendall(b"%x\r\n%s\r\n" % (len(part), part))
            except OSError:
                break
            sent += len(part)
        assert raw.recv(64).startswith(b"HTTP/1.1 413 ")
        assert sent < 2**25
    assert site.taken == 0


def test_what_a_body_may_come_as(site: Site) -> None:
    assert code(site.raw(b"{}", **{"Content-Type": "text/plain"})) == (415, "media_type")
    assert code(site.raw(b"{}", **{"Content-Encoding": "gzip"})) == (415, "media_type")
    headers = site.headers(Content_Type="application/json")
    assert code(site.client.post("/v1/requests", content=b'{"users": [1]}', headers=headers)) == (
        400,
        "key_required",
    )
    assert code(site.client.request("TRACE", "/v1/requests")) == (405, "method")
    assert code(site.get("/v1/nothing")) == (404, "not_found")
    assert code(site.get("/v1/requests?limit=many")) == (400, "parameter")
    assert code(site.get(f"/v1/recommendations/{BASE}?k=0")) == (400, "k")


# ---------------------------------------------------------------- who may do what

NEEDS = {
    ("POST", "/v1/requests"): "submit",
    ("GET", "/v1/requests"): "status",
    ("GET", "/v1/requests/{id}"): "status",
    ("DELETE", "/v1/requests/{id}"): "submit",
    ("GET", "/v1/requests/{id}/receipt"): "receipt:read",
    ("POST", "/v1/requests/{id}/verify"): "verify",
    ("POST", "/v1/requests/{id}/reject"): "verify",
    ("POST", "/v1/requests/{id}/hold"): "admin",
    ("POST", "/v1/requests/{id}/release"): "admin",
    ("GET", "/v1/recommendations/1"): "recommend",
    ("GET", "/v1/recommendations/1?scores=1"): "admin",
    ("GET", "/v1/recommendations?segment=de"): "recommend",
    ("POST", "/v1/recommendations"): "recommend",
    ("GET", "/v1/models"): "model:read",
    ("POST", "/v1/models/x/activate"): "admin",
    ("GET", "/v1/changes?since=x"): "model:read",
    ("POST", "/v1/interactions"): "ingest",
    ("GET", "/v1/webhooks"): "admin",
    ("POST", "/v1/webhooks"): "admin",
    ("DELETE", "/v1/webhooks/x"): "admin",
    ("POST", "/v1/webhooks/x/resume"): "admin",
    ("GET", "/v1/keys"): "admin",
    ("POST", "/v1/keys"): "admin",
    ("DELETE", "/v1/keys/x"): "admin",
    ("POST", "/v1/keys/x/rotate"): "admin",
}


def test_by_segment(tmp_path: Path) -> None:
    """A list for a segment, without what is to be forgotten; rows are taken in with theirs."""
    rows = [(u, 10 * (u % 2) + v, ("de", "fr")[u % 2]) for u in range(8) for v in range(u // 2 + 1)]
    user, item, country = map(list, zip(*rows, strict=True))
    pacsv.write_csv(
        pa.table({"user_id": user, "item_id": item, "country": country}), tmp_path / "data.csv"
    )
    data = ae.Interactions.read(tmp_path / "data.csv", segment_column="country")
    reading = ReadingOptions(segment_column="country")
    ae.Popularity().fit(data, reading=reading).save(tmp_path / "model")
    create(tmp_path / "state", tmp_path / "model", tmp_path / "data.csv", rate=0)
    opened = Service(tmp_path / "state")
    with running(opened) as site:

        def shown(segment: str) -> list[int]:
            found = site.get(f"/v1/recommendations?segment={segment}&k=3").json()["items"]
            return [each["item_id"] for each in found]

        assert (shown("de"), shown("fr")) == ([0, 1, 2], [10, 11, 12])
        assert code(site.get("/v1/recommendations?segment=it")) == (404, "segment")
        assert code(site.get("/v1/recommendations")) == (400, "parameter")
        site.post({"items": [0]}, name="item")
        assert shown("de") == [1, 2, 3]
        row = {"user": 90, "item": 99}
        for more, told in (({}, "segment"), ({"segment": 3}, "id_type")):
            body = {"interactions": [row | more]}
            assert code(site.post(body, path="/v1/interactions")) == (400, told)
        body = {"interactions": [row | {"segment": "it"}]}
        assert site.post(body, path="/v1/interactions").json()["accepted"] == 1
        opened.work()
        assert (shown("it"), shown("de")) == ([99], [1, 2, 3])
        assert site.get("/v1/recommendations/90?k=1").json()["items"] == []
    opened.close()


def test_a_segment_means_nothing_to_others(site: Site) -> None:
    assert code(site.get("/v1/recommendations?segment=de")) == (400, "segment")
    body = {"interactions": [{"user": BASE, "item": 101, "segment": "de"}]}
    assert code(site.post(body, path="/v1/interactions")) == (400, "segment")


def test_every_route_and_every_scope(site: Site) -> None:
    """The whole table: a key passes where its scope is the one that is needed, or admin, and
    nowhere else."""
    described = site.get("/openapi.json").json()["paths"]
    routes = {
        (method.upper(), path.replace("{request_id}", "{id}"))
        for path, methods in described.items()
        for method in methods
    }
    known = {(method, path.partition("?")[0]) for method, path in NEEDS}
    plain = {
        (
            method,
            path.replace("/{version}/", "/x/")
            .replace("{user}", "1")
            .replace("{key_id}", "x")
            .replace("{webhook_id}", "x"),
        )
        for method, path in routes
    }
    assert plain - {("GET", path) for path in ("/healthz", "/readyz", "/metrics")} == known
    name = site.post({"users": [BASE + 5], "hold": True}).json()["request_id"]
    bodies = {
        "/v1/requests": {"users": [1]},
        "/v1/interactions": {"interactions": []},
        "/v1/recommendations": {"features": {"age": 1}},
        "/v1/keys": {},
        "/v1/webhooks": {},
    }
    by_scope = {scope: site.key(scope, rate=0) for scope in keys.SCOPES}
    for (method, path), needed in NEEDS.items():
        asked = path.replace("{id}", name if method == "GET" else "none")
        body = bodies.get(path)

        def status(key: str | None, method=method, asked=asked, body=body) -> tuple[int, bytes]:
            headers = {"Idempotency-Key": "x"} | (
                {} if key is None else {"Authorization": f"Bearer {key}"}
            )
            answer = site.client.request(method, asked, json=body, headers=headers)
            return answer.status_code, answer.content

        for scope, key in by_scope.items():
            allowed = scope in (needed, "admin")
            assert (status(key)[0] not in (401, 403)) == allowed, (method, path, scope)
            assert (status(key)[0] == 403) == (not allowed), (method, path, scope)
        refused = {status(key) for key in (None, "-", "alt_0_0", site.admin[:-1], site.admin + "0")}
        assert [each[0] for each in refused] == [401], "one answer, whatever is wrong with the key"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/requests",
        "/v1/requests?dry_run=1",
        "/v1/interactions",
        "/v1/keys",
        "/v1/webhooks",
    ],
)
def test_who_has_no_key_is_told_so_whatever_is_sent(site: Site, path: str) -> None:
    for content in (b"", b"{", b"[" * 100, b"{}"):
        for headers in ({}, {"Content-Type": "application/json"}, {"Idempotency-Key": ""}):
            assert site.client.post(path, content=content, headers=headers).status_code == 401


def test_counts_are_for_those_who_may_read_receipts(site: Site) -> None:
    place = site.post({"users": [BASE + 5]}).headers["location"]
    site.service.work()
    assert "counts" not in site.get(place, site.key("status")).json()
    assert site.get(place).json()["counts"]["matched"] == 1
    assert "salt" not in site.get(place).json()
    answer = site.post({"users": [BASE + 6]}, key=site.key("submit"), path="/v1/requests?dry_run=1")
    assert code(answer) == (403, "scope")


def test_a_key_that_does_not_vouch(site: Site) -> None:
    place = site.post({"users": [BASE + 5]}, key=site.key("submit")).headers["location"]
    assert site.get(place).json()["status"] == "unverified"
    site.service.work()
    assert site.get(place).json()["status"] == "unverified"
    assert site.client.post(f"{place}/verify", headers=site.headers()).json()["status"] == "queued"
    site.service.work()
    assert site.get(place).json()["status"] == "completed"


def test_keys_over_http(site: Site) -> None:
    made = site.post({"scopes": ["status"], "rate_limit": 0}, path="/v1/keys").json()
    assert site.get("/v1/requests", made["key"]).status_code == 200
    assert made["key"] not in site.get("/v1/keys").text
    assert site.client.delete(f"/v1/keys/{made['id']}", headers=site.headers()).status_code == 204
    assert code(site.get("/v1/requests", made["key"])) == (401, "unauthorized")
    for body in (
        {},
        {"scopes": []},
        {"scopes": ["root"]},
        {"scopes": ["agent"]},
        {"scopes": ["status"], "rate_limit": -1},
        {"scopes": "status"},
    ):
        assert site.post(body, path="/v1/keys").status_code == 400


def test_a_key_is_rotated_in_place(site: Site) -> None:
    """The same key with another secret; the old one until the overlap is over, or not at all."""
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    site.service.state.clock = lambda: now
    old = site.key("submit", "verify", "status", rate=0)
    name = old.split("_")[1]
    first = site.post({"users": [BASE + 5]}, "mine", old)

    def rotated(overlap: int | None = None) -> str:
        query = "" if overlap is None else f"?overlap={overlap}"
        answer = site.post(None, path=f"/v1/keys/{name}/rotate{query}")
        assert answer.json()["id"] == name
        return answer.json()["key"]

    def taken(key: str) -> bool:
        return site.get("/v1/requests", key).status_code == 200

    new = rotated()
    assert taken(old)
    assert taken(new)
    again = site.post({"users": [BASE + 5]}, "mine", new)
    assert again.json()["request_id"] == first.json()["request_id"], "what it sent stays its own"
    site.service.state.clock = lambda: now + timedelta(seconds=keys.OVERLAP)
    assert not taken(old)
    assert taken(new)
    newer = rotated(60)
    newest = rotated(0)
    assert [taken(each) for each in (old, new, newer, newest)] == [False, False, False, True]
    last = rotated(60)
    site.client.delete(f"/v1/keys/{name}", headers=site.headers())
    assert [taken(each) for each in (newest, last)] == [False, False], "revoked with all it had"
    assert code(site.post(None, path=f"/v1/keys/{name}/rotate")) == (404, "key")
    assert code(site.post(None, path=f"/v1/keys/{name}/rotate?overlap=-1")) == (400, "overlap")
    later = site.service.state.clock() + timedelta(days=1)
    over = site.key("status", expires=later).split("_")[1]
    site.service.state.clock = lambda: later
    assert code(site.post(None, path=f"/v1/keys/{over}/rotate")) == (404, "key"), "of no use"


def test_the_first_key_is_rotated_by_command(site: Site, capsys) -> None:
    from alteraser.cli.main import main

    name, place = site.admin.split("_")[1], site.service.state.folders.admin_key
    arguments = ["key", "rotate", name, "--state", str(site.service.root), "--overlap", "0"]
    assert main(arguments) == 0
    made = capsys.readouterr().out.strip()
    assert place.read_text().strip() == made
    assert place.stat().st_mode & 0o077 == 0
    assert site.get("/v1/keys", made).status_code == 200
    assert site.get("/v1/keys").status_code == 401


def test_the_rate_limit(site: Site) -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    site.service.state.clock = lambda: now
    key = site.key("submit", rate=3)
    answers = [site.post({"users": [i]}, str(i), key) for i in range(5)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
    assert answers[3].headers["retry-after"] == "60"
    assert site.taken == 3
    site.service.state.clock = lambda: now + timedelta(minutes=1)
    assert site.post({"users": [7]}, "7", key).status_code == 202


def test_what_is_mistyped_is_said_and_not_taken_for_nothing(site: Site) -> None:
    assert code(site.get("/v1/requests?status=complete")) == (400, "parameter")
    assert site.get("/v1/requests?status=completed").json()["requests"] == []
    answer = site.client.post(
        "/v1/requests/", json={"users": [1]}, headers=site.headers(Idempotency_Key="a")
    )
    assert code(answer) == (404, "not_found")
    assert not answer.history, "nobody is sent on to where it would have been taken"
    for path in ("/v1/requests?dryrun=1", "/v1/requests?dry_run=1&dry_run=0"):
        assert code(site.post({"users": [BASE + 5]}, path=path)) == (400, "parameter")
    for path in ("/v1/requests?state=held", "/v1/models?limit=1", "/v1/keys?limit=1"):
        assert code(site.get(path)) == (400, "parameter")
    assert site.get("/healthz?probe=1").status_code == 200
    assert site.taken == 0
    for over in ("2001-01-01", "2001-01-01T00:00:00Z"):
        body = {"scopes": ["submit"], "expires": over}
        assert code(site.post(body, path="/v1/keys")) == (400, "expires")
    assert len(site.get("/v1/keys").json()["keys"]) == 1


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/requests", "/nothing"])
def test_head_is_get_without_a_body(site: Site, path: str) -> None:
    for key in (None, "alt_0_0"):
        got = site.get(path, key)
        head = site.client.head(path, headers=site.headers(key))
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    assert site.client.head("/healthz").status_code == 200


# ---------------------------------------------------------------- faults


def test_a_disk_that_fails_is_never_answered_with_yes(site: Site) -> None:
    def fails(operation: str, place: object) -> None:
        raise OSError(5, "Input/output error")

    with watched(fails):
        assert code(site.post({"users": [BASE + 5]})) == (503, "halted")
    assert code(site.post({"users": [BASE + 5]})) == (503, "halted"), "nothing is trusted any more"
    assert code(site.get("/readyz")) == (503, "not_ready")
    assert site.get("/healthz").status_code == 200
    assert site.taken == 0


@contextmanager
def failing(site: Site, number: int) -> Iterator[None]:
    """Every statement is answered by SQLite with the error ``number``, as if by a disk."""
    from sqlalchemy import event

    def fails(cursor, statement, parameters, context) -> None:
        error = sqlite3.OperationalError("somebody@example.org")
        error.sqlite_errorcode = number
        raise error

    engine = site.service.state.database.engine
    event.listen(engine, "do_execute", fails)
    try:
        yield
    finally:
        event.remove(engine, "do_execute", fails)


@pytest.mark.parametrize(
    "number",
    [
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY_DBMOVED,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    ],
)
def test_a_ledger_that_cannot_be_read_is_nobodys_fault_of_ours(site: Site, number: int) -> None:
    """Whatever is asked for: 503, by whichever route, and nothing is written to it any more."""
    name = site.post({"users": [BASE + 5]}).json()["request_id"]
    asked = [path.replace("{id}", name) for method, path in NEEDS if method == "GET"]
    with failing(site, number):
        for path in [*asked, "/readyz", "/metrics"]:
            answer = site.get(path)
            assert code(answer)[0] == 503, path
            assert "somebody" not in answer.text
            assert answer.headers["retry-after"]
        assert site.get("/healthz").status_code == 200
    assert code(site.post({"users": [BASE + 6]})) == (503, "halted")
    assert code(site.get("/readyz")) == (503, "not_ready")
    assert site.get(f"/v1/requests/{name}").json()["status"] == "queued", "what is there is shown"


def test_another_error_of_the_system_is_a_fault_of_ours(site: Site, monkeypatch) -> None:
    def lost(*arguments: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("alteraser.ledger.versions.listed", lost)
    assert code(site.get("/v1/models")) == (500, "error")
    assert site.get("/readyz").status_code == 200, "the disk has nothing to do with it"


def test_a_full_disk_passes(site: Site) -> None:
    def full(operation: str, place: object) -> None:
        raise OSError(28, "No space left on device")

    with watched(full):
        answer = site.post({"users": [BASE + 5]})
        assert answer.status_code == 507
        assert site.get("/v1/requests").status_code == 200
    assert site.taken == 0
    assert site.post({"users": [BASE + 5]}).status_code == 202


def test_nobody_is_named_in_answers_logs_and_figures(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch
) -> None:
    from alteraser.errors import NumericFailure
    from alteraser.service import erasing

    def fails(*arguments: object, **named: object) -> None:
        raise NumericFailure(f"user {BASE + 5} has no solution")

    monkeypatch.setattr(erasing, "erase", fails)
    caplog.set_level("DEBUG")
    place = site.post({"users": [BASE + 5]}).headers["location"]
    site.service.work()
    shown = site.get(place)
    assert shown.json()["status"] == "failed"
    for text in (caplog.text, shown.text, site.get("/metrics").text, site.get("/v1/requests").text):
        assert str(BASE + 5) not in text
    assert 'alteraser_requests{status="failed"} 1' in site.get("/metrics").text


# ---------------------------------------------------------------- the console


def test_the_console(site: Site) -> None:
    assert "API key" in site.client.get("/").text
    assert site.client.post("/console/login", data={"key": "alt_0_0"}).status_code == 401
    answer = site.client.post("/console/login", data={"key": site.admin})
    assert answer.status_code == 200
    assert "Nobody has asked" in answer.text
    name = site.post({"users": [BASE + 5]}).json()["request_id"]
    site.service.work()
    for path, words in (
        ("/", "completed"),
        (f"/console/requests/{name}", "receipted"),
        ("/console/versions", "served"),
    ):
        page = site.client.get(path)
        assert words in page.text
        assert str(BASE + 5) not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert (
        receipts.check(site.client.get(f"/console/requests/{name}/receipt.json").content).leaf == 0
    )
    assert site.client.get("/console/requests/none").status_code == 404
    cookie = answer.history[0].headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    site.client.post("/console/logout")
    assert "API key" in site.client.get("/").text
    assert site.client.get(f"/console/requests/{name}").status_code == 401


def test_the_description_is_whole(site: Site) -> None:
    document = site.get("/openapi.json").json()
    assert json.dumps(document).count("HTTPValidationError") == 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            assert "default" in operation["responses"]
            assert ("security" in operation) == (path not in ("/healthz", "/readyz", "/metrics"))
