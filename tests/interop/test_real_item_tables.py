"""RecBole loads its EASE after it forgot: make test-interop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def forgotten_by(model: str, run: Run, tmp_path: Path) -> Any:
    """What RecBole makes of a table of its that forgot two people, and whose rows they had."""
    source = FIXTURES / "recbole_tables"
    inter = (source / "toy.inter").read_text()
    (tmp_path / "data" / "toy").mkdir(parents=True)
    (tmp_path / "data" / "toy" / "toy.inter").write_text(inter)
    (tmp_path / "users.csv").write_text("user_id\nu3\nu11\n")
    line = (
        f"forget {source}/{model.lower()}.pth users.csv --data {source}/toy.inter --users-map "
        f"{source}/toy.inter --out new.pth -q"
    )
    assert run(line)[0] == 0
    order = list(dict.fromkeys(row.split("\t")[0] for row in inter.splitlines()[1:]))
    gone = [order.index(user) + 1 for user in ("u3", "u11")]
    read = HERE / "read_recbole_tables.py"
    named = ",".join(map(str, gone))
    return gone, answer("recbole", read, model, tmp_path / "new.pth", tmp_path / "data", named)


@pytest.mark.interop
def test_recbole_loads_its_neighbors(run: Run, tmp_path: Path) -> None:
    """Lists are those that RecBole computes without these people, of equally near ones either;
    scores are X times them."""
    gone, told = forgotten_by("ItemKNN", run, tmp_path)
    scores, w, wanted = (np.array(told[name]) for name in ("scores", "w", "wanted"))
    assert not scores[np.array(gone) - 1].any()
    np.testing.assert_allclose(scores, np.array(told["times"]), atol=1e-6)
    np.testing.assert_allclose(np.sort(w, axis=0), np.sort(wanted, axis=0), atol=1e-6)
    both = (w != 0) & (wanted != 0)
    np.testing.assert_allclose(w[both], wanted[both], atol=1e-6)
    assert both.sum() > 0.8 * (wanted != 0).sum()


@pytest.mark.interop
def test_recbole_loads_its_counts(run: Run, tmp_path: Path) -> None:
    _, told = forgotten_by("Pop", run, tmp_path)
    counts = np.array(told["counts"])
    assert told["kept"] == told["counts"]
    np.testing.assert_allclose(told["scores"], [counts / counts.max()] * len(told["scores"]))


@pytest.mark.interop
@pytest.mark.parametrize("name", ["ease", "ease_signed"])
def test_cornac_loads_its_ease(name: str, run: Run, tmp_path: Path) -> None:
    """Scores, mean and range are those of Cornac's own without the erased user."""
    source = FIXTURES / "cornac_ease"
    (tmp_path / "users.csv").write_text("user_id\nu3\n")
    line = (
        f"forget {source}/{name}.pkl users.csv --data {source}/data.csv --allow-pickle "
        "--out new.pkl --remaining rest.csv -q"
    )
    assert run(line)[0] == 0
    told = answer("cornac", HERE / "read_cornac_ease.py", tmp_path / "new.pkl", "rest.csv", "u3")
    np.testing.assert_allclose(*told["scores"], atol=1e-9)
    np.testing.assert_allclose(*told["told"])
    assert told["held"] == told["rest"]
    assert "u3" in told["refused"]


@pytest.mark.interop
@pytest.mark.parametrize("name", ["cosine", "centered_bm25", "pearson_idf", "ones"])
def test_cornac_loads_its_item_knn(name: str, run: Run, tmp_path: Path) -> None:
    """Similarities, everybody's scores, mean and range are those of Cornac's own without the erased
    user."""
    source = FIXTURES / "cornac_knn"
    (tmp_path / "users.csv").write_text("user_id\nu3\n")
    line = (
        f"forget {source}/{name}.pkl users.csv --data {source}/data.csv --allow-pickle "
        "--out new.pkl --remaining rest.csv -q"
    )
    assert run(line)[0] == 0
    told = answer("cornac", HERE / "read_cornac_knn.py", tmp_path / "new.pkl", "rest.csv", "u3")
    np.testing.assert_allclose(*told["tables"], atol=1e-12)
    np.testing.assert_allclose(*told["scores"], atol=1e-9)
    np.testing.assert_allclose(*told["told"])
    assert told["held"] == told["rest"]
    assert "u3" in told["refused"]


@pytest.mark.interop
def test_lenskit_scores_with_its_ease(run: Run, tmp_path: Path) -> None:
    """Weights that LensKit trained, as NumPy saves them; scores are those of its own training."""
    users, items = np.nonzero(np.random.default_rng(3).random((40, 15)) < 0.3)
    rows = [f"{u},{v}" for u, v in zip(users, items, strict=True)]
    (tmp_path / "data.csv").write_text("user_id,item_id\n" + "\n".join(rows) + "\n")
    (tmp_path / "users.csv").write_text("user_id\n3\n11\n")
    script = HERE / "ease_of_lenskit.py"
    answer("lenskit", script, tmp_path)
    line = (
        "forget ease.npz users.csv --data data.csv --regularization 3 --out new.npz "
        "--remaining rest.csv -q"
    )
    assert run(line)[0] == 0
    np.testing.assert_allclose(*answer("lenskit", script, tmp_path, "new"), atol=1e-5)


@pytest.mark.interop
@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
@pytest.mark.parametrize("saved", [0, 4])
def test_lenskit_scores_with_its_item_knn(
    feedback: str, saved: int, run: Run, tmp_path: Path
) -> None:
    """Similarities that LensKit made; everybody's scores are those of its own training without."""
    rng = np.random.default_rng(3)
    users, items = np.nonzero(rng.random((40, 15)) < 0.3)
    ratings = rng.normal(3.0, 1.0, users.size)  # no two similarities are equal
    rows = [f"{u},{v},{r:.3f}" for u, v, r in zip(users, items, ratings, strict=True)]
    (tmp_path / "data.csv").write_text("user_id,item_id,rating\n" + "\n".join(rows) + "\n")
    (tmp_path / "users.csv").write_text("user_id\n3\n11\n")
    script = HERE / "knn_of_lenskit.py"
    answer("lenskit", script, tmp_path, feedback, saved)
    rating = "--rating rating" if feedback == "explicit" else ""
    line = (
        f"forget knn.npz users.csv --data data.csv {rating} --out new.npz --remaining rest.csv -q"
    )
    assert run(line)[0] == 0
    ours, theirs = answer("lenskit", script, tmp_path, feedback, saved, "new")
    if feedback == "explicit" or not saved:  # of counts some are equally near
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    else:
        assert np.mean(np.abs(np.array(ours) - theirs) < 1e-5) > 0.8
