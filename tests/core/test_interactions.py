"""Interactions against plain sets of pairs: what is kept, what is removed, and what a digest
depends on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput

Pairs = list[tuple[int, int]]

PAIRS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 7)), min_size=1, max_size=40, unique=True
)


def pairs_of(data: Interactions) -> set[tuple[int, int]]:
    table = data.to_table()
    return set(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))


@given(PAIRS)
def test_pairs_come_back_and_both_orientations_agree(pairs: Pairs) -> None:
    data = Interactions.from_pairs(pairs)
    assert pairs_of(data) == set(pairs)
    assert len(data) == len(pairs)
    view = data.by_item
    flipped = {
        (int(view.indices[k]), item)
        for item in range(data.items.size)
        for k in range(view.indptr[item], view.indptr[item + 1])
    }
    assert flipped == set(zip(data.user_rows.tolist(), data.indices.tolist(), strict=True))
    assert np.array_equal(
        data.indices[view.order], np.repeat(np.arange(data.items.size), np.diff(view.indptr))
    )
    for row in range(data.users.size):
        own = data.indices[data.indptr[row] : data.indptr[row + 1]]
        assert np.all(np.diff(own) > 0)
    assert data.user_counts.sum() == data.item_counts.sum() == len(data)


@given(PAIRS, st.randoms())
def test_digest_sees_pairs_and_not_their_order(pairs: Pairs, random) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(pairs)
    random.shuffle(shuffled)
    data = Interactions.from_pairs(pairs)
    assert Interactions.from_pairs(shuffled).digest == data.digest
    assert data.remove(pairs[:1]).remaining.digest != data.digest or len(pairs) == 0
    stamped = data.to_table().append_column("timestamp", [np.arange(len(data))])
    assert Interactions.from_table(stamped).digest == data.digest
    ones = data.to_table().append_column("confidence", [np.ones(len(data))])
    assert Interactions.from_table(ones).digest == data.digest
    twos = data.to_table().append_column("confidence", [np.full(len(data), 2.0)])
    assert Interactions.from_table(twos).digest != data.digest
    # rows that lost everything stay in the maps and do not count
    emptied = Interactions.from_pairs([*pairs, (99, 99)]).remove([(99, 99)]).remaining
    assert emptied.digest == data.digest


@pytest.mark.parametrize("groups", [{}, {"session_column": "s"}, {"basket_column": "s"}])
def test_a_table_without_rows_has_one_digest_whatever_its_ids_were(
    groups: dict[str, str], tmp_path: Path
) -> None:
    """What is left of integers, of strings, and a file of which only the header is left."""
    left = set()
    for ids in ([1, 2], ["a", "b"]):
        data = Interactions.read(pa.table({"user_id": ids, "item_id": ids, "s": ids}), **groups)
        left.add(data.remove([(each, each) for each in ids]).remaining.digest)
    (tmp_path / "left.csv").write_text("user_id,item_id,s\n")
    left.add(Interactions.read(tmp_path / "left.csv", **groups).digest)
    assert len(left) == 1


@given(PAIRS, PAIRS)
def test_removing_is_set_difference_and_lists_what_matched_nothing(
    pairs: Pairs, gone: Pairs
) -> None:
    data = Interactions.from_pairs(pairs)
    removal = data.remove(gone)
    assert pairs_of(removal.remaining) == set(pairs) - set(gone)
    assert pairs_of(removal.removed) == set(pairs) & set(gone)
    unmatched = [(row["user_id"], row["item_id"]) for row in removal.unmatched.to_pylist()]
    assert unmatched == [pair for pair in gone if pair not in set(pairs)]
    assert removal.remaining.shape == data.shape
    assert removal.remaining.users is data.users


@given(PAIRS, st.lists(st.integers(0, 12), min_size=1, max_size=5))
def test_whole_users_go_with_everything(pairs: Pairs, users: list[int]) -> None:
    data = Interactions.from_pairs(pairs)
    removal = data.remove(users, whole_users=True)
    assert pairs_of(removal.remaining) == {(u, v) for u, v in pairs if u not in users}
    present = {u for u, _ in pairs}
    assert removal.unmatched["user_id"].to_pylist() == [u for u in users if u not in present]


@given(PAIRS, st.lists(st.integers(0, 12), min_size=1, max_size=5))
def test_whole_items_go_with_everything(pairs: Pairs, items: list[int]) -> None:
    data = Interactions.from_pairs(pairs)
    for named in (items, pa.table({"item_id": items, "why": items})):
        removal = data.remove(named, whole_items=True)
        assert pairs_of(removal.remaining) == {(u, v) for u, v in pairs if v not in items}
        present = {v for _, v in pairs}
        assert removal.unmatched["item_id"].to_pylist() == [v for v in items if v not in present]
    with pytest.raises(InvalidInput, match="contradict each other"):
        data.remove(items, whole_items=True, whole_users=True)
    with pytest.raises(InvalidInput, match="no column 'item_id'"):
        data.remove(pa.table({"user_id": items}), whole_items=True)


@given(PAIRS, PAIRS)
def test_adding_is_union_and_keeps_rows(pairs: Pairs, more: Pairs) -> None:
    data = Interactions.from_pairs(pairs)
    both = data.add(Interactions.from_pairs(more), duplicates="first")
    assert pairs_of(both) == set(pairs) | set(more)
    assert np.array_equal(both.users.rows_of(data.users.ids), data.users.rows)
    if set(pairs) & set(more):
        with pytest.raises(InvalidInput, match=r"duplicate \(user, item\)"):
            data.add(Interactions.from_pairs(more))


@given(PAIRS, st.integers(0, 5))
def test_splitting_holds_out_a_share_of_every_user(pairs: Pairs, seed: int) -> None:
    data = Interactions.from_pairs(pairs)
    train, test = data.split(0.4, seed=seed)
    assert pairs_of(train) | pairs_of(test) == set(pairs)
    assert not pairs_of(train) & pairs_of(test)
    assert np.array_equal(test.user_counts, (data.user_counts * 0.4).astype(int))
    again = data.split(0.4, seed=seed)
    assert again[0].digest == train.digest


@given(PAIRS, st.integers(1, 3))
def test_cores_leave_nobody_with_fewer(pairs: Pairs, k: int) -> None:
    core = Interactions.from_pairs(pairs).k_core(k)
    left = pairs_of(core)
    for place in (0, 1):
        counts = {
            key: sum(pair[place] == key for pair in left) for key in {pair[place] for pair in left}
        }
        assert all(count >= k for count in counts.values())
    # the largest such set: greedily dropping in any order ends there
    rest = set(pairs)
    while True:
        rare = {
            p
            for p in rest
            if sum(q[0] == p[0] for q in rest) < k or sum(q[1] == p[1] for q in rest) < k
        }
        if not rare:
            break
        rest -= rare
    assert left == rest


def test_locating_and_selecting() -> None:
    data = Interactions.from_pairs([(0, 5), (0, 7), (3, 5)])
    places = data.locate(np.array([0, 0, 1, -1, 1]), np.array([0, 1, 0, 0, 1]))
    assert places.tolist() == [0, 1, 2, -1, -1]
    assert pairs_of(data.select(users=[0])) == {(0, 5), (0, 7)}
    assert pairs_of(data.select(users=[0, 3], items=[5])) == {(0, 5), (3, 5)}
    assert len(data.select(users=[99])) == 0


@pytest.mark.parametrize(
    ("policy", "confidence"), [("first", [1.0, 4.0]), ("last", [3.0, 4.0]), ("sum", [6.0, 4.0])]
)
def test_duplicates_follow_the_policy(policy: str, confidence: list[float]) -> None:
    table = pa.table(
        {"user_id": [1, 1, 2, 1], "item_id": [8, 8, 8, 8], "confidence": [1.0, 2.0, 4.0, 3.0]}
    )
    data = Interactions.from_table(table, duplicates=policy)
    assert pairs_of(data) == {(1, 8), (2, 8)}
    assert data.confidence is not None
    assert data.confidence.tolist() == confidence
    with pytest.raises(
        InvalidInput, match=r"2 duplicate \(user, item\) row\(s\), the first is \(1, 8\)"
    ):
        Interactions.from_table(table)
    with pytest.raises(InvalidInput, match=r"expected refuse, first, last or sum"):
        Interactions.from_table(table, duplicates="drop")


def test_values_stay_with_their_pairs() -> None:
    rng = np.random.default_rng(0)
    keys = rng.permutation(60)[:40]
    table = pa.table(
        {
            "user_id": keys // 10,
            "item_id": keys % 10,
            "confidence": keys + 0.5,
            "target": keys * 0.1,
            "timestamp": keys * 1000,
        }
    )
    data = Interactions.from_table(table)
    u, v = data.to_table()["user_id"].to_numpy(), data.to_table()["item_id"].to_numpy()
    for values, expected in (
        (data.confidence, u * 10 + v + 0.5),
        (data.target, (u * 10 + v) * 0.1),
        (data.timestamp, (u * 10 + v) * 1000),
    ):
        assert values is not None
        np.testing.assert_allclose(values, expected)
    kept = data.remove([(int(u[0]), int(v[0]))]).remaining
    assert kept.confidence is not None
    np.testing.assert_allclose(kept.confidence, (u * 10 + v + 0.5)[1:])


def test_what_is_refused_is_named() -> None:
    data = Interactions.from_pairs([("a", "x"), ("b", "x")])
    with pytest.raises(InvalidInput, match=r"no column 'item_id' \(it has user_id\)"):
        data.remove(pa.table({"user_id": ["a"]}))
    with pytest.raises(InvalidInput, match=r"expected \(user, item\) pairs"):
        data.remove([("a", "x", 3)])
    with pytest.raises(InvalidInput, match=r"split\(test=1.5\)"):
        data.split(1.5)
    with pytest.raises(InvalidInput, match=r"k_core\(0\)"):
        data.k_core(0)
    with pytest.raises(
        IntegrityError, match=r"1 user\(s\) of the data are not in the model, the first is 'c'"
    ):
        Interactions.from_table(
            pa.table({"user_id": ["a", "c"], "item_id": ["x", "x"]}), users=data.users
        )


def test_statistics_count_what_occurs() -> None:
    data = Interactions.from_pairs([(0, 0), (0, 1), (1, 0), (5, 5)]).remove([(5, 5)]).remaining
    stats = data.statistics()
    assert (stats.users, stats.items, stats.interactions) == (2, 2, 3)
    assert stats.density == 0.75
    assert stats.per_user == (1, 1.5, 2)
    none = Interactions.from_pairs([(0, 0)]).remove([(0, 0)]).remaining.statistics()
    assert (none.users, none.density) == (0, 0.0)


def test_summed_duplicates_keep_their_number() -> None:
    pairs = [("a", "x"), ("b", "x"), ("a", "x"), ("a", "y"), ("a", "x")]
    data = Interactions.from_pairs(pairs, duplicates="sum")
    assert data.to_table().select(["user_id", "item_id"]).to_pylist() == [
        {"user_id": "a", "item_id": "x"},
        {"user_id": "a", "item_id": "y"},
        {"user_id": "b", "item_id": "x"},
    ]
    assert data.multiplicity is not None
    assert data.multiplicity.tolist() == [3, 1, 1]
    kept = data.remove([("a", "y")]).remaining
    assert kept.multiplicity is not None
    assert kept.multiplicity.tolist() == [3, 1]
    assert Interactions.from_pairs(pairs, duplicates="first").multiplicity is None
    assert Interactions.from_pairs(pairs[:2], duplicates="sum").multiplicity is None


@given(PAIRS, st.integers(0, 2**32 - 1))
def test_only_somebodys_is_what_they_have(pairs: Pairs, seed: int) -> None:
    """With every column that there may be, in the same rows."""
    draw = np.random.default_rng(seed)
    columns = {
        "user_id": [user for user, _ in pairs],
        "item_id": [item for _, item in pairs],
        "confidence": draw.uniform(1, 2, len(pairs)),
        "target": draw.uniform(-1, 1, len(pairs)),
        "timestamp": draw.integers(0, 9, len(pairs)),
        "segment": [f"segment {user % 2}" for user, _ in pairs],
    }
    data = Interactions.from_table(pa.table(columns))
    for row in range(data.users.size):
        mine = data.only(row)
        assert (mine.users, mine.items) == (data.users, data.items)
        assert mine.to_table() == data.keep(data.user_rows == row).to_table()
        assert np.array_equal(mine.indptr, data.keep(data.user_rows == row).indptr)
