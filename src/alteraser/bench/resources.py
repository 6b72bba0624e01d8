"""What the program takes: reading ten million rows, memory of training, compile time, time to
--help.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from alteraser.bench.common import Sets, clocked, command, each, forget_peak, fresh, memory, table


def resources(sets: Sets = None) -> int:
    """Reading ten million rows, memory of training, compile time, time to --help; each in a fresh
    process.

    Example: alteraser bench resources ml-1m
    """
    for folder in each(sets):
        _run(folder)
    return 0


def reading(path: str) -> dict[str, float]:
    """Run in a process of its own: CPU seconds of reading ``path``, and peak memory in MiB, whole
    and on top.
    """
    import pyarrow.parquet  # noqa: F401 - loaded before memory is looked at

    from alteraser.data.interactions import Interactions

    forget_peak()
    base = memory("VmHWM")
    data, seconds, _ = clocked(lambda: Interactions.read(path))
    peak = memory("VmHWM")
    return {
        "rows": len(data),
        "seconds": seconds,
        "peak": peak / 2**20,
        "beyond": (peak - base) / 2**20,
    }


def training(folder: str) -> dict[str, float]:
    """Run in a process of its own: memory of training beyond the libraries (MiB), and seconds of
    compiling.
    """
    from alteraser import ENMF, Interactions

    began = time.process_time()
    tiny = Interactions.from_pairs([(u, v) for u in range(30) for v in range(u % 3, 30, 3)])
    ENMF(factors=64, max_passes=3).fit(tiny)
    compiling = time.process_time() - began
    data = Interactions.read(folder, duplicates="first")
    assert data.digest
    forget_peak()
    loaded = memory("VmRSS")
    model = ENMF(factors=64, max_passes=10).fit(data)
    peak = memory("VmHWM")
    rows, view = data.indptr.nbytes + data.indices.nbytes, data.by_item
    size = rows + view.indptr.nbytes + view.indices.nbytes + view.order.nbytes
    return {
        "beyond": (peak - loaded + rows) / 2**20,
        "data": size / 2**20,
        "factors": model.factors.nbytes / 2**20,
        "compiling": compiling,
    }


def _run(folder: str | None) -> None:
    print("### Resources\n")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        big = Path(scratch) / "big.parquet"
        made = _write_big(big)
        read = fresh(reading, str(big))
        rows.append(
            (
                f"read {made:,} rows with string ids from Parquet",
                f"{read['seconds']:.1f} CPU s",
                "8",
            )
        )
        rows.append(("  peak memory of that process", f"{read['peak']:,.0f} MiB", "2,000"))
        if folder is None:
            from alteraser.data.sets import generate_household

            folder = str(Path(scratch) / "household")
            generate_household(seed=0).write(Path(folder))
        with tempfile.TemporaryDirectory() as cache:
            first = fresh(training, folder, NUMBA_CACHE_DIR=cache)
            trained = fresh(training, folder, NUMBA_CACHE_DIR=cache)
    ratio = trained["beyond"] / (trained["data"] + trained["factors"])
    rows.append(
        (
            "memory of training beyond the libraries",
            f"{trained['beyond']:.0f} MiB = {ratio:.1f} x (data + factors)",
            "3 x",
        )
    )
    rows.append(
        ("first use of the kernels: compile", f"{first['compiling']:.1f} CPU s", "reported")
    )
    rows.append(("  the same from the cache", f"{trained['compiling']:.1f} CPU s", "reported"))
    rows.append(("alteraser --help", f"{_help():.2f} CPU s", "0.5"))
    table(("what", "measured", "goal at most"), rows)


def _write_big(path: Path, rows: int = 10_000_000) -> int:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    keys = np.unique(
        rng.integers(0, 500_000, rows + rows // 50) * 200_000
        + (rng.random(rows + rows // 50) ** 2 * 200_000).astype(int)
    )
    keys = rng.permutation(keys)[:rows]
    users = pa.array(keys // 200_000).cast(pa.string())
    items = pa.array(keys % 200_000).cast(pa.string())
    import pyarrow.compute as pc

    table = pa.table(
        {
            "user_id": pc.binary_join_element_wise("user", users, "-"),
            "item_id": pc.binary_join_element_wise("item", items, "-"),
        }
    )
    pq.write_table(table, path)
    return int(table.num_rows)


def _help() -> float:
    import resource

    subprocess.run([command(), "--help"], check=True, capture_output=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(3):
        subprocess.run([command(), "--help"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 3
