"""``alteraser forget`` and ``inspect`` on checkpoints and pickles, as they are typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from contract import FIXTURES

from alteraser.cli.main import main

COMMANDS = {
    "recbole": "recbole/ENMF.pth --data recbole/train.csv --users-map recbole/toy.inter",
    "surprise": "surprise/svd.dump --data surprise/ratings.csv --rating rating --allow-pickle",
    "cornac": "cornac/BPR/1.pkl --data cornac/ratings.csv --allow-pickle",
    "lightfm": "lightfm/model.pickle --data lightfm/interactions.csv --rating rating "
    "--allow-pickle --users-map lightfm/dataset.pickle",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in COMMANDS:
        shutil.copytree(FIXTURES / name, tmp_path / name)
    (tmp_path / "forget.csv").write_text("user_id\nu37\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    capsys.readouterr()
    code = main([*line.split(), "--json", "--quiet"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_user_is_forgotten(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, _, options = COMMANDS[name].partition(" ")
    code, inspected = run(f"inspect {model} {options}", capsys)
    assert code == 0
    assert inspected["format"] == name
    code, done = run(f"forget {model} forget.csv {options} --out out{Path(model).suffix}", capsys)
    assert (code, done["class"] == "D") in ((0, False), (8, True))
    assert done["format"] == name
    assert done["users_erased_whole"] == 1
    assert done["self_check"]["passed"]  # type: ignore[index]
    assert (place / f"out{Path(model).suffix}").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_other_data_are_exit_6_and_leave_nothing(
    name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, _, options = COMMANDS[name].partition(" ")
    data = place / options.split()[1]
    header, *lines = data.read_text().splitlines()
    users = [line.split(",", 1)[0] for line in lines]
    ids = sorted(set(users))
    moved = dict(zip(ids, ids[7:] + ids[:7], strict=True))
    text = [
        f"{moved[user]},{line.split(',', 1)[1]}" for user, line in zip(users, lines, strict=True)
    ]
    data.write_text("\n".join([header, *text]) + "\n")
    code, answer = run(f"forget {model} forget.csv {options} --out out", capsys)
    assert code == 6
    assert "does not fit these data" in str(answer["error"])
    assert not (place / "out").exists()


def test_what_cannot_be_scrubbed_is_said_and_the_model_is_written(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (place / "recbole/toy.inter").read_bytes()
    model, _, options = COMMANDS["recbole"].partition(" ")
    code, done = run(f"forget {model} forget.csv {options} --out out.pth --scrub", capsys)
    assert code in (0, 8)
    assert done["scrubbed"] == ["recbole/toy-Dataset.pth"]
    advice = {Path(each["path"]).name: each["advice"] for each in done["siblings"]}  # type: ignore[attr-defined]
    assert "serve one user's recommendations to another" in advice["toy.inter"]
    assert (place / "recbole/toy.inter").read_bytes() == before


def test_a_pickle_is_exit_2_without_consent(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("surprise", "cornac", "lightfm"):
        model, _, options = COMMANDS[name].partition(" ")
        line = options.replace(" --allow-pickle", "")
        code, answer = run(f"forget {model} forget.csv {line} --out out", capsys)
        assert code == 2
        assert "--allow-pickle" in str(answer["error"])
        assert not (place / "out").exists()
