"""Running the experiments: one cell after the other, each stored when it is finished."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from alteraser import metrics
from alteraser.bench.paper.effect import AnchoredPasses, TwoRuns
from alteraser.bench.paper.hyperparameters import HyperParameterFile, HyperParameters, Kind
from alteraser.bench.paper.measure import Lists, Ruler
from alteraser.bench.paper.methods import METHODS, PaperMethod
from alteraser.bench.paper.scene import Scene, Stopping, build_scene
from alteraser.bench.paper.store import CellKey, Record, Store
from alteraser.bench.paper.watch import DETAILED, Clock, Watcher
from alteraser.data.interactions import Interactions
from alteraser.erasers import AltEraser, Retrain, Shift
from alteraser.errors import InvalidInput, NotFound
from alteraser.models import Factors, Problem
from alteraser.models.factorization.model import Model
from alteraser.runtime.workers import default_threads
from alteraser.solvers.anchors import Anchors, anchored_norm, anchors
from alteraser.solvers.stationarity import evaluate, gradient_norm


@dataclass(frozen=True)
class PaperPlan:
    """What to run."""

    folders: tuple[Path, ...]
    methods: tuple[str, ...]
    scenarios: tuple[str, ...] = ("noise",)
    stoppings: tuple[Stopping, ...] = ("validation",)
    runs: int = 5
    users: int = 64
    kind: Kind = "enmf"
    weighting: str = "uniform"
    hyperparameters: HyperParameterFile = field(default_factory=HyperParameterFile)
    threads: int = 0
    jobs: int = 1

    def label(self, folder: Path) -> str:
        """The data set's name in keys: with the model, unless that is plain ENMF."""
        name = folder.stem if folder.is_file() else folder.name
        extra = [part for part in (self.kind, self.weighting) if part not in ("enmf", "uniform")]
        return name + (f" [{' '.join(extra)}]" if extra else "")

    def cells(self) -> Iterator[tuple[Path, CellKey]]:
        """Every cell, references first within a run."""
        for folder in self.folders:
            for scenario in self.scenarios:
                for stopping in self.stoppings:
                    for run in range(self.runs):
                        for name in self.methods:
                            if self.kind in METHODS[name].kinds:
                                yield (
                                    folder,
                                    CellKey(self.label(folder), scenario, stopping, run, name),
                                )


def data_folders(path: Path) -> tuple[Path, ...]:
    """``path`` itself if it holds interactions, else the data sets in it. NotFound if there are
    none.
    """
    if path.is_file() or any(path.glob("interactions*.parquet")):
        return (path,)
    if not path.is_dir():
        raise NotFound(f"{path} does not exist")
    found = tuple(
        sorted(f for f in path.iterdir() if f.is_dir() and any(f.glob("interactions*.parquet")))
    )
    if not found:
        raise NotFound(f"{path} holds neither interactions nor folders with interactions.parquet")
    return found


class Setting:
    """One run of one scenario on one data set: everything its cells share, made when first
    needed.
    """

    def __init__(
        self, plan: PaperPlan, store: Store, folder: Path, key: CellKey, data: Interactions
    ) -> None:
        self.plan, self.store, self.key = plan, store, key
        self.hyper: HyperParameters = plan.hyperparameters.of(folder.stem, data, plan.kind)
        self.objective = self.hyper.objective(plan.weighting)
        self.scene: Scene = build_scene(data, key.scenario, key.stopping, key.run, users=plan.users)  # type: ignore[arg-type]
        self.ruler = Ruler(self.scene, self.objective, logistic=plan.kind == "gmf")
        self.threads = plan.threads or default_threads()
        self._retrained: Lists | None = None

    def problem(self, data: Interactions, dtype: Any = np.float32) -> Any:
        """The objective on ``data``."""
        if self.plan.kind == "gmf":
            from alteraser.autograd import ScoredProblem

            return ScoredProblem(self.objective, data, dtype)
        return Problem(self.objective, data, dtype)

    @cached_property
    def before(self) -> Any:
        """L on D_a."""
        return self.problem(self.scene.before)

    @cached_property
    def after(self) -> Any:
        """L on D_r."""
        return self.problem(self.scene.after)

    def finished(self, method: str) -> Factors | None:
        """The model of another cell of this run, if it is there."""
        key = replace(self.key, method=method)
        return self.store.factors(key) if self.store.record(key) is not None else None

    @cached_property
    def original(self) -> Factors:
        """Θ_a."""
        return self.store.factors(replace(self.key, method="original"))

    @property
    def retrained_lists(self) -> Lists | None:
        """Lists of this run's AdamW-retrained model, which consistency is measured against; None
        until it is there.
        """
        if self._retrained is None:
            found = self.finished("retrain")
            self._retrained = None if found is None else self.ruler.lists(found)
        return self._retrained

    @cached_property
    def fastest(self) -> Record | None:
        """The record of the fastest retraining."""
        return self.store.record(replace(self.key, method="retrain-fast"))

    def shift(self, method: PaperMethod, watcher: Watcher) -> Shift:
        """What the eraser is given."""
        m, n = self.scene.before.shape
        if method.name == "original":
            nothing = np.empty(0, np.int64)
            start = Factors.random(m, n, self.hyper.factors, seed=1000 + self.key.run)
            return Shift(start, None, self.before, nothing, nothing, self.threads, watcher)
        touched = (
            Shift.rows(self.scene.forgotten.user_rows),
            Shift.rows(self.scene.forgotten.indices),
        )
        original, before, after = self.original, self.before, self.after
        if method.double:
            original = original.astype(np.float64)
            before, after = (
                self.problem(d, np.float64) for d in (self.scene.before, self.scene.after)
            )
        return Shift(original, before, after, *touched, self.threads, watcher)

    def run(self, method: PaperMethod, *, timed: bool) -> tuple[Record, Factors]:
        """Run one method, and measure what it gives."""
        clock = Clock()
        watcher = Watcher(
            clock,
            lambda number, factors: self._glance(number, factors, method),
            self.ruler.stopping_score if method.early else None,
            self.hyper.patience,
            self.hyper.evaluate_every,
        )
        shift = self.shift(method, watcher)
        eraser = method.build(self.hyper, self.key.run)
        # both orientations exist in any deployment; nobody pays for them
        for problem in (shift.before, shift.after):
            if problem is not None:
                _ = problem.users, problem.items
        clock.start()
        outcome = eraser.erase(shift)
        cpu, wall = clock.read()
        factors = watcher.best if method.early and watcher.best is not None else outcome.factors
        factors = factors.astype(np.float32)
        record: Record = {
            "cell": str(self.key),
            **{
                name: getattr(self.key, name)
                for name in ("dataset", "scenario", "stopping", "run", "method")
            },
            "label": method.label,
            "timed": timed,
            "settings": self._settings(method, eraser, outcome, watcher),
            "metrics": {
                "passes": outcome.passes,
                "products": outcome.products,
                "best_pass": watcher.best_pass,
                "cpu_seconds": cpu,
                "wall_seconds": wall,
                "evaluation_seconds": clock.watching,
            },
            "trace": watcher.trace,
            "data": self._data(),
        }
        record["metrics"] |= self._metrics(factors, shift, method)
        return record, factors

    def _settings(
        self, method: PaperMethod, eraser: Any, outcome: Any, watcher: Watcher
    ) -> dict[str, Any]:
        plain = {k: v for k, v in vars(eraser).items() if isinstance(v, str | int | float | bool)}
        counts = self.scene.before.user_counts
        return {
            "hyper_parameters": self.hyper.model_dump(),
            "eraser": type(eraser).__name__,
            **plain,
            "forgotten_share": len(self.scene.forgotten) / len(self.scene.before),
            "forgetting_users": int(self.scene.users.size),
            "asked_users": self.plan.users,
            "users_with_data": int((counts > 0).sum()),
            "converged": bool(outcome.converged),
            "machine": machine(self.threads),
        }

    def _data(self) -> dict[str, int]:
        before = self.scene.before
        return {
            "users": int((before.user_counts > 0).sum()),
            "items": int((before.item_counts > 0).sum()),
            "interactions": len(before),
            "forgotten": len(self.scene.forgotten),
            "remaining": len(self.scene.after),
            "test": len(self.scene.test),
        }

    def _glance(self, number: int, factors: Factors, method: PaperMethod) -> dict[str, float]:
        if method.name in ("original", "converged") and number not in DETAILED:
            return {}
        found = self.ruler.glance(factors)
        if self.retrained_lists is not None and method.name not in ("original", "retrain"):
            found["rbo@10"] = self.ruler.agreement(self.ruler.lists(factors), self.retrained_lists)[
                "rbo@10"
            ]
        if method.name != "original" and (number in DETAILED or method.name == "retrain-fast"):
            here = evaluate(self.after, factors.astype(np.float32), threads=self.threads)
            found["objective"] = here.objective
            norm = gradient_norm(
                self.after, factors, here.user_gradient, here.item_gradient, threads=self.threads
            )
            found["residual"] = norm / self._push if self._push > 0 else norm
        return found

    @cached_property
    def _push(self) -> float:
        nothing = np.empty(0, np.int64)
        return Shift(self.original, self.before, self.after, nothing, nothing, self.threads).push

    @cached_property
    def _held(self) -> Anchors:
        return anchors(self.before, self.after, self.original, threads=self.threads)

    def anchored(self, factors: Factors) -> float:
        """‖∇L_{D_r}(Θ) − ∇L_{D_a}(Θ_a)‖_{B⁻¹} over the push: what of the deletion alone is still to
        do.
        """
        norm = anchored_norm(self.after, factors, self._held, threads=self.threads)
        return norm / self._push if self._push > 0 else norm

    def _metrics(self, factors: Factors, shift: Shift, method: PaperMethod) -> dict[str, float]:
        found = {"re_predict": self.ruler.re_predict(factors), **self.ruler.accuracy(factors)}
        here = evaluate(self.after, factors, threads=self.threads)
        found["objective"] = here.objective
        if method.name == "original":
            return found
        norm = gradient_norm(
            self.after, factors, here.user_gradient, here.item_gradient, threads=self.threads
        )
        found["residual"] = norm / self._push if self._push > 0 else norm
        return found


def complete(record: Record, setting: Setting, factors: Factors) -> Record:
    """``record`` with what needs other cells of its run: agreement, influence and gap left, ratios
    of time.
    """
    ruler, found = setting.ruler, dict(record["metrics"])
    name = record["method"]
    lists = ruler.lists(factors)
    if setting.retrained_lists is not None and name != "retrain":
        found |= ruler.agreement(lists, setting.retrained_lists)
        retrained = setting.finished("retrain")
        assert retrained is not None  # its lists are there
        found["influence_left/retrain"] = metrics.influence_left(
            factors, retrained, setting.original
        )
    if setting.plan.kind == "enmf":
        found["anchored_residual"] = setting.anchored(factors)
    converged = setting.finished("converged")
    if converged is not None and name != "converged":
        found |= ruler.agreement(lists, ruler.lists(converged), "/converged")
        reference = setting.store.record(replace(setting.key, method="converged"))
        original = setting.store.record(replace(setting.key, method="original"))
        if reference is not None and original is not None:
            best, start = reference["metrics"]["objective"], original["metrics"]["objective"]
            if start > best:
                found["gap_left"] = (found["objective"] - best) / (start - best)
        found["influence_left"] = metrics.influence_left(factors, converged, setting.original)
    slow = setting.store.record(replace(setting.key, method="retrain"))
    if record["timed"] and slow is not None and slow["timed"] and found["cpu_seconds"] > 0:
        found["ratio_adamw"] = slow["metrics"]["cpu_seconds"] / found["cpu_seconds"]
        fast = setting.fastest
        if fast is not None and fast["timed"]:
            seconds, reached = _seconds_to(fast, found["objective"])
            found["ratio_fastest"] = seconds / found["cpu_seconds"]
            found["ratio_fastest_is_bound"] = float(not reached)
    return {**record, "metrics": found}


def _seconds_to(fast: Record, objective: float) -> tuple[float, bool]:
    """(CPU seconds the fastest retraining took to ``objective``, whether it got there at all)."""
    for entry in fast["trace"]:
        value = entry["metrics"].get("objective")
        if value is not None and value <= objective * (1 + 1e-7):
            return entry["cpu_seconds"], True
    return fast["metrics"]["cpu_seconds"], False


def run_plan(
    plan: PaperPlan, store: Store, on_cell: Callable[[CellKey, float], None] | None = None
) -> list[Record]:
    """Run every cell of ``plan`` that is not stored yet; every cell's record, completed. Ctrl-C
    loses one cell.

    With ``plan.jobs`` above 1, runs are done in processes of their own side by side and none of
    their cells counts as timed.
    """
    groups: dict[tuple[Path, CellKey], list[CellKey]] = {}
    for folder, key in plan.cells():
        groups.setdefault((folder, replace(key, method="")), []).append(key)
    if plan.jobs > 1:
        return _parallel(plan, store, groups, on_cell)
    records: list[Record] = []
    loaded: tuple[Path, Interactions] | None = None
    for (folder, _), keys in groups.items():
        if loaded is None or loaded[0] != folder:
            loaded = folder, _read(folder)
        records += run_group(plan, store, folder, loaded[1], keys, on_cell)
    return records


def run_group(
    plan: PaperPlan,
    store: Store,
    folder: Path,
    data: Interactions,
    keys: list[CellKey],
    on_cell: Callable[[CellKey, float], None] | None = None,
) -> list[Record]:
    """The cells of one run."""
    setting: Setting | None = None
    records = []
    for key in keys:
        began = time.perf_counter()
        known = store.record(key)
        if known is not None:
            _same_experiment(plan, folder, known, key, store)
        else:
            setting = setting or _setting(plan, store, folder, key, data)
            setting.key = key
            method = METHODS[key.method]
            record, factors = setting.run(method, timed=method.timed and plan.jobs == 1)
            store.put(key, record, factors)
        if on_cell:
            on_cell(key, time.perf_counter() - began)
    for key in keys:
        record = store.record(key)  # type: ignore[assignment]
        if record.get("complete") != [k.method for k in keys]:
            setting = setting or _setting(plan, store, folder, key, data)
            setting.key = key
            factors = store.factors(key)
            record = complete(record, setting, factors) | {"complete": [k.method for k in keys]}
            store.put(key, record, factors)
        records.append(record)
    return records


def _same_experiment(
    plan: PaperPlan, folder: Path, record: Record, key: CellKey, store: Store
) -> None:
    """InvalidInput when a stored cell was made with other hyper-parameters or another number of
    users.
    """
    was = record["settings"]
    entry: HyperParameters | None = getattr(plan.hyperparameters, plan.kind).get(folder.stem)
    asked = min(plan.users, was["users_with_data"])
    differs = []
    if entry is not None and was["hyper_parameters"] != entry.model_dump():
        differs.append("other hyper-parameters")
    if key.scenario in ("noise", "true") and was["asked_users"] != plan.users:
        differs.append(f"--users {was['asked_users']}, not {asked}")
    if differs:
        raise InvalidInput(
            f"{store.folder} holds cells of another experiment ({key}: {', '.join(differs)}): "
            "give another --out"
        )


def _setting(
    plan: PaperPlan, store: Store, folder: Path, key: CellKey, data: Interactions
) -> Setting:
    setting = Setting(plan, store, folder, key, data)
    _compile(setting)
    return setting


def _parallel(
    plan: PaperPlan,
    store: Store,
    groups: dict[tuple[Path, CellKey], list[CellKey]],
    on_cell: Callable[[CellKey, float], None] | None,
) -> list[Record]:
    records: list[Record] = []
    lonely = replace(plan, threads=max(1, (plan.threads or default_threads()) // plan.jobs))
    with ProcessPoolExecutor(plan.jobs, mp_context=get_context("spawn")) as pool:
        futures = {
            pool.submit(_group_in_process, lonely, store.folder, folder, keys): keys
            for (folder, _), keys in groups.items()
        }
        try:
            for future in as_completed(futures):
                records += future.result()
                for key in futures[future]:
                    if on_cell:
                        on_cell(key, 0.0)
        except BaseException:
            for future in futures:
                future.cancel()
            raise
    return records


def _group_in_process(
    plan: PaperPlan, out: Path, folder: Path, keys: list[CellKey]
) -> list[Record]:
    return run_group(plan, Store(out), folder, _read(folder), keys)


def _read(folder: Path) -> Interactions:
    data = Interactions.read(folder, duplicates="first")
    if len(data) == 0:
        raise InvalidInput(f"{folder} holds no interactions")
    return data


_compiled = False


def _compile(setting: Setting) -> None:
    """Compile (or load) kernels and import torch on a sliver, so that no measured time contains
    it.
    """
    global _compiled
    if _compiled:
        return
    from alteraser.erasers import FirstOrder
    from alteraser.verbs.forget import forget
    from alteraser.verbs.train import ENMF

    data = setting.scene.before
    sliver = data.keep(np.arange(len(data)) < 200)
    model: Model = ENMF(
        factors=setting.hyper.factors, missing_weight=0.1, regularization=1.0, max_passes=2
    ).fit(sliver)
    one = sliver.keep(np.arange(len(sliver)) == 0)
    for eraser in (
        AltEraser(max_passes=2),
        Retrain(max_passes=2, solver="cg"),
        AltEraser(max_passes=2, solver="hf-newton"),
        FirstOrder(max_passes=2),
        AnchoredPasses(max_passes=2),
        TwoRuns(max_passes=2),
    ):
        forget(model, one, data=sliver, method=eraser)
    _compiled = True


def machine(threads: int) -> dict[str, Any]:
    """Where a cell was run."""
    versions = {}
    for package in ("alteraser", "numpy", "numba", "torch"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processors": default_threads(),
        "threads": threads,
        "load": load,
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        **versions,
    }
