"""alteraser forget"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alteraser.cli import (
    answer,
    common,
    foreign_options,
    forget_options,
    selecting,
)
from alteraser.cli.again import Mine
from alteraser.cli.beside import Beside
from alteraser.cli.options import grouped
from alteraser.cli.screen import Screen
from alteraser.cli.subjects import lying
from alteraser.errors import AltEraserError

if TYPE_CHECKING:
    from alteraser.cli.subject import Subject
    from alteraser.data.deletion import Deletion
    from alteraser.data.sheet import Sheet


@grouped
def forget(
    model: common.ModelArgument,
    data: Annotated[
        Path, typer.Option("--data", help="The data as trained on, or already without FORGET.")
    ],
    forget_set: selecting.ForgetArgument = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The new model directory.", show_default=False)
    ] = None,
    *,
    how: forget_options.How,
    wanted: selecting.Wanted,
    outputs: forget_options.Outputs,
    theirs: foreign_options.Reading,
    care: foreign_options.Care,
    beside: Beside,
    talk: common.Talk,
) -> int:
    """Make MODEL forget FORGET and write the result as a new model.

    MODEL and DATA are never changed. Rows of FORGET that match nothing are counted and listed.
    MODEL may also be another library's file: it is told by its content, checked against DATA, and
    comes back as the same kind of file.

    MovieLens-1M takes 8 s of processor time, an ALS model of implicit 5 to 7, a --dry-run 3.

    Example: alteraser forget model forget.csv --data ratings.csv --out model-2

    Example: alteraser forget als.npz forget.csv --data plays.parquet --rating plays --rows-are-ids
    --out als-2.npz
    """
    asked = forget_options.ForgetRequest(
        model, data, forget_set, out, how, wanted, outputs, theirs, care, talk, beside
    )
    asked.check()
    screen = Screen(talk.json, talk.quiet, page=outputs.report)
    subject: Subject = lying(model, theirs).answering("forget")(asked, screen)
    subject.check_asked()
    subject.check()
    with screen.phase("read", "reading"):
        subject.open()
        selection = subject.selection()
        subject.check_ids(selection)
        sheet = subject.sheet(every_column=outputs.remaining is not None and not outputs.dry_run)
        found = subject.match(selection, sheet)
    if outputs.dry_run:
        return answer.dry_run(screen, asked, found, subject.plan(found))
    assert out is not None
    own = _write_remaining(asked, subject, sheet, found)
    del sheet  # before the work
    with _taken_back_without_model(own, out):
        erasure = subject.forget(found)
        with screen.phase("write", "writing"):
            saved = subject.save(erasure, out)
    return answer.answer(screen, asked, subject, erasure, saved)


def _write_remaining(
    asked: forget_options.ForgetRequest, subject: Subject, sheet: Sheet, found: Deletion
) -> Mine | None:
    """Write the remaining data, where they are asked for; None unless this command did."""
    remaining = asked.outputs.remaining
    if remaining is None:
        return None
    with subject.screen.phase("write", "writing"):
        own = subject.write_remaining(sheet, found, remaining)
    return Mine.of(remaining) if own else None


@contextmanager
def _taken_back_without_model(remaining: Mine | None, out: Path) -> Iterator[None]:
    """Both outputs or neither: ``remaining`` goes again if what follows leaves no model at
    ``out``.
    """
    try:
        yield
    except BaseException as cause:
        # with an error of ours, the model that is there is another's
        if remaining is not None and (isinstance(cause, AltEraserError) or not out.exists()):
            remaining.take_back()
        raise
