"""RecBole loads its EASE after it forgot: make test-interop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from side import FIXTURES, answer

HERE = Path(__file__).parent
FILES = FIXTURES / "recbole_ease"


@pytest.mark.interop
def test_recbole_loads_its_ease(run: Run, tmp_path: Path) -> None:
    inter = (FILES / "toy.inter").read_text()
    (tmp_path / "data" / "toy").mkdir(parents=True)
    (tmp_path / "data" / "toy" / "toy.inter").write_text(inter)
    (tmp_path / "users.csv").write_text("user_id\n3\n11\n")
    line = (
        f"forget {FILES}/ease.pth users.csv --data {FILES}/toy.inter --users-map "
        f"{FILES}/toy.inter --out new.pth -q"
    )
    assert run(line)[0] == 0
    old, new = (
        answer("recbole", HERE / "read_recbole_ease.py", path, tmp_path / "data")
        for path in (FILES / "ease.pth", tmp_path / "new.pth")
    )
    order = list(dict.fromkeys(row.split("\t")[0] for row in inter.splitlines()[1:]))
    gone = [order.index(user) + 1 for user in ("3", "11")]
    before, after = np.array(old["per_user"]), np.array(new["per_user"])
    assert before[gone].all()
    assert not after[gone].any()
    assert np.array_equal(np.delete(before, gone), np.delete(after, gone))
    assert not np.array(new["scores"])[np.array(gone) - 1].any()
    assert np.abs(np.array(old["weights"]) - np.array(new["weights"])).max() > 1e-3
