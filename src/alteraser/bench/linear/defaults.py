"""Where the default λ of LightGCN with the full loss comes from: shares of ENMF's rule, over
(K + 1)², on validation cuts alone.

A fifth of everybody's interactions is set aside first, as the other cases do for their test, and is
never looked at. ``CUTS`` cuts of what remains say what each share is worth; a set counts by how
much of its best share's accuracy another one keeps, so that no set outweighs another.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from alteraser.bench.common import load, table
from alteraser.bench.linear.case import Case
from alteraser.data.interactions import Interactions
from alteraser.models.factorization.defaults import defaults as rule
from alteraser.models.relational.lightgcn import LinearLightGCN
from alteraser.verbs.tune.cut import cut
from alteraser.verbs.tune.linear import METRIC, tune_linear

Float64 = npt.NDArray[np.float64]

SHARES = (4.0, 2.8, 2.0, 1.4, 1.0, 0.7, 0.5)
"""Of ENMF's λ over (K + 1)², largest first: each starts from the solution before it"""
CUTS = 3
"""Validation cuts, of seeds 0, 1, …"""
HELD = 0.2
"""Share of everybody's that a cut holds out"""


def shares(folders: Iterable[str | None], asked: Case) -> None:
    """All sets, for every K."""
    sets = [load(folder) for folder in folders]
    for layers in asked.layers:
        print(f"K = {layers}, d = {asked.factors}, NDCG@10 on {CUTS} cuts (deviation)\n")
        found = {}
        for name, whole in sets:
            found[name] = accuracy(whole.split(0.2, seed=0)[0], layers, asked.factors)
            print(f"{name}: done", flush=True)
        print()
        _tell(found)


def accuracy(data: Interactions, layers: int, factors: int) -> Float64:
    """NDCG@10 of every cut and share, (CUTS, SHARES)."""
    rows = []
    for seed in range(CUTS):
        base = LinearLightGCN(factors=factors, layers=layers, seed=seed)
        # as near to what training takes from the part that it is given as the share of it left
        whole = rule(cut(data, HELD, seed=seed)[0]).regularization / (layers + 1) ** 2
        path = tuple(
            base.changed({"regularization": float(f"{share * whole:.6g}")}) for share in SHARES
        )
        trials = tune_linear([path], data, validation=HELD, seed=seed, threads=1).trials
        by_penalty = {trial.settings: trial.metrics[METRIC] for trial in trials}
        rows.append([by_penalty[one] for one in path])
    return np.array(rows)


def kept(found: dict[str, Float64]) -> Float64:
    """Of the best share's accuracy, by share and set: (SHARES, sets).

    >>> kept({"a": np.array([[0.2, 0.4]]), "b": np.array([[0.5, 0.25], [0.5, 0.25]])}).tolist()
    [[0.5, 1.0], [1.0, 0.5]]
    """
    means = np.array([rows.mean(0) for rows in found.values()])
    return np.asarray((means / means.max(1, keepdims=True)).T)


def _tell(found: dict[str, Float64]) -> None:
    shares = kept(found)
    rows = [
        (
            f"{share:g}",
            *(f"{x[:, at].mean():.4f} ({x[:, at].std():.4f})" for x in found.values()),
            f"{shares[at].mean():.4f}",
            f"{shares[at].min():.4f}",
        )
        for at, share in enumerate(SHARES)
    ]
    table(("share of ENMF's λ", *found, "of the best, mean", "least"), rows)
    best = int(np.argmax(shares.mean(1)))
    print(f"Most accurate on the average: {SHARES[best]:g}.\n", flush=True)
