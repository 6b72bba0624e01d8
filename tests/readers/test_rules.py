"""Rules: what is read from their text, and what they compute, against NumPy and against implicit's
own weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.data.readers._rules import Affine, ColumnRule, Function, Matrix, rule

NUMBERS = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))
X = np.array([0.5, 1.0, 2.0, 40.0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plays", X),
        ("1 + 40 * plays", 1 + 40 * X),
        ("40*plays+1", 1 + 40 * X),
        ("plays / 4", X / 4),
        ("-(plays)", -X),
        ("(plays) - 1", X - 1),
        ("3 - (plays)", 3 - X),
        ("2 * (1 + 3 * (plays))", 2 + 6 * X),
        ("log(plays)", np.log(X)),
        ("1 + log1p(plays)", 1 + np.log1p(X)),
        ("1 + 40 * log(1 + plays / 0.1)", 1 + 40 * np.log(1 + X / 0.1)),
        ("1e1*sqrt(plays)", 10 * np.sqrt(X)),
        ("min(plays, 1.5)", np.minimum(X, 1.5)),
        ("1 + 2 * clip(log1p(plays), 0.5, 1)", 1 + 2 * np.clip(np.log1p(X), 0.5, 1)),
        ("sqrt(4) * plays", 2 * X),
    ],
)
def test_what_a_rule_computes(text: str, expected: np.ndarray) -> None:
    found = rule(text)
    assert found.column == "plays"
    np.testing.assert_allclose(found.rows(X), expected, rtol=1e-15)
    # all of it works on rows
    np.testing.assert_array_equal(found.entries(X, Matrix(X, X, (4, 4))), X)
    assert not found.statistic


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_affine_steps_become_one(a: float, b: float, c: float, d: float) -> None:
    found = rule(f"{a} + {b} * ({c} + {d} * x)")
    assert len(found.steps) == 1
    np.testing.assert_allclose(found.rows(X), a + b * (c + d * X), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["play count", "play-count", "2019", "plays.sum", "a - b", "größe", "log"]
)
def test_a_text_without_signs_is_a_column(name: str) -> None:
    assert rule(name) == ColumnRule(name)
    assert rule(f"`{name}`") == ColumnRule(name)
    assert rule(f"1 + 2 * `{name}`") == ColumnRule(name, steps=(Affine(1.0, 2.0),))


def test_a_name_in_a_rule() -> None:
    assert rule("log(play count)").column == "play count"
    assert rule("log(play-count - 1)") == ColumnRule(
        "play-count", steps=(Affine(-1.0, 1.0), Function("log"))
    )
    assert rule("log(`plays (total)`)").column == "plays (total)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is neither a column nor a rule. Write for example"),
        ("1 + 2 * ", "is neither a column nor a rule"),
        ("log(plays", "is neither a column nor a rule"),
        ("log(plays) 2", "is neither a column nor a rule"),
        ("a * b", "names two columns, a and b"),
        ("a + log(b)", "names two columns, a and b"),
        ("1 / plays", "divides by something that is no number"),
        ("plays / 0", "divides by zero"),
        ("1 + 2", "names no column"),
        ("log(2)", "names no column"),
        (
            "ln(plays)",
            "calls 'ln', and there are log, log1p, sqrt, min, clip, sum, bm25, tfidf, item_bm25, "
            "item_tfidf",
        ),
        ("log(plays, 2)", "gives log 1 number"),
        (
            "min(plays)",
            "gives min 0 number.s. behind its first argument, where one number is expected",
        ),
        ("bm25(plays, 1, 2, 3)", "where at most two numbers is expected"),
        ("clip(plays, 3, 1)", "clips from 3 up to 1, which is less"),
        ("min(plays, hours)", "gives min something that is no number"),
        ("sum(bm25(plays))", "sum is about rows of the data and stands innermost"),
        ("(" * 50 + "plays" + ")" * 50, "nested more than 20 deep"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rule(text, "rating")


# ------------------------------------------------------------------ statistics of the matrix

SHAPE = (7, 5)


def matrix() -> tuple[Matrix, np.ndarray, np.ndarray]:
    """Places, entries and the dense matrix; user 6 and item 4 have none."""
    rng = np.random.default_rng(1)
    dense = np.where(rng.random(SHAPE) < 0.5, rng.integers(1, 30, SHAPE), 0).astype(float)
    dense[6], dense[:, 4] = 0, 0
    users, items = np.nonzero(dense)
    return Matrix(users, items, SHAPE), dense[users, items], dense


def bm25(dense: np.ndarray, k1: float, b: float) -> np.ndarray:
    """As in the docstring, over a dense matrix whose rows are the documents."""
    idf = np.log(len(dense)) - np.log(1 + (dense > 0).sum(axis=0))
    norm = (1 - b) + b * dense.sum(axis=1) / dense.sum(axis=1).mean()
    return dense * (k1 + 1) / (k1 * norm[:, None] + dense) * idf


@pytest.mark.parametrize(
    ("text", "k1", "b"),
    [("bm25(n)", 100, 0.8), ("bm25(n, 1.2)", 1.2, 0.8), ("bm25(n, 1.2, 0)", 1.2, 0)],
)
def test_bm25_by_hand(text: str, k1: float, b: float) -> None:
    places, entries, dense = matrix()
    expected = bm25(dense, k1, b)[places.users, places.items]
    np.testing.assert_allclose(rule(text).entries(entries, places), expected, rtol=1e-12)
    expected = bm25(dense.T, k1, b).T[places.users, places.items]
    np.testing.assert_allclose(rule(f"item_{text}").entries(entries, places), expected, rtol=1e-12)


def test_weights_are_those_of_implicit() -> None:
    weights = pytest.importorskip("implicit.nearest_neighbours")
    from scipy.sparse import csr_matrix

    places, entries, _ = matrix()
    given = csr_matrix((entries, (places.users, places.items)), shape=SHAPE)
    for text, theirs in (
        ("bm25(n)", weights.bm25_weight(given)),
        ("bm25(n, 1.2, 0.75)", weights.bm25_weight(given, K1=1.2, B=0.75)),
        ("tfidf(n)", weights.tfidf_weight(given)),
        ("item_bm25(n)", weights.bm25_weight(given.T).T),
        ("item_tfidf(n)", weights.tfidf_weight(given.T).T),
    ):
        found = csr_matrix(
            (rule(text).entries(entries, places), (places.users, places.items)), shape=SHAPE
        )
        np.testing.assert_array_equal(
            found.astype(np.float32).toarray(), theirs.astype(np.float32).toarray()
        )


def test_rows_before_and_entries_after_the_statistic() -> None:
    places, entries, dense = matrix()
    found = rule("1 + 2 * bm25(log1p(n), 10, 0.5)")
    assert found.statistic
    assert not found.sums
    np.testing.assert_allclose(found.rows(entries), np.log1p(entries))
    expected = 1 + 2 * bm25(np.log1p(dense), 10, 0.5)[places.users, places.items]
    np.testing.assert_allclose(found.entries(found.rows(entries), places), expected)


def test_sums_and_pairs_without_counts() -> None:
    places, entries, dense = matrix()
    found = rule("log1p(sum(n))")
    assert found.sums
    assert not found.statistic  # an entry depends on the rows of its own pair alone
    np.testing.assert_array_equal(found.rows(entries), entries)
    np.testing.assert_array_equal(found.entries(entries, places), np.log1p(entries))
    assert rule("bm25(1)").column is None
    assert rule("bm25(2 * 3)").constant == 6
    expected = bm25((dense > 0).astype(float), 100, 0.8)[places.users, places.items]
    np.testing.assert_allclose(rule("bm25(1)").entries(np.ones(len(entries)), places), expected)


def test_of_nothing_there_is_nothing() -> None:
    nobody = np.empty(0, np.int64)
    assert rule("bm25(n)").entries(np.empty(0), Matrix(nobody, nobody, SHAPE)).size == 0
