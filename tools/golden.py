"""What a commit computes, to the byte: run it on two commits of one machine and compare.

    python tools/golden.py write before.json                 # on the one commit
    python tools/golden.py write after.json                  # on the other
    python tools/golden.py compare before.json after.json
        # exit 1, and every difference, if there is one

Scenes are generated (m × n with weights or without), and run through the command line in this
process: for every objective, row type, solver and method the digest of the factors' bytes, the
trace (scope and residual of every pass), the answer's JSON document without times, paths and
digests, and the exit code. Bytes depend on the processor and on the versions of NumPy and its BLAS,
so files of two machines are not comparable; a move of code must not change one.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MOVING = {
    "seconds",
    "model",
    "digest",
    "parent",
    "other",
    "remaining",
    "seconds_predicted",
    "refit_seconds_predicted",
    "to_rest_seconds_predicted",
    "executable",
    "kernel_cache",
    "disk_free_bytes",
    "refit_seconds",
    "why",
}
"""Entries of documents that differ from run to run: times, what is predicted from times, paths and
file digests."""

OBJECTIVES = {
    "plain": "--missing-weight 0.3 --regularization 0.7",
    "popularity": "--missing-weight 0.2 --regularization 0.5 --missing-weighting popularity",
    "activity": "--missing-weight 0.4 --regularization 0.5 --missing-weighting activity "
    "--weight-exponent 0.8",
    "frequency": "--missing-weight 0.1 --regularization 0.05 --regularization-scaling frequency "
    "--scaling-offset 0.1",
    "defaults": "",
    "stopped": "--missing-weight 0.3 --regularization 0.7 --max-passes 4",  # far from rest
}
SOLVERS = ("joint", "ah-newton", "cg")
METHODS = {
    "auto": "",
    "converge": "--method converge",
    "loose": "--method converge --tolerance 0.1 --stop-at-tolerance",
    "capped": "--method converge --max-passes 3",
    "local": "--method local",
    "replay": "--method replay",
    "retrain": "--method retrain",
    "influence": "--method influence",
}


def scene(folder: Path, *, weighted: bool) -> None:
    """data.csv, pairs.csv (5 % of its rows) and users.csv (two whole users), generated."""
    rng = np.random.default_rng(7)
    m, n = 90, 60
    likes = np.where((np.arange(m)[:, None] + np.arange(n)) % 3 == 0, 0.4, 0.08)
    u, v = np.nonzero(rng.random((m, n)) < likes)
    plays = rng.geometric(0.2, u.size)
    rows = [
        f"u{a},{b + 100}" + (f",{c}" if weighted else "")
        for a, b, c in zip(u, v, plays, strict=True)
    ]
    head = "user_id,item_id" + (",plays" if weighted else "")
    (folder / "data.csv").write_text("\n".join([head, *rows]) + "\n")
    gone = rng.choice(u.size, u.size // 20, replace=False)
    (folder / "pairs.csv").write_text(
        "user_id,item_id\n" + "".join(f"u{u[i]},{v[i] + 100}\n" for i in gone)
    )
    (folder / "users.csv").write_text("user_id\nu3\nu40\n")


def command(line: str) -> tuple[int, dict[str, Any]]:
    """(exit code, JSON document) of one command."""
    from alteraser.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*line.split(), "--json"])
    text = out.getvalue()
    return code, json.loads(text) if text.strip() else {}


def stable(value: Any, folder: str) -> Any:
    """``value`` without what differs from run to run."""
    if isinstance(value, dict):
        return {key: stable(entry, folder) for key, entry in value.items() if key not in MOVING}
    if isinstance(value, list):
        return [stable(entry, folder) for entry in value]
    if isinstance(value, str):
        return value.replace(folder, "")
    return value


def factors(model: Path) -> str | None:
    """SHA-256 of the bytes of the tensors of a model; None where none was written."""
    from safetensors.numpy import load_file

    if not (model / "model.safetensors").is_file():
        return None
    sha = hashlib.sha256()
    for name, tensor in sorted(load_file(model / "model.safetensors").items()):
        sha.update(name.encode() + str(tensor.shape).encode() + tensor.tobytes())
    return sha.hexdigest()


def observations() -> Iterator[tuple[str, Any]]:
    """(name, what came out) of every combination."""
    for weighted, dtype in itertools.product((False, True), ("float32", "float64")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            scene(folder, weighted=weighted)
            reading = "--confidence log1p(plays)" if weighted else ""
            reading = reading.replace(" ", "=", 1)
            for objective, solver in itertools.product(OBJECTIVES, SOLVERS):
                if solver != "joint" and objective not in ("plain", "frequency"):
                    continue
                label = f"{'weighted' if weighted else 'binary'}/{dtype}/{objective}/{solver}"
                model = folder / f"{objective}-{solver}"
                code, document = command(
                    f"train {folder}/data.csv {OBJECTIVES[objective]} {reading} --dtype {dtype} "
                    f"--factors 8 --solver {solver} --out {model}"
                )
                yield f"{label}/train", [code, factors(model), stable(document, name)]
                methods = (
                    METHODS
                    if objective == "plain" and solver == "joint"
                    else {"auto": "", "local": METHODS["local"]}
                )
                for method, wanted in itertools.product(methods, ("pairs", "users")):
                    out = folder / f"{objective}-{solver}-{method}-{wanted}"
                    code, document = command(
                        f"forget {model} {folder}/{wanted}.csv --data {folder}/data.csv --out "
                        f"{out} --remaining {out}.csv {METHODS[method]}"
                    )
                    yield (
                        f"{label}/forget/{method}/{wanted}",
                        [code, factors(out), stable(document, name)],
                    )
                    if objective == "plain" and out.exists():
                        code, document = command(
                            f"verify {out} --data {out}.csv --before {model} --forgotten "
                            f"{folder}/data.csv"
                        )
                        yield f"{label}/verify/{method}/{wanted}", [code, stable(document, name)]


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Where two JSON values differ, a line each."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in old or key not in new:
                yield f"{where}/{key}: only {'after' if key in new else 'before'}"
            else:
                yield from differences(old[key], new[key], f"{where}/{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (first, second) in enumerate(zip(old, new, strict=True)):
            yield from differences(first, second, f"{where}/{place}")
    elif old != new:
        yield f"{where}: {str(old)[:60]} -> {str(new)[:60]}"


def main(arguments: list[str]) -> int:
    """``write FILE`` or ``compare OLD NEW``."""
    if len(arguments) == 2 and arguments[0] == "write":
        found = dict(observations())
        Path(arguments[1]).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        print(f"{arguments[1]}: {len(found)} observations")
        return 0
    if len(arguments) == 3 and arguments[0] == "compare":
        old, new = (json.loads(Path(name).read_text()) for name in arguments[1:])
        lines = list(differences(old, new))
        print("\n".join(lines) or f"the same, in {len(new)} observations")
        return 1 if lines else 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
