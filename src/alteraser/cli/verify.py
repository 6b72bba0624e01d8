"""alteraser verify"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.cli import common, foreign_options, inputs, item_tables
from alteraser.cli.beside import COMPOSITE, Beside
from alteraser.cli.options import grouped
from alteraser.cli.screen import Screen
from alteraser.errors import AltEraserError, InvalidInput, NumericFailure

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions
    from alteraser.models.protocol import Recommender
    from alteraser.verbs.verify import Verification


@grouped
def verify(
    model: common.ModelArgument,
    data: Annotated[
        Path, typer.Option("--data", help="The remaining data: all that the model may stand for.")
    ],
    before: Annotated[
        Path | None,
        typer.Option(
            "--before",
            help="The original model: also measure what is left of it.",
            show_default=False,
        ),
    ] = None,
    forgotten: Annotated[
        Path | None,
        typer.Option(
            "--forgotten",
            help="What was forgotten, user_id and item_id (and the confidence or target, where "
            "the data have one), or all of the data as trained on: needed for class L.",
            show_default=False,
        ),
    ] = None,
    unrelated: Annotated[
        bool,
        typer.Option(
            "--unrelated", help="--before need not be a model that MODEL says it comes from."
        ),
    ] = False,
    replay: Annotated[
        bool,
        typer.Option(
            "--replay",
            help="Train again from the recorded seed and compare the bytes; a model that "
            "was made by a replay is always checked so.",
        ),
    ] = False,
    prove_up_to: Annotated[
        int,
        typer.Option(
            "--prove-up-to",
            min=0,
            help="Numbers in the model up to which the curvature is proved, "
            "not estimated; memory grows with the square.",
        ),
    ] = 6000,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            help="Anchored residual that class L allows; of models of other libraries.",
            rich_help_panel=foreign_options.PANEL,
            show_default="0.3",
        ),
    ] = None,
    *,
    theirs: foreign_options.Reading,
    beside: Beside,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> int:
    """Recompute how far MODEL is from an optimum for the remaining data, and say which class that
    is.

    Uses nothing of the run that made MODEL. Class A: the same bytes come from training without the
    data that are gone. B: a bound, proved. C: measured. L: of a model that is not at rest, the
    deletion's effect and nothing else (needs --before and --forgotten). D: not forgotten, exit code
    8.

    Looks at the whole folder: what the remaining data do not explain, such as a further file, is
    class D.

    MovieLens-1M takes 6 s of processor time; an ALS model of implicit 4 s where its training is
    repeated, else 34.

    Example: alteraser verify model-2 --data remaining.csv --before model

    Example: alteraser verify als-2.npz --data rest.csv --rows-are-ids --before als.npz --forgotten
    gone.csv
    """
    from alteraser.models.folder import kind_at
    from alteraser.verbs.verify import verify as verify_model

    if forgotten is not None and before is None and kind_at(model) != COMPOSITE:
        raise InvalidInput(
            "--forgotten says what --before was trained on: give the original model as well"
        )
    screen = Screen(json, quiet)
    table = item_tables.recognized(model, theirs.format)
    if table is not None:
        foreign_options.refuse(
            {"unrelated": unrelated, "replay": replay, "tolerance": tolerance},
            f"means nothing to {model}, a table",
        )
        return item_tables.verify(screen, table, model, data, before, theirs)
    if foreign_options.is_foreign(model, theirs):
        foreign_options.refuse(
            {"unrelated": unrelated}, "is for models of AltEraser, which name what they come from"
        )
        foreign_options.refuse(
            {"replay": replay},
            "is not needed: a training that the file tells of is always repeated",
        )
        from alteraser.cli import foreign

        return foreign.verify(
            screen, model, data, before, forgotten, theirs, tolerance=tolerance, threads=threads
        )
    foreign_options.refuse(
        theirs.given | {"tolerance": tolerance},
        "is for models of other libraries: how its data are read, and how far it went, is kept in "
        "the model",
    )
    loaded, original, remaining, gone = _read(
        screen, model, data, before, forgotten, beside, replay
    )
    with screen.steps("solve", "measuring"):
        found = verify_model(
            loaded,
            remaining,
            before=original,
            forgotten=gone,
            unrelated=unrelated,
            folder=model,
            replay=replay or None,
            prove_up_to=prove_up_to,
            threads=threads,
        )
    _report(screen, found, model)
    return 0 if found.certificate.passed else NumericFailure.exit_code


def _read(
    screen: Screen,
    model: Path,
    data: Path,
    before: Path | None,
    forgotten: Path | None,
    beside: Beside,
    replay: bool,
) -> tuple[Any, Any, Any, Any]:
    """(the model, the one from before, the remaining data, what was forgotten), as its kind reads
    them.
    """
    from alteraser.data.readers import ReadingOptions
    from alteraser.models.folder import kind_at

    if kind_at(model) == COMPOSITE:
        from alteraser.cli.relational import sources

        foreign_options.refuse(
            {"replay": replay or None},
            "means nothing to a model of kind linear, which is measured at its optimum",
        )
        foreign_options.refuse(
            {"forgotten": forgotten},
            "means nothing to a model of kind linear, whose DATA and files say what is left: give "
            "--before alone to measure what is left of the original",
        )
        with screen.phase("read", "reading"):
            loaded: Any = sources.load(model)
            original: Any = None if before is None else sources.load(before)
            return loaded, original, sources.read(loaded, data, beside), None
    beside.refuse("is for models of kind linear: this one knows DATA alone")
    with screen.phase("read", "reading"):
        loaded = inputs.load_model(model)
        original = None if before is None else inputs.load_model(before)
        reading = loaded.reading or ReadingOptions()
        remaining = inputs.read_as(reading, data, users=loaded.users, items=loaded.items)
        known = original is not None and forgotten is not None
        gone = _forgotten(forgotten, reading, original) if known else None  # type: ignore[arg-type]
    return loaded, original, remaining, gone


def _forgotten(path: Path, reading: ReadingOptions, original: Recommender) -> Any:
    """The pairs of FORGET, or its interactions where the data are more than pairs."""
    from alteraser.data.interactions import Interactions

    if reading.confidence is None and reading.target is None:
        if reading.threshold is not None:  # rows below it were never in the data
            with contextlib.suppress(AltEraserError):
                return Interactions.read(path, reading, users=original.users, items=original.items)
        wanted = inputs.read_forget(path, reading, whole_users=False)
        if wanted.whole_users:
            raise InvalidInput(
                f"--forgotten {path}: a list of users does not say which interactions they had; "
                "give a table with user_id and item_id, or the data as trained on"
            )
        inputs.check_ids(path, wanted, original.users, original.items)
        return inputs.forget_columns(wanted)
    try:
        return Interactions.read(path, reading, users=original.users, items=original.items)
    except InvalidInput as cause:
        raise InvalidInput(
            f"--forgotten {path}: the data have confidences or targets, so what was forgotten "
            f"must be read the same way ({cause}); give these columns too, or the data as trained "
            "on"
        ) from cause


def _report(screen: Screen, found: Verification, model: Path) -> None:
    certificate = found.certificate
    document = {
        "model": str(model),
        "digest": found.model,
        "data_digest": found.data,
        "before": found.before,
        "descends": found.descends,
        **certificate.to_document(),
        "seconds": screen.timing(),
    }
    rows = [
        ("model", str(model)),
        ("class", f"{certificate.kind}: {certificate.name}"),
        ("", certificate.sentence),
    ]
    for check in certificate.checks:
        sign = "ok" if check.passed else "FAILS"
        limit = f"> {check.limit:g}" if check.name == "curvature" else f"<= {check.limit:g}"
        rows.append((check.name, f"{check.value:.2g}  ({limit}: {sign}) {check.meaning}"))
    if certificate.why_not_proved is not None:
        rows.append(("no proof", certificate.why_not_proved))
    if found.descends is False:
        rows.append(("note", "--before is none of the models that this one says it comes from"))
    screen.result(document, rows)
