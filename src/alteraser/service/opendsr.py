"""OpenDSR 2.0, once OpenGDPR: a controller sends erasure requests, and we are the processor.

    GET  /v2/discovery          what is understood, and where the certificate is
    POST /v2/requests           201; the same subject_request_id and body again: the same answer
    GET  /v2/requests/{id}      its status
    DELETE /v2/requests/{id}    202 while it is pending

People are named by ``controller_customer_id``, raw or hashed (``hashed``). Whose hash it is, is
looked for once, among those who are known when the request arrives; a request for a hash of
nobody's is done like one for an id that nobody has.

Its four states are ours, mapped down: see ``STATUS``. Every answer carries the processor's domain
and a signature of the raw body, RSA (PKCS 1 v1.5) or ECDSA with SHA-256, by the key of the
certificate that ``discovery`` names. Callbacks go to hosts that were named with --callback-host.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from fastapi import FastAPI, Request, Response
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from alteraser.errors import AltEraserError, InvalidInput, NotFound
from alteraser.ledger import bodies, ingests, requests, states, subscriptions
from alteraser.ledger.asked import Asked, Declared, asked
from alteraser.ledger.due import REGULATIONS, moment, written
from alteraser.ledger.ids import Id
from alteraser.ledger.keys import Key
from alteraser.ledger.schema import outside_names
from alteraser.ledger.subscriptions import News, Subscription
from alteraser.service import erasing
from alteraser.service.arriving import content_of
from alteraser.service.asking import OutboundApi
from alteraser.service.hashed import FORMATS, HashedId, HashedUsers
from alteraser.service.outbound import Hosts
from alteraser.service.problems import problem
from alteraser.service.relay import Message
from alteraser.service.serving import INTEGER
from alteraser.service.state import added_rows

FORM = "opendsr"
API_VERSION = "2.0"
IDENTITY = "controller_customer_id"
RAW = "raw"
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NEEDED = frozenset(
    {"regulation", "subject_request_id", "subject_request_type", "subject_identities"}
)
FIELDS = NEEDED | {"submitted_time", "api_version", "status_callback_urls", "extensions"}
MOST_CALLBACKS = 10
PATHS = ("/v2/requests", "/opendsr_requests", "/opengdpr_requests")
"""The standard's, and what the same is called in the wild"""

STATUS = (
    dict.fromkeys(states.WAITING, "pending")
    | dict.fromkeys(states.WORKING, "in_progress")
    | {
        states.COMPLETED: "completed",
        states.NOTHING_FOUND: "completed",
        states.CANCELLED: "cancelled",
        states.REJECTED: "cancelled",
        states.FAILED: "in_progress",
        states.DUPLICATE: "pending",
    }
)
"""Our status → OpenDSR's, which has none for a failure: it stays in progress, with a later
expectation, and ours alarms"""


class Processor:
    """Who we are to controllers: a domain, its certificate, and the key that signs."""

    def __init__(self, domain: str, certificate: Path, key: Path) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, rsa

        self.domain = domain.lower()
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", self.domain):
            raise InvalidInput(f"--opendsr-domain {domain}: expected a name such as erase.example")
        try:
            self.certificate = certificate.read_bytes()
            found = x509.load_pem_x509_certificate(self.certificate)
            secret = serialization.load_pem_private_key(key.read_bytes(), None)
        except (OSError, ValueError, TypeError) as cause:
            raise InvalidInput(
                f"{certificate} and {key}: expected a certificate and its private key in PEM "
                f"({cause})"
            ) from None
        if not isinstance(secret, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise InvalidInput(f"{key}: OpenDSR's signatures are RSA or ECDSA")
        if secret.public_key() != found.public_key():
            raise InvalidInput(f"{certificate} is not the certificate of {key}")
        if found.issuer == found.subject:
            raise InvalidInput(
                f"{certificate} is signed by itself; OpenDSR asks for one of an authority"
            )
        self._key = secret

    def headers(self, body: bytes) -> dict[str, str]:
        """The domain and the signature of ``body``, under the names of OpenDSR and OpenGDPR."""
        from cryptography.hazmat.primitives.asymmetric import ec, padding
        from cryptography.hazmat.primitives.hashes import SHA256

        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            made = self._key.sign(body, ec.ECDSA(SHA256()))
        else:
            made = self._key.sign(body, padding.PKCS1v15(), SHA256())
        text = base64.b64encode(made).decode()
        return {
            f"X-{name}-{what}": value
            for name in ("OpenDSR", "OpenGDPR")
            for what, value in (("Processor-Domain", self.domain), ("Signature", text))
        }

    def write(self, connection: Connection, each: Subscription, news: News) -> Message:
        """The callback that tells of ``news``."""
        row = requests.row_of(connection, str(each.request))
        status = STATUS[news.status]
        if (each.told, status) == ("in_progress", "pending"):  # work on it begins anew
            status = "in_progress"
        document = _status(row, each.fields, status, datetime.fromisoformat(news.at))
        body = json.dumps(document | {"status_callback_url": each.url}).encode()
        last = news.status in states.FINAL - {states.DUPLICATE}
        return Message(body, self.headers(body), status, last)


Parts = tuple[Processor, Callable[..., Response], Callable[[AltEraserError], Response]]
"""Who we are, an answer that is signed, and one that says no"""


@dataclass(frozen=True)
class ControllerRequest:
    """A controller's request that can be taken in."""

    id: str
    wanted: Asked
    sent: dict[str, Any]
    """The same in the words of our own API, hashes as they were given: tells a repetition from
    another request, whoever is known by then"""
    callbacks: tuple[str, ...]


def add(app: FastAPI, api: OutboundApi, processor: Processor) -> None:
    """The routes; they are no part of our own API's description."""

    def signed(document: dict[str, Any], status: int = 200) -> Response:
        body = json.dumps(document).encode()
        return Response(body, status, processor.headers(body), "application/json")

    def refused(error: AltEraserError) -> Response:
        ours = problem(error)
        status = 400 if ours.status_code in (403, 404, 409, 413, 415, 422) else ours.status_code
        status = 403 if error.details.get("code") == "scope" else status
        message = error.message if status < 500 else "the service cannot do this now"
        fault = {
            "domain": processor.domain,
            "reason": error.code,
            "message": message,
        }
        answer = signed({"error": {"code": status, "message": message, "errors": [fault]}}, status)
        if "retry-after" in ours.headers:
            answer.headers["Retry-After"] = ours.headers["retry-after"]
        return answer

    users = HashedUsers()
    _add_facts(app, processor, signed)
    for path in PATHS:
        _add_requests(app, api, path, (processor, signed, refused), users)


def _add_facts(app: FastAPI, processor: Processor, signed: Callable[..., Response]) -> None:
    @app.get("/v2/discovery", include_in_schema=False)
    def discovery() -> Response:
        return signed(
            {
                "api_version": API_VERSION,
                "supported_identities": [
                    {"identity_type": IDENTITY, "identity_format": each} for each in (RAW, *FORMATS)
                ],
                "supported_subject_request_types": ["erasure"],
                "processor_certificate": f"https://{processor.domain}/v2/certificate.pem",
            }
        )

    @app.get("/v2/certificate.pem", include_in_schema=False)
    def certificate() -> Response:
        return Response(processor.certificate, media_type="application/x-pem-file")


def _add_requests(
    app: FastAPI, api: OutboundApi, path: str, parts: Parts, users: HashedUsers
) -> None:
    processor, signed, refused = parts

    def known(hashed: HashedId) -> Id | None:
        return _known(api, users, hashed)

    @app.post(path, include_in_schema=False)
    async def submit(request: Request) -> Response:
        given = request.headers.get("authorization")
        try:
            await run_in_threadpool(api.read, given, "submit", lambda connection, key: None)
            raw = await content_of(request, bodies.BODY)

            def work() -> dict[str, Any]:
                body, declared = bodies.parse(raw), api.state.declared
                subject = read(body, declared, processor.domain, api.hosts, known)
                return _taken(api, given, subject)

            document = await run_in_threadpool(work)
            api.state.wake.set()
        except AltEraserError as error:
            return refused(error)
        encoded = base64.b64encode(raw).decode()
        return signed(document | {"encoded_request": encoded, "api_version": API_VERSION}, 201)

    @app.get(f"{path}/{{subject_request_id}}", include_in_schema=False)
    def status(request: Request, subject_request_id: str) -> Response:
        def work(connection: Connection, key: Key) -> dict[str, Any]:
            row = _row(connection, key, subject_request_id)
            first = row if row.points_to is None else requests.row_of(connection, row.points_to)
            fields = _fields(row, subject_request_id)
            return _status(row, fields, STATUS[first.state], api.state.clock())

        try:
            return signed(api.read(request.headers.get("authorization"), "status", work))
        except AltEraserError as error:
            return refused(error)

    @app.delete(f"{path}/{{subject_request_id}}", include_in_schema=False)
    def cancel(request: Request, subject_request_id: str) -> Response:
        def work(connection: Connection, key: Key) -> dict[str, Any]:
            now = api.state.clock()
            row = _row(connection, key, subject_request_id)
            requests.cancel(connection, row.id, now)
            return _fields(row, subject_request_id) | {"received_time": written(now)}

        try:
            document = api.write(request.headers.get("authorization"), "submit", work)
            return signed(document | {"api_version": API_VERSION}, 202)
        except AltEraserError as error:
            return refused(error)


def _known(api: OutboundApi, users: HashedUsers, wanted: HashedId) -> Id | None:
    """Whose hash it is, among the users of the served version and those whom it has not learned
    yet.
    """
    version = api.serving.current()
    found = users.whose(version.id, lambda: erasing.people(version.held), wanted)
    if found is not None:
        return found
    with api.state.database.reading() as connection:
        files = [row.file for row in ingests.waiting(connection)]
    if not files:
        return None

    def ids() -> pa.Array:
        return erasing.people(erasing.learned(version.held, added_rows(api.state, version, files)))

    return users.whose(" ".join((version.id, *files)), ids, wanted)


def read(
    body: Any,
    declared: Declared,
    domain: str,
    hosts: Hosts,
    known: Callable[[HashedId], Id | None],
) -> ControllerRequest:
    """The request in ``body``; InvalidInput, which repeats nothing of it. ``known`` says whose hash
    it is, or None.
    """
    _check(body)
    name = body["subject_request_id"]
    callbacks = body.get("status_callback_urls", [])
    if not isinstance(callbacks, list) or len(callbacks) > MOST_CALLBACKS:
        raise _invalid("callbacks", f"status_callback_urls: expected at most {MOST_CALLBACKS}")
    given, extensions = _users(body["subject_identities"], declared), body.get("extensions", {})
    shown = [each.text if isinstance(each, HashedId) else each for each in given]
    sent = _extended(shown, extensions, domain) | {"regulation": body["regulation"]}
    urls = tuple(dict.fromkeys(hosts.checked(url) for url in callbacks))
    named, unknown = _named(given, known)
    somebody: Id = 0 if declared.users == "int64" else "0"
    whole = _extended(named or [somebody], extensions, domain)
    wanted = asked(whole | {"regulation": body["regulation"]}, declared)
    if not named:  # all else of it was looked at; there is nobody whom it is about
        wanted = Asked("users", (), regulation=wanted.regulation)
    return ControllerRequest(name, replace(wanted, unknown=unknown), sent, urls)


def _check(body: Any) -> None:
    """Nothing where the fields of ``body`` that are one value are as they should be."""
    if not isinstance(body, dict):
        raise _invalid("body", "expected a JSON object")
    if missing := sorted(NEEDED - body.keys()):
        raise _invalid("missing", f"missing: {', '.join(missing)}")
    if body.keys() - FIELDS:
        raise _invalid(
            "unknown_field", f"fields that are none; known are {', '.join(sorted(FIELDS))}"
        )
    name = body["subject_request_id"]
    if not isinstance(name, str) or not UUID4.fullmatch(name):
        raise _invalid("subject_request_id", "subject_request_id: expected a UUID v4, lower case")
    if body["subject_request_type"] != "erasure":
        raise _invalid("subject_request_type", "subject_request_type: only erasure is done here")
    if body["regulation"] not in REGULATIONS:
        raise _invalid("regulation", f"regulation: expected one of {', '.join(REGULATIONS)}")
    if not isinstance(body.get("submitted_time", ""), str):
        raise _invalid("submitted_time", "submitted_time: expected RFC 3339")
    if "submitted_time" in body:
        moment(body["submitted_time"], "submitted_time")


def _named(
    given: list[Id | HashedId], known: Callable[[HashedId], Id | None]
) -> tuple[list[Id], tuple[str, ...]]:
    """(the users whom identities name, the hashes among them that are nobody's)."""
    hashes = sorted({each for each in given if isinstance(each, HashedId)}, key=_text)
    found = {each: known(each) for each in hashes}
    users = [found[each] if isinstance(each, HashedId) else each for each in given]
    unknown = tuple(each.text for each in hashes if found[each] is None)
    return [each for each in users if each is not None], unknown


def _text(hashed: HashedId) -> str:
    return hashed.text


def _users(given: Any, declared: Declared) -> list[Id | HashedId]:
    """The users that identities name, as the state's ids are, or their hashes."""
    if not isinstance(given, list) or not given:
        raise _invalid("subject_identities", "subject_identities: expected a list with somebody")
    found: list[Id | HashedId] = []
    for each in given:
        wanted = {"identity_type", "identity_value", "identity_format"}
        if not isinstance(each, dict) or each.keys() != wanted:
            raise _invalid("subject_identities", f"an identity has {', '.join(sorted(wanted))}")
        form = each["identity_format"]
        if each["identity_type"] != IDENTITY or form not in (RAW, *FORMATS):
            words = ", ".join((RAW, *FORMATS))
            raise _invalid("identity_type", f"the identities known here are {IDENTITY}: {words}")
        value = each["identity_value"]
        if not isinstance(value, str):
            raise _invalid("type", "identity_value: expected text")
        if form != RAW:
            hashed = HashedId.read(form, value)
            if hashed is None:
                raise _invalid("hash", f"identity_value: expected a {form} in hexadecimal digits")
            found.append(hashed)
        elif declared.users == "int64":
            if not INTEGER.fullmatch(value):
                raise _invalid("id_type", "identity_value: the ids here are whole numbers")
            found.append(int(value))
        else:
            found.append(value)
    return found


def _extended(users: list[Any], extensions: Any, domain: str) -> dict[str, Any]:
    """Everything of ``users``, or what our part of ``extensions`` narrows it to: ``items``, or
    ``since`` and ``until`` of one user. What is under other domains is not for us.
    """
    if not isinstance(extensions, dict):
        raise _invalid("extensions", "extensions: expected an object")
    mine = extensions.get(domain)
    if mine is None:
        return {"users": users}
    if not isinstance(mine, dict) or not mine or mine.keys() - {"items", "since", "until"}:
        raise _invalid("extensions", f"extensions.{domain}: expected items, or since and until")
    if "items" in mine:
        if mine.keys() != {"items"} or not isinstance(mine["items"], list):
            raise _invalid("extensions", f"extensions.{domain}: items is a list, and stands alone")
        return {"pairs": [[user, item] for user in users for item in mine["items"]]}
    if len(users) != 1:
        raise _invalid("extensions", "since and until go with one identity")
    return {"user": users[0], **mine}


def _taken(api: OutboundApi, given: str | None, subject: ControllerRequest) -> dict[str, Any]:
    """Take the request in, and who is to be called back about it: one transaction."""
    sent = json.dumps([subject.sent, subject.callbacks], sort_keys=True).encode()

    def work(connection: Connection, key: Key) -> dict[str, Any]:
        now = api.state.clock()
        sender = requests.Sender(key.id, f"{FORM}:{subject.id}", sent, key.may("verify"))
        found, repeated = requests.submit(
            connection, subject.wanted, sender, secret=api.state.hashing, now=now
        )
        row = requests.row_of(connection, found["request_id"])
        fields = _fields(row, subject.id)
        if not repeated:
            connection.execute(
                outside_names.insert().values(
                    protocol=FORM, key_id=key.id, given=subject.id, request=row.id
                )
            )
            for url in subject.callbacks:
                subscriptions.subscribe(
                    connection, FORM, url, now, request=row.id, told="pending", fields=fields
                )
        return fields | {"received_time": row.received, "expected_completion_time": row.due}

    document: dict[str, Any] = api.write(given, "submit", work)
    return document


def _row(connection: Connection, key: Key, given: str) -> Any:
    """The request that the sender calls ``given``; NotFound, also where another sender does."""
    found = connection.execute(
        select(outside_names.c.request).where(
            outside_names.c.protocol == FORM,
            outside_names.c.key_id == key.id,
            outside_names.c.given == given,
        )
    ).scalar_one_or_none()
    if found is None:
        raise NotFound("there is no such request", code="request")
    return requests.row_of(connection, found)


def _fields(row: Any, given: str) -> dict[str, str]:
    return {"controller_id": row.asserted_by, "subject_request_id": given}


def _status(row: Any, fields: Mapping[str, Any], status: str, now: datetime) -> dict[str, Any]:
    expected = row.due
    if row.state == states.FAILED:
        expected = max(expected, written(now + timedelta(days=7)))
    return {
        **fields,
        "api_version": API_VERSION,
        "request_status": status,
        "expected_completion_time": expected,
    }


def _invalid(code: str, message: str) -> InvalidInput:
    return InvalidInput(message, code=code)
