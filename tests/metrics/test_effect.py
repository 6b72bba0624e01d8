"""The effect left against dense least squares over rotations, and against answers known before the
question."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from alteraser.errors import InvalidInput
from alteraser.metrics import effect_left
from alteraser.models import Factors


def factors(rng: np.random.Generator, like: Factors | None = None, scale: float = 1.0) -> Factors:
    """Random factors of 7 users and 5 items, ``scale`` away from ``like``."""
    P, Q = scale * rng.standard_normal((7, 3)), scale * rng.standard_normal((5, 3))
    if like is not None:
        P, Q = P + like.users, Q + like.items
    return Factors(P, Q, np.ones(3))


def rotated(model: Factors, rng: np.random.Generator) -> Factors:
    R = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    return Factors(model.users @ R, model.items @ R, model.prediction)


def stacked(model: Factors) -> Any:
    return np.vstack([model.users, model.items])


@pytest.fixture
def four() -> tuple[Factors, Factors, Factors, Factors]:
    """Θ_a, Θ_u, Θ*_a, Θ*_r"""
    rng = np.random.default_rng(3)
    original = factors(rng)
    optimum = factors(rng, original, 0.05)
    return (
        original,
        factors(rng, original, 0.1),
        rotated(optimum, rng),
        rotated(factors(rng, optimum, 0.1), rng),
    )


def test_it_is_the_share_of_the_dense_definition(four: tuple[Factors, ...]) -> None:
    original, unlearned, whole, rest = map(stacked, four)
    start = whole @ orthogonal_procrustes(whole, original)[0]
    end = rest @ orthogonal_procrustes(rest, start)[0]
    missing, effect = (unlearned - original) - (end - start), end - start
    assert effect_left(*four) == pytest.approx(
        np.linalg.norm(missing) / np.linalg.norm(effect), rel=1e-12
    )
    rows = np.array([1, 4]), np.arange(5) == 2
    chosen = np.array([1, 4, 9])
    apart = np.linalg.norm(missing[chosen]) / np.linalg.norm(effect[chosen])
    assert effect_left(*four, rows=rows) == pytest.approx(apart, rel=1e-12)


def test_no_other_rotation_of_the_optimum_is_nearer(four: tuple[Factors, ...]) -> None:
    """R₁ is a minimum: turning Θ*_a R₁ a little, either way in any plane, takes it away from
    Θ_a."""
    original, _, whole, _ = map(stacked, four)
    start = whole @ orthogonal_procrustes(whole, original)[0]
    least = np.linalg.norm(start - original)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        for angle in (-0.01, 0.01):
            turn = np.eye(3)
            turn[[i, j], [i, j]], turn[i, j], turn[j, i] = (
                np.cos(angle),
                -np.sin(angle),
                np.sin(angle),
            )
            assert np.linalg.norm(start @ turn - original) > least


def test_how_the_optima_are_turned_does_not_matter(four: tuple[Factors, ...]) -> None:
    original, unlearned, whole, rest = four
    rng = np.random.default_rng(8)
    again = effect_left(original, unlearned, rotated(whole, rng), rotated(rest, rng))
    assert again == pytest.approx(effect_left(*four), rel=1e-10)


def test_doing_nothing_leaves_all_and_the_effect_itself_nothing(four: tuple[Factors, ...]) -> None:
    original, _, whole, rest = four
    assert effect_left(original, original, whole, rest) == 1.0
    start = stacked(whole) @ orthogonal_procrustes(stacked(whole), stacked(original))[0]
    moved = (
        stacked(original) + stacked(rest) @ orthogonal_procrustes(stacked(rest), start)[0] - start
    )
    done = Factors(moved[:7], moved[7:], np.ones(3))
    assert effect_left(original, done, whole, rest) < 1e-12


def test_rows_that_the_remaining_data_leave_empty_do_not_count(four: tuple[Factors, ...]) -> None:
    original, unlearned, whole, rest = four
    gone = Factors(rest.users.copy(), rest.items, rest.prediction)
    gone.users[2] = 0
    kept = np.arange(7) != 2
    expected = effect_left(original, unlearned, whole, gone, rows=(kept, np.ones(5, bool)))
    assert effect_left(original, unlearned, whole, gone) == expected
    assert (
        effect_left(original, unlearned, whole, gone, rows=(np.ones(7, bool), np.ones(5, bool)))
        != expected
    )


def test_a_prediction_vector_is_absorbed() -> None:
    rng = np.random.default_rng(5)
    plain = [factors(rng)]
    plain += [factors(rng, plain[0], 0.1) for _ in range(3)]
    h = np.array([2.0, 0.5, 1.5])
    scaled = [Factors(x.users / np.sqrt(h), x.items / np.sqrt(h), h) for x in plain]
    assert effect_left(*scaled) == pytest.approx(effect_left(*plain), rel=1e-12)


def test_what_cannot_be_compared_is_named(four: tuple[Factors, ...]) -> None:
    original, unlearned, whole, rest = four
    short = Factors(rest.users[:6], rest.items, rest.prediction)
    with pytest.raises(
        InvalidInput, match=r"optimum_remaining has users \(6, 3\).*original \(7, 3\)"
    ):
        effect_left(original, unlearned, whole, short)
    damaged = Factors(np.full_like(whole.users, np.nan), whole.items, whole.prediction)
    with pytest.raises(InvalidInput, match="optimum_all holds values that are not finite"):
        effect_left(original, unlearned, damaged, rest)
