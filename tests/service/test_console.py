"""The console: every page, what it may be used for and by whom, and that nobody is named where
nobody asked for them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

import httpx
import pytest

from alteraser.ledger import keys, receipts
from alteraser.service.console.session import HTMX

from .conftest import BASE, everything
from .test_http import Site, site  # noqa: F401  # the fixture

ID = re.compile(r"730511824609\d{7}")


@contextmanager
def login(site: Site, key: str | None = None) -> Iterator[httpx.Client]:  # noqa: F811
    address = site.client.base_url
    with httpx.Client(base_url=address, follow_redirects=True, timeout=60) as client:
        assert client.post("/console/login", data={"key": key or site.admin}).status_code == 200
        yield client


def pages(site: Site, done: str) -> list[str]:  # noqa: F811
    serving = site.get("/v1/models").json()["serving"]
    first = site.get("/v1/models").json()["models"][0]["version"]
    return [
        "/",
        "/?status=completed",
        "/?before=100",
        "/console/live",
        f"/console/requests/{done}",
        f"/console/requests/{done}/life",
        f"/console/requests/{done}/receipt",
        "/console/versions",
        f"/console/versions/{serving}",
        f"/console/versions/{first}",
        "/console/account",
        "/console/keys",
    ]


def test_every_page(site: Site) -> None:  # noqa: F811
    name = site.post({"users": [BASE + 5]}).json()["request_id"]
    site.service.work()
    held = site.post({"users": [BASE + 6], "hold": True}, "b").json()["request_id"]
    anybody = httpx.Client(base_url=site.client.base_url, timeout=60)
    with login(site) as client:
        for place in [*pages(site, name), f"/console/requests/{held}"]:
            answer = client.get(place)
            assert answer.status_code == 200, place
            assert not ID.search(answer.text), place
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            scripts = re.findall(r"<script[^>]*>", answer.text)
            assert all(f'src="/console/static/{HTMX}"' in each for each in scripts)
            assert not re.search(r"\s(style|on\w+)=", answer.text), place
            ids = re.findall(r'\sid="([^"]+)"', answer.text)
            assert len(ids) == len(set(ids)), place
            refused = anybody.get(place)
            assert refused.status_code == (200 if place.startswith("/?") or place == "/" else 401)
            assert "API key" in refused.text
        for place in ("/console/requests/none", "/console/versions/none", "/console/static/none"):
            assert client.get(place).status_code == 404
    anybody.close()


def test_the_receipts_page_and_its_file(site: Site) -> None:  # noqa: F811
    body = {"users": [BASE + 5, 1]}
    name = site.post(body).json()["request_id"]
    site.service.work()
    gone = sum(user == BASE + 5 for user, _ in everything())
    with login(site) as client:
        place = f"/console/requests/{name}/receipt"
        text = " ".join(re.sub(r"<[^>]+>", " ", client.get(place).text).split())
        found = receipts.check(client.get(f"{place}.json").content)
        predicate = found.predicate
        for words in (
            f"{gone} interactions went",
            "2, of which 1 found and 1 not there",
            "In order",
            predicate["certificate"]["sentence"],
            predicate["model"]["after"],
            found.key,
            f"leaf {found.leaf} of {found.size}",
            *predicate["limits"],
        ):
            assert words in text, words
        nothing = site.post({"users": [2]}, "b").json()["request_id"]
        site.service.work()
        assert "Nothing was changed" in client.get(f"/console/requests/{nothing}/receipt").text
        with site.service.state.database.writing() as connection:
            connection.exec_driver_sql("DROP TRIGGER receipts_no_update")
            connection.exec_driver_sql("UPDATE receipts SET checkpoint = '{}'")
        assert client.get(place).status_code == 503, "a receipt that is not in order has no page"


def test_a_request_is_acted_on(site: Site) -> None:  # noqa: F811
    name = site.post({"users": [BASE + 5]}, key=site.key("submit")).json()["request_id"]
    place = f"/console/requests/{name}"
    with login(site, site.key("status", "submit")) as client:
        assert "Vouch" not in client.get(place).text
        assert client.post(f"{place}/verify").status_code == 403
    with login(site) as client:
        for what, status in (
            ("verify", "queued"),
            ("hold", "held"),
            ("release", "queued"),
            ("cancel", "cancelled"),
        ):
            assert f"{place}/{what}" in client.get(place).text
            assert client.post(f"{place}/{what}").status_code == 200
            assert site.get(f"/v1/requests/{name}").json()["status"] == status
        assert "<form" not in client.get(f"{place}/life").text
        assert client.post(f"{place}/cancel").status_code == 409
        assert client.post(f"{place}/destroy").status_code == 404


def test_forms_of_other_sites_are_refused(site: Site) -> None:  # noqa: F811
    name = site.post({"users": [BASE + 5]}).json()["request_id"]
    paths = (f"/console/requests/{name}/cancel", "/console/keys", "/console/account")
    with login(site) as client:
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": "null"},
            {"Origin": "http://elsewhere"},
        ):
            for path in paths:
                answer = client.post(path, headers=headers, data={"scope": "admin", "rate": "0"})
                assert answer.status_code == 403, (path, headers)
        assert site.get(f"/v1/requests/{name}").json()["status"] == "queued"
        assert len(site.get("/v1/keys").json()["keys"]) == 1
        cancelled = client.post(paths[0], headers={"Sec-Fetch-Site": "same-origin"})
        assert cancelled.status_code == 200


def test_keys_are_made_shown_once_and_revoked(site: Site) -> None:  # noqa: F811
    with login(site) as client:
        fields = {"scope": ["status", "submit"], "rate": "5", "expires": "2099-01-01"}
        text = client.post("/console/keys", data=fields).text
        (made,) = re.findall(r"alt_[0-9a-f]{16}_[0-9a-f]{64}", text)
        assert site.get("/v1/requests", made).status_code == 200
        (listed,) = [k for k in site.get("/v1/keys").json()["keys"] if k["id"] in made]
        assert (listed["scopes"], listed["rate_limit"]) == (["status", "submit"], 5)
        assert listed["expires"].startswith("2099-01-01")
        page = client.get("/console/keys")
        assert made not in page.text
        assert made.split("_")[1] in page.text
        assert "revoked" in client.post(f"/console/keys/{made.split('_')[1]}/revoke").text
        assert site.get("/v1/requests", made).status_code == 401
        for wrong in ({}, {"scope": "root"}, {"rate": "-1"}, {"expires": "soon"}):
            answer = client.post("/console/keys", data={"scope": "status", "rate": "5"} | wrong)
            assert (answer.status_code, 'role="alert"' in answer.text) == (
                (200, False) if not wrong else (400, True)
            )
    with login(site, site.key("status")) as client:
        assert client.get("/console/keys").status_code == 403
        assert client.post("/console/keys", data={"scope": "admin", "rate": "0"}).status_code == 403
        assert client.post("/console/account", data={"user": BASE + 6}).status_code == 403
    with site.service.state.database.reading() as connection:
        assert not any("admin" in str(each["scopes"]) for each in keys.listed(connection)[1:])


def test_a_key_is_rotated_and_who_is_logged_in_with_it_stays_so(site: Site) -> None:  # noqa: F811
    other = site.key("status")
    name = other.split("_")[1]
    with login(site) as client:
        assert f"/console/keys/{name}/rotate" in client.get("/console/keys").text
        answer = client.post(f"/console/keys/{name}/rotate", data={"overlap": "86400"})
        (made,) = re.findall(r"alt_[0-9a-f]{16}_[0-9a-f]{64}", answer.text)
        assert "The old one is taken until" in answer.text
        assert made != other
        assert [site.get("/v1/requests", key).status_code for key in (other, made)] == [200, 200]
        client.post(f"/console/keys/{name}/rotate", data={"overlap": "0"})
        assert [site.get("/v1/requests", key).status_code for key in (other, made)] == [401, 401]
        for wrong in ({}, {"overlap": "-1"}, {"overlap": "9" * 12}, {"overlap": str(2**31 - 1)}):
            refused = client.post(f"/console/keys/{name}/rotate", data=wrong)
            assert refused.status_code == 400
            assert "alt_" not in refused.text
        assert client.post("/console/keys/none/rotate", data={"overlap": "0"}).status_code == 404

        own = site.admin.split("_")[1]
        answer = client.post(f"/console/keys/{own}/rotate", data={"overlap": "0"})
        (mine,) = re.findall(rf"alt_{own}_[0-9a-f]{{64}}", answer.text)
        assert client.get("/console/keys").status_code == 200, "still logged in"
        assert site.get("/v1/keys").status_code == 401
        assert site.get("/v1/keys", mine).status_code == 200
    with login(site, mine) as client:
        foreign = {"Sec-Fetch-Site": "cross-site"}
        answer = client.post(f"/console/keys/{own}/rotate", data={"overlap": "0"}, headers=foreign)
        assert answer.status_code == 403
        assert site.get("/v1/keys", mine).status_code == 200


def test_lists_of_an_account(site: Site) -> None:  # noqa: F811
    def lists() -> dict[int, list[int]]:
        users = sorted({user for user, _ in everything()})
        answers = {user: site.get(f"/v1/recommendations/{user}") for user in users}
        return {
            user: [each["item_id"] for each in answer.json()["items"]]
            for user, answer in answers.items()
            if answer.status_code == 200
        }

    before = lists()
    site.post({"users": [BASE + 5, BASE + 11, BASE + 20]})
    site.service.work()
    after = lists()
    changed = [user for user in after if before[user] != after[user]]
    same = [user for user in after if before[user] == after[user]]
    assert changed
    with login(site) as client:

        def shown(user: object) -> list[list[str]]:
            text = client.post("/console/account", data={"user": user}).text
            rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", text, re.S)
            return [re.sub(r"<[^>]+>", "", part).split() for row in rows for part in [row]]

        for user in changed[:3]:
            wanted = [
                [str(rank), str(old), str(new)]
                for rank, (old, new) in enumerate(zip(before[user], after[user], strict=True), 1)
            ]
            assert shown(user) == wanted
        for user in same[:2]:
            assert shown(user) == [
                [str(rank), str(item)] for rank, item in enumerate(after[user], 1)
            ]
        for nobody in (BASE + 5, "x", "<b>"):
            answer = client.post("/console/account", data={"user": nobody})
            assert answer.status_code == 404
            assert "<b>" not in answer.text


def test_what_is_to_be_forgotten_is_no_list_from_before(site: Site) -> None:  # noqa: F811
    site.post({"users": [BASE + 5, BASE + 11, BASE + 20]})
    site.service.work()
    users = sorted({user for user, _ in everything()} - {BASE + 5, BASE + 11, BASE + 20})
    with login(site) as client:
        changed = site.service.state.load_serving().content.changes.lists.to_pylist()
        row = next(each for each in changed if each["user_id"] in users and each["before"])
        item = next(each for each in row["before"] if each is not None)

        def page() -> str:
            return client.post("/console/account", data={"user": row["user_id"]}).text

        assert f">{item}<" in page()
        site.post({"items": [item]}, "an item")
        assert f">{item}<" not in page()
        mine = next(each for user, each in everything() if user == row["user_id"] and each != item)
        site.post({"pairs": [[row["user_id"], mine]]}, "a pair")
        text = page()
        assert f">{mine}<" not in text
        assert "There is no list from before" in text


def test_a_batch_under_way(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    site.post({"users": [BASE + 5]})
    worker = site.service.worker
    seen = []
    with login(site) as client:
        for name, step in list(worker._steps.items()):

            def watched(batch, step=step):
                seen.append(client.get("/console/live").text)
                return step(batch)

            monkeypatch.setitem(worker._steps, name, watched)
        site.service.work()
        assert "No work is under way" in client.get("/console/live").text
    marked = [re.findall(r'aria-current="step">(\w+)<', text) for text in seen]
    assert marked == [["planned"], ["scrubbed"], ["checked"], ["published"], ["receipted"]]
    assert all("1 request," in text for text in seen)


def test_the_script_is_the_published_one(site: Site) -> None:  # noqa: F811
    content = files("alteraser.service").joinpath(f"templates/{HTMX}").read_bytes()
    assert hashlib.sha256(content).hexdigest() == (
        "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"
    )
    answer = site.client.get(f"/console/static/{HTMX}")
    assert answer.content == content
    assert answer.headers["content-type"].startswith("text/javascript")
