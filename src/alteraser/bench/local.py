"""Forgetting users in models that are not at rest, and in models that are: CPU time against
training, effect left.

A model is trained at the defaults and forgets one user, then ten users, by ``local``. What it
should have become is found from the original outside the timed part: the optimum that training was
on its way to on all data, and from there the optimum on the remaining data. Then the same users are
forgotten by ``auto`` in a model that was trained to rest.

Training and the optima take most of an hour on a large set, and forgetting seconds. With ``keep``
they are written to a folder as soon as they are known, and a later run, or one that was ended, goes
on from there; forgetting is timed anew.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from alteraser import ENMF, Interactions, forget
from alteraser.bench.common import Sets, each, load, table
from alteraser.bench.kept_models import KeptModels, kept
from alteraser.bench.scale import generate
from alteraser.erasers.driver import Settings, run_passes
from alteraser.metrics import effect_left
from alteraser.models import Factors, Problem
from alteraser.models.factorization.model import Model
from alteraser.solvers import JointNewton
from alteraser.solvers.limits import DEFAULT

REQUESTS = (1, 10)
HEADER = (
    "forgotten",
    "method",
    "CPU s",
    "of training",
    "residual",
    "effect left",
    "touched items",
    "others",
    "estimated",
    "class",
)


def local(
    sets: Sets = None,
    generated: Annotated[
        float, typer.Option("--generated", help="Interactions of the generated set.")
    ] = 2e6,
    rest: Annotated[
        bool, typer.Option("--rest", help="A model trained to rest as well (an hour).")
    ] = False,
    effect: Annotated[
        bool,
        typer.Option(
            "--effect/--no-effect", help="Look for the optima that the effect is measured against."
        ),
    ] = True,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", help="Folder for models and optima: a later run goes on from them."),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Worker threads.")] = 1,
) -> int:
    """Models that are not at rest: what a local deletion costs beside training, and what of its
    effect is left out.

    Without --effect no optimum is looked for, and nothing is said of the effect that is left but
    what forget itself estimates: minutes in place of an hour.

    Example: alteraser bench local ml-1m --no-effect
    """
    for folder in each(sets):
        _run(folder, _Plan(threads, effect, rest), int(generated), keep)
    return 0


@dataclass(frozen=True)
class _Plan:
    """How the rows of a table are made."""

    threads: int
    effect: bool
    rest: bool
    seed: int = 5


def _run(folder: str | None, plan: _Plan, generated: int, keep: Path | None) -> None:
    name, data = load(folder) if folder is not None else _generated(generated)
    _warm(plan.threads)
    print(
        f"### {name}: {len(data):,} interactions, {data.shape[0]:,} users, {data.shape[1]:,} "
        "items\n",
        flush=True,
    )
    with kept(keep) as place:
        models = _Kept(Path(place) / name)
        rows = _stopped_early(data, models, plan)
        if plan.rest:
            rows += _at_rest(data, models, plan)
    table(HEADER, rows)


class _Kept(KeptModels):
    """Optima as well as models."""

    def trained(self, data: Interactions, threads: int, *, to_rest: bool) -> tuple[Model, float]:
        """(model, CPU seconds of its training)"""
        settings = ENMF(factors=64, threads=threads, to_rest=to_rest)
        of = f"{settings!r} of {data.digest}"
        return self.model("rest" if to_rest else "model", of, lambda: settings.run(data)[0])

    def factors(self, name: str, find: Callable[[], Factors]) -> Factors:
        """The optimum called ``name``, from the folder or found."""
        path = self.folder / f"{name}.npz"
        if not path.exists():
            began = time.process_time()
            found = find()
            np.savez(path, users=found.users, items=found.items, prediction=found.prediction)
            print(f"optimum {name}: {time.process_time() - began:.0f} CPU s", flush=True)
        with np.load(path) as file:
            return Factors(file["users"], file["items"], file["prediction"])


def _stopped_early(data: Interactions, kept: _Kept, plan: _Plan) -> list[list[str]]:
    model, cost = kept.trained(data, plan.threads, to_rest=False)
    print(
        f"trained in {cost:.0f} CPU s, {_account(model)} of its size from rest by its own "
        "account\n",
        flush=True,
    )
    users, rows = _asking(data, plan.seed), []
    for count in REQUESTS:
        began = time.process_time()
        done = forget(
            model,
            data.users.ids_of(users[:count]),
            data=data,
            whole_users=True,
            method="local",
            threads=plan.threads,
        )
        seconds = time.process_time() - began
        left = ["", "", ""]
        if plan.effect:
            remaining = done.remaining
            whole = kept.factors("all", lambda: _optimum(model, model.factors, data, plan.threads))
            best = kept.factors(
                f"without-{count}", partial(_optimum, model, whole, remaining, plan.threads)
            )
            asked = done.removed.item_counts > 0
            touched = np.zeros(data.shape[0], bool), asked
            others = remaining.user_counts > 0, ~asked & (remaining.item_counts > 0)
            left = [
                f"{effect_left(model.factors, done.model.factors, whole, best, rows=part):.3f}"
                for part in (None, touched, others)
            ]
        rows.append(
            [
                f"{count} user(s), {len(done.removed):,} interactions",
                "local",
                f"{seconds:.1f}",
                f"{seconds / cost:.3f}",
                f"{done.residual:.1e}",
                *left,
                "not known" if done.effect_left is None else f"{done.effect_left:.3f}",
                done.kind,
            ]
        )
        print(rows[-1], flush=True)
    return rows


def _account(model: Model) -> str:
    rest = model.training.get("rest")
    return "an unknown share" if rest is None else f"{rest:.1e}"


def _at_rest(data: Interactions, kept: _Kept, plan: _Plan) -> list[list[str]]:
    _, short = kept.trained(data, plan.threads, to_rest=False)
    settled, long = kept.trained(data, plan.threads, to_rest=True)
    print(f"trained to rest in {long:.0f} CPU s\n", flush=True)
    users, rows = _asking(data, plan.seed), []
    for count in REQUESTS:
        began = time.process_time()
        done = forget(
            settled,
            data.users.ids_of(users[:count]),
            data=data,
            whole_users=True,
            threads=plan.threads,
        )
        seconds = time.process_time() - began
        rows.append(
            [
                f"{count} user(s) from rest",
                done.method,
                f"{seconds:.1f}",
                f"{seconds / short:.3f} ({seconds / long:.3f} of to rest)",
                f"{done.residual:.1e}",
                "",
                "",
                "",
                "",
                done.kind,
            ]
        )
        print(rows[-1], flush=True)
    return rows


def _asking(data: Interactions, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.flatnonzero(data.user_counts > 0))[
        : max(REQUESTS)
    ]


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


def _optimum(model: Model, start: Factors, data: Interactions, threads: int) -> Factors:
    """Where training leads from ``start``, to a millionth of the model's size."""
    settings = Settings(JointNewton(), 1e-5, 3000, 6, threads, limits=DEFAULT)
    return run_passes(
        Problem(model.objective, data, model.factors.dtype), start, settings, origin=start
    ).factors
