"""``forget --report``: the page says what the answer says, for models of every kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from alteraser.cli.main import main

FIXTURES = Path(__file__).parents[1] / "adapters" / "fixtures" / "implicit"
Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copyfile(FIXTURES / "als_cholesky.npz", "als.npz")
    shutil.copyfile(FIXTURES / "data.csv", "plays.csv")
    rows = Path("plays.csv").read_text().splitlines()[1:]
    pairs = [line.split(",")[:2] for line in rows]
    Path("data.csv").write_text(
        "user_id,item_id\n" + "\n".join(",".join(pair) for pair in pairs) + "\n"
    )
    gone = [",".join(pair) for pair in pairs if pair[0] == pairs[40][0]]
    Path("gone.csv").write_text("user_id,item_id\n" + "\n".join(gone) + "\n")

    def call(arguments: str) -> tuple[int, str, str]:
        code = main(arguments.split())
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


OWN = "forget own gone.csv --data data.csv --out new"
OTHERS = "forget als.npz gone.csv --data plays.csv --rating plays --rows-are-ids --out new.npz"


@pytest.mark.parametrize(
    ("line", "method"), [(OWN, "local"), (OTHERS, "local"), (OTHERS, "replay")]
)
def test_the_page_says_what_the_answer_says(run: Run, line: str, method: str) -> None:
    if line == OWN:
        made = (
            "train data.csv --out own --factors 4 --missing-weight 0.2 --regularization 2 "
            "--max-passes 14 -q"
        )
        assert run(made)[0] == 0
    code, out, _ = run(f"{line} --method {method} --report page.html --json")
    assert code == 0
    found, page = json.loads(out), " ".join(Path("page.html").read_text(encoding="utf-8").split())
    level = {"local": "L", "replay": "A"}[method]
    assert found["class"] == level
    changed = f"{found['lists_changed']['changed']:.1%}"
    for label, value in (
        ("Class", level),
        ("Method", method),
        ("Others&#x27; lists changed", changed),
    ):
        assert f'<dt>{label}</dt><dd class="value">{value}</dd>' in page
    assert found["why"] in page
    assert ("Effect missing" in page) == (method == "local" and line == OWN)
    # the effect on the model as it is is in it; that on an optimum it never came to is no share
    assert ("At an optimum" in page) == (method == "local" and line == OTHERS)
    # what the passes left, drawn; a replay leaves nothing to measure
    assert ("How thoroughly, pass by pass" in page) == (method == "local")
    if method == "local":
        assert f"<td>{found['residual']:.3g}</td>" in page
        further = f"{found['effect_left']:.1%}" if line == OWN else "had training gone on"
        assert further in page
        assert "The model is as far from an optimum as it was." in page
    assert f"{found['interactions_forgotten']:,} interactions were forgotten" in page


def test_the_page_is_refused_where_it_cannot_be(run: Run) -> None:
    for more, code, message in (
        ("--report new.npz", 2, "--report names the path of another output"),
        ("--report page.html --dry-run", 2, "--report is about what was done"),
        ("--report plays.csv", 4, "plays.csv exists already"),
        ("--report nowhere/page.html", 3, "nowhere"),
    ):
        found, _, err = run(f"{OTHERS} {more}")
        assert (found, message in err) == (code, True), err
        assert not Path("new.npz").exists()


def test_a_disk_that_is_full_at_the_page_takes_no_answer(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else was written by then: it is said, and what it is."""
    from alteraser.cli import page
    from alteraser.errors import ResourceLimit

    def full(path: Path, *of: object) -> None:
        raise ResourceLimit(f"{path}: the disk or quota is full.", path=str(path))

    monkeypatch.setattr(page, "write_page", full)
    line = f"{OTHERS} --method local --report page.html"
    words = "page.html: the disk or quota is full. That is the page alone"
    code, out, err = run(f"{line} --json")
    found = json.loads(out)["error"]
    assert code == ResourceLimit.exit_code
    assert words in found["message"]
    assert found["details"]["answer"]["class"] == "L"
    Path("new.npz").unlink()
    code, out, err = run(line)
    assert code == ResourceLimit.exit_code
    assert "class" in out
    assert words in err
    assert Path("new.npz").exists()
    assert not Path("page.html").exists()
