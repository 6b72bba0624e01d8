"""Who may not do something learns nothing by trying: not from the answer, nor from what it costs,
whichever way a key is wrong, a name is unknown, or a state is another's.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from alteraser.ledger import keys, requests
from alteraser.service.state import create

from .conftest import BASE, Service
from .test_http import NEEDS, Site, running


@pytest.fixture(scope="module")
def two(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Site]]:
    """Two states of the same model and data, each of which has done a request, and has one held."""
    place = tmp_path_factory.mktemp("two")
    opened = []
    for name in ("one", "other"):
        create(place / name, made / "knn", made / "data.csv", rate=0)
        opened.append(Service(place / name))
    with running(opened[0]) as one, running(opened[1]) as other:
        for site in (one, other):
            site.post({"users": [BASE + 7]}, "done")
            site.service.work()
            site.post({"users": [BASE + 8], "hold": True}, "held")
        yield one, other
    for each in opened:
        each.close()


def answered(answer: Any) -> tuple[int, bytes, tuple[tuple[str, str], ...]]:
    """Everything of an answer but when it came."""
    headers = [(name, value) for name, value in answer.headers.multi_items() if name != "date"]
    return answer.status_code, answer.content, tuple(headers)


def named(site: Site) -> dict[str, str]:
    """A request, a version and a key of a state."""
    done = next(each for each in listed(site) if each["status"] == "completed")
    return {"id": done["request_id"], "x": done["version"], "key": site.admin.split("_")[1]}


def listed(site: Site) -> list[dict[str, Any]]:
    return list(site.get("/v1/requests").json()["requests"])


def whole(site: Site) -> tuple[Any, ...]:
    """What nobody from outside may change."""
    with site.service.state.database.reading() as connection:
        events = connection.exec_driver_sql("SELECT count(*) FROM events").scalar_one()
        held = keys.listed(connection)
    return listed(site), events, held, site.service.state.load_serving().id


def test_a_key_of_another_state_is_no_key_and_a_name_of_another_state_no_name(
    two: tuple[Site, Site],
) -> None:
    """Every route, with what is the other state's in its address and its body."""
    one, other = two
    before, theirs = whole(one), named(other)
    nothing = {"id": "0" * 32, "x": "0" * 64, "key": "0" * 16}
    for (method, path), _ in NEEDS.items():
        for key in (other.admin, f"alt_{one.admin.split('_')[1]}_{other.admin.split('_')[2]}"):
            asked = path.replace("{id}", theirs["id"])
            answer = one.client.request(method, asked, headers=one.headers(key))
            unknown = one.client.request(method, asked, headers=one.headers("alt_0_0"))
            assert answer.status_code == 401
            assert answered(answer) == answered(unknown), (method, path)
        places = [path]
        for found, mine in (("{id}", "id"), ("/models/x/", "x"), ("/keys/x", "key")):
            if found in path:
                places = [
                    path.replace(found, found.replace("{id}", "x").replace("x", each[mine]))
                    for each in (theirs, nothing)
                ]
        if len(places) == 2 and method != "POST":
            found, none = (one.client.request(method, at, headers=one.headers()) for at in places)
            assert found.status_code == none.status_code == 404, (method, path)
            strip = re.compile(f"{theirs['key']}|{nothing['key']}")
            assert strip.sub("", found.text) == strip.sub("", none.text)
    assert whole(one) == before


def test_what_a_name_was_used_for_is_its_keys_own_affair(two: tuple[Site, Site]) -> None:
    """The same Idempotency-Key of another key, or in another state, is another request."""
    one, other = two
    body = {"users": [5]}
    mine = one.key("submit", "verify", rate=0)
    sent = [
        one.post(body, "shared"),
        one.post({"users": [6]}, "shared", mine),
        other.post({"users": [6]}, "shared"),
    ]
    assert [each.status_code for each in sent] == [202, 202, 202]
    assert len({each.json()["request_id"] for each in sent}) == 3
    hashed = []
    for site in (one, other):
        with site.service.state.database.reading() as connection:
            rows = connection.exec_driver_sql("SELECT given, body FROM idempotency").all()
            hashed.append({value for row in rows for value in row})
    assert not hashed[0] & hashed[1], "nor do the two ledgers have a hash in common"


def test_neither_receipts_nor_versions_of_two_states_can_be_told_to_be_of_the_same_person(
    two: tuple[Site, Site],
) -> None:
    """The same people went from the same data: nothing keyed or salted is the same in both."""
    texts = []
    for site in two:
        name = named(site)["id"]
        receipt = site.get(f"/v1/requests/{name}/receipt").json()
        version = site.service.state.load_serving()
        texts.append(json.dumps([receipt, version.document["data"]["root"]]))
    roots = [re.findall(r"[0-9a-f]{32,}", text) for text in texts]
    digests = {site.service.state.load_serving().document["model"] for site in two}
    common = set(roots[0]) & set(roots[1]) - digests
    assert not common


def test_keys_of_every_scope_see_a_request_or_nothing(two: tuple[Site, Site]) -> None:
    """Of every set of two scopes: what is there and what is not look the same to who may not."""
    one, _ = two
    there, none = named(one)["id"], "0" * 32
    for scopes in itertools.combinations(keys.SCOPES, 2):
        key = one.key(*scopes, rate=0)
        for path, needed in (("", "status"), ("/receipt", "receipt:read")):
            found, unknown = (one.get(f"/v1/requests/{name}{path}", key) for name in (there, none))
            if needed in scopes or "admin" in scopes:
                assert (found.status_code, unknown.status_code) == (200, 404)
            else:
                assert found.status_code == 403
                assert answered(found) == answered(unknown)
        user = BASE + 1
        gone, never = (one.get(f"/v1/recommendations/{u}", key) for u in (BASE + 7, user + 10**6))
        assert answered(gone) == answered(never), "who was forgotten was never there"


WRONG = {
    "nothing": None,
    "no key": "-",
    "an id that is not known": f"alt_{'0' * 16}_{'0' * 64}",
    "another secret": "known",
    "revoked": "revoked",
    "expired": "expired",
}


def test_a_key_that_is_wrong_costs_the_same_however_it_is_wrong(two: tuple[Site, Site]) -> None:
    """The same statements, whether there is such a key or not."""
    one, _ = two
    state = one.service.state
    given = dict(WRONG)
    given["another secret"] = f"{one.admin[:-1]}{'0' if one.admin[-1] != '0' else '1'}"
    given["revoked"] = one.key("admin")
    with state.database.writing() as connection:
        keys.revoke(connection, str(given["revoked"]).split("_")[1], state.clock())
        given["expired"] = keys.make(connection, state.clock(), ["admin"], expires=state.clock())
    said: list[str] = []

    def note(connection, cursor, statement, parameters, context, many) -> None:
        said.append(statement)

    event.listen(state.database.engine, "before_cursor_execute", note)
    asked = {}
    try:
        for name, key in given.items():
            said.clear()
            answer = one.client.get(
                "/v1/keys", headers={} if key is None else {"Authorization": f"Bearer {key}"}
            )
            asked[name] = (answered(answer), tuple(each for each in said if "keys" in each))
    finally:
        event.remove(state.database.engine, "before_cursor_execute", note)
    assert len({found for found, _ in asked.values()}) == 1
    assert asked["no key"][1]
    known = {asked[name][1] for name in ("nothing", "no key", "an id that is not known")}
    assert known == {asked["another secret"][1]}, "an unknown id is looked for as a known one is"


def test_a_limit_is_the_keys_wherever_it_comes_from(made: Path, tmp_path: Path) -> None:
    """Two processes on one ledger, and whatever addresses a proxy or a liar names."""
    shutil.copytree(made / "state-knn", tmp_path / "state")
    opened = [Service(tmp_path / "state") for _ in range(2)]
    now = opened[0].state.clock().replace(second=5)
    for each in opened:
        each.state.clock = lambda: now
    with running(opened[0]) as one, running(opened[1]) as other:
        slow, quick = one.key("submit", rate=5), one.key("submit", rate=5)
        taken = []
        for number in range(10):
            site = (one, other)[number % 2]
            headers = site.headers(slow, Idempotency_Key=str(number))
            headers |= {"X-Forwarded-For": f"10.0.0.{number}", "Forwarded": f"for=10.0.0.{number}"}
            body = {"users": [number]}
            taken.append(site.client.post("/v1/requests", json=body, headers=headers))
        assert [each.status_code for each in taken] == [202] * 5 + [429] * 5
        assert all(1 <= int(each.headers["retry-after"]) <= 60 for each in taken[5:])
        assert other.post({"users": [1]}, "q", quick).status_code == 202, "nobody pays for others"
    for each in opened:
        each.close()


@pytest.mark.parametrize("order", sorted(set(itertools.permutations("urvv"))))
def test_nobody_who_is_not_vouched_for_stands_in_the_way(order: tuple[str, ...], service) -> None:
    """Unverified, rejected and verified requests for the same, in every order: the verified ones
    are done, and nothing else is."""
    opened = service()
    database, state = opened.state.database, opened.state
    wanted = {"users": [BASE + 5]}
    names: dict[str, list[str]] = {"u": [], "r": [], "v": []}
    for number, which in enumerate(order):
        text = json.dumps(wanted)
        sender = requests.Sender("client", f"{number}", text.encode(), which == "v")
        with database.writing() as connection:
            found, _ = requests.submit(
                connection,
                requests.Asked("users", (BASE + 5,)),
                sender,
                secret=state.hashing,
                now=state.clock(),
            )
            names[which].append(found["request_id"])
            if which == "r":
                requests.reject(connection, found["request_id"], state.clock())
    opened.work()
    done = [opened.shown(name) for name in names["v"]]
    assert done[0]["status"] == "completed"
    assert done[1]["duplicate_of"] == names["v"][0]
    assert {opened.shown(name)["status"] for name in names["u"]} == {"unverified"}
    assert {opened.shown(name)["status"] for name in names["r"]} == {"rejected"}
    with database.writing() as connection:
        requests.verify(connection, names["u"][0], state.clock())
    opened.work()
    assert opened.shown(names["u"][0])["status"] == "completed_nothing_found"


PATHS = (
    *("..", ".", "../admin.key", "..%2f..%2fadmin.key", "%2e%2e/admin.key", "%252e%252e%252fx"),
    *("..\\admin.key", "..%5cadmin.key", "/etc/passwd", "%2fetc%2fpasswd", "x%00y", "%00"),
    *("\u2025/x", "\uff0e\uff0e/x", "CON", "nul.txt", "a" * 300, "~root", "$HOME", "`id`", "|id"),
    *("file:///etc/passwd", "C:\\x", "\\\\host\\share", "....//....//x", "..;/x", "x/../../y", "%"),
)


def test_no_file_is_ever_named_by_who_asks(two: tuple[Site, Site], monkeypatch) -> None:
    """Names of files in every place of an address: none is opened, none is made."""
    one, _ = two
    opened: list[str] = []
    real = os.open

    def noted(path: Any, *rest: Any, **more: Any) -> int:
        opened.append(str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", noted)
    before = sorted(path.name for path in one.service.root.rglob("*"))
    routes = (
        *("/v1/requests/{}", "/v1/requests/{}/receipt", "/v1/requests?status={}"),
        *("/v1/recommendations/{}", "/v1/recommendations?segment={}", "/v1/changes?since={}"),
        *("/console/versions/{}", "/console/requests/{}", "/console/static/{}"),
    )
    for route, name in itertools.product(routes, PATHS):
        answer = one.get(route.format(name.replace("#", "")))
        assert answer.status_code < 500, (route, name, answer.text)
        assert b"root:" not in answer.content
        assert one.admin.encode() not in answer.content
    for name in PATHS:
        for route in ("/v1/models/{}/activate", "/v1/keys/{}/rotate", "/v1/requests/{}/cancel"):
            answer = one.client.post(route.format(name), headers=one.headers())
            assert 400 <= answer.status_code < 500, (route, name)
    assert not [path for path in opened if "admin.key" in path or "passwd" in path]
    assert sorted(path.name for path in one.service.root.rglob("*")) == before


QUOTED = ("'", '"', "';--", "' OR '1'='1", "\\'", "%27", "\x00'", "$$", "{}", "%s", ":name", "?1")


def test_texts_are_values_wherever_they_are_given(two: tuple[Site, Site]) -> None:
    """A thousand texts that mean something to a database, in every text that is taken."""
    one, _ = two
    before = whole(one)
    draw = random.Random(0)
    words = ["DROP TABLE requests", "UNION SELECT digest FROM keys", "1=1", "ATTACH 'x'", "--", ";"]
    texts = {
        draw.choice(QUOTED) + draw.choice(words) + draw.choice(QUOTED) + str(draw.randrange(99))
        for _ in range(1000)
    }
    questions = (
        ("/v1/requests", "status"),
        ("/v1/changes", "since"),
        ("/v1/recommendations", "segment"),
    )
    bodies = (
        lambda text: {"users": [text]},
        lambda text: {"user": BASE, "since": text},
        lambda text: {"users": [1], "regulation": text},
        lambda text: {"scopes": [text]},
    )
    for number, text in enumerate(sorted(texts)):
        which = number % 8
        if which < 3:
            path, name = questions[which]
            answer = one.client.get(path, params={name: text}, headers=one.headers())
        elif which < 7:
            path = "/v1/keys" if which == 6 else "/v1/requests"
            answer = one.post(bodies[which - 3](text), path=path)
        else:
            key = text.replace("\x00", "")
            answer = one.client.get("/v1/keys", headers=one.headers(f"alt_{key}_{key}"))
        assert answer.status_code < 500, text
    assert whole(one) == before
