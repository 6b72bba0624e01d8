"""What the model of a version stands for: interactions, or everything that a model of several
sources learned from. The first source of either is ``data``; of interactions it is the only one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from alteraser.data.grouping import BASKET
from alteraser.data.interactions import Interactions
from alteraser.data.readers import ReadingOptions
from alteraser.data.side.given import MAIN
from alteraser.data.side.holding import DATA, SETUP, HeldSources
from alteraser.engines.store.roots import data_root, source_roots
from alteraser.errors import IntegrityError, InvalidInput, NotFound
from alteraser.models.relational.composite import CompositeModel

Held = Interactions | HeldSources


@singledispatch
def pairs_of(held: Any) -> Interactions:
    """The pairs of ``data``, in the rows of the model."""
    raise NotImplementedError(type(held).__name__)


@singledispatch
def write(held: Any, folder: Path) -> None:
    """Write its files into ``folder``."""
    raise NotImplementedError(type(held).__name__)


@singledispatch
def reading_of(held: Any) -> ReadingOptions:
    """How its ``interactions.parquet`` is read."""
    raise NotImplementedError(type(held).__name__)


@singledispatch
def roots_of(held: Any, key: bytes) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    """(the root of ``data`` under ``key``, of every other source its digest, root and size)."""
    raise NotImplementedError(type(held).__name__)


@pairs_of.register(Interactions)
def _itself(held: Interactions) -> Interactions:
    return held


@pairs_of.register(HeldSources)
def _of_given(held: HeldSources) -> Interactions:
    return held.given.interactions()


@write.register(Interactions)
def _one_file(held: Interactions, folder: Path) -> None:
    pq.write_table(held.to_table(), folder / DATA, compression="zstd")


@write.register(HeldSources)
def _files(held: HeldSources, folder: Path) -> None:
    held.write(folder)


@reading_of.register(HeldSources)
def _as_held(held: HeldSources) -> ReadingOptions:
    return held.reading


@roots_of.register(Interactions)
def _one_root(held: Interactions, key: bytes) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    return data_root(key, held), {}


@roots_of.register(HeldSources)
def _roots(held: HeldSources, key: bytes) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    found, digests = source_roots(key, held.given), held.given.digests
    others = {
        name: {"digest": digest, **found[name]} for name, digest in digests.items() if name != MAIN
    }
    if held.given.main.contexts:
        return str(found[MAIN]["root"]), others
    return data_root(key, held.given.interactions()), others


def read(folder: Path, model: Any) -> Held:
    """What is in ``folder``, in the rows of ``model``; IntegrityError where that does not stand for
    it.
    """
    if not isinstance(model, CompositeModel):
        table = pq.read_table(folder / DATA)
        found = Interactions.from_table(table, users=model.users, items=model.items)
        _check(folder, found.digest == model.trained_on.digest)
        return found
    setup = model.settings
    features = {
        table: {x.column: x.kind for x in columns} for table, columns in setup.features.items()
    }
    try:
        held = HeldSources.read(folder, model.reading or ReadingOptions(), features, setup.contexts)
    except (InvalidInput, NotFound) as cause:
        raise IntegrityError(f"{folder / SETUP}: {cause.message}", code="data") from cause
    _check(folder, held.given.digests == dict(model.sources))
    return held


def _check(folder: Path, same: bool) -> None:
    if not same:
        raise IntegrityError(
            f"{folder}: the interactions are not those that the model stands for", code="data"
        )


@reading_of.register(Interactions)
def canonical_reading(data: Interactions) -> ReadingOptions:
    """How ``interactions.parquet`` is read, events by the columns that ``to_table`` gives them."""
    if data.events is None:
        return ReadingOptions(
            confidence=None if data.confidence is None else "confidence",
            target=None if data.target is None else "target",
            timestamp_column=None if data.timestamp is None else "timestamp",
            segment_column=None if data.segments is None else "segment",
        )
    events, grouping = data.events, data.events.grouping
    baskets, named = grouping.name == BASKET, events.groups is not None
    return ReadingOptions(
        session_column="group" if named and not baskets else None,
        basket_column="group" if named and baskets else None,
        session_gap=None if named else grouping.gap,
        baskets=baskets and not named,
        position_column="position",
        timestamp_column=None if events.time is None else "timestamp",
        ordered_by_time=grouping.timed,
    )
