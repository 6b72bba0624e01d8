"""Models of which everything was taken, and what is done with them then: of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from test_any_request import OPTIONS, lists

TIMED = "--timestamp-column t"
CASES = [(kind, options) for kind, each in OPTIONS.items() for options in each] + [
    ("popularity", "--duplicates last --segment-column s"),
    ("popularity", f"--duplicates last --segment-column s --half-life 3 {TIMED}"),
    ("slist", f"--session-column s --time-decay 2 {TIMED}"),
    ("slist", f"--session-column s --time-decay 2 --as-of 1970-01-01 {TIMED}"),
]
DATA = "user_id,item_id,s,t,c\n1,7,a,5,2\n1,8,a,6,1\n1,7,b,9,3\n"


def document(run: Run, line: str) -> dict[str, Any]:
    code, out, err = run(f"{line} --json")
    assert code == 0, f"{line}: {err}{out}"
    return dict(json.loads(out))


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_everything_goes_comes_back_and_goes_again(
    kind: str, options: str, run: Run, tmp_path: Path
) -> None:
    """One user with everything: forgotten, let back in and forgotten at once, let back in to stay;
    what is left each time is verified, listed and compacted."""
    Path("data.csv").write_text(DATA)
    Path("gone.csv").write_text("user_id\n1\n")
    Path("pair.csv").write_text("user_id,item_id\n1,8\n")
    document(run, f"train data.csv --model {kind} {options} --out m0")
    document(run, "forget m0 gone.csv --data data.csv --out m1 --remaining r1.csv")
    back = "--data data.csv --grown --readmit"
    document(run, f"forget m1 gone.csv {back} --out m2 --remaining r2.csv")
    document(run, f"forget m1 pair.csv {back} --out m3 --remaining r3.csv")
    for step in (1, 2, 3):
        data = f"--data r{step}.csv"
        assert document(run, f"verify m{step} {data}")["class"] == "A"
        assert document(run, f"inspect m{step} {data}")["self_check"]["passed"]
        assert document(run, f"compact m{step} --out small{step}")["kind"] == kind
        assert document(run, f"verify small{step} {data}")["class"] == "A"
        assert lists(run, f"small{step}", f"r{step}.csv") == lists(run, f"m{step}", f"r{step}.csv")
    document(run, f"train r3.csv --model {kind} {options} --out again")
    assert lists(run, "m3", "r3.csv") == lists(run, "again", "r3.csv")
    for step in (1, 2):
        assert lists(run, f"m{step}", f"r{step}.csv") == {}
