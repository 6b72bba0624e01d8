"""Models of several sources through every way in, and through a worker that is killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alteraser.cli.main import main
from alteraser.client import Client
from alteraser.errors import InvalidInput, NotFound
from alteraser.runtime.durable import watched
from alteraser.service.opendsr import Processor
from alteraser.service.outbound import Hosts
from alteraser.service.outside import Outside

from . import several
from .certificates import Authority
from .conftest import Service, copied
from .several import person
from .test_http import Site, running
from .test_opendsr import DOMAIN, hashed
from .test_several import held, names

PARTS = ("features", "contexts", "relations")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        several.make(PARTS)
    return root


@pytest.fixture
def site(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with copied(world, tmp_path, monkeypatch) as opened, running(opened) as found:
        yield found


def said(line: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*line, "--json"]) == code
    return dict(json.loads(capsys.readouterr().out))


def test_over_http(site: Site) -> None:
    found = site.get(f"/v1/recommendations/{person(1)}?k=3&context=place%3Dhome")
    assert found.status_code == 200
    assert len(found.json()["items"]) == 3
    body = {"features": {"age": 30, "job": "cook"}, "context": {"place": "work"}, "k": 3}
    new = site.client.post("/v1/recommendations", json=body, headers=site.headers())
    assert new.status_code == 200
    assert "user_id" not in new.json()
    assert all("score" not in each for each in new.json()["items"])
    scored = site.client.post(
        "/v1/recommendations", json=body | {"scores": True}, headers=site.headers()
    )
    assert all("score" in each for each in scored.json()["items"])
    narrow = site.headers(site.key("recommend"))
    assert site.client.post("/v1/recommendations", json=body, headers=narrow).status_code == 200
    refused = site.client.post("/v1/recommendations", json=body | {"scores": True}, headers=narrow)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope")
    refused = site.client.post("/v1/recommendations", json=body)
    assert refused.status_code == 401
    dry = site.client.post(
        "/v1/requests?dry_run=1", json={"users": [person(3)]}, headers=site.headers()
    )
    assert dry.json()["counts"]["values"] > 0
    everybody = {"users": [person(n) for n in range(several.PEOPLE)]}
    dry = site.client.post("/v1/requests?dry_run=1", json=everybody, headers=site.headers())
    assert (dry.status_code, dry.json()["code"]) == (400, "nothing_left")
    added = {"relation": "views", "interactions": [{"user": "x", "item": 3}]}
    taken = site.client.post("/v1/interactions", json=added, headers=site.headers())
    assert (taken.status_code, taken.json()["accepted"]) == (202, 1)
    document = site.client.get("/openapi.json").json()["paths"]
    assert "context" in str(document["/v1/recommendations/{user}"]["get"]["parameters"])
    assert "features" in str(document["/v1/recommendations"]["post"]["requestBody"])


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        ("?context=place", "context", 400),
        ("?context=place%3Dhome,place%3Dwork", "context", 400),
        ("?context=place%3Dmoon", "context", 404),
        ("?context=mood%3Dgood", "context", 400),
    ],
)
def test_contexts_that_are_none(site: Site, path: str, code: str, status: int) -> None:
    found = site.get(f"/v1/recommendations/{person(1)}{path}")
    assert (found.status_code, found.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "unknown_field"),
        ({"features": {}}, "features"),
        ({"features": []}, "features"),
        ({"features": {"age": 3}, "more": 1}, "unknown_field"),
        ({"features": {"age": 3}, "k": 0}, "k"),
        ({"features": {"age": 3}, "k": True}, "type"),
        ({"features": {"age": 3}, "context": {"place": 3}}, "context"),
        ({"features": {"age": None}}, "features"),
        ({"features": {"job": [1]}}, "features"),
        ({"features": {"user_id": "x"}}, "features"),
        ({"features": {"age": 3}, "user": "x"}, "unknown_field"),
        ({"features": {"age": 3}, "among": []}, "among"),
        ({"features": {"age": 3}, "among": [1.5]}, "among"),
        ({"features": {"age": 3}, "among": ["x"]}, "among"),
        ({"features": {"age": 3}, "among": [""]}, "among"),
        ({"user": True}, "user"),
        ({"user": ""}, "user"),
    ],
)
def test_features_that_are_none(site: Site, body: Any, code: str) -> None:
    found = site.client.post("/v1/recommendations", json=body, headers=site.headers())
    assert (found.status_code, found.json()["code"]) == (400, code)


def test_an_empty_id_is_refused_at_every_door(made: Path, tmp_path: Path) -> None:
    """Not looked for and not found: it stands where somebody was meant."""
    shutil.copytree(made / "state-text", tmp_path / "state")
    opened = Service(tmp_path / "state")
    rows = [{"user": "", "item": "item-1"}, {"user": "ann", "item": ""}]
    bodies: list[tuple[str, Any]] = [
        ("/v1/requests?dry_run=1", {"users": [""]}),
        ("/v1/requests", {"pairs": [["ann", ""]]}),
        *[("/v1/interactions", {"interactions": [row]}) for row in rows],
    ]
    with running(opened) as site:
        for path, body in bodies:
            headers = site.headers() | {"Idempotency-Key": "x"}
            found = site.client.post(path, json=body, headers=headers)
            assert (found.status_code, found.json()["code"]) == (400, "id_empty"), (path, body)
        for path in ("/v1/recommendations/", "/v1/recommendations/?k=3"):
            found = site.get(path)
            assert (found.status_code, found.json()["code"]) == (400, "id_empty"), path
        assert site.taken == 0
    opened.close()


def test_contexts_and_features_mean_nothing_to_other_kinds(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "state-text", tmp_path / "state")
    opened = Service(tmp_path / "state")
    with running(opened) as site:
        found = site.get("/v1/recommendations/ann?context=place%3Dhome")
        assert (found.status_code, found.json()["code"]) == (400, "context")
        body = {"features": {"age": 3}}
        found = site.client.post("/v1/recommendations", json=body, headers=site.headers())
        assert (found.status_code, found.json()["code"]) == (400, "features")
        body = {"relation": "views", "interactions": [{"user": "x", "item": "y"}]}
        found = site.client.post("/v1/interactions", json=body, headers=site.headers())
        assert (found.status_code, found.json()["code"]) == (400, "unknown_relation")
    opened.close()


def test_by_the_python_client(site: Site) -> None:
    with Client(str(site.client.base_url), site.admin) as client:
        whole = client.recommendations(person(1), k=3)["items"]
        home = client.recommendations(person(1), k=3, scores=True, context={"place": "home"})
        assert home["items"][0]["score"] != 0
        assert len(client.recommendations_for({"age": 30}, k=3)["items"]) == 3
        for found in (
            client.recommendations(person(1), among=several.COLD),
            client.recommendations_for({"age": 30}, among=several.COLD),
        ):
            assert {x["item_id"] for x in found["items"]} == set(several.COLD)
        assert client.ingest([{"user": "x", "item": 3}], relation="views")["accepted"] == 1
        with pytest.raises(InvalidInput, match="of users the model here has age, job"):
            client.recommendations_for({"height": 3})
        with pytest.raises(NotFound, match="that never occurred"):
            client.recommendations(person(1), context={"place": "moon"})
        sent = client.submit({"entity": {"table": "item", "id": whole[0]["item_id"]}})
        left = client.recommendations(person(1), k=3)["items"]
        assert left[:2] == whole[1:]
        site.service.work()
        assert client.wait(sent["request_id"])["status"] == "completed"


REQUESTS = {
    "--user person-03": lambda x: person(3) in x,
    "--user person-03 --from views": lambda x: x[1:3] == ("views", person(3)),
    "--item 4 --from data": lambda x: x[1] == "data" and x[3] == 4,
    "--entity user=person-03": lambda x: person(3) in x,
    "--entity item=4": lambda x: 4 in x[2:4],
    "--entity genre=jazz": lambda x: x[:3] == ("value", "item", "genre") and x[4] == "jazz",
    "--entity place=home": lambda x: x[1] == "data" and x[4] == "home",
    "--attributes user:age": lambda x: x[:3] == ("value", "user", "age"),
    "--attributes user:age --attributes user:job --user person-06": lambda x: (
        x[0] == "value" and x[3] == person(6)
    ),
    "--attributes item:genre --item 4": lambda x: x[:4] == ("value", "item", "genre", 4),
}


@pytest.mark.parametrize("line", list(REQUESTS))
def test_by_the_command_line(line: str, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--url", str(site.client.base_url), "--key-file", "state/admin.key"]
    before, goes = names(site.service), REQUESTS[line]
    sent = said(["request", "submit", *line.split(), *where], capsys)
    site.service.work()
    assert site.service.shown(sent["request_id"])["status"] == "completed"
    assert names(site.service) == {x for x in before if not goes(x)} != before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--entity user", "--entity user: expected TABLE=ID, such as tag=jazz"),
        ("--entity user=1 --user 2", "--entity with nothing"),
        ("--attributes user:age --from views", "--entity or --attributes alone"),
        ("--attributes user:height", "attributes: there are item:genre, user:age, user:job"),
        ("--entity moon=1", "entity: there is no such table; there are user, item"),
        ("--user person-01 --from likes", "from: there are data, views"),
        ("--attributes user:age --since 2026-01-01", "--entity or --attributes alone"),
        ("--from views", "a request never means all"),
    ],
)
def test_wrong_requests_on_the_command_line(
    line: str, words: str, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--url", str(site.client.base_url), "--key-file", "state/admin.key"]
    assert main(["request", "submit", *line.split(), *where]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert site.taken == 0


def test_files_of_rows_on_the_command_line(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns by their names or in their order; odd files are named."""
    line = ["ingest", "--state", "state", "--relation", "views"]
    Path("named.csv").write_text("timestamp,item_id,user_id\n1700000000,5,x\n")
    assert said([*line, "named.csv"], capsys)["accepted"] == 1
    Path("placed.csv").write_text("who,what,timestamp\nx,6,1700000000\n")
    assert said([*line, "placed.csv"], capsys)["accepted"] == 1
    Path("data2.csv").write_text("user_id,item_id,timestamp,place\nx,5,1700000000,gym\n")
    assert said(["ingest", "--state", "state", "data2.csv"], capsys)["accepted"] == 1
    odd = {
        "user_id,item_id\nx,5\n": "views has times, so a column 'timestamp' is needed",
        "user_id,item_id,timestamp\nx,tea,1700000000\n": "'tea' is a string",
        "user_id,item_id,timestamp\nx,5,soon\n": "soon",
        "user_id\nx\n": "no column 'head'",
    }
    for text, words in odd.items():
        Path("odd.csv").write_text(text)
        assert main([*line, "odd.csv"]) == 2, text
        assert words in " ".join(capsys.readouterr().err.split()), text
    assert main(["ingest", "--state", "state", "--relation", "likes", "named.csv"]) == 2
    assert "there is no relation likes; there are data, views" in " ".join(
        capsys.readouterr().err.split()
    )
    site.service.send({"users": [person(3)]})
    site.service.work()
    assert ("row", "data", "x", 5, "gym", 1_700_000_000) in names(site.service)
    assert ("row", "views", "x", 6, 1_700_000_000) in names(site.service)


def test_the_console_shows_the_sources(site: Site) -> None:
    sent = site.service.send({"attributes": ["user:age"]})
    site.service.work()
    site.client.cookies.set("alteraser_key", site.admin)
    version = site.service.state.load_serving().id
    page = site.client.get(f"/console/versions/{version}").text
    for name in ("relation views", "user features", "item features"):
        assert f'<th scope="row">{name}</th>' in page
    receipt = site.client.get(f"/console/requests/{sent}/receipt").text
    assert "values of features went" in receipt
    assert "Relation views after" in receipt


def test_a_worker_that_is_killed_goes_on(world: Path, tmp_path: Path) -> None:
    """At every eleventh of its durable operations: the same model, and every request is done."""
    bodies = [{"users": [person(3)]}, {"attributes": ["user:age"], "users": [person(6)]}]
    wanted, k = None, 1
    while True:
        place = tmp_path / f"state-{k}"
        shutil.copytree(world / "state", place)
        opened = Service(place)
        sent = [opened.send(body) for body in bodies]
        opened.close()
        ended = killed_at(place, None if wanted is None else k)
        opened = Service(place)
        opened.work()
        found = opened.state.load_serving().model.digest, names(opened)
        wanted = wanted or found
        assert found == wanted, k
        assert {opened.shown(name)["status"] for name in sent} == {"completed"}
        opened.close()
        shutil.rmtree(place)
        if ended and k > 1:
            break
        k += 11
    assert k > 50


def killed_at(place: Path, k: int | None) -> bool:
    """Work in a fork that is killed before its k-th durable operation; whether it came to its
    end."""
    child = os.fork()
    if not child:
        count = 0

        def watcher(operation: str, path: Any) -> None:
            nonlocal count
            count += 1
            if count == k:
                os.kill(os.getpid(), signal.SIGKILL)

        with contextlib.suppress(BaseException), watched(watcher):
            Service(place).work()
            os._exit(0)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def test_what_is_held_is_in_memory_as_on_the_disk(site: Site) -> None:
    """Sources are tables, so that the files of a version that is gone are needed by nobody."""
    found = held(site.service)
    assert {type(x.path).__name__ for x in found.sources.relations} == {"Table"}


@pytest.mark.parametrize("form", ["sha256", "md5"])
def test_hashed_identities_of_whoever_the_state_knows(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Of purchases, of views alone, of features alone, and of views that nothing is learned from
    yet."""
    shutil.copytree(world, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    opened = Service(tmp_path / "world" / "state")
    processor = Processor(DOMAIN, *Authority(tmp_path).issue(DOMAIN))
    wanted = [person(1), person(several.PEOPLE), "cold", "newcomer"]
    with running(opened, Outside(Hosts([]), processor)) as site:
        views = {"relation": "views", "interactions": [{"user": "newcomer", "item": 3}]}
        answer = site.client.post("/v1/interactions", json=views, headers=site.headers())
        assert answer.status_code == 202, answer.text
        sent = hashed(*wanted, "nobody", form=form)
        answer = site.client.post("/v2/requests", json=sent, headers=site.headers())
        assert answer.status_code == 201, answer.text
        assert names_of(wanted[:3], names(opened)) == set(wanted[:3])
        opened.work()
        assert not names_of(wanted, names(opened))
        (shown,) = site.get("/v1/requests").json()["requests"]
        assert (shown["status"], shown["counts"]["asked"]) == ("completed", 5)
        assert shown["counts"]["absent"] == 1
    opened.close()


def names_of(wanted: list[str], found: Any) -> set[str]:
    """Who of ``wanted`` is named by anything in ``found``."""
    return {who for who in wanted if any(who in name[2:] for name in found)}
