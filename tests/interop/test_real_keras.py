"""Real Keras writes; we forget; it loads what we wrote and scores with it (``make
test-interop``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import side

from alteraser.adapters import ForeignOptions
from alteraser.adapters.forget import forget_foreign, open_foreign

pytestmark = pytest.mark.interop
HERE = Path(__file__).parent
WEIGHTED = ForeignOptions(
    loss="weighted-mf", missing_weight=0.2, regularization=0.3, rows_are_ids=True
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    side.run("keras", side.FIXTURES / "keras" / "make_keras.py", folder)
    return folder


@pytest.mark.parametrize("name", ["functional.keras", "functional.weights.h5", "functional.h5"])
def test_keras_loads_what_was_written(trained: Path, tmp_path: Path, name: str) -> None:
    pytest.importorskip("h5py")
    out = tmp_path / f"new-{name}"
    opened = open_foreign(trained / name, trained / "train.csv", WEIGHTED)
    erasure = forget_foreign(opened, [4], out, whole_users=True)
    found = side.answer("keras", HERE / "read_keras.py", out)
    np.testing.assert_array_equal(np.array(found["users"], "f4"), erasure.model.erased.users)
    np.testing.assert_array_equal(np.array(found["items"], "f4"), erasure.model.erased.items)
    assert found["scores"][4] == 0
    np.testing.assert_allclose(
        found["scores"],
        erasure.model.erased.users @ erasure.model.erased.items[1],
        rtol=1e-4,
        atol=1e-6,
    )
    slots = [np.array(each) for each in found["slots"] if len(each) == len(found["users"])]
    if name == "functional.keras":  # the other ways of loading leave the optimizer out
        assert len(slots) == 2
    assert not any(slot[4].any() for slot in slots)
