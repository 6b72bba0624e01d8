"""What forgetting in implicit's files costs, whole command against the erasing itself, and how much
memory it takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from alteraser.bench.common import command as alteraser
from alteraser.runtime.extras import require

USERS, FACTORS = 64, 64


def foreign(
    data: Annotated[
        Path | None, typer.Argument(metavar="[RATINGS]", help="A Parquet file of pairs.")
    ] = None,
    regularization: Annotated[
        float, typer.Option("--regularization", help="λ of the model.")
    ] = 0.01,
    alpha: Annotated[float, typer.Option("--alpha", help="Confidence of a pair.")] = 1.0,
    exact: Annotated[bool, typer.Option("--exact", help="Train with use_cg=False.")] = False,
    users: Annotated[int, typer.Option("--users", min=1, help="Of the generated data.")] = 900_000,
) -> int:
    """What forgetting in implicit's files costs: time on RATINGS; without them, memory on generated
    data.

    With RATINGS implicit's ALS (d = 64) is trained on the pairs, half of the interactions of 64
    users are forgotten by the command line, and its seconds are printed. Without, two random models
    of the same data, d = 80 and 160, are made to forget, and it is printed by how much the peak
    grows with the factors.

    Example: alteraser bench foreign ratings.parquet --exact
    """
    with tempfile.TemporaryDirectory() as name:
        if data is None:
            _memory(users, Path(name))
        else:
            require("implicit", "bench", "bench foreign")
            _time(data, Path(name), regularization, alpha, exact)
    return 0


def _forget(folder: Path, model: str, *options: str) -> tuple[dict[str, Any], float]:
    """(the command's document, peak memory in bytes)."""
    command = [
        alteraser(),
        "forget",
        str(folder / model),
        str(folder / "forget.parquet"),
        "--data",
        str(folder / "data.parquet"),
        "--out",
        str(folder / f"new-{model}"),
        "--rows-are-ids",
        "--json",
        *options,
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        text = process.stdout.read()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return json.loads(text), usage.ru_maxrss * 1024.0


def _time(source: Path, folder: Path, regularization: float, alpha: float, exact: bool) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    table = pq.read_table(source)
    users, items = (
        np.unique(table[name].to_numpy(), return_inverse=True)[1] for name in ("user_id", "item_id")
    )
    pairs = pa.table({"user_id": users, "item_id": items})
    pq.write_table(pairs, folder / "data.parquet")
    rng = np.random.default_rng(0)
    gone = np.isin(users, rng.choice(users.max() + 1, USERS, replace=False)) & (
        rng.random(users.size) < 0.5
    )
    pq.write_table(pairs.filter(pa.array(gone)), folder / "forget.parquet")
    model = AlternatingLeastSquares(
        factors=FACTORS,
        regularization=regularization,
        alpha=alpha,
        use_cg=not exact,
        random_state=1,
    )
    model.fit(csr_matrix((np.ones(users.size, np.float32), (users, items))), show_progress=False)
    model.save(folder / "als.npz")
    document, _ = _forget(folder, "als.npz")
    seconds = document["seconds"]
    print(
        f"residual {document['residual']:.1e} in {document['passes']} passes; training left "
        f"{document['training_floor']:.2g} of the push"
    )
    print(", ".join(f"{name} {value:.2f} s" for name, value in seconds.items()))
    print(f"whole command / erasing: {seconds['total'] / seconds['solve']:.2f}")


def _memory(users: int, folder: Path) -> None:
    rng = np.random.default_rng(0)
    items = 50_000
    keys = np.unique(np.repeat(np.arange(users), 2) * items + rng.integers(0, items, 2 * users))
    pairs = pa.table({"user_id": keys // items, "item_id": keys % items})
    pq.write_table(pairs, folder / "data.parquet")
    pq.write_table(pairs.slice(0, 20), folder / "forget.parquet")
    found = []
    for d in (80, 160):
        arrays: dict[str, Any] = {
            name: rng.standard_normal((rows, d), dtype=np.float32) * 0.1
            for name, rows in (("user_factors", users), ("item_factors", items))
        }
        np.savez(
            folder / "als.npz",
            **arrays,
            regularization=np.array(10.0),
            factors=np.array(d),
            use_cg=np.array(True),
            alpha=np.array(2.0),
        )
        _, peak = _forget(folder, "als.npz", "--unchecked", "--max-passes", "2")
        (folder / "new-als.npz").unlink()
        found.append((float(sum(array.nbytes for array in arrays.values())), peak))
        print(f"d = {d}: factors {found[-1][0] / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB")
    (small, low), (large, high) = found
    print(f"peak per byte of factors: {(high - low) / (large - small):.2f}")
