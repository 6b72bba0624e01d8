"""In how many places LightGCN with the full loss comes to rest, going straight for the optimum and
with the penalty coming down to it.

A set is cut to some of its users, at random, so that there are many problems to look at and few
interactions for each number to learn. On each: a model with 32 users' noise forgets it, and what
remains is trained on from two other seeds.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from alteraser import compare, forget
from alteraser.bench.common import clocked, load, table
from alteraser.bench.linear.case import Case
from alteraser.data.interactions import Interactions
from alteraser.data.sets import inject_noise
from alteraser.models.relational.lightgcn import LinearLightGCN
from alteraser.verbs.relational.train import train

PARTS = 5
"""Cuts of a set, of seeds 1, 2, …"""
FEWEST = 5
"""Interactions that users and items of a cut have at least, before the noise"""
DOWN = 8.0
"""Times λ to come down from"""
HEADER = (
    "cut",
    "interactions",
    "λ comes down from",
    "retrains, RBO@10",
    "scores",
    "forgotten, RBO@10",
    "scores",
    "L of retrain, retrain, forgotten",
    "CPU s to retrain",
    "to forget",
)


def places(folder: str | None, asked: Case) -> None:
    """One set."""
    name, whole = load(folder)
    print(f"### {name}: {PARTS} cuts of {asked.users:,} users, d = {asked.factors}\n")
    for layers in asked.layers:
        print(f"K = {layers}\n")
        table(HEADER, [], end="")
        for seed in range(1, PARTS + 1):
            kind = LinearLightGCN(
                factors=asked.factors,
                layers=layers,
                missing_weight=asked.missing_weight,
                regularization=asked.regularization,
                **asked.weighing,
            )
            _cut(whole, seed, kind, asked.users)
        print()


def part(whole: Interactions, users: int, seed: int) -> Interactions:
    """Of ``users`` of a set."""
    chosen = np.random.default_rng(seed).permutation(whole.shape[0])[:users]
    return whole.keep(np.isin(whole.user_rows, chosen)).k_core(FEWEST).compact()


def _cut(whole: Interactions, seed: int, kind: LinearLightGCN, users: int) -> None:
    scene = inject_noise(part(whole, users, seed), users=32, seed=0)
    for down in (1.0, DOWN):
        settings = kind.model_copy(update={"continuation": down})
        original = train(settings, scene.polluted, threads=1)
        erasure, forgot, _ = clocked(
            partial(forget, original, scene.noise, data=scene.polluted, threads=1)
        )
        anew = [original.settings.model_copy(update={"seed": x}) for x in (7, 8)]
        (one, spent, _), (two, _, _) = (
            clocked(partial(train, x, scene.clean, threads=1)) for x in anew
        )
        found = [compare(x, one, data=scene.clean) for x in (two, erasure.model)]
        objectives = (x.training["objective"] for x in (one, two, erasure.model))
        row = [seed, f"{len(scene.polluted):,}", f"{down:g} λ"]
        for measured in found:
            row += [f"{measured['rbo@10']:.4f}", f"{measured['score_distance']:.1e}"]
        row += [", ".join(f"{x:.3f}" for x in objectives), f"{spent:.1f}", f"{forgot:.1f}"]
        print("| " + " | ".join(str(x) for x in row) + " |", flush=True)
