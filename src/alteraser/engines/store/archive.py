"""A backup as one file: a tar that anybody can look into, of which every byte is checked and every
name expected.

    backup.json, state.json, ledger.sqlite, secrets/…, versions/…, added/…
        what ``MEMBER`` allows, in their order
    digest
        SHA-256 of all bytes before it, as text

The end follows from the beginning, headers and padding included, so that a flipped bit anywhere is
found. Members are plain files: whatever is a link, a folder, or called otherwise is refused, and no
path leads out of the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from alteraser.errors import IntegrityError, NotFound
from alteraser.runtime.durable import point

FORMAT = 1
HEAD, DIGEST = "backup.json", "digest"
MEMBER = re.compile(
    r"backup\.json|state\.json|ledger\.sqlite|admin\.key|secrets/(hashing|salt|signing)\.key"
    r"|added/[0-9a-f]{32}-[0-9]{1,20}\.parquet|versions/[0-9a-f]{64}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){1,4}"
)
PRIVATE = re.compile(r"ledger\.sqlite|admin\.key|secrets/.*|.*/model\.key")
TAIL = 4 * tarfile.BLOCKSIZE
"""Bytes of the digest's header and content, and of the two empty blocks that end a tar"""
PIECE = 2**20


class ArchiveWriter:
    """Adds members to a file that is open."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sum = file, hashlib.sha256()

    def _put(self, content: bytes) -> None:
        point("write", self._file.name)
        self._file.write(content)
        self._sum.update(content)

    def add(self, name: str, source: Path, digest: str | None = None) -> None:
        """The file ``source`` as ``name``; IntegrityError where it does not have the SHA-256
        ``digest``.
        """
        with open(source, "rb") as file:
            size, found = os.fstat(file.fileno()).st_size, hashlib.sha256()
            self._put(_header(name, size))
            left = size
            while left and (piece := file.read(min(PIECE, left))):
                self._put(piece)
                found.update(piece)
                left -= len(piece)
        if left or digest not in (None, found.hexdigest()):
            raise IntegrityError(
                f"{source} does not match its digest: it is damaged, and no backup of it is one"
            )
        self._put(b"\0" * (-size % tarfile.BLOCKSIZE))

    def add_bytes(self, name: str, content: bytes) -> None:
        """``content`` as ``name``."""
        self._put(
            _header(name, len(content)) + content + b"\0" * (-len(content) % tarfile.BLOCKSIZE)
        )

    def end(self) -> None:
        """The digest of all that was added."""
        self._file.write(_tail(self._sum))


def _header(name: str, size: int) -> bytes:
    if not (name == DIGEST or MEMBER.fullmatch(name)):
        raise IntegrityError(f"{name} is no part of a state; move it away")
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.USTAR_FORMAT)


def _tail(found: Any) -> bytes:
    content: bytes = found.hexdigest().encode() + b"\n"
    padded = content + b"\0" * (tarfile.BLOCKSIZE - len(content))
    return _header(DIGEST, len(content)) + padded + b"\0" * 2 * tarfile.BLOCKSIZE


@contextmanager
def checked(path: Path) -> Iterator[IO[bytes]]:
    """A backup, open at its beginning, with every byte as it was written; NotFound, or
    IntegrityError.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115
    except (FileNotFoundError, IsADirectoryError):
        raise NotFound(f"{path}: there is no such file. Check the path.", path=str(path)) from None
    with file:
        left, found = os.fstat(file.fileno()).st_size - TAIL, hashlib.sha256()
        while left > 0 and (piece := file.read(min(PIECE, left))):
            found.update(piece)
            left -= len(piece)
        if left or file.read() != _tail(found):
            raise _damaged(path, "it does not have the digest that it ends with")
        file.seek(0)
        yield file


def unpack(file: IO[bytes], folder: Path) -> dict[str, Any]:
    """Write the members of ``checked``'s ``file`` below ``folder``; what ``backup.json`` says.

    IntegrityError for any member that is not a plain file with a name of a state, or comes twice.
    """
    path, head = Path(file.name), None
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.name == DIGEST:
                    break
                if member.type != tarfile.REGTYPE or not MEMBER.fullmatch(member.name):
                    raise _damaged(path, "it has a member that no backup has")
                content = tar.extractfile(member)
                assert content is not None
                if member.name == HEAD:
                    head = json.loads(content.read())
                else:
                    _write(
                        folder / member.name, content, private=bool(PRIVATE.fullmatch(member.name))
                    )
    except (tarfile.TarError, FileExistsError, ValueError) as cause:
        raise _damaged(path, str(cause)) from cause
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise _damaged(path, f"its {HEAD} is missing or of another format")
    return head


def _write(target: Path, content: IO[bytes], *, private: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    point("write", target)
    handle = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600 if private else 0o666)
    with os.fdopen(handle, "wb") as file:
        while piece := content.read(PIECE):
            file.write(piece)


def _damaged(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is damaged, or no backup: {why}; take another one", path=str(path), code="backup"
    )
