"""Single-user requests in a warm process: latency, what polishing adds, agreement of orders, drift
against retraining.

Every request is one user, their whole history or one interaction. "at once" is the request itself
(the user's row and the items of the request solved exactly), "polish" what brings all requests so
far to the optimum for what remains.
"""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
import typer

from alteraser import ENMF, Interactions, Model
from alteraser.bench.common import MissingWeight, Regularization, Sets, each, load, table
from alteraser.engines.session import Stream
from alteraser.erasers.recipe import Recipe
from alteraser.evidence.certificate import Limits
from alteraser.metrics import relative_model_distance
from alteraser.models import Factors, Problem
from alteraser.runtime.workers import default_threads
from alteraser.verbs.evaluate import compare

SAMPLE = 500


def stream(
    sets: Sets = None,
    missing_weight: MissingWeight = None,
    regularization: Regularization = None,
    requests: Annotated[
        int, typer.Option("--requests", min=1, help="Requests of one user each.")
    ] = 1000,
) -> int:
    """Latencies, amortized costs, distances between orders, and agreement with retraining at four
    checkpoints.

    Example: alteraser bench stream ml-1m --requests 200
    """
    for folder in each(sets):
        _run(folder, ENMF(missing_weight=missing_weight, regularization=regularization), requests)
    return 0


def _run(folder: str | None, settings: ENMF, requests: int) -> None:
    name, whole = load(folder)
    data = whole.split(0.2, seed=0)[0]
    began = time.process_time()
    model = settings.fit(data)
    print(
        f"### Streams: {name}, {len(data):,} interactions, {model.objective.missing_weight=:.3g}, "
        f"{model.objective.regularization=:.3g}; training {time.process_time() - began:.1f} CPU s\n"
    )
    # numba compiles on the first calls, which would be counted
    warm = Stream(model, data)
    warm.forget([data.users.ids[0].as_py()], whole_users=True)
    users = np.random.default_rng(1).permutation(np.flatnonzero(data.user_counts > 0))
    requests = min(requests, users.size // 3)
    chosen = [data.users.ids[int(row)].as_py() for row in users[:requests]]
    _latencies(model, data, chosen)
    ends = _orders(model, data, chosen)
    print(
        "Relative distance of the final models from that of all requests at once: "
        + ", ".join(
            f"{label} {relative_model_distance(end, ends['all at once']):.1e}"
            for label, end in ends.items()
        )
        + "\n"
    )
    _adaptive(model, data, min(200, requests))


def _latencies(model: Model, data: Interactions, chosen: list[object]) -> None:
    rows = []
    for kind in ("whole history", "one interaction"):
        stream = Stream(model, data)
        seconds = []
        for user in chosen:
            forget_set: list[object] = [user]
            if kind == "one interaction":
                row = data.users.rows_of([user])[0]
                forget_set = [(user, data.items.ids[int(data.indices[data.indptr[row]])].as_py())]
            began = time.process_time()
            stream.forget(forget_set, whole_users=kind == "whole history")
            seconds.append(time.process_time() - began)
        began = time.process_time()
        stream.publish()
        publishing = time.process_time() - began
        spread = [f"{1e3 * x:.1f}" for x in np.percentile(seconds, [50, 95, 99, 100])]
        rows.append([kind, len(seconds), *spread, f"{1e3 * publishing:.0f}"])
    table(["request", "requests", "p50, CPU ms", "p95", "p99", "max", "publishing once"], rows)


def _orders(model: Model, data: Interactions, chosen: list[object]) -> dict[str, Factors]:
    rows: list[list[str]] = []
    ends: dict[str, Factors] = {}
    sizes = [size for size in (10, 100) if size < len(chosen)]
    for label, size, whole in (
        *((f"batches of {size}", size, False) for size in sizes),
        ("one by one, polished at the end", len(chosen), False),
        ("all at once", len(chosen), True),
    ):
        stream = Stream(model, data)
        touching, polishing, agreements = 0.0, [], []
        checkpoints = {len(chosen) * k // 4 // size * size for k in (1, 2, 3)} | {len(chosen)}
        for begin in range(0, len(chosen), size):
            batch = chosen[begin : begin + size]
            began = time.process_time()
            for request in [batch] if whole else [[user] for user in batch]:
                stream.forget(request, whole_users=True)
            touching += time.process_time() - began
            began = time.process_time()
            outcome = stream.polish()
            polishing.append(time.process_time() - began)
            assert outcome.converged, outcome
            if size == 100 and begin + len(batch) in checkpoints:
                agreements.append(f"{begin + len(batch)}: {_agreement(stream, model):.4f}")
        assert outcome.measured is not None
        ends[label] = stream.publish().factors
        per = (touching + sum(polishing)) / len(chosen)
        rows.append(
            [
                label,
                f"{1e3 * touching / len(chosen):.1f}",
                f"{np.median(polishing):.2f}",
                f"{max(polishing):.2f}",
                f"{1e3 * per:.0f}",
                f"{outcome.measured.distance:.1e}",
                "; ".join(agreements) or "",
            ]
        )
    table(
        [
            "requests",
            "at once, CPU ms each",
            "one polish, CPU s (median)",
            "(max)",
            "amortized, CPU ms",
            "distance",
            "RBO@10 to a converged retrain",
        ],
        rows,
    )
    began = time.process_time()
    one = Stream(model, data)
    one.polish()
    first = time.process_time() - began
    seconds = []
    for user in chosen[:5]:
        one.forget([user], whole_users=True)
        began = time.process_time()
        one.polish()
        seconds.append(time.process_time() - began)
    print(
        f"One request, then polished: {np.median(seconds):.2f} CPU s (median of 5; the very first "
        f"one, which finishes the training, {first:.2f})\n"
    )
    return ends


def _agreement(stream: Stream, model: Model) -> float:
    """RBO@10 of sampled users against a converged retrain of another seed on what remains."""
    now, remaining = stream.publish(), stream.remaining()
    remaining = remaining.with_maps(now.users, now.items)
    problem = Problem(model.objective, remaining, np.float32)
    recipe = Recipe(
        seed=5, solver="joint", tolerance=1e-5, max_passes=500, memory=6, limits=Limits()
    )
    outcome = recipe.run(problem, now.factors.rank, threads=default_threads())
    fresh = Model(
        outcome.factors, now.objective, users=now.users, items=now.items, trained_on=now.trained_on
    )
    alive = np.flatnonzero(remaining.user_counts > 0)
    sample = np.random.default_rng(0).permutation(alive)[:SAMPLE]
    return compare(now, fresh, data=remaining, users=now.users.ids_of(sample).to_pylist())["rbo@10"]


def _adaptive(model: Model, data: Interactions, count: int) -> None:
    """Always the user whose scores moved most since the last request; polished every 50."""
    stream = Stream(model, data)
    alive = data.user_counts > 0
    before = stream.publish().factors
    target = int(np.argmax(data.user_counts))
    agreements = []
    for number in range(1, count + 1):
        alive[target] = False
        stream.forget([data.users.ids[target].as_py()], whole_users=True)
        if number % max(count // 4, 1) == 0:
            stream.polish()
            agreements.append(f"{number}: {_agreement(stream, model):.4f}")
        after = stream.publish().factors
        moved = np.where(alive, np.linalg.norm(after.users - before.users, axis=1), -1.0)
        if not moved.max() > 0:  # no user's row has moved since: the one nearest to the last
            moved = np.where(alive, after.users @ before.users[target], -np.inf)
        before, target = after, int(np.argmax(moved))
    print(
        f"{count} adaptive requests, RBO@10 to a converged retrain: " + "; ".join(agreements) + "\n"
    )
