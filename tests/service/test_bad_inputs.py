"""What is sent and what must come: one table, through HTTP, the command line and the Python client
by the same code. Where a row has no effect, the ledger and the served model are as before.

What is wrong and is no request has tables of its own: bytes that no client sends in ``test_wire``,
keys, scopes and other states in ``test_strangers``, what was done to a state in
``test_damaged_states``, receipts and logs in ``test_worker`` and ``test_proofs``, callbacks in
``test_callbacks``, disks and processes in ``test_http``, ``test_faults`` and ``test_process``, and
files of interactions in ``tests/readers``. What is wrong elsewhere cannot be sent here:

    names of data sets and models   a state has one of each, and nobody names them by HTTP
    archives, compressed bodies     none is taken: 415, whatever is in it
    settings of a model             a state is made from a model that was trained already
    a graphics processor's numbers  batches are computed and checked on the CPU
    the same key twice in flight    writes take turns: the second has the first one's answer
    a key of HTTP left out          the command and the client choose one, and say which
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alteraser.ledger import requests

from .conftest import BASE, STRANGE, everything, text_table
from .doors import DOORS
from .test_http import Site, running

ALL = ("http", "command", "python")
BYTES = ("http", "command")
"""Of rows that are no value that Python has"""
VALUE = ("python",)
"""Of rows that are a value of Python's alone"""


@dataclass(frozen=True)
class Refused:
    """A request that is not taken in: what is sent, HTTP's status, the exit code, the code."""

    name: str
    sent: Any
    """Bytes, or a value"""
    status: int
    exit: int
    code: str
    doors: tuple[str, ...] = ALL
    state: str = "knn"


def loop() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["users"] = [found]
    return found


def deep() -> Any:
    found: Any = 1
    for _ in range(40):
        found = [found]
    return {"users": found}


REFUSED = [
    Refused("nothing at all", b"", 400, 2, "body_empty", BYTES),
    Refused("white space", b" \n", 400, 2, "body_empty", BYTES),
    Refused("no UTF-8", b'{"users": ["\xff"]}', 400, 2, "encoding", BYTES),
    Refused("half a character", {"users": ["\ud800"]}, 400, 2, "encoding", state="text"),
    Refused("a key twice", b'{"users": [1], "users": [2]}', 400, 2, "duplicate_key", BYTES),
    Refused("not a number", {"users": [float("nan")]}, 400, 2, "number"),
    Refused("infinity", {"users": [float("-inf")]}, 400, 2, "number"),
    Refused("a number beyond all", b'{"users": [1e999]}', 400, 2, "number", BYTES),
    Refused("5,000 digits", b'{"users": [' + b"9" * 5000 + b"]}", 400, 2, "number_range", BYTES),
    Refused("65 bits", {"users": [2**64]}, 400, 2, "number_range"),
    Refused("nested without end", b"[" * 100_000, 400, 2, "depth", BYTES),
    Refused("nested forty times", deep(), 400, 2, "depth"),
    Refused("within itself", loop(), 400, 2, "depth", VALUE),
    Refused("half of it", b'{"users": [1]', 400, 2, "json", BYTES),
    Refused("bytes", {"users": [b"1"]}, 400, 2, "type", VALUE),
    Refused("a set", {"users": {1, 2}}, 400, 2, "type", VALUE),
    Refused("a list", [1, 2], 400, 2, "body"),
    Refused("null", None, 400, 2, "body"),
    Refused("a text", "users", 400, 2, "body"),
    Refused("a field that is not known", {"users": [1], "item": [2]}, 400, 2, "unknown_field"),
    Refused("a scope that is mistyped", {"user_s": [1]}, 400, 2, "unknown_field"),
    Refused("no scope", {}, 400, 2, "scope_missing"),
    Refused("options alone", {"regulation": "ccpa"}, 400, 2, "scope_missing"),
    Refused("two scopes", {"users": [1], "items": [2]}, 400, 2, "scope_ambiguous"),
    Refused("an empty list of users", {"users": []}, 400, 2, "scope_empty"),
    Refused("an empty list of pairs", {"pairs": []}, 400, 2, "scope_empty"),
    *[
        Refused(f"an empty id: {body}", body, 400, 2, "id_empty", state="text")
        for body in (
            {"users": [""]},
            {"users": ["ann", ""]},
            {"items": [""]},
            {"pairs": [["", "item-1"]]},
            {"pairs": [["ann", ""]]},
            {"users": ["ann"], "hold": [["ann", ""]]},
        )
    ],
    Refused("an empty text for a number", {"users": [""]}, 400, 2, "id_type"),
    Refused("a star for a number", {"users": ["*"]}, 400, 2, "id_type"),
    Refused("a star for a text", {"users": ["*"]}, 400, 2, "wildcard", state="text"),
    Refused("a star in a pair", {"pairs": [["ann", "*"]]}, 400, 2, "wildcard", state="text"),
    *[
        Refused(f"{value!r} as a user", {"users": [value]}, 400, 2, "type", state=state)
        for value in (None, True, 1.0, [], {})
        for state in ("knn", "text")
    ],
    Refused("one user in no list", {"users": 1}, 400, 2, "type"),
    Refused("a text for a number", {"users": ["1"]}, 400, 2, "id_type"),
    Refused("a number for a text", {"users": [1]}, 400, 2, "id_type", state="text"),
    Refused("one text among numbers", {"users": [BASE + 1, "2"]}, 400, 2, "id_type"),
    Refused("a pair of three", {"pairs": [[1, 2, 3]]}, 400, 2, "type"),
    Refused("an id of 10 MB", {"users": ["x" * 10**7]}, 413, 7, "body_too_large", state="text"),
    Refused("an id of 100 KB", {"users": ["x" * 10**5]}, 413, 7, "string_too_long", state="text"),
    Refused("100,001 ids", {"users": [1] * 100_001}, 413, 7, "too_many_ids"),
    Refused("a million ids", {"users": [BASE] * 10**6}, 413, 7, "body_too_large"),
    Refused(
        "an end before the beginning",
        {"user": BASE, "since": "2001-02-01", "until": "2001-01-01"},
        400,
        2,
        "window",
    ),
    Refused("an empty window", {"user": BASE, "since": 7, "until": 7}, 400, 2, "window"),
    Refused("a window of a fraction", {"user": BASE, "since": 1.5}, 400, 2, "window"),
    Refused("a window of many", {"users": [BASE], "since": 7}, 400, 2, "window"),
    Refused("a window without times", {"user": "ann", "since": 7}, 400, 2, "no_times", ALL, "text"),
    Refused("a time that is none", {"user": BASE, "since": "soon"}, 400, 2, "window"),
    Refused("a window backwards", {"user": BASE, "since": 9, "until": 3}, 400, 2, "window"),
    Refused("a window of nobody", {"since": 7}, 400, 2, "scope_missing"),
    Refused(
        "a number of a window that has 65 bits", {"user": 1, "since": 2**63}, 400, 2, "number_range"
    ),
    Refused("a due date of a number", {"users": [1], "due": 20300101}, 400, 2, "due"),
    Refused("a regulation of a list", {"users": [1], "regulation": ["gdpr"]}, 400, 2, "regulation"),
    Refused("pairs of objects", {"pairs": [{"user": 1, "item": 2}]}, 400, 2, "type"),
    Refused("a pair in no list", {"pairs": [1, 2]}, 400, 2, "type"),
    Refused("users by name", {"users": {"a": 1}}, 400, 2, "type"),
    Refused("sessions of pairs", {"sessions": [1]}, 400, 2, "no_sessions"),
    Refused("a hold of a user", {"users": [BASE], "hold": [BASE]}, 400, 2, "type"),
    Refused("a regulation that is none", {"users": [1], "regulation": "x"}, 400, 2, "regulation"),
    Refused("a due date that is over", {"users": [1], "due": "2001-03-01"}, 400, 2, "due"),
    Refused("a due date that is none", {"users": [1], "due": "soon"}, 400, 2, "due"),
    Refused("a hold that is none", {"users": [1], "hold": "yes"}, 400, 2, "hold"),
]


@pytest.fixture(scope="module")
def sites(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    """A service of numbers and one of texts, for all rows that leave no trace."""
    import shutil

    from .conftest import Service

    place = tmp_path_factory.mktemp("sites")
    opened = {}
    for kind in ("knn", "text"):
        shutil.copytree(made / f"state-{kind}", place / kind)
        opened[kind] = Service(place / kind)
    with running(opened["knn"]) as numbers, running(opened["text"]) as texts:
        yield {"knn": numbers, "text": texts}
    for each in opened.values():
        each.close()


def trace(site: Site) -> tuple[Any, ...]:
    """What a request without effect leaves as it was."""
    with site.service.state.database.reading() as connection:
        counted = requests.counted(connection)
        events = connection.exec_driver_sql("SELECT count(*) FROM events").scalar_one()
    files = sorted(path.name for path in site.service.root.rglob("*") if path.is_file())
    return counted, events, site.service.state.load_serving().id, files


def form(sent: Any, door: str) -> Any:
    """``sent`` as a way takes it: a file and a body are bytes."""
    if isinstance(sent, bytes) or door == "python":
        return sent
    return json.dumps(sent).encode()


@pytest.mark.parametrize("door", ALL)
def test_nothing_is_taken_in(sites: dict[str, Site], tmp_path: Path, door: str) -> None:
    before = {name: trace(site) for name, site in sites.items()}
    for row in REFUSED:
        if door not in row.doors:
            continue
        found = DOORS[door](sites[row.state], tmp_path).submit(form(row.sent, door), row.name)
        assert found.code == row.code, (row.name, found)
        assert found.status in (row.status, None), (row.name, found)
        assert found.exit in (row.exit, None), (row.name, found)
        assert "user_s" not in found.text
        assert "99999" not in found.text
    assert {name: trace(site) for name, site in sites.items()} == before


# ---------------------------------------------------------------- what is taken in, and its end


@dataclass(frozen=True)
class Taken:
    """A request that is taken in: what is sent, what is found of it, and how it ends."""

    name: str
    sent: dict[str, Any]
    matched: int
    absent: int
    state: str = "knn"

    @property
    def status(self) -> str:
        return "completed" if self.matched else "completed_nothing_found"


PEOPLE = sorted({user for user, _ in everything()})
NEAR = ("Ann", "ann ", "  ann", "ANN", "ann\u200b", "Zo\u0435\u0308", "person-1 ", "PERSON-2")
"""Somebody who is nearly there"""

TAKEN = [
    Taken("nobody", {"users": [4]}, 0, 1),
    Taken("the smallest number", {"users": [-(2**63)]}, 0, 1),
    Taken("the largest number", {"users": [2**63 - 1]}, 0, 1),
    Taken("an item that is not known", {"pairs": [[PEOPLE[0], 99_999]]}, 0, 1),
    Taken("one of two is known", {"users": [PEOPLE[1], 4]}, 1, 1),
    Taken("nobody among many", {"users": [*PEOPLE[2:20], 4]}, 18, 1),
    Taken("somebody twice", {"users": [PEOPLE[20], PEOPLE[20]]}, 1, 0),
    Taken("everything of an item", {"items": [103]}, 1, 0),
    Taken("a window that is past all", {"user": PEOPLE[30], "since": "9999-12-31"}, 0, 1),
    Taken("a window before all", {"user": PEOPLE[30], "until": "0001-01-02"}, 0, 1),
    Taken("a negative time", {"user": PEOPLE[30], "until": -1}, 0, 1),
    Taken("in two zones", {"user": PEOPLE[55], "since": "2000-12-31T20:00:00-05:00"}, 1, 0),
    *[Taken(f"nearly {who!r}", {"users": [who]}, 0, 1, "text") for who in NEAR],
    *[Taken(f"somebody called {who!r}", {"users": [who]}, 1, 0, "text") for who in STRANGE],
]


@pytest.mark.parametrize("door", ALL)
def test_what_is_taken_in_comes_to_its_end(
    service: Any, tmp_path: Path, door: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for kind in ("knn", "text"):
        opened = service(kind)
        with running(opened) as site:
            way = DOORS[door](site, tmp_path)
            rows = [row for row in TAKEN if row.state == kind]
            sent = [way.submit(form(row.sent, door), row.name.encode().hex()) for row in rows]
            assert {each.status for each in sent} <= {202, None}
            opened.work()
            for row, each in zip(rows, sent, strict=True):
                found = way.status(each.document["request_id"]).document
                assert found["status"] == row.status, row.name
                counts = found["counts"]
                assert (counts["matched"], counts["absent"]) == (row.matched, row.absent), row.name
                assert way.receipt(each.document["request_id"]).document["envelope"]
                assert not caplog.text.count("\x1b")
                assert not caplog.text.count("\u202e")
            again = [way.submit(form(row.sent, door), row.name.encode().hex()) for row in rows]
            for first, second in zip(sent, again, strict=True):
                assert second.document["request_id"] == first.document["request_id"]
                assert second.status in (200, None)


@pytest.mark.parametrize("door", ALL)
def test_one_request_after_another(service: Any, tmp_path: Path, door: str) -> None:
    """Names used again, repetitions, those nobody vouched for, cancelling, and who is gone."""
    opened = service("knn")
    now = opened.state.clock()
    opened.state.clock = lambda: now  # within one minute
    with running(opened) as site:
        way = DOORS[door](site, tmp_path)
        weak, blind = site.key("submit", "status", rate=0), site.key("recommend", rate=0)
        slow = site.key("submit", "verify", rate=1)
        one, other = form({"users": [PEOPLE[5]]}, door), form({"users": [PEOPLE[6]]}, door)

        unverified = way.submit(one, "unverified", weak)
        assert unverified.document["status"] == "unverified"
        first = way.submit(one, "first")
        assert first.document["status"] == "queued", "nobody stands in the way who is not verified"
        twice = way.submit(one, "twice")
        assert twice.document["duplicate_of"] == first.document["request_id"]
        for found in (way.submit(other, "first"),):
            assert (found.code, found.status or 422, found.exit or 4) == ("key_reused", 422, 4)
        for key, status, code in (("alt_0_0", 401, "unauthorized"), (blind, 403, "scope")):
            found = way.submit(other, "denied", key)
            assert (found.code, found.status or status, found.exit or 5) == (code, status, 5)
            lost = way.status(first.document["request_id"], key)
            none = way.status("0" * 32, key)
            assert (lost.code, lost.text) == (none.code, none.text), "the same as of no request"
        unknown = way.status("0" * 32)
        assert (unknown.code, unknown.status or 404, unknown.exit or 3) == ("request", 404, 3)

        if door != "command":  # which waits, as it is told, until there is room again
            assert way.submit(other, "fast", slow).code is None
            found = way.submit(one, "too fast", slow)
            assert (found.code, found.status or 429, found.exit or 7) == ("rate_limit", 429, 7)

        third = way.submit(form({"users": [PEOPLE[7]]}, door), "third")
        cancelled = way.cancel(third.document["request_id"])
        assert cancelled.document["status"] == "cancelled"
        assert way.receipt(first.document["request_id"]).code == "no_receipt"
        opened.work()
        found = way.cancel(first.document["request_id"])
        assert (found.code, found.status or 409, found.exit or 4) == ("too_late", 409, 4)
        gone = way.submit(one, "once more")
        opened.work()
        shown = way.status(gone.document["request_id"]).document
        assert shown["status"] == "completed_nothing_found"
        assert shown["duplicate_of"] is None, "nothing leads to who asked before"
        held = way.submit(form({"users": [PEOPLE[8]], "hold": True}, door), "held")
        opened.work()
        assert way.status(held.document["request_id"]).document["status"] == "held"
        assert PEOPLE[8] in {user for user, _ in opened.pairs}


@pytest.mark.parametrize("door", ALL)
def test_everybody_goes(service: Any, tmp_path: Path, door: str) -> None:
    opened = service("text")
    with running(opened) as site:
        way = DOORS[door](site, tmp_path)
        everybody = sorted(set(text_table()["user_id"].to_pylist()))
        sent = way.submit(form({"users": everybody}, door), "all")
        opened.work()
        assert way.status(sent.document["request_id"]).document["status"] == "completed"
        assert opened.pairs == set()
        assert site.get("/v1/recommendations/ann").status_code == 404
