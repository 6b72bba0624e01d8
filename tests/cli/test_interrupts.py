"""Ctrl-C at any moment ends the program with 130 and one line, and never with a traceback."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alteraser.cli import interrupts
from alteraser.cli.main import main

# interrupts itself when MODULE is about to be imported
PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
module = sys.argv.pop(1)
class Finder:
    def find_spec(self, name, *_):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from alteraser.cli import main
sys.exit(main())
"""


def interrupted(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, module, *arguments], capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "module", ["alteraser.cli.main", "typer", "alteraser.cli.train", "numpy", "pyarrow"]
)
def test_an_interrupt_during_imports_is_told_in_one_line(module: str, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("user_id,item_id\n1,1\n2,2\n1,2\n")
    out = tmp_path / "model"
    done = interrupted(module, "train", str(tmp_path / "data.csv"), "--out", str(out), "--json")
    assert done.returncode == 130
    assert done.stderr == f"error: {interrupts.MESSAGE}\n"
    assert json.loads(done.stdout) == {
        "error": {
            "kind": "interrupted",
            "exit_code": 130,
            "message": interrupts.MESSAGE,
            "details": {},
        }
    }
    assert not out.exists()


def test_without_json_there_is_no_document() -> None:
    done = interrupted("typer", "doctor")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.count("\n") == 1


def test_what_an_interrupt_turned_into_is_still_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An extension that is interrupted while it is loaded fails to import; that is no bug to
    report."""

    def failing(arguments: list[str]) -> int:
        monkeypatch.setattr(interrupts, "_first", 1.0)
        raise ImportError("numpy._core.multiarray failed to import")

    monkeypatch.setattr(sys.modules["alteraser.cli.main"], "_run", failing)
    assert main(["doctor", "--json"]) == 130
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["kind"] == "interrupted"
    assert "Traceback" not in err


def test_handlers_are_as_they_were_where_somebody_else_has_set_one() -> None:
    mine = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with interrupts.WhileImporting():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with interrupts.WhileImporting():
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, mine)


def test_nothing_that_takes_time_is_imported_before_it_is_watched_for() -> None:
    """``signal`` makes enumerations, a tenth of the time in which Ctrl-C had its traceback."""
    path = Path(interrupts.__file__)
    program = f"""
import sys
before = set(sys.modules)
exec(compile(open({str(path)!r}, encoding="utf-8").read(), "interrupts", "exec"))
print(sorted(set(sys.modules) - before - {{"atexit", "time", "_signal", "__future__"}}))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import os\n" + program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_an_interrupt_while_the_interpreter_ends_changes_nothing() -> None:
    """Its handlers are gone by then, and the signal would kill a program that is done."""
    program = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Late:
    def __del__(self, kill=os.kill, own=os.getpid()):
        kill(own, 2)
late = Late()
from alteraser.cli import main
sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("alteraser ")
