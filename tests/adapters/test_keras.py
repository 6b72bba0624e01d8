"""Files that Keras 3.15 wrote on PyTorch (``fixtures/keras/make_keras.py``), read and written
without it."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from contract import FIXTURES, AdapterContract

from alteraser.adapters import Changed, ForeignOptions, find
from alteraser.adapters.forget import forget_foreign, open_foreign
from alteraser.adapters.keras import ADAPTER
from alteraser.errors import DependencyMissing, IntegrityError, InvalidInput

h5py = pytest.importorskip("h5py")
FOLDER = FIXTURES / "keras"
WEIGHTED = ForeignOptions(
    loss="weighted-mf", missing_weight=0.2, regularization=0.3, rows_are_ids=True
)


class KerasContract(AdapterContract):
    adapter = ADAPTER
    options = WEIGHTED
    shape = (30, 20, 3)
    slots = 4

    def test_slots_begin_again_in_changed_rows_and_nothing_else_moves(
        self, copy: Path, tmp_path: Path
    ) -> None:
        foreign = self.read(copy)
        out = tmp_path / f"out{copy.suffix}"
        ADAPTER.write(foreign, self.changed(foreign, [2], erased=[3]), out)
        again = self.read(out)
        assert len(foreign.state.slots) == self.slots
        for slot in foreign.state.slots:
            before, after = (each.state.file.array(slot.place.name) for each in (foreign, again))
            rows = [2, 3] if slot.sides == ("user",) else [1]
            assert before[rows].any()
            assert not after[rows].any()
            np.testing.assert_array_equal(np.delete(after, rows, 0), np.delete(before, rows, 0))
        touched = {*foreign.state.names, *(slot.place.name for slot in foreign.state.slots)}
        for name in foreign.state.file.places.keys() - touched:
            np.testing.assert_array_equal(
                foreign.state.file.array(name), again.state.file.array(name)
            )
        assert out.stat().st_size == copy.stat().st_size


class TestArchive(KerasContract):
    fixture = FOLDER / "functional.keras"

    def test_the_archive_stays_sound(self, copy: Path, tmp_path: Path) -> None:
        foreign = self.read(copy)
        ADAPTER.write(foreign, self.changed(foreign, [2]), tmp_path / "out.keras")
        with zipfile.ZipFile(tmp_path / "out.keras") as archive:
            assert archive.testzip() is None
            assert archive.read("config.json") == zipfile.ZipFile(copy).read("config.json")


class TestArchiveWithoutNames(KerasContract):
    fixture = FOLDER / "older.keras"


class TestWeights(KerasContract):
    fixture = FOLDER / "functional.weights.h5"


class TestWeightsOfAClass(KerasContract):
    fixture = FOLDER / "subclass.weights.h5"
    slots = 0


class TestWholeModelInHdf5(KerasContract):
    fixture = FOLDER / "functional.h5"


class TestKeras2(KerasContract):
    fixture = FOLDER / "keras2.h5"

    def test_says_who_wrote_it(self) -> None:
        assert self.read(self.fixture).library == "Keras 2.15.0"


def test_is_checked_and_forgotten_in(tmp_path: Path) -> None:
    opened = open_foreign(FOLDER / "functional.keras", FOLDER / "train.csv", WEIGHTED)
    erasure = forget_foreign(opened, [4], tmp_path / "out.keras", whole_users=True, tolerance=1e-4)
    assert erasure.model.erased.converged
    assert [holding.name for holding in opened.foreign.holds] == ["optimizer"]
    again = ADAPTER.read(tmp_path / "out.keras", WEIGHTED)
    assert not again.users[4].any()
    assert again.users[5].any()
    wrong = WEIGHTED.model_copy(update={"missing_weight": 0.7})
    opened = open_foreign(FOLDER / "functional.keras", FOLDER / "train.csv", wrong)
    with pytest.raises(IntegrityError, match=r"functional.keras .* these data with this loss"):
        forget_foreign(opened, [4], tmp_path / "o.keras", whole_users=True)
    with pytest.raises(InvalidInput, match=r"--loss, one of"):
        ADAPTER.read(FOLDER / "functional.keras", ForeignOptions())


def weights(
    path: Path,
    tables: dict[str, tuple[int, ...]],
    slots: dict[str, tuple[int, ...]] | None = None,
    optimizer: str = "adam",
    **storage: object,
) -> Path:
    """A .weights.h5 of ones with these shapes."""
    with h5py.File(path, "w") as file:
        for name, shape in tables.items():
            file.create_dataset(f"{name}/vars/0", data=np.ones(shape, "f4"), **storage)
        for name, shape in (slots or {}).items():
            file.create_dataset(f"optimizer/vars/{name}", data=np.full(shape, 7, "f4"))
        if slots:
            file["optimizer/vars"].attrs["name"] = optimizer
    return path


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"user": (5, 2), "item": (4, 2), "dense": (2, 1)},
            "more than two tables of the same width scores by more",
        ),
        (
            {"user": (5, 2), "item": (4, 2), "item_bias": (4, 1)},
            "'item' in its layer's name, not 2",
        ),
        ({"user": (5, 2), "item": (4, 3)}, "more than two tables of the same width"),
        (
            {"user": (5, 2), "movie": (4, 2)},
            "'item' in its layer's name, not 0. Where names do not say it, save",
        ),
        ({"user_item": (5, 2)}, "more than two tables of the same width"),
        ({}, "holds no parameters"),
    ],
)
def test_models_that_are_not_two_tables_are_refused(
    tmp_path: Path, tables: dict[str, tuple[int, ...]], message: str
) -> None:
    path = weights(tmp_path / "m.weights.h5", tables)
    assert find(path).name == "keras"
    with pytest.raises(InvalidInput, match=message):
        ADAPTER.read(path, WEIGHTED)


def test_slots_that_shapes_do_not_tell_apart_begin_again_on_both_sides(tmp_path: Path) -> None:
    tables = {"user": (5, 2), "item": (5, 2)}
    # of either side; of a row; of nobody; a counter
    slots = {"2": (5, 2), "3": (5,), "4": (2,), "5": ()}
    for optimizer, begin in (("adam", 0.0), ("adagrad", np.float32(0.1))):
        path = weights(tmp_path / f"{optimizer}.h5", tables, slots, optimizer)
        foreign = ADAPTER.read(path, WEIGHTED)
        users = np.array(foreign.users)
        users[3] = 2
        changed = Changed(users, user_rows=np.array([3]), item_rows=np.array([1]))
        ADAPTER.write(foreign, changed, tmp_path / f"{optimizer}-out.h5")
        with h5py.File(tmp_path / f"{optimizer}-out.h5") as file:
            found = file["optimizer/vars"]
            expected = np.full(5, 7, "f4")
            expected[[1, 3]] = begin
            np.testing.assert_array_equal(found["2"][:, 0], expected)
            np.testing.assert_array_equal(found["3"], expected)
            np.testing.assert_array_equal(found["4"], np.full(2, begin, "f4"))
            assert found["5"][()] == 7


def test_storage_that_is_not_keras_s_is_refused(tmp_path: Path) -> None:
    path = weights(tmp_path / "packed.h5", {"user": (500, 2), "item": (400, 2)}, compression="gzip")
    with pytest.raises(InvalidInput, match="compressed, in chunks or in another file"):
        ADAPTER.read(path, WEIGHTED)
    with (
        zipfile.ZipFile(FOLDER / "functional.keras") as old,
        zipfile.ZipFile(tmp_path / "packed.keras", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(
        InvalidInput, match=r"model.weights.h5 is compressed or encrypted and was not unpacked"
    ):
        ADAPTER.read(tmp_path / "packed.keras", WEIGHTED)


def test_a_flipped_byte_in_an_archive_is_found(tmp_path: Path) -> None:
    content = bytearray((FOLDER / "functional.keras").read_bytes())
    foreign = ADAPTER.read(FOLDER / "functional.keras", WEIGHTED)
    content[foreign.state.file.places[foreign.state.names[0]].offset] ^= 1
    (tmp_path / "m.keras").write_bytes(content)
    with pytest.raises(IntegrityError, match="does not match its checksum"):
        ADAPTER.read(tmp_path / "m.keras", WEIGHTED)


def test_a_vocabulary_is_named(tmp_path: Path) -> None:
    shutil.copyfile(FOLDER / "functional.keras", tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras", "a") as archive:
        archive.writestr("assets/layers/string_lookup/vocabulary.txt", "ann\nbob\n")
    held = ADAPTER.read(tmp_path / "m.keras", WEIGHTED).holds
    assert held[1].name.endswith("vocabulary.txt")
    assert "ids of all users" in held[1].what


def test_a_configuration_that_is_no_such_thing_is_no_name(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(FOLDER / "older.keras") as old,
        zipfile.ZipFile(tmp_path / "m.keras", "w") as new,
    ):
        for name in old.namelist():
            new.writestr(
                name,
                json.dumps({"config": {"layers": [1]}})
                if name == "config.json"
                else old.read(name),
            )
    with pytest.raises(InvalidInput, match="'user' in its layer's name, not 0"):
        ADAPTER.read(tmp_path / "m.keras", WEIGHTED)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables.index", "ckpt.index"])
def test_what_tensorflow_saved_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "saved"
    path.mkdir()
    (path / name).write_bytes(b"x" * 40 + bytes.fromhex("57fb808b247547db"))
    path = path / name if name == "ckpt.index" else path
    assert find(path).name == "keras"
    with pytest.raises(InvalidInput, match=r"saved by TensorFlow, .*save_weights.*numpy.savez"):
        ADAPTER.read(path, WEIGHTED)


def test_without_h5py_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alteraser.runtime.extras.find_spec", lambda package: None)
    with pytest.raises(DependencyMissing, match=r'needs h5py, .*pip install "alteraser\[keras\]"'):
        ADAPTER.read(FOLDER / "functional.keras", WEIGHTED)
