"""Cornac's models, as Cornac 3.0.1 wrote them (``fixtures/cornac/make_cornac.py``)."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from contract import FIXTURES, AdapterContract

from alteraser.adapters import Changed, Foreign, ForeignOptions
from alteraser.adapters._pickle import Call, load
from alteraser.adapters._pickled import array
from alteraser.adapters.cornac import ADAPTER
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput

FOLDER = FIXTURES / "cornac"
ALLOWED = ForeignOptions(allow_pickle=True)


class CornacContract(AdapterContract):
    adapter = ADAPTER
    options = ALLOWED
    shape = (30, 20, 3)

    def absent(self, foreign: Foreign, row: int) -> bool:
        assert foreign.user_ids is not None
        return super().absent(foreign, row) and row not in foreign.user_ids.rows


class TestMF(CornacContract):
    fixture = FOLDER / "MF" / "1.pkl"


class TestBPR(CornacContract):
    fixture = FOLDER / "BPR" / "1.pkl"


def data_of(foreign: Foreign) -> Interactions:
    table = pacsv.read_csv(FOLDER / "ratings.csv").rename_columns(["user_id", "item_id", "target"])
    table = table.set_column(2, "target", table["target"].cast(pa.float64()))
    return Interactions.from_table(table, users=foreign.user_ids, items=foreign.item_ids)


@pytest.mark.parametrize("name", ["MF", "BPR"])
def test_the_training_data_pass_and_mixed_up_users_do_not(name: str) -> None:
    foreign = ADAPTER.read(FOLDER / name / "1.pkl", ALLOWED)
    assert foreign.loss.check(foreign, data_of(foreign)).passed
    assert foreign.user_ids is not None
    order = np.random.default_rng(0).permutation(30)
    mixed = replace(
        foreign, user_ids=IdMap(foreign.user_ids.ids.take(order), foreign.user_ids.rows, 30)
    )
    assert not foreign.loss.check(foreign, data_of(mixed)).passed


def test_the_place_of_an_erased_id_is_kept(tmp_path: Path) -> None:
    foreign = ADAPTER.read(FOLDER / "MF" / "1.pkl", ALLOWED)
    users = np.array(foreign.users)
    users[3] = 0
    changed = Changed(users=users, user_rows=np.array([3]), erased_users=np.array([3]))
    ADAPTER.write(foreign, changed, tmp_path / "1.pkl")
    tree = load((tmp_path / "1.pkl").read_bytes(), "", lambda module, name: True)
    keys = [key for key, _ in tree.attributes["uid_map"].pairs]
    assert foreign.user_ids is not None
    before = foreign.user_ids.ids.to_pylist()
    assert keys == [("erased", 3) if row == 3 else name for row, name in enumerate(before)]
    assert before[3].encode() not in (tmp_path / "1.pkl").read_bytes()


def test_the_training_set_beside_is_scrubbed(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "BPR", tmp_path / "BPR")
    foreign = ADAPTER.read(tmp_path / "BPR" / "1.pkl", ALLOWED)
    siblings = {sibling.path.name: sibling for sibling in ADAPTER.siblings(foreign.path)}
    assert set(siblings) == {"1.pkl.trainset"}
    data = data_of(foreign)
    gone = (data.user_rows == 3) | (
        (data.user_rows == 5) & (data.indices == data.indices[data.user_rows == 5][0])
    )
    removed = (data.user_rows[gone], data.indices[gone].astype(np.int64))
    scrub = siblings["1.pkl.trainset"].scrub
    assert scrub is not None
    scrub(foreign, Changed(erased_users=np.array([3]), removed=removed))
    content = siblings["1.pkl.trainset"].path.read_bytes()
    tree = load(content, "", lambda module, name: True)
    assert isinstance(tree, Call)
    users, items, _ = (array(part, "") for part in tree.attributes["uir_tuple"])
    left = set(zip(users.tolist(), items.tolist(), strict=True))
    assert left == set(
        zip(data.user_rows[~gone].tolist(), data.indices[~gone].tolist(), strict=True)
    )
    assert tree.attributes["num_ratings"] == len(left)
    assert tree.attributes["_Dataset__csr_matrix"] is None
    assert foreign.user_ids is not None
    assert foreign.user_ids.ids_of([3])[0].as_py().encode() not in content


def test_other_models_are_named(tmp_path: Path) -> None:
    content = (FOLDER / "MF" / "1.pkl").read_bytes()
    path = tmp_path / "1.pkl"
    path.write_bytes(content.replace(b"\x8c\x02MF\x94\x93", b"\x8c\x02XF\x94\x93"))
    assert path.read_bytes() != content
    with pytest.raises(InvalidInput, match=r"Cornac's XF; MF .* BPR, EASE and ItemKNN are known"):
        ADAPTER.read(path, ALLOWED)
    with pytest.raises(InvalidInput, match=r"--allow-pickle"):
        ADAPTER.read(FOLDER / "MF" / "1.pkl", ForeignOptions())
