"""Models that were stopped early: what forgetting does to everybody's lists, beside a retrain with
the same seed.

Trains implicit's ALS (d = 64, λ = 0.01, 15 iterations of 3 steps) on each SET (a folder with
interactions.parquet, or ``plays``, generated play counts), with and without the request, and from
another seed. Requests: one interaction, one user, twenty users, 500 interactions, half of the
interactions of twenty users; single ones are means over six. Overlap is that of top-10 lists with
the same-seed retrain, of others and of who asked. CPU seconds are of check, solve and write,
kernels loaded, over those of implicit's refit, interleaved, medians.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from alteraser.adapters import ForeignOptions
from alteraser.adapters.forget import forget_foreign, open_foreign
from alteraser.bench.common import each, table, words
from alteraser.data.interactions import Interactions
from alteraser.models.ranking import top_lists
from alteraser.runtime.extras import require

FACTORS, ITERATIONS, SINGLE = 64, 15, 6
OTHERS = 4000  # users whose lists are compared, evenly spread
SETTINGS = {
    "bm25": {"alpha": 1.0, "regularization": 0.01},
    "ones": {"alpha": 1.0, "regularization": 0.01},
    "counts": {"alpha": 40.0, "regularization": 0.01},
}
REQUESTS = ("1x", "1u", "20u", "500x", "20h")
METHODS = ("local", "replay")
HEADER = (
    "set",
    "weights",
    "request",
    "model",
    "others",
    "asking",
    "score (retrain)",
    "items changed",
    "CPU / refit",
    "class, residual",
)
Pair = tuple[np.ndarray, np.ndarray]


def stopped(
    sets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SET]...",
            help="Folders with interactions.parquet; plays, also without any: generated.",
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            "--weights", help="How interactions are weighed: bm25, ones, counts, with commas."
        ),
    ] = ",".join(SETTINGS),
    requests: Annotated[
        str,
        typer.Option("--requests", help="What is forgotten: 1x, 1u, 20u, 500x, 20h, with commas."),
    ] = ",".join(REQUESTS),
    methods: Annotated[str, typer.Option("--methods", help="local, replay, or both.")] = ",".join(
        METHODS
    ),
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Timed runs of each.")] = 3,
) -> int:
    """Models that were stopped early: what forgetting does to everybody's lists, beside a retrain
    with the same seed.

    Requests: one interaction (1x), one user (1u), twenty users (20u), 500 interactions (500x), half
    of the interactions of twenty users (20h); single ones are means over six.

    Example: alteraser bench stopped plays --weights bm25 --repeats 1
    """
    require("implicit", "bench", "bench stopped")
    ways, asked = words(weights, "--weights", [*SETTINGS]), words(requests, "--requests", REQUESTS)
    chosen = words(methods, "--methods", METHODS)
    for name in each(sets or ["plays"]):
        assert name is not None
        counts = read(name)
        for how in ways:
            rows = []
            for request in asked:
                with threadpool_limits(1):  # as implicit asks for
                    rows += _measure(Path(name).name, counts, how, request, repeats, chosen)
                print(rows[-len(chosen) :], file=sys.stderr, flush=True)
            table(HEADER, rows)
    return 0


def plays(seed: int = 0, users: int = 1892, items: int = 17632, each: int = 49) -> csr_matrix:
    """Play counts of listeners with a taste for a few of twelve genres: popularity and counts with
    heavy tails.
    """
    rng = np.random.default_rng(seed)
    popular = -0.85 * np.log(np.arange(1, items + 1))
    genres, taste = rng.dirichlet(np.full(12, 0.12), items), rng.dirichlet(np.full(12, 0.15), users)
    rows, columns, counts = [], [], []
    for user in range(users):
        liking = popular + 2.5 * np.log(genres @ taste[user] + 1e-3) + rng.gumbel(size=items)
        chosen = np.argsort(-liking, kind="stable")[:each]
        spread = np.sort(np.ceil(rng.lognormal(5.5, 1.2) * rng.pareto(1.1, each) + 1))[::-1]
        rows += [user] * each
        columns += list(chosen[np.argsort(-liking[chosen] + 0.7 * rng.gumbel(size=each))])
        counts += list(np.minimum(spread, 350_000))
    found = csr_matrix((np.array(counts, float), (rows, columns)), (users, items))
    return found[:, np.flatnonzero(np.asarray((found > 0).sum(axis=0)).ravel())].tocsr()


def read(name: str) -> csr_matrix:
    """Counts of a set: its ``count`` column, or ones; repeated pairs add up."""
    if name == "plays":
        return plays()
    rows = pq.read_table(Path(name) / "interactions.parquet")
    users, items = (
        np.unique(rows[side].to_numpy(), return_inverse=True)[1] for side in ("user_id", "item_id")
    )
    counts = (
        rows["count"].to_numpy().astype(float)
        if "count" in rows.column_names
        else np.ones(rows.num_rows)
    )
    return csr_matrix((counts, (users, items)))


def weighed(counts: csr_matrix, how: str) -> csr_matrix:
    """What implicit is given."""
    from implicit.nearest_neighbours import bm25_weight

    if how == "bm25":
        found = bm25_weight(counts, K1=100, B=0.8).tocsr()
    else:
        found = counts.copy()
        if how == "ones":
            found.data[:] = 1.0
    found.sort_indices()
    return found.astype(np.float32)


def requested(counts: csr_matrix, request: str, number: int) -> np.ndarray:
    """Which entries go, (entries,) bool."""
    rng = np.random.default_rng(1000 + number)
    users = counts.tocoo().row
    if request == "1x":
        one: np.ndarray = np.arange(counts.nnz) == rng.integers(counts.nnz)
        return one
    if request == "500x":
        return np.isin(np.arange(counts.nnz), rng.choice(counts.nnz, 500, replace=False))
    gone = np.isin(users, rng.choice(counts.shape[0], 1 if request == "1u" else 20, replace=False))
    return gone & (rng.random(counts.nnz) < 0.5) if request == "20h" else gone


@contextmanager
def timed(seconds: list[float]) -> Iterator[None]:
    began = time.process_time()
    yield
    seconds.append(time.process_time() - began)


@dataclass
class StoppedScene:
    """One model, one request: implicit's own model, its retrain, and its model from another
    seed.
    """

    weights: csr_matrix
    how: str
    gone: np.ndarray
    folder: Path
    refit: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        coo = self.weights.tocoo()
        self.pairs = coo.row[self.gone].astype(np.int64), coo.col[self.gone].astype(np.int64)
        self.rest = csr_matrix(
            (coo.data[~self.gone], (coo.row[~self.gone], coo.col[~self.gone])), coo.shape
        )
        self.rest.sort_indices()
        self.table = pa.table(
            {
                "user_id": coo.row.astype(np.int64),
                "item_id": coo.col.astype(np.int64),
                "w": coo.data.astype(float),
            }
        )
        self.original, self.other = self.fit(self.weights, 1), self.fit(self.weights, 2)
        self.retrained = self.fit(self.rest, 1, timing=True)
        self.late = self._late()
        left = np.diff(self.rest.indptr) > 0
        touched = np.unique(self.pairs[0])
        others = np.setdiff1d(np.flatnonzero(left), touched)
        self.others, self.asking = others[:: max(1, others.size // OTHERS)], touched[left[touched]]
        everybody = Interactions.from_table(
            self.table, users=_ids(self.weights.shape[0]), items=_ids(self.weights.shape[1])
        )
        self.seen = everybody.keep(~self.gone)

    def fit(self, matrix: csr_matrix, seed: int, *, timing: bool = False) -> Pair:
        model = self._trainer(seed)
        with timed(self.refit if timing else []):
            model.fit(matrix, show_progress=False)
        if seed == 1 and not timing:
            model.save(self.folder / "als.npz")
        return model.user_factors, model.item_factors

    def _trainer(self, seed: int, iterations: int = ITERATIONS) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares

        return AlternatingLeastSquares(
            factors=FACTORS, iterations=iterations, random_state=seed, **SETTINGS[self.how]
        )

    def _late(self) -> Pair:
        """The same run, from whose second iteration on the data are gone."""
        first, rest = self._trainer(1, iterations=1), self._trainer(1, iterations=ITERATIONS - 1)
        first.fit(self.weights, show_progress=False)
        rest.user_factors, rest.item_factors = first.user_factors, first.item_factors
        rest.fit(self.rest, show_progress=False)
        return rest.user_factors, rest.item_factors

    def lists(self, pair: Pair, users: np.ndarray) -> np.ndarray:
        return top_lists(*pair, users, k=10, seen=self.seen)[0]

    def overlap(self, one: Pair, other: Pair, users: np.ndarray) -> float:
        if not users.size:
            return float("nan")
        mine, theirs = self.lists(one, users), self.lists(other, users)
        common = (
            ((mine[:, :, None] == theirs[:, None, :]) & (mine[:, :, None] >= 0))
            .any(axis=2)
            .sum(axis=1)
        )
        return float(np.mean(common / np.maximum((theirs >= 0).sum(axis=1), 1)))

    def score(self, pair: Pair) -> float:
        return float(np.mean(np.einsum("id,id->i", pair[0][self.pairs[0]], pair[1][self.pairs[1]])))

    def measured(self, pair: Pair) -> list[float]:
        """Others' and the askers' overlap with the retrain, scores of the forgotten, share of
        others' items changed.
        """
        overlaps = [
            self.overlap(pair, self.retrained, users) for users in (self.others, self.asking)
        ]
        changed = 1.0 - self.overlap(pair, self.original, self.others)
        return [*overlaps, self.score(pair), self.score(self.retrained), changed]

    def forget(self, method: str, cpu: dict[str, list[float]]) -> tuple[Pair, Any]:
        """(the new factors, the erasure); ``cpu`` gets the seconds of check, solve and write."""
        seconds: dict[str, list[float]] = {}

        @contextmanager
        def phase(name: str) -> Iterator[None]:
            with timed(seconds.setdefault(name, [])):
                yield

        out = self.folder / f"{method}.npz"
        out.unlink(missing_ok=True)
        opened = open_foreign(
            self.folder / "als.npz", self.table, ForeignOptions(rating="w", rows_are_ids=True)
        )
        pairs = list(zip(self.pairs[0].tolist(), self.pairs[1].tolist(), strict=True))
        done = forget_foreign(opened, pairs, out, method=method, phase=phase)
        cpu.setdefault(method, []).append(
            sum(sum(seconds[name]) for name in ("check", "solve", "write"))
        )
        with np.load(out) as file:
            return (file["user_factors"], file["item_factors"]), done


def _ids(rows: int) -> Any:
    from alteraser.data.ids import IdMap

    return IdMap(pa.array(np.arange(rows)), np.arange(rows), rows)


def _measure(
    name: str, counts: csr_matrix, how: str, request: str, repeats: int, methods: Sequence[str]
) -> list[list[Any]]:
    """Rows of the table for one set, weighting and request."""
    found: dict[str, list[list[float]]] = {}
    ratios: dict[str, list[float]] = {}
    words: dict[str, set[str]] = {}
    for number in range(SINGLE if request in ("1x", "1u") else 1):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = folder  # every replay is checked anew
            scene = StoppedScene(
                weighed(counts, how), how, requested(counts, request, number), Path(folder)
            )
            cpu: dict[str, list[float]] = {}
            models: dict[str, Pair] = {
                "original": scene.original,
                "other seed": scene.other,
                "late": scene.late,
            }
            for _ in range(repeats):
                for method in methods:
                    try:
                        models[method], done = scene.forget(method, cpu)
                    except Exception as cause:
                        words.setdefault(method, set()).add(type(cause).__name__)
                        continue
                    known = done.way.details["replay"]
                    exact = (
                        ""
                        if known is None
                        else " (same bytes)"
                        if known["identical"]
                        else " (fast)"
                    )
                    left = "" if method == "replay" else f" {done.model.erased.residual:.2f}"
                    words.setdefault(method, set()).add(f"{done.model.erased.level}{left}{exact}")
                scene.fit(scene.rest, 1, timing=True)
            refit = median(scene.refit)
            for method, pair in models.items():
                found.setdefault(method, []).append(scene.measured(pair))
                if method in cpu:
                    ratios.setdefault(method, []).append(median(cpu[method]) / refit)
    rows = []
    for method, values in found.items():
        columns = np.array(values, float).T
        others, asking, score, goal, churn = (  # who was erased whole asks for no list
            float(column[~np.isnan(column)].mean()) if not np.isnan(column).all() else np.nan
            for column in columns
        )
        time_words = f"{median(ratios[method]):.2f}x" if method in ratios else ""
        rows.append(
            [
                name,
                how,
                request,
                method,
                f"{others:.3f}",
                f"{asking:.3f}",
                f"{score:.3f} ({goal:.3f})",
                f"{churn:.3f}",
                time_words,
                ", ".join(sorted(words.get(method, set()))),
            ]
        )
    return rows
