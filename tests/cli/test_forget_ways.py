"""``forget --method`` and ``verify`` on models that are not at rest: documents, exit codes, lines
on stderr."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alteraser.cli.main import main

Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in a folder with data, the pairs of user 5, and models at rest and not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(3)
    tastes = rng.choice(3, 70)[:, None] == rng.choice(3, 40)[None, :]
    u, v = np.nonzero(rng.random((70, 40)) < np.where(tastes, 0.6, 0.1))
    lines = [f"{a},{b}" for a, b in zip(u.tolist(), v.tolist(), strict=True)]
    Path("data.csv").write_text("user_id,item_id\n" + "\n".join(lines) + "\n")
    Path("five.csv").write_text(
        "user_id,item_id\n" + "\n".join(x for x in lines if x.startswith("5,")) + "\n"
    )

    def call(arguments: str) -> tuple[int, str, str]:
        code = main(arguments.split())
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    common = "--factors 4 --missing-weight 0.2 --regularization 2 -q"
    assert call(f"train data.csv --out early --max-passes 14 {common}")[0] == 0
    assert call(f"train data.csv --out first --max-passes 1 {common}")[0] == 0
    assert call(f"train data.csv --out rest --to-rest {common}")[0] == 0
    return call


def document(answer: tuple[int, str, str], code: int = 0) -> dict[str, Any]:
    assert answer[0] == code, answer
    found = json.loads(answer[1])
    assert isinstance(found, dict)
    return found


FIVE = "five.csv --data data.csv"


def test_auto_says_what_it_took_and_why(run: Run) -> None:
    found = document(run(f"forget early {FIVE} --out new --remaining left.csv --json"))
    assert (found["method"], found["method_asked"], found["class"]) == ("local", "auto", "L")
    assert found["why"].startswith("not at rest")
    assert 0 <= found["effect_left"] < 0.2
    assert found["refit_seconds_predicted"] > 0
    assert set(found["lists_changed"]) == {"users", "changed", "overlap"}
    assert found["lists_changed"]["users"] == 69
    found = document(run(f"forget rest {FIVE} --out new-2 --json"))
    assert (found["method"], found["class"], found["at_rest"]) == ("converge", "C", True)
    code, out, _ = run(f"forget early {FIVE} --out new-3")
    assert code == 0
    assert "method     local: not at rest" in out
    assert "other users changed" in " ".join(out.split())


def test_a_dry_run_predicts_and_writes_nothing(run: Run) -> None:
    before = sorted(os.listdir())
    found = document(run(f"forget early {FIVE} --dry-run --json"))
    assert (found["method"], found["at_rest"]) == ("local", False)
    assert (found["methods_possible"], found["classes_possible"]) == (["local"], ["L", "D"])
    assert found["seconds_predicted"] > 0
    assert found["refit_seconds_predicted"] > 0
    assert document(run(f"forget rest {FIVE} --dry-run --json"))["method"] == "converge"
    assert sorted(os.listdir()) == before


def test_verify_tells_l_from_d_with_both_files_alone(run: Run) -> None:
    document(run(f"forget early {FIVE} --out new --remaining left.csv --json"))
    found = document(run("verify new --data left.csv --json"), 8)
    assert "cannot be told from" in found["sentence"]
    for forgotten in ("five.csv", "data.csv"):
        found = document(
            run(f"verify new --data left.csv --before early --forgotten {forgotten} --json")
        )
        assert (found["class"], found["name"]) == ("L", "local")
        assert found["sentence"].startswith(
            "the deletion's effect on a model that is not at rest, to within about"
        )
    Path("users.csv").write_text("user_id\n5\n")
    code, _, err = run("verify new --data left.csv --before early --forgotten users.csv")
    assert code == 2
    assert "does not say which interactions they had" in err
    code, _, err = run("verify new --data left.csv --forgotten five.csv")
    assert code == 2
    assert "give the original model as well" in err
    Path("other.csv").write_text("user_id,item_id\n5,39\n")
    code, _, err = run("verify new --data left.csv --before early --forgotten other.csv")
    assert code == 6
    assert "not what the model was trained on" in err


def test_what_is_not_reached_is_said_even_when_quiet(run: Run) -> None:
    code, out, err = run(
        f"forget first {FIVE} --out new --remaining left.csv --method local --tolerance 1e-9 -q"
    )
    assert code == 8
    assert out == ""
    assert err.startswith("not reached: ")
    assert len(err.strip().splitlines()) == 1
    assert json.loads(Path("new/model.json").read_text())["training"]["converged"] is False
    assert run("verify new --data left.csv --before first --forgotten five.csv -q")[0] == 8


@pytest.mark.parametrize("original", ["first", "early", "rest"])
@pytest.mark.parametrize("method", ["auto", "local", "converge", "replay"])
@pytest.mark.parametrize("options", ["", "--tolerance 1e-2"])
def test_forget_and_verify_agree(run: Run, original: str, method: str, options: str) -> None:
    if method == "replay" and options:
        code, _, err = run(f"forget {original} {FIVE} --out new --method replay {options}")
        assert code == 2
        assert "--tolerance means nothing to --method replay" in err
        return
    code, out, err = run(
        f"forget {original} {FIVE} --out new --remaining left.csv --method {method} {options} "
        "--json"
    )
    found = json.loads(out)
    assert (code == 0) == (found["class"] in ("A", "C", "L")), err
    extra = f"--before {original} --forgotten five.csv"
    checked, out, _ = run(f"verify new --data left.csv {extra} --prove-up-to 0 --json")
    assert checked == code
    assert json.loads(out)["class"] == found["class"]


def test_a_replay_verifies_by_itself(run: Run) -> None:
    found = document(
        run(f"forget early {FIVE} --out new --remaining left.csv --method replay --json")
    )
    assert (found["class"], found["method"]) == ("A", "replay")
    assert document(run("verify new --data left.csv --json"))["class"] == "A"
    assert document(run(f"forget early {FIVE} --dry-run --json"))["method"] == "replay"


def test_converging_from_afar_warns_before_it_does(run: Run) -> None:
    code, _, err = run(f"forget early {FIVE} --out new --method converge --json")
    assert code == 0
    text = " ".join(err.split())
    assert "going there finishes the training" in text
    assert "% of the other users will change" in text
    assert (
        "finishes the training"
        not in run(f"forget rest {FIVE} --out new-2 --method converge --json")[2]
    )


def test_options_of_converge_mean_it(run: Run) -> None:
    found = document(run(f"forget early {FIVE} --out new --solver ah-newton --json"))
    assert (found["method"], found["method_asked"]) == ("converge", "auto")
    code, _, err = run(f"forget early {FIVE} --out new-2 --method local --memory 3")
    assert code == 2
    assert "--memory means nothing to --method local" in err


def test_train_says_how_far_from_rest_it_ended(run: Run) -> None:
    code, out, _ = run(
        "train data.csv --out more --factors 4 --missing-weight 0.2 --regularization 2 "
        "--tolerance 1e-3"
    )
    assert code == 0
    last = " ".join(out.split())
    assert "of the model's size from its optimum" in last or "is not known" in last
    found = document(
        run(
            "train data.csv --out rested --to-rest --factors 4 --missing-weight 0.2 "
            "--regularization 2 --json"
        )
    )
    assert found["distance_from_rest"] < 1e-6
    assert found["to_rest_seconds_predicted"] in (0.0, None)
