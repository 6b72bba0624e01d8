"""Shared small problems. Brute force is affordable on all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import settings

from alteraser.cli.main import main
from alteraser.data.deletion import Deletion
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions, Removal
from alteraser.data.selection import Selection
from alteraser.models import Factors, Objective, Problem

pytest_plugins = ["postgresql_server"]

# run elsewhere, by the real libraries
collect_ignore_glob = ["adapters/fixtures/*/make_*.py", "interop/read_*.py"]

settings.register_profile("shared-machine", deadline=None)  # speed is the benchmarks' business
settings.load_profile("shared-machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--freeze",
        action="store_true",
        help="Write the tables of tests/cli/frozen from what is there.",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for name in ("interop", "faults", "browser"):
        if name not in config.getoption("markexpr", ""):
            for item in items:
                if item.get_closest_marker(name):  # a keyword is a folder's name too
                    item.add_marker(pytest.mark.skip(reason=f"asked for by -m {name} alone"))


def toy_interactions(
    m: int = 13,
    n: int = 9,
    density: float = 0.35,
    *,
    seed: int = 0,
    weighted: bool = False,
    lonely: bool = True,
) -> Interactions:
    """Random pairs; with ``lonely`` the first user and the last item have none but exist as
    rows."""
    rng = np.random.default_rng(seed)
    mask = rng.random((m, n)) < density
    if lonely:
        mask[0, :] = False
        mask[:, -1] = False
    u, v = np.nonzero(mask)
    ids = [IdMap.build(np.arange(size))[0] for size in (m, n)]
    confidence = rng.uniform(0.05, 3.0, u.size) if weighted else None
    target = rng.uniform(-1.0, 2.0, u.size) if weighted else None
    return Interactions._assemble(*ids, u, v, confidence, target, None, "refuse")


OBJECTIVES = {
    "uniform": Objective(missing_weight=0.3, regularization=0.7),
    "popularity": Objective(missing_weight=0.2, regularization=0.5, missing_weighting="popularity"),
    "activity": Objective(
        missing_weight=0.4, regularization=0.5, missing_weighting="activity", weight_exponent=0.8
    ),
    "frequency": Objective(
        missing_weight=0.1,
        regularization=0.05,
        regularization_scaling="frequency",
        scaling_offset=0.1,
        scaling_exponent=0.9,
    ),
    "heavy missing": Objective(missing_weight=1.7, regularization=0.3),  # c < w⁻ is legal
    "explicit": Objective(missing_weight=0.0, regularization=0.6),
}


@pytest.fixture(
    params=[(name, weighted) for name in OBJECTIVES for weighted in (False, True)], ids=str
)
def problem(request: pytest.FixtureRequest) -> Problem:
    """Every objective, without and with confidences and targets, in float64."""
    name, weighted = request.param
    return Problem(OBJECTIVES[name], toy_interactions(weighted=weighted), np.float64)


def random_factors(
    problem: Problem, rank: int = 4, *, seed: int = 1, trained: bool = False
) -> Factors:
    """Factors of the problem's shape; ``trained`` gives a prediction vector other than ones."""
    rng = np.random.default_rng(seed)
    m, n = problem.interactions.shape
    h = rng.uniform(0.5, 1.5, rank) if trained else np.ones(rank)
    return Factors(
        *(rng.standard_normal((size, rank)).astype(problem.dtype) for size in (m, n)),
        h.astype(problem.dtype),
    )


# ---------------------------------------------------------------- the command line's small world

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data.csv with integer ids and a spare column, a model of it, and a forget set of 30 rows."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    u, v = np.nonzero(
        rng.random((60, 40)) < np.where((np.arange(60)[:, None] + np.arange(40)) % 3 == 0, 0.5, 0.1)
    )
    table = pa.table({"user_id": u + 1, "item_id": v + 100, "rating": rng.integers(1, 6, u.size)})
    pacsv.write_csv(table, folder / "data.csv")
    pacsv.write_csv(
        table.take(np.arange(30) * 14 + 3).select(["user_id", "item_id"]), folder / "forget.csv"
    )
    (folder / "nobody.csv").write_text("user_id,item_id\n77777,9\n")
    (folder / "header.csv").write_text("user_id,item_id\n")
    assert (
        main(
            [
                "train",
                str(folder / "data.csv"),
                "--factors",
                "4",
                "--out",
                str(folder / "model"),
                "-q",
            ]
        )
        == 0
    )
    return folder


@pytest.fixture
def run(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run a command in an empty directory, ``{w}`` standing for the world; (exit code, stdout,
    stderr)."""
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


@pytest.fixture
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


def parted(data: Interactions, remaining: Interactions, removed: Interactions) -> Deletion:
    """The deletion that takes ``removed`` out of ``data``."""
    removal = Removal(remaining, removed, removed.to_table().slice(0, 0), Selection.of(removed))
    return Deletion(data, removal)
