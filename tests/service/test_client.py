"""The client: what it sends again and what not, what it makes of answers, and that it and the
service understand each other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from alteraser import errors
from alteraser.client import TRIES, Client, read_key
from alteraser.ledger import receipts

from .conftest import BASE, STRANGE, Service
from .test_http import Site, running, site  # noqa: F401  # the fixture


class Line:
    """A transport that answers as it is told, and keeps what it was asked; time passes at once."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers, self.asked, self.slept = list(answers), [], []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Client, Line]]:
    def made(*answers: httpx.Response | Exception, **more: float) -> tuple[Client, Line]:
        line = Line(*answers)
        monkeypatch.setattr("time.sleep", line.slept.append)
        return Client("http://x", "k", transport=httpx.MockTransport(line), **more), line

    return made


def later(status: int, wait: str) -> httpx.Response:
    document = {"detail": "come again", "code": "rate_limit"}
    return httpx.Response(status, json=document, headers={"Retry-After": wait})


DONE = httpx.Response(202, json={"request_id": "r", "status": "queued"})


@pytest.mark.parametrize("status", [429, 503, 507])
def test_comes_again_when_the_service_says(talk, status: int) -> None:
    client, line = talk(later(status, "7"), later(status, "9"), DONE)
    assert client.submit({"users": [1]})["request_id"] == "r"
    assert line.slept == [7, 9]
    assert len({request.headers["idempotency-key"] for request in line.asked}) == 1
    assert {request.read() for request in line.asked} == {b'{"users":[1]}'}


def test_a_date_is_a_time_to_wait_too(talk) -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    client, line = talk(later(503, when), DONE)
    client.submit({"users": [1]})
    assert 50 < line.slept[0] <= 60


def test_not_for_ever(talk) -> None:
    client, line = talk(later(429, "50"), patience=120)
    with pytest.raises(errors.ResourceLimit, match="come again") as caught:
        client.submit({"users": [1]})
    assert line.slept == [50, 50]
    assert caught.value.details["retry_after"] == 50
    client, line = talk(later(503, "0"))
    with pytest.raises(errors.DependencyMissing):
        client.status("r")
    assert len(line.asked) == TRIES


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
def test_other_answers_are_final(talk, status: int) -> None:
    client, line = talk(httpx.Response(status, json={"detail": "no", "code": "c"}))
    with pytest.raises(errors.AltEraserError, match="no") as caught:
        client.submit({"users": [1]})
    assert (len(line.asked), line.slept, caught.value.details["code"]) == (1, [], "c")


def test_answers_that_are_no_problem_documents(talk) -> None:
    for content in (b"<html>", b"[]", b'{"detail": 1}'):
        client, _ = talk(httpx.Response(502, content=content))
        with pytest.raises(errors.InvalidInput, match="the service answered 502"):
            client.status("r")


def test_lost_answers(talk) -> None:
    lost = httpx.ReadTimeout("lost")
    client, line = talk(lost, lost, DONE)
    client.submit({"users": [1]}, idempotency_key="ticket")
    assert [request.headers["idempotency-key"] for request in line.asked] == ["ticket"] * 3
    acts: list[Callable[[Client], object]] = [
        lambda each: each.cancel("r"),
        lambda each: each.hold("r"),
        lambda each: each.ingest([{"user": 1, "item": 2}]),
    ]
    for act in acts:
        client, line = talk(lost)
        with pytest.raises(errors.DependencyMissing):
            act(client)
        assert len(line.asked) == 1, "perhaps it was done: doing it again is not the same"
    client, line = talk(httpx.ConnectError("nobody"))
    with pytest.raises(errors.DependencyMissing, match="is it running"):
        client.cancel("r")
    assert len(line.asked) == TRIES, "it was never sent"


def test_ids_are_one_part_of_the_path(talk) -> None:
    client, line = talk(httpx.Response(200, json={}))
    client.recommendations("a/../b?c#d", k=3)
    assert line.asked[0].url.raw_path == b"/v1/recommendations/a%2F%2E%2E%2Fb%3Fc%23d?k=3"
    client.cancel("..")
    assert line.asked[1].url.raw_path == b"/v1/requests/%2E%2E"


def test_a_repetition_waits_for_what_it_repeats(talk) -> None:
    def state(status: str, other: str | None = None) -> httpx.Response:
        return httpx.Response(200, json={"status": status, "duplicate_of": other})

    twice = state("duplicate_of", "first")
    client, line = talk(twice, state("executing"), twice, state("completed"))
    assert client.wait("r")["status"] == "duplicate_of"
    assert [str(request.url.path)[-5:] for request in line.asked[1::2]] == ["first"] * 2
    client, _ = talk(state("held"))
    with pytest.raises(errors.Conflict, match="held"):
        client.wait("r", seconds=-1)


def test_with_the_service(site: Site, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(errors.NotFound):
        read_key(tmp_path / "none")
    key = tmp_path / "key"
    key.write_text(f"{site.admin}\n")
    with Client(str(site.client.base_url), read_key(key)) as client:
        assert client.dry_run({"users": [BASE + 5]})["counts"]["matched"] == 1
        before = client.recommendations(BASE + 6, k=3)
        sent = client.submit({"users": [BASE + 5]}, idempotency_key="a")
        assert client.submit({"users": [BASE + 5]}, idempotency_key="a") == sent
        twice = client.submit({"users": [BASE + 5]}, idempotency_key="b")
        site.service.work()
        assert client.wait(sent["request_id"])["status"] == "completed"
        assert client.wait(twice["request_id"])["duplicate_of"] == sent["request_id"]
        content = client.receipt(twice["request_id"])
        assert receipts.check(content).predicate["request"]["id"] == sent["request_id"]
        changed = client.changes(before["version"])
        assert changed["version"] == client.models()["serving"] != before["version"]
        with pytest.raises(errors.NotFound):
            client.recommendations(BASE + 5)
        held = client.submit({"users": [BASE + 7], "hold": True})["request_id"]
        assert client.hold(client.release(held)["request_id"])["status"] == "held"
        assert client.cancel(held)["status"] == "cancelled"
        assert len(client.listed()) == 3
        assert client.listed(status="cancelled")[0]["request_id"] == held
        assert client.ingest([{"user": BASE + 5, "item": 100, "timestamp": 978_300_001}])
    unvouched = Client(str(site.client.base_url), site.key("submit"))
    name = unvouched.submit({"users": [BASE + 8]})["request_id"]
    with pytest.raises(errors.RefusedByPolicy):
        unvouched.verify(name)
    unvouched.close()
    with Client(str(site.client.base_url), site.admin) as client:
        assert client.verify(name)["status"] == "queued"
        other = client.submit({"users": [BASE + 9]})["request_id"]
        with pytest.raises(errors.Conflict):
            client.reject(other)


def test_the_reference_names_every_call() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "client.md").read_text("utf-8")
    for name in vars(Client):
        assert name.startswith("_") or f"`{name}(" in page, name


def test_whoever_somebody_is_their_list_is_theirs(service: Callable[[str], Service]) -> None:
    """By an address, which has its own ideas of dots, slashes and ends of lines, and by a body."""
    with (
        running(service("text")) as site,  # noqa: F811
        Client(str(site.client.base_url), site.admin) as client,
    ):
        for who in STRANGE:
            found = client.recommendations(who, k=5)
            assert found["user_id"] == who
            body = {"user": who, "k": 5}
            answer = site.client.post("/v1/recommendations", json=body, headers=site.headers())
            assert found == answer.json()
        for nobody in (".", "ann\n\n", "/ann", "ann/"):
            with pytest.raises(errors.NotFound) as told:
                client.recommendations(nobody)
            assert told.value.code == "user"
