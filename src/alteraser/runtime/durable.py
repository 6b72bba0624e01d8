"""Every operation that outlives the process goes through ``point``, so that a test can end the
process, or fail, at it.

    point("fsync", path)
        told before a file or folder is synced, renamed, linked or removed, or a commit

Nothing is done where nobody watches. With ``watched`` a test is told of each operation in turn and
may raise, or kill the process: what is found afterwards is what a crash at that place leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Watcher = Callable[[str, Any], None]
"""Called with what is about to be done and where"""

_watcher: Watcher | None = None


def point(operation: str, place: Any) -> None:
    """``operation`` (write, fsync, rename, link, remove, commit) is about to be done at
    ``place``.
    """
    if _watcher is not None:
        _watcher(operation, place)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Tell ``watcher`` of every operation of this process while the block runs.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from alteraser.data.files import replace_file
    >>> seen = []
    >>> note = lambda operation, place: seen.append(operation)
    >>> with TemporaryDirectory() as folder, watched(note):
    ...     replace_file(Path(folder, "a"), b"1")
    >>> seen
    ['write', 'fsync', 'rename', 'fsync']
    """
    global _watcher
    before, _watcher = _watcher, watcher
    try:
        yield
    finally:
        _watcher = before
