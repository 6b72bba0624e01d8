"""What forgetting in implicit's files costs, whole command against the erasing itself, and how much memory it takes.

    python benchmarks/foreign.py time ratings.parquet [--regularization 0.01] [--alpha 1] [--exact]
    python benchmarks/foreign.py memory [--users 900000]

``time`` trains implicit's ALS (d = 64) on the file's pairs, forgets half of the interactions of 64 users with the
command line, and prints its seconds. ``memory`` makes two random models of the same data, d = 80 and 160, and prints by
how much the peak grows with the factors.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

USERS, FACTORS = 64, 64


def forget(folder: Path, model: str, *options: str) -> tuple[dict[str, Any], float]:
    """(the command's document, peak memory in bytes)."""
    command = [
        str(Path(sys.executable).with_name("alteraser")), "forget", str(folder / model), str(folder / "forget.parquet"),
        "--data", str(folder / "data.parquet"), "--out", str(folder / f"new-{model}"), "--rows-are-ids", "--json",
        *options,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        text = process.stdout.read()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return json.loads(text), usage.ru_maxrss * 1024.0


def measure_time(source: Path, folder: Path, regularization: float, alpha: float, exact: bool) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    table = pq.read_table(source)
    users, items = (np.unique(table[name].to_numpy(), return_inverse=True)[1] for name in ("user_id", "item_id"))
    pairs = pa.table({"user_id": users, "item_id": items})
    pq.write_table(pairs, folder / "data.parquet")
    rng = np.random.default_rng(0)
    gone = np.isin(users, rng.choice(users.max() + 1, USERS, replace=False)) & (rng.random(users.size) < 0.5)
    pq.write_table(pairs.filter(pa.array(gone)), folder / "forget.parquet")
    model = AlternatingLeastSquares(
        factors=FACTORS, regularization=regularization, alpha=alpha, use_cg=not exact, random_state=1
    )
    model.fit(csr_matrix((np.ones(users.size, np.float32), (users, items))), show_progress=False)
    model.save(folder / "als.npz")
    document, _ = forget(folder, "als.npz")
    seconds = document["seconds"]
    print(f"residual {document['residual']:.1e} in {document['passes']} passes; training left "
          f"{document['training_floor']:.2g} of the push")  # fmt: skip
    print(", ".join(f"{name} {value:.2f} s" for name, value in seconds.items()))
    print(f"whole command / erasing: {seconds['total'] / seconds['solve']:.2f}")


def measure_memory(users: int, folder: Path) -> None:
    rng = np.random.default_rng(0)
    items = 50_000
    keys = np.unique(np.repeat(np.arange(users), 2) * items + rng.integers(0, items, 2 * users))
    pairs = pa.table({"user_id": keys // items, "item_id": keys % items})
    pq.write_table(pairs, folder / "data.parquet")
    pq.write_table(pairs.slice(0, 20), folder / "forget.parquet")
    found = []
    for d in (80, 160):
        arrays = {
            name: rng.standard_normal((rows, d), dtype=np.float32) * 0.1
            for name, rows in (("user_factors", users), ("item_factors", items))
        }
        np.savez(
            folder / "als.npz", **arrays, regularization=np.array(10.0), factors=np.array(d), use_cg=np.array(True),
            alpha=np.array(2.0),
        )  # fmt: skip
        _, peak = forget(folder, "als.npz", "--unchecked", "--max-passes", "2")
        (folder / "new-als.npz").unlink()
        found.append((float(sum(array.nbytes for array in arrays.values())), peak))
        print(f"d = {d}: factors {found[-1][0] / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB")
    (small, low), (large, high) = found
    print(f"peak per byte of factors: {(high - low) / (large - small):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    timed = commands.add_parser("time")
    timed.add_argument("data", type=Path)
    timed.add_argument("--regularization", type=float, default=0.01)
    timed.add_argument("--alpha", type=float, default=1.0)
    timed.add_argument("--exact", action="store_true", help="train with use_cg=False")
    commands.add_parser("memory").add_argument("--users", type=int, default=900_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if given.what == "time":
            measure_time(given.data, Path(name), given.regularization, given.alpha, given.exact)
        else:
            measure_memory(given.users, Path(name))


if __name__ == "__main__":
    main()
