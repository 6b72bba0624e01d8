"""Real RecBole, Surprise and Cornac write; we forget; they read what we wrote (``make
test-interop``)."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
import side

from alteraser.adapters import (
    Changed,
    Foreign,
    ForeignErasing,
    ForeignOptions,
    ForeignOutcome,
    cornac,
    recbole,
    surprise,
)
from alteraser.adapters._recbole_neural import logits
from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions, Removal
from alteraser.data.selection import Selection

pytestmark = pytest.mark.interop
HERE = Path(__file__).parent
ALLOWED = ForeignOptions(allow_pickle=True)


def table(path: Path, foreign: Foreign) -> Interactions:
    """The interactions in ``path``, ratings as targets."""
    found = pacsv.read_csv(path)
    columns = {name: found[name] for name in ("user_id", "item_id")}
    if "rating" in found.column_names:
        columns["target"] = found["rating"].cast(pa.float64())
    return Interactions.from_table(
        pa.table(columns), users=foreign.user_ids, items=foreign.item_ids
    )


def forgotten(
    foreign: Foreign, data: Interactions, user: int
) -> tuple[Removal, ForeignOutcome, Changed]:
    """Forget ``user`` whole and two interactions of another."""
    gone = data.user_rows == user
    gone |= (data.user_rows == user + 1) & np.isin(
        data.indices, data.indices[data.user_rows == user + 1][:2]
    )
    removed = data.keep(gone)
    removal = Removal(
        data.keep(~gone), removed, removed.to_table().slice(0, 0), Selection.of(removed)
    )
    erased = foreign.loss.forget(
        ForeignErasing(foreign, Deletion(data, removal), tolerance=0.05, max_passes=100)
    )
    users = np.array(erased.users)
    biases = None if erased.user_biases is None else np.array(erased.user_biases)
    users[user] = 0
    if biases is not None:
        biases[user] = 0
    rows = [
        np.flatnonzero(np.any(a != b, axis=1))
        for a, b in ((users, foreign.users), (erased.items, foreign.items))
    ]
    changed = Changed(
        users,
        erased.items,
        biases,
        erased.item_biases,
        erased.offset,
        erased.further,
        rows[0],
        rows[1],
        np.array([user]),
        (removed.user_rows, removed.indices.astype(np.int64)),
    )
    return removal, erased, changed


# ---------------------------------------------------------------- RecBole


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recbole")
    side.run("recbole", side.FIXTURES / "recbole" / "make_recbole.py", folder)
    return folder


def scores_of(foreign: Foreign) -> Any:
    """What RecBole's ``predict`` of the whole matrix should be."""
    P, Q = foreign.users, foreign.items
    if foreign.kind in ("neumf", "gmf", "mlp"):
        found = logits(foreign.kind, P[:, None, :], Q[None, :, :], foreign.further)
        return 1 / (1 + np.exp(-found))
    h = foreign.further["H_i.weight"][0] if foreign.kind == "enmf" else 1.0
    return (P * h) @ Q.T


@pytest.mark.parametrize("name", ["ENMF", "BPR", "NeuMF", "GMF"])
def test_recbole_loads_scores_and_trains_on(name: str, trained: Path, tmp_path: Path) -> None:
    options = ForeignOptions(users_map=trained / "toy.inter")
    foreign = recbole.ADAPTER.read(trained / f"{name}.pth", options)
    data = table(trained / "train.csv", foreign)
    assert foreign.loss.check(foreign, data).passed
    if foreign.kind in ("neumf", "gmf"):
        pytest.importorskip("torch")
    removal, erased, changed = forgotten(foreign, data, 3)
    assert foreign.loss.check(
        replace(foreign, users=erased.users, items=erased.items), removal.remaining
    ).passed
    out = tmp_path / f"{name}.pth"
    recbole.ADAPTER.write(foreign, changed, out)
    again = recbole.ADAPTER.read(out, options)
    answer = side.answer("recbole", HERE / "read_recbole.py", out, trained / "toy.inter")
    assert foreign.user_ids is not None
    assert foreign.item_ids is not None
    assert answer["users"] == foreign.user_ids.ids.to_pylist()  # RecBole numbers them as we do
    assert answer["items"] == foreign.item_ids.ids.to_pylist()
    np.testing.assert_allclose(answer["scores"], scores_of(again), rtol=1e-4, atol=1e-5)
    if name in ("ENMF", "BPR"):
        assert not np.any(answer["scores"][3])
    assert np.isfinite(answer["loss"])


def test_recbole_takes_a_checkpoint_in_which_nothing_changed(trained: Path, tmp_path: Path) -> None:
    foreign = recbole.ADAPTER.read(
        trained / "LightGCN.pth", ForeignOptions(users_map=trained / "toy.inter")
    )
    recbole.ADAPTER.write(foreign, Changed(), tmp_path / "LightGCN.pth")
    assert (tmp_path / "LightGCN.pth").read_bytes() == (trained / "LightGCN.pth").read_bytes()
    answer = side.answer(
        "recbole", HERE / "read_recbole.py", tmp_path / "LightGCN.pth", trained / "toy.inter"
    )
    users, items = (foreign.further[name][1:] for name in ("restore_user_e", "restore_item_e"))
    np.testing.assert_allclose(answer["scores"], users @ items.T, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- Surprise


@pytest.mark.parametrize("name", ["svd", "unbiased"])
def test_surprise_loads_and_predicts(name: str, tmp_path: Path) -> None:
    side.run("surprise", side.FIXTURES / "surprise" / "make_surprise.py", tmp_path)
    foreign = surprise.ADAPTER.read(tmp_path / f"{name}.dump", ALLOWED)
    data = table(tmp_path / "ratings.csv", foreign)
    assert foreign.loss.check(foreign, data).passed
    removal, _, changed = forgotten(foreign, data, 3)
    surprise.ADAPTER.write(foreign, changed, tmp_path / "out.dump")
    again = surprise.ADAPTER.read(tmp_path / "out.dump", ALLOWED)
    rest = tmp_path / "rest.csv"
    pacsv.write_csv(removal.remaining.to_table().select(["user_id", "item_id"]), rest)
    answer = side.answer("surprise", HERE / "read_surprise.py", tmp_path / "out.dump", rest)
    left = removal.remaining
    assert left.target is not None
    expected = np.einsum("id,id->i", again.users[left.user_rows], again.items[left.indices])
    if again.user_biases is not None and again.item_biases is not None:
        expected = (
            expected
            + again.offset
            + again.user_biases[left.user_rows]
            + again.item_biases[left.indices]
        )
    np.testing.assert_allclose(answer["estimates"], expected)
    assert answer["n_ratings"] == len(left)
    triples = zip(left.user_rows.tolist(), left.indices.tolist(), left.target.tolist(), strict=True)
    assert answer["ratings"] == sorted(map(list, triples))
    assert answer["mean"] == pytest.approx(left.target.mean())
    assert answer["predictions"] == 0
    assert set(answer["known"]) == set(left.to_table()["user_id"].to_pylist())


# ---------------------------------------------------------------- Cornac


@pytest.mark.parametrize("name", ["MF", "BPR"])
def test_cornac_loads_scores_and_recommends(name: str, tmp_path: Path) -> None:
    side.run("cornac", side.FIXTURES / "cornac" / "make_cornac.py", tmp_path / "made")
    path = tmp_path / "made" / name / "1.pkl"
    foreign = cornac.ADAPTER.read(path, ALLOWED)
    data = table(tmp_path / "made" / "ratings.csv", foreign)
    assert foreign.loss.check(foreign, data).passed
    removal, _, changed = forgotten(foreign, data, 3)
    out = tmp_path / "out" / name / "1.pkl"
    out.parent.mkdir(parents=True)
    cornac.ADAPTER.write(foreign, changed, out)
    shutil.copy(f"{path}.meta", f"{out}.meta")
    if name == "BPR":
        shutil.copy(f"{path}.trainset", f"{out}.trainset")
        cornac.scrub_trainset(Path(f"{out}.trainset"), foreign, changed)
    assert foreign.user_ids is not None
    ids = foreign.user_ids.ids.to_pylist()
    answer = side.answer("cornac", HERE / "read_cornac.py", out, ids[4], ids[3])
    again = cornac.ADAPTER.read(out, ALLOWED)
    expected = again.users @ again.items.T + (
        again.item_biases if again.item_biases is not None else 0
    )
    if again.user_biases is not None:
        expected = expected + again.offset + again.user_biases[:, None]
    np.testing.assert_allclose(answer["scores"], expected, rtol=1e-4, atol=1e-5)
    assert answer["refused"] == f"{ids[3]} is unknown to the model."
    assert answer["user_ids"] == 30
    assert len(answer["recommended"]) == 5
    if name == "BPR":
        left = removal.remaining
        assert answer["pairs"] == sorted(
            map(list, zip(left.user_rows.tolist(), left.indices.tolist(), strict=True))
        )
