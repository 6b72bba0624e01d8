"""Writing so that a reader sees the whole output or none of it.

    with atomic_write("model.json") as file:
        # a binary file beside the target, named .model.json.tmp-…
        file.write(document)

The bytes go to a temporary neighbor, are fsynced, and only then take the target's name; the folder
is fsynced last. Whatever ends the block early, Ctrl-C included, removes the temporary file and
leaves the target as it was.

Nothing is ever overwritten. An output that exists is refused before the work starts, and once more,
without a race, when the name is taken: a file gets its name by a hard link, which the kernel
refuses where the name is in use. On file systems without hard links the name is first claimed by an
empty file made with ``O_EXCL``. A folder gets its name by a rename, which fails on any folder that
holds something; an empty folder that appears in the meantime is the one thing it replaces.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn

from alteraser.errors import InvalidInput, NotFound, OutputExists, ResourceLimit
from alteraser.runtime import events
from alteraser.runtime.durable import point

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR}
_UNNAMEABLE = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EINVAL}


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file that becomes ``path`` when the block ends well; its ``name`` is the temporary
    one.
    """
    target = Path(path)
    check_output(target)
    temporary = _neighbor(target)
    with writing_errors(target):
        try:
            with open(temporary, "x+b") as file:
                try:
                    yield file
                    point("fsync", temporary)
                    file.flush()
                    os.fsync(file.fileno())
                    _publish_file(temporary, target)
                    _sync_folder(target.parent)
                    events.emit("written", bytes=os.fstat(file.fileno()).st_size)
                except BaseException:
                    if _is(target, os.fstat(file.fileno())):
                        target.unlink()
                    raise
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """A new folder that becomes ``path``, every file in it fsynced, when the block ends well."""
    target = Path(path)
    check_output(target)
    temporary = _neighbor(target)
    with writing_errors(target):
        point("write", temporary)
        temporary.mkdir()
        identity = temporary.stat()
        try:
            yield temporary
            _sync_tree(temporary)
            _publish_folder(temporary, target)
            _sync_folder(target.parent)
            events.emit(
                "written",
                bytes=sum(p.stat().st_size for p in target.rglob("*")) if events.heard() else 0,
            )
        except BaseException:
            shutil.rmtree(target if _is(target, identity) else temporary, ignore_errors=True)
            raise


def publish_directory(temporary: Path, target: Path) -> None:
    """Sync all that is in the folder ``temporary``, and give it the name ``target``;
    OutputExists.
    """
    with writing_errors(target):
        _sync_tree(temporary)
        _publish_folder(temporary, target)
        _sync_folder(target.parent)


def remove_tree(folder: Path) -> None:
    """Remove ``folder`` and all that is in it: its name goes first, so that nobody finds half of
    it.
    """
    if not folder.exists():
        return
    aside = _neighbor(folder)
    point("rename", folder)
    os.rename(folder, aside)
    _sync_folder(folder.parent)
    point("remove", aside)
    shutil.rmtree(aside)


def replace_file(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write ``path`` aside, fsync, rename over what is there: a reader sees the old file or the new
    one.

    ``private``: mode 0600, for secrets.
    """
    with writing_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        tell_of_what_is_left(path)
        temporary = _neighbor(path)
        point("write", temporary)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                point("fsync", temporary)
                file.flush()
                os.fsync(file.fileno())
            if not private:
                umask = os.umask(0)
                os.umask(umask)
                os.chmod(temporary, 0o666 & ~umask)  # as any other file; temporary ones are private
            point("rename", path)
            os.replace(temporary, path)
            _sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_at(path: Path, place: int, content: bytes) -> None:
    """Write ``content`` at byte ``place`` of ``path``, durable when this returns; what is before
    and behind it stays. Writing the same again changes nothing.
    """
    with writing_errors(path):
        there = path.exists()
        point("write", path)
        handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o666)
        with os.fdopen(handle, "wb") as file:
            file.seek(place)
            file.write(content)
            point("fsync", path)
            file.flush()
            os.fsync(file.fileno())
        if not there:
            _sync_folder(path.parent)


def check_output(path: str | Path) -> None:
    """Refuse an output that exists, or whose folder does not, before any work is done for it.

    What earlier writers of it left aside is named, once, in a warning of the logger ``alteraser``.
    """
    target = Path(path)
    if os.path.lexists(target):
        _refuse_existing(target)
    if not target.parent.exists():
        raise NotFound(
            f"{target}: the folder {target.parent} does not exist. Make it first, or choose "
            "another output.",
            path=str(target),
        )
    if not target.parent.is_dir():
        raise InvalidInput(
            f"{target}: {target.parent} is not a folder. Choose another output.", path=str(target)
        )
    tell_of_what_is_left(target)


def small_file(path: str | Path, limit: int) -> bytes:
    """The content of a plain file of at most ``limit`` bytes; a pipe would block, a device never
    end.

    Raises NotFound, InvalidInput for what is no plain file or may not be read, ResourceLimit.
    """
    try:
        # a pipe that nobody writes to is opened without waiting for one, and then refused
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}; check the path", path=str(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"{path} cannot be read ({reason})", path=str(path)) from None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InvalidInput(f"{path} is not a plain file, and was not read", path=str(path))
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ResourceLimit(
            f"{path} is larger than {limit:,} bytes", path=str(path), code="body_too_large"
        )
    return content


def default_cache() -> Path:
    """Where this system keeps caches: ``$XDG_CACHE_HOME/alteraser`` or ``~/.cache/alteraser``, on a
    Mac without that variable ``~/Library/Caches/alteraser``.
    """
    from platformdirs import user_cache_path

    return user_cache_path("alteraser", appauthor=False)


def sha256_file(path: str | Path) -> str:
    """The sha-256 of a file's bytes, in hexadecimal."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist. Check the path.", path=str(path)) from None


@contextlib.contextmanager
def writing_errors(path: str | Path) -> Iterator[None]:
    """Translate the operating system's refusals to write ``path`` into this package's errors.

    An error that names a file elsewhere belongs to something that was read meanwhile, and passes
    unchanged.
    """
    target = Path(path)
    try:
        yield
    except OSError as error:
        if error.filename is not None and not _belongs(Path(os.fsdecode(error.filename)), target):
            raise
        if error.errno in _FULL:
            raise ResourceLimit(
                f"{target}: the disk or quota is full ({_free_space(target.parent)} free). "
                "Make room or choose another disk, then run again; nothing was left behind.",
                path=str(target),
            ) from error
        if error.errno in _FORBIDDEN:
            raise InvalidInput(
                f"{target}: writing is not permitted ({error.strerror}). "
                "Choose a folder that you may write to, or change its permissions.",
                path=str(target),
            ) from error
        if error.errno in _UNNAMEABLE:
            raise InvalidInput(
                f"{target}: a file cannot have this name ({error.strerror}). Choose another "
                "output.",
                path=str(target),
            ) from error
        raise


def _belongs(path: Path, target: Path) -> bool:
    return path in (target, target.parent) or any(".tmp-" in part for part in path.parts)


LEFT_BEHIND = re.compile(r"\.(?P<name>.{1,40})\.tmp-[0-9a-z_]{5,12}(?P<suffix>\.\w+)?", re.DOTALL)
"""Names of what this package writes aside; a run that is killed leaves it there."""

_told: set[Path] = set()


def left_behind(target: Path) -> list[Path]:
    """What earlier writers of ``target`` left aside: runs that were killed, or that are still
    writing.

    >>> left_behind(Path("no-such-folder/model"))
    []
    """
    try:
        names = os.listdir(target.parent)
    except OSError:
        return []
    matches = ((name, LEFT_BEHIND.fullmatch(name)) for name in sorted(names))
    return [
        target.with_name(name)
        for name, match in matches
        if match and match["name"] == target.name[:40]
    ]


def tell_of_what_is_left(target: Path) -> None:
    """Name what ``left_behind`` finds in warnings of the logger ``alteraser``, each once in a
    process.
    """
    for path in left_behind(target):
        if path not in _told:
            _told.add(path)
            logging.getLogger("alteraser").warning(
                "%s was left by a run that was killed; delete it, unless another run is writing "
                "it now",
                path,
            )


def _neighbor(target: Path) -> Path:
    return target.with_name(f".{target.name[:40]}.tmp-{secrets.token_hex(6)}")


def _publish_file(temporary: Path, target: Path) -> None:
    try:
        point("link", target)
        os.link(temporary, target)
        return
    except FileExistsError:
        _refuse_existing(target)
    except OSError as error:
        if error.errno in _FULL:
            raise
    try:
        claim = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        _refuse_existing(target)
    try:
        os.replace(temporary, target)
    except BaseException:
        if _is(target, os.fstat(claim)):
            target.unlink()
        raise
    finally:
        os.close(claim)


def _publish_folder(temporary: Path, target: Path) -> None:
    if os.path.lexists(target):
        _refuse_existing(target)
    try:
        point("rename", target)
        os.rename(temporary, target)
    except OSError as error:
        if error.errno in _TAKEN:
            _refuse_existing(target)
        raise


def _refuse_existing(target: Path) -> NoReturn:
    raise OutputExists(
        f"{target} exists already, and nothing is ever overwritten. Choose another output or "
        "remove it first.",
        path=str(target),
    )


def _is(path: Path, identity: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), identity)
    except OSError:
        return False


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                with open(path, "rb+") as file:
                    point("fsync", path)
                    os.fsync(file.fileno())
        _sync_folder(Path(parent))


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        point("fsync", folder)
        os.fsync(descriptor)
    except OSError as error:
        # file systems that cannot sync a folder
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _free_space(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free / 2**20:,.0f} MiB"
    except OSError:
        return "unknown space"
