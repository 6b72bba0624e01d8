"""What stands in the README runs as it stands there, on data such as it speaks of."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pages import ROOT, blocks, commands, obey
from scipy.sparse import csr_matrix

import alteraser as ae
from alteraser.adapters.implicit_trainer import FAST, ImplicitTrainer

README = (ROOT / "README.md").read_text(encoding="utf-8")
USERS, ITEMS = [*range(1, 60), 77], [661, 1193, *range(2000, 2038)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """An empty folder but for ratings.csv and plays.parquet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    likes = rng.random((60, 40)) < np.where(
        (np.arange(60)[:, None] + np.arange(40)) % 3 == 0, 0.6, 0.15
    )
    likes[USERS.index(42), :2] = True
    u, v = np.nonzero(likes)
    table = pd.DataFrame({"user_id": np.take(USERS, u), "item_id": np.take(ITEMS, v), "rating": 5})
    table.loc[rng.random(u.size) < 0.1, "rating"] = 3
    table.loc[(table.user_id == 42) & (table.item_id < 2000), "rating"] = 5
    table.to_csv("ratings.csv", index=False)
    plays = table.rename(columns={"rating": "plays"})
    plays.to_parquet("plays.parquet", index=False)
    return plays


class StandIn:
    """What implicit's ALS does, for a place without it."""

    def fit(self, matrix: Any) -> None:
        entries = matrix.tocoo()
        table = pd.DataFrame(
            {"user_id": entries.row, "item_id": entries.col, "plays": entries.data}
        )
        data = ae.Interactions.read(table, target="plays")
        trainer = ImplicitTrainer(7, 15, 6, 0.01, 1.0, "float32", 3)
        self.users, self.items = trainer.run(FAST, data, threads=1)

    def save(self, path: str) -> None:
        said = {
            "regularization": 0.01,
            "factors": 6,
            "num_threads": 1,
            "iterations": 15,
            "use_native": True,
            "use_cg": True,
            "cg_steps": 3,
            "calculate_training_loss": False,
            "dtype": "float32",
            "random_state": 7,
            "alpha": 1.0,
        }
        np.savez(path, user_factors=self.users, item_factors=self.items, **said)


def the_library_s() -> Any:
    als = pytest.importorskip(
        "implicit.cpu.als", reason="implicit is not installed (pip install 'alteraser[bench]')"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return als.AlternatingLeastSquares(factors=6, random_state=7, num_threads=1)


@pytest.mark.parametrize("make", [StandIn, the_library_s])
def test_the_first_screen(
    here: pd.DataFrame, make: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    heading = "A deletion request for a model that you serve"
    (python,) = blocks("README.md", heading, "python")
    (shell,) = blocks("README.md", heading)
    model = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(python, {"plays": here, "model": model, "csr_matrix": csr_matrix})
    assert obey(shell) == [0, 0, 0]
    assert (
        " ".join(capsys.readouterr().out.split()).count(
            "class A: this model was computed without the data"
        )
        == 2
    )
    rest = pd.read_parquet("rest.parquet")
    assert len(rest) == len(here) - (here.user_id == 42).sum()
    with np.load("als-2.npz") as new, np.load("als.npz") as old:
        assert new["user_factors"].shape == old["user_factors"].shape
        assert not new["user_factors"][USERS.index(42)].any()
    first = README[: README.index("verify als-2.npz")].count("\n")
    assert first < 50, "the first screen"


def test_on_your_data_and_in_python(here: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    mine, compared = blocks("README.md", "On your data")
    assert [words[:2] for words in commands(mine)][1:] == [
        ["alteraser", name] for name in ("train", "forget", "verify", "recommend")
    ]
    assert obey(mine) == [0, 0, 0, 0]
    listed = capsys.readouterr().out
    assert "class C" in " ".join(listed.split())
    assert obey(compared) == [0, 0]
    overlap = float(re.search(r"rbo@10\s+([\d.]+)", capsys.readouterr().out)[1])  # type: ignore[index]
    assert overlap > 0.99
    Path("model-2").rename("model-by-command")
    (python,) = blocks("README.md", "In Python", "python")
    exec(python, {})
    remaining = ae.Interactions.read("remaining.csv", threshold=4)
    assert (
        ae.compare(ae.load("model-2"), ae.load("model-by-command"), data=remaining)["rbo@10"] > 0.99
    )
