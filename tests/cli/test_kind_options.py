"""The options of ``train`` are the settings of the kinds: a new kind is one file and one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import typer
import typer.main
from conftest import Run
from pydantic import Field

from alteraser.cli import kind_options
from alteraser.cli.main import app
from alteraser.cli.train import SHARED
from alteraser.models import registry
from alteraser.models.closed_form.kind import ExactKind
from alteraser.models.closed_form.needs import TIMES, Need
from alteraser.models.closed_form.popularity import Popularity
from alteraser.models.registry import KINDS
from alteraser.runtime.late import late


def parameters() -> dict[str, Any]:
    command = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    return {param.name: param for param in command.get_params(typer.Context(command))}


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_an_option_that_says_what_it_is(kind: str) -> None:
    assert KINDS[kind].name == kind
    found = parameters()
    for name, info in KINDS[kind].model_fields.items():
        assert info.description, f"{name} has no description"
        if name == kind_options.DECIDED:
            assert name not in found
            continue
        option = found[name]
        assert f"--{name.replace('_', '-')}" in option.opts
        assert info.description in option.help
        assert kind in f"{option.rich_help_panel} {option.help}"
        assert kind_options.default(info) in f"{option.show_default} {option.help}"
        assert not set(kind_options.choices(info)) - set(completed(option))
        assert name not in SHARED, "an option of that name says how data are read, to every kind"


def completed(option: Any) -> list[str]:
    return [item.value for item in option.shell_complete(None, "")]


def test_names_and_settings_are_there_without_what_computes() -> None:
    """Where this fails, a module of a kind imports it at the top: see
    ``alteraser.runtime.late``."""
    code = (
        "import sys, alteraser.cli.main as main;"
        "from alteraser.models.registry import KINDS, LINEAR;"
        "early = set(sys.modules); [k.model_fields for k in (*KINDS.values(), *LINEAR.values())];"
        "print({'pydantic', 'numpy'} & early, {'numpy', 'pyarrow', 'scipy', 'numba'} & "
        "set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set() set()\n"


class Newest(Popularity):
    """A kind from elsewhere."""

    name: ClassVar[str] = "newest"
    needs: ClassVar[tuple[Need, ...]] = (TIMES,)

    neighbors: int = Field(default=3, description="How many at once")
    slowly: bool = Field(default=False, description="Take your time")
    whole: bool = Field(default=True, description="All of it")
    half_life: float | None = Field(default=None, gt=0, description="Days")


@pytest.fixture
def newest(monkeypatch: pytest.MonkeyPatch) -> type[ExactKind]:
    monkeypatch.setitem(registry.KINDS, "newest", Newest)
    return Newest


def test_looking_at_a_late_module_does_not_import_it() -> None:
    stand_in = late("no.such.module")
    assert not hasattr(stand_in, "__wrapped__")
    with pytest.raises(ModuleNotFoundError):
        _ = stand_in.anything


@pytest.mark.usefixtures("newest")
def test_one_line_makes_a_kind(run: Run, tmp_path: Path) -> None:
    found = parameters()
    assert found["neighbors"].rich_help_panel.split(", ")[-1] == "newest"
    assert "newest: How many at once." in found["neighbors"].help
    assert "3 of newest" in found["neighbors"].show_default
    assert found["slowly"].opts + found["slowly"].secondary_opts == ["--slowly"]
    assert found["whole"].opts + found["whole"].secondary_opts == ["--whole", "--no-whole"]
    assert found["half_life"].show_default == "none"
    (tmp_path / "data.csv").write_text(
        "user_id,item_id,day\na,x,2020-01-01\na,y,2020-01-02\nb,x,2020-01-03\n"
    )
    line = "train data.csv --model newest --half-life 2.5 --slowly --no-whole --neighbors 4"
    code, out, err = run(f"{line} --out m --timestamp-column day --json")
    assert code == 0, err
    assert '"half_life": 2.5' in out
    assert '"slowly": true' in out
    assert '"whole": false' in out
    assert '"neighbors": 4' in out
    code, _, err = run(
        "train data.csv --model newest --half-life 0 --out no --timestamp-column day"
    )
    assert (code, "--half-life: Input should be greater than 0" in err) == (2, True)


@pytest.mark.usefixtures("newest")
def test_what_the_data_must_have_is_said_before_they_are_read(run: Run) -> None:
    code, _, err = run("train nowhere.csv --model newest --out m")
    assert code == 2
    assert "newest needs to know of every interaction when it was: give --timestamp-column" in err


def test_python_is_told_as_well() -> None:
    from alteraser import Interactions
    from alteraser.errors import InvalidInput

    with pytest.raises(
        InvalidInput, match=r"newest needs .* when it was: read them with timestamp_column="
    ):
        Newest().fit(Interactions.from_pairs([("a", "x")]))


@pytest.mark.parametrize("kind", KINDS)
def test_tune_offers_the_kinds_that_it_can_tune(kind: str, run: Run, tmp_path: Path) -> None:
    """Networks of sequences are refused before anything is read, with what to do instead."""
    command = typer.main.get_command(app).commands["tune"]  # type: ignore[attr-defined]
    params = command.get_params(typer.Context(command))
    offered = " ".join(f"{param.rich_help_panel} {param.help}" for param in params)
    refused = kind in ("gru4rec", "sasrec")
    assert (kind in offered) is not refused
    code, _, err = run(f"tune nowhere.csv --model {kind}")
    assert ("alteraser data split" in err) is refused
    assert code in (2, 3)
