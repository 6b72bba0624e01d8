"""A command given again after a kill goes on from what the kill left, or says what that is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Run, tree

from alteraser.data import files
from alteraser.data.files import atomic_write, left_behind

OURS = "forget {w}/model {w}/forget.csv --data {w}/data.csv --out new --remaining rest"
FIXTURES = Path(__file__).parent.parent / "adapters" / "fixtures" / "implicit"
THEIRS = (
    f"forget {FIXTURES}/als.npz forget.csv --data {FIXTURES}/data.csv --rating plays "
    "--rows-are-ids --method local"
)


def kill_while(line: str, world: Path, where: str) -> None:
    """Run ``line`` in a process that dies, as by ``kill -9``, when it calls ``where`` of the module
    ``files``."""
    program = (
        "import os, signal, sys; from alteraser.data import files; from alteraser.cli.main import "
        f"main\nfiles.{where} = lambda *given: os.kill(os.getpid(), signal.SIGKILL)\n"
        "main(sys.argv[1:])"
    )
    words = line.format(w=world).split()
    died = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr


def test_what_a_kill_between_the_outputs_left_is_taken(
    run: Run, world: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The remaining data stand, the model's folder is still aside: the same command finishes, and
    names that folder."""
    line = OURS + ".csv -q"
    kill_while(line, world, "_publish_folder")
    (aside,) = left_behind(Path("new"))
    Path(".rest.csv.tmp-0123456789ab").write_text(
        "user_id"
    )  # a kill between the file's name and the end of its old one
    before = tree(Path("."))
    assert "rest.csv" in before
    code, _, err = run(line)
    assert code == 0, err
    for name in (str(aside), ".rest.csv.tmp-0123456789ab"):
        assert name in caplog.text + err
    assert "delete it" in caplog.text + err
    after = tree(Path("."))
    assert {name: after[name] for name in before} == before
    assert run("verify new --data rest.csv --before {w}/model -q")[0] == 0


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_is_recognized(run: Run, suffix: str) -> None:
    assert run(f"{OURS}{suffix} -q")[0] == 0
    os.chmod(f"rest{suffix}", 0o640)
    kept, rows = os.stat(f"rest{suffix}"), Path(f"rest{suffix}").read_bytes()
    os.rename("new", "first")
    assert run(f"{OURS}{suffix} -q")[0] == 0
    found = os.stat(f"rest{suffix}")
    assert (found.st_mode, found.st_mtime_ns) == (kept.st_mode, kept.st_mtime_ns)
    assert Path(f"rest{suffix}").read_bytes() == rows
    assert tree(Path("new")) == tree(Path("first"))


@pytest.mark.parametrize("line", [OURS + ".csv", THEIRS + " --out new --remaining rest.csv"])
def test_anything_else_in_its_place_is_refused(run: Run, line: str) -> None:
    Path("forget.csv").write_text("user_id,item_id\n1,4\n")
    Path("rest.csv").write_text("user_id,item_id,rating\n1,100,3\n")
    before = tree(Path("."))
    code, _, err = run(line)
    assert code == 4
    assert "rest.csv exists already and is not what this command writes there" in err
    assert tree(Path(".")) == before


def test_other_libraries_models_go_on_too(run: Run, world: Path) -> None:
    """Their remaining data are written before the work, so that most kills leave them."""
    Path("forget.csv").write_text("user_id,item_id\n1,4\n")
    line = THEIRS + " --out new.npz --remaining rest.csv -q"
    assert run(line)[0] == 0
    wanted = tree(Path("."))
    Path("new.npz").unlink()
    assert run(line)[0] == 0
    assert tree(Path(".")) == wanted
    code, _, err = run(line + " --scrub")
    assert code == 4
    assert (
        "killed before its --scrub, remove it and run again; --users-map is rewritten last" in err
    )
    code, _, err = run(line + " --report page.html")
    assert code == 4
    assert "killed before its --report, remove it and run again" in err


def test_compacting_goes_on_too(run: Run) -> None:
    Path("gone.csv").write_text("user_id\n3\n")
    assert run("forget {w}/model gone.csv --data {w}/data.csv --out new -q")[0] == 0
    line = "compact new --out small --out-users-map users.json -q"
    assert run(line)[0] == 0
    wanted = tree(Path("small"))
    os.rename("small", "first")
    assert run(line)[0] == 0
    assert tree(Path("small")) == wanted
    os.rename("small", "second")
    Path("users.json").write_text("[]")
    code, _, err = run(line)
    assert code == 4
    assert "users.json exists already and is not what this command writes there" in err
    assert not Path("small").exists()


def test_a_failure_leaves_what_was_there_before(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(OURS + ".csv -q")[0] == 0
    os.rename("new", "first")
    before = tree(Path("."))

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device", "new")

    monkeypatch.setattr(files, "_publish_folder", full)
    assert run(OURS + ".csv -q")[0] == 7
    assert tree(Path(".")) == before


def test_only_this_output_s_leftovers_are_named(tmp_path: Path) -> None:
    for name in (
        ".a.csv.tmp-0123456789ab",
        ".b.csv.tmp-0123456789ab",
        ".a.csv.tmp-",
        "a.csv.tmp-0123456789ab",
    ):
        (tmp_path / name).write_text("x")
    assert left_behind(tmp_path / "a.csv") == [tmp_path / ".a.csv.tmp-0123456789ab"]
    with atomic_write(tmp_path / "c") as file:
        assert left_behind(tmp_path / "c") == [Path(file.name)]
    assert left_behind(tmp_path / "c") == []


def while_saving(line: str, world: Path, name: str) -> subprocess.Popen[bytes]:
    """``line`` in a process that waits, before it publishes its model, for a file ``go-NAME``; it
    makes ``at-NAME`` when it has come so far."""
    program = (
        "import sys, time; from pathlib import Path; from alteraser.data import files; "
        "from alteraser.cli.main import main\n"
        "publish = files._publish_folder\n"
        "def late(*given):\n"
        f"    Path('at-{name}').touch()\n"
        f"    while not Path('go-{name}').exists(): time.sleep(0.01)\n"
        "    publish(*given)\n"
        "files._publish_folder = late\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = line.format(w=world).split()
    began = subprocess.Popen([sys.executable, "-c", program, *words], stderr=subprocess.PIPE)
    for _ in range(6000):
        if Path(f"at-{name}").exists() or began.poll() is not None:
            break
        time.sleep(0.01)
    assert Path(f"at-{name}").exists(), began.communicate()
    return began


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_of_two_that_do_the_same_at_once_one_has_both_outputs(
    order: tuple[str, str], run: Run, world: Path
) -> None:
    """The second finds the first one's data, which might be of a run that was killed; who is last
    fails, and takes nothing of the other's back."""
    line = OURS + ".csv -q"
    runs = {name: while_saving(line, world, name) for name in ("first", "second")}
    codes = []
    for name in order:
        Path(f"go-{name}").touch()
        codes.append((runs[name].wait(timeout=60), runs[name].communicate()[1].decode()))
    assert [code for code, _ in codes] == [0, 4], codes
    assert "new exists already" in codes[1][1]
    assert run("verify new --data rest.csv --before {w}/model -q")[0] == 0


def test_who_fails_alone_takes_back_what_is_theirs(run: Run, world: Path) -> None:
    """Where another's model has come meanwhile, of a run that wrote no data."""
    began = while_saving(OURS + ".csv -q", world, "first")
    assert Path("rest.csv").exists()
    assert run(OURS.partition(" --remaining")[0] + " -q")[0] == 0
    Path("go-first").touch()
    assert began.wait(timeout=60) == 4
    began.communicate()
    assert not Path("rest.csv").exists()
