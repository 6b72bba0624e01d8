"""The small world that the command-line tests share, and how they run a command."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from alteraser.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data.csv with integer ids and a spare column, a model of it, and a forget set of 30 rows."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    u, v = np.nonzero(rng.random((60, 40)) < np.where((np.arange(60)[:, None] + np.arange(40)) % 3 == 0, 0.5, 0.1))
    table = pa.table({"user_id": u + 1, "item_id": v + 100, "rating": rng.integers(1, 6, u.size)})
    pacsv.write_csv(table, folder / "data.csv")
    pacsv.write_csv(table.take(np.arange(30) * 14 + 3).select(["user_id", "item_id"]), folder / "forget.csv")
    assert main(["train", str(folder / "data.csv"), "--factors", "4", "--out", str(folder / "model"), "-q"]) == 0
    return folder


@pytest.fixture
def run(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty directory, ``{w}`` standing for the world; (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(line: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(line.format(w=world).split())
        out, err = capsys.readouterr()
        return code, out, " ".join(err.split())

    return call


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, str]]:
    """Every file below a folder with its sha-256."""
    return tree


@pytest.fixture(autouse=True)
def inputs_stay_as_they_are(world: Path) -> Iterator[None]:
    before = tree(world)
    yield
    assert tree(world) == before


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
