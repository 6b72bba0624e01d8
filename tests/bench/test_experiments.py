"""The table of experiments: every one is there, says what it does, and is imported only when it is
asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run

from alteraser.cli import bench
from alteraser.errors import InvalidInput
from alteraser.runtime import extras


@pytest.mark.parametrize("name", bench.EXPERIMENTS)
def test_every_experiment_says_how_it_is_called(name: str) -> None:
    command = bench.experiment(name)
    assert command.name == name
    assert f"Example: alteraser bench {name}" in command.help


def test_one_is_a_file_and_a_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_up.py").write_text(
        "def made_up(times: int = 2) -> int:\n    '''Say it.'''\n    print('here ' * times)\n    "
        "return 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(bench.EXPERIMENTS, "made-up", ("made_up", "Says it."))
    assert run("bench made-up --times 3")[:2] == (0, "here here here \n")
    assert "Says it." in run("bench --help")[1]
    assert "Say it." in run("bench made-up --help")[1]


def test_one_that_is_not_installed_is_said_where_to_find(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        bench.EXPERIMENTS, "kernels", ("alteraser.bench.not_in_the_wheel", "Left out.")
    )
    code, _, err = run("bench kernels")
    assert code == 9
    assert "bench kernels measures AltEraser itself; it comes with the source" in err


@pytest.mark.parametrize("option", ["--bpr", "--bpr-equal"])
def test_what_needs_an_extra_says_so_before_it_works(
    run: Run, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    code, out, err = run(f"bench linear {option}")
    assert (code, out) == (9, "")
    assert f"bench linear {option} needs torch, which is not installed; run: pip install" in err


def test_the_list_imports_none_of_them() -> None:
    code = (
        "import sys; from alteraser.cli import main; main(['bench', '--help']); "
        "sys.exit(any(name.startswith('alteraser.bench.') for name in sys.modules) or 'numpy' in "
        "sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode
        == 0
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bench joint --shares a,b", "--shares 'a,b': expected numbers separated by commas"),
        ("bench scale --sizes ,", "--sizes ',': nothing is in it"),
        ("bench nothing", "No such command 'nothing'"),
        (
            "bench linear --case none",
            "--case 'none': there are lightgcn, enmf, features, relations, places, defaults, "
            "gradient",
        ),
        ("bench linear --case features", "--case features: name a folder, and what of it is known"),
    ],
)
def test_what_is_wrong_is_said(run: Run, line: str, message: str) -> None:
    code, _, err = run(line)
    assert code == InvalidInput.exit_code
    assert message in err
