"""Options from a file and from the environment: who counts before whom, and that nothing is set by
a name that is none."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from alteraser.cli import commands, configured
from alteraser.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What ``serve`` would be run with."""
    from alteraser.service import run

    found: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "serve", lambda root, **given: found.update(given, root=root))
    return found


@pytest.mark.parametrize("line", [None, 1])
@pytest.mark.parametrize("environment", [None, 2])
@pytest.mark.parametrize("file", [None, 3])
def test_who_counts_before_whom(called, monkeypatch, line, environment, file) -> None:
    arguments = ["serve", "--state", "s"]
    if file is not None:
        Path("c.toml").write_text(f"port = {file}\nhost = 'of-the-file'\n")
        arguments += ["--config", "c.toml"]
    if environment is not None:
        monkeypatch.setenv("ALTERASER_PORT", str(environment))
    if line is not None:
        arguments += ["--port", str(line)]
    assert main(arguments) == 0
    first = next((each for each in (line, environment, file) if each is not None), 8080)
    assert called["port"] == first
    assert called["host"] == ("127.0.0.1" if file is None else "of-the-file")


@pytest.mark.parametrize("key", ["no-worker", "no_worker"])
def test_everything_from_the_file(called, monkeypatch, key: str) -> None:
    Path("c.toml").write_text(f'state = "there"\n{key} = true\nonce = true\nthreads = 2\n')
    monkeypatch.setenv("ALTERASER_CONFIG", "c.toml")
    assert main(["serve"]) == 0, "once is the worker's, and one file is for both"
    assert (called["root"], called["work"], called["threads"]) == (Path("there"), False, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 1", "there is no option 'prot'; did you mean port?"),
        ("colour = 1", "there is no option 'colour'; there are "),
        ("[serve]\nport = 1", "there is no option 'serve'"),
        ('port = "80"', "port: expected a whole number, found '80'"),
        ("port = true", "port: expected a whole number, found True"),
        ("port = 70000", "port: Input should be less than or equal to 65535"),
        ("no-worker = 1", "no-worker: expected true or false, found 1"),
        ("state = 1", "state: expected text, found 1"),
        ("no-worker = true\nno_worker = true", "'no_worker' is set twice"),
        ("port = ", "is not TOML"),
    ],
)
def test_files_that_are_refused(called, capsys, text: str, words: str) -> None:
    Path("c.toml").write_text(text)
    assert main(["serve", "--state", "s", "--config", "c.toml"]) == 2
    message = capsys.readouterr().err
    assert "c.toml" in message
    assert words in message
    assert called == {}


def test_no_file(called, capsys) -> None:
    assert main(["serve", "--state", "s", "--config", "c.toml"]) == 3
    assert "c.toml" in capsys.readouterr().err


def test_a_variable_that_is_nearly_one(called, monkeypatch, capsys) -> None:
    monkeypatch.setenv("ALTERASER_PROT", "1")
    monkeypatch.setenv("ALTERASER_URL", "http://elsewhere")
    assert main(["serve", "--state", "s"]) == 0
    out, err = capsys.readouterr()
    assert "ALTERASER_PROT is no option and does nothing; ALTERASER_PORT is one" in err
    assert "ALTERASER_URL" not in err
    assert out == ""


def test_the_reference_names_every_option() -> None:
    place = ROOT / "docs" / "make_configuration.py"
    spec = importlib.util.spec_from_file_location("make_configuration", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    assert text == module.written(), "run python docs/make_configuration.py"
    for command in configured.COMMANDS:
        for each in commands.Made()[command].params:
            assert each.name in configured.OF_THE_CALL or f"`{each.opts[0][2:]}`" in text
