"""What the program takes: reading ten million rows, memory of training, compile time, time to --help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import table

READ = """
import json, resource, sys, time
import alteraser.data.readers, alteraser.data.interactions, pyarrow.parquet
from alteraser.data.interactions import Interactions
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.process_time()
data = Interactions.read(sys.argv[1])
seconds = time.process_time() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"rows": len(data), "seconds": seconds, "peak": peak / 1024, "beyond": (peak - base) / 1024}))
"""

TRAIN = """
import json, resource, sys, time
import numpy as np, scipy.sparse, threadpoolctl
from alteraser import ENMF, Interactions
from alteraser.erasers import driver
began = time.process_time()
tiny = Interactions.from_pairs([(u, v) for u in range(30) for v in range(u % 3, 30, 3)])
ENMF(factors=64, max_passes=3).fit(tiny).factors
compiling = time.process_time() - began
data = Interactions.read(sys.argv[1], duplicates="first")
data.digest
table = None
def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))
open("/proc/self/clear_refs", "w").write("5")            # the peak starts again from here
loaded = status("VmRSS:")
model = ENMF(factors=64, max_passes=10).fit(data)
peak = status("VmHWM:")
base = loaded - (data.indptr.nbytes + data.indices.nbytes) / 1024
view = data.by_item
size = data.indptr.nbytes + data.indices.nbytes + view.indptr.nbytes + view.indices.nbytes + view.order.nbytes
print(json.dumps({"beyond": (peak - base) / 1024, "data": size / 2**20, "factors": model.factors.nbytes / 2**20,
                  "compiling": compiling}))
"""


def run(folder: str | None) -> None:
    """Print one table; every figure is of a fresh process."""
    print("### Resources\n")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        big = Path(scratch) / "big.parquet"
        made = _write_big(big)
        read = _child(READ, big)
        rows.append((f"read {made:,} rows with string ids from Parquet", f"{read['seconds']:.1f} CPU s", "8"))
        rows.append(("  peak memory of that process", f"{read['peak']:,.0f} MiB", "2,000"))
        if folder is None:
            from alteraser.data.sets import generate_household

            folder = str(Path(scratch) / "household")
            generate_household(seed=0).write(Path(folder))
        with tempfile.TemporaryDirectory() as cache:
            first = _child(TRAIN, folder, NUMBA_CACHE_DIR=cache)
            trained = _child(TRAIN, folder, NUMBA_CACHE_DIR=cache)
    ratio = trained["beyond"] / (trained["data"] + trained["factors"])
    rows.append(
        (
            "memory of training beyond the libraries",
            f"{trained['beyond']:.0f} MiB = {ratio:.1f} x (data + factors)",
            "3 x",
        )
    )
    rows.append(("first use of the kernels: compile", f"{first['compiling']:.1f} CPU s", "reported"))
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

    table = pa.table({"user_id": pc.binary_join_element_wise("user", users, "-"),
                      "item_id": pc.binary_join_element_wise("item", items, "-")})  # fmt: skip
    pq.write_table(table, path)
    return table.num_rows


def _child(code: str, argument: object, **environment: str) -> dict[str, float]:
    answer = subprocess.run(
        [sys.executable, "-c", code, str(argument)], check=True, capture_output=True, text=True,
        env=os.environ | environment,
    )  # fmt: skip
    return json.loads(answer.stdout)  # type: ignore[no-any-return]


def _help() -> float:
    import resource

    command = str(Path(sys.executable).with_name("alteraser"))
    subprocess.run([command, "--help"], check=True, capture_output=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(3):
        subprocess.run([command, "--help"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 3
