"""One cell after the other: train or erase, measure, store, so that a run goes on where it
ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from alteraser import metrics
from alteraser.bench.neural.methods import LARGE, METHODS, SETTINGS, NeuralMethod
from alteraser.bench.paper.measure import PERSISTENCE
from alteraser.bench.paper.run import machine
from alteraser.bench.paper.scene import build_scene
from alteraser.bench.paper.store import CellKey, Record, Store
from alteraser.bench.paper.watch import Clock
from alteraser.data.interactions import Interactions
from alteraser.neural.alternation import Alternating, erase, residual
from alteraser.neural.loss import Loss
from alteraser.neural.modules import KINDS, Network
from alteraser.neural.ranking import Ranker
from alteraser.neural.training import Training, train

Array = npt.NDArray[Any]

OTHERS = 512
"""Users who asked for nothing whose lists are compared."""
WATCHED = 1024
"""Users whom early stopping is scored on."""
DEPTHS = (10, 20, 50)
ENOUGH = 0.99
"""Share of the retrained model's validation NDCG at which a retraining counts as done, for the
fastest one."""


@dataclass(frozen=True)
class NeuralPlan:
    """What to run."""

    folders: tuple[Path, ...]
    kinds: tuple[str, ...]
    methods: tuple[str, ...]
    runs: int = 1
    users: int = 64
    max_epochs: int = 0
    """Cap on epochs, 0 for each model's own."""
    factors: int = 0
    """Length of the embeddings, 0 for each model's own."""
    threads: int = 1

    def cells(self) -> Iterator[tuple[Path, str, CellKey]]:
        """(data set, model, cell), what others need first."""
        for folder in self.folders:
            for kind in self.kinds:
                for run in range(self.runs):
                    for name in METHODS:
                        if (
                            name in self.methods or name in ("retrain", "original")
                        ) and kind in METHODS[name].kinds:
                            yield (
                                folder,
                                kind,
                                CellKey(
                                    f"{folder.name} [{kind}]", "noise", "validation", run, name
                                ),
                            )


def run_plan(
    plan: NeuralPlan, store: Store, on_cell: Callable[[CellKey, float], None] | None = None
) -> list[Record]:
    """Every cell's record, completed; cells that are stored are not run again. Ctrl-C loses one
    cell.
    """
    torch.set_num_threads(plan.threads)
    records: list[Record] = []
    groups: dict[tuple[Path, str, int], list[CellKey]] = {}
    for folder, kind, key in plan.cells():
        groups.setdefault((folder, kind, key.run), []).append(key)
    loaded: tuple[Path, Interactions] | None = None
    for (folder, kind, _), keys in groups.items():
        if any(store.record(key) is None for key in keys):
            if loaded is None or loaded[0] != folder:
                loaded = folder, Interactions.read(folder, duplicates="first")
            group = NeuralGroup(plan, store, kind, keys[0], loaded[1])
            for key in keys:
                began = time.perf_counter()
                if store.record(key) is None:
                    store.put_arrays(key, *group.run(replace(key), METHODS[key.method]))
                if on_cell:
                    on_cell(key, time.perf_counter() - began)
        found = {key.method: store.record(key) or {} for key in keys}
        records += [complete(record, found) for record in found.values()]
    return records


def complete(record: Record, others: dict[str, Record]) -> Record:
    """``record`` with its times against both denominators, from the other records of its run."""
    values = dict(record["metrics"])
    seconds = values["cpu_seconds"]
    if seconds > 0 and record["method"] != "original":
        values["ratio_adamw"] = others["retrain"]["metrics"]["cpu_seconds"] / seconds
        values["ratio_fastest"] = fastest(others) / seconds
    return {**record, "metrics": values}


def fastest(records: dict[str, Record]) -> float:
    """CPU seconds of the fastest retraining: the first epoch of any run from a random start on the
    remaining data at which the validation NDCG is ENOUGH of the best that the AdamW retraining
    reached.
    """
    wanted = ENOUGH * max(entry["score"] for entry in records["retrain"]["trace"])
    times = [records["retrain"]["metrics"]["cpu_seconds"]]
    for name, record in records.items():
        if (
            METHODS[name].what == "train"
            and METHODS[name].data == "after"
            and METHODS[name].start == "random"
        ):
            times += [
                entry["cpu_seconds"] for entry in record["trace"] if entry["score"] >= wanted
            ][:1]
    return float(min(times))


class NeuralGroup:
    """One model on one split of one data set."""

    def __init__(
        self, plan: NeuralPlan, store: Store, kind: str, key: CellKey, data: Interactions
    ) -> None:
        self.plan, self.store, self.kind, self.key = plan, store, kind, key
        changed = {
            name: value
            for name, value in (("max_epochs", plan.max_epochs), ("factors", plan.factors))
            if value
        }
        self.setting = replace(SETTINGS[kind], **changed)
        self.scene = build_scene(data, "noise", "validation", key.run, users=plan.users)
        self.removal = self.scene.before.remove(self.scene.forgotten)
        self.loss = Loss(regularization=self.setting.regularization, seed=key.run)
        rng = np.random.default_rng([key.run, 77])
        able = np.flatnonzero(
            (self.scene.watched.user_counts > 0) & (self.scene.after.user_counts > 0)
        )
        self.watched = np.sort(rng.choice(able, min(WATCHED, able.size), replace=False))
        others = self.scene.others
        self.others = np.sort(rng.choice(others, min(OTHERS, others.size), replace=False))
        self.warm = False
        self._star: Array | None = None

    def module(self, method: str | None, seed: int) -> Network:
        """A fresh module, or that of a finished cell."""
        module = KINDS[self.kind](*self.scene.before.shape, self.setting.factors, seed=seed)
        if method is not None:
            arrays = self.store.arrays(replace(self.key, method=method))
            module.load_state_dict(
                {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
            )
        return module

    def run(self, key: CellKey, method: NeuralMethod) -> tuple[Record, dict[str, Any]]:
        """Run one method and measure what it gives: (record, parameters)."""
        # one initialization for Original, Retrain and Retrain*, as in the paper; the training seed
        # tells them apart
        start = "original" if method.start == "original" or method.what == "erase" else None
        module = self.module(start, (9000 if method.fast else 1000) + key.run)
        self._warm_up()
        clock = Clock()
        trace: list[dict[str, Any]] = []
        found: dict[str, Any] = {}
        if method.what == "train":
            data = self.scene.before if method.data == "before" else self.scene.after
            clock.start()
            found = self._train(module, data, method, clock, trace)
        else:
            how = Alternating(**method.erasing)
            clock.start()
            erased = erase(module, self.scene.before, self.removal, self.loss, how)
            trace = [asdict(step) for step in erased.trace]
        cpu, wall = clock.read()
        values = self._measure(module, method) | {"cpu_seconds": cpu, "wall_seconds": wall, **found}
        record: Record = {
            "cell": str(key),
            **{
                name: getattr(key, name)
                for name in ("dataset", "scenario", "stopping", "run", "method")
            },
            "label": method.label,
            "timed": True,
            "metrics": values,
            "trace": trace,
            "settings": {
                **asdict(self.setting),
                "loss": self.loss.model_dump(),
                "machine": machine(self.plan.threads),
                "users": int(self.scene.users.size),
                "forgotten": len(self.scene.forgotten),
                "interactions": len(self.scene.before),
            },
        }
        state = module.state_dict()
        return record, {name: value.numpy() for name, value in state.items()}

    def _train(
        self,
        module: Network,
        data: Interactions,
        method: NeuralMethod,
        clock: Clock,
        trace: list[dict[str, Any]],
    ) -> dict[str, Any]:
        setting = self.setting
        training = Training(
            learning_rate=setting.learning_rate,
            batch=setting.large_batch if len(data) >= LARGE else setting.batch,
            max_epochs=min(setting.fast_epochs, setting.max_epochs)
            if method.fast
            else setting.max_epochs,
            patience=setting.patience,
            one_cycle=method.fast,
            seed=10 * self.key.run + method.seed,
        )

        def score(module: Network) -> float:
            cpu, wall = clock.read()
            with clock.stopped():
                ranker = Ranker(module, data)
                value = ranker.accuracy(self.watched, self.scene.watched, self.scene.after, (10,))[
                    "ndcg@10"
                ]
            trace.append(
                {"epoch": len(trace) + 1, "cpu_seconds": cpu, "wall_seconds": wall, "score": value}
            )
            return value

        done = train(module, data, self.loss, training, score=score)
        return {"epochs": done.epochs, "best_epoch": done.best_epoch}

    def _warm_up(self) -> None:
        """What torch sets up on a process's first steps and derivatives is nobody's time."""
        if self.warm:
            return
        pairs = [(u, v) for u in range(8) for v in range(u % 3, 8, 3)]
        data, module = Interactions.from_pairs(pairs), KINDS[self.kind](8, 8, 4)
        train(module, data, self.loss, Training(max_epochs=2))
        erase(module, data, data.remove(pairs[:2]), self.loss, Alternating(phi=True))
        self.warm = True

    # ------------------------------------------------------------------ measuring

    def _lists(self, module: Network, method: NeuralMethod, users: Array) -> Array:
        graph = self.scene.before if method.data == "before" else self.scene.after
        return Ranker(module, graph).top(users, k=max(DEPTHS), seen=self.scene.after)[0]

    @cached_property
    def _retrained(self) -> tuple[Array, Array]:
        module, method = self.module("retrain", 0), METHODS["retrain"]
        return self._lists(module, method, self.scene.users), self._lists(
            module, method, self.others
        )

    def _independent(self) -> Array | None:
        """Lists of Retrain*, once that is there."""
        if (
            self._star is None
            and self.store.record(replace(self.key, method="retrain-star")) is not None
        ):
            self._star = self._lists(
                self.module("retrain-star", 0), METHODS["retrain-star"], self.scene.users
            )
        return self._star

    def _measure(self, module: Network, method: NeuralMethod) -> dict[str, float]:
        scene = self.scene
        graph = scene.before if method.data == "before" else scene.after
        ranker = Ranker(module, graph)
        forgotten = ranker.scores(scene.forgotten.user_rows, scene.forgotten.indices)
        values = {"re_predict": float(np.mean(1.0 / (1.0 + np.exp(-forgotten))))}
        values |= ranker.accuracy(scene.users, scene.test, scene.after, DEPTHS)
        rest = ranker.accuracy(self.others, scene.test, scene.after, (10,))
        values |= {f"{name}/others": value for name, value in rest.items()}
        if method.name != "retrain":
            mine, others = (
                self._lists(module, method, rows) for rows in (scene.users, self.others)
            )
            values |= {f"rbo@{k}": overlap(mine, self._retrained[0], k) for k in DEPTHS}
            values["rbo@10/others"] = overlap(others, self._retrained[1], 10)
            star = self._independent()
            if method.name != "retrain-star" and star is not None:
                values["rbo@10/star"] = overlap(mine, star, 10)
        if method.what == "erase" or method.start == "original":
            original = self.module("original", 0)
            values["residual"] = residual(original, module, scene.before, self.removal, self.loss)
        return values


def overlap(first: Array, second: Array, depth: int) -> float:
    """Mean extrapolated RBO of two models' lists."""
    return float(np.mean(metrics.rank_biased_overlap(first, second, p=PERSISTENCE, depth=depth)))
