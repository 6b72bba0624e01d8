"""LightFM's models by their documented layout (``fixtures/lightfm/make_lightfm.py``; LightFM itself
does not build)."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from contract import FIXTURES, AdapterContract

from alteraser.adapters import Changed, Foreign, ForeignOptions
from alteraser.adapters._pickle import load
from alteraser.adapters._pickled import array
from alteraser.adapters.lightfm import ACCUMULATORS, ADAPTER
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput

FOLDER = FIXTURES / "lightfm"
ALLOWED = ForeignOptions(allow_pickle=True, users_map=FOLDER / "dataset.pickle")


class TestLightFM(AdapterContract):
    adapter = ADAPTER
    fixture = FOLDER / "model.pickle"
    options = ALLOWED
    shape = (30, 20, 3)


def test_accumulators_of_changed_rows_begin_again(tmp_path: Path) -> None:
    foreign = ADAPTER.read(FOLDER / "model.pickle", ALLOWED)
    items = np.array(foreign.items)
    items[1] += 1
    changed = Changed(items=items, user_rows=np.array([2]), item_rows=np.array([1]))
    ADAPTER.write(foreign, changed, tmp_path / "out.pickle")
    before, after = (
        load(path.read_bytes(), "", lambda module, name: True).attributes
        for path in (foreign.path, tmp_path / "out.pickle")
    )
    for side, row in (("user", 2), ("item", 1)):
        for name in ACCUMULATORS[side]:
            was, now = array(before[name], name), array(after[name], name)
            assert np.all(now[row] == (1.0 if name.endswith("gradients") else 0.0))
            np.testing.assert_array_equal(np.delete(now, row, 0), np.delete(was, row, 0))
    assert not np.all(array(before["user_embedding_gradients"], "")[2] == 1)


def data_of(foreign: Foreign) -> Interactions:
    table = pacsv.read_csv(FOLDER / "interactions.csv").rename_columns(
        ["user_id", "item_id", "target"]
    )
    table = table.set_column(2, "target", table["target"].cast(pa.float64()))
    return Interactions.from_table(table, users=foreign.user_ids, items=foreign.item_ids)


def test_the_training_data_pass_and_other_signs_do_not() -> None:
    foreign = ADAPTER.read(FOLDER / "model.pickle", ALLOWED)
    data = data_of(foreign)
    assert foreign.loss.check(foreign, data).passed
    assert data.target is not None
    other = replace(data, target=np.random.default_rng(0).permutation(data.target))
    assert not foreign.loss.check(foreign, other).passed


def test_features_that_are_shared_are_refused(tmp_path: Path) -> None:
    ids = {f"u{row}": row for row in range(30)}, {f"i{row}": row for row in range(20)}
    path = tmp_path / "mapping.pickle"
    path.write_bytes(
        pickle.dumps((ids[0], {**ids[0], "country:NL": 30}, ids[1], ids[1]), protocol=4)
    )
    with pytest.raises(InvalidInput, match="features that are not users or items"):
        ADAPTER.read(FOLDER / "model.pickle", ForeignOptions(allow_pickle=True, users_map=path))
    path.write_bytes(
        pickle.dumps((dict(list(ids[0].items())[:29]),) * 2 + (ids[1],) * 2, protocol=4)
    )
    with pytest.raises(IntegrityError, match="has 29 users, the model 30 rows"):
        ADAPTER.read(FOLDER / "model.pickle", ForeignOptions(allow_pickle=True, users_map=path))


def test_needs_consent() -> None:
    with pytest.raises(InvalidInput, match=r"model.pickle is a pickle.*--allow-pickle"):
        ADAPTER.read(FOLDER / "model.pickle", ForeignOptions())
