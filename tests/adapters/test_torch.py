"""State dicts of two tables, as PyTorch 2.13 wrote them (``fixtures/torch/make_torch.py``); no
PyTorch here."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from contract import FIXTURES, AdapterContract

from alteraser.adapters import ForeignOptions, find
from alteraser.adapters._pickle import Call, Global, Persistent
from alteraser.adapters._pickling import dump
from alteraser.adapters.forget import forget_foreign, open_foreign
from alteraser.adapters.torch import ADAPTER
from alteraser.errors import IntegrityError, InvalidInput

FOLDER = FIXTURES / "torch"
WEIGHTED = ForeignOptions(
    loss="weighted-mf", missing_weight=0.2, regularization=0.3, rows_are_ids=True
)


class TorchContract(AdapterContract):
    adapter = ADAPTER
    options = WEIGHTED
    shape = (30, 20, 3)


class TestStateDict(TorchContract):
    fixture = FOLDER / "state.pt"


class TestCheckpoint(TorchContract):
    fixture = FOLDER / "checkpoint.pt"

    def test_moments_of_changed_rows_are_scrubbed(self, copy: Path, tmp_path: Path) -> None:
        foreign = self.read(copy)
        ADAPTER.write(foreign, self.changed(foreign, [2], erased=[3]), tmp_path / "out.pt")
        again = self.read(tmp_path / "out.pt")
        assert len(foreign.state.moments) == 4
        for moment in foreign.state.moments:
            before, after = (each.state.archive.array(moment.tensor) for each in (foreign, again))
            rows = [2, 3] if moment.side == "user" else [1]
            assert not after[rows].any()
            np.testing.assert_array_equal(np.delete(after, rows, 0), np.delete(before, rows, 0))


def test_is_checked_and_forgotten_in(tmp_path: Path) -> None:
    opened = open_foreign(FOLDER / "checkpoint.pt", FOLDER / "train.csv", WEIGHTED)
    erasure = forget_foreign(opened, [4], tmp_path / "out.pt", whole_users=True, tolerance=1e-4)
    assert erasure.model.erased.converged
    assert not ADAPTER.read(tmp_path / "out.pt", WEIGHTED).users[4].any()
    wrong = WEIGHTED.model_copy(update={"missing_weight": 0.7})
    with pytest.raises(IntegrityError, match=r"checkpoint.pt does not fit these data"):
        forget_foreign(
            open_foreign(FOLDER / "checkpoint.pt", FOLDER / "train.csv", wrong),
            [4],
            tmp_path / "o.pt",
            whole_users=True,
        )
    with pytest.raises(InvalidInput, match=r"--loss, one of"):
        ADAPTER.read(FOLDER / "state.pt", ForeignOptions())


def saved(path: Path, tensors: dict[str, tuple[int, ...]]) -> Path:
    """A state dict of zeros with these shapes."""
    pairs = {}
    for key, (name, shape) in enumerate(tensors.items()):
        strides = tuple(np.cumprod((1, *shape[:0:-1]))[::-1].tolist())
        storage = Persistent(
            ("storage", Global("torch", "FloatStorage"), str(key), "cpu", int(np.prod(shape)))
        )
        arguments = (
            storage,
            0,
            shape,
            strides,
            False,
            Call(Global("collections", "OrderedDict"), ()),
        )
        pairs[name] = Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", dump(pairs, 2))
        for key, shape in enumerate(tensors.values()):
            archive.writestr(f"m/data/{key}", bytes(4 * int(np.prod(shape))))
    return path


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {"user.w": (5, 2), "item.w": (4, 2), "head.weight": (1, 2)},
            r"more than p·q.*forget_module",
        ),
        ({"user.w": (5, 2), "item.w": (4, 3)}, "more than p·q"),
        ({"user.a": (5, 2), "user.b": (5, 2), "item.w": (4, 2)}, "'user' in its name, not 2"),
        ({"user.a": (5, 2), "movies": (4, 2)}, "'item' in its name, not 0"),
    ],
)
def test_models_that_are_not_two_tables_are_refused(
    tmp_path: Path, tensors: dict[str, tuple[int, ...]], message: str
) -> None:
    path = saved(tmp_path / "m.pt", tensors)
    assert find(path).name == "torch"
    with pytest.raises(InvalidInput, match=message):
        ADAPTER.read(path, WEIGHTED)


def test_a_pickled_module_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps(Path("/"), 2))
    with pytest.raises(IntegrityError, match=r"names pathlib.*save its tables as .safetensors"):
        ADAPTER.read(tmp_path / "m.pt", WEIGHTED)
