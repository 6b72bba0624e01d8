"""The .npz reader on files made to harm, made to lie, and made by NumPy."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.adapters import npz
from alteraser.errors import AltEraserError, IntegrityError, InvalidInput


class Bomb:
    """Says so when it is unpickled."""

    exploded = False

    def __reduce__(self) -> tuple[object, ...]:
        return (setattr, (Bomb, "exploded", True))


def npy(array: np.ndarray, **keywords: object) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **keywords)
    return file.getvalue()


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_reads_what_numpy_writes(tmp_path: Path) -> None:
    arrays = {
        "c": np.arange(12.0).reshape(4, 3),
        "f": np.asfortranarray(np.arange(6, dtype="f4").reshape(2, 3)),
        "scalar": np.array(7),
        "text": np.array("float32"),
        "empty": np.zeros((0, 5)),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    found = npz.open_npz(tmp_path / "a.npz")
    assert set(found.members) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.array(name), array)
        assert found.array(name).dtype == array.dtype
    assert found.scalar("scalar") == 7
    assert found.scalar("text") == "float32"
    assert found.scalar("nothing") is None


def test_large_arrays_stay_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alteraser.adapters.mapped.MAPPED", 0)
    array = np.arange(30, dtype="f4").reshape(10, 3)
    np.savez(tmp_path / "a.npz", a=array)
    found = npz.open_npz(tmp_path / "a.npz").array("a")
    np.testing.assert_array_equal(found, array)
    assert not found.flags.writeable
    assert not found.flags.owndata


def test_rewritten_arrays_are_what_numpy_reads_and_other_bytes_stay(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(12.0).reshape(4, 3),
        "b": np.asfortranarray(np.ones((2, 3))),
        "n": np.array(3),
    }
    np.savez(tmp_path / "old.npz", **arrays)
    new = {"a": arrays["a"] * -1, "b": np.arange(6.0).reshape(2, 3)}
    npz.rewrite(npz.open_npz(tmp_path / "old.npz"), new, tmp_path / "new.npz")
    with zipfile.ZipFile(tmp_path / "new.npz") as file:
        assert file.testzip() is None
    with np.load(tmp_path / "new.npz") as loaded:
        for name, array in (arrays | new).items():
            np.testing.assert_array_equal(loaded[name], array)
    npz.rewrite(
        npz.open_npz(tmp_path / "new.npz"), arrays | {"n": arrays["n"]}, tmp_path / "back.npz"
    )
    assert (tmp_path / "back.npz").read_bytes() == (tmp_path / "old.npz").read_bytes()


def test_a_writer_that_could_not_seek_back_is_read_and_rewritten(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self, path: Path) -> None:
            self.file = open(path, "wb")  # noqa: SIM115

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            return self.file.write(data)  # type: ignore[arg-type]

        def flush(self) -> None:
            if not self.file.closed:
                self.file.flush()

    pipe = Pipe(tmp_path / "a.npz")
    with zipfile.ZipFile(pipe, "w") as file:  # type: ignore[arg-type]
        file.writestr("a.npy", npy(np.arange(4.0)))
    pipe.file.close()
    npz.rewrite(npz.open_npz(tmp_path / "a.npz"), {"a": np.zeros(4)}, tmp_path / "b.npz")
    with np.load(tmp_path / "b.npz") as loaded:
        np.testing.assert_array_equal(loaded["a"], np.zeros(4))


# ------------------------------------------------------------------ files made to harm


def test_pickles_are_named_and_never_loaded(tmp_path: Path) -> None:
    pickled = npy(np.array([Bomb()], dtype=object), allow_pickle=True)
    path = archive(tmp_path / "a.npz", {"random_state.npy": pickled})
    with pytest.raises(
        InvalidInput, match="'random_state' is an array of Python objects, which is a pickle"
    ):
        npz.open_npz(path)
    raw = archive(tmp_path / "b.npz", {"user_factors.npy": pickle.dumps(Bomb())})
    with pytest.raises(IntegrityError, match=r"no readable \.npy header"):
        npz.open_npz(raw)
    assert not Bomb.exploded


def test_compressed_members_are_not_unpacked(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "a.npz", {"a.npy": npy(np.zeros((1 << 20, 4)))}, zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 1 << 17
    with pytest.raises(
        InvalidInput, match=r"'a\.npy' is compressed .* \(33,554,560 bytes .* save it again"
    ):
        npz.open_npz(bomb)


def test_many_members_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has 65 members"):
        npz.open_npz(archive(tmp_path / "a.npz", {f"{i}.npy": npy(np.zeros(1)) for i in range(65)}))


def test_shapes_that_lie(tmp_path: Path) -> None:
    honest = npy(np.zeros((4, 3)))
    huge = honest.replace(b"(4, 3)", b"(9**9,")
    for name, lie in (
        ("a", honest.replace(b"(4, 3)", b"(4, 4)")),
        ("b", honest[:-8]),
        ("c", honest + bytes(8)),
    ):
        with pytest.raises(IntegrityError, match="the file is damaged"):
            npz.open_npz(archive(tmp_path / f"{name}.npz", {"a.npy": lie}))
    with pytest.raises(IntegrityError, match=r"no readable \.npy header"):
        npz.open_npz(archive(tmp_path / "d.npz", {"a.npy": huge}))


def test_members_that_share_a_name_or_bytes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", npy(np.zeros(2)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("a.npy", npy(np.ones(2)))
    with pytest.raises(IntegrityError, match="twice under one name"):
        npz.open_npz(tmp_path / "a.npz")
    path = archive(tmp_path / "b.npz", {"a.npy": npy(np.zeros(2)), "b.npy": npy(np.zeros(2))})
    raw = bytearray(path.read_bytes())
    second = raw.rindex(b"PK\x01\x02")
    # the second entry points at the first member
    raw[second + 42 : second + 46] = struct.pack("<I", 0)
    path.write_bytes(raw)
    with pytest.raises(AltEraserError, match=r"b\.npz"):
        npz.open_npz(path)


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.arange(100.0))
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    raw[npz.open_npz(tmp_path / "a.npz").members["a"].data + 41] ^= 1
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(IntegrityError, match="'a' does not match its checksum"):
        npz.open_npz(tmp_path / "a.npz").array("a")


@given(data=st.data())
def test_no_damage_escapes_as_anything_but_an_error_of_ours(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damage") / "a.npz"
    np.savez(path, user_factors=np.ones((3, 2)), alpha=np.array(2.0))
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    npz.is_npz(path, "user_factors")
    try:
        found = npz.open_npz(path)
        for name in found.members:
            found.array(name)
    except AltEraserError as error:
        message = error.message
    else:
        message = str(path)
    assert str(path) in message
