"""Tables that are tables: one line adds a kind, a method, a row solver, a format, an adapter,
what lies at a path, or a command, for the whole command line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from conftest import Run

import alteraser as ae
from alteraser import erasers, solvers
from alteraser.cli import common, subjects
from alteraser.cli.examining import InspectRequest, VerifyRequest
from alteraser.cli.ours import ExactSubject
from alteraser.cli.screen import Screen
from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions
from alteraser.erasers import AltEraser, entry
from alteraser.models import registry
from alteraser.models.closed_form.kind import ExactKind, largest_difference
from alteraser.solvers import AHNewton


class Newest(ExactKind):
    """Items by how late the last person of the data had them."""

    name: ClassVar[str] = "newest"
    needs_history: ClassVar[bool] = False
    summary: ClassVar[str] = "the last person of each item"

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Any]:
        last = np.full(data.shape[1], -1, np.int64)
        np.maximum.at(last, data.indices, data.user_rows)
        return {"last": last}

    def without(
        self, state: Mapping[str, Any], deletion: Deletion, *, threads: int = 0
    ) -> dict[str, Any]:
        return self.state(deletion.removal.remaining)

    def apart(self, state: Mapping[str, Any], data: Interactions) -> float:
        view = data.by_item
        last = [
            max(view.indices[view.indptr[v] : view.indptr[v + 1]], default=-1)
            for v in range(data.shape[1])
        ]
        return largest_difference(state, {"last": np.array(last)})

    def scores(self, state: Mapping[str, Any], rows: Any, history: Interactions | None) -> Any:
        return np.tile(
            np.where(state["last"] < 0, -np.inf, state["last"].astype(float)), (len(rows), 1)
        )

    def matrix(self, state: Mapping[str, Any]) -> Any:
        return state["last"][:, None].astype(float)

    def shapes(self, items: int) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
        return {"last": ((items,), ("int64",))}


def test_a_kind(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.KINDS, Newest.name, Newest)
    for line in (
        "train {w}/data.csv --model newest --out old",
        "forget old {w}/forget.csv --data {w}/data.csv --out new --remaining rest.csv",
        "verify new --data rest.csv --before old",
        "recommend new --user 7",
        "compare new old --data rest.csv",
        "inspect new --data rest.csv",
    ):
        code, out, err = run(f"{line} --json")
        assert code == 0, (line, err)
    assert json.loads(out)["kind"] == "newest"


@dataclass(frozen=True)
class Twice(AltEraser):
    """The same, and says that it ran."""

    hurry: bool = False
    name: str = "twice"

    def erase(self, task: Any, on_pass: Any = None) -> Any:
        RAN.append(self.name)
        return super().erase(task, on_pass)


RAN: list[str] = []


def test_a_method(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(erasers.ERASERS, "twice", entry(Twice))
    RAN.clear()
    code, out, _ = run(
        "forget {w}/model {w}/forget.csv --data {w}/data.csv --method twice --memory 3 --out new "
        "--json"
    )
    assert (code, json.loads(out)["method"], RAN) == (0, "twice", ["twice"])
    code, _, err = run(
        "forget {w}/model {w}/forget.csv --data {w}/data.csv --method twice --seed 3 --out x"
    )
    assert code == 2
    assert "--seed means nothing to --method twice" in err


def test_a_row_solver(run: Run, monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    @dataclass(frozen=True)
    class Mine(AHNewton):
        """Exact rows under another name."""

        name: str = "mine"

        def solve(self, *given: Any, **named: Any) -> Any:
            RAN.append(self.name)
            return super().solve(*given, **named)

    monkeypatch.setitem(solvers.SOLVERS, "mine", Mine)
    RAN.clear()
    code, out, err = run("train {w}/data.csv --factors 4 --solver mine --out old --json")
    assert code == 0, err
    assert json.loads(out)["solver"] == "mine"
    code, out, err = run(
        "forget old {w}/forget.csv --data {w}/data.csv --solver mine --out new --json"
    )
    assert code == 0, err
    assert set(RAN) == {"mine"}


def test_a_format(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file whose first word is PAIRS."""
    import pyarrow as pa

    from alteraser.data.readers import _locate
    from alteraser.data.readers._raw import Format, Raw, by_row

    def read(source: Any, wanted: Any) -> Raw:
        words = source.path.read_text().split()[1:]
        table = pa.table({"user_id": words[::2], "item_id": words[1::2]})
        return Raw(table, table.column_names, by_row(source.path), name=str(source.path))

    mine = Format("pairs", (".pairs",), lambda head: head.start.startswith(b"PAIRS"), read)
    monkeypatch.setattr(_locate, "FORMATS", (mine, *_locate.FORMATS))
    (tmp_path / "some.pairs").write_text("PAIRS ann tea ann jam bob tea bob rum eve jam\n")
    code, out, err = run("train some.pairs --model popularity --out old --json")
    assert code == 0, err
    assert json.loads(out)["interactions"] == 5
    assert ae.load(tmp_path / "old").items.ids.to_pylist() == ["jam", "rum", "tea"]


def test_an_adapter(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: Path) -> None:
    """A folder of arrays under a format of its own: inspected, and made to forget."""
    import sys
    import types

    from alteraser import adapters
    from alteraser.adapters.arrays import Arrays

    class Mine(Arrays):
        name = "mine"

        def recognizes(self, path: Path) -> bool:
            return path.name == "factors.mine"

    module = types.ModuleType("tests_mine")
    module.ADAPTER = Mine()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tests_mine", module)
    monkeypatch.setitem(adapters.ADAPTERS, "mine", "tests_mine")
    model = ae.Model.load(world / "model")
    folder = tmp_path / "factors.mine"
    folder.mkdir()
    np.save(folder / "users.npy", model.factors.users)
    np.save(folder / "items.npy", model.factors.scaled_items())
    objective = model.objective
    options = (
        f"--loss weighted-mf --regularization {objective.regularization} --missing-weight "
        f"{objective.missing_weight} "
        "--users-map {w}/model/users.parquet --items-map {w}/model/items.parquet"
    )
    code, out, err = run(
        f"inspect factors.mine --format mine --data {{w}}/data.csv {options} --json"
    )
    assert code == 0, err
    assert json.loads(out)["format"] == "mine"
    code, out, err = run(
        f"forget factors.mine --format mine {{w}}/forget.csv --data {{w}}/data.csv {options} "
        "--out new.mine --json"
    )
    assert code == 0, err
    assert json.loads(out)["format"] == "mine"
    assert sorted(path.name for path in (tmp_path / "new.mine").iterdir()) == [
        "items.npy",
        "users.npy",
    ]


class Marked(ExactSubject):
    """A model in a folder whose name ends in ``.marked``, which is said."""

    def title(self, erasure: Any) -> str:
        return " (marked)"


def marked(asked: VerifyRequest | InspectRequest) -> int:
    """What answers for it in ``verify`` and ``inspect``."""
    asked.screen.result({"model": str(asked.model)}, [("marked", "yes")])
    return 0


def test_what_lies_at_a_path(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = subjects.Lying(
        "marked",
        lambda path, _: path.suffix == ".marked",
        f"{__name__}:Marked",
        f"{__name__}:marked",
        f"{__name__}:marked",
    )
    monkeypatch.setattr(subjects, "SUBJECTS", [line, *subjects.SUBJECTS])
    assert run("train {w}/data.csv --model popularity --out p.marked -q")[0] == 0
    code, out, err = run("forget p.marked {w}/forget.csv --data {w}/data.csv --out q")
    assert (code, "(marked)" in out) == (0, True), err
    for command in ("verify p.marked --data {w}/data.csv", "inspect p.marked"):
        code, out, err = run(command)
        assert (code, out.split()) == (0, ["marked", "yes"]), err
        assert run(command.replace("p.marked", "{w}/model"))[1].split()[:1] == ["model"]


def count(
    data: common.DataArgument,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> int:
    """Count the lines of DATA.

    Example: alteraser count ratings.csv
    """
    lines = len(Path(data).read_text().splitlines())
    Screen(json, quiet).result({"lines": lines}, [("lines", f"{lines:,}")])
    return 0


def test_a_command(run: Run, monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    """One module and one line of the table: in the list, with help of its own, and an exit code."""
    import sys
    import types

    from alteraser.cli import commands

    module = types.ModuleType("alteraser.cli.count")
    module.count = count  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "alteraser.cli.count", module)
    monkeypatch.setitem(commands.COMMANDS, "count", "Count the lines of DATA.")
    code, out, err = run("count {w}/data.csv --json")
    assert code == 0, err
    assert json.loads(out)["lines"] == len((world / "data.csv").read_text().splitlines())
    assert "Count the lines of DATA." in run("--help")[1]
    assert "alteraser count ratings.csv" in run("count --help")[1]
    code, _, err = run("count nowhere.csv")
    assert code != 0
    assert "nowhere.csv" in err
