"""NumPy's ``.npz`` without NumPy's loader: arrays mapped where they lie, nothing unpacked, nothing
unpickled.

An ``.npz`` is a zip archive of ``.npy`` members, which ``numpy.savez`` stores as they are. Here the
archive's directory is read, every number in it is held against the file's size, and arrays are
views of the mapped file. Compressed members are refused (a kilobyte of them can stand for a
gigabyte), and so are object arrays (they are pickles).
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters.mapped import BLOCK, map_region
from alteraser.data.files import atomic_write
from alteraser.errors import IntegrityError, InvalidInput

Array = npt.NDArray[Any]

MAGIC = b"PK\x03\x04"
MEMBERS, HEADER, SCALARS = 64, 1 << 16, 1 << 16
"""Most members an archive may have, and most bytes of an ``.npy`` header and of everything that is
no table."""


@dataclass(frozen=True)
class NpzMember:
    """One array of the archive."""

    name: str
    """Without ``.npy``."""
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    payload: int
    """Where its ``.npy`` bytes begin, header included."""
    data: int
    """Where its numbers begin."""
    end: int
    crc: int
    crc_at: tuple[int, ...]
    """Where the archive keeps that checksum."""


@dataclass(frozen=True)
class NpzArchive:
    """The arrays of one file."""

    path: Path
    members: Mapping[str, NpzMember]

    def array(self, name: str) -> Array:
        """One array: a copy, or where it is large a read-only view of the file.

        Raises IntegrityError where its bytes do not have the checksum that the archive says.
        """
        member = self.members[name]
        with open(self.path, "rb") as file:
            self._verify(file, member)
        return map_region(
            self.path, member.data, member.dtype, member.shape, "F" if member.fortran else "C"
        )

    def scalar(self, name: str) -> Any:
        """A 0-d array as a Python value, None where there is none. Raises InvalidInput where it is
        no scalar.
        """
        member = self.members.get(name)
        if member is None:
            return None
        if member.shape != () or member.end - member.payload > SCALARS:
            raise InvalidInput(
                f"{self.path}: {name!r} has shape {member.shape}, expected one value"
            )
        return self.array(name).item()

    def _verify(self, file: IO[bytes], member: NpzMember) -> None:
        crc, left = 0, member.end - member.payload
        file.seek(member.payload)
        while left > 0:
            chunk = file.read(min(BLOCK, left))
            crc, left = zlib.crc32(chunk, crc), left - len(chunk)
            if not chunk:
                break
        if crc != member.crc:
            raise IntegrityError(
                f"{self.path}: {member.name!r} does not match its checksum; the file is damaged, "
                "restore it from a copy",
                path=str(self.path),
            )


def is_npz(path: Path, *names: str) -> bool:
    """Is this a zip archive with members of all of these names (without ``.npy``)? Never raises."""
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            if file.read(4) != MAGIC:
                return False
        with zipfile.ZipFile(path) as archive:
            found = set(archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, struct.error):
        return False
    return all(f"{name}.npy" in found for name in names)


def open_npz(path: Path) -> NpzArchive:
    """The archive at ``path``, nothing of it read yet but its directory.

    Raises InvalidInput for what is no ``.npz``, is compressed, encrypted, or holds objects;
    IntegrityError for one whose sizes do not add up.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise InvalidInput(f"{path} is not a plain file; name the .npz itself", path=str(path))
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
            infos = archive.infolist()
            if len(infos) > MEMBERS:
                raise InvalidInput(
                    f"{path} has {len(infos):,} members, more than any model's .npz", path=str(path)
                )
            places = directory_places(file, archive.start_dir, len(infos))
            members = [
                _member(path, file, info, at) for info, at in zip(infos, places, strict=True)
            ]
    except (zipfile.BadZipFile, struct.error, NotImplementedError) as cause:
        raise IntegrityError(
            f"{path} is damaged or no .npz file ({cause}); restore it from a copy", path=str(path)
        ) from cause
    _check_layout(path, members)
    return NpzArchive(path, {member.name: member for member in members})


def npy_header(file: IO[bytes], what: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """(shape, stored by columns, dtype) from the beginning of an ``.npy`` file, read up to its
    numbers.

    Raises IntegrityError naming ``what``.
    """
    try:
        version = np.lib.format.read_magic(file)
        reader: Any = {
            1: np.lib.format.read_array_header_1_0,
            2: np.lib.format.read_array_header_2_0,
        }[version[0]]
        shape, fortran, dtype = reader(file)
    except (
        Exception
    ) as cause:  # a header is a Python literal, and a bad one fails as Python's own parsers do
        raise IntegrityError(
            f"{what} has no readable .npy header ({type(cause).__name__}); it is damaged"
        ) from cause
    return shape, fortran, dtype


def rewrite(archive: NpzArchive, arrays: Mapping[str, Array], out: Path) -> None:
    """The same file at ``out`` with the numbers of ``arrays`` in place of theirs and their
    checksums; all or nothing.

    Arrays must have the shape and dtype of what they replace: nothing moves, every other byte
    stays.
    """
    with atomic_write(out) as target:
        with open(archive.path, "rb") as source:
            while chunk := source.read(BLOCK):
                target.write(chunk)
            for name, array in arrays.items():
                member = archive.members[name]
                if array.shape != member.shape or array.dtype != member.dtype:
                    raise ValueError(
                        f"{name}: {array.dtype} {array.shape}, not {member.dtype} {member.shape}"
                    )
                source.seek(member.payload)
                crc = zlib.crc32(source.read(member.data - member.payload))
                target.seek(member.data)
                flat = np.atleast_1d(array.T if member.fortran else array)
                step = max(1, BLOCK // max(1, flat[:1].nbytes))
                for start in range(0, len(flat), step):
                    raw = np.ascontiguousarray(flat[start : start + step]).tobytes()
                    crc = zlib.crc32(raw, crc)
                    target.write(raw)
                for place in member.crc_at:
                    target.seek(place)
                    target.write(struct.pack("<I", crc))
        target.seek(0, os.SEEK_END)


def directory_places(file: IO[bytes], start: int, count: int) -> list[int]:
    """Where the entries of a zip archive's directory begin. Raises BadZipFile."""
    places, at = [], start
    for _ in range(count):
        places.append(at)
        file.seek(at)
        entry = file.read(46)
        if entry[:4] != b"PK\x01\x02":
            raise zipfile.BadZipFile("its directory is not where it should be")
        name, extra, comment = struct.unpack("<3H", entry[28:34])
        at += 46 + name + extra + comment
    return places


def located(
    path: Path, file: IO[bytes], info: zipfile.ZipInfo, directory: int
) -> tuple[int, int, tuple[int, ...]]:
    """(begin, end, where its checksum is kept) of a stored member, whose entry of the directory is
    at ``directory``.

    Raises BadZipFile where it is not there, IntegrityError where it ends behind the file.
    """
    file.seek(info.header_offset)
    local = file.read(30)
    if local[:4] != MAGIC:
        raise zipfile.BadZipFile(f"member {info.filename!r} is not where the directory says")
    flags = struct.unpack("<H", local[6:8])[0]
    lengths = struct.unpack("<2H", local[26:30])
    payload = info.header_offset + 30 + sum(lengths)
    end = payload + info.file_size
    # a checksum of its own behind the data, where the writer could not seek back
    crc_at = (directory + 16, info.header_offset + 14)
    if flags & 0x8:
        file.seek(end)
        crc_at = (directory + 16, end + (4 if file.read(4) == b"PK\x07\x08" else 0))
    file.seek(0, os.SEEK_END)
    if end > file.tell():
        raise IntegrityError(
            f"{path}: member {info.filename!r} claims {info.file_size:,} bytes, the file has "
            f"{file.tell():,}; it is damaged or was cut short",
            path=str(path),
        )
    return payload, end, crc_at


def _member(path: Path, file: IO[bytes], info: zipfile.ZipInfo, directory: int) -> NpzMember:
    if not info.filename.endswith(".npy"):
        raise InvalidInput(
            f"{path}: member {info.filename!r} is no array; this is not an .npz", path=str(path)
        )
    name = info.filename.removesuffix(".npy")
    if (
        info.compress_type != zipfile.ZIP_STORED
        or info.file_size != info.compress_size
        or info.flag_bits & 0x1
    ):
        raise InvalidInput(
            f"{path}: member {info.filename!r} is compressed or encrypted and was not unpacked "
            f"({info.file_size:,} bytes by its own account). Models are stored plainly: save it "
            "again with model.save or numpy.savez",
            path=str(path),
        )
    payload, end, crc_at = located(path, file, info, directory)
    file.seek(payload)
    head = io.BytesIO(file.read(min(HEADER, info.file_size)))
    shape, fortran, dtype = npy_header(head, f"{path}: {name!r}")
    if dtype.hasobject:
        raise InvalidInput(
            f"{path}: {name!r} is an array of Python objects, which is a pickle, and was not "
            "read. implicit cannot load such a file either: save the model with an integer "
            "random_state",
            path=str(path),
        )
    data = payload + head.tell()
    if data + dtype.itemsize * int(np.prod(shape, dtype=object)) != end:
        raise IntegrityError(
            f"{path}: {name!r} says shape {shape} of {dtype}, but has {end - data:,} bytes; the "
            "file is damaged",
            path=str(path),
        )
    return NpzMember(name, dtype, shape, fortran, payload, data, end, info.CRC, crc_at)


def _check_layout(path: Path, members: list[NpzMember]) -> None:
    """Members that share bytes, or a name, say one thing to one reader and another to the next."""
    if len({member.name for member in members}) < len(members):
        raise IntegrityError(
            f"{path} holds an array twice under one name; it is not a file that NumPy wrote"
        )
    ordered = sorted(members, key=lambda member: member.payload)
    for left, right in pairwise(ordered):
        if left.end > right.payload:
            raise IntegrityError(
                f"{path}: {left.name!r} and {right.name!r} overlap; it is not a file NumPy wrote"
            )
