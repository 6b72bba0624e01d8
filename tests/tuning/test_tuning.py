"""Tuning: paths that start where the last ended, searches that go on, and a choice that weighs both
sides."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import Run

import alteraser.verbs.tune.search as search_module
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, Interrupted, InvalidInput
from alteraser.models import Factors
from alteraser.verbs.tune import Finalist, Grid, GridPoint, tune
from alteraser.verbs.tune.forgettability import Forgettability
from alteraser.verbs.tune.search import choose
from alteraser.verbs.tune.trial import Trial, run_trial

GRID = Grid(factors=(2,), missing_weights=(0.1, 0.3), regularizations=(0.2, 1.0, 0.5), refine=False)


@cache
def data() -> Interactions:
    rng = np.random.default_rng(1)
    taste = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 30)) + 0.5 * rng.standard_normal(
        (40, 30)
    )
    return Interactions.from_pairs(
        [(int(u), int(v)) for u, v in zip(*np.nonzero(taste > 1.0), strict=True)]
    )


def test_paths_fall_in_regularization_and_cover_the_grid() -> None:
    paths = GRID.coarse(data())
    assert len(paths) == 2
    for path in paths:
        ridges = [point.regularization for point in path]
        assert ridges == sorted(ridges, reverse=True)
        assert len({(point.factors, point.missing_weight) for point in path}) == 1
    points = [point for path in paths for point in path]
    assert len({point.key for point in points}) == len(points) == 6


def test_fine_points_are_new_and_around_the_best() -> None:
    best = GridPoint(2, 0.1, 0.5)
    known = {point for path in GRID.coarse(data()) for point in path}
    fine = Grid(factors=(2,)).fine(best, known)
    points = [point for path in fine for point in path]
    assert points
    assert not known & set(points)
    assert all(
        0.3 < p.regularization / 0.5 < 3 and 0.3 < p.missing_weight / 0.1 < 3 for p in points
    )
    assert GRID.fine(best, known) == []


def test_a_warm_path_ends_where_cold_starts_do() -> None:
    """The solution at a point does not depend on having come from its neighbor."""
    train, held = data().split(0.2, seed=0)
    exact = {"tolerance": 1e-9, "max_passes": 500, "threads": 1}
    factors = Factors.random(*train.shape, 2, seed=0, dtype=np.float64)
    for ridge in (1.0, 0.5, 0.2):
        point = GridPoint(2, 0.3, ridge)
        warm, factors = run_trial(point, train, [held], factors, **exact)  # type: ignore[arg-type]
        colds = [
            run_trial(
                point,
                train,
                [held],
                Factors.random(*train.shape, 2, seed=s, dtype=np.float64),
                **exact,
            )[0]  # type: ignore[arg-type]
            for s in range(4)
        ]
        assert warm.converged
        assert any(abs(cold.ndcg - warm.ndcg) < 1e-9 for cold in colds)


def test_a_second_search_trains_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tune(data(), grid=GRID, out=tmp_path / "t", finalists=1, threads=1)
    assert first.resumed == 0
    monkeypatch.setattr(
        search_module, "run_trial", lambda *_, **__: pytest.fail("a finished trial was run again")
    )
    second = tune(data(), grid=GRID, out=tmp_path / "t", finalists=1, threads=1)
    assert second.resumed == 6
    assert second.trials == first.trials
    assert second.chosen == first.chosen


def test_side_by_side_is_the_same_search(tmp_path: Path) -> None:
    alone = tune(data(), grid=GRID, finalists=2, threads=1)
    together = tune(data(), grid=GRID, finalists=2, threads=2, jobs=2)
    assert alone == together


def test_an_interrupted_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = run_trial, []

    def third_is_interrupted(*arguments: object, **settings: object) -> object:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(search_module, "run_trial", third_is_interrupted)
    with pytest.raises(Interrupted, match="the same command goes on"):
        tune(data(), grid=GRID, out=tmp_path / "t", finalists=1, threads=1)
    monkeypatch.setattr(search_module, "run_trial", real)
    again = tune(data(), grid=GRID, out=tmp_path / "t", finalists=1, threads=1)
    assert again.resumed >= 2
    assert again == search_module.Tuned(
        **{**vars(tune(data(), grid=GRID, finalists=1, threads=1)), "resumed": again.resumed}
    )


def test_other_data_or_settings_are_refused(tmp_path: Path) -> None:
    tune(data(), grid=GRID, out=tmp_path / "t", finalists=1, threads=1)
    with pytest.raises(IntegrityError, match="trials of other data or settings"):
        tune(data(), grid=GRID, out=tmp_path / "t", finalists=1, threads=1, seed=5)
    fewer = data().keep(np.arange(len(data())) > 3)
    with pytest.raises(IntegrityError, match="other data"):
        tune(fewer, grid=GRID, out=tmp_path / "t", finalists=1, threads=1)
    record = next((tmp_path / "t" / "trials").glob("*.json"))
    record.write_text("{")
    with pytest.raises(IntegrityError, match="is not a finished trial"):
        tune(data(), grid=GRID, out=tmp_path / "t", finalists=1, threads=1)


def finalist(ndcg: float, error: float, agreement: float, ridge: float) -> Finalist:
    trial = Trial(GridPoint(2, 0.1, ridge), ndcg, error, 0.0, 1, 0, 0.0, True)
    return Finalist(trial, Forgettability(agreement, 0.0, 1.0, 1, 0, True))


def test_the_best_defined_of_the_accurate_is_chosen() -> None:
    accurate = finalist(0.50, 0.02, 0.90, 1.0)
    defined = finalist(0.49, 0.02, 0.99, 1.0)
    weak = finalist(0.40, 0.02, 1.00, 1.0)
    ridged = finalist(0.49, 0.02, 0.9901, 2.0)
    assert choose([accurate, weak]) is accurate
    assert choose([accurate, defined, weak]) is defined
    assert choose([defined, ridged, accurate]) is ridged


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jobs": 0}, "at least 1"),
        ({"finalists": 0}, "at least 1"),
        ({"validation": 0.01}, "no user has enough"),
    ],
)
def test_senseless_searches_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        tune(data(), grid=GRID, **settings)  # type: ignore[arg-type]


# ------------------------------------------------------------------ the command

TUNE = (
    "tune {w}/data.csv --factors 2,3 --missing-weight 0.2 --regularization 0.5,2 --no-refine "
    "--finalists 2"
)


def test_the_command_reports_and_goes_on(run: Run) -> None:
    code, out, err = run(TUNE + " --out t --json")
    assert code == 0, err
    found = json.loads(out)
    assert len(found["trials"]) == 4
    assert len(found["finalists"]) == 2
    assert {"ndcg", "agreement", "curvature", "steps"} <= found["chosen"].keys()
    assert json.loads(Path("t/tune.json").read_text())["chosen"] == found["chosen"]
    assert "<script>" in Path("t/report.html").read_text()
    code, out, _ = run(TUNE + " --out t")
    assert code == 0
    assert "4 found finished" in out
    code, _, err = run(found["command"].removeprefix("alteraser ") + " -q")
    assert code == 0, err


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("tune nothing.csv", 3, "nothing.csv"),
        ("tune {w}/data.csv --factors 2,x", 2, "'x' is not a whole number"),
        ("tune {w}/data.csv --factors 0", 2, "0 is not above zero"),
        ("tune {w}/data.csv --regularization 1,,2", 2, "is not a number"),
        ("tune {w}/data.csv --tolerance 2", 2, "--tolerance 2"),
        ("tune {w}/data.csv --out {w}", 2, "not the folder of a search"),
        ("tune {w}/data.csv --jobs 0", 2, "jobs"),
    ],
)
def test_the_command_says_what_is_wrong(run: Run, line: str, code: int, message: str) -> None:
    found, _, err = run(line)
    assert found == code
    assert message in err
