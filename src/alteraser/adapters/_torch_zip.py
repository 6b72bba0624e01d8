"""The zip container of ``torch.save``, read and rewritten without PyTorch.

One member, ``<root>/data.pkl``, describes every tensor (storage, offset, shape, strides); the
numbers are in members ``<root>/data/<key>``, stored as they are. So a tensor is a view of the file,
and a changed tensor is a file copied with some of its bytes exchanged: every other member, the
pickle among them, stays byte for byte, and so do the places of the members, which PyTorch aligns. A
member is never unpacked: compressed ones, the stuff of zip bombs, are refused.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters._pickle import Allowed, Call, Global, Persistent, PickleLimits, load
from alteraser.data.files import atomic_write
from alteraser.errors import IntegrityError, InvalidInput, NotFound

Array = npt.NDArray[Any]

MAGIC = b"PK\x03\x04"
MEMBERS = 100_000
DESCRIPTION = PickleLimits(bytes=1 << 28, operations=20_000_000)
"""A description of a quarter of a gigabyte: far more than any list of tensors and settings
needs."""

STORAGES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}

TENSORS = {
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "device"),
    ("torch", "Size"),
    ("collections", "OrderedDict"),
    *(("torch", name) for name in (*STORAGES, "BFloat16Storage")),
}
"""Names that tensors and dictionaries of them need."""


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies."""

    key: str
    """Of its storage."""
    kind: str
    """NumPy's letter and size."""
    offset: int
    """In elements, like the strides."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class TorchMember:
    """Where a member's content lies in the file."""

    start: int
    size: int
    descriptor: bool
    """Its checksum follows the content instead of standing in the header before it."""
    header: int


class TorchArchive:
    """A file that ``torch.save`` wrote."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise NotFound(
                f"{path} does not exist or is not a file; check the path", path=str(path)
            )
        self.path = path
        with open(path, "rb") as file:
            if file.read(4) != MAGIC:
                raise InvalidInput(
                    f"{path} is not in the zip format of torch.save. One that PyTorch before 1.6 "
                    "wrote has to be saved again with a newer one",
                    path=str(path),
                )
        try:
            with zipfile.ZipFile(path) as archive:
                self.directory = archive.start_dir
                self.members = self._members(archive)
        except (
            zipfile.BadZipFile,
            struct.error,
            OSError,
            ValueError,
            NotImplementedError,
        ) as cause:
            raise IntegrityError(
                f"{path} is damaged or cut short: {cause}", path=str(path)
            ) from cause
        descriptions = [
            name for name in self.members if name.endswith("/data.pkl") and name.count("/") == 1
        ]
        if len(descriptions) != 1:
            raise InvalidInput(
                f"{path} is a zip file, but not one of torch.save: it has no data.pkl",
                path=str(path),
            )
        self.root = descriptions[0].split("/")[0]

    def _members(self, archive: zipfile.ZipFile) -> dict[str, TorchMember]:
        size, members = self.path.stat().st_size, {}
        infos = archive.infolist()
        if len(infos) > MEMBERS:
            raise zipfile.BadZipFile(f"{len(infos):,} members; at most {MEMBERS:,} are read")
        with open(self.path, "rb") as file:
            for info in infos:
                if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                    raise zipfile.BadZipFile(
                        f"member {info.filename!r} is compressed, which torch.save never does"
                    )
                if info.flag_bits & 1 or info.filename in members:
                    raise zipfile.BadZipFile(
                        f"member {info.filename!r} is encrypted or occurs twice"
                    )
                file.seek(info.header_offset)
                header = file.read(30)
                if header[:4] != MAGIC:
                    raise zipfile.BadZipFile(
                        f"member {info.filename!r} is not where the directory says"
                    )
                name, extra = struct.unpack("<HH", header[26:30])
                start = info.header_offset + 30 + name + extra
                if start + info.file_size > size:
                    raise zipfile.BadZipFile(
                        f"member {info.filename!r} reaches past the end of the file"
                    )
                members[info.filename] = TorchMember(
                    start, info.file_size, bool(info.flag_bits & 8), info.header_offset
                )
        return members

    # ---------------------------------------------------------------- reading

    def content(self, name: str) -> bytes:
        """A small member's bytes; nothing where it is missing."""
        member = self.members.get(f"{self.root}/{name}")
        return (
            b"" if member is None else bytes(self._view[member.start : member.start + member.size])
        )

    @cached_property
    def _view(self) -> mmap.mmap:
        with open(self.path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    @cached_property
    def order(self) -> Any:
        """``<`` or ``>``."""
        return ">" if self.content("byteorder") == b"big" else "<"

    def description(self, allowed: Allowed, limits: PickleLimits = DESCRIPTION) -> Any:
        """What was saved, with ``Call`` of ``_rebuild_tensor_v2`` for tensors; see
        ``alteraser.adapters._pickle``.
        """
        return load(self.content("data.pkl"), f"{self.path} (data.pkl)", allowed, limits)

    def located(self, value: Any, what: str) -> Tensor:
        """Where the tensor is that ``value`` describes. Raises IntegrityError, naming ``what``."""
        if (
            isinstance(value, Call)
            and value.function.name == "_rebuild_parameter"
            and value.arguments
        ):
            value = value.arguments[0]
        if not is_tensor(value) or len(value.arguments) < 4:
            raise IntegrityError(f"{self.path}: {what} is not a plain tensor", path=str(self.path))
        storage, offset, shape, strides = value.arguments[:4]
        if isinstance(shape, Call) and shape.arguments:
            shape = shape.arguments[0]
        identifier = storage.identifier if isinstance(storage, Persistent) else None
        if (
            not isinstance(identifier, tuple)
            or len(identifier) != 5
            or not isinstance(identifier[1], Global)
        ):
            raise IntegrityError(f"{self.path}: {what} has no storage", path=str(self.path))
        kind, key = STORAGES.get(identifier[1].name), identifier[2]
        if kind is None:
            raise InvalidInput(
                f"{self.path}: {what} is kept as {identifier[1].name.removesuffix('Storage')}, "
                "which NumPy does not have; save the model with float32 tables",
                path=str(self.path),
            )
        numbers = (
            (offset, *shape, *strides)
            if isinstance(shape, tuple) and isinstance(strides, tuple)
            else (-1,)
        )
        if len(numbers) != 1 + 2 * len(shape) or not all(
            type(number) is int and number >= 0 for number in numbers
        ):
            raise IntegrityError(f"{self.path}: {what} has no valid shape", path=str(self.path))
        tensor = Tensor(str(key), kind, offset, shape, strides)
        self._fits(tensor, what)
        return tensor

    def _fits(self, tensor: Tensor, what: str) -> None:
        member = self.members.get(f"{self.root}/data/{tensor.key}")
        width = np.dtype(tensor.kind).itemsize
        reach = sum(
            (side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True)
        )
        needed = 0 if 0 in tensor.shape else (tensor.offset + reach + 1) * width
        if member is None or needed > member.size:
            have = "no bytes" if member is None else f"{member.size:,} bytes"
            raise IntegrityError(
                f"{self.path}: {what} has shape {tensor.shape} and needs {needed:,} bytes of "
                f"storage {tensor.key!r}, which has {have}; the file is damaged",
                path=str(self.path),
            )

    def array(self, tensor: Tensor) -> Array:
        """The tensor as a read-only view of the file."""
        member = self.members[f"{self.root}/data/{tensor.key}"]
        kind = np.dtype(tensor.kind).newbyteorder(self.order)
        count = member.size // kind.itemsize
        whole = np.frombuffer(self._view, kind, count, member.start)
        return _strided(whole, tensor)

    # ---------------------------------------------------------------- writing

    def write(self, out: Path, changes: Mapping[Tensor, Array]) -> None:
        """The same file at ``out``, the bytes of these tensors exchanged; all or nothing."""
        storages: dict[str, Array] = {}
        for tensor, new in changes.items():
            member = self.members[f"{self.root}/data/{tensor.key}"]
            kind = np.dtype(tensor.kind).newbyteorder(self.order)
            if tensor.key not in storages:
                storages[tensor.key] = np.frombuffer(
                    self._view, np.uint8, member.size, member.start
                ).copy()
            whole = storages[tensor.key][: member.size // kind.itemsize * kind.itemsize].view(kind)
            _strided(whole, tensor)[...] = new
        checks = {}
        with atomic_write(out) as file:
            with open(self.path, "rb") as source:
                shutil.copyfileobj(source, file, 1 << 22)
            for key, storage in storages.items():
                name = f"{self.root}/data/{key}"
                member = self.members[name]
                file.seek(member.start)
                file.write(storage.data)
                checks[name] = struct.pack("<I", zlib.crc32(storage.data))
                after = bytes(
                    self._view[member.start + member.size : member.start + member.size + 4]
                )
                if not member.descriptor:
                    file.seek(member.header + 14)
                    file.write(checks[name])
                elif after == b"PK\x07\x08":
                    file.seek(member.start + member.size + 4)
                    file.write(checks[name])
            for place, name in self._entries():
                if name in checks:
                    file.seek(place + 16)
                    file.write(checks[name])

    def _entries(self) -> Iterator[tuple[int, str]]:
        """(place, name) of every entry of the directory."""
        place = self.directory
        while bytes(self._view[place : place + 4]) == b"PK\x01\x02":
            name, extra, comment = struct.unpack("<HHH", self._view[place + 28 : place + 34])
            yield (
                place,
                bytes(self._view[place + 46 : place + 46 + name]).decode("utf-8", "replace"),
            )
            place += 46 + name + extra + comment


def _strided(whole: Array, tensor: Tensor) -> Array:
    """``tensor``'s elements of its storage; bounds were checked when it was located."""
    width = whole.itemsize
    return np.lib.stride_tricks.as_strided(
        whole[tensor.offset :], tensor.shape, tuple(stride * width for stride in tensor.strides)
    )


def is_tensor(value: Any) -> bool:
    """Does ``value`` describe a tensor?"""
    return isinstance(value, Call) and value.function == Global(
        "torch._utils", "_rebuild_tensor_v2"
    )


def looks_like(path: Path) -> bytes:
    """The beginning of data.pkl if ``path`` begins like a file of torch.save, else nothing; never
    raises.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 17)
    except OSError:
        return b""
    if head[:4] != MAGIC or len(head) < 64:
        return b""
    name, extra = struct.unpack("<HH", head[26:30])
    if not head[30 : 30 + name].endswith(b"/data.pkl"):
        return b""
    return head[30 + name + extra :]
