"""Files as sources: what may be opened, how it begins, and what can go wrong on the way."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import os
import re
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from alteraser.errors import IntegrityError, InvalidInput, NotFound, ResourceLimit
from alteraser.runtime import memory

BLOCK = 16 << 20
"""Bytes of text parsed at a time; no row may be longer."""

_HEAD = 64 << 10
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_CONTAINERS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_MARKED = re.compile(rb"[\r\n]\xef\xbb\xbf")
_SUFFIXES = (".gz", ".zst", ".zstd")
_FOREIGN = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x93NUMPY": "a NumPy array",
    b"SQLite format 3": "an SQLite database",
    b"ARROW1": "an Arrow IPC file",
    b"%PDF": "a PDF",
}
FORMATS_ACCEPTED = (
    "Parquet, CSV, TSV, JSON, RecBole .inter and MovieLens files are read; text "
    "may be compressed with gzip or zstd"
)


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
    def compression(self) -> str | None:
        """``gzip`` or ``zstd``, by its first bytes."""
        with open(self.path, "rb") as file:
            start = file.read(4)
        return next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), None)

    @cached_property
    def suffix(self) -> str:
        """The extension in lower case, without that of a compression."""
        name = Path(self.path.name.lower())
        return Path(name.stem).suffix if name.suffix in _SUFFIXES else name.suffix

    @cached_property
    def _start(self) -> bytes:
        with self.open() as file:
            start = file.read(_HEAD)
            # a header of many columns
            if len(start) == _HEAD and b"\n" not in start and b"\r" not in start:
                start += file.read(BLOCK)
        return start

    @property
    def blank(self) -> bool:
        """Whether nothing is in it but spaces and newlines, as far as one looks."""
        return not self._start.strip()

    @cached_property
    def head(self) -> Head:
        """How it begins; InvalidInput for what is no table."""
        head = Head(self._start)
        for magic, words in _FOREIGN.items():
            if head.start.startswith(magic):
                raise InvalidInput(
                    f"{self.path} is {words}. {FORMATS_ACCEPTED}; unpack or convert it first.",
                    path=str(self.path),
                )
        if not head.start.strip():
            raise empty(self.path)
        return head

    @contextlib.contextmanager
    def open(self, start: int = 0) -> Iterator[IO[bytes]]:
        """The file's bytes from ``start`` on, uncompressed."""
        try:
            with _opened(self.path, self.compression) as file:
                if self.compression is None:
                    file.seek(start)
                else:
                    file.read(start)
                yield file
        except (EOFError, zlib.error) as error:
            raise damaged(self.path, error) from error
        except OSError as error:
            # the system's, and not what gzip and zstd say of their streams
            if error.errno is not None:
                raise
            raise damaged(self.path, error) from error

    @contextlib.contextmanager
    def open_arrow(self, start: int = 0) -> Iterator[Any]:
        """The same for pyarrow, which would not take the padding behind a compressed stream."""
        if self.compression is None:
            with pa.OSFile(str(self.path), "rb") as plain:
                plain.seek(start)
                yield plain
            return
        with self.open(start) as file, pa.PythonFile(file, mode="r") as stream:
            yield stream


@contextlib.contextmanager
def _opened(path: Path, compression: str | None) -> Iterator[IO[bytes]]:
    if compression == "zstd":
        with pa.OSFile(str(path), "rb") as inner, pa.CompressedInputStream(inner, "zstd") as stream:
            yield cast(IO[bytes], io.BufferedReader(stream))
        return
    with gzip.open(path) if compression == "gzip" else open(path, "rb") as file:
        yield cast(IO[bytes], file)


def regular_file(path: Path) -> Source:
    """Check that ``path`` is a plain file before it is opened; a pipe would block, a device never
    end.
    """
    mode = kind_of(path)
    if not stat.S_ISREG(mode):
        raise InvalidInput(
            f"{path} is a {_special(mode)}, not a plain file, and was not opened. Write its "
            "content to a file first.",
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
        raise InvalidInput(
            f"{path}: its folder may not be read. Change its permissions.", path=str(path)
        ) from None
    except (OSError, ValueError) as error:  # a name too long, a loop of links, a NUL
        raise InvalidInput(
            f"{str(path)!r} is not a usable path: {error}.", path=str(path)
        ) from error


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
            f"{path} changed while it was read. Run again when whoever writes it is done.",
            path=str(path),
        )


def available_memory() -> int:
    """Bytes that this process may hold: the machine's, its container's, or the limit on its address
    space.
    """
    limits = [memory.physical() or 1 << 40]
    for path in _CONTAINERS:
        with contextlib.suppress(OSError, ValueError):  # not there, or "max"
            limits.append(int(Path(path).read_text(encoding="ascii")))
    return min(*limits, address_space())


def address_space() -> int:
    """The limit on the addresses of this process, as ``ulimit -v`` sets it, in bytes."""
    with contextlib.suppress(ImportError, OSError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            return limit
    return 1 << 62


def require_room(path: Path) -> None:
    """Refuse a text that a limit on the address space leaves no room for: Arrow ends the process
    where it meets one.

    Its bytes are held as they come, as columns and as ids, and some blocks are on the way: what is
    refused here would end so anyhow.
    """
    most = address_space()
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        held = pages * os.sysconf("SC_PAGE_SIZE")
        size = path.stat().st_size
        if held < most < held + 4 * size + 6 * min(size, BLOCK) + 2 * BLOCK:
            raise out_of_memory(path)


def out_of_memory(path: Path) -> ResourceLimit:
    """The error for a file that memory does not hold."""
    return ResourceLimit(
        f"{path} does not fit into the {available_memory() / 2**30:,.1f} GiB of memory that this "
        "process may use. Raise the limit, use a larger machine, or leave columns and rows out.",
        path=str(path),
    )


def empty(path: Path) -> InvalidInput:
    """The error for a file without a line."""
    return InvalidInput(
        f"{path} is empty. A table needs at least a header with its columns.", path=str(path)
    )


def damaged(path: Path, error: BaseException) -> InvalidInput:
    """The error for a file that begins well and does not hold what it promises."""
    return InvalidInput(
        f"{path} is truncated or damaged ({_first_line(error)}). Copy or write it again.",
        path=str(path),
    )


def check_text(source: Source) -> bool:
    """Refuse bytes that are not UTF-8 text, with their place. Answers whether a quote occurs
    anywhere.
    """
    require_room(source.path)
    decoder = codecs.getincrementaldecoder("utf-8")()
    position, lines, quotes = 0, 0, False
    with source.open() as file:
        while chunk := file.read(4 << 20):
            if (at := chunk.find(b"\0")) >= 0:
                line = lines + chunk.count(b"\n", 0, at) + 1
                raise InvalidInput(
                    f"{source.path}, line {line}: byte {position + at} is NUL, which text does "
                    "not hold. Export the file again as UTF-8 text.",
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


def marked_inside(source: Source) -> bool:
    """Whether a line but the first begins with a byte order mark outside of quotes: files were put
    together there.
    """
    end = b""
    with source.open() as file:
        while chunk := file.read(4 << 20):
            if _MARKED.search(end + chunk):
                return True
            end = chunk[-3:]
    return False


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
