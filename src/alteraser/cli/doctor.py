"""alteraser doctor"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from pathlib import Path

from alteraser.cli import common
from alteraser.cli.screen import Screen
from alteraser.errors import NumericFailure

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "threadpoolctl",
    "pyarrow",
    "safetensors",
    "pydantic",
    "typer",
    "rich",
)
EXTRAS = {"report": "plotly", "bench": "implicit", "keras": "h5py", "service": "fastapi"}


def doctor(
    threads: common.Threads = 0, quiet: common.Quiet = False, json: common.Json = False
) -> None:
    """Check the installation: versions, compiled kernels against NumPy, threads, cache, disk.

    Exit 8 when the kernels and their NumPy twins disagree: do not use this installation then.

    Takes 2 s; on its first run a minute or two, in which the kernels are compiled.

    Example: alteraser doctor --json
    """
    screen = Screen(json, quiet)
    with screen.phase("solve", "compiling and checking the kernels"):
        began = time.perf_counter()
        difference = _kernel_check(threads)
        seconds = time.perf_counter() - began
    from alteraser.runtime import memory
    from alteraser.runtime.version import VERSION
    from alteraser.runtime.workers import default_threads

    document = {
        "alteraser": VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "executable": sys.executable,
        "processors": os.cpu_count(),
        "threads": threads or default_threads(),
        "memory_bytes": memory.physical(),
        "disk_free_bytes": shutil.disk_usage(Path.cwd()).free,
        "packages": {name: _version(name) for name in PACKAGES},
        "extras": {extra: _version(name) for extra, name in EXTRAS.items()},
        "kernel_cache": _cache_place(),
        "kernel_difference": difference,
        "kernel_seconds": seconds,
    }
    rows = [(name.replace("_", " "), _text(value)) for name, value in document.items()]
    if difference < 1e-8:
        screen.result(document, rows)
        return
    if not json:  # with --json, the error document is the one document and holds the same
        screen.result(document, rows)
    raise NumericFailure(
        f"the compiled kernels differ from NumPy by {difference:.1e} (expected below 1e-8): this "
        "installation computes wrong numbers; report it with this output",
        **document,
    )


def _kernel_check(threads: int) -> float:
    """Largest difference between compiled row solves and dense NumPy ones on a small problem, in
    float64.
    """
    import numpy as np

    from alteraser.data.interactions import Interactions
    from alteraser.models import Factors, Objective, Problem
    from alteraser.runtime.workers import default_threads
    from alteraser.solvers import AHNewton
    from alteraser.solvers.kernels import twins
    from alteraser.solvers.rows.protocol import padded

    rng = np.random.default_rng(0)
    data = Interactions.from_pairs(
        [(int(u), int(v)) for u, v in zip(*np.nonzero(rng.random((60, 50)) < 0.3), strict=True)]
    )
    problem = Problem(Objective(missing_weight=0.1, regularization=1.0), data, np.float64)
    theta = Factors.random(*data.shape, 20, seed=0, dtype=np.float64)
    x = padded(theta.users)
    AHNewton().solve(
        problem.users, padded(theta.items), x, None, rank=20, threads=threads or default_threads()
    )
    expected, _, _ = twins.exact_rows(
        problem.users.arrays, theta.items, theta.users, problem.users.all_rows
    )
    return float(np.abs(x[:, :20] - expected).max())


def _cache_place() -> str:
    """Where compiled kernels are kept between processes, or why they are not."""
    from alteraser.linalg.kernels.dense import cholesky_solve

    path = getattr(getattr(cholesky_solve, "_cache", None), "cache_path", None)
    return str(path) if path else "none: no writable place; kernels are compiled in every process"


def _version(package: str) -> str | None:
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{key} {entry if entry is not None else '(not installed)'}"
            for key, entry in value.items()
        )
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
