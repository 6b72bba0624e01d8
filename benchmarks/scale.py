"""How time and memory grow: generated data at 1, 10 and 100 million interactions, every size in fresh processes.

python benchmarks/scale.py --sizes 1 10 100 --out scale

Users have 20 interactions on average and there are ten times as many users as items, whose popularity falls as a power
law. Data are generated in parts that fit in memory whatever the size. CPU seconds are of all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import machine, table

PER_USER, USERS_PER_ITEM, USERS_AT_A_TIME = 20, 10, 200_000


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


CHILD = r"""
import json, sys, time
import numpy as np
from threadpoolctl import threadpool_limits
from alteraser import ENMF, Interactions
from alteraser.models.factorization.model import Model, TrainedOn
from alteraser.models import Factors, Objective, Problem
from alteraser.solvers import AHNewton, ConjugateGradient
from alteraser.solvers.joint import Joint
from alteraser.solvers.rows.protocol import padded
from alteraser.runtime.workers import default_threads
from alteraser.solvers.stationarity import evaluate
from alteraser.engines.session import Stream

folder, rank = sys.argv[1], int(sys.argv[2])
def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) * 1024
def clocked(run):
    began = time.process_time(), time.perf_counter()
    value = run()
    return value, time.process_time() - began[0], time.perf_counter() - began[1]
tiny = Interactions.from_pairs([(u, v) for u in range(60) for v in range(u % 3, 60, 3)])
objective = Objective(missing_weight=0.01, regularization=2.0)
threads = default_threads()
def passes(problem, P, Q):
    answer = {}
    for name, solver in (("cg", ConjugateGradient(3)), ("exact", AHNewton())):
        def once():
            solver.solve(problem.users, Q, P, None, rank=rank, threads=threads)
            solver.solve(problem.items, P, Q, None, rank=rank, threads=threads)
        answer[name] = [clocked(once)[1:] for _ in range(2 if len(problem.interactions) > 2e7 else 3)][-1]
    return answer
def warm():
    problem = Problem(objective, tiny)
    theta = Factors.random(*tiny.shape, rank, seed=0)
    P, Q = padded(theta.users), padded(theta.items)
    passes(problem, P, Q)
    evaluate(problem, theta)
    if Joint.fits(problem, P.shape[1]):
        Joint(problem, P, Q, theta.prediction, threads).settle()
    small = Factors(P[:, :rank], Q[:, :rank], theta.prediction)
    model = Model(small, objective, tiny.users, tiny.items, TrainedOn.of(tiny))
    for room in (True, False):
        if not room:
            Joint.fits = staticmethod(lambda *_: False)
        Stream(model, tiny).forget([0], whole_users=True)
with threadpool_limits(1):
    fits = Joint.fits
    warm()
    Joint.fits = staticmethod(fits)
    answer = {"libraries": status("VmRSS:")}
    data, answer["read_cpu"], answer["read_wall"] = clocked(lambda: Interactions.read(folder))
    answer["read_peak"] = status("VmHWM:")
    answer["interactions"], (answer["users"], answer["items"]) = len(data), data.shape
    problem = Problem(objective, data)
    theta = Factors.random(*data.shape, rank, seed=0)
    P, Q = padded(theta.users), padded(theta.items)
    view = data.by_item
    arrays = [data.indptr, data.indices, view.indptr, view.indices, view.order, P, Q]
    answer["held"] = sum(a.nbytes for a in arrays)
    answer["passes"] = passes(problem, P, Q)
    answer["pass_peak"] = status("VmHWM:")
    if Joint.fits(problem, P.shape[1]):
        joint = Joint(problem, P, Q, theta.prediction, threads)
        joint.settle()
        answer["factor"] = clocked(joint.settle)[1:]
        joint._error(0), joint._error(1)
        def product():  # an iteration of its conjugate gradients, without the vector sums
            joint._solve(1, joint._cross(1, joint._solve(0, joint._cross(0, Q))))
        answer["product"] = min(clocked(product)[1] for _ in range(3))
        del joint
    theta = Factors(np.ascontiguousarray(P[:, :rank]), np.ascontiguousarray(Q[:, :rank]), theta.prediction)
    here, *answer["evaluate"] = clocked(lambda: evaluate(problem, theta))
    del here
    answer["train_peak"] = status("VmHWM:")
    model = Model(theta, objective, data.users, data.items, TrainedOn("", *data.shape, len(data)))
    model = Model(theta, objective, data.users, data.items, TrainedOn.of(data))
    del problem, P, Q
    stream, *answer["stream"] = clocked(lambda: Stream(model, data))
    del model
    answer["blocks_kept"] = [half.blocks is not None for half in stream._halves]
    rng = np.random.default_rng(3)
    users = rng.permutation(data.shape[0])[:264]
    times, sizes = [], []
    for user in users[:200]:
        name = data.users.ids[int(user)].as_py()
        touched, cpu, _ = clocked(lambda: stream.forget([name], whole_users=True))
        times.append(cpu)
        counts = stream._halves[1].rows.counts
        sizes.append(int(counts[touched.items].sum()))
    answer["request"] = {"p50": float(np.percentile(times, 50)), "p99": float(np.percentile(times, 99)),
                         "interactions": float(np.median(sizes)),
                         "per_interaction": float(np.sum(times) / np.sum(sizes))}
    ids = [data.users.ids[int(user)].as_py() for user in users[200:]]
    answer["batch"] = clocked(lambda: stream.forget(ids, whole_users=True))[1]
    answer["forget_peak"] = status("VmHWM:")
print(json.dumps(answer))
"""


def roof(rank: int) -> tuple[float, float]:
    """(GFLOP/s of float32 gemm, GB/s of a triad) with all threads of this machine, per CPU second of one thread."""
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


def work(answer: dict, rank: int) -> dict[str, tuple[float, float, float]]:  # type: ignore[type-arg]
    """(flops, bytes, CPU seconds) of each kernel over all rows of both sides."""
    D, rows, d = 2 * answer["interactions"], answer["users"] + answer["items"], rank
    gather = D * (4 * d + 4)  # a row of the other side and its index, if nothing of it is in the cache
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


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1, 10], help="millions of interactions")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--out", help="folder for the roofline plot and the raw answers")
    parser.add_argument("--keep", help="folder that keeps the generated data for the next run")
    arguments = parser.parse_args()
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(arguments.keep or scratch)
        answers = [
            _measure(root, int(size * 1e6), arguments.factors, keep=bool(arguments.keep)) for size in arguments.sizes
        ]
    _print(answers)
    peak = roof(arguments.factors)
    _roofline(answers[-1], arguments.factors, peak, arguments.out)
    if arguments.out:
        (Path(arguments.out) / "scale.json").write_text(json.dumps({"answers": answers, "peak": peak}, indent=1))


def _measure(root: Path, size: int, rank: int, *, keep: bool) -> dict:  # type: ignore[type-arg]
    folder = root / f"{size}"
    if not folder.exists():
        generate(folder, size)
    done = subprocess.run([sys.executable, "-c", CHILD, str(folder), str(rank)], capture_output=True, text=True,
                          env=os.environ)  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{size:,} interactions: {done.stderr[-2000:] or f'ended by signal {-done.returncode}'}")
    if not keep:
        shutil.rmtree(folder)
    answer = json.loads(done.stdout)
    print(f"<!-- {size:,}: {json.dumps(answer)} -->", flush=True)
    return answer  # type: ignore[no-any-return]


def _print(answers: list[dict]) -> None:  # type: ignore[type-arg]
    sizes = [a["interactions"] for a in answers]

    def slope(values: list[float]) -> str:
        return f"{np.polyfit(np.log(sizes), np.log(values), 1)[0]:.2f}" if len(sizes) > 1 else "-"

    rows: list[list[str]] = [["interactions", *(f"{n:,}" for n in sizes), "exponent"]]
    rows.append(["users × items", *(f"{a['users']:,} × {a['items']:,}" for a in answers), ""])
    for label, values in (
        ("reading, CPU s", [a["read_cpu"] for a in answers]),
        ("CG pass, CPU s", [a["passes"]["cg"][0] for a in answers]),
        ("exact pass, CPU s", [a["passes"]["exact"][0] for a in answers]),
        ("objective and gradient in float64, CPU s", [a["evaluate"][0] for a in answers]),
        ("factored blocks, CPU s", [a.get("factor", [np.nan])[0] for a in answers]),
        ("reduced Hessian product, CPU s", [a.get("product", np.nan) for a in answers]),
    ):
        known = [v for v in values if np.isfinite(v)]
        rows.append([label, *(f"{v:.3g}" if np.isfinite(v) else "-" for v in values),
                     slope(values) if len(known) == len(values) else "-"])  # fmt: skip
    for label, key in (
        ("peak memory of reading", "read_peak"), ("of passes", "pass_peak"), ("of joint steps", "train_peak"),
        ("of a stream", "forget_peak"),
    ):  # fmt: skip
        rows.append([
            f"{label}, GiB (x data + factors, beyond the libraries)",
            *(f"{a[key] / 2**30:.2f} ({(a[key] - a['libraries']) / a['held']:.1f}x)" for a in answers), "",
        ])  # fmt: skip
    spread = [f"{1e3 * a['request']['p50']:.2f} / {1e3 * a['request']['p99']:.1f}" for a in answers]
    rows.append(["one user's request, p50 / p99 CPU ms", *spread, ""])
    rows.append(["interactions of the rows it touches, median",
                 *(f"{a['request']['interactions']:,.0f}" for a in answers), ""])  # fmt: skip
    rows.append(["CPU µs per interaction of these rows",
                 *(f"{1e6 * a['request']['per_interaction']:.2f}" for a in answers), ""])  # fmt: skip
    rows.append(["64 users at once, CPU ms", *(f"{1e3 * a['batch']:.0f}" for a in answers), ""])
    sides = ("users", "items")
    kept = [" and ".join(s for s, there in zip(sides, a["blocks_kept"], strict=True) if there) for a in answers]
    rows.append(["blocks kept", *(names or "none" for names in kept), ""])
    table(rows[0], rows[1:])


def _roofline(answer: dict, rank: int, peak: tuple[float, float], out: str | None) -> None:  # type: ignore[type-arg]
    gemm, bandwidth = peak
    rows, points = [], []
    for name, (flops, moved, seconds) in work(answer, rank).items():
        rate, intensity = flops / seconds / 1e9, flops / moved
        roof_here = min(gemm, intensity * bandwidth)
        rows.append([name, f"{rate:.1f}", f"{rate / gemm:.0%}", f"{moved / seconds / 1e9:.1f}",
                     f"{moved / seconds / 1e9 / bandwidth:.0%}", f"{rate / roof_here:.0%}"])  # fmt: skip
        points.append((name, intensity, rate))
    print(f"A thread's float32 gemm: {gemm:.0f} GFLOP/s, triad: {bandwidth:.1f} GB/s, at {answer['interactions']:,} "
          "interactions; bytes count every gathered row as a miss.\n")  # fmt: skip
    table(["kernel", "GFLOP per CPU s", "of gemm", "GB per CPU s", "of bandwidth", "of the roof"], rows)
    if out is None:
        return
    from alteraser.report._plots import COLORS, SYMBOLS, layout_of
    from alteraser.report.html import document, plot_section

    x = np.geomspace(0.05, 500, 60)
    traces = [{"type": "scatter", "mode": "lines", "name": "roof", "x": x.tolist(),
               "y": np.minimum(gemm, x * bandwidth).tolist(), "line": {"color": "#1d2733"}}]  # fmt: skip
    for place, (name, intensity, rate) in enumerate(points):
        color, symbol = (kind[place % len(kind)] for kind in (COLORS, SYMBOLS))
        traces.append({"type": "scatter", "mode": "markers", "name": name, "x": [intensity], "y": [rate],
                       "marker": {"color": color, "symbol": symbol, "size": 12}})  # fmt: skip
    layout = layout_of("FLOP per byte", "GFLOP per CPU second")
    layout["xaxis"] |= {"type": "log"}
    layout["yaxis"] |= {"type": "log"}
    Path(out).mkdir(parents=True, exist_ok=True)
    page = document("Roofline", plot_section("Roofline", "", {"data": traces, "layout": layout}, ""))
    (Path(out) / "roofline.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
