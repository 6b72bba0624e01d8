"""What receipts stand on: one form of JSON, the tree of RFC 9162, signatures over type and body."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.errors import Conflict, IntegrityError, InvalidInput
from alteraser.ledger import log, merkle
from alteraser.ledger.canonical import canonical, parsed
from alteraser.ledger.database import Database
from alteraser.ledger.envelope import Signer, decoded, encoded, opened
from alteraser.runtime.durable import watched
from alteraser.service.state import State

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


@pytest.mark.parametrize("size", [*range(1, 22), 64, 70])
def test_a_tree_of_groups_is_the_tree_of_all(size: int) -> None:
    """Roots and proofs from groups of four alone."""
    leaves, tree = LEAVES[:size], merkle.Tree(group=4)
    for each in leaves:
        tree.add(each)
    assert tree.size == size
    assert tree.root == merkle.root(leaves)
    taken_up = merkle.Tree(tree.groups, tree.rest, group=4)
    for index in range(size):
        own = leaves[index // 4 * 4 : index // 4 * 4 + 4]
        assert taken_up.inclusion(index, own) == merkle.inclusion(index, leaves)
    assert merkle.Tree().root == merkle.root([])


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

    def rows(tree: merkle.Tree, *names: str) -> list[dict]:
        statements = [(name, {"request": name}) for name in names]
        return log.grown(tree, log.signed(statements, signer), signer, "here", now)

    early = rows(merkle.Tree(), "a", "b")
    late = rows(merkle.Tree(), "c")
    with database.writing() as connection:
        log.append(connection, early)
    with pytest.raises(Conflict, match="grew meanwhile"), database.writing() as connection:
        log.append(connection, late)
    with database.writing() as connection:
        log.append(connection, rows(log.tree(connection), "c"))
        log.export(connection, tmp_path, signer.public)
    whole = log.Log(tmp_path)
    assert whole.head["size"] == 3
    assert whole.leaves[:2] == [bytes.fromhex(row["hash"]) for row in early]
    database.close()


class Writer:
    """A ledger to which receipts are added, and the folder of its log."""

    def __init__(self, root) -> None:
        self.database = Database.create(root / "ledger.sqlite")
        self.folder, self.signer = root / "log", Signer.make(root / "key")
        self.folder.mkdir()
        self._now = datetime(2026, 3, 1, tzinfo=UTC)

    def add(self, *names: str) -> None:
        statements = [(name, {"request": name}) for name in names]
        with self.database.writing() as connection:
            tree = log.tree(connection)
            signed = log.signed(statements, self.signer)
            log.append(connection, log.grown(tree, signed, self.signer, "here", self._now))

    def export(self, connection=None, **how: bool) -> None:
        if connection is not None:
            log.export(connection, self.folder, self.signer.public, **how)
            return
        with self.database.reading() as found:
            self.export(found, **how)

    @property
    def shown(self) -> int:
        """Leaves in the folder, which is in order."""
        return len(log.Log(self.folder).leaves)


def test_a_log_of_groups_gives_the_receipts_of_one_without(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(merkle, "GROUP", 4)
    writer, names = Writer(tmp_path), [f"r{number}" for number in range(23)]
    for start, stop in ((0, 3), (3, 4), (4, 13), (13, 14), (14, 23)):
        writer.add(*names[start:stop])
    with writer.database.reading() as connection:
        leaves = log.leaf_hashes(connection)
        for place, name in enumerate(names):
            found = json.loads(log.receipt(connection, name, writer.signer.public) or b"")
            size = log.checkpoint(found["log"]["checkpoint"], writer.signer.public)["size"]
            proof = [each.hex() for each in merkle.inclusion(place, leaves[:size])]
            assert found["log"]["inclusion"] == proof
        assert log.tree(connection).root == merkle.root(leaves)
        assert log.tree(connection, 9).root == merkle.root(leaves[:9])
    writer.database.close()


def test_a_stale_worker_takes_nothing_back(tmp_path) -> None:
    """It read the ledger before another one went on, and writes what it read."""
    writer = Writer(tmp_path)
    writer.add("a", "b")
    with writer.database.reading() as stale:
        assert log.size(stale) == 2
        writer.add("c", "d")
        writer.export()
        before = {path.name: path.read_bytes() for path in writer.folder.iterdir()}
        for anew in (False, True):
            writer.export(stale, anew=anew)
            after = {path.name: path.read_bytes() for path in writer.folder.iterdir()}
            assert after == before
    writer.database.close()


def test_stopped_at_each_operation_while_another_goes_on(tmp_path) -> None:
    """Wherever it was: the log is shown whole in the end, and no leaf is ever missing again."""
    writer, names = Writer(tmp_path), iter(f"r{number}" for number in range(1000))
    writer.add(next(names))
    writer.export()
    count = 1
    for stopped_at in range(9):
        seen, inside = 0, False
        writer.add(next(names))
        count += 1

        def meanwhile(operation: str, place: object, k: int = stopped_at) -> None:
            nonlocal seen, inside, count
            if inside:
                return
            seen += 1
            if seen == k + 1:
                inside = True
                writer.add(next(names), next(names))
                count += 2
                writer.export()
                assert writer.shown == count
                inside = False

        with watched(meanwhile):
            exported(writer)
        assert writer.shown == count
    writer.database.close()


def exported(writer: Writer) -> None:
    """As a state does it."""
    state = State(SimpleNamespace(log=writer.folder), writer.database)  # type: ignore[arg-type]
    state.__dict__["signer"] = writer.signer
    state.export_log()


def test_a_damaged_file_of_leaves_is_mended(tmp_path) -> None:
    writer = Writer(tmp_path)
    writer.add("a", "b", "c")
    writer.export()
    path = writer.folder / log.LEAVES
    whole = path.read_bytes()
    for number, content in enumerate((b"", whole[:70], whole[:-1] + b"x" * 90, b"\x00" * 400)):
        path.write_bytes(content)
        writer.export(anew=True)
        assert writer.shown == 3 + number
        writer.add(f"more {number}")
        writer.export()  # in its place, whatever was left behind the last one
        with writer.database.reading() as connection:
            assert log.Log(writer.folder).leaves == log.leaf_hashes(connection)
    writer.database.close()
