"""Distances against dense matrices, and against answers that are known before the question."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.errors import InvalidInput
from alteraser.metrics import distance as implementation
from alteraser.metrics import (
    influence_left,
    model_distance,
    relative_model_distance,
    score_distance,
)


@dataclass(frozen=True)
class Triple:
    """The least that is a FactorsLike."""

    users: np.ndarray
    items: np.ndarray
    prediction: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        return (self.users * self.prediction) @ self.items.T

    def times(self, change: np.ndarray, other: np.ndarray) -> Triple:
        return replace(self, users=self.users @ change, items=self.items @ other)


def model(
    rng: np.random.Generator, m: int, n: int, d: int, *, trained: bool = False, scale: float = 1.0
) -> Triple:
    """Random factors; ``trained`` gives an h with both signs."""
    h = rng.uniform(0.3, 2.0, d) * rng.choice([-1.0, 1.0], d) if trained else np.ones(d)
    return Triple(scale * rng.standard_normal((m, d)), rng.standard_normal((n, d)), h)


def rotation(rng: np.random.Generator, d: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def canonical(theta: Triple) -> np.ndarray:
    """(P; Q) stacked, h absorbed."""
    root = np.sqrt(np.abs(theta.prediction))
    return np.vstack([theta.users * root, theta.items * root * np.sign(theta.prediction)])


def size(theta: Triple) -> float:
    return float(np.linalg.norm(canonical(theta)))


SHAPES: dict[str, Any] = {
    "m": st.integers(1, 12),
    "n": st.integers(1, 12),
    "d": st.integers(1, 6),
    "seed": st.integers(0, 10_000),
    "trained": st.booleans(),
}


# ---- model_distance


@settings(deadline=None, max_examples=60)
@given(**SHAPES, e=st.integers(1, 6))
def test_model_distance_is_the_nuclear_norm_formula(
    m: int, n: int, d: int, seed: int, trained: bool, e: int
) -> None:
    """min_R ‖Θ − Θ'R‖² = ‖Θ‖² + ‖Θ'‖² − 2 ‖Θ'ᵀΘ‖_*, which knows no R and no widening."""
    rng = np.random.default_rng(seed)
    a, b = model(rng, m, n, d, trained=trained), model(rng, m, n, e)
    A, B = canonical(a), canonical(b)
    squared = size(a) ** 2 + size(b) ** 2 - 2 * np.linalg.svd(B.T @ A, compute_uv=False).sum()
    assert model_distance(a, b) ** 2 == pytest.approx(squared, rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(**SHAPES)
def test_no_rotation_comes_closer(m: int, n: int, d: int, seed: int, trained: bool) -> None:
    rng = np.random.default_rng(seed)
    a, b = model(rng, m, n, d, trained=trained), model(rng, m, n, d)
    A, B = canonical(a), canonical(b)
    least = min(np.linalg.norm(A - B @ rotation(rng, d)) for _ in range(20))
    assert model_distance(a, b) <= least * (1 + 1e-12) + 1e-12


@settings(deadline=None, max_examples=60)
@given(**SHAPES)
def test_a_rotated_model_is_the_same_model(
    m: int, n: int, d: int, seed: int, trained: bool
) -> None:
    rng = np.random.default_rng(seed)
    theta, other = model(rng, m, n, d, trained=trained), model(rng, m, n, d)
    R = rotation(rng, d)
    turned = Triple(*np.split(canonical(theta) @ R, [m]), np.ones(d))
    # a rank-deficient model leaves R open where Θ' is 0 up to rounding
    assert model_distance(turned, theta) <= 1e-7 * size(theta)
    assert model_distance(theta, theta) <= 1e-7 * size(theta)
    assert model_distance(turned, other) == pytest.approx(
        model_distance(theta, other), rel=1e-7, abs=1e-7
    )


def test_a_well_conditioned_rotation_is_undone_to_rounding() -> None:
    rng = np.random.default_rng(0)
    theta = model(rng, 60, 40, 5)
    R = rotation(rng, 5)
    assert model_distance(theta.times(R, R), theta) <= 1e-13 * size(theta)


@settings(deadline=None, max_examples=60)
@given(**SHAPES)
def test_model_distance_is_a_metric(m: int, n: int, d: int, seed: int, trained: bool) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = (
        model(rng, m, n, d, trained=trained),
        model(rng, m, n, 3, trained=True),
        model(rng, m, n, d),
    )
    ab, ba, bc, ac = (
        model_distance(a, b),
        model_distance(b, a),
        model_distance(b, c),
        model_distance(a, c),
    )
    assert ab == pytest.approx(ba, rel=1e-9, abs=1e-9)
    assert ac <= (ab + bc) * (1 + 1e-9) + 1e-9
    assert relative_model_distance(a, b) == pytest.approx(ab / size(b), rel=1e-12)


def test_a_planted_difference_comes_back() -> None:
    """A difference D with Θ'ᵀD symmetric is orthogonal to the orbit: its own norm is the
    distance."""
    rng = np.random.default_rng(1)
    theta = model(rng, 30, 20, 4)
    base = canonical(theta)
    for e in (1e-2, 1e-6, 1e-9):
        D = rng.standard_normal(base.shape)
        K = base.T @ D
        D += base @ np.linalg.solve(base.T @ base, (K + K.T) / 2 - K)
        D *= e / np.linalg.norm(D)
        R = rotation(rng, 4)
        moved = Triple(*np.split((base + D) @ R, [30]), np.ones(4))
        assert model_distance(moved, theta) == pytest.approx(e, rel=1e-5)


def test_rows_are_taken_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    a, b = model(rng, 50, 33, 4, trained=True), model(rng, 50, 33, 3)
    whole = model_distance(a, b), score_distance(a, b)
    monkeypatch.setattr(implementation, "ROWS_AT_A_TIME", 7)
    assert (model_distance(a, b), score_distance(a, b)) == pytest.approx(whole, rel=1e-12)


# ---- what h does to both


@settings(deadline=None, max_examples=40)
@given(**SHAPES)
def test_h_is_absorbed(m: int, n: int, d: int, seed: int, trained: bool) -> None:
    """The same scores with h moved into the factors, columns permuted, or signs flipped in pairs:
    distance 0."""
    rng = np.random.default_rng(seed)
    theta = model(rng, m, n, d, trained=True)
    absorbed = Triple(*np.split(canonical(theta), [m]), np.ones(d))
    order = rng.permutation(d)
    permuted = Triple(theta.users[:, order], theta.items[:, order], theta.prediction[order])
    signs = rng.choice([-1.0, 1.0], d)
    flipped = replace(theta, users=theta.users * signs, items=theta.items * signs)
    negated = replace(theta, users=-theta.users, prediction=-theta.prediction)
    for same in (absorbed, permuted, flipped, negated):
        np.testing.assert_allclose(same.scores, theta.scores, atol=1e-12)
        assert score_distance(same, theta) <= 1e-12 * max(1, np.linalg.cond(canonical(theta)))
    for same in (absorbed, permuted, flipped):
        assert model_distance(same, theta) <= 1e-7 * size(theta)


def test_the_sign_of_h_counts() -> None:
    rng = np.random.default_rng(5)
    theta = model(rng, 9, 7, 3)
    negated = replace(theta, prediction=-theta.prediction)  # X' = −X
    assert score_distance(negated, theta) == pytest.approx(2.0, rel=1e-12)
    # Θ' = (P; −Q), so Θ'ᵀΘ = PᵀP − QᵀQ
    nuclear = np.linalg.svd(
        theta.users.T @ theta.users - theta.items.T @ theta.items, compute_uv=False
    ).sum()
    assert model_distance(negated, theta) ** 2 == pytest.approx(
        2 * size(theta) ** 2 - 2 * nuclear, rel=1e-10
    )


# ---- score_distance


@settings(deadline=None, max_examples=60)
@given(**SHAPES, e=st.integers(1, 6))
def test_score_distance_is_the_dense_one(
    m: int, n: int, d: int, seed: int, trained: bool, e: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = model(rng, m, n, d, trained=trained), model(rng, m, n, e, trained=True)
    expected = np.linalg.norm(a.scores - b.scores) / np.linalg.norm(b.scores)
    assert score_distance(a, b) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("gauge", ["same", "rotated", "scaled", "sheared", "wider"])
@pytest.mark.parametrize("e", [1e-3, 1e-9, 1e-11])
def test_a_small_difference_keeps_its_digits(e: float, gauge: str) -> None:
    """Traces of Gram matrices would stop at 1e-8, and an alignment by rotation where the gauge is
    another."""
    rng = np.random.default_rng(7)
    d = 5
    theta = model(rng, 80, 50, d)
    D = rng.standard_normal(theta.users.shape)
    near = replace(theta, users=theta.users + e * D)
    expected = e * np.linalg.norm(D @ theta.items.T) / np.linalg.norm(theta.scores)
    R, shear = rotation(rng, d), np.eye(d) + np.triu(rng.standard_normal((d, d)), 1) / 2
    moved = {
        "same": near,
        "rotated": near.times(R, R),
        "scaled": near.times(3 * R, R / 3),
        "sheared": near.times(shear, np.linalg.inv(shear).T),
        "wider": Triple(
            *(np.pad(x, ((0, 0), (0, 2))) for x in (near.users, near.items)), np.ones(d + 2)
        ),
    }[gauge]
    assert score_distance(moved, theta) == pytest.approx(expected, rel=1e-13 / e + 1e-10)


def test_storage_in_float32_is_measured_in_float64() -> None:
    rng = np.random.default_rng(8)
    a, b = model(rng, 40, 30, 4, trained=True), model(rng, 40, 30, 4)
    single = [
        Triple(*(x.astype(np.float32) for x in (t.users, t.items, t.prediction))) for t in (a, b)
    ]
    double = [
        Triple(*(x.astype(np.float64) for x in (t.users, t.items, t.prediction))) for t in single
    ]
    for measure in (model_distance, relative_model_distance, score_distance):
        assert measure(*single) == measure(*double)
        assert type(measure(*single)) is float


@pytest.mark.parametrize("measure", [relative_model_distance, score_distance])
def test_relative_to_nothing(measure: Any) -> None:
    theta = model(np.random.default_rng(9), 6, 5, 3)
    zero = Triple(np.zeros((6, 3)), np.zeros((5, 3)), np.ones(3))
    assert measure(zero, theta) == pytest.approx(1.0, rel=1e-12)
    assert measure(theta, zero) == float("inf")
    assert measure(zero, zero) == 0.0


# ---- influence_left


def test_influence_left_halves_with_the_way() -> None:
    rng = np.random.default_rng(10)
    retrained = model(rng, 20, 15, 4)
    step = [1e-3 * rng.standard_normal(x.shape) for x in (retrained.users, retrained.items)]

    def at(t: float) -> Triple:
        R = rotation(rng, 4)  # every model in its own gauge
        return Triple(
            (retrained.users + t * step[0]) @ R, (retrained.items + t * step[1]) @ R, np.ones(4)
        )

    assert influence_left(at(1.0), at(0.0), at(1.0)) == pytest.approx(1.0, rel=1e-9)
    assert influence_left(at(0.0), at(0.0), at(1.0)) == 0.0  # rounding is not influence
    assert influence_left(at(0.25), at(0.0), at(1.0)) == pytest.approx(0.25, rel=1e-2)
    assert influence_left(at(2.0), at(0.0), at(1.0)) == pytest.approx(2.0, rel=1e-2)


def test_influence_left_is_the_ratio_of_distances() -> None:
    rng = np.random.default_rng(11)
    u, r, a = (model(rng, 8, 9, d) for d in (3, 4, 2))
    assert influence_left(u, r, a) == pytest.approx(
        model_distance(u, r) / model_distance(a, r), rel=1e-12
    )


@pytest.mark.parametrize("turn", [False, True])
def test_influence_left_with_nothing_to_undo(turn: bool) -> None:
    rng = np.random.default_rng(12)
    theta = model(rng, 300, 200, 6)
    R = rotation(rng, 6) if turn else np.eye(6)
    assert influence_left(theta, theta, theta.times(R, R)) == 0.0
    assert influence_left(theta.times(R, R), theta, theta.times(R, R)) == 0.0
    assert influence_left(model(rng, 300, 200, 6), theta, theta.times(R, R)) == float("inf")


# ---- refusals

FINE = Triple(np.ones((3, 2)), np.ones((4, 2)), np.ones(2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"users": np.ones((5, 2))},
            "first has 5 × 4 rows and second 3 × 4, expected the same users.*both have",
        ),
        ({"items": np.ones((5, 2))}, "first has 3 × 5 rows and second 3 × 4"),
        (
            {"users": np.ones((3, 3))},
            r"users of shape \(3, 3\), items \(4, 2\) and prediction \(2,\), expected",
        ),
        ({"items": np.ones((4, 1))}, "the same number of factors"),
        ({"prediction": np.ones(1)}, "the same number of factors"),
        ({"users": np.ones(2)}, "the same number of factors"),
        (
            {"users": np.array([[1, 1], [1, np.nan], [1, 1]])},
            "values that are not finite, expected numbers: retrain",
        ),
        ({"items": np.array([[1, 1], [1, 1], [1, 1], [np.inf, 1]])}, "not finite"),
        ({"prediction": np.array([1, np.nan])}, "not finite"),
    ],
)
@pytest.mark.parametrize("measure", [model_distance, relative_model_distance, score_distance])
def test_refusals(measure: Any, change: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        measure(replace(FINE, **change), FINE)
