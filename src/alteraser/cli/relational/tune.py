"""Tuning a linear kind from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alteraser.cli import inputs
from alteraser.cli.beside import COMPOSITE, Beside
from alteraser.cli.relational.train import several
from alteraser.cli.screen import Screen, seconds_text
from alteraser.models.registry import LINEAR

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions


def tune(
    screen: Screen,
    kind: str,
    values: Mapping[str, list[Any]],
    data: Path,
    reading: ReadingOptions,
    *,
    beside: Beside,
    context: str | None,
    validation: float,
    seed: int,
    threads: int,
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """(what came of it as a document, the same as rows)."""
    from alteraser.data.interactions import Interactions
    from alteraser.models.closed_form.rule import check_plain
    from alteraser.verbs.tune.linear import METRIC, paths_of, tune_linear, words

    check_plain(reading, kind)
    base: Any
    source: Any
    if kind == COMPOSITE:
        base, source, reading = several(screen, data, reading, {}, beside, context)
    else:
        base = LINEAR[kind]()
        with screen.phase("read", f"reading {data}"):
            source = Interactions.read(data, reading)
    with inputs.options_named():
        paths = paths_of(base.changed({"seed": seed}), values, source)
    with screen.steps("solve", "tuning"):
        tuned = tune_linear(paths, source, validation=validation, seed=seed, threads=threads)
    document = {
        "kind": kind,
        "metric": METRIC,
        "chosen": tuned.chosen.to_document(),
        "trials": [trial.to_document() for trial in tuned.trials],
    }
    rows = [
        (METRIC.upper(), "settings"),
        *((f"{trial.metrics[METRIC]:.4f}", words(trial.settings)) for trial in tuned.trials[:10]),
        ("train with", f"--model {kind} {words(tuned.chosen.settings)}"),
        ("time", seconds_text(screen.timing())),
    ]
    return document, rows
