"""The search: coarse paths, finer ones around the best, finalists measured, one chosen."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from alteraser.data.interactions import Interactions
from alteraser.errors import Interrupted, InvalidInput
from alteraser.models import Factors
from alteraser.runtime import events
from alteraser.runtime.workers import default_threads
from alteraser.tolerances import checked_tolerance
from alteraser.verbs.tune.forgettability import Forgettability, forgettability
from alteraser.verbs.tune.grid import Grid, GridPoint, Path
from alteraser.verbs.tune.trial import GROUPS, Folder, Trial, run_trial


@dataclass(frozen=True)
class Finalist:
    """A trial with how well defined its solution is."""

    trial: Trial
    forgettability: Forgettability


@dataclass(frozen=True)
class Tuned:
    """The answer."""

    trials: tuple[Trial, ...]
    """All of them, best NDCG first"""
    finalists: tuple[Finalist, ...]
    chosen: Finalist
    resumed: int
    """Trials that were found finished"""


@events.verb("tune", "resumed")
def tune(
    data: Interactions,
    *,
    grid: Grid | None = None,
    out: FilePath | None = None,
    validation: float = 0.2,
    seed: int = 0,
    finalists: int = 4,
    users: int = 500,
    tolerance: float = 1e-3,
    max_passes: int = 200,
    jobs: int = 1,
    threads: int = 0,
) -> Tuned:
    """Choose d, w₀ and λ for ``data``.

    Every d and w₀ has a path of falling λ; each point starts from the solution before it and is
    trained to ``tolerance``. A finer round follows around the best. The ``finalists`` best by
    NDCG@10 on the held-out share ``validation`` are trained to the end from two seeds. Chosen is,
    of those whose NDCG is within one standard error of the best, the one whose seeds agree best (to
    a thousandth), then the one with more regularization.

    ``out`` is a folder that keeps finished trials: the same call goes on where it ended. ``jobs``
    paths run side by side, sharing ``threads``. Raises IntegrityError for a folder of another
    search, Interrupted on Ctrl-C.
    """
    grid = grid or Grid()
    if len(data) == 0:
        raise InvalidInput("there are no interactions to tune on")
    if jobs < 1 or finalists < 1 or users < 1:
        raise InvalidInput("jobs, finalists and users must be at least 1")
    checked_tolerance(tolerance)
    train, held = data.split(validation, seed=seed)
    if len(held) == 0:
        raise InvalidInput(
            f"no user has enough interactions to hold out {validation:.0%} of them; raise "
            "--validation, or give more data"
        )
    search = _Search(
        train,
        _groups(held),
        grid,
        out,
        data.digest,
        validation,
        seed,
        tolerance,
        max_passes,
        jobs,
        threads or default_threads(),
    )
    with threadpool_limits(1):
        return search.run(finalists, users)


class _Search:
    def __init__(
        self,
        train: Interactions,
        held: list[Interactions],
        grid: Grid,
        out: FilePath | None,
        digest: str,
        validation: float,
        seed: int,
        tolerance: float,
        max_passes: int,
        jobs: int,
        threads: int,
    ) -> None:
        self.train, self.held, self.grid, self.seed = train, held, grid, seed
        self.tolerance, self.max_passes = tolerance, max_passes
        self.jobs, self.threads = jobs, max(1, threads // jobs)
        signature = {
            "data": digest,
            "validation": validation,
            "seed": seed,
            "tolerance": tolerance,
            "max_passes": max_passes,
            "grid": grid.model_dump(mode="json"),
        }
        self.folder = None if out is None else Folder(out, signature)
        self.stop = threading.Event()
        self.trials: dict[GridPoint, Trial] = {}
        self.resumed = self.done = self.total = 0

    def run(self, finalists: int, users: int) -> Tuned:
        coarse = self.grid.coarse(self.train)
        self._paths(coarse)
        best = max(self.trials.values(), key=lambda t: t.ndcg)
        self._paths(self.grid.fine(best.point, set(self.trials)))
        ranked = tuple(sorted(self.trials.values(), key=lambda t: (-t.ndcg, t.point)))
        measured: list[Finalist] = []
        chosen = ranked[:finalists]
        for number, trial in enumerate(chosen):
            _say(f"two seeds of {trial.point.key}", number, len(chosen))
            try:
                found = forgettability(
                    trial.point,
                    self.train,
                    users=users,
                    seed=self.seed + 1,
                    max_passes=1000,
                    threads=self.threads * self.jobs,
                )
            except KeyboardInterrupt:
                raise self._interrupted() from None
            measured.append(Finalist(trial, found))
        _say("done", len(chosen), len(chosen))
        return Tuned(ranked, tuple(measured), choose(measured), self.resumed)

    def _paths(self, paths: list[Path]) -> None:
        self.total += sum(len(path) for path in paths)
        with ThreadPoolExecutor(self.jobs, thread_name_prefix="alteraser-tune") as pool:
            pending = [pool.submit(self._path, path) for path in paths]
            try:
                for future in pending:
                    future.result()
            except BaseException as error:
                self.stop.set()
                for future in pending:
                    future.cancel()
                if isinstance(error, KeyboardInterrupt | Interrupted):
                    raise self._interrupted() from None
                raise

    def _path(self, path: Path) -> None:
        factors = Factors.random(
            *self.train.shape, path[0].factors, seed=self.seed, dtype=np.float32
        )
        for point in path:
            if self.stop.is_set():
                return
            known = None if self.folder is None else self.folder.get(point)
            if known is not None:
                trial, factors = known
                self.resumed += 1
            else:
                trial, factors = run_trial(
                    point,
                    self.train,
                    self.held,
                    factors,
                    tolerance=self.tolerance,
                    max_passes=self.max_passes,
                    threads=self.threads,
                    watch=lambda *_: self.stop.is_set(),
                )
                if self.stop.is_set():
                    return
                if self.folder is not None:
                    self.folder.put(trial, factors)
            self.trials[point] = trial
            self.done += 1
            _say(point.key, self.done, self.total)

    def _interrupted(self) -> Interrupted:
        kept = (
            "; finished trials are kept, the same command goes on from them"
            if self.folder is not None
            else ""
        )
        return Interrupted(f"interrupted{kept}")


def _say(what: str, done: int, total: int) -> None:
    events.emit("step", what=f"{done} of {total}: {what}", share=done / total)


def choose(finalists: list[Finalist]) -> Finalist:
    """Of those within one standard error of the best NDCG, the best defined: seeds that agree, then
    more λ.
    """
    best = max(finalists, key=lambda f: f.trial.ndcg)
    good = [f for f in finalists if f.trial.ndcg >= best.trial.ndcg - best.trial.error]
    return max(
        good, key=lambda f: (round(f.forgettability.agreement, 3), f.trial.point.regularization)
    )


def _groups(held: Interactions) -> list[Interactions]:
    """The held-out interactions by groups of users, for a standard error."""
    users = np.flatnonzero(held.user_counts > 0)
    group = np.full(held.users.size, -1)
    group[users] = np.arange(users.size) % min(GROUPS, users.size)
    return [held.keep(group[held.user_rows] == k) for k in range(min(GROUPS, users.size))]


def to_document(tuned: Tuned) -> dict[str, Any]:
    """Plain values for JSON."""
    return {
        "chosen": _finalist(tuned.chosen),
        "finalists": [_finalist(f) for f in tuned.finalists],
        "trials": [trial.to_document() for trial in tuned.trials],
        "resumed": tuned.resumed,
    }


def _finalist(finalist: Finalist) -> dict[str, Any]:
    return {**finalist.trial.to_document(), **vars(finalist.forgettability)}
