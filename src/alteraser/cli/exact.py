"""What ``train`` does with kinds that forget exactly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alteraser.cli import inputs
from alteraser.cli.screen import Screen, seconds_text, unrated_rows
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions
    from alteraser.models.closed_form.model import ExactModel
    from alteraser.models.protocol import Recommender


def train(
    screen: Screen,
    kind: str,
    data: Path,
    out: Path,
    reading: ReadingOptions,
    given: dict[str, Any],
    threads: int,
) -> int:
    """Count ``data``; ``given`` are the settings of the kind that the command line gives."""
    from alteraser.data.interactions import Interactions
    from alteraser.models.registry import KINDS

    with inputs.options_named():
        settings = KINDS[kind](**given)
    settings.check_reading(reading)
    asked, reading = reading, settings.reading_of(reading)
    with screen.phase("read", f"reading {data}"):
        names = inputs.names_given(asked, reading)
        interactions = Interactions.read(data, reading, option_names=names)
    if len(interactions) == 0:
        above = (
            ""
            if reading.threshold is None
            else f" at or above the threshold of {reading.threshold:g}"
        )
        raise InvalidInput(f"{data} holds no interactions{above}; there is nothing to train on")
    with screen.phase("solve", settings.doing):
        model = settings.fit(interactions, reading=reading, threads=threads)
    with screen.phase("write", f"writing {out}"):
        saved = model.save(out)
    seconds, trained = screen.timing(), saved.trained_on
    screen.result(
        {
            "model": str(out),
            "digest": saved.digest,
            "kind": kind,
            "method": "train",
            "seconds": seconds,
            "interactions": trained.interactions,
            "rows_without_rating": interactions.unrated,
            "users": trained.users,
            "items": trained.items,
            "hyper_parameters": model.settings.model_dump(),
            "notes": model.settings.notes(interactions),
        },
        [
            ("model", f"{out}: {kind}, {settings.summary}"),
            (
                "interactions",
                f"{trained.interactions:,} of {trained.users:,} users and {trained.items:,} items",
            ),
            *unrated_rows(interactions),
            *([("settings", settings_text(saved))] if KINDS[kind].model_fields else []),
            ("forgets", "exactly: class A, what training on the rest gives"),
            *(("note", note) for note in model.settings.notes(interactions)),
            ("time", seconds_text(seconds)),
        ],
    )
    return 0


def told(model: ExactModel) -> dict[str, float]:
    """What its kind tells of the state, for a document; see ``ExactKind.told``."""
    return model.settings.told(model.state)


def told_rows(model: ExactModel) -> list[tuple[str, str]]:
    """The same for people."""
    found = told(model)
    text = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in found.items())
    return [("state", text)] if found else []


def settings_text(model: Recommender) -> str:
    """``similarity cosine, neighbors 20``"""
    settings = getattr(model, "settings", None)
    return (
        ""
        if settings is None
        else ", ".join(f"{name} {value}" for name, value in settings.model_dump().items())
    )
