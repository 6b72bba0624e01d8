"""The record of whom a model has erased: hashes that know them again, and nobody else."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.data.erased import KEY_BYTES, Erased, admit, encode, erasing, fingerprint
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, NotFound, RefusedByPolicy

ids = st.integers(-(2**63), 2**63 - 1) | st.text(min_size=1).filter(
    lambda text: max(text) < "\ud800"
)


@given(st.lists(ids, unique_by=lambda value: (type(value), value)))
def test_ids_of_every_type_are_told_apart(values: list[int | str]) -> None:
    assert len({encode(value) for value in values}) == len(values)


def test_hashes_are_hmac_sha256_of_the_documented_bytes() -> None:
    record = Erased().erasing(["tea"], [7], [("ann", 9)])
    (key,), (group,) = record.keys, record.groups
    assert len(key) == KEY_BYTES
    assert group.key == fingerprint(key)

    def mac(message: bytes) -> str:
        return hmac.new(key, message, hashlib.sha256).hexdigest()[:32]

    seven, nine = (b"i" + number.to_bytes(8, "big") for number in (7, 9))
    assert group.users == {mac(b"Ustea")}
    assert group.items == {mac(b"I" + seven)}
    assert group.pairs == {mac(b"Usann"): {mac(b"P" + (4).to_bytes(8, "big") + b"sann" + nine)}}


@given(
    st.sets(st.tuples(st.integers(0, 6), st.integers(0, 5)), min_size=1),
    st.sets(st.tuples(st.integers(0, 6), st.integers(0, 5))),
    st.sets(st.tuples(st.integers(0, 9), st.integers(0, 8)), min_size=1),
)
def test_exactly_what_was_erased_is_known_again(
    pairs: set[tuple[int, int]], gone: set[tuple[int, int]], later: set[tuple[int, int]]
) -> None:
    data = Interactions.from_pairs(sorted(pairs))
    removal = data.remove(sorted(gone)) if gone else data.remove([(99, 99)])
    record = erasing(Erased(), removal)
    now = Interactions.from_pairs(sorted(later))
    found = record.returned(now)
    left = {u for u, _ in pairs - gone}
    whole = {u for u, _ in pairs} - left
    expected = {(u, v) for u, v in later if u in whole or ((u, v) in pairs & gone)}
    rows = found.places
    again = zip(
        now.users.ids_of(now.user_rows[rows]).to_pylist(),
        now.items.ids_of(now.indices[rows]).to_pylist(),
        strict=True,
    )
    assert set(again) == expected
    assert found.users == len({u for u, _ in later} & whole)
    restored = Erased.from_document(json.loads(json.dumps(record.to_document())), record.keys)
    assert restored == record
    assert not record.without(found).returned(now)


def test_items_that_were_asked_for_whole_stay_away_from_everybody() -> None:
    data = Interactions.from_pairs([(1, "a"), (1, "b"), (2, "b")])
    removal = data.remove(["b"], whole_items=True)
    record = erasing(Erased(), removal, ["b"])
    again = record.returned(Interactions.from_pairs([(1, "a"), (3, "b"), (4, "c")]))
    assert (len(again), again.items, again.users) == (1, 1, 0)
    # the item lost everybody, and nobody asked for that
    listened = data.remove([(1, "b"), (2, "b")])
    record = erasing(Erased(), listened)
    assert not record.returned(Interactions.from_pairs([(3, "b")]))


def test_a_lost_key_locks_what_was_erased_under_it() -> None:
    first = Erased().erasing([1])
    later = Erased(first.groups).erasing([2])  # the key was not there
    data = Interactions.from_pairs([(1, 1), (2, 2), (3, 3)])
    assert later.locked
    with pytest.raises(NotFound, match="--readmit"):
        admit(later, data, readmit=False)
    assert len(admit(later, data, readmit=True)) == 1
    both = Erased(later.groups, later.keys + first.keys)
    with pytest.raises(RefusedByPolicy, match=r"2 of the interactions .* 2 user\(s\) .* --readmit"):
        admit(both, data, readmit=False)


@pytest.mark.parametrize(
    "document",
    [{}, [[]], [{"key": "00"}], [{"key": "0" * 32, "users": ["x"], "items": [], "pairs": {}}]],
)
def test_a_record_of_another_form_is_refused(document: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="erased"):
        Erased.from_document(document)
    from alteraser.data.erased import read_record

    (tmp_path / "als.npz.erased.json").write_text(json.dumps({"erased": document}))
    with pytest.raises(IntegrityError, match="record of what was erased"):
        read_record(tmp_path / "als.npz")


def test_a_stream_remembers_whom_it_erased_and_forgets_that_it_did() -> None:
    import alteraser as ae
    from alteraser.engines.session import Stream

    data = Interactions.from_pairs([(u, v) for u in range(8) for v in range(u % 3, 8, 3)])
    model = ae.ENMF(factors=2, regularization=0.1, missing_weight=0.1).fit(data)
    stream = Stream(model, data)
    stream.forget([3], whole_users=True)
    stream.forget([(1, 4), (2, 5)])
    stream.forget(items=[6])
    stream.give_back([(2, 5)])
    found = stream.publish().erased.returned(data)
    again = set(
        zip(data.user_rows[found.places].tolist(), data.indices[found.places].tolist(), strict=True)
    )
    assert again == {
        (u, v)
        for u, v in zip(data.user_rows.tolist(), data.indices.tolist(), strict=True)
        if u == 3 or v == 6 or (u, v) == (1, 4)
    }
    assert (found.users, found.items) == (1, 1)
