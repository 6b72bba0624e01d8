"""Recall and NDCG against Python sets."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.errors import InvalidInput
from alteraser.metrics import accuracy, hits, ndcg_at_k, recall_at_k

ITEMS = st.lists(st.integers(0, 14), max_size=8, unique=True)
USERS = st.lists(st.tuples(ITEMS, ITEMS), min_size=1, max_size=6)  # (recommended, wanted)
K = st.integers(1, 11)


def arrays(users: list[tuple[list[int], list[int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lists = np.full((len(users), max(len(x) for x, _ in users)), -1)
    for row, (items, _) in zip(lists, users, strict=True):
        row[: len(items)] = items
    indptr = np.concatenate([[0], np.cumsum([len(w) for _, w in users])])
    return lists, indptr, np.array([item for _, w in users for item in w], np.int64)


def brute_recall(listed: list[int], wanted: list[int], k: int) -> float:
    return len(set(listed[:k]) & set(wanted)) / len(wanted) if wanted else float("nan")


def brute_ndcg(listed: list[int], wanted: list[int], k: int) -> float:
    if not wanted:
        return float("nan")
    gain = sum(
        1 / log2(rank + 1) for rank, item in enumerate(listed[:k], start=1) if item in set(wanted)
    )
    return gain / sum(1 / log2(rank + 1) for rank in range(1, min(k, len(wanted)) + 1))


@settings(deadline=None)
@given(users=USERS, k=K)
def test_against_sets(users: list[tuple[list[int], list[int]]], k: int) -> None:
    data = arrays(users)
    np.testing.assert_allclose(
        recall_at_k(*data, k), [brute_recall(*user, k) for user in users], rtol=1e-13
    )
    np.testing.assert_allclose(
        ndcg_at_k(*data, k), [brute_ndcg(*user, k) for user in users], rtol=1e-13
    )


@settings(deadline=None)
@given(users=USERS, ks=st.lists(K, max_size=3, unique=True))
def test_means_leave_out_users_without_tests(
    users: list[tuple[list[int], list[int]]], ks: list[int]
) -> None:
    judged = [user for user in users if user[1]]
    answer = accuracy(*arrays(users), ks)
    assert answer.pop("users") == len(judged)
    brute = {"recall": brute_recall, "ndcg": brute_ndcg}
    assert set(answer) == {f"{name}@{k}" for name in brute for k in ks}
    for key, value in answer.items():
        name, k = key.split("@")
        expected = (
            np.mean([brute[name](*user, int(k)) for user in judged]) if judged else float("nan")
        )
        assert value == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_default_depths() -> None:
    answer = accuracy(*arrays([([1, 2], [2, 3])]))
    assert list(answer) == [
        "recall@10",
        "recall@20",
        "recall@50",
        "ndcg@10",
        "ndcg@20",
        "ndcg@50",
        "users",
    ]


@settings(deadline=None)
@given(users=USERS, k=K)
def test_a_list_of_all_test_items_is_perfect(
    users: list[tuple[list[int], list[int]]], k: int
) -> None:
    perfect = [(wanted[::-1], wanted) for _, wanted in users if wanted]
    if not perfect:
        return
    data = arrays(perfect)
    np.testing.assert_allclose(ndcg_at_k(*data, k), 1.0, rtol=1e-13)
    np.testing.assert_allclose(
        recall_at_k(*data, k), [min(k, len(w)) / len(w) for _, w in perfect], rtol=1e-13
    )


def test_a_hit_belongs_to_its_user() -> None:
    # each user is shown what the other one wants; then padding next to the largest item row
    crossed = arrays([([5, 2], [9]), ([9, 1], [5])])
    assert not hits(*crossed).any()
    padded = arrays([([3], [9]), ([9, 8], [9]), ([], [0])])
    np.testing.assert_array_equal(hits(*padded), [[False, False], [True, False], [False, False]])


def test_an_earlier_hit_is_worth_more() -> None:
    early, late = (arrays([(listed, [1])]) for listed in ([1, 2], [2, 1]))
    assert recall_at_k(*early, 2)[0] == recall_at_k(*late, 2)[0] == 1.0
    # 1/log2 2 against 1/log2 3
    assert ndcg_at_k(*late, 2)[0] / ndcg_at_k(*early, 2)[0] == pytest.approx(1 / log2(3), rel=1e-14)


def test_no_lists_and_no_tests() -> None:
    none = np.zeros((0, 4), int), np.array([0]), np.zeros(0, int)
    assert recall_at_k(*none, 3).shape == (0,)
    assert accuracy(*none, (3,))["users"] == 0
    assert np.isnan(accuracy(*arrays([([1], [])]), (3,))["recall@3"])
    narrow = np.zeros((1, 0), int), np.array([0, 1]), np.array([4])
    assert recall_at_k(*narrow, 3)[0] == ndcg_at_k(*narrow, 3)[0] == 0.0


GOOD = {
    "lists": np.array([[1, 2], [3, -1]]),
    "test_indptr": np.array([0, 1, 3]),
    "test_indices": np.array([2, 3, 4]),
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": 0}, "k=0, expected a whole number of at least 1"),
        ({"k": True}, "k=True, expected a whole number"),
        ({"lists": [1, 2]}, r"lists has shape \(2,\), expected \(users, k\)"),
        ({"lists": [[1, 1], [3, -1]]}, "lists holds item 1 twice for user 0"),
        (
            {"test_indptr": [0, 3]},
            r"test_indptr has shape \(2,\), expected \(3,\) for 2 lists: pass the tests",
        ),
        (
            {"test_indptr": [0, 1, 2]},
            r"test_indptr runs from 0 to 2 over test_indices of shape \(3,\).*cut both",
        ),
        ({"test_indptr": [0, 4, 3]}, "expected it to rise from 0"),
        ({"test_indptr": [1, 1, 3]}, "test_indptr runs from 1 to 3"),
        (
            {"test_indices": [2, -1, 4]},
            "test_indices holds -1, expected item rows of at least 0: give",
        ),
        (
            {"test_indices": [2, 4, 4]},
            "test_indices holds item 4 twice for user 1, expected distinct",
        ),
    ],
)
@pytest.mark.parametrize("measure", [recall_at_k, ndcg_at_k])
def test_refusals(measure, change: dict, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInput, match=words):
        measure(**{**GOOD, "k": 2, **change})
    if "k" not in change:
        with pytest.raises(InvalidInput, match=words):
            accuracy(**{**GOOD, **change})
    else:
        with pytest.raises(InvalidInput, match=words.replace("k=", "ks=")):
            accuracy(**GOOD, ks=(change["k"],))
