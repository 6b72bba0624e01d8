"""The paper's scenarios: who gets noise, how much, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.data.interactions import Interactions
from alteraser.data.sets import inject_noise
from alteraser.data.sets.scenario import delete_true
from alteraser.errors import InvalidInput


def data(seed: int = 0) -> Interactions:
    rng = np.random.default_rng(seed)
    u, v = np.nonzero(rng.random((30, 25)) < 0.3)
    return Interactions.from_pairs([(int(a), int(b)) for a, b in zip(u, v, strict=True)])


def keys(interactions: Interactions) -> set[tuple[int, int]]:
    return set(zip(interactions.user_rows.tolist(), interactions.indices.tolist(), strict=True))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([0.2, 0.5, 1.0]))
def test_noise_is_new_counted_by_user_and_goes_nowhere_else(
    seed: int, users: int, share: float
) -> None:
    clean = data()
    held = clean.keep(np.arange(len(clean)) % 7 == 0)
    scene = inject_noise(clean, users=users, share=share, seed=seed, avoid=held)
    assert scene.clean.digest == clean.digest
    assert len(scene.users) == users
    assert not keys(scene.noise) & (keys(clean) | keys(held))
    assert keys(scene.polluted) == keys(clean) | keys(scene.noise)
    expected = np.zeros(clean.users.size, int)
    expected[scene.users] = (clean.user_counts[scene.users] * share).astype(int)
    room = clean.items.size - clean.user_counts
    assert np.array_equal(
        scene.noise.user_counts, np.minimum(expected, np.where(expected > 0, room, 0))
    )
    assert scene.polluted.remove(scene.noise).remaining.digest == clean.digest
    again = inject_noise(clean, users=users, share=share, seed=seed, avoid=held)
    assert again.noise.digest == scene.noise.digest


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([0.1, 0.5, 1.0]))
def test_deletions_are_true_interactions_of_the_chosen(seed: int, users: int, share: float) -> None:
    whole = data()
    scene = delete_true(whole, users=users, share=share, seed=seed)
    assert keys(scene.deleted) <= keys(whole)
    assert keys(scene.remaining) == keys(whole) - keys(scene.deleted)
    counts = np.maximum(1, (whole.user_counts[scene.users] * share).astype(int))
    assert np.array_equal(scene.deleted.user_counts[scene.users], counts)
    assert scene.deleted.user_counts.sum() == counts.sum()


def test_other_seeds_choose_other_users() -> None:
    chosen = {tuple(inject_noise(data(), users=5, seed=seed).users.tolist()) for seed in range(8)}
    assert len(chosen) > 1


@pytest.mark.parametrize("scenario", [inject_noise, delete_true])
def test_too_few_users_are_said(scenario) -> None:  # type: ignore[no-untyped-def]
    few = Interactions.from_pairs([(0, 0), (0, 1), (1, 0)])
    with pytest.raises(
        InvalidInput, match="2 users are asked for, 1 have at least two interactions"
    ):
        scenario(few, users=2)
    with pytest.raises(InvalidInput, match="0 users are asked for"):
        scenario(few, users=0)


def test_noise_needs_plain_interactions() -> None:
    table = data().to_table().append_column("confidence", [np.full(len(data()), 2.0)])
    with pytest.raises(InvalidInput, match="without confidence or target"):
        inject_noise(Interactions.from_table(table), users=3)
