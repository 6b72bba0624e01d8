"""A command given again after it was killed: what a kill between two outputs leaves, and how it
goes on from there.

``forget`` writes the remaining data first and the model last, ``compact`` the maps first, each
whole or not at all. A kill between the two leaves the first without the second; the same command
then finds what it would write itself, and goes on.

Whether a first output was left by a kill or is of a run that is still at work cannot be told. So
who goes on puts a file of their own in its place, with the same bytes, and who fails takes back
only what still is the very file that they wrote (``Mine``): of two that do the same at once, one
has both outputs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alteraser.errors import OutputExists


def check_outputs(
    out: Path | None, remaining: Path | None, *, scrub: bool = False, report: Path | None = None
) -> None:
    """Refuse outputs that exist, but for ``remaining`` where ``out`` is missing: ``written`` looks
    what that is.

    With ``scrub``, or a ``report`` that is not there, the refusal of ``out`` says how what comes
    after it is finished.
    """
    from alteraser.data.files import check_output

    if out is not None:
        try:
            check_output(out)
        except OutputExists as cause:
            later = [
                name
                for name, given in (
                    ("--scrub", scrub),
                    ("--report", report and not report.exists()),
                )
                if given
            ]
            if not later:
                raise
            words = (
                f" If the run that wrote it was killed before its {' and '.join(later)}, "
                "remove it and run again"
            )
            if scrub:
                words += (
                    "; --users-map is rewritten last, so where that lacks the erased ids all "
                    "was scrubbed"
                )
            raise OutputExists(f"{cause.message}{words}.", path=str(out)) from None
    if remaining is not None:
        check_before(out, remaining)


def check_before(out: Path | None, first: Path) -> None:
    """Refuse ``first``, which is written before ``out``, where it exists and was not left by a run
    that was killed.
    """
    from alteraser.data.files import check_output, tell_of_what_is_left

    if is_left_over(out, first):
        tell_of_what_is_left(first)
    else:
        check_output(first)


def is_left_over(out: Path | None, first: Path) -> bool:
    """Whether ``first`` may be what a run left that was killed before it wrote ``out``."""
    return (
        out is not None and first.is_file() and not first.is_symlink() and not os.path.lexists(out)
    )


@dataclass(frozen=True)
class Mine:
    """An output that this run wrote, a file or a folder."""

    path: Path
    identity: tuple[int, int]

    @classmethod
    def of(cls, path: Path) -> Mine:
        """What is there now."""
        return cls(path, _identity(path))

    def take_back(self) -> None:
        """Remove it, unless it is another's by now."""
        try:
            if _identity(self.path) != self.identity:
                return
        except FileNotFoundError:
            return
        if self.path.is_dir():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def check_same(write: Callable[[Path], None], output: Path) -> None:
    """Put what ``write`` writes in the place of ``output``, which holds the same; OutputExists
    if it holds other bytes.
    """
    import tempfile

    from alteraser.data.files import writing_errors

    with (
        writing_errors(output),
        tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name[:40]}.tmp-") as aside,
    ):
        again = Path(aside, output.name)
        write(again)
        if _same(again, output):
            with suppress(FileNotFoundError):  # taken back by who failed meanwhile
                shutil.copystat(output, again)
            os.replace(again, output)
            return
    raise OutputExists(
        f"{output} exists already and is not what this command writes there, and nothing is ever "
        "overwritten. Choose another output or remove it first.",
        path=str(output),
    )


def _same(again: Path, output: Path) -> bool:
    """Whether the bytes are the same, or there are none any more."""
    import filecmp

    try:
        return filecmp.cmp(again, output, shallow=False)
    except FileNotFoundError:
        return True


def written(write: Callable[[Path], None], output: Path) -> bool:
    """``write`` to ``output``, where that is missing; False if what is there is the very same
    already.
    """
    if output.exists():
        check_same(write, output)
        return False
    write(output)
    return True


def table(rows: Callable[[], Any]) -> Callable[[Path], None]:
    """Writes the table ``rows()`` in the format of the file's extension."""

    def write(path: Path) -> None:
        from alteraser.data.readers import write_rows

        write_rows(rows(), path)

    return write
