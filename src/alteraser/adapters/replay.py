"""Repeating the training that made a file: first on all the data, to see that it gives the file,
then on what remains.

The check is remembered by the digests of the file and of its data, in the user's cache folder, and
not repeated.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters.contract import Foreign, ForeignErasing, ForeignOutcome, ForeignTrainer
from alteraser.data.files import default_cache, replace_file, sha256_file
from alteraser.data.interactions import Interactions
from alteraser.erasers.driver import OnPass
from alteraser.errors import AltEraserError
from alteraser.models.ranking import top_lists

Array = npt.NDArray[Any]

FOLLOWED = 0.97
"""Mean overlap@10 of the replayed model's lists with the file's from which on the training counts
as repeated."""

ASKED = 500
"""Users whose lists are compared, evenly spread."""


@dataclass(frozen=True)
class Followed:
    """How near a training, repeated on all the data, comes to the file."""

    way: str | None
    """The first of the trainer's ways that comes near enough; None: none does."""
    overlap: float
    """Mean overlap@10 of its lists (of the best way, where none is near enough)."""
    identical: bool
    """The same bytes"""
    remembered: bool = False
    """Looked up, not computed"""


def followed(
    foreign: Foreign, data: Interactions, *, threads: int = 0, on_pass: OnPass | None = None
) -> Followed:
    """Which of the trainer's ways gives the file when it is run on all its ``data``."""
    trainer = foreign.trainer
    if trainer is None:
        return Followed(None, 0.0, False)
    note = _note(foreign, data, trainer)
    known = _looked_up(note, trainer)
    if known is not None:
        return known
    best = Followed(None, 0.0, False)
    for way in trainer.ways:
        users, items = trainer.run(way, data, threads=threads, on_pass=on_pass)
        identical = np.array_equal(users, foreign.users) and np.array_equal(items, foreign.items)
        overlap = (
            1.0 if identical else agreement((users, items), (foreign.users, foreign.items), data)
        )
        if overlap >= FOLLOWED:
            best = Followed(way, overlap, identical)
            break
        best = max(best, Followed(None, overlap, identical), key=lambda found: found.overlap)
    _write_down(note, best)
    return best


def remembered(foreign: Foreign, data: Interactions) -> Followed | None:
    """What an earlier check of the same bytes on the same data found; None where there was none."""
    trainer = foreign.trainer
    return None if trainer is None else _looked_up(_note(foreign, data, trainer), trainer)


def remember_written(foreign: Foreign, out: Path, way: str, remaining: Interactions) -> None:
    """Note that the training of ``foreign``, run the same ``way`` on what remains, gives the bytes
    at ``out``.

    So the next request to that file needs no check.
    """
    trainer = foreign.trainer
    if trainer is not None:
        _write_down(_note(replace(foreign, path=out), remaining, trainer), Followed(way, 1.0, True))


def replayed(erasing: ForeignErasing, way: str) -> ForeignOutcome:
    """The trainer's run on what remains: computed without what must go."""
    trainer = erasing.foreign.trainer
    assert trainer is not None
    users, items = trainer.run(way, erasing.after, threads=erasing.threads, on_pass=erasing.on_pass)
    rows = trainer.passes * sum(erasing.after.shape)
    return ForeignOutcome(
        np.ascontiguousarray(users),
        np.ascontiguousarray(items),
        method="replay",
        residual=float("nan"),
        passes=trainer.passes,
        rows_updated=rows,
        reason="passes",
        route=("replay",),
        solver=way,
    )


def agreement(
    one: tuple[Array, Array], other: tuple[Array, Array], data: Interactions, k: int = 10
) -> float:
    """Mean share of their first ``k`` items that users' lists have in common, what they have in
    ``data`` left out.
    """
    users = np.flatnonzero(data.user_counts > 0)
    users = users[:: max(1, users.size // ASKED)]
    if not users.size:
        return 1.0
    k = min(k, data.shape[1])
    mine, theirs = (top_lists(P, Q, users, k=k, seen=data)[0] for P, Q in (one, other))
    common = (mine[:, :, None] == theirs[:, None, :]) & (mine[:, :, None] >= 0)
    sizes = np.maximum((theirs >= 0).sum(axis=1), 1)
    return float(np.mean(common.any(axis=2).sum(axis=1) / sizes))


# ---------------------------------------------------------------- what is remembered


def _note(foreign: Foreign, data: Interactions, trainer: ForeignTrainer) -> Path | None:
    """The file in which the check of these bytes on these data is written down; None where there
    are no bytes.
    """
    if not foreign.path.is_file():
        return None
    import hashlib

    from alteraser.runtime.version import VERSION

    parts = (sha256_file(foreign.path), data.digest, repr(trainer), VERSION)
    return (
        default_cache()
        / "replays"
        / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:40]}.json"
    )


def _looked_up(note: Path | None, trainer: ForeignTrainer) -> Followed | None:
    if note is None:
        return None
    try:
        entry = json.loads(note.read_text())
        way, overlap, identical = entry["way"], entry["overlap"], entry["identical"]
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
    ):  # not there, or not as it was written: check again
        return None
    sound = isinstance(overlap, float) and 0.0 <= overlap <= 1.0 and isinstance(identical, bool)
    fits = way is None or (
        way in trainer.ways and isinstance(overlap, float) and overlap >= FOLLOWED
    )
    return Followed(way, overlap, identical, True) if sound and fits else None


def _write_down(note: Path | None, found: Followed) -> None:
    if note is None:
        return
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        replace_file(note, json.dumps(asdict(found)).encode())
    except (
        OSError,
        AltEraserError,
    ):  # a cache that cannot be written only costs the check once more
        return
