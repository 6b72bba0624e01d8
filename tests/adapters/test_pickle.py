"""The reader that runs nothing: what a pickle may say, and what malicious ones say. Samples are
made on the spot."""

from __future__ import annotations

import collections
import contextlib
import io
import os
import pickle
import pickletools
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.adapters import ADAPTERS, ForeignOptions, adapter_named
from alteraser.adapters._pickle import Call, Global, PickleLimits, load, protocol_of, walk
from alteraser.adapters._pickled import NUMPY, array, id_map, names, put_array, scalar
from alteraser.adapters._pickling import dump
from alteraser.adapters._torch_zip import TENSORS, TorchArchive
from alteraser.errors import AltEraserError, IntegrityError, InvalidInput, ResourceLimit


def nothing(module: str, name: str) -> bool:
    return False


def everything(module: str, name: str) -> bool:
    return True


# ---------------------------------------------------------------- plain data

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
keys = st.text() | st.integers(-(2**70), 2**70) | st.tuples(st.integers(), st.text())
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(keys, inner)
        | st.lists(inner).map(tuple)
        | st.sets(keys)
        | st.frozensets(keys)
        | st.binary().map(bytearray)
    ),
    max_leaves=30,
)


@given(value=values, protocol=st.sampled_from([4, 5]))
def test_plain_data_are_what_pickle_says_they_are(value: Any, protocol: int) -> None:
    found = load(pickle.dumps(value, protocol), "it", names() if protocol == 5 else everything)
    if not any(isinstance(part, Call) for part in walk(found)):  # protocol 4 calls bytearray
        assert found == value
    assert pickle.loads(dump(found, protocol)) == value


@given(value=st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_earlier_protocols(value: Any) -> None:
    for protocol in (2, 3):
        assert load(pickle.dumps(value, protocol), "it", nothing) == value
        assert pickle.loads(dump(value, protocol)) == value


def test_sharing_and_cycles_survive() -> None:
    shared: list[Any] = [1]
    knot: tuple[Any, ...] = (shared, "a" * 300, 2, 3)
    shared += [knot, knot]
    again = pickle.loads(dump(load(pickle.dumps({"x": shared, "y": shared}), "it", nothing)))
    assert again["x"] is again["y"]
    assert again["x"][1][0] is again["x"]
    assert again["x"][1] is again["x"][2]
    small: tuple[Any, ...] = ([],)
    small[0].append(small)
    for value in (knot, small):  # a tuple that is reached again before it is complete
        again = pickle.loads(dump(load(pickle.dumps(value), "it", nothing)))
        assert again[0][-1] is again


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_objects_come_back_as_they_were(protocol: int) -> None:
    ordered = collections.OrderedDict(b=1, a=2)
    counts = collections.defaultdict(list, {3: [(1, 2.5)]})
    numbers = np.arange(6, dtype=">f8").reshape(2, 3)
    thing = [
        ordered,
        counts,
        numbers,
        np.asfortranarray(numbers),
        np.float32(2.5),
        np.array(["é", "ab"]),
        np.array(3),
    ]
    tree = load(pickle.dumps(thing, protocol), "it", names())
    for index in (2, 3, 5, 6):
        np.testing.assert_array_equal(array(tree[index], "it"), thing[index])
    assert scalar(tree[4], "it") == 2.5
    again = pickle.loads(dump(tree, protocol))
    assert again[0] == ordered
    assert again[1] == counts
    assert again[1].default_factory is list
    np.testing.assert_array_equal(again[2], numbers)
    put_array(tree[2], numbers[:1] * 2)
    np.testing.assert_array_equal(pickle.loads(dump(tree, protocol))[2], numbers[:1] * 2)


@given(data=st.data())
@settings(max_examples=100)
def test_damage_is_an_error_of_ours_and_nothing_else(data: st.DataObject) -> None:
    content = bytearray(_SAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    for damaged in (bytes(content), bytes(content[:cut])):
        with contextlib.suppress(AltEraserError):
            load(damaged, "it", names(), PickleLimits(operations=10_000))


_SAMPLE = pickle.dumps(
    {
        "pu": np.arange(6.0),
        "ids": collections.OrderedDict(a=0),
        "x": [(1, 2.0), "text", {5, 6}, 2**70, b"bytes"],
    },
    4,
)


@given(content=st.binary(max_size=200))
def test_noise_is_an_error_of_ours_and_nothing_else(content: bytes) -> None:
    with contextlib.suppress(AltEraserError):
        load(b"\x80\x04" + content, "it", nothing, PickleLimits(operations=1000))


# ---------------------------------------------------------------- malice


class Runs:
    """Pickled, it makes a file when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "it ran"


@pytest.fixture
def evil(mark: Path) -> dict[str, bytes]:
    line = f"touch '{mark}'"
    made = {
        "os.system": pickle.dumps(Runs(os.system, line)),
        "subprocess": pickle.dumps({"algo": Runs(subprocess.check_output, line, None)}, 2),
        "eval": pickle.dumps([Runs(eval, f"open({str(mark)!r}, 'w')")], 5),
        "hidden in a state": pickle.dumps(
            {"config": {"deep": [Runs(exec, f"open({str(mark)!r}, 'w')")]}}
        ),
        "old instance": b"\x80\x02(S'touch x'\nios\nsystem\n.",
        "by extension": b"\x80\x02\x82\x01.",
        "through numpy": b"\x80\x04\x8c\x05numpy\x8c\x14f2py.subprocess.Popen\x93\x8c\x02ls\x85R.",
        "getattr": b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93\x8c\x02os\x8c\x06system\x86R.",
    }
    pickle.loads(pickle.dumps(Runs(os.system, line)))  # the sample does what it says
    assert mark.exists()
    mark.unlink()
    return made


def test_malicious_pickles_do_nothing_but_an_error(evil: dict[str, bytes], mark: Path) -> None:
    for name, content in evil.items():
        with pytest.raises(IntegrityError, match=r"model.pkl.*nothing was run"):
            load(content, "model.pkl", names())
        with contextlib.suppress(IntegrityError):  # even where every name is allowed
            load(content, "model.pkl", everything)
        assert not mark.exists(), name


def test_every_adapter_refuses_them(evil: dict[str, bytes], mark: Path, tmp_path: Path) -> None:
    for name in ADAPTERS:
        adapter = adapter_named(name)
        for content in evil.values():
            path = tmp_path / f"{name}.bin"
            path.write_bytes(content)
            adapter.recognizes(path)
            with pytest.raises(AltEraserError):
                adapter.read(path, ForeignOptions(allow_pickle=True))
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("m/data.pkl", content)
            adapter.recognizes(path)
            with pytest.raises(AltEraserError):
                adapter.read(path, ForeignOptions(allow_pickle=True))
            assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
            "1,152,921,504,606,846,976 bytes are announced",
        ),
        (
            b"\x80\x04X" + struct.pack("<I", 2**32 - 1) + b"x.",
            "4,294,967,295 bytes are announced where 2 are left",
        ),
        (
            b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b"\x01.",
            "an integer of 1,073,741,824 bytes",
        ),
        (b"\x80\x02\x8b" + struct.pack("<i", -5) + b"\x01.", "bytes are announced"),
        (
            b"\x80\x04Nr\xff\xff\xff\xff" + b"j\xfe\xff\xff\xff.",
            "memo entry 4294967294 that was never stored",
        ),
        (b"\x80\x04" + b"(" * 5000 + b".", "more than 200 groups inside one another"),
        (b"\x80\x04]" + b"2e.", "the end of a group without its beginning"),
        (b"\x80\x04(0e.", "the end of a group without its beginning"),
        (b"\x80\x04](\x8c\x01a2b.", "a state for str"),
        (b"\x80\x04N", "no end: it is cut short"),
        (b"\x80\x04NN.", "values left over"),
        (b"\x80\x04.", "a value that is missing"),
        (b"\x80\x09N.", "protocol 9, which is newer"),
        (b"N.", "no protocol, or one before 2"),
        (b"\x80\x04I1\n.", "instruction 0x49"),
        (b"\x80\x04}]Ns.", "a list as a key"),
        (b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.", "a frame longer than the file"),
        (b"\x80\x04\x8c\x01\xff.", "text that is not UTF-8"),
        (b"\x80\x04NN\x93.", "a name that is not text"),
        (b"\x80\x04N)R.", "a call of something that is not a name"),
    ],
)
def test_lies_about_sizes_and_structure(content: bytes, message: str) -> None:
    with pytest.raises(IntegrityError, match=message.replace("(", r"\(")):
        load(content, "it", nothing)


def test_tuples_that_would_take_for_ever_to_hash_are_no_keys() -> None:
    # t = (t, t) sixty times over: 120 instructions whose hash takes 2^60 steps
    content = b"\x80\x04})" + b"2\x86" * 60 + b"Ns."
    with pytest.raises(IntegrityError, match="a tuple as a key"):
        load(content, "it", nothing)
    assert len(list(walk(load(b"\x80\x04)" + b"2\x86" * 60 + b".", "it", nothing)))) == 61


def test_limits() -> None:
    with pytest.raises(ResourceLimit, match="more than 10 instructions"):
        load(pickle.dumps(list(range(300))), "it", nothing, PickleLimits(operations=10))
    with pytest.raises(ResourceLimit, match="a pickle of 6 bytes; at most 5"):
        load(b"\x80\x04NN0.", "it", nothing, PickleLimits(bytes=5))
    deep = load(b"\x80\x04)" + b"\x85" * 500 + b".", "it", nothing)
    with pytest.raises(InvalidInput, match="nested more than 200 deep"):
        dump(deep)


def test_every_instruction_is_known_or_refused() -> None:
    from alteraser.adapters._pickle import _OPERATIONS

    refused = {
        "INT",
        "LONG",
        "FLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "PERSID",
        "INST",
        "OBJ",
    }
    refused |= {"GET", "PUT", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}
    known = {pickletools.code2op[chr(code)].name for code in _OPERATIONS} | {"STOP"}
    assert known == {operation.name for operation in pickletools.opcodes} - refused


# ---------------------------------------------------------------- what libraries put in


def test_arrays_that_lie() -> None:
    tree = load(pickle.dumps(np.arange(4.0), 4), "it", names())
    version, _, dtype, fortran, content = tree.state
    for shape, message in (
        ((5,), "32 bytes where .* has 40"),
        ((-1, -4), "is not a shape"),
        ((2**40, 2**40), "damaged"),
    ):
        tree.state = (version, shape, dtype, fortran, content)
        with pytest.raises(IntegrityError, match=message):
            array(tree, "pu")
    objects = load(pickle.dumps(np.array([{}], object), 4), "it", names())
    with pytest.raises(IntegrityError, match="pu is not a number or text"):
        array(objects, "pu")
    with pytest.raises(IntegrityError, match="a dtype that is not numbers or text"):
        array(load(pickle.dumps(np.zeros(2, "f4,f8"), 4), "it", names()), "pu")


def test_maps_that_lie() -> None:
    assert id_map([("b", 1), ("a", 0)], 3, "users").ids.to_pylist() == ["a", "b"]
    for pairs in (
        [("a", 3)],
        [("a", -1)],
        [("a", 0), ("b", 0)],
        [("a", "0")],
        [("a", True)],
        [("a", 0), ("a", 1)],
    ):
        with pytest.raises(IntegrityError, match="users"):
            id_map(pairs, 3, "users")


def test_only_constructors_of_plain_data_are_known() -> None:
    assert all(
        module.split(".")[0] in ("numpy", "collections", "builtins", "__builtin__", "_codecs")
        for module, _ in NUMPY
    )
    assert {name for module, name in NUMPY if "builtin" in module} == {"list", "int", "dict"}
    assert not any("." in name for _, name in NUMPY | TENSORS)
    assert str(Global("a", "b")) == "a.b"
    assert protocol_of(b"\x80\x04.") == 4
    assert protocol_of(b"PK") is None


# ---------------------------------------------------------------- zip containers


def torch_file(
    path: Path,
    description: bytes,
    storage: bytes = bytes(16),
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("m/data.pkl", description)
        archive.writestr("m/byteorder", b"little")
        archive.writestr("m/data/0", storage)
    return path


def tensor(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, kind: str = "FloatStorage"
) -> bytes:
    from alteraser.adapters._pickle import Persistent

    storage = Persistent(("storage", Global("torch", kind), "0", "cuda:1", 4))
    hooks = Call(Global("collections", "OrderedDict"), ())
    return dump(
        Call(
            Global("torch._utils", "_rebuild_tensor_v2"),
            (storage, offset, shape, strides, False, hooks),
        )
    )


def allowed(module: str, name: str) -> bool:
    return (module, name) in TENSORS


def test_a_tensor_of_another_device_is_its_bytes(tmp_path: Path) -> None:
    storage = np.arange(4, dtype="<f4").tobytes()
    archive = TorchArchive(torch_file(tmp_path / "m.pth", tensor((2, 2), (1, 2)), storage))
    found = archive.located(archive.description(allowed), "w")
    np.testing.assert_array_equal(archive.array(found), [[0, 2], [1, 3]])
    archive.write(tmp_path / "out.pth", {found: np.array([[5, 6], [7, 8]])})
    again = TorchArchive(tmp_path / "out.pth")
    np.testing.assert_array_equal(again.array(found), [[5, 6], [7, 8]])
    with zipfile.ZipFile(tmp_path / "out.pth") as copy:
        assert copy.testzip() is None


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (tensor((3, 2), (2, 1)), r"shape \(3, 2\) and needs 24 bytes of storage '0', which has 16"),
        (tensor((2,), (2**40,)), "needs 4,398,046,511,108 bytes"),
        (tensor((2**40, 2**40), (0, 1)), "needs 4,398,046,511,104 bytes"),
        (tensor((2,), (-1,)), "no valid shape"),
        (tensor((2,), (1,), offset=3), "needs 20 bytes"),
        (tensor((2,), (1,), kind="BFloat16Storage"), "BFloat16, which NumPy does not have"),
        (dump({"a": 1}), "not a plain tensor"),
    ],
)
def test_tensors_that_lie(tmp_path: Path, description: bytes, message: str) -> None:
    archive = TorchArchive(torch_file(tmp_path / "m.pth", description))
    with pytest.raises((IntegrityError, InvalidInput), match=message):
        archive.located(archive.description(allowed), "w")


def test_zip_bombs_and_strangers(tmp_path: Path) -> None:
    bomb = torch_file(tmp_path / "bomb.pth", dump(1), bytes(50 << 20), zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(
        IntegrityError, match=r"bomb.pth is damaged or cut short: member .* is compressed"
    ):
        TorchArchive(bomb)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme", "hello")
    (tmp_path / "other.pth").write_bytes(buffer.getvalue())
    with pytest.raises(InvalidInput, match=r"other.pth is a zip file, but not one of torch.save"):
        TorchArchive(tmp_path / "other.pth")
    (tmp_path / "old.pth").write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")
    with pytest.raises(InvalidInput, match=r"PyTorch before 1\.6"):
        TorchArchive(tmp_path / "old.pth")


def test_overlapping_and_lying_members(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "m.pth", tensor((2, 2), (2, 1)))
    content = path.read_bytes()
    place = content.rindex(b"m/data/0") - 46
    longer = bytearray(content)
    longer[place + 20 : place + 28] = struct.pack("<II", 1 << 30, 1 << 30)
    path.write_bytes(longer)
    with pytest.raises(IntegrityError, match="reaches past the end"):
        TorchArchive(path)
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("m/data.pkl", b"")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("m/data.pkl", b"")
    path.write_bytes(twice.getvalue())
    with pytest.raises(IntegrityError, match="occurs twice"):
        TorchArchive(path)
