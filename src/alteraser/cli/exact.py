"""What ``train``, ``forget`` and ``verify`` do with kinds that forget exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alteraser.cli import aftermath, common, selecting
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import ReadingOptions
    from alteraser.models.closed_form.model import ExactModel
    from alteraser.models.protocol import Recommender
    from alteraser.verbs.forget_exactly import ExactErasure


def is_exact(path: Path) -> bool:
    """Whether ``path`` is a folder of ours that holds an exact kind; told by its manifest, which is checked later."""
    from alteraser.models.registry import KINDS

    return _kind(path) in KINDS


def _kind(path: Path) -> str:
    try:
        return str(json.loads((path / "model.json").read_text(encoding="utf-8"))["kind"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def train(
    screen: common.Screen, kind: str, data: Path, out: Path, reading: ReadingOptions, given: dict[str, Any],
    threads: int,
) -> int:  # fmt: skip
    """Count ``data``; ``given`` are the settings of the kind that the command line gives."""
    from alteraser.data.interactions import Interactions
    from alteraser.models.registry import KINDS

    with common.options_named():
        settings = KINDS[kind](**given)
    settings.check_reading(reading)
    with screen.phase("read", f"reading {data}"):
        interactions = Interactions.read(data, reading)
    if len(interactions) == 0:
        above = "" if reading.threshold is None else f" at or above the threshold of {reading.threshold:g}"
        raise InvalidInput(f"{data} holds no interactions{above}; there is nothing to train on")
    with screen.phase("solve", "counting"):
        model = settings.fit(interactions, reading=reading, threads=threads)
    with screen.phase("write", f"writing {out}"):
        saved = model.save(out)
    seconds, trained = screen.timing(), saved.trained_on
    screen.result(
        {
            "model": str(out), "digest": saved.digest, "kind": kind, "method": "train", "seconds": seconds,
            "interactions": trained.interactions, "rows_without_rating": interactions.unrated,
            "users": trained.users, "items": trained.items, "hyper_parameters": model.settings.model_dump(),
            "notes": model.settings.notes(interactions),
        },
        [
            ("model", f"{out}: {kind}, {settings.summary}"),
            ("interactions", f"{trained.interactions:,} of {trained.users:,} users and {trained.items:,} items"),
            *common.unrated_rows(interactions),
            *([("settings", settings_text(saved))] if KINDS[kind].model_fields else []),
            ("forgets", "exactly: class A, what training on the rest gives"),
            *(("note", note) for note in model.settings.notes(interactions)),
            ("time", common.seconds_text(seconds)),
        ],
    )  # fmt: skip
    return 0


def report(
    screen: common.Screen, erasure: ExactErasure, saved: Recommender, out: Path, remaining: Path | None,
    data: Interactions, *, verbose: bool,
) -> int:  # fmt: skip
    """Say what came out; 0, as there is no level beyond."""
    from alteraser.cli.forget import added_rows

    seconds = screen.timing()
    document = {
        "model": str(out), "digest": saved.digest, "parent": saved.parent, "kind": saved.kind,
        "method": erasure.method, "method_asked": erasure.asked, "class": erasure.kind,
        "converged": erasure.converged, "residual": erasure.residual,
        **aftermath.document(erasure.lists, erasure.again), "seconds": seconds,
        "interactions_before": erasure.remaining.count + erasure.forgotten,
        **selecting.gone_document(erasure.missing),
        "interactions_forgotten": erasure.forgotten, "interactions_added": erasure.added,
        "users_added": erasure.joined[0], "items_added": erasure.joined[1],
        "interactions_readmitted": 0 if erasure.returned is None else len(erasure.returned),
        **selecting.document(erasure), "scrubbed": erasure.scrubbed.to_document(),
        "rows_without_rating": data.unrated, "remaining": None if remaining is None else str(remaining),
        "users": saved.trained_on.users, "items": saved.trained_on.items, "state": told(erasure.model),
    }  # fmt: skip
    rows = [
        ("model", f"{out}: {saved.kind}"),
        ("forgotten", f"{erasure.forgotten:,} interactions; {erasure.remaining.count:,} remain"),
        *selecting.gone_rows(erasure.missing),
        *added_rows(erasure),
        *selecting.rows(erasure, remaining, verbose=verbose),
        *common.unrated_rows(data),
        (
            "class",
            f"A: {erasure.model.settings.summary} as the remaining data give; verify looks by other code",
        ),
        *told_rows(erasure.model),
        *([("scrubbed", words)] if (words := erasure.scrubbed.words) else []),
        *aftermath.rows(erasure.lists, erasure.again),
        aftermath.time(seconds, None),
    ]
    screen.result(document, rows)
    return 0


def told(model: ExactModel) -> dict[str, float]:
    """What its kind tells of the state, for a document; see ``ExactKind.told``."""
    return model.settings.told(model.state)


def told_rows(model: ExactModel) -> list[tuple[str, str]]:
    """The same for people."""
    found = told(model)
    text = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in found.items())
    return [("state", text)] if found else []


def refuse(path: Path, method: str, given: dict[str, Any]) -> None:
    """InvalidInput for options of models with factors; ``path`` is a model that ``is_exact``."""
    from alteraser.verbs.forget_exactly import check_method

    kind = _kind(path)
    check_method(kind, method)
    for name, value in given.items():
        if value is not None and value is not False:
            raise InvalidInput(f"--{name.replace('_', '-')} means nothing to a model of kind {kind}")


def settings_text(model: Recommender) -> str:
    """``similarity cosine, neighbors 20``"""
    settings = getattr(model, "settings", None)
    return "" if settings is None else ", ".join(f"{name} {value}" for name, value in settings.model_dump().items())
