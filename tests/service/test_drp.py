"""The Data Rights Protocol: agents that pair, exercise, ask and revoke by signed messages, and
whatever else might claim to be one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from alteraser.errors import InvalidInput
from alteraser.ledger import keys, states
from alteraser.service.drp import STATUS, AgentNetwork, key_name
from alteraser.service.outside import Outside

from .conftest import BASE
from .test_callbacks import Ear, ear  # noqa: F401  # the fixture
from .test_http import Site, running

BUSINESS = "CB_EXAMPLE"
PATH = "/v1/data-rights-request"


class Agent:
    """Somebody with a key, who signs."""

    def __init__(self, name: str) -> None:
        self.name, self.secret = name, Ed25519PrivateKey.generate()
        self.token = ""

    @property
    def entry(self) -> dict[str, str]:
        public = self.secret.public_key().public_bytes_raw()
        return {"id": self.name, "verify_key": base64.b64encode(public).decode(), "name": "x"}

    def sealed(self, message: Any) -> bytes:
        content = json.dumps(message).encode()
        return base64.b64encode(self.secret.sign(content) + content)

    def message(self, **more: Any) -> dict[str, Any]:
        now = datetime.now(UTC)
        whole = {
            "agent-id": self.name,
            "business-id": BUSINESS,
            "issued-at": (now - timedelta(seconds=5)).isoformat(),
            "expires-at": (now + timedelta(minutes=10)).isoformat(),
            "drp.version": "1.0",
        } | more
        return {name: value for name, value in whole.items() if value is not None}

    def exercise(self, user: int, **more: Any) -> dict[str, Any]:
        named = {"exercise": "deletion", "regime": "ccpa", "customer": str(user)}
        return self.message(**(named | {"customer_verified": True} | more))

    def send(self, site: Site, message: Any, path: str = PATH, method: str = "POST") -> Any:
        content = message if isinstance(message, bytes) else self.sealed(message)
        headers = {"Content-Type": "text/plain"}
        headers |= {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return site.client.request(method, path, content=content, headers=headers)

    def pair(self, site: Site) -> None:
        answer = self.send(site, self.message(), f"/v1/agent/{self.name}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["agent-id"] == self.name
        self.token = answer.json()["token"]


@pytest.fixture
def agents() -> list[Agent]:
    return [Agent("AA_ONE"), Agent("AA_TWO")]


@pytest.fixture
def site(service: Any, ear: Ear, agents: list[Agent], tmp_path: Path) -> Iterator[Site]:  # noqa: F811
    directory = tmp_path / "agents.json"
    directory.write_text(json.dumps([each.entry for each in agents]))
    hosts = [f"127.0.0.1:{ear.port}=127.0.0.1"]
    named = {"business": BUSINESS, "agents": directory, "claim": "customer"}
    outside = Outside.of(hosts, None, None, None, **named)
    with running(service("knn"), outside) as found:
        found.relay = outside.relay(found.service.state)  # type: ignore[attr-defined]
        yield found


def told(answer: Any, status: int) -> str:
    """The message of an error."""
    document = answer.json()
    assert (answer.status_code, document["code"]) == (status, str(status)), answer.text
    assert str(BASE) not in answer.text
    return str(document["message"])


def test_from_pairing_to_the_last_callback(
    site: Site,
    ear: Ear,  # noqa: F811
    agents: list[Agent],
) -> None:
    agent, _ = agents
    agent.pair(site)
    headers = {"Authorization": f"Bearer {agent.token}"}
    assert site.client.get(f"/v1/agent/{agent.name}", headers=headers).json() == {}
    more = {"agent-request-id": "foo", "status_callback": f"http://127.0.0.1:{ear.port}/told"}
    answer = agent.send(site, agent.exercise(BASE + 5, **more))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["status"], found["agent_request_id"]) == ("in_progress", "foo")
    assert found["expected_by"][:10] > found["received_at"][:10]
    place = f"{PATH}/{found['request_id']}"
    again = agent.send(site, agent.exercise(BASE + 5, **more), f"{PATH}/")
    assert again.json() == found, "signed anew, under the same name"
    assert told(agent.send(site, agent.exercise(BASE + 6, **more)), 422)
    site.service.work()
    assert (BASE + 5) not in {user for user, _ in site.service.pairs}
    done = site.client.get(place, headers=headers).json()
    assert done == found | {"status": "fulfilled"}
    site.relay.once()
    assert ear.documents == [done]
    assert str(BASE + 5) not in json.dumps(ear.documents)
    (request,) = site.get("/v1/requests").json()["requests"]
    assert request["regulation"] == "ccpa"


def test_who_is_not_here_and_who_is_not_vouched_for(site: Site, agents: list[Agent]) -> None:
    agent, _ = agents
    agent.pair(site)
    headers = {"Authorization": f"Bearer {agent.token}"}
    nobody = agent.send(site, agent.exercise(12)).json()
    doubted = agent.send(site, agent.exercise(BASE + 5, customer_verified="yes")).json()
    site.service.work()
    found = site.client.get(f"{PATH}/{nobody['request_id']}", headers=headers).json()
    assert (found["status"], found["reason"]) == ("denied", "no_match")
    found = site.client.get(f"{PATH}/{doubted['request_id']}", headers=headers).json()
    assert (found["status"], "reason" in found) == ("open", False)
    assert (BASE + 5) in {user for user, _ in site.service.pairs}


def test_revoking(site: Site, agents: list[Agent]) -> None:
    agent, other = agents
    agent.pair(site)
    other.pair(site)
    found = agent.send(site, agent.exercise(BASE + 5)).json()
    place = f"{PATH}/{found['request_id']}"
    assert told(other.send(site, {"reason": "no"}, place, "DELETE"), 403)
    assert told(agent.send(site, other.sealed({}), place, "DELETE"), 403)
    assert told(agent.send(site, {"all": True}, place, "DELETE"), 400)
    for _ in range(2):  # the answer may have been lost
        answer = agent.send(site, {"reason": "I stay"}, place, "DELETE")
        assert (answer.status_code, answer.json()["status"]) == (200, "revoked")
    site.service.work()
    assert (BASE + 5) in {user for user, _ in site.service.pairs}
    late = agent.send(site, agent.exercise(BASE + 6)).json()
    site.service.work()
    late_place = f"{PATH}/{late['request_id']}"
    assert told(agent.send(site, {}, late_place, "DELETE"), 409)


def test_others_are_told_that_there_is_none(site: Site, agents: list[Agent]) -> None:
    agent, other = agents
    agent.pair(site)
    other.pair(site)
    found = agent.send(site, agent.exercise(BASE + 5)).json()
    headers = {"Authorization": f"Bearer {other.token}"}
    there = site.client.get(f"{PATH}/{found['request_id']}", headers=headers)
    never = site.client.get(f"{PATH}/{'0' * 32}", headers=headers)
    assert told(there, 403) == told(never, 403)
    assert told(site.client.get(f"/v1/agent/{agent.name}", headers=headers), 403)


def wrong(agent: Agent, other: Agent) -> list[tuple[Any, int]]:
    """Messages that are refused, and the status."""
    now = datetime.now(UTC)
    good = agent.exercise(BASE + 5)
    whole = base64.b64decode(agent.sealed(good))
    return [
        (b"", 403),
        (b"{}", 400),
        (json.dumps(good).encode(), 400),
        (base64.b64encode(b"short"), 403),
        (base64.b64encode(whole[:-1]), 403),
        (base64.b64encode(whole[:70] + b"!" + whole[71:]), 403),
        (base64.b64encode(bytes([whole[0] ^ 1]) + whole[1:]), 403),
        (base64.b64encode(bytes(64) + whole[64:]), 403),
        (other.sealed(good), 403),
        (agent.sealed([1]), 400),
        (b"A" * 10**6, 413),
        (good | {"agent-id": other.name}, 403),
        (good | {"business-id": "CB_OTHER"}, 403),
        (good | {"business-id": None}, 403),
        (good | {"issued-at": (now + timedelta(hours=1)).isoformat()}, 400),
        (good | {"expires-at": now.isoformat()}, 400),
        (good | {"expires-at": "soon"}, 400),
        (good | {"expires-at": 7}, 400),
        (good | {"drp.version": "0.5"}, 400),
        (good | {"drp.version": 1.0}, 400),
        (good | {"exercise": "access"}, 400),
        (good | {"exercise": ["deletion"]}, 400),
        (good | {"regime": "gdpr"}, 400),
        (good | {"customer": BASE + 5}, 400),
        (good | {"customer": "*"}, 400),
        ({name: value for name, value in good.items() if name != "customer"}, 400),
        (good | {"agent-request-id": 5}, 400),
        (good | {"agent-request-id": "x" * 256}, 400),
        (good | {"status_callback": "https://evil.example/"}, 400),
        (good | {"status_callback": 5}, 400),
    ]


def test_what_is_refused(site: Site, agents: list[Agent]) -> None:
    agent, other = agents
    assert told(agent.send(site, agent.exercise(BASE + 5)), 401)
    agent.pair(site)
    for message, status in wrong(agent, other):
        answer = agent.send(site, message)
        assert told(answer, status), message
        assert answer.json()["fatal"] == (status != 413)
    headers = {"Authorization": f"Bearer {agent.token}", "Content-Type": "application/json"}
    assert told(site.client.post(PATH, content=b"{}", headers=headers), 415)
    assert site.taken == 0


def test_pairing_that_is_refused(site: Site, agents: list[Agent]) -> None:
    """403, and nothing else is said."""
    agent, other = agents
    for message, path in (
        (other.sealed(agent.message()), f"/v1/agent/{agent.name}"),
        (agent.message(), f"/v1/agent/{other.name}"),
        (agent.message(), "/v1/agent/AA_NONE"),
        (agent.message(**{"business-id": "CB_OTHER"}), f"/v1/agent/{agent.name}"),
    ):
        answer = agent.send(site, message, path)
        assert (answer.status_code, answer.content) == (403, b""), path
    with site.service.state.database.reading() as connection:
        assert [each["scopes"] for each in keys.listed(connection)] == [["admin"]]


def test_a_token_is_good_for_nothing_else(site: Site, agents: list[Agent]) -> None:
    """Nor is another key for this; and an agent whose key was revoked gets none again."""
    agent, _ = agents
    agent.pair(site)
    first = agent.token
    agent.pair(site)
    for token in (first, agent.token):
        headers = {"Authorization": f"Bearer {token}"}
        assert site.client.get(f"/v1/agent/{agent.name}", headers=headers).status_code == 200
        for path in ("/v1/requests", "/v1/models", f"/v1/recommendations/{BASE}", "/v1/keys"):
            assert site.client.get(path, headers=headers).status_code == 403
        body = {"users": [BASE + 5]}
        headers["Idempotency-Key"] = "x"
        assert site.client.post("/v1/requests", json=body, headers=headers).status_code == 403
    content = agent.sealed(agent.exercise(BASE + 5))
    with site.service.state.database.writing() as connection:
        nobodys = keys.make_token(connection, site.service.state.clock(), "0" * 16)
    calls = [("POST", PATH), ("GET", f"/v1/agent/{agent.name}")]
    calls += [(method, f"{PATH}/{'0' * 32}") for method in ("GET", "DELETE")]
    for method, path in calls:
        others = [site.key(scope) for scope in keys.SCOPES]  # admin as well
        for key in (*others, nobodys):
            headers = {"Content-Type": "text/plain"}
            headers["Authorization"] = f"Bearer {key}"
            answer = site.client.request(method, path, content=content, headers=headers)
            assert told(answer, 403), (method, path, key == nobodys)
        headers["Authorization"] = "Bearer none"
        answer = site.client.request(method, path, content=content, headers=headers)
        assert told(answer, 401), (method, path)
    name = key_name(agent.name)
    assert site.client.delete(f"/v1/keys/{name}", headers=site.headers()).status_code == 204
    assert told(agent.send(site, agent.exercise(BASE + 5)), 401)
    assert agent.send(site, agent.message(), f"/v1/agent/{agent.name}").status_code == 403
    assert site.taken == 0


def test_every_status_has_a_word() -> None:
    assert STATUS.keys() == set(states.STATES)
    words = {word for word, _ in STATUS.values()}
    assert words == {"open", "in_progress", "fulfilled", "revoked", "denied"}


def test_directories_that_are_none(tmp_path: Path) -> None:
    agent = Agent("AA_ONE").entry
    place = tmp_path / "agents.json"
    for content in (
        "",
        "{}",
        "[]",
        "[1]",
        json.dumps([{"id": "AA"}]),
        json.dumps([agent | {"verify_key": "short"}]),
        json.dumps([agent | {"id": "../x"}]),
        json.dumps([agent, agent]),
    ):
        place.write_text(content)
        with pytest.raises(InvalidInput, match="expected"):
            AgentNetwork.read(BUSINESS, place, "email")
    with pytest.raises(InvalidInput, match="expected"):
        AgentNetwork.read(BUSINESS, tmp_path / "none", "email")
    with pytest.raises(InvalidInput, match="go together"):
        Outside.of((), None, None, None, business=BUSINESS)
    hexadecimal = base64.b64decode(agent["verify_key"]).hex()
    place.write_text(json.dumps([agent | {"verify_key": hexadecimal}]))
    assert AgentNetwork.read(BUSINESS, place, "email").agents["AA_ONE"].hex() == hexadecimal


def test_there_is_none_unless_it_was_asked_for(service: Any, agents: list[Agent]) -> None:
    agent, _ = agents
    with running(service("knn")) as found:
        assert agent.send(found, agent.exercise(BASE), PATH).status_code == 404
        assert agent.send(found, agent.message(), f"/v1/agent/{agent.name}").status_code == 404
