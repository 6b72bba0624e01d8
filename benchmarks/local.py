"""Forgetting users in models that are not at rest, and in models that are: CPU time against training, effect left.

A model is trained at the defaults and forgets one user, then ten users, by ``local``. What it should have become is
found from the original outside the timed part: the optimum that training was on its way to on all data, and from there
the optimum on the remaining data. Then the same users are forgotten by ``auto`` in a model that was trained to rest.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from common import load, table
from scale import generate

from alteraser import ENMF, Interactions, forget
from alteraser.certificate.limits import DEFAULT
from alteraser.erasers.driver import Settings, run_passes
from alteraser.metrics import effect_left
from alteraser.model import Model
from alteraser.models import Factors, Problem
from alteraser.solvers import JointNewton

REQUESTS = (1, 10)


def run(folder: str | None, *, threads: int = 1, rest: bool = True, generated: float = 2e6, seed: int = 5) -> None:
    """Print the table of one data set, or of ``generated`` interactions without a folder."""
    name, data = load(folder) if folder is not None else _generated(int(generated))
    _warm(threads)
    print(f"### {name}: {len(data):,} interactions, {data.shape[0]:,} users, {data.shape[1]:,} items\n", flush=True)
    model, cost, _ = _train(data, threads, to_rest=False)
    users = np.random.default_rng(seed).permutation(np.flatnonzero(data.user_counts > 0))[: max(REQUESTS)]
    whole = _optimum(model, model.factors, data, threads)
    rows = []
    for count in REQUESTS:
        began = time.process_time()
        done = forget(
            model, data.users.ids_of(users[:count]), data=data, whole_users=True, method="local", threads=threads
        )
        seconds = time.process_time() - began
        best = _optimum(model, whole, done.remaining, threads)
        asked = done.removed.item_counts > 0
        touched = np.zeros(data.shape[0], bool), asked
        others = done.remaining.user_counts > 0, ~asked & (done.remaining.item_counts > 0)
        left = [
            effect_left(model.factors, done.model.factors, whole, best, rows=part) for part in (None, touched, others)
        ]
        rows.append([
            f"{count} user(s), {len(done.removed):,} interactions", "local", f"{seconds:.1f}", f"{seconds / cost:.3f}",
            f"{done.residual:.1e}", *(f"{x:.3f}" for x in left), f"{done.effect_left or 0:.3f}", done.kind,
        ])  # fmt: skip
        print(rows[-1], flush=True)
    print(f"trained in {cost:.0f} CPU s, {model.training['distance']:.1e} of its size from rest by its own account\n")
    if rest:
        settled, long, passes = _train(data, threads, to_rest=True)
        print(f"trained to rest in {long:.0f} CPU s, {passes} passes\n", flush=True)
        for count in REQUESTS:
            began = time.process_time()
            done = forget(settled, data.users.ids_of(users[:count]), data=data, whole_users=True, threads=threads)
            seconds = time.process_time() - began
            rows.append([
                f"{count} user(s) from rest", done.method, f"{seconds:.1f}",
                f"{seconds / cost:.3f} ({seconds / long:.3f} of to rest)", f"{done.residual:.1e}", "", "", "", "",
                done.kind,
            ])  # fmt: skip
            print(rows[-1], flush=True)
    table(
        ["forgotten", "method", "CPU s", "of training", "residual", "effect left", "touched items", "others",
         "estimated", "class"], rows,
    )  # fmt: skip


def _generated(interactions: int) -> tuple[str, Interactions]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "generated"
        generate(folder, interactions)
        return "generated", Interactions.read(folder)


def _warm(threads: int) -> None:
    """Compile or load every kernel before anything is timed."""
    tiny = Interactions.from_pairs([(u, v) for u in range(80) for v in range(u % 3, 60, 3)])
    model = ENMF(factors=64, missing_weight=0.1, regularization=0.5, threads=threads).fit(tiny)
    for method in ("local", "converge"):
        forget(model, [0], data=tiny, whole_users=True, method=method, threads=threads)


def _train(data: Interactions, threads: int, *, to_rest: bool) -> tuple[Model, float, int]:
    began = time.process_time()
    model, outcome = ENMF(factors=64, threads=threads, to_rest=to_rest).run(data)
    return model, time.process_time() - began, outcome.passes


def _optimum(model: Model, start: Factors, data: Interactions, threads: int) -> Factors:
    """Where training leads from ``start``, to a millionth of the model's size."""
    settings = Settings(JointNewton(), 1e-5, 3000, 6, threads, limits=DEFAULT)
    return run_passes(Problem(model.objective, data, model.factors.dtype), start, settings, origin=start).factors
