"""A version that the service published is files like any other: what the command line says of them,
of every kind and every way to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from alteraser.cli.main import main
from alteraser.models.registry import KINDS
from alteraser.service.state import create

from .conftest import Service

TIMED = "--timestamp-column time"
CASES = {
    "enmf": "--factors 3 --regularization 0.5 --missing-weight 0.1 --confidence 1+plays",
    "popularity": f"--segment-column country --half-life 3 {TIMED}",
    "popularity, confidence": "--confidence plays",
    "item-knn": "--neighbors 4 --similarity bm25 --confidence plays",
    "user-knn": f"--neighbors 4 {TIMED}",
    "cooccurrence": "--neighbors 4",
    "ease": "--regularization 3 --dropout 0.2",
    "vs-knn": f"--session-column session {TIMED}",
    "vs-knn, gap": f"--session-gap 2d {TIMED}",
    "vs-knn, user": "--session-column user_id --position-column place",
    "slist": f"--session-column session {TIMED} --position-column place --regularization 3",
    "slist, gap": f"--session-gap 30h {TIMED} --position-column place",
    "tifu-knn": f"--basket-column session {TIMED}",
    "tifu-knn, gap": f"--session-gap 0 {TIMED}",
    "top-frequency": "--basket-column session",
}


def world(path: Path) -> None:
    """12 users, 6 items, with repeats for kinds of events and without them for the others."""
    rng = np.random.default_rng(3)
    pairs = [(u, v) for u in range(12) for v in range(6) if rng.random() < 0.6]
    users, items = map(list, zip(*pairs, strict=True))
    size = len(pairs)
    pacsv.write_csv(
        pa.table(
            {
                "user_id": [f"person-{u}" for u in users],
                "item_id": items,
                "session": rng.integers(0, 3, size),
                "place": rng.permutation(size),
                "plays": rng.integers(1, 9, size),
                "country": [("de", "fr", "it")[u % 3] for u in users],
                "time": 1_700_000_000 + 43_200 * rng.integers(0, 9, size),
            }
        ),
        path,
    )


def said(line: str, capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    assert main([*line.split(), "--json"]) == code
    return dict(json.loads(capsys.readouterr().out))


def test_every_kind_is_tried() -> None:
    assert {name.split(",")[0] for name in CASES} == {
        "enmf",
        *(name for name, kind in KINDS.items() if not kind.extra),
    }


@pytest.mark.parametrize("case", list(CASES))
def test_a_published_version_is_verified_and_forgets_from_its_files(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``verify`` says of its files what the receipt says; ``forget`` goes on from them; lists are
    those that are served."""
    monkeypatch.chdir(tmp_path)
    world(tmp_path / "data.csv")
    kind = case.split(",")[0]
    assert main(f"train data.csv --model {kind} {CASES[case]} --out model -q".split()) == 0
    create(tmp_path / "state", tmp_path / "model", tmp_path / "data.csv", rate=0)
    service = Service(tmp_path / "state")
    try:
        service.send({"users": ["person-3"]})
        service.work()
        version = service.state.load_serving()
        rows = version.model.users.rows_of(pa.array(["person-5"]))
        listed, _ = version.model.top_items(rows, k=4, seen=version.data)
        served = version.model.items.ids_of(listed[0][listed[0] >= 0]).to_pylist()
    finally:
        service.close()
    folder = version.folder
    capsys.readouterr()
    data = f"--data {folder}/interactions.parquet"
    found = said(f"verify {folder}/model {data}", capsys)
    assert found["class"] in ("A", "B", "C")
    assert said(f"verify {folder}/model {data} --before model", capsys)["descends"]
    shown = said(f"recommend {folder}/model --user person-5 -k 4 {data}", capsys)
    assert [one["item_id"] for one in shown["recommendations"][0]["items"]] == served
    (tmp_path / "gone.csv").write_text("user_id\nperson-5\n")
    again = said(
        f"forget {folder}/model gone.csv {data} --out new --remaining rest.parquet", capsys
    )
    assert again["class"] in ("A", "C")
    assert said("verify new --data rest.parquet", capsys)["class"] in ("A", "B", "C")
