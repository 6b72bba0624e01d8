"""HDF5 files, alone or stored in a zip archive, whose arrays are read and patched where they lie.

h5py finds the arrays; their numbers are read and written by their place in the file, so that
everything else stays byte for byte. That takes arrays that are stored in one piece, as Keras stores
them: compressed and chunked ones are refused.
"""

from __future__ import annotations

import io
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from alteraser.adapters.contract import Array
from alteraser.adapters.mapped import BLOCK, blocks_of, map_region
from alteraser.adapters.npz import directory_places, located
from alteraser.data.files import atomic_write
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.runtime.extras import require

MAGIC = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"
MOST = 100_000
"""Arrays that a file may have."""


@dataclass(frozen=True)
class Place:
    """An array in the file."""

    name: str
    """Its path in HDF5."""
    offset: int
    """Where its numbers begin, counted from the beginning of the outer file."""
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Hdf5:
    """The arrays of one file, and what attributes say of the groups they are in."""

    path: Path
    places: Mapping[str, Place]
    attributes: Mapping[str, Mapping[str, Any]]
    """Of groups that have some, by their path."""
    base: int = 0
    """Where the HDF5 file begins in ``path``."""
    end: int = 0
    crc_at: tuple[int, ...] = ()
    """Where the archive around it keeps its checksum."""
    others: tuple[str, ...] = field(default=())
    """Names of the archive's other members."""

    def array(self, name: str) -> Array:
        """One array: a copy, or where it is large a read-only view of the file."""
        place = self.places[name]
        return map_region(self.path, place.offset, place.dtype, place.shape)

    def write(self, arrays: Mapping[str, Array], out: Path) -> None:
        """The same file at ``out`` with the numbers of ``arrays`` in place of theirs; all or
        nothing.
        """
        with atomic_write(out) as target:
            with open(self.path, "rb") as source:
                shutil.copyfileobj(source, target, BLOCK)
            for name, array in arrays.items():
                place = self.places[name]
                if array.shape != place.shape:
                    raise ValueError(f"{name}: {array.shape}, not {place.shape}")
                target.seek(place.offset)
                for start, stop in blocks_of(array):
                    target.write(np.ascontiguousarray(array[start:stop], place.dtype).tobytes())
            if arrays and self.crc_at:
                target.flush()
                crc = _crc(Path(target.name), self.base, self.end)
                for place_of_crc in self.crc_at:
                    target.seek(place_of_crc)
                    target.write(struct.pack("<I", crc))
            target.seek(0, 2)


def open_hdf5(path: Path, member: str) -> Hdf5:
    """The HDF5 file at ``path``, or the member called ``member`` of the zip archive there.

    Raises InvalidInput for arrays that are not stored in one piece, and for a member that is
    compressed; IntegrityError for a damaged file; DependencyMissing without h5py.
    """
    require("h5py", "keras", f"reading {path}")
    with open(path, "rb") as file:
        head = file.read(8)
    if head[:4] != ZIP:
        with open(path, "rb") as file:
            found, attributes = _walk(file, path, 0)
        return Hdf5(path, found, attributes)
    base, end, crc_at, others = _member(path, member)
    with _window(path, base, end) as file:
        found, attributes = _walk(file, path, base)
    return Hdf5(path, found, attributes, base, end, crc_at, others)


def _walk(
    file: IO[bytes], path: Path, base: int
) -> tuple[dict[str, Place], dict[str, dict[str, Any]]]:
    import h5py

    found: dict[str, Place] = {}
    attributes: dict[str, dict[str, Any]] = {}
    problems: list[InvalidInput] = []

    def visit(name: str, node: Any) -> None:
        if len(found) >= MOST:
            problems.append(
                InvalidInput(
                    f"{path} has more than {MOST:,} arrays, more than any model", path=str(path)
                )
            )
        elif isinstance(node, h5py.Dataset):
            if node.dtype.kind not in "fiub":
                return  # text, such as a compiled configuration
            if node.size and (
                node.chunks is not None or node.external or node.id.get_offset() is None
            ):
                problems.append(
                    InvalidInput(
                        f"{path}: {name!r} is compressed, in chunks or in another file; Keras "
                        "stores arrays in one piece: save the model or its weights again",
                        path=str(path),
                    )
                )
                return
            offset = base + (node.id.get_offset() or 0)
            found[name] = Place(name, offset, node.dtype, tuple(int(size) for size in node.shape))
        elif len(node.attrs):
            attributes[name] = _kept(node)

    try:
        with h5py.File(file, "r") as opened:
            attributes[""] = _kept(opened)
            opened.visititems(visit)
            size = _size(file)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as cause:
        raise IntegrityError(
            f"{path} is damaged or no HDF5 file ({type(cause).__name__}: {cause}); restore it "
            "from a copy",
            path=str(path),
        ) from cause
    if problems:
        raise problems[0]
    for place in found.values():
        if (
            place.offset - base + place.dtype.itemsize * int(np.prod(place.shape, dtype=object))
            > size
        ):
            raise IntegrityError(
                f"{path}: {place.name!r} of shape {place.shape} ends behind the file; it is "
                "damaged or was cut short",
                path=str(path),
            )
    return found, attributes


KEPT = ("name", "layer_names", "weight_names", "keras_version", "backend")
"""Attributes that are looked at."""


def _kept(node: Any) -> dict[str, Any]:
    return {key: _plain(node.attrs[key]) for key in KEPT if key in node.attrs}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value.tolist()]
    return value


def _size(file: IO[bytes]) -> int:
    file.seek(0, 2)
    return file.tell()


def _member(path: Path, member: str) -> tuple[int, int, tuple[int, ...], tuple[str, ...]]:
    """(begin, end, where its checksum is kept, names of the others) of a stored member."""
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
            infos = archive.infolist()
            names = [info.filename for info in infos]
            if names.count(member) != 1:
                raise InvalidInput(
                    f"{path} holds {', '.join(names[:8]) or 'nothing'}, and not one {member}; it "
                    "is no model that Keras saved",
                    path=str(path),
                )
            at = names.index(member)
            places = directory_places(file, archive.start_dir, len(infos))
            if infos[at].compress_type != zipfile.ZIP_STORED or infos[at].flag_bits & 0x1:
                raise InvalidInput(
                    f"{path}: {member} is compressed or encrypted and was not unpacked; Keras "
                    "stores it plainly: save the model again",
                    path=str(path),
                )
            begin, end, crc_at = located(path, file, infos[at], places[at])
            if _crc(path, begin, end) != infos[at].CRC:
                raise IntegrityError(
                    f"{path}: {member} does not match its checksum; the file is damaged, restore "
                    "it from a copy",
                    path=str(path),
                )
    except (zipfile.BadZipFile, struct.error, NotImplementedError) as cause:
        raise IntegrityError(
            f"{path} is damaged or no .keras file ({cause}); restore it from a copy", path=str(path)
        ) from cause
    return begin, end, crc_at, tuple(name for name in names if name != member)


def _crc(path: Path, begin: int, end: int) -> int:
    crc, left = 0, end - begin
    with open(path, "rb") as file:
        file.seek(begin)
        while left > 0 and (chunk := file.read(min(BLOCK, left))):
            crc, left = zlib.crc32(chunk, crc), left - len(chunk)
    return crc


@contextmanager
def _window(path: Path, begin: int, end: int) -> Iterator[IO[bytes]]:
    with open(path, "rb") as file:
        yield io.BufferedReader(_Window(file, begin, end))


class _Window(io.RawIOBase):
    """The bytes [begin, end) of a file, as a file."""

    def __init__(self, file: IO[bytes], begin: int, end: int) -> None:
        self.file, self.begin, self.size, self.at = file, begin, end - begin, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = max(0, offset + (0, self.at, self.size)[whence])
        return self.at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        self.file.seek(self.begin + self.at)
        chunk = self.file.read(max(0, min(len(view), self.size - self.at)))
        view[: len(chunk)] = chunk
        self.at += len(chunk)
        return len(chunk)
