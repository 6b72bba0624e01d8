"""Data Rights Protocol 1.0: authorized agents send deletion requests for consumers, and we are the
covered business.

    POST /v1/agent/{agent-id}                    a token for the agent, by a signed message
    GET  /v1/agent/{agent-id}                    whether its token is good
    POST /v1/data-rights-request                 exercise: a signed message
    GET  /v1/data-rights-request/{request-id}    status, for the agent that sent it
    DELETE /v1/data-rights-request/{request-id}  revoke, while no work was begun: a signed message

A signed message is the base64 of an Ed25519 signature (64 bytes) with the JSON behind it, as
libsodium combines them, sent as text/plain. Agents and their keys are those of a file, the
network's directory. Whom a request is about says one claim, whose value is a user's id in the data;
whether the agent vouches for it, the claim of the same name with ``_verified``.

An agent has one key here, of the scope ``agent``, which opens nothing else; each new token is a new
secret of it, beside which older ones go on for a while.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, Row, select
from starlette.concurrency import run_in_threadpool

from alteraser.errors import AltEraserError, Conflict, InvalidInput, NotFound
from alteraser.ledger import bodies, keys, requests, states, subscriptions
from alteraser.ledger.asked import Asked, Declared, asked
from alteraser.ledger.due import moment
from alteraser.ledger.keys import Key
from alteraser.ledger.schema import keys as key_table
from alteraser.ledger.schema import outside_names
from alteraser.ledger.subscriptions import News, Subscription
from alteraser.service.arriving import content_of
from alteraser.service.asking import OutboundApi
from alteraser.service.problems import problem
from alteraser.service.relay import Message
from alteraser.service.serving import INTEGER

FORM = "drp"
VERSION = re.compile(r"0\.9(\.[0-9]+)?|1\.0(\.[0-9]+)?")
REGIME = "ccpa"
SIGNATURE = 64
"""Bytes of a signature, ahead of the message"""
SMALL = 64 * 2**10
"""Bytes of a message"""
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
LONGEST = 255
"""Characters of an agent's own name of a request"""

STATUS: Mapping[str, tuple[str, str | None]] = (
    dict.fromkeys((states.RECEIVED, states.UNVERIFIED), ("open", None))
    | dict.fromkeys((states.VERIFIED, states.QUEUED, states.HELD), ("in_progress", None))
    | dict.fromkeys(states.WORKING, ("in_progress", None))
    | {
        states.COMPLETED: ("fulfilled", None),
        states.NOTHING_FOUND: ("denied", "no_match"),
        states.CANCELLED: ("revoked", None),
        states.REJECTED: ("denied", "insuf_verification"),
        states.FAILED: ("denied", "other"),
        states.DUPLICATE: ("in_progress", None),
    }
)
"""Our status → the protocol's, and its reason"""


@dataclass(frozen=True)
class AgentNetwork:
    """Our place among agents: what we are called, whom we know, and which claim is a user's id."""

    business: str
    agents: Mapping[str, bytes]
    """Agent → its public key, 32 bytes"""
    claim: str = "email"

    @classmethod
    def read(cls, business: str, directory: Path, claim: str) -> AgentNetwork:
        """From the directory's file, a JSON list of agents with ``id`` and ``verify_key`` (base64,
        or hexadecimal digits); InvalidInput.
        """
        try:
            entries = json.loads(directory.read_bytes())
            agents = {str(each["id"]): _key(str(each["verify_key"])) for each in entries}
        except (OSError, ValueError, TypeError, KeyError) as cause:
            raise InvalidInput(
                f"{directory}: expected a JSON list of agents, each with id and verify_key "
                f"({type(cause).__name__}: {cause})"
            ) from None
        wrong = [name for name in (business, *agents) if not NAME.fullmatch(name)]
        if wrong or not agents or len(agents) < len(entries):
            raise InvalidInput(
                f"{directory}: expected agents of distinct ids, letters, digits and _ . - alone"
            )
        return cls(business, agents, claim)

    def agent_of(self, key: Key) -> str:
        """Whose token it is; Conflict where the agent is in the directory no more."""
        for name in self.agents:
            if key_name(name) == key.id:
                return name
        raise _denied("the token is of no agent in the directory")

    def opened(self, agent: str, content: bytes) -> dict[str, Any]:
        """The message in ``content`` that ``agent`` has signed."""
        try:
            whole = base64.b64decode(content.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise _invalid("base64", "expected the base64 of a signed message") from None
        if agent not in self.agents or not _signed(self.agents[agent], whole):
            raise _denied("the message is not signed with the agent's key")
        found = bodies.parse(whole[SIGNATURE:])
        if not isinstance(found, dict):
            raise _invalid("body", "expected a JSON object")
        return found

    def checked(self, message: Mapping[str, Any], agent: str, now: datetime) -> None:
        """Nothing where ``message`` is the agent's, for us, and for now; else its fault."""
        if message.get("agent-id") != agent:
            raise _denied("agent-id: not the agent whose token and signature this is")
        if message.get("business-id") != self.business:
            raise _denied("business-id: the message is for somebody else")
        issued, expires = (_time(message, name) for name in ("issued-at", "expires-at"))
        if now < issued:
            raise _invalid("issued_at", "issued-at: that is still to come")
        if now >= expires:
            raise _invalid("expires_at", "expires-at: that is over")
        version = message.get("drp.version")
        if not isinstance(version, str) or not VERSION.fullmatch(version):
            raise _invalid("version", "drp.version: 0.9 and 1.0 are spoken here")

    def wanted(self, message: Mapping[str, Any], declared: Declared) -> Asked:
        """What is to be forgotten."""
        if message.get("exercise") != "deletion":
            raise _invalid("exercise", "exercise: only deletion is done here")
        if message.get("regime", REGIME) != REGIME:
            raise _invalid("regime", f"regime: expected {REGIME}, or none")
        value = message.get(self.claim)
        if not isinstance(value, str):
            raise _invalid("claim", f"{self.claim}: expected the claim that says who it is, text")
        user: int | str = value
        if declared.users == "int64":
            if not INTEGER.fullmatch(value):
                raise _invalid("id_type", f"{self.claim}: the ids here are whole numbers")
            user = int(value)
        return asked({"users": [user], "regulation": REGIME}, declared)

    def vouched(self, message: Mapping[str, Any]) -> bool:
        """Whether the agent says that it has verified who it is."""
        return message.get(f"{self.claim}_verified") is True


def key_name(agent: str) -> str:
    """What the key of an agent is called here."""
    return hashlib.sha256(f"{FORM}\n{agent}".encode()).hexdigest()[:16]


def _key(text: str) -> bytes:
    found = bytes.fromhex(text) if re.fullmatch(r"[0-9a-fA-F]{64}", text) else None
    found = base64.b64decode(text, validate=True) if found is None else found
    if len(found) != 32:
        raise ValueError("a verify_key has 32 bytes")
    return found


def _signed(key: bytes, whole: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(whole[:SIGNATURE], whole[SIGNATURE:])
    except InvalidSignature:
        return False
    return True


def _time(message: Mapping[str, Any], name: str) -> datetime:
    value = message.get(name)
    if not isinstance(value, str):
        raise _invalid("time", f"{name}: expected a time, ISO 8601")
    return moment(value, name)


def add(app: FastAPI, api: OutboundApi, network: AgentNetwork) -> None:
    """The routes; they are no part of our own API's description."""
    _add_agents(app, api, network)
    _add_requests(app, api, network)


def _add_agents(app: FastAPI, api: OutboundApi, network: AgentNetwork) -> None:
    @app.post("/v1/agent/{agent}", include_in_schema=False)
    async def paired(request: Request, agent: str) -> Response:
        try:
            content = await content_of(request, SMALL, "text/plain")

            def work() -> dict[str, Any]:
                network.checked(network.opened(agent, content), agent, api.state.clock())
                with api.state.database.writing() as connection:
                    return {"agent-id": agent, "token": _token(connection, agent, api)}

            return JSONResponse(await run_in_threadpool(work))
        except AltEraserError as error:
            answer = refused(error)
            return Response(status_code=403) if answer.status_code == 403 else answer

    @app.get("/v1/agent/{agent}", include_in_schema=False)
    def known(request: Request, agent: str) -> Response:
        def work(connection: Connection, key: Key) -> None:
            if network.agent_of(key) != agent:
                raise _denied("the token is another agent's")

        try:
            api.read(request.headers.get("authorization"), keys.AGENT, work)
            return JSONResponse({})
        except AltEraserError as error:
            return refused(error)


def _token(connection: Connection, agent: str, api: OutboundApi) -> str:
    """A new secret of the agent's key, which is made where there is none."""
    name, now = key_name(agent), api.state.clock()
    there = connection.execute(select(key_table.c.id).where(key_table.c.id == name)).one_or_none()
    if there is None:
        return keys.make_token(connection, now, name)
    try:
        return keys.rotate(connection, name, now)[0]
    except NotFound:
        raise _denied("the agent's key was revoked") from None


def _add_requests(app: FastAPI, api: OutboundApi, network: AgentNetwork) -> None:
    path = "/v1/data-rights-request"

    async def message(request: Request) -> tuple[str, bytes]:
        """Who sends, and what."""
        given = request.headers.get("authorization")
        agent = await run_in_threadpool(
            api.read, given, keys.AGENT, lambda connection, key: network.agent_of(key)
        )
        return agent, await content_of(request, SMALL, "text/plain")

    @app.post(path, include_in_schema=False)
    @app.post(f"{path}/", include_in_schema=False)
    async def exercise(request: Request) -> Response:
        try:
            agent, content = await message(request)
            given = request.headers.get("authorization")
            document = await run_in_threadpool(_taken, api, network, given, agent, content)
            api.state.wake.set()
            return JSONResponse(document)
        except AltEraserError as error:
            return refused(error)

    @app.get(f"{path}/{{request_id}}", include_in_schema=False)
    def status(request: Request, request_id: str) -> Response:
        def work(connection: Connection, key: Key) -> dict[str, Any]:
            network.agent_of(key)
            return _shown(connection, *_row(connection, key, request_id))

        try:
            return JSONResponse(api.read(request.headers.get("authorization"), keys.AGENT, work))
        except AltEraserError as error:
            return refused(error)

    @app.delete(f"{path}/{{request_id}}", include_in_schema=False)
    async def revoke(request: Request, request_id: str) -> Response:
        def work(connection: Connection, key: Key) -> dict[str, Any]:
            row, given = _row(connection, key, request_id)
            if row.state != states.CANCELLED:
                requests.cancel(connection, row.id, api.state.clock())
            return _shown(connection, requests.row_of(connection, row.id), given)

        try:
            agent, content = await message(request)
            if network.opened(agent, content).keys() - {"reason"}:
                raise _invalid("unknown_field", "expected reason, or nothing")
            given = request.headers.get("authorization")
            return JSONResponse(await run_in_threadpool(api.write, given, keys.AGENT, work))
        except AltEraserError as error:
            return refused(error)


def refused(error: AltEraserError) -> JSONResponse:
    """What the protocol says of an error; ``fatal`` where the same message will not do later."""
    ours = problem(error)
    status = 403 if error.details.get("code") == "drp" else ours.status_code
    message = error.message if status < 500 else "the service cannot do this now"
    document = {"code": str(status), "message": message, "fatal": status in (400, 403, 409, 422)}
    headers = {"Retry-After": found} if (found := ours.headers.get("retry-after")) else None
    return JSONResponse(document, status, headers)


def _taken(
    api: OutboundApi, network: AgentNetwork, given: str | None, agent: str, content: bytes
) -> dict[str, Any]:
    """Take the request in, and who is to be called back about it: one transaction."""
    message = network.opened(agent, content)
    network.checked(message, agent, api.state.clock())
    wanted = network.wanted(message, api.state.declared)
    theirs = message.get("agent-request-id")
    if theirs is not None and not (isinstance(theirs, str) and 0 < len(theirs) <= LONGEST):
        raise _invalid("agent_request_id", f"agent-request-id: expected text, at most {LONGEST}")
    url = message.get("status_callback")
    url = None if url is None else api.hosts.checked(url)
    name = f"named:{theirs}" if theirs else f"message:{hashlib.sha256(content).hexdigest()}"
    sent = json.dumps([wanted.document, url], sort_keys=True).encode()

    def work(connection: Connection, key: Key) -> dict[str, Any]:
        now = api.state.clock()
        sender = requests.Sender(key.id, f"{FORM}:{name}", sent, network.vouched(message))
        found, repeated = requests.submit(
            connection, wanted, sender, secret=api.state.hashing, now=now
        )
        row = requests.row_of(connection, found["request_id"])
        if not repeated:
            connection.execute(
                outside_names.insert().values(
                    protocol=FORM, key_id=key.id, given=name, request=row.id
                )
            )
            if url is not None:
                told, fields = _told(row.state), {"given": name}
                subscriptions.subscribe(
                    connection, FORM, url, now, request=row.id, told=told, fields=fields
                )
        return _shown(connection, row, name)

    document: dict[str, Any] = api.write(given, keys.AGENT, work)
    return document


def write(connection: Connection, each: Subscription, news: News) -> Message:
    """The callback that tells of ``news``."""
    row = requests.row_of(connection, str(each.request))
    document = _document(row, str(each.fields["given"]), news.status)
    last = news.status in states.FINAL - {states.DUPLICATE}
    return Message(json.dumps(document).encode(), {}, _told(news.status), last)


def _told(status: str) -> str:
    """What tells one callback from the next."""
    word, reason = STATUS[status]
    return word if reason is None else f"{word}:{reason}"


def _shown(connection: Connection, row: Row[Any], given: str) -> dict[str, Any]:
    """A request, with the status of the one that it repeats."""
    first = row if row.points_to is None else requests.row_of(connection, row.points_to)
    return _document(row, given, first.state)


def _document(row: Row[Any], given: str, status: str) -> dict[str, Any]:
    word, reason = STATUS[status]
    kind, _, name = given.partition(":")
    return {
        "request_id": str(uuid.UUID(row.id)),
        "received_at": row.received,
        "expected_by": row.due,
        "status": word,
        **({} if reason is None else {"reason": reason}),
        **({"agent_request_id": name} if kind == "named" else {}),
    }


def _row(connection: Connection, key: Key, name: str) -> tuple[Row[Any], str]:
    """(the request, what its sender calls it); an error that says no more where it is another
    agent's than where there is none.
    """
    found = connection.execute(
        select(outside_names.c.given, outside_names.c.request).where(
            outside_names.c.protocol == FORM,
            outside_names.c.key_id == key.id,
            outside_names.c.request == name.replace("-", ""),
        )
    ).one_or_none()
    if found is None:
        raise _denied("there is no such request of this agent")
    return requests.row_of(connection, found.request), found.given


def _invalid(code: str, message: str) -> InvalidInput:
    return InvalidInput(message, code=code)


def _denied(message: str) -> Conflict:
    return Conflict(message, code="drp")
