"""What may be asked of everything that a linear model learned from: rows of any relation, entities
everywhere, words, what is known of somebody; and what is left without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.deletion import Deletion
from alteraser.data.ids import named_ids
from alteraser.data.interactions import Removal
from alteraser.data.selection import Selection
from alteraser.data.side.features import Words
from alteraser.data.side.given import MAIN, Given
from alteraser.data.side.named import Named, unknown
from alteraser.data.side.parts import owner_of
from alteraser.data.side.windows import settled_in, times_of
from alteraser.errors import InvalidInput, NotFound

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Request:
    """What is to go; at least one of its parts says something."""

    selection: Selection | None = None
    """Rows of ``relation``: ``users`` are heads, ``items`` tails"""
    relation: str = MAIN
    entities: tuple[tuple[str, str], ...] = ()
    """(table, id): everywhere. A table may also be a feature or a context, its id a word"""
    attributes: tuple[tuple[str, str], ...] = ()
    """(table, feature)"""
    of: tuple[Any, ...] | None = None
    """Ids of whose attributes; None: everybody's"""
    rows: tuple[Named, ...] = ()
    """Rows of further relations, as a table of them names them"""


@dataclass(frozen=True, eq=False)
class Left:
    """What is left of everything given, and what went."""

    given: Given
    rows: Mapping[str, Array]
    """By relation, which rows went, (rows,)"""
    values: Mapping[str, int]
    """By table and feature, how many values went: ``user:age``"""
    unmatched: pa.Table
    """Rows of the request that matched nothing"""
    missed: tuple[str, ...] = ()
    """Further parts of the request that matched nothing"""
    sources: tuple[str, ...] = field(default_factory=tuple)
    """Which digests are others now"""

    @property
    def total(self) -> int:
        """Rows and values that went."""
        return sum(int(x.sum()) for x in self.rows.values()) + sum(self.values.values())


@dataclass(frozen=True)
class GivenDeletion(Deletion):
    """A deletion in everything given; as a ``Deletion`` it is what went of the pairs of DATA, in
    the rows of ``given``.
    """

    given: Given = field(kw_only=True)
    """D_a and what is beside it"""
    rest: Left = field(kw_only=True)
    """What is left of that"""

    @classmethod
    def of(cls, given: Given, rest: Left, selection: Selection | None) -> GivenDeletion:
        """``selection``: what was asked for of DATA, if anything."""
        data, remaining = given.interactions(), rest.given.interactions()
        users = remaining.users.rows_of(data.users.ids)[data.user_rows]
        items = remaining.items.rows_of(data.items.ids)[data.indices]
        known = (users >= 0) & (items >= 0)
        stays = np.zeros(len(data), bool)
        stays[known] = remaining.locate(users[known], items[known]) >= 0
        removal = Removal(
            data.keep(stays),
            data.keep(~stays),
            rest.unmatched,
            selection or Selection(items=data.items.ids.slice(0, 0)),
        )
        return cls(data, removal, left=remaining, given=given, rest=rest)

    @property
    def said(self) -> dict[str, Any]:
        """See ``Deletion.said``."""
        return {
            "rows_forgotten": {name: int(mask.sum()) for name, mask in self.rest.rows.items()},
            "values_forgotten": dict(self.rest.values),
            "not_found": list(self.rest.missed),
            "sources_changed": list(self.rest.sources),
        }


def left(given: Given, request: Request) -> Left:
    """What ``request`` leaves of ``given``.

    Raises InvalidInput for a name that is none and where nothing would be left, NotFound where it
    names nothing that is there.
    """
    masks = {x.name: np.ones(len(x), bool) for x in given.links}
    unmatched, rest = pa.table({}), given
    if request.selection is not None:
        unmatched = _rows(given, Named(request.selection, request.relation), masks)
    if request.rows:
        unmatched = _of_others(given, request.rows, masks)
    missed = []
    for table, name in request.entities:
        rest, found = _entity(rest, masks, table, name)
        if not found:
            missed.append(f"{table}={name}")
    for table, feature in request.attributes:
        rest = _attribute(rest, table, feature, request.of)
    attributes = rest.attributes
    rest = given.kept(masks)
    rest = replace(rest, attributes=attributes)
    if not len(rest.main):
        raise InvalidInput(
            "that would leave no interactions: there would be nothing to be a model of; delete the "
            "model instead"
        )
    gone = {name: ~mask for name, mask in masks.items() if not mask.all()}
    before, after = given.digests, rest.digests
    found_left = Left(
        rest,
        gone,
        _values(given, rest),
        unmatched,
        tuple(missed),
        tuple(name for name in before if before[name] != after.get(name)),
    )
    if not found_left.sources:
        named = [*missed, *(f"{t}:{f}" for t, f in request.attributes)]
        raise NotFound(
            "nothing of the request is in the data"
            + (f": {', '.join(named[:5])}" if named else f": {unmatched.num_rows:,} row(s)")
            + ". Write ids as in the data"
        )
    return found_left


def _rows(given: Given, named: Named, masks: dict[str, Array]) -> pa.Table:
    """Take out the rows that are named; returns the entries that named none."""
    if not any(named.relation in (x.name, x.group) for x in given.links):
        raise unknown(named.relation, given)
    selection = named.selection
    matched = np.zeros(selection.table.num_rows, bool)
    window, windows = selection.window, {}
    if window is not None:
        windows = settled_in(window, times_of(given, named.relation))
    for one in filter(named.of, given.links):
        wanted = selection
        if window is not None:
            if one.times is None:
                raise InvalidInput(
                    f"--from {one.name}: it has no times, a window says nothing; give FORGET, a "
                    "table of the rows that are to go"
                )
            if not len(one):
                continue
            wanted = replace(wanted, window=windows[one.group])
        found, hit = wanted.find(
            one.heads.ids, one.tails.ids, one.heads.rows, one.tails.rows, one.times, None
        )
        masks[one.name] &= ~found
        matched |= hit
    return selection.table.filter(pa.array(~matched))


def _of_others(given: Given, rows: tuple[Named, ...], masks: dict[str, Array]) -> pa.Table:
    """``_rows`` of all of them, ids of whatever table as text."""
    names, found = {"user_id": "head", "item_id": "tail"}, []
    for one in rows:
        table = _rows(given, one, masks)
        found.append(pa.table({names[x]: table[x].cast(pa.string()) for x in table.column_names}))
    return pa.concat_tables(found, promote_options="default")


def _entity(given: Given, masks: dict[str, Array], table: str, name: str) -> tuple[Given, bool]:
    """Take an entity out of the relations, or a word out of a feature or a context."""
    tables = given.entities.keys() | given.attributes.keys()
    if table in tables:
        found, ids = False, named_ids([name], f"--entity {table}")
        for one in given.links:
            holding = one.holding(table, ids)
            masks[one.name] &= ~holding
            found |= bool(holding.any())
        if table in given.attributes:
            known = given.attributes[table]
            found |= bool(known.places(ids).size)
            rest = known.without(known.places(ids))
            given = replace(given, attributes={**given.attributes, table: rest})
        return given, found
    if table in given.main.contexts:
        holders = given.main.contexts[table].holders(name)
        masks[given.main.name][holders] = False
        return given, bool(holders.size)
    owner, feature = _feature(given, table)
    words = given.attributes[owner].feature(feature)
    if not isinstance(words, Words):
        raise InvalidInput(
            f"--entity {table}={name}: {table} is a number, which has no words; --attributes "
            f"{owner}:{feature} forgets all of it"
        )
    return given.without_words(owner, feature, [name]), bool(words.holders(name).size)


def _feature(given: Given, name: str) -> tuple[str, str]:
    """(table, feature) of ``genre`` or ``item:genre``."""
    try:
        return owner_of(given, name)
    except InvalidInput as cause:
        raise InvalidInput(f"--entity {name}: {cause.message}") from cause


def _attribute(given: Given, table: str, feature: str, of: tuple[Any, ...] | None) -> Given:
    if table not in given.attributes:
        raise InvalidInput(
            f"--attributes {table}:{feature}: nothing is known of a {table}; there are "
            f"{', '.join(given.attributes) or 'no features'}"
        )
    ids = None if of is None else named_ids(list(of), f"--attributes {table}")
    return given.without_values(table, feature, ids)


def _values(before: Given, after: Given) -> dict[str, int]:
    """How many values of each feature went, of entities that occur."""
    found = {}
    for table, known in before.known.items():
        rest = after.known.get(table)
        for one in known.features:
            had = _count(one)
            has = 0 if rest is None else sum(_count(x) for x in rest.features if x.name == one.name)
            if had != has:
                found[f"{table}:{one.name}"] = had - has
    return found


def _count(feature: Any) -> int:
    if isinstance(feature, Words):
        return int(feature.values.rows.size)
    return int(feature.rows - feature.missing.size)
