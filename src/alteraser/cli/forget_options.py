"""What the command line asks ``forget`` for, as typed groups of options, and what can be told wrong
before any work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from alteraser.cli import again, common, completion, foreign_options, page, selecting
from alteraser.cli.beside import Beside
from alteraser.errors import InvalidInput


@dataclass(frozen=True)
class How:
    """By which method, and when it is enough."""

    method: Annotated[
        str,
        typer.Option(
            "--method",
            autocompletion=completion.METHOD,
            help="auto: converge for a model at rest, else replay or local. "
            "Also retrain, warm-start, retrain-adamw, influence, global-newton; "
            "alteraser is converge.",
        ),
    ] = "auto"
    solver: Annotated[
        str | None,
        typer.Option(
            "--solver",
            autocompletion=completion.SOLVER,
            help="joint (Newton on both sides), ah-newton (exact rows), cg, "
            "…; for warm-start and retrain-adamw: adamw, adam or sgd.",
            show_default="joint",
        ),
    ] = None
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            help="Share of the deletion's push that may stay (local: of what it changed; what "
            "training left stays).",
            show_default="1e-3",
        ),
    ] = None
    max_passes: Annotated[
        int | None,
        typer.Option("--max-passes", min=1, help="Cap on passes.", show_default="the method's"),
    ] = None
    memory: Annotated[
        int | None,
        typer.Option(
            "--memory",
            min=0,
            help="Passes that acceleration combines; 0 for plain ones.",
            show_default="6",
        ),
    ] = None
    confirm: common.Confirm = False
    stop_at_tolerance: Annotated[
        bool,
        typer.Option(
            "--stop-at-tolerance", help="Do not go on until the model is measured to be class C."
        ),
    ] = False
    accept: Annotated[
        str | None,
        typer.Option(
            "--accept",
            metavar="d",
            help="d: end with 0 also where the level that was asked for, "
            "or the default one, is not reached; the class stays as it is.",
            show_default=False,
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            min=0,
            help="Seed of a retrain's random start, or of mini-batches.",
            show_default="1",
        ),
    ] = None


@dataclass(frozen=True)
class Outputs:
    """What is written beside the model."""

    remaining: Annotated[
        Path | None,
        typer.Option(
            "--remaining",
            help="Write the remaining data here, every column kept.",
            show_default=False,
        ),
    ] = None
    report: page.Report = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be forgotten; write nothing.")
    ] = False


@dataclass(frozen=True)
class ForgetRequest:
    """All of it."""

    model: Path
    data: Path
    forget_set: Path | None
    out: Path | None
    how: How
    wanted: selecting.Wanted
    outputs: Outputs
    theirs: foreign_options.Reading
    care: foreign_options.Care
    talk: common.Talk
    beside: Beside = field(default_factory=Beside)

    @property
    def written(self) -> list[Path]:
        """The new model, and the remaining data."""
        return [path for path in (self.out, self.outputs.remaining) if path is not None]

    def check(self) -> None:
        """Raise InvalidInput or OutputExists for what nobody has to read anything to refuse."""
        from alteraser.data.erased import check_beside

        out, remaining = self.out, self.outputs.remaining
        selecting.check(self.forget_set, self.wanted)
        if self.how.accept not in (None, "d"):
            raise InvalidInput(
                f"--accept {self.how.accept}: there is d, for a class D that is to end with exit "
                "code 0"
            )
        if out is None and not self.outputs.dry_run:
            raise InvalidInput(
                "--out is missing: name the new model directory, or ask for a --dry-run"
            )
        if len({path.absolute() for path in self.written}) < len(self.written):
            raise InvalidInput("--out and --remaining name the same path")
        again.check_outputs(out, remaining, scrub=self.care.scrub, report=self.outputs.report)
        for path in self.written:
            _check_outside(path, self.model)
        if out is not None:
            check_beside(out)
        if remaining is not None and not self.wanted.of_other:
            _check_remaining(remaining, self.data)
        if self.outputs.report is not None:
            self._check_report(self.outputs.report)

    def _check_report(self, report: Path) -> None:
        from alteraser.data.files import check_output

        if self.outputs.dry_run:
            raise InvalidInput("--report is about what was done: it does not go with --dry-run")
        if report.absolute() in {path.absolute() for path in self.written}:
            raise InvalidInput("--report names the path of another output")
        check_output(report)
        _check_outside(report, self.model)


def _check_outside(output: Path, model: Path) -> None:
    """Refuse an output inside the folder of MODEL, which is never changed."""
    if model.is_dir() and model.resolve() in output.resolve().parents:
        raise InvalidInput(
            f"{output} is inside {model}, which stays as it is. Choose an output elsewhere."
        )


def _check_remaining(remaining: Path, data: Path) -> None:
    """Refuse before the work what could only be refused after it."""
    from alteraser.data.readers import writer_for

    try:
        writer_for(remaining)
    except InvalidInput as cause:
        raise InvalidInput(f"--remaining {cause.message}", **cause.details) from cause
    table = data / "interactions.parquet"
    table = table if table.exists() else data  # all of a folder is its table, but for that
    if table.is_dir() and table.resolve() in remaining.resolve().parents:
        raise InvalidInput(
            f"--remaining {remaining}: inside {data} it would become a part of the data; put it "
            "elsewhere"
        )
