"""What receipts stand on: one form of JSON, the tree of RFC 9162, signatures over type and body."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.errors import Conflict, IntegrityError, InvalidInput
from alteraser.ledger import log, merkle
from alteraser.ledger.canonical import canonical, parsed
from alteraser.ledger.database import Database
from alteraser.ledger.envelope import Signer, decoded, encoded, opened

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.text()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-1e15, 1e15),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_one_form_that_reads_back(value: object) -> None:
    written = canonical(value)
    assert canonical(json.loads(written)) == written
    assert parsed(written, "it") == json.loads(written)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back_to_the_bit(value: float) -> None:
    assert float(canonical(value)) == value
    assert not math.copysign(1, float(canonical(0.0 * value))) < 0


def test_the_example_of_the_standard() -> None:
    """RFC 8785, 3.2.2 and 3.2.3: numbers, escapes, and keys by UTF-16 code units."""
    given_text = r"""{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
      "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"""
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(json.loads(given_text)).decode() == expected
    keys = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\u00f6": 7}
    assert list(json.loads(canonical(keys)).values()) == [2, 4, 6, 7, 1, 5, 3]


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53, {1: 2}, b"x", "\ud800"])
def test_what_has_no_form(value: object) -> None:
    with pytest.raises(InvalidInput, match="JSON"):
        canonical(value)


@pytest.mark.parametrize(
    "content",
    [b'{"a": 1}', b'{"b":1,"a":1}', b"1.0", b'{"a":1,"a":1}', b"[", b'"\xff"', b"[" * 9999],
)
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError, match="it: "):
        parsed(content, "it")


# ---------------------------------------------------------------- the tree


def brute(leaves: list[bytes]) -> bytes:
    """MTH as RFC 9162, 2.1.1 defines it."""
    if len(leaves) == 1:
        return leaves[0]
    split = max(2**k for k in range(20) if 2**k < len(leaves))
    return merkle.node(brute(leaves[:split]), brute(leaves[split:]))


LEAVES = [merkle.leaf(bytes([i % 256, i // 256])) for i in range(70)]


@pytest.mark.parametrize("size", range(1, 40))
def test_proofs_of_every_leaf_and_every_beginning(size: int) -> None:
    leaves = LEAVES[:size]
    root = merkle.root(leaves)
    assert root == brute(leaves)
    for index in range(size):
        proof = merkle.inclusion(index, leaves)
        assert merkle.includes(leaves[index], index, size, proof, root)
        assert len(proof) <= (size - 1).bit_length()
        assert not merkle.includes(LEAVES[-1], index, size, proof, root)
        for wrong in {0, index - 1, index + 1, size - 1, size} - {index}:
            assert not merkle.includes(leaves[index], wrong, size, proof, root)
        for place in range(len(proof)):
            for other in (
                [*proof[:place], LEAVES[-1], *proof[place + 1 :]],
                proof[:place] + proof[place + 1 :],
            ):
                assert not merkle.includes(leaves[index], index, size, other, root)
    for first in range(1, size + 1):
        proof, old = merkle.consistency(first, leaves), merkle.root(leaves[:first])
        assert merkle.consistent(first, size, old, root, proof)
        assert not merkle.consistent(first, size, LEAVES[-1], root, proof)
        assert not merkle.consistent(first, size, old, LEAVES[-1], proof)
        if proof:
            assert not merkle.consistent(first, size, old, root, [*proof[:-1], LEAVES[-1]])
            assert not merkle.consistent(first, size, old, root, proof[:-1])


def test_an_edited_log_is_no_continuation() -> None:
    old = merkle.root(LEAVES[:20])
    for edited in (LEAVES[:5] + LEAVES[6:40], [*LEAVES[:5], LEAVES[6], LEAVES[5], *LEAVES[7:40]]):
        assert not merkle.consistent(
            20, len(edited), old, merkle.root(edited), merkle.consistency(20, edited)
        )


# ---------------------------------------------------------------- signatures


def test_a_signature_is_of_type_and_body() -> None:
    signer, other = Signer(bytes(32)), Signer(bytes(range(32)))
    envelope = signer.sign("application/a", b"body")
    assert opened(envelope, "application/a", signer.public, "it") == b"body"
    swapped = envelope | {"signatures": signer.sign("application/b", b"body")["signatures"]}
    cases = {
        "type": ({**envelope, "payloadType": "application/b"}, signer.public),
        "key": (envelope, other.public),
        "signature": (swapped, signer.public),
        "envelope": (envelope | {"more": 1}, signer.public),
    }
    cases["signature "] = (envelope | {"payload": encoded(b"bodY")}, signer.public)
    for step, (given_envelope, key) in cases.items():
        with pytest.raises(IntegrityError) as caught:
            opened(given_envelope, "application/a", key, "it")
        assert caught.value.details["step"] == step.strip()


def test_base64_has_one_form() -> None:
    for text in ("YQ", "YR==", "YQ==\n", "Y Q==", None):
        with pytest.raises(ValueError, match="base64"):
            decoded(text)


def test_nothing_is_put_at_the_end_of_a_log_that_grew_meanwhile(tmp_path) -> None:
    database = Database.create(tmp_path / "ledger.sqlite")
    signer, now = Signer.make(tmp_path / "key"), datetime(2026, 3, 1, tzinfo=UTC)

    def rows(leaves: list[bytes], *names: str) -> list[dict]:
        statements = [(name, {"request": name}) for name in names]
        return log.grown(leaves, log.signed(statements, signer), signer, "here", now)

    early = rows([], "a", "b")
    late = rows([], "c")
    with database.writing() as connection:
        log.append(connection, early)
    with pytest.raises(Conflict, match="grew meanwhile"), database.writing() as connection:
        log.append(connection, late)
    with database.writing() as connection:
        log.append(connection, rows(log.leaf_hashes(connection), "c"))
        log.export(connection, tmp_path, signer.public)
    whole = log.Log(tmp_path)
    assert whole.head["size"] == 3
    assert whole.leaves[:2] == [bytes.fromhex(row["hash"]) for row in early]
    database.close()
