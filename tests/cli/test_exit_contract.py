"""What ``forget`` says is what ``verify`` finds: exit codes and classes over models, data and
options."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alteraser import load
from alteraser.cli.main import main

Pairs = list[tuple[int, int]]


def blocks(m: int, n: int, *, seed: int = 0) -> Pairs:
    """Three tastes, with noise."""
    rng = np.random.default_rng(seed)
    tastes = rng.choice(3, m)[:, None] == rng.choice(3, n)[None, :]
    u, v = np.nonzero(rng.random((m, n)) < np.where(tastes, 0.7, 0.15))
    return list(zip(u.tolist(), v.tolist(), strict=True))


DATA: dict[str, Pairs] = {
    "tastes": blocks(24, 16),
    "four each": [
        (u, int(v))
        for u in range(20)
        for v in np.random.default_rng(u).choice(20, 4, replace=False)
    ],
    "one user": [(0, v) for v in range(6)],
    "one item": [(u, 0) for u in range(6)],
    "one cell": [(0, 0)],
    "everything": [(u, v) for u in range(5) for v in range(4)],
    "apart": [(u, u) for u in range(6)],
}
WEIGHTS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "": lambda rng, size: np.ones(size),
    "tiny": lambda rng, size: 1e-6 * rng.uniform(0.1, 1.0, size),
    "counts": lambda rng, size: np.minimum(np.round(1 / rng.random(size) ** 1.5), 1e3),
    "decades": lambda rng, size: 10 ** rng.uniform(0, 6, size),
}
TRAINING = {
    "defaults": "--factors 3",
    "rest": "--factors 4 --regularization 0.5 --to-rest",
    "rest, wide": "--factors 4 --regularization 0.5 --to-rest --dtype float64",
    "early": "--factors 3 --regularization 0.3 --max-passes 3",
    "first": "--factors 2 --regularization 0.3 --max-passes 1 --dtype float64",
    "more factors than items": "--factors 24 --regularization 0.4",
    "collapsed": "--factors 8 --regularization 60",
    "undetermined": "--factors 2 --regularization 0 --missing-weight 0.3",
    "frequency": "--factors 3 --regularization 0.1 --regularization-scaling frequency "
    "--missing-weighting popularity",
}
OPTIONS = (
    "",
    "--max-passes 2",
    "--max-passes 1 --tolerance 0.5",
    "--stop-at-tolerance",
    "--tolerance 0.9 --stop-at-tolerance",
    "--tolerance 1e-9",
    "--method influence",
    "--method local",
    "--method local --tolerance 0.7",
    "--method replay",
    "--method retrain",
    "--method retrain --max-passes 2",
    "--method converge",
    "--solver ah-newton",
    "--solver cg --memory 0",
    "--method converge --max-passes 3",
)
FORGET = ("one", "user", "all")


SHARE = int(os.environ.get("ALTERASER_CONTRACT_SHARE", "240"))
"""One in so many combinations is tried; 1 tries all 12,096."""


def sampled() -> list[tuple[str, str, str, str, str]]:
    """A part of all combinations, the same every time."""
    every = list(itertools.product(DATA, WEIGHTS, TRAINING, OPTIONS, FORGET))
    order = np.random.default_rng(7).permutation(len(every))
    return [every[place] for place in sorted(order[: len(every) // SHARE].tolist())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where models stay while they are used again."""
    return tmp_path_factory.mktemp("contract")


@pytest.fixture
def call(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[int, str, str]]:
    """Run a command line there."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))

    def run(line: str) -> tuple[int, str, str]:
        code = main(line.split())
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


Call = Callable[[str], tuple[int, str, str]]


def written(name: str, weights: str) -> tuple[str, dict[str, str]]:
    """The data file, and FORGET files by what goes."""
    stem = f"{list(DATA).index(name)}-{list(WEIGHTS).index(weights)}"
    values = WEIGHTS[weights](np.random.default_rng(3), len(DATA[name]))
    rows = [f"{u},{v},{c}" for (u, v), c in zip(DATA[name], values.tolist(), strict=True)]
    user = rows[len(rows) // 2].split(",")[0]
    parts = {
        "": rows,
        "one": rows[:1],
        "user": [row for row in rows if row.startswith(f"{user},")],
        "all": rows,
    }
    for part, lines in parts.items():
        Path(f"{stem}{part}.csv").write_text("user_id,item_id,c\n" + "\n".join(lines) + "\n")
    return f"{stem}.csv", {part: f"{stem}{part}.csv" for part in FORGET}


def model_of(call: Call, data: str, weights: str, training: str) -> str | None:
    """The trained model, from earlier where there is one; None where training says that it cannot
    be."""
    name = f"{data.removesuffix('.csv')}-{list(TRAINING).index(training)}"
    if not Path(name).exists():
        rule = "--confidence c" if weights else ""
        code, out, err = call(f"train {data} --out {name} --json {rule} {TRAINING[training]}")
        if code == 8:
            assert "error: " in err
            return None
        assert code == 0, err
        found = json.loads(out)
        assert found["converged"] == (found["not_reached"] is None)
    return name


@pytest.mark.parametrize(("data", "weights", "training", "options", "part"), sampled())
def test_whatever_forget_ends_with_verify_agrees(
    call: Call, data: str, weights: str, training: str, options: str, part: str
) -> None:
    file, forgets = written(data, weights)
    model = model_of(call, file, weights, training)
    if model is None:
        return
    for name in ("new", "left.csv"):
        shutil.rmtree(name, ignore_errors=True)
        Path(name).unlink(missing_ok=True)
    answer = call(
        f"forget {model} {forgets[part]} --data {file} --out new --remaining left.csv --json "
        f"{options}"
    )
    code, out, err = answer
    if code == 2:  # a replay of what has no record, and the like
        assert options
        return
    assert code in (0, 8), err
    found = json.loads(out)
    if "error" in found:
        assert code == 8
        assert not Path("new").exists()
        return
    assert found["class"] in "ABCLD"
    assert found["class_name"]
    assert found["converged"] == (code == 0)
    warned = [line for line in err.splitlines() if line.startswith("not reached: ")]
    assert len(warned) == (code == 8)
    checked, out, err = call(
        f"verify new --data left.csv --before {model} --forgotten {forgets[part]} --json"
    )
    if code == 0:
        assert checked == 0, (found["class"], err, out)
        same = json.loads(out)["class"]
        # B is a C with a proof
        assert same == found["class"] or (found["class"], same) == ("C", "B")


def answers(call: Call, line: str, code: int) -> dict[str, Any]:
    got, out, err = call(line)
    assert got == code, err
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("training", ["rest", "early", "collapsed", "more factors than items"])
@pytest.mark.parametrize("method", ["auto", "local", "converge", "retrain"])
def test_forgetting_everything_is_class_c(call: Call, training: str, method: str) -> None:
    file, forgets = written("tastes", "")
    model = model_of(call, file, "", training)
    for name in ("new", "left.csv"):
        shutil.rmtree(name, ignore_errors=True)
        Path(name).unlink(missing_ok=True)
    line = (
        f"forget {model} {forgets['all']} --data {file} --out new --remaining left.csv "
        f"--method {method} --json"
    )
    assert answers(call, line, 0)["class"] == "C"
    for extra in ("", f"--before {model} --forgotten {forgets['all']}"):
        assert answers(call, f"verify new --data left.csv {extra} --json", 0)["class"] in "BC"


def test_a_level_not_reached_is_8_in_words_and_accept_d_makes_it_0(call: Call) -> None:
    file, forgets = written("tastes", "")
    model = model_of(call, file, "", "rest")
    for place, accept in enumerate(("", " --accept d")):
        line = f"forget {model} {forgets['one']} --data {file} --method influence{accept}"
        found = answers(call, f"{line} --out json{place} --json", 0 if accept else 8)
        assert (found["class"], found["class_name"], found["converged"]) == (
            "D",
            "not forgotten",
            False,
        )
        assert found["sentence"].startswith("not shown to have forgotten")
        code, out, err = call(f"{line} --out quiet{place} -q")
        assert (code, out) == (0 if accept else 8, "")
        assert err.startswith("not reached: ")
        assert err.count("\n") == 1
        for part in (
            "of the deletion's push is left",
            "class D",
            "the model was written",
            "use --method converge",
        ):
            assert part in err
        code, out, err = call(f"{line} --out words{place}")
        assert "D: not forgotten" in out
        assert Path(f"words{place}/model.json").exists()
    code, _, err = call(f"forget {model} {forgets['one']} --data {file} --out x --accept c")
    assert code == 2
    assert "--accept c: there is d" in err


def test_train_says_that_it_ended_before_its_tolerance(call: Call) -> None:
    file, _ = written("tastes", "")
    line = f"train {file} --factors 3 --regularization 0.3 --max-passes 2 --tolerance 1e-8"
    found = answers(call, f"{line} --out short --json", 0)
    assert found["converged"] is False
    assert "the tolerance is 1.0e-08" in found["not_reached"]
    code, out, _ = call(f"{line} --out short-2")
    assert code == 0
    lines = [row for row in out.splitlines() if row.strip()]
    last = max(place for place, row in enumerate(lines) if row.startswith(" not reached"))
    # nothing but that row's own text follows
    assert all(row.startswith("  ") for row in lines[last + 1 :])
    code, out, err = call(f"{line} --out short-3 -q")
    assert (code, out) == (0, "")
    assert err.startswith("not reached: ")
    file, _ = written("tastes", "")
    found = answers(call, f"train {file} --factors 3 --regularization 60 --out zeros --json", 0)
    assert 0 < found["critical_regularization"] < 60
    assert (
        answers(
            call,
            f"train {file} --factors 3 --out more --json --regularization "
            f"{0.2 * found['critical_regularization']}",
            0,
        )["critical_regularization"]
        is None
    )


def test_train_says_that_confidences_are_too_far_apart(call: Call) -> None:
    file, forgets = written("tastes", "decades")
    found = answers(
        call, f"train {file} --confidence c --factors 3 --max-passes 30 --out decades --json", 0
    )
    assert "take a rule such as log1p(column) or min(column, 1000)" in found["confidences"]
    whole = answers(
        call,
        f"train {file} --confidence c --factors 8 --regularization 3 --to-rest --out whole --json",
        0,
    )
    assert whole["converged"]
    assert load("whole").factors.dtype == np.float64
    line = f"--data {file} --out gone --remaining gone.csv --json"
    assert answers(call, f"forget whole {forgets['one']} {line}", 0)["class"] == "C"
    assert answers(call, "verify gone --data gone.csv --before whole --json", 0)["class"] in "BC"
    found = answers(call, f"train {file} --confidence 1+log1p(c) --factors 3 --out tamed --json", 0)
    assert found["converged"]
    assert found["confidences"] is None
