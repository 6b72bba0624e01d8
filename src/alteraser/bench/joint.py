"""Ways to the optimum compared: passes, accelerated passes, Newton steps, joint steps, each from
Θ_a and from scratch.

Work is CPU time over that of one pass with 3 CG steps per row in the same run, everything included:
extrapolation, factorization, line search, the measurements that a method needs to stop. What this
script measures on top is not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from alteraser import ENMF, Model, compare, metrics
from alteraser.bench.common import MissingWeight, Regularization, Sets, each, load, numbers, table
from alteraser.data.sets import inject_noise
from alteraser.data.sets.scenario import NoiseScenario
from alteraser.engines.session import Stream
from alteraser.erasers.driver import Settings, Watch, run_passes
from alteraser.erasers.recipe import Recipe
from alteraser.evidence.certificate import Limits
from alteraser.models import Factors, Objective, Problem
from alteraser.models.factorization.model import TrainedOn
from alteraser.runtime.workers import default_threads
from alteraser.solvers import AHNewton, ConjugateGradient, JointNewton, Solver
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import evaluate, gradient_norm, push

RANK, PATIENCE = 64, 500.0
"""d, and the work after which a method that has not arrived is given up."""
NEWTON = JointNewton(memory=0, slow_below=2e-4)
"""Each step solved to a tenth by conjugate gradients; the slow space from where it served them
best."""
GOALS = (
    ("influence", 0.05),
    ("influence", 1e-3),
    ("rbo", 0.99),
    ("rbo", 0.999),
    ("residual", 1e-3),
    ("gap", 0.01),
)


@dataclass
class Trail:
    """One method: what was left after how much work."""

    name: str
    scratch: bool
    work: list[float] = field(default_factory=list)
    influence: list[float] = field(default_factory=list)
    rbo: list[float] = field(default_factory=list)
    residual: list[float] = field(default_factory=list)
    gap: list[float] = field(default_factory=list)

    def to(self, measure: str, goal: float) -> float | None:
        """Work at which ``measure`` reached ``goal`` and stayed there; None if it never did."""
        values = getattr(self, measure)
        good = [value >= goal if measure == "rbo" else value <= goal for value in values]
        late = [k for k, ok in enumerate(good) if not ok]
        first = late[-1] + 1 if late else 0
        return self.work[first] if first < len(values) else None


def joint(
    sets: Sets = None,
    missing_weight: MissingWeight = None,
    regularization: Regularization = None,
    shares: Annotated[str, typer.Option("--shares", help="Of λ, with commas.")] = f"1,{1 / 3}",
    plots: Annotated[Path | None, typer.Option("--plots", help="Folder for the plots.")] = None,
) -> int:
    """Ways to the optimum compared, each from the trained model and from scratch, at each share of
    λ.

    Example: alteraser bench joint ml-1m --plots plots
    """
    for folder in each(sets):
        _run(
            folder,
            ENMF(missing_weight=missing_weight, regularization=regularization),
            numbers(shares, "--shares"),
            plots,
        )
    return 0


def _run(folder: str | None, settings: ENMF, shares: tuple[float, ...], out: Path | None) -> None:
    name, whole = load(folder)
    train, _ = whole.split(0.2, seed=0)
    scene = inject_noise(train, users=64, seed=0)
    base = settings.objective(scene.polluted)
    for share in shares:
        objective = base.model_copy(update={"regularization": base.regularization * share})
        trails, notes = _compare(objective, scene)
        title = f"{name}, w0 = {objective.missing_weight:.3g}, λ = {objective.regularization:.3g}"
        print(f"### {title}\n\n{notes}\n")
        _print(trails)
        if out is not None:
            _draw(out, title, notes, trails)


def _compare(objective: Objective, scene: NoiseScenario) -> tuple[list[Trail], str]:
    threads = default_threads()
    before, after = Problem(objective, scene.polluted), Problem(objective, scene.clean)
    exact = Problem(objective, scene.clean, np.float64)
    train = Recipe(seed=0, solver="joint", tolerance=1e-6, max_passes=500, memory=6)
    original = train.run(before, RANK, threads=threads).factors
    sharp = Recipe(
        seed=7,
        solver="joint",
        tolerance=1e-7,
        max_passes=1000,
        memory=6,
        limits=Limits(distance=1e-8),
    )
    reference = sharp.run(exact, RANK, threads=threads)
    second = sharp.model_copy(update={"seed": 8}).run(exact, RANK, threads=threads)
    users = np.unique(scene.noise.user_rows)
    ids = scene.clean.users.ids_of(users).to_pylist()

    def model(factors: Factors) -> Model:
        return Model(
            factors,
            objective,
            users=scene.clean.users,
            items=scene.clean.items,
            trained_on=TrainedOn.of(scene.clean),
        )

    goal = model(reference.factors)

    def agreement(factors: Factors) -> float:
        return compare(model(factors), goal, data=scene.clean, users=ids)["rbo@10"]

    scale = push(before, after, original, threads=threads).norm
    start_objective = evaluate(exact, original).objective

    def timed(trail: Trail, whole: Callable[[Watch], None]) -> Trail:
        before_and_after = [_pass_cost(after, original, threads)]
        spent = [0.0]
        clock = [time.process_time()]

        def watch(_: int, factors: Callable[[], Factors]) -> bool:
            spent[0] += time.process_time() - clock[0]
            now = factors()
            here = evaluate(exact, now)
            gradient = here.user_gradient, here.item_gradient
            trail.work.append(spent[0])
            trail.residual.append(gradient_norm(exact, now, *gradient) / scale)
            trail.influence.append(metrics.influence_left(now, reference.factors, original))
            trail.rbo.append(agreement(now))
            trail.gap.append(
                (here.objective - reference.objective)
                / max(start_objective - reference.objective, 1e-300)
            )
            clock[0] = time.process_time()
            return spent[0] / before_and_after[0] > PATIENCE

        whole(watch)
        before_and_after.append(_pass_cost(after, original, threads))
        unit = float(np.mean(before_and_after))
        trail.work = [seconds / unit for seconds in trail.work]
        return trail

    def follow(
        trail: Trail, solver: Solver, memory: int, start: Factors, limits: Limits | None
    ) -> Trail:
        settings = Settings(
            solver, 0.0 if limits is None else 1e-3, 1500, memory, threads, limits=limits
        )

        def whole(watch: Watch) -> None:
            run_passes(after, start, settings, scale=scale, origin=original, watch=watch)

        return timed(trail, whole)

    warm = Model(
        original,
        objective,
        users=scene.polluted.users,
        items=scene.polluted.items,
        trained_on=TrainedOn.of(scene.polluted),
    )
    wanted = scene.noise.to_table().select(["user_id", "item_id"])
    compiled = Stream(warm, scene.polluted, threads=threads)
    compiled.forget(wanted)
    compiled.polish(max_passes=8)
    began = time.process_time()
    stream = Stream(warm, scene.polluted, threads=threads)
    built = (time.process_time() - began) / _pass_cost(after, original, threads)
    size = sum(half.blocks.nbytes for half in stream.kept.halves if half.blocks is not None)

    def at_once(watch: Watch) -> None:
        stream.forget(wanted)
        stream.polish(watch=watch)

    kept = timed(Trail("joint, blocks and slow space kept", False), at_once)
    rows, columns = scene.clean.shape
    random = Factors.random(rows, columns, RANK, seed=1, dtype=np.float32)
    trails = [
        follow(Trail("plain passes", False), AHNewton(), 0, original, None),
        follow(Trail("accelerated passes", False), AHNewton(), 6, original, None),
        follow(Trail("joint", False), JointNewton(), 6, original, Limits()),
        follow(Trail("joint, no slow space", False), JointNewton(weak=0), 6, original, Limits()),
        follow(Trail("Newton steps", False), NEWTON, 6, original, Limits()),
        kept,
        follow(Trail("retrain, accelerated passes", True), AHNewton(), 6, random, None),
        follow(Trail("retrain, joint", True), JointNewton(), 6, random, Limits()),
        follow(
            Trail("retrain, joint, no slow space", True), JointNewton(weak=0), 6, random, Limits()
        ),
        follow(Trail("retrain, Newton steps", True), NEWTON, 6, random, Limits()),
    ]
    base = {"influence": 1.0, "rbo": agreement(original)}
    for trail in trails:
        if not trail.scratch:
            trail.work.insert(0, 0.0)
            trail.residual.insert(0, 1.0)
            trail.influence.insert(0, base["influence"])
            trail.rbo.insert(0, base["rbo"])
            trail.gap.insert(0, 1.0)
    moved = metrics.relative_model_distance(original, reference.factors)
    apart = metrics.relative_model_distance(second.factors, reference.factors)
    notes = (
        f"{len(scene.polluted):,} interactions, {len(scene.noise):,} to forget, d = {RANK}. The "
        f"original is {moved:.1e} from the retrained model (float64, stationary to "
        f"{reference.residual:.0e}); a retrain of another seed is {apart:.1e} from it, RBO@10 "
        f"{agreement(second.factors):.4f}. The original's RBO@10 is {base['rbo']:.4f}. What is "
        f"kept from training in one row took a work of {built:.0f} and {size / 2**20:.0f} MiB."
    )
    return trails, notes


def _pass_cost(problem: Problem, factors: Factors, threads: int) -> float:
    """CPU seconds of a pass with 3 CG steps per row: the median of at least five and of half a
    second.
    """
    solver, P, Q = ConjugateGradient(3), padded(factors.users), padded(factors.items)
    times: list[float] = []
    while len(times) < 6 or sum(times) < 0.5:
        began = time.process_time()
        solver.solve(problem.users, Q, P, None, rank=RANK, threads=threads)
        solver.solve(problem.items, P, Q, None, rank=RANK, threads=threads)
        times.append(time.process_time() - began)
    return float(np.median(times[1:]))


def _print(trails: list[Trail]) -> None:
    names = {"influence": "influence left", "rbo": "RBO@10", "residual": "residual", "gap": "gap"}
    header = [
        "work to",
        *(f"{names[m]} {'≥' if m == 'rbo' else '≤'} {goal:g}" for m, goal in GOALS),
        "smallest residual",
    ]

    def shown(work: float | None) -> str:
        return "-" if work is None else f"{work:.0f}"

    table(
        header,
        [
            [t.name, *(shown(t.to(*goal)) for goal in GOALS), f"{min(t.residual):.0e}"]
            for t in trails
        ],
    )
    _print_ratios(trails)
    print(flush=True)


def _print_ratios(trails: list[Trail]) -> None:
    """Work of the fastest retraining over ours, by measure."""
    ours = [
        next(t for t in trails if t.name == name)
        for name in ("joint", "joint, blocks and slow space kept")
    ]
    for measure, goal in (("gap", 0.01), ("influence", 1e-3), ("residual", 1e-3)):
        mine = [t.to(measure, goal) for t in ours]
        theirs = [w for t in trails if t.scratch and (w := t.to(measure, goal)) is not None]
        if theirs:
            ratios = " and ".join("-" if w is None else f"{min(theirs) / w:.1f}x" for w in mine)
            print(
                f"Against the fastest retraining to {measure} {goal:g}: {ratios} (kept) less work."
            )


def _draw(folder: Path, title: str, notes: str, trails: list[Trail]) -> None:
    from alteraser.report.html import document, plot_section
    from alteraser.report.plots import COLORS, DASHES, SYMBOLS, layout_of

    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"<header><h1>{title}</h1><p>{notes}</p></header>"]
    for measure, label in (
        ("residual", "residual"),
        ("influence", "influence left"),
        ("gap", "gap left"),
        ("rbo", "1 − RBO@10"),
    ):
        traces = []
        for place, trail in enumerate(trails):
            color, dash, symbol = (kind[place % len(kind)] for kind in (COLORS, DASHES, SYMBOLS))
            values = [1 - x if measure == "rbo" else x for x in getattr(trail, measure)]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": trail.name,
                    "x": trail.work,
                    "y": [x if x > 0 else None for x in values],
                    "line": {
                        "color": "#5F6B76" if trail.scratch and place > 4 else color,
                        "dash": dash,
                    },
                    "marker": {"symbol": symbol, "size": 6},
                }
            )
        layout = layout_of("work, passes of 3 CG steps", label)
        layout["yaxis"] |= {"type": "log", "exponentformat": "power"}
        layout["xaxis"] |= {"range": [0, min(150.0, max(max(t.work) for t in trails))]}
        parts.append(plot_section(label, "", {"data": traces, "layout": layout}, ""))
    stem = "".join(c if c.isalnum() else "-" for c in title)
    (folder / f"{stem}.html").write_text(document(title, "\n".join(parts)), encoding="utf-8")
    (folder / f"{stem}.json").write_text(json.dumps([vars(t) for t in trails]), encoding="utf-8")
