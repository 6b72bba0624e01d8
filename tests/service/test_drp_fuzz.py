"""Whatever an agent of the network may send, signed or nearly so, is answered in the protocol's
words, never by 500: fields of any type in the place of each, messages cut and turned, calls of any
name."""

from __future__ import annotations

import base64
import json
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alteraser.ledger.schema import keys

from .conftest import BASE
from .test_callbacks import ear  # noqa: F401  # the fixture
from .test_drp import PATH, Agent, agents, site  # noqa: F401  # the fixtures
from .test_http import Site

FIELDS = (
    "agent-id",
    "business-id",
    "issued-at",
    "expires-at",
    "drp.version",
    "exercise",
    "regime",
    "customer",
    "customer_verified",
    "agent-request-id",
    "status_callback",
    "reason",
)
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=300)
    | st.sampled_from(
        [str(BASE), "-0", "9" * 40, "\ud800", "\0", "2026-13-01", "9999-12-31T23:59:59-14:00"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
CHANGES = st.dictionaries(st.sampled_from(FIELDS), ANY, max_size=3)
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/."), min_size=1, max_size=40
)
HARM = st.sampled_from(["", "", "", "cut", "turn", "plain", "twice", "other"])


def harmed(agent: Agent, other: Agent, message: Any, harm: str) -> bytes:
    whole = agent.sealed(message)
    raw = base64.b64decode(whole)
    return {
        "": whole,
        "cut": whole[: len(whole) // 2],
        "turn": base64.b64encode(raw[::-1]),
        "plain": raw,
        "twice": whole + b"\n" + whole,
        "other": other.sealed(message),
    }[harm]


@pytest.mark.parametrize("examples", [60, pytest.param(3_000, marks=pytest.mark.faults)])
def test_no_message_is_a_fault_of_ours(
    site: Site,  # noqa: F811
    agents: list[Agent],  # noqa: F811
    examples: int,
) -> None:
    agent, other = agents
    agent.pair(site)
    with site.service.state.database.writing() as connection:
        connection.execute(keys.update().values(rate=0))  # as many messages as it likes
    seen: Counter[int] = Counter()

    @settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(changes=CHANGES, harm=HARM, call=st.integers(0, 4), name=NAMES)
    def sent(changes: dict[str, Any], harm: str, call: int, name: str) -> None:
        path, method, message = [
            (PATH, "POST", agent.exercise(BASE + 5) | changes),
            (f"/v1/agent/{agent.name}", "POST", agent.message() | changes),
            (f"/v1/agent/{quote(name, safe='')}", "POST", agent.message() | {"agent-id": name}),
            (f"{PATH}/{quote(name, safe='')}", "DELETE", changes),
            (f"{PATH}/{quote(name, safe='')}", "GET", changes),
        ][call]
        content = harmed(agent, other, message, harm)
        answer = agent.send(site, content, path, method)
        seen[answer.status_code] += 1
        assert answer.status_code < 500, (method, path, message)
        if answer.status_code == 200 and path.startswith("/v1/agent/"):
            agent.token = answer.json()["token"]
        elif answer.status_code >= 400 and answer.content and not path.startswith("/v1/agent/"):
            assert answer.json()["code"] == str(answer.status_code), json.dumps(message)

    for odd in ("\ud800", "\0", "\x7f\n", "'"):
        answer = agent.send(site, agent.exercise(BASE + 5, **{"agent-request-id": odd}))
        assert answer.status_code < 500, (odd, answer.text)
    sent()
    assert seen[200] > 0
    assert seen[400] > 0
    assert seen[403] > 0
