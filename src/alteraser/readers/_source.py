"""Files as sources: what may be opened, how it begins, and what can go wrong on the way."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from alteraser.errors import IntegrityError, InvalidInput, NotFound

BLOCK = 16 << 20
"""Bytes of text parsed at a time; no row may be longer."""

_HEAD = 64 << 10
_GZIP = b"\x1f\x8b"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x93NUMPY": "a NumPy array",
    b"SQLite format 3": "an SQLite database",
    b"ARROW1": "an Arrow IPC file",
    b"%PDF": "a PDF",
}
FORMATS_ACCEPTED = "Parquet, CSV, TSV, JSON lines, RecBole .inter and MovieLens files are read; text may be gzipped"


@dataclass(frozen=True)
class Head:
    """How a file begins, uncompressed."""

    start: bytes

    @cached_property
    def line(self) -> str:
        """The first line that is not blank, without a byte order mark."""
        text = self.start.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="replace")
        return next((line for line in text.splitlines() if line.strip()), "")


@dataclass(frozen=True)
class Source:
    """A regular file that may be read."""

    path: Path

    @cached_property
    def compressed(self) -> bool:
        with open(self.path, "rb") as file:
            return file.read(2) == _GZIP

    @cached_property
    def suffix(self) -> str:
        """The extension in lower case, without ``.gz``."""
        name = self.path.name.lower()
        return Path(name.removesuffix(".gz")).suffix

    @cached_property
    def head(self) -> Head:
        with self.open() as file:
            head = Head(file.read(_HEAD))
        for magic, words in _FOREIGN.items():
            if head.start.startswith(magic):
                raise InvalidInput(
                    f"{self.path} is {words}. {FORMATS_ACCEPTED}; unpack or convert it first.",
                    path=str(self.path),
                )
        if not head.start.strip():
            raise InvalidInput(
                f"{self.path} is empty. A table needs at least a header with its columns.",
                path=str(self.path),
            )
        return head

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The file's bytes, uncompressed."""
        try:
            with gzip.open(self.path) if self.compressed else open(self.path, "rb") as file:
                yield cast(IO[bytes], file)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise damaged(self.path, error) from error

    @contextlib.contextmanager
    def open_arrow(self) -> Iterator[Any]:
        """The same for pyarrow, which decompresses by itself."""
        stream = pa.input_stream(str(self.path), compression="gzip" if self.compressed else None)
        with stream:
            yield stream


def regular_file(path: Path) -> Source:
    """Check that ``path`` is a plain file before it is opened; a pipe would block, a device never end."""
    mode = kind_of(path)
    if not stat.S_ISREG(mode):
        raise InvalidInput(
            f"{path} is a {_special(mode)}, not a plain file, and was not opened. Write its content to a file first.",
            path=str(path),
        )
    if not os.access(path, os.R_OK):
        raise InvalidInput(f"{path} may not be read. Change its permissions.", path=str(path))
    return Source(path)


def kind_of(path: Path) -> int:
    """The mode of what ``path`` leads to."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        words = "is a link to nothing" if path.is_symlink() else "does not exist"
        raise NotFound(f"{path} {words}. Check the path.", path=str(path)) from None
    except PermissionError:
        raise InvalidInput(f"{path}: its folder may not be read. Change its permissions.", path=str(path)) from None
    except (OSError, ValueError) as error:  # a name too long, a loop of links, a NUL
        raise InvalidInput(f"{str(path)!r} is not a usable path: {error}.", path=str(path)) from error


@contextlib.contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Refuse what was read when the file changed under the reader."""
    before = path.stat()
    yield
    after = path.stat()
    if (before.st_size, before.st_mtime_ns, before.st_ino) != (
        after.st_size,
        after.st_mtime_ns,
        after.st_ino,
    ):
        raise IntegrityError(
            f"{path} changed while it was read. Run again when whoever writes it is done.", path=str(path)
        )


def damaged(path: Path, error: BaseException) -> InvalidInput:
    """The error for a file that begins well and does not hold what it promises."""
    return InvalidInput(
        f"{path} is truncated or damaged ({_first_line(error)}). Copy or write it again.", path=str(path)
    )


def check_text(source: Source) -> bool:
    """Refuse bytes that are not UTF-8 text, with their place. Answers whether a quote occurs anywhere."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    position, lines, quotes = 0, 0, False
    with source.open() as file:
        while chunk := file.read(4 << 20):
            if (at := chunk.find(b"\0")) >= 0:
                line = lines + chunk.count(b"\n", 0, at) + 1
                raise InvalidInput(
                    f"{source.path}, line {line}: byte {position + at} is NUL, which text does not hold. "
                    "Export the file again as UTF-8 text.",
                    path=str(source.path),
                    line=line,
                )
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise _not_utf8(source, position, lines, chunk, error.start - pending) from error
            position += len(chunk)
            lines += chunk.count(b"\n")
            quotes = quotes or b'"' in chunk
    pending = len(decoder.getstate()[0])
    if pending:  # the file ends inside a character
        raise _not_utf8(source, position, lines, b"", -pending)
    return quotes


def _not_utf8(source: Source, position: int, lines: int, chunk: bytes, at: int) -> InvalidInput:
    line = lines + chunk.count(b"\n", 0, max(at, 0)) + 1
    return InvalidInput(
        f"{source.path}, line {line}: byte {position + at} is not valid UTF-8. "
        "Convert the file to UTF-8, for example with iconv.",
        path=str(source.path),
        line=line,
    )


def _special(mode: int) -> str:
    names = {
        stat.S_IFIFO: "named pipe",
        stat.S_IFCHR: "character device",
        stat.S_IFBLK: "block device",
        stat.S_IFSOCK: "socket",
        stat.S_IFDIR: "folder",
    }
    return names.get(stat.S_IFMT(mode), "special file")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
