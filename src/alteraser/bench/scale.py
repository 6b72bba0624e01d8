"""How time and memory grow: generated data at 1, 10 and 100 million interactions, every size in
fresh processes.

Users have 20 interactions on average and there are ten times as many users as items, whose
popularity falls as a power law. Data are generated in parts that fit in memory whatever the size.
CPU seconds are of all threads.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from threadpoolctl import threadpool_limits

from alteraser import Interactions
from alteraser.bench.common import clocked, fresh, machine, memory, numbers, table
from alteraser.engines.session import Stream
from alteraser.models import Factors, Objective, Problem
from alteraser.models.factorization.model import Model, TrainedOn
from alteraser.runtime.workers import Array, default_threads
from alteraser.solvers import AHNewton, ConjugateGradient
from alteraser.solvers.joint import Joint
from alteraser.solvers.reduced import ReducedHessian
from alteraser.solvers.rows.protocol import RowSolver, padded
from alteraser.solvers.stationarity import evaluate

OBJECTIVE = Objective(missing_weight=0.01, regularization=2.0)
PER_USER, USERS_PER_ITEM, USERS_AT_A_TIME = 20, 10, 200_000


def scale(
    sizes: Annotated[
        str, typer.Option("--sizes", help="Millions of interactions, with commas or spaces.")
    ] = "1,10",
    factors: Annotated[
        int, typer.Option("--factors", min=1, help="Length of the embeddings.")
    ] = 64,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the roofline and the raw answers.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", help="Folder that keeps the generated data for the next run."),
    ] = None,
) -> int:
    """How time and memory grow: generated data of several sizes, every size in a fresh process.

    Example: alteraser bench scale --sizes 1,10,100 --out scale
    """
    wanted = [int(size * 1e6) for size in numbers(sizes, "--sizes")]
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as scratch:
        answers = [
            _measure(keep or Path(scratch), size, factors, keep=keep is not None) for size in wanted
        ]
    _print(answers)
    peak = roof()
    _roofline(answers[-1], factors, peak, out)
    if out is not None:
        (out / "scale.json").write_text(json.dumps({"answers": answers, "peak": peak}, indent=1))
    return 0


def _measure(root: Path, size: int, rank: int, *, keep: bool) -> dict[str, Any]:
    folder = root / f"{size}"
    if not folder.exists():
        generate(folder, size)
    answer: dict[str, Any] = fresh(measured, str(folder), str(rank))
    if not keep:
        shutil.rmtree(folder)
    print(f"<!-- {size:,}: {json.dumps(answer)} -->", flush=True)
    return answer


def generate(folder: Path, interactions: int, *, seed: int = 0) -> tuple[int, int]:
    """Write about ``interactions`` distinct pairs as Parquet parts; (users, items)."""
    folder.mkdir(parents=True)
    users = max(interactions // PER_USER, 10)
    items = max(users // USERS_PER_ITEM, 10)
    rng = np.random.default_rng(seed)
    for part, begin in enumerate(range(0, users, USERS_AT_A_TIME)):
        here = min(USERS_AT_A_TIME, users - begin)
        degree = np.minimum(1 + rng.geometric(1 / PER_USER, here), items // 2)
        u = np.repeat(np.arange(begin, begin + here), degree)
        v = (rng.random(u.size) ** 2.5 * items).astype(np.int64)
        keys = np.unique(u * np.int64(items) + v)
        columns = {"user_id": keys // items, "item_id": keys % items}
        pq.write_table(pa.table(columns), folder / f"part-{part:04}.parquet")
    return users, items


def measured(folder: str, factors: str) -> dict[str, Any]:
    """Run in a process of its own: seconds and memory of every stage on the data in ``folder``, d =
    ``factors``.
    """
    rank, threads = int(factors), default_threads()
    with threadpool_limits(1):
        _warm(rank, threads)
        answer: dict[str, Any] = {"libraries": memory("VmRSS")}
        data, answer["read_cpu"], answer["read_wall"] = clocked(lambda: Interactions.read(folder))
        answer["read_peak"] = memory("VmHWM")
        answer["interactions"], (answer["users"], answer["items"]) = len(data), data.shape
        theta = _steps(data, rank, threads, answer)
        answer["train_peak"] = memory("VmHWM")
        _requests(
            Model(
                theta, OBJECTIVE, users=data.users, items=data.items, trained_on=TrainedOn.of(data)
            ),
            data,
            answer,
        )
        answer["forget_peak"] = memory("VmHWM")
    return answer


def _passes(
    problem: Problem, P: Array, Q: Array, rank: int, threads: int
) -> dict[str, tuple[float, float]]:
    """(CPU, wall) seconds of the last of a few passes, by row solver."""
    answer = {}
    for name, solver in (("cg", ConjugateGradient(3)), ("exact", AHNewton())):

        def once(solver: RowSolver = solver) -> None:
            solver.solve(problem.users, Q, P, None, rank=rank, threads=threads)
            solver.solve(problem.items, P, Q, None, rank=rank, threads=threads)

        answer[name] = [
            clocked(once)[1:] for _ in range(2 if len(problem.interactions) > 2e7 else 3)
        ][-1]
    return answer


def _warm(rank: int, threads: int) -> None:
    """Compile or load every kernel before anything is timed, those of streams without room for
    blocks too.
    """
    tiny = Interactions.from_pairs([(u, v) for u in range(60) for v in range(u % 3, 60, 3)])
    problem = Problem(OBJECTIVE, tiny)
    theta = Factors.random(*tiny.shape, rank, seed=0)
    P, Q = padded(theta.users), padded(theta.items)
    _passes(problem, P, Q, rank, threads)
    evaluate(problem, theta)
    if Joint.fits(problem, P.shape[1]):
        Joint(problem, P, Q, theta.prediction, threads).settle()
    small = Factors(P[:, :rank], Q[:, :rank], theta.prediction)
    model = Model(
        small, OBJECTIVE, users=tiny.users, items=tiny.items, trained_on=TrainedOn.of(tiny)
    )
    for fits in (Joint.fits, lambda *_: False):
        with mock.patch.object(Joint, "fits", staticmethod(fits)):
            Stream(model, tiny).forget([0], whole_users=True)


def _steps(data: Interactions, rank: int, threads: int, answer: dict[str, Any]) -> Factors:
    """Passes, factored blocks, a product with the reduced Hessian, the objective; the factors after
    them.
    """
    problem = Problem(OBJECTIVE, data)
    theta = Factors.random(*data.shape, rank, seed=0)
    P, Q = padded(theta.users), padded(theta.items)
    view = data.by_item
    answer["held"] = sum(
        a.nbytes for a in (data.indptr, data.indices, view.indptr, view.indices, view.order, P, Q)
    )
    answer["passes"] = _passes(problem, P, Q, rank, threads)
    answer["pass_peak"] = memory("VmHWM")
    if Joint.fits(problem, P.shape[1]):
        joint = Joint(problem, P, Q, theta.prediction, threads)
        joint.settle()
        answer["factor"] = clocked(joint.settle)[1:]
        joint.find_errors()
        S = ReducedHessian(joint.users, joint.items)

        def product() -> None:  # an iteration of its conjugate gradients, without the vector sums
            joint.items.solve(joint.items.across(S.giving_way(Q)))

        answer["product"] = min(clocked(product)[1] for _ in range(3))
    theta = Factors(
        np.ascontiguousarray(P[:, :rank]), np.ascontiguousarray(Q[:, :rank]), theta.prediction
    )
    answer["evaluate"] = clocked(lambda: evaluate(problem, theta))[1:]
    return theta


def _requests(model: Model, data: Interactions, answer: dict[str, Any]) -> None:
    """200 users one by one, then 64 at once, in a warm process."""
    stream, *answer["stream"] = clocked(lambda: Stream(model, data))
    answer["blocks_kept"] = [half.blocks is not None for half in stream.kept.halves]
    users = np.random.default_rng(3).permutation(data.shape[0])[:264]
    names = [data.users.ids[int(user)].as_py() for user in users]
    counts = stream.kept.halves[1].rows.counts
    times, sizes = [], []
    for name in names[:200]:
        touched, cpu, _ = clocked(partial(stream.forget, [name], whole_users=True))
        times.append(cpu)
        sizes.append(int(counts[touched.items].sum()))
    answer["request"] = {
        "p50": float(np.percentile(times, 50)),
        "p99": float(np.percentile(times, 99)),
        "interactions": float(np.median(sizes)),
        "per_interaction": float(np.sum(times) / np.sum(sizes)),
    }
    answer["batch"] = clocked(lambda: stream.forget(names[200:], whole_users=True))[1]


def roof() -> tuple[float, float]:
    """(GFLOP/s of float32 gemm, GB/s of a triad) with all threads of this machine, per CPU second
    of one thread.
    """
    import time

    a = np.ones((2048, 2048), np.float32)
    x, y = np.ones(20_000_000, np.float32), np.ones(20_000_000, np.float32)
    best, moved = 0.0, 0.0
    for _ in range(5):
        began = time.process_time()
        a @ a
        best = max(best, 2 * 2048**3 / (time.process_time() - began) / 1e9)
        began = time.process_time()
        np.add(x, y, out=y)
        moved = max(moved, 3 * x.nbytes / (time.process_time() - began) / 1e9)
    return best, moved


def work(answer: dict[str, Any], rank: int) -> dict[str, tuple[float, float, float]]:
    """(flops, bytes, CPU seconds) of each kernel over all rows of both sides."""
    D, rows, d = 2 * answer["interactions"], answer["users"] + answer["items"], rank
    # a row of the other side and its index, if nothing of it is in the cache
    gather = D * (4 * d + 4)
    work = {
        "exact pass": (
            D * d * (d + 1) + rows * (d**3 / 3 + 4 * d * d),
            gather + rows * 12 * d,
            answer["passes"]["exact"][0],
        ),
        "CG pass, 3 steps": (
            4 * D * 4 * d + rows * 4 * 2 * d * d,
            4 * gather + rows * 12 * d,
            answer["passes"]["cg"][0],
        ),
    }
    if "factor" in answer:
        packed = rows * (d * d // 2 + 2 * d) * 4
        work["factored blocks"] = (
            D * d * (d + 1) + rows * (d**3 / 3 + 4 * d * d),
            gather + packed + rows * 12 * d,
            answer["factor"][0],
        )
        work["reduced Hessian product"] = (
            D * 8 * d + rows * (2 * d * d + 4 * d * d),
            2 * gather + packed + rows * 16 * d,
            answer["product"],
        )
    return work


TIMES: dict[str, Callable[[dict[str, Any]], float]] = {
    "reading, CPU s": lambda a: float(a["read_cpu"]),
    "CG pass, CPU s": lambda a: float(a["passes"]["cg"][0]),
    "exact pass, CPU s": lambda a: float(a["passes"]["exact"][0]),
    "objective and gradient in float64, CPU s": lambda a: float(a["evaluate"][0]),
    "factored blocks, CPU s": lambda a: float(a.get("factor", [np.nan])[0]),
    "reduced Hessian product, CPU s": lambda a: float(a.get("product", np.nan)),
}
PEAKS = {
    "peak memory of reading": "read_peak",
    "of passes": "pass_peak",
    "of joint steps": "train_peak",
    "of a stream": "forget_peak",
}
REQUESTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "one user's request, p50 / p99 CPU ms": lambda a: (
        f"{1e3 * a['request']['p50']:.2f} / {1e3 * a['request']['p99']:.1f}"
    ),
    "interactions of the rows it touches, median": lambda a: f"{a['request']['interactions']:,.0f}",
    "CPU µs per interaction of these rows": lambda a: (
        f"{1e6 * a['request']['per_interaction']:.2f}"
    ),
    "64 users at once, CPU ms": lambda a: f"{1e3 * a['batch']:.0f}",
    "blocks kept": lambda a: _kept(a["blocks_kept"]),
}


def _print(answers: list[dict[str, Any]]) -> None:
    sizes = [a["interactions"] for a in answers]
    rows: list[list[str]] = [
        ["users × items", *(f"{a['users']:,} × {a['items']:,}" for a in answers), ""]
    ]
    for label, of in TIMES.items():
        values = [of(a) for a in answers]
        rows.append(
            [label, *("-" if np.isnan(v) else f"{v:.3g}" for v in values), _slope(sizes, values)]
        )
    for label, key in PEAKS.items():
        peaks = (
            f"{a[key] / 2**30:.2f} ({(a[key] - a['libraries']) / a['held']:.1f}x)" for a in answers
        )
        rows.append([f"{label}, GiB (x data + factors, beyond the libraries)", *peaks, ""])
    rows += [[label, *map(of, answers), ""] for label, of in REQUESTS.items()]
    table(["interactions", *(f"{n:,}" for n in sizes), "exponent"], rows)


def _slope(sizes: list[int], values: list[float]) -> str:
    """The exponent with which values grow; a dash where it cannot be told."""
    if len(sizes) < 2 or not np.all(np.isfinite(values)):
        return "-"
    return f"{np.polyfit(np.log(sizes), np.log(values), 1)[0]:.2f}"


def _kept(there: list[bool]) -> str:
    return (
        " and ".join(side for side, kept in zip(("users", "items"), there, strict=True) if kept)
        or "none"
    )


def _roofline(
    answer: dict[str, Any], rank: int, peak: tuple[float, float], out: Path | None
) -> None:
    gemm, bandwidth = peak
    rows, points = [], []
    for name, (flops, moved, seconds) in work(answer, rank).items():
        rate, intensity = flops / seconds / 1e9, flops / moved
        roof_here = min(gemm, intensity * bandwidth)
        rows.append(
            [
                name,
                f"{rate:.1f}",
                f"{rate / gemm:.0%}",
                f"{moved / seconds / 1e9:.1f}",
                f"{moved / seconds / 1e9 / bandwidth:.0%}",
                f"{rate / roof_here:.0%}",
            ]
        )
        points.append((name, intensity, rate))
    print(
        f"A thread's float32 gemm: {gemm:.0f} GFLOP/s, triad: {bandwidth:.1f} GB/s, at "
        f"{answer['interactions']:,} interactions; bytes count every gathered row as a miss.\n"
    )
    table(
        ["kernel", "GFLOP per CPU s", "of gemm", "GB per CPU s", "of bandwidth", "of the roof"],
        rows,
    )
    if out is None:
        return
    from alteraser.report.html import document, plot_section
    from alteraser.report.plots import COLORS, SYMBOLS, layout_of

    x = np.geomspace(0.05, 500, 60)
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "roof",
            "x": x.tolist(),
            "y": np.minimum(gemm, x * bandwidth).tolist(),
            "line": {"color": "#1d2733"},
        }
    ]
    for place, (name, intensity, rate) in enumerate(points):
        color, symbol = (kind[place % len(kind)] for kind in (COLORS, SYMBOLS))
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [intensity],
                "y": [rate],
                "marker": {"color": color, "symbol": symbol, "size": 12},
            }
        )
    layout = layout_of("FLOP per byte", "GFLOP per CPU second")
    layout["xaxis"] |= {"type": "log"}
    layout["yaxis"] |= {"type": "log"}
    out.mkdir(parents=True, exist_ok=True)
    page = document(
        "Roofline", plot_section("Roofline", "", {"data": traces, "layout": layout}, "")
    )
    (out / "roofline.html").write_text(page, encoding="utf-8")
