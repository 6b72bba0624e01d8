"""A command given again after it was killed: what a kill between two outputs leaves, and how it goes on from there.

``forget`` writes the remaining data first and the model last, each whole or not at all. A kill between the two leaves
the first without the second; the same command then finds what it would write itself, and goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alteraser.errors import OutputExists


def check_outputs(out: Path | None, remaining: Path | None, *, scrub: bool = False) -> None:
    """Refuse outputs that exist, but for ``remaining`` where ``out`` is missing: ``written`` looks what that is.

    With ``scrub`` the refusal of ``out`` says how a scrub that was cut short is finished.
    """
    from alteraser.files import check_output, tell_of_what_is_left

    if out is not None:
        try:
            check_output(out)
        except OutputExists as cause:
            if not scrub:
                raise
            raise OutputExists(
                f"{cause.message} If the run that wrote it was killed before its --scrub was done, remove it and run "
                "again; --users-map is rewritten last, so where that lacks the erased ids all was done."
            ) from None
    if remaining is not None and is_left_over(out, remaining):
        tell_of_what_is_left(remaining)
    elif remaining is not None:
        check_output(remaining)


def is_left_over(out: Path | None, remaining: Path | None) -> bool:
    """Whether ``remaining`` may be what a run left that was killed before it wrote ``out``."""
    return (
        remaining is not None
        and out is not None
        and remaining.is_file()
        and not remaining.is_symlink()
        and not os.path.lexists(out)
    )


def check_same(rows: Callable[[], Any], remaining: Path) -> None:
    """OutputExists if ``remaining`` holds other bytes than the table ``rows()`` written there would."""
    import filecmp
    import tempfile

    from alteraser.files import writing_errors
    from alteraser.readers import write_rows

    with (
        writing_errors(remaining),
        tempfile.TemporaryDirectory(dir=remaining.parent, prefix=f".{remaining.name[:40]}.tmp-") as aside,
    ):
        again = Path(aside, remaining.name)
        write_rows(rows(), again)
        if filecmp.cmp(again, remaining, shallow=False):
            return
    raise OutputExists(
        f"{remaining} exists already and is not what this command writes there, and nothing is ever overwritten. "
        "Choose another output or remove it first.",
        path=str(remaining),
    )


def written(rows: Callable[[], Any], remaining: Path) -> bool:
    """Write ``rows()`` to ``remaining``, where that is missing; False if what is there is the very same already."""
    from alteraser.readers import write_rows

    if remaining.exists():
        check_same(rows, remaining)
        return False
    write_rows(rows(), remaining)
    return True
