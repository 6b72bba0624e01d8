"""How near a model is to the retrain: the table of overlaps that every library's test prints and
asserts.

A model is given by its scores, users by items; a list is a user's ten best items that D_r does not
hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SLACK = 0.005
"""By how much others' lists may be further from the retrain's than the original's."""


@dataclass(frozen=True)
class Scene:
    """Pairs (u, v), r, and which of them go. Ids are rows."""

    users: Array
    items: Array
    ratings: Array
    gone: Array
    shape: tuple[int, int]

    @property
    def asking(self) -> Array:
        """Users who lost a part."""
        lost, left = (
            np.bincount(self.users[g], minlength=self.shape[0]) for g in (self.gone, ~self.gone)
        )
        return np.flatnonzero((lost > 0) & (left > 0))

    @property
    def others(self) -> Array:
        """Users who lost nothing."""
        return np.setdiff1d(np.unique(self.users), self.users[self.gone])

    def lists(self, scores: Array, users: Array) -> list[set[int]]:
        """Ten best items of each of ``users`` that they have not met in D_r."""
        scores = np.array(scores, dtype=np.float64)
        scores[self.users[~self.gone], self.items[~self.gone]] = -np.inf
        return [set(np.argsort(-scores[user], kind="stable")[:10].tolist()) for user in users]

    def overlap(self, one: Array, other: Array, users: Array) -> float:
        """Mean share of ten that the lists of two models have in common."""
        pairs = zip(self.lists(one, users), self.lists(other, users), strict=True)
        return float(np.mean([len(a & b) / 10 for a, b in pairs])) if len(users) else float("nan")

    def forgotten(self, scores: Array) -> float:
        """Mean score of what goes."""
        return float(np.mean(scores[self.users[self.gone], self.items[self.gone]]))


def generated(seed: int = 0, m: int = 300, n: int = 150, *, whole: int = 3, half: int = 9) -> Scene:
    """Five tastes among 150 items of uneven popularity; three users go whole, nine lose half."""
    rng = np.random.default_rng(seed)
    taste, genre = rng.integers(0, 5, m), rng.integers(0, 5, n)
    popular = (1 + np.arange(n)) ** -0.25
    chance = popular * np.where(taste[:, None] == genre, 0.9, 0.12)
    u, v = np.nonzero(rng.random((m, n)) < chance)
    ratings = np.clip(
        np.round(2.6 + 1.4 * (taste[u] == genre[v]) + 0.7 * rng.standard_normal(u.size)), 1, 5
    )
    chosen = rng.choice(m, whole + half, replace=False)
    gone = np.isin(u, chosen[:whole]) | (np.isin(u, chosen[whole:]) & (rng.random(u.size) < 0.5))
    return Scene(u, v, ratings, gone, (m, n))


def real(folder: Path, seed: int = 0, *, whole: int = 10, half: int = 10) -> Scene:
    """The pairs of a set (a folder with interactions.parquet); ten users go whole, ten lose half.

    r is 1 plus the base-2 logarithm of how often a pair occurs, or of its count, at most 5.
    """
    import pyarrow.parquet as pq

    rows = pq.read_table(folder / "interactions.parquet")
    u, v = (
        np.unique(rows[side].to_numpy(), return_inverse=True)[1] for side in ("user_id", "item_id")
    )
    m, n = int(u.max()) + 1, int(v.max()) + 1
    weight = (
        rows["count"].to_numpy().astype(float) if "count" in rows.column_names else np.ones(u.size)
    )
    keys, place = np.unique(u * n + v, return_inverse=True)
    count = np.bincount(place, weights=weight)
    users, items = keys // n, keys % n
    rng = np.random.default_rng(seed)
    active = np.flatnonzero(np.bincount(users, minlength=m) >= 5)
    chosen = rng.choice(active, whole + half, replace=False)
    gone = np.isin(users, chosen[:whole]) | (
        np.isin(users, chosen[whole:]) & (rng.random(users.size) < 0.5)
    )
    return Scene(
        users, items, np.clip(np.round(1 + np.log2(np.maximum(count, 1))), 1, 5), gone, (m, n)
    )


def table(name: str, scene: Scene, models: dict[str, Array], method: str) -> dict[str, float]:
    """Print one library's lines (before, after, retrain, other seed); answer its overlaps with the
    retrain."""
    retrain = models["retrain"]
    print(
        f"\n{name}, {method}: overlap@10 with the retrain of others | asking users; score of the "
        "forgotten"
    )
    found = {}
    for each, scores in models.items():
        others, asking = (
            scene.overlap(scores, retrain, users) for users in (scene.others, scene.asking)
        )
        print(f"  {each:<11} {others:.3f} | {asking:.3f}   {scene.forgotten(scores):+.3f}")
        found[each], found[f"{each}, asking"] = others, asking
    return found


def never_worse(
    name: str, scene: Scene, models: dict[str, Array], method: str, *, repeatable: bool
) -> None:
    """Others' lists are as near to the retrain's as before, or as another seed's where a trainer is
    not repeatable."""
    found = table(name, scene, models, method)
    floor = found["before"] if repeatable else min(found["before"], found["other seed"])
    assert found["after"] >= floor - SLACK, (
        f"{name}: others' lists went from {found['before']:.3f} to {found['after']:.3f}"
    )
    before, after, retrain = (
        scene.forgotten(models[each]) for each in ("before", "after", "retrain")
    )
    assert abs(after - retrain) <= abs(before - retrain) + 0.02 * abs(before), (
        f"{name}: the forgotten score as before"
    )
