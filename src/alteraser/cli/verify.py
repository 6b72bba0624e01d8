"""alteraser verify"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.cli import common, foreign_options, inputs
from alteraser.cli.beside import Beside
from alteraser.cli.examining import VerifyRequest
from alteraser.cli.options import grouped
from alteraser.cli.screen import Screen
from alteraser.cli.subjects import lying
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
    asked = VerifyRequest(
        Screen(json, quiet),
        model,
        data,
        before,
        forgotten,
        unrelated,
        replay,
        tolerance,
        prove_up_to,
        theirs,
        beside,
        threads,
    )
    answered: int = lying(model, theirs).answering("verify")(asked)
    return answered


def ours(asked: VerifyRequest) -> int:
    """For a model of ours that knows interactions alone."""
    from alteraser.data.readers import ReadingOptions

    asked.check_pair()
    asked.check_ours()
    asked.beside.refuse("is for models of kind linear: this one knows DATA alone")
    with asked.screen.phase("read", "reading"):
        loaded = inputs.load_model(asked.model)
        original = None if asked.before is None else inputs.load_model(asked.before)
        reading = loaded.reading or ReadingOptions()
        remaining = inputs.read_as(reading, asked.data, users=loaded.users, items=loaded.items)
        gone = (
            None
            if original is None or asked.forgotten is None
            else _forgotten(asked.forgotten, reading, original)
        )
    return measured(asked, loaded, original, remaining, gone)


def measured(asked: VerifyRequest, loaded: Any, original: Any, remaining: Any, gone: Any) -> int:
    """Measure what was read, and say it."""
    from alteraser.verbs.verify import verify as verify_model

    with asked.screen.steps("solve", "measuring"):
        found = verify_model(
            loaded,
            remaining,
            before=original,
            forgotten=gone,
            unrelated=asked.unrelated,
            folder=asked.model,
            replay=asked.replay or None,
            prove_up_to=asked.prove_up_to,
            threads=asked.threads,
        )
    _report(asked.screen, found, asked.model)
    return 0 if found.certificate.passed else NumericFailure.exit_code


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
