"""alteraser verify"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alteraser.cli import common
from alteraser.errors import NumericFailure

if TYPE_CHECKING:
    from alteraser.verification import Verification


def verify(
    model: common.ModelArgument,
    data: Annotated[Path, typer.Option("--data", help="The remaining data: all that the model may stand for.")],
    before: Annotated[
        Path | None,
        typer.Option("--before", help="The original model: also measure what is left of it.", show_default=False),
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Train again from the recorded seed and compare the bytes.")
    ] = False,
    prove_up_to: Annotated[
        int, typer.Option("--prove-up-to", min=0, help="Numbers in the model up to which the curvature is proved, "
                          "not estimated; memory grows with the square.")
    ] = 6000,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> int:  # fmt: skip
    """Recompute how far MODEL is from an optimum for the remaining data, and say which class that is.

    Uses nothing of the run that made MODEL. Class A: the same bytes come from training without the data that are
    gone. B: a bound, proved. C: measured. D: not forgotten, exit code 8.

    Example: alteraser verify model-2 --data remaining.csv --before model
    """
    from alteraser.readers import ReadingOptions
    from alteraser.verification import verify as verify_model

    screen = common.Screen(json, quiet)
    with screen.phase("read", "reading"):
        loaded = common.load_model(model)
        original = None if before is None else common.load_model(before)
        reading = loaded.reading or ReadingOptions()
        interactions = common.read_as(reading, data, users=loaded.users, items=loaded.items)
    with screen.phase("solve", "measuring"):
        found = verify_model(
            loaded, interactions, before=original, replay=replay, prove_up_to=prove_up_to, threads=threads
        )
    _report(screen, found, model)
    return 0 if found.certificate.passed else NumericFailure.exit_code


def _report(screen: common.Screen, found: Verification, model: Path) -> None:
    certificate = found.certificate
    document = {
        "model": str(model), "digest": found.model, "data_digest": found.data, "before": found.before,
        "descends": found.descends, **certificate.to_document(), "seconds": screen.timing(),
    }  # fmt: skip
    rows = [("model", str(model)), ("class", f"{certificate.kind}: {certificate.name}"), ("", certificate.sentence)]
    for check in certificate.checks:
        sign = "ok" if check.passed else "FAILS"
        limit = f"> {check.limit:g}" if check.name == "curvature" else f"<= {check.limit:g}"
        rows.append((check.name, f"{check.value:.2g}  ({limit}: {sign}) {check.meaning}"))
    if certificate.why_not_proved is not None:
        rows.append(("no proof", certificate.why_not_proved))
    if found.descends is False:
        rows.append(("note", "the model does not name --before as the model it was made from"))
    screen.result(document, rows)
