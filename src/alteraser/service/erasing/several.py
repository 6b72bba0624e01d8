"""``erasing`` where the model learned from several sources: a request reaches each in which those
whom it names occur.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from alteraser.data.side.deletion import Left
from alteraser.data.side.given import ITEM, MAIN, USER
from alteraser.data.side.holding import Addition, HeldSources
from alteraser.data.side.links import union
from alteraser.data.side.parts import Lookup, Parts, Places, shared, together
from alteraser.engines.store.changes import compare
from alteraser.engines.store.version import Content, Version
from alteraser.errors import InvalidInput
from alteraser.ledger.asked import Asked
from alteraser.service.erasing.questions import (
    FoundInData,
    certify,
    check_left,
    erase,
    find,
    learned,
    people,
    worked,
)
from alteraser.verbs.relational.deleting import of_rest
from alteraser.verbs.roads import unlearn
from alteraser.verbs.verify import verify


@find.register(HeldSources)
def _find(held: HeldSources, requests: Sequence[Asked], *, times: Any = None) -> FoundInData:
    gone, stays, counts = Parts.none(held.given), [], []
    for each in requests:
        places = places_of(held.lookup, each)
        mine = together(places)
        keeps = shared(mine, together(held.lookup.pairs(each.kept)))
        matched = sum(any(at.size for at in found.values()) for found in places)
        named, held_back = size_of(mine), size_of(keeps)
        counts.append(
            {
                "asked": len(places) + len(each.unknown),
                "matched": matched,
                "absent": len(places) + len(each.unknown) - matched,
                "interactions": named[0] - held_back[0],
                "held": held_back[0],
                "values": named[1],
            }
        )
        gone.add(mine)
        stays.append(keeps)
    for keeps in stays:  # whoever else asks for it
        gone.add(keeps, going=False)
    return FoundInData(gone, counts)


def going(held: HeldSources, asked: Sequence[Asked]) -> Places:
    """The parts that go by some requests."""
    found = []
    for each in asked:
        mine = together(places_of(held.lookup, each))
        keeps = shared(mine, together(held.lookup.pairs(each.kept)))
        found.append(
            {x: np.setdiff1d(at, keeps[x]) if x in keeps else at for x, at in mine.items()}
        )
    return together(found)


def size_of(places: Places) -> tuple[int, int]:
    """(rows of relations, values of features) among some parts."""
    rows = sum(at.size for source, at in places.items() if isinstance(source, str))
    return rows, sum(at.size for at in places.values()) - rows


def places_of(lookup: Lookup, asked: Asked) -> list[Places]:
    """Of everything that a request names, its parts."""
    names, source = asked.names, asked.source
    if asked.kind == "pairs":
        return lookup.pairs(names, source)
    if asked.kind == "items":
        return lookup.entities(ITEM, names, source)
    if asked.kind == "users":
        return lookup.entities(USER, names, source)
    if asked.kind == "window":
        found = lookup.entities(USER, names, source)
        return lookup.within(found, asked.since, asked.until, source)
    if asked.kind == "entities":
        return [lookup.named(table, name) for table, name in names]
    if asked.kind == "attributes":
        attributes = [name.partition(":") for name in names]
        return [
            found
            for table, _, feature in attributes
            for found in lookup.values(table, feature, asked.of)
        ]
    return lookup.said(names)


@people.register(HeldSources)
def _people(held: HeldSources) -> pa.Array:
    """Those of relations, and those of whom features alone are known."""
    ids, known = held.given.entities[USER], held.given.attributes.get(USER)
    if known is None:
        return ids.ids
    return union([(ids, "users"), (known.entities.ids, "users with features")]).ids


@learned.register(HeldSources)
def _learned(held: HeldSources, added: Sequence[Addition]) -> HeldSources:
    return held.joined(added)


@check_left.register(HeldSources)
def _some_left(held: HeldSources, gone: Parts) -> None:
    if gone.masks[MAIN].all():
        raise InvalidInput(
            "that would leave no interactions: there would be nothing to be a model of; end the "
            "service and delete its state instead",
            code="nothing_left",
        )


@erase.register(HeldSources)
def _erased(
    whole: HeldSources,
    start: Version,
    gone: Parts,
    *,
    method: str,
    threads: int,
    key: bytes,
    watch: Any = None,
) -> tuple[Content, dict[str, Any]]:
    assert isinstance(start.held, HeldSources)
    check_left(whole, gone)
    rest = gone.left(whole.given)
    held, given = whole.left(rest), start.held.given
    original: Any = start.model
    model = replace(original, erased=replace(start.model.erased, spare=key))
    before, after = given.digests, held.given.digests
    work: dict[str, Any] = {"method": "none", "residual": 0.0, "seconds": 0.0}
    if before != after:  # else nothing of it was ever learned
        left = Left(
            held.given,
            {name: mask for name, mask in gone.masks.items() if isinstance(name, str)},
            gone.values,
            pa.table({}),
            (),
            tuple(name for name in before if before[name] != after.get(name)),
        )
        erasure = unlearn(
            model,
            of_rest(model, given, left),
            method=method,
            threads=threads,
            on_pass=None if watch is None else (lambda record: watch()),
        )
        model, work = erasure.model, worked(erasure)
    changes = compare(
        (start.model, start.data, start.content.changes), (model, held.given.interactions())
    )
    work |= {
        "interactions_removed": gone.rows,
        "interactions_added": _rows(whole) - _rows(start.held),
        "values_removed": sum(gone.values.values()),
    }
    tombstones = start.content.tombstones.with_parts(key, whole.given, gone)
    return Content(model, held, tombstones, changes), work


@certify.register(HeldSources)
def _certified(
    whole: HeldSources, start: Version, version: Version, *, threads: int
) -> dict[str, Any]:
    assert isinstance(version.held, HeldSources)
    found = verify(
        version.model,
        version.held.given,
        before=None if version.model.digest == start.model.digest else start.model,
        folder=version.folder / "model",
        threads=threads,
    ).certificate
    return dict(found.to_document())


def _rows(held: HeldSources) -> int:
    return sum(len(links) for links in held.given.links)
