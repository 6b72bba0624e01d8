"""Rank-biased overlap against Eq. 32 of Webber, Moffat & Zobel, written out with Python sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.errors import InvalidInput
from alteraser.metrics import rank_biased_overlap

RANKED = st.lists(st.integers(0, 12), max_size=9, unique=True)
PAIRS = st.lists(st.tuples(RANKED, RANKED), min_size=1, max_size=6)
PERSISTENCE = st.floats(0.05, 0.99)


def equation_32(one: list[int], other: list[int], p: float) -> float:
    short, long = sorted((one, other), key=len)
    s, l = len(short), len(long)  # noqa: E741  the paper's letters
    if s == 0:
        return 1.0 if l == 0 else 0.0

    def X(d: int) -> int:
        return len(set(short[:d]) & set(long[:d]))

    seen = sum(X(d) / d * p**d for d in range(1, l + 1))
    unseen = sum(X(s) * (d - s) / (s * d) * p**d for d in range(s + 1, l + 1))
    return (1 - p) / p * (seen + unseen) + ((X(l) - X(s)) / l + X(s) / s) * p**l


def table(lists: list[list[int]], extra: int = 0) -> np.ndarray:
    """Rows padded with −1 to the longest, and by ``extra`` columns more."""
    out = np.full((len(lists), max(map(len, lists)) + extra), -1)
    for row, items in zip(out, lists, strict=True):
        row[: len(items)] = items
    return out


@settings(deadline=None)
@given(pairs=PAIRS, p=PERSISTENCE, extra=st.integers(0, 2))
def test_the_equation(pairs: list[tuple[list[int], list[int]]], p: float, extra: int) -> None:
    a, b = table([x for x, _ in pairs], extra), table([y for _, y in pairs])
    expected = [equation_32(x, y, p) for x, y in pairs]
    np.testing.assert_allclose(rank_biased_overlap(a, b, p), expected, rtol=1e-12, atol=1e-14)


@settings(deadline=None)
@given(pairs=PAIRS, p=PERSISTENCE, depth=st.integers(1, 10))
def test_properties(pairs: list[tuple[list[int], list[int]]], p: float, depth: int) -> None:
    a, b = table([x for x, _ in pairs]), table([y for _, y in pairs])
    value = rank_biased_overlap(a, b, p)
    assert value.dtype == np.float64
    assert np.all((value >= 0) & (value <= 1))
    np.testing.assert_array_equal(value, rank_biased_overlap(b, a, p))
    np.testing.assert_array_equal(rank_biased_overlap(a, a, p), 1.0)
    np.testing.assert_array_equal(
        rank_biased_overlap(a, b, p, depth), rank_biased_overlap(a[:, :depth], b[:, :depth], p)
    )
    renamed = np.append(np.random.default_rng(0).permutation(13) + 40, -1)  # −1 picks the last, −1
    np.testing.assert_array_equal(rank_biased_overlap(renamed[a], renamed[b], p), value)


def test_known_values() -> None:
    # disjoint: every X_d is 0
    assert rank_biased_overlap(np.array([[1, 2]]), np.array([[3, 4]]))[0] == 0.0
    # s = 2, l = 3, X = 0, 1, 2; p = 1/2: Σ X_d/d p^d = 0 + 1/8 + 1/12, tail 1 · 1/(2 · 3) · 1/8 =
    # 1/48, last term (1/3 + 1/2) · 1/8 = 5/48: 6/48 + 4/48 + 1/48 + 5/48
    value = rank_biased_overlap(np.array([[5, 6, -1]]), np.array([[6, 7, 5]]), p=0.5)
    assert value[0] == pytest.approx(16 / 48, rel=1e-14)


def test_the_top_counts_most() -> None:
    best = np.arange(10)[None]
    top, bottom = best.copy(), best.copy()
    top[0, :2], bottom[0, -2:] = [1, 0], [9, 8]
    assert rank_biased_overlap(best, top)[0] < rank_biased_overlap(best, bottom)[0] < 1


def test_identical_long_lists_are_exactly_one_whatever_the_padding() -> None:
    a = np.random.default_rng(3).permutation(500)[None]
    wide = np.pad(a, ((0, 0), (0, 7)), constant_values=-1)
    for p in (0.1, 0.9, 0.98, 0.999):
        assert rank_biased_overlap(a, wide, p)[0] == 1.0


def test_empty_lists() -> None:
    a, b = np.array([[-1, -1], [-1, -1], [4, -1]]), np.array([[-1], [3], [-1]])
    np.testing.assert_array_equal(rank_biased_overlap(a, b), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(
        rank_biased_overlap(np.zeros((2, 0), int), np.zeros((2, 0), int)), [1.0, 1.0]
    )
    assert rank_biased_overlap(np.zeros((0, 3), int), np.zeros((0, 2), int)).shape == (0,)


def test_types_of_integers_do_not_matter() -> None:
    a, b = np.array([[2, 1, 0]]), np.array([[1, 2, 9]])
    expected = rank_biased_overlap(a, b)
    np.testing.assert_array_equal(
        rank_biased_overlap(a.astype(np.uint16), b.astype(np.int32)), expected
    )


OK = np.array([[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a": [1, 2]}, r"a has shape \(2,\), expected \(users, k\).*reshape"),
        ({"b": OK[:1]}, "a has 2 lists and b has 1, expected the same users.*rank both"),
        ({"b": OK * 1.0}, "b holds float64, expected integers: pass the rows"),
        ({"b": [[1, 2], [3, 3]]}, "b holds item 3 twice for user 1, expected distinct items: keep"),
        (
            {"a": [[1, 2], [-1, 3]]},
            "a has −1 before an item of user 1, expected it behind.*move the padding",
        ),
        ({"a": [[1, -2], [3, 4]]}, "a holds -2 for user 0, expected item rows or −1: pad"),
        ({"p": 1.0}, "p=1.0, expected a number strictly between 0 and 1"),
        ({"p": 0.0}, "p=0.0, expected"),
        ({"p": float("nan")}, "p=nan, expected"),
        ({"depth": 0}, "depth=0, expected a whole number of at least 1"),
        ({"depth": 2.5}, "depth=2.5, expected a whole number"),
    ],
)
def test_refusals(change: dict, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        rank_biased_overlap(**{"a": OK, "b": OK, **change})


def test_what_depth_cuts_off_is_not_judged() -> None:
    assert rank_biased_overlap(np.array([[1, 2, 1]]), np.array([[1, 2, 3]]), depth=2)[0] == 1.0
