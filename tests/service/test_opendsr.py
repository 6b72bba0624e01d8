"""OpenDSR: what a controller sends and gets, signatures that anybody can check, and callbacks that
tell every change."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from alteraser.errors import InvalidInput
from alteraser.ledger import receipts, states
from alteraser.service.opendsr import STATUS, Processor
from alteraser.service.outbound import Hosts
from alteraser.service.outside import Outside

from .certificates import Authority
from .conftest import BASE, STRANGE, everything
from .test_callbacks import Ear, ear  # noqa: F401  # the fixture
from .test_http import Site, running

DOMAIN = "erase.example"


@pytest.fixture
def site(service: Any, ear: Ear, tmp_path: Path) -> Iterator[Site]:  # noqa: F811
    processor = Processor(DOMAIN, *Authority(tmp_path).issue(DOMAIN))
    outside = Outside(Hosts([f"127.0.0.1:{ear.port}=127.0.0.1"]), processor)
    with running(service("knn"), outside) as found:
        found.relay = outside.relay(found.service.state)  # type: ignore[attr-defined]
        yield found


def checked(site: Site, headers: Any, content: bytes) -> None:
    """The signature is the certificate's, of the raw body."""
    pem = site.client.get("/v2/certificate.pem").content
    for name in ("opendsr", "opengdpr"):
        assert headers[f"x-{name}-processor-domain"] == DOMAIN
        signed(pem, base64.b64decode(headers[f"x-{name}-signature"]), content)


def signed(pem: bytes, signature: bytes, content: bytes) -> None:
    found = x509.load_pem_x509_certificate(pem)
    assert found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == DOMAIN
    key = found.public_key()

    def verify(body: bytes) -> None:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, body, ec.ECDSA(SHA256()))
        else:
            assert isinstance(key, rsa.RSAPublicKey)
            key.verify(signature, body, padding.PKCS1v15(), SHA256())

    verify(content)
    with pytest.raises(InvalidSignature):
        verify(content + b" ")


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_signatures_of_both_kinds(tmp_path: Path, kind: str) -> None:
    processor = Processor(DOMAIN, *Authority(tmp_path).issue(DOMAIN, kind))
    signature = base64.b64decode(processor.headers(b"{}")["X-OpenDSR-Signature"])
    signed(processor.certificate, signature, b"{}")


def body(*users: int, **more: Any) -> dict[str, Any]:
    return {
        "regulation": "gdpr",
        "subject_request_id": str(uuid.uuid4()),
        "subject_request_type": "erasure",
        "submitted_time": "2026-11-01T12:00:00Z",
        "subject_identities": [
            {
                "identity_type": "controller_customer_id",
                "identity_value": str(user),
                "identity_format": "raw",
            }
            for user in users
        ],
        **more,
    }


def send(site: Site, document: Any, path: str = "/v2/requests", key: str | None = None) -> Any:
    return site.client.post(path, json=document, headers=site.headers(key))


def test_discovery(site: Site) -> None:
    answer = site.client.get("/v2/discovery")
    checked(site, answer.headers, answer.content)
    found = answer.json()
    assert found["processor_certificate"] == f"https://{DOMAIN}/v2/certificate.pem"
    assert found["supported_subject_request_types"] == ["erasure"]
    assert found["supported_identities"] == [
        {"identity_type": "controller_customer_id", "identity_format": each}
        for each in ("raw", "sha256", "sha1", "md5")
    ]


def test_from_a_request_to_the_last_callback(site: Site, ear: Ear) -> None:  # noqa: F811
    path = "/v2/requests"
    url = f"http://127.0.0.1:{ear.port}/status"
    document = body(BASE + 5, status_callback_urls=[url], regulation="ccpa")
    name = document["subject_request_id"]
    answer = send(site, document, path)
    assert answer.status_code == 201, answer.text
    checked(site, answer.headers, answer.content)
    found = answer.json()
    sent = base64.b64decode(found["encoded_request"])
    assert json.loads(sent) == document
    assert found["subject_request_id"] == name
    assert found["expected_completion_time"] > found["received_time"]
    again = send(site, document, path)
    assert (again.status_code, again.json()) == (201, found)
    status = site.get(f"{path}/{name}")
    checked(site, status.headers, status.content)
    assert status.json()["request_status"] == "pending"
    site.service.work()
    assert site.get(f"{path}/{name}").json()["request_status"] == "completed"
    assert (BASE + 5) not in {user for user, _ in site.service.pairs}
    site.relay.once()
    told = ear.documents
    assert [each["request_status"] for each in told] == ["in_progress", "completed"]
    for each, (_, headers, raw) in zip(told, ear.heard, strict=True):
        checked(site, headers, raw)
        assert each["subject_request_id"] == name
        assert each["status_callback_url"] == url
        assert each["controller_id"] == found["controller_id"]
        assert str(BASE + 5) not in raw.decode()
    (request,) = site.get("/v1/requests").json()["requests"]
    assert request["regulation"] == "ccpa"
    site.relay.once()
    assert len(ear.heard) == 2
    for alias in ("/opendsr_requests", "/opengdpr_requests"):
        assert site.get(f"{alias}/{name}").json() == site.get(f"{path}/{name}").json()
        assert send(site, document, alias).json() == found


def test_cancelling(site: Site, ear: Ear) -> None:  # noqa: F811
    url = f"http://127.0.0.1:{ear.port}/status"
    document = body(BASE + 5, status_callback_urls=[url])
    place = f"/v2/requests/{document['subject_request_id']}"
    send(site, document)
    answer = site.client.delete(place, headers=site.headers())
    assert answer.status_code == 202
    checked(site, answer.headers, answer.content)
    assert answer.json()["subject_request_id"] == document["subject_request_id"]
    assert site.get(place).json()["request_status"] == "cancelled"
    too_late = site.client.delete(place, headers=site.headers())
    assert (too_late.status_code, too_late.json()["error"]["errors"][0]["reason"]) == (
        400,
        "too_late",
    )
    site.relay.once()
    assert [each["request_status"] for each in ear.documents] == ["cancelled"]


def test_a_repetition_of_another_request_is_told_too(site: Site, ear: Ear) -> None:  # noqa: F811
    url = f"http://127.0.0.1:{ear.port}/status"
    site.post({"users": [BASE + 5]}, "first")
    document = body(BASE + 5, status_callback_urls=[url])
    send(site, document)
    place = f"/v2/requests/{document['subject_request_id']}"
    assert site.get(place).json()["request_status"] == "pending"
    site.service.work()
    assert site.get(place).json()["request_status"] == "completed"
    site.relay.once()
    assert [each["request_status"] for each in ear.documents] == ["in_progress", "completed"]


def test_other_senders_do_not_see_it(site: Site) -> None:
    document = body(BASE + 5)
    mine, other = (site.key("submit", "status", "verify") for _ in range(2))
    assert send(site, document, key=mine).status_code == 201
    place = f"/v2/requests/{document['subject_request_id']}"
    assert site.get(place, mine).status_code == 200
    unknown = site.get(f"/v2/requests/{uuid.uuid4()}", other)
    assert unknown.status_code == 400
    assert site.get(place, other).content == unknown.content
    assert site.client.delete(place, headers=site.headers(other)).content == unknown.content
    assert site.get(place, "alt_0_0").status_code == 401
    assert send(site, document, key=site.key("status")).status_code == 403
    unvouched = body(BASE + 6)
    assert send(site, unvouched, key=site.key("submit")).status_code == 201
    site.service.work()
    assert (BASE + 6) in {user for user, _ in site.service.pairs}


def test_items_and_windows_by_our_extension(site: Site) -> None:
    user, item = min(everything())
    time = everything()[user, item]
    before = site.service.pairs
    document = body(user, extensions={DOMAIN: {"items": [item]}, "other.example": {"x": 1}})
    assert send(site, document).status_code == 201
    site.service.work()
    assert before - site.service.pairs == {(user, item)}
    later = {pair for pair, at in everything().items() if pair[0] == BASE + 7}
    start = sorted(everything()[pair] for pair in later)[2]
    assert time < start
    window = body(BASE + 7, extensions={DOMAIN: {"since": start}})
    assert send(site, window).status_code == 201
    before = site.service.pairs
    site.service.work()
    gone = {pair for pair in later if everything()[pair] >= start}
    assert before - site.service.pairs == gone
    assert gone < later


def identity(**more: Any) -> list[dict[str, Any]]:
    return [body(BASE)["subject_identities"][0] | more]


def hashed(*users: Any, form: str = "sha256", **more: Any) -> dict[str, Any]:
    """A request that names users by hashes."""
    named = [
        {
            "identity_type": "controller_customer_id",
            "identity_value": hashlib.new(form, str(user).encode()).hexdigest(),
            "identity_format": form,
        }
        for user in users
    ]
    return body(0, **more) | {"subject_identities": named}


@pytest.mark.parametrize("form", ["sha256", "sha1", "md5"])
def test_users_by_a_hash_of_their_ids(site: Site, form: str) -> None:
    """The same goes as by the ids themselves; a hash of nobody's is a request about nobody."""
    before = site.service.pairs
    assert send(site, hashed(BASE + 5, BASE + 6, 12345, form=form)).status_code == 201
    upper = hashed(BASE + 7, form=form)
    value = upper["subject_identities"][0]["identity_value"].upper()
    upper["subject_identities"][0]["identity_value"] = value
    assert send(site, upper).status_code == 201
    item = min(item for user, item in before if user == BASE + 8)
    narrow = hashed(BASE + 8, form=form, extensions={DOMAIN: {"items": [item]}})
    assert send(site, narrow).status_code == 201
    mixed = hashed(BASE + 9, form=form)
    mixed["subject_identities"] += body(BASE + 10)["subject_identities"]
    assert send(site, mixed).status_code == 201
    site.service.work()
    gone = {BASE + 5, BASE + 6, BASE + 7, BASE + 9, BASE + 10}
    assert before - site.service.pairs == {
        pair for pair in before if pair[0] in gone or pair == (BASE + 8, item)
    }
    shown = site.get("/v1/requests").json()["requests"]
    assert [each["counts"]["absent"] for each in shown] == [1, 0, 0, 0]
    assert [each["counts"]["asked"] for each in shown] == [3, 1, 1, 2]


def test_a_hash_of_nobodys(site: Site) -> None:
    """It is taken in, answered and done like any other, and nobody is taken for somebody else's
    repetition."""
    before, version = site.service.pairs, site.service.state.load_serving().id
    known, first, second = hashed(BASE + 5), hashed(1), hashed(2)
    windows = [hashed(3, extensions={DOMAIN: {"since": 7}}), hashed(3)]
    answers = [send(site, each) for each in (first, second, *windows)]
    assert {each.status_code for each in answers} == {201}
    assert answers[0].json().keys() == send(site, known).json().keys()
    site.client.delete(f"/v2/requests/{known['subject_request_id']}", headers=site.headers())
    assert [each["status"] for each in site.get("/v1/requests").json()["requests"]] == [
        *["queued"] * 3,
        "duplicate_of",
        "cancelled",
    ]
    site.service.work()
    for each in (first, second, *windows):
        place = f"/v2/requests/{each['subject_request_id']}"
        assert site.get(place).json()["request_status"] == "completed"
    found = [each["request_id"] for each in site.get("/v1/requests").json()["requests"][:3]]
    for name in found:
        receipt = site.get(f"/v1/requests/{name}/receipt").content
        counts = receipts.check(receipt).predicate["counts"]
        assert (counts["asked"], counts["matched"], counts["absent"]) == (1, 0, 1)
    assert (site.service.pairs, site.service.state.load_serving().id) == (before, version)


def test_a_hash_sent_again_after_who_it_was_is_gone(site: Site) -> None:
    document = hashed(BASE + 5)
    first = send(site, document).json()
    site.service.work()
    again = send(site, document)
    assert (again.status_code, again.json()) == (201, first)
    assert site.taken == 1


def test_a_hash_of_somebody_who_is_new(site: Site) -> None:
    """Whom no version has learned yet."""
    rows = {"interactions": [{"user": 77, "item": 103, "timestamp": 978_400_000}]}
    assert site.post(rows, path="/v1/interactions").json()["accepted"] == 1
    assert send(site, hashed(77)).status_code == 201
    site.service.work()
    (shown,) = site.get("/v1/requests").json()["requests"]
    assert (shown["counts"]["matched"], shown["status"]) == (1, "completed")
    assert 77 not in {user for user, _ in site.service.pairs}


def test_hashes_of_texts_are_of_their_bytes(service: Any, tmp_path: Path) -> None:
    """One form of a character is not the other, as with the ids themselves."""
    processor = Processor(DOMAIN, *Authority(tmp_path).issue(DOMAIN))
    with running(service("text"), Outside(Hosts(()), processor)) as site:
        for name in STRANGE:
            assert send(site, hashed(name)).status_code == 201
        site.service.work()
        left = {user for user, _ in site.service.pairs}
        assert left == {f"person-{n}" for n in range(20)}


WRONG: list[tuple[Any, str]] = [
    ([], "body"),
    ({}, "missing"),
    (body(BASE, subject="all"), "unknown_field"),
    (body(BASE, subject_request_id="1"), "subject_request_id"),
    (body(BASE, subject_request_id=str(uuid.uuid1())), "subject_request_id"),
    (body(BASE, subject_request_id=str(uuid.uuid4()).upper()), "subject_request_id"),
    (body(BASE, subject_request_type="access"), "subject_request_type"),
    (body(BASE, regulation="lgpd"), "regulation"),
    (body(BASE, submitted_time="yesterday"), "invalid_input"),
    (body(BASE, submitted_time=7), "submitted_time"),
    (body(), "subject_identities"),
    (body(BASE, subject_identities="all"), "subject_identities"),
    (body(BASE, subject_identities=[{}]), "subject_identities"),
    (body(BASE, subject_identities=identity(identity_type="email")), "identity_type"),
    (body(BASE, subject_identities=identity(identity_format="sha512")), "identity_type"),
    (body(BASE, subject_identities=identity(identity_format=["raw"])), "identity_type"),
    (body(BASE, subject_identities=identity(identity_format="sha256")), "hash"),
    (body(BASE, subject_identities=identity(identity_format="md5", identity_value="")), "hash"),
    (hashed(1, extensions={DOMAIN: {"items": ["tea"]}}), "id_type"),
    (hashed(1, 2, extensions={DOMAIN: {"since": 1}}), "extensions"),
    (body(BASE, subject_identities=identity(identity_value=BASE)), "type"),
    (body(BASE, subject_identities=identity(identity_value="x")), "id_type"),
    (body(BASE, subject_identities=identity(identity_value="1.0")), "id_type"),
    (body(BASE, subject_identities=identity(extra=1)), "subject_identities"),
    (body(BASE, status_callback_urls=["https://evil.example/"]), "callback_host"),
    (body(BASE, status_callback_urls="x"), "callbacks"),
    (body(BASE, status_callback_urls=["x"] * 11), "callbacks"),
    (body(BASE, extensions=[]), "extensions"),
    (body(BASE, extensions={DOMAIN: {}}), "extensions"),
    (body(BASE, extensions={DOMAIN: {"item": [1]}}), "extensions"),
    (body(BASE, extensions={DOMAIN: {"items": []}}), "scope_empty"),
    (body(BASE, extensions={DOMAIN: {"items": [1], "since": 1}}), "extensions"),
    (body(BASE, BASE + 1, extensions={DOMAIN: {"since": 1}}), "extensions"),
]


def test_what_is_refused(site: Site) -> None:
    for document, reason in WRONG:
        answer = send(site, document)
        checked(site, answer.headers, answer.content)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["errors"][0]["reason"]) == (
            400,
            400,
            reason,
        ), document
        assert str(BASE) not in answer.text
    taken = body(BASE + 5)
    assert send(site, taken).status_code == 201
    other = taken | {"subject_identities": body(BASE + 6)["subject_identities"]}
    assert send(site, other).json()["error"]["errors"][0]["reason"] == "key_reused"
    assert site.taken == 1


def test_every_status_has_a_word() -> None:
    assert STATUS.keys() == set(states.STATES)
    assert set(STATUS.values()) == {"pending", "in_progress", "completed", "cancelled"}


def test_certificates_that_are_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue(DOMAIN)
    _, other = authority.issue("other.example", "rsa")
    for given, words in (
        ((DOMAIN, certificate, other), "is not the certificate of"),
        ((DOMAIN, key, key), "in PEM"),
        ((DOMAIN, tmp_path / "none", key), "in PEM"),
        (("https://erase.example", certificate, key), "--opendsr-domain"),
    ):
        with pytest.raises(InvalidInput, match=words):
            Processor(*given)
    with pytest.raises(InvalidInput, match="signed by itself"):
        Processor(DOMAIN, authority.certificate, authority.key)
    with pytest.raises(InvalidInput, match="go together"):
        Outside.of((), DOMAIN, None, None)


def test_there_is_none_unless_it_was_asked_for(service: Any) -> None:
    with running(service("knn")) as site:
        assert site.client.get("/v2/discovery").status_code == 404
        assert send(site, body(BASE)).status_code == 404
