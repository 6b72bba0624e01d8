"""The parts that everything given has, rows of relations and values of features: looked up by who
or what they are of, taken out, and told again by what they say.

A *part* is a row of a relation or something that is known of somebody, a word or a number.
``Parts`` are some of them, by their *source*: a relation's name, or (table, feature).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.ids import Coded, IdMap
from alteraser.data.selection import Window
from alteraser.data.side.features import Words
from alteraser.data.side.given import ITEM, MAIN, USER, Given
from alteraser.data.side.links import Links, one_word
from alteraser.data.side.windows import settled_in, times_of
from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]
Source = str | tuple[str, str]
Places = Mapping[Source, Array]
"""By source, which of its parts; those of one name"""
Named = tuple[Any, ...]
"""(source …, ids and words …): what a part says, whatever its place"""
Told = tuple[Source, int, Named, int | None]


@dataclass(frozen=True, eq=False)
class Parts:
    """Some parts of everything given: of every source a mask of its parts."""

    masks: Mapping[Source, npt.NDArray[np.bool_]]

    @classmethod
    def none(cls, given: Given) -> Parts:
        """Nothing, to which some are added."""
        masks: dict[Source, Array] = {x.name: np.zeros(len(x), bool) for x in given.links}
        for table, known in given.attributes.items():
            for one in known.features:
                masks[table, one.name] = np.zeros(one.entries[0].size, bool)
        return cls(masks)

    def add(self, places: Places, *, going: bool = True) -> None:
        """Those at ``places`` as well; or no longer."""
        for source, found in places.items():
            self.masks[source][found] = going

    def any(self) -> bool:
        """Whether there are some."""
        return any(mask.any() for mask in self.masks.values())

    @property
    def rows(self) -> int:
        """How many of them are rows of relations."""
        return sum(int(x.sum()) for source, x in self.masks.items() if isinstance(source, str))

    @property
    def values(self) -> Mapping[str, int]:
        """By ``table:feature``, how many of them are known of somebody."""
        return {
            ":".join(source): int(x.sum())
            for source, x in self.masks.items()
            if not isinstance(source, str) and x.any()
        }

    def left(self, given: Given) -> Given:
        """What is left of ``given`` without them."""
        attributes = {
            table: known.changed(
                {
                    x.name: x.dropping(self.masks[table, x.name])
                    for x in known.features
                    if self.masks[table, x.name].any()
                }
            )
            for table, known in given.attributes.items()
        }
        rest = given.kept({x.name: ~self.masks[x.name] for x in given.links})
        return replace(rest, attributes=attributes)


class Lookup:
    """Parts of everything given by what they are of, each at the cost of what is found."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self._orders: dict[Any, tuple[Array, Array]] = {}

    def relations(self, of: str | None) -> list[Links]:
        """All of them, or those of one name that was given."""
        return [x for x in self.given.links if of in (None, x.name, x.group)]

    def entities(self, table: str, ids: Sequence[Any], of: str | None = None) -> list[Places]:
        """Of each of ``ids``, what there is of it: rows of relations and, unless one relation is
        asked for (``of``), what is known of it.
        """
        found: list[dict[Source, Array]] = [{} for _ in ids]
        if table in self.given.entities:
            rows = rows_known(self.given.entities[table], ids)
            for links in self.relations(of):
                for side in self._sides(links, table):
                    self._gather(found, links.name, (links.name, side), rows)
        if of is None and table in self.given.attributes:
            known = self.given.attributes[table]
            rows = rows_known(known.entities.ids, ids)
            for one in known.features:
                self._gather(found, (table, one.name), (table, one.name, "rows"), rows)
        return list(found)

    def pairs(self, pairs: Sequence[tuple[Any, Any]], of: str | None = None) -> list[Places]:
        """Of each (user, item), its rows in all relations between users and items; ``of``: of each
        (head, tail) those of one relation.
        """
        if not pairs:
            return []
        found: list[dict[Source, Array]] = [{} for _ in pairs]
        firsts, seconds = zip(*pairs, strict=True)
        for links in self.relations(of):
            heads, tails = firsts, seconds
            if of is None and (links.source, links.target) != (USER, ITEM):
                if (links.source, links.target) != (ITEM, USER):
                    continue
                heads, tails = seconds, firsts
            ends = [
                rows_known(self.given.entities[table], ids)
                for table, ids in ((links.source, heads), (links.target, tails))
            ]
            size = np.int64(max(self.given.entities[links.target].size, 1))
            wanted = np.where((ends[0] >= 0) & (ends[1] >= 0), ends[0] * size + ends[1], -1)
            self._gather_keys(found, links, size, wanted)
        return list(found)

    def within(
        self, places: Sequence[Places], since: Any, until: Any, of: str | None = None
    ) -> list[Places]:
        """Those of ``places`` that lie in a window: rows of relations that have times, of one name
        (``of``) or of all.
        """
        found: list[Places] = []
        settled = settled_in(Window(since, until), times_of(self.given, of))
        windows: dict[Source, Any] = {
            x.name: (settled[x.group], x.times)
            for x in self.relations(of)
            if x.times is not None and len(x)
        }
        for each in places:
            mine = {}
            for source, at in each.items():
                if source in windows:
                    window, times = windows[source]
                    mine[source] = at[window.mask(times[at])]
            found.append(mine)
        return found

    def named(self, table: str, name: Any) -> Places:
        """Of an entity everything; where ``table`` is a context the rows that were in it, where it
        is a feature everybody's word.
        """
        if table in self.given.entities or table in self.given.attributes:
            return self.entities(table, [name])[0]
        if table in self.given.main.contexts:
            said = self.given.main.contexts[table]
            return {MAIN: said.holders(name)}
        owner, feature = owner_of(self.given, table)
        words = self.given.attributes[owner].feature(feature)
        if not isinstance(words, Words):
            raise InvalidInput(
                f"{table} is a number, which has no words; name the attribute {owner}:{feature}",
                code="no_words",
            )
        return {(owner, feature): np.flatnonzero(words.values.rows == words.row(str(name)))}

    def values(self, table: str, feature: str, ids: Sequence[Any] | None) -> list[Places]:
        """What is known by a feature, of each of ``ids`` or, as one, of everybody."""
        source: Source = (table, feature)
        known = self.given.attributes.get(table)
        if known is None or feature not in {x.name for x in known.features}:
            return [{} for _ in ids or (None,)]
        if ids is None:
            return [{source: np.arange(known.feature(feature).entries[0].size)}]
        found: list[dict[Source, Array]] = [{} for _ in ids]
        rows = rows_known(known.entities.ids, ids)
        self._gather(found, source, (table, feature, "rows"), rows)
        return list(found)

    def said(self, wanted: Iterable[Named]) -> list[Places]:
        """Of each of ``wanted``, parts that say just that (``told``)."""
        there: dict[Named, dict[Source, list[int]]] = {each: {} for each in wanted}
        for source, place, name, _ in told(self.given):
            if name in there:
                there[name].setdefault(source, []).append(place)
        return [
            {source: np.array(at, np.int64) for source, at in found.items()}
            for found in there.values()
        ]

    # ------------------------------------------------------------------ how

    def _sides(self, links: Links, table: str) -> list[str]:
        sides = (("heads", links.source), ("tails", links.target))
        return [side for side, of in sides if of == table]

    def _gather(
        self, found: list[dict[Source, Array]], source: Source, key: Any, rows: Array
    ) -> None:
        order, starts = self._order(key)
        for each, row in zip(found, rows.tolist(), strict=True):
            if row >= 0 and starts[row + 1] > starts[row]:
                mine = order[starts[row] : starts[row + 1]]
                each[source] = np.union1d(each[source], mine) if source in each else mine

    def _order(self, key: Any) -> tuple[Array, Array]:
        """Parts by the row of what they are of, and where those of each row begin."""
        if key not in self._orders:
            rows, size = self._rows(key)
            self._orders[key] = (
                np.argsort(rows, kind="stable"),
                np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=size))]),
            )
        return self._orders[key]

    def _rows(self, key: Any) -> tuple[Array, int]:
        if len(key) == 2:
            links = next(x for x in self.given.links if x.name == key[0])
            table = links.source if key[1] == "heads" else links.target
            coded: Coded = getattr(links, key[1])
            known = self.given.entities[table]
            return coded.within(known, table), known.size
        attributes = self.given.attributes[key[0]]
        entries = attributes.feature(key[1]).entries[0]
        return attributes.entities.rows[entries], attributes.entities.ids.size

    def _gather_keys(
        self, found: list[dict[Source, Array]], links: Links, size: Any, wanted: Array
    ) -> None:
        key = (links.name, "pairs")
        if key not in self._orders:
            heads = links.heads.within(self.given.entities[links.source], links.source)
            tails = links.tails.within(self.given.entities[links.target], links.target)
            keys = heads * size + tails
            order = np.argsort(keys, kind="stable")
            self._orders[key] = order, keys[order]
        order, keys = self._orders[key]
        bounds = np.searchsorted(keys, np.stack([wanted, wanted + 1]))
        for each, start, stop in zip(found, *bounds.tolist(), strict=True):
            if stop > start:
                each[links.name] = order[start:stop]


def together(places: Iterable[Places]) -> dict[Source, Array]:
    """The parts of several names, each once."""
    found: dict[Source, list[Array]] = {}
    for each in places:
        for source, at in each.items():
            found.setdefault(source, []).append(at)
    return {source: np.unique(np.concatenate(parts)) for source, parts in found.items()}


def shared(first: Places, second: Places) -> dict[Source, Array]:
    """Those of ``first`` that are among ``second``."""
    return {x: np.intersect1d(at, second[x]) for x, at in first.items() if x in second}


def rows_known(ids: IdMap, names: Sequence[Any]) -> Array:
    """The row of each of ``names``, −1 for who is not there: of another form is another one."""
    try:
        return ids.rows_of(list(names))
    except InvalidInput:
        return np.concatenate([_row(ids, name) for name in names])


def _row(ids: IdMap, name: Any) -> Array:
    try:
        return ids.rows_of([name])
    except InvalidInput:
        return np.array([-1])


def owner_of(given: Given, name: str) -> tuple[str, str]:
    """(table, feature) of ``genre`` or ``item:genre``; InvalidInput where there is none, or there
    are two.
    """
    table, colon, feature = name.partition(":")
    owners = [
        (owner, one.name)
        for owner, attributes in given.attributes.items()
        for one in attributes.features
        if (owner, one.name) == (table, feature) or (not colon and one.name == name)
    ]
    if len(owners) == 1:
        return owners[0]
    if owners:
        raise InvalidInput(
            f"{name}: users and items have a feature of that name; say "
            f"{' or '.join(f'{owner}:{feature}' for owner, feature in owners)}",
            code="unknown_table",
        )
    raise InvalidInput(
        f"there is no such table; there are {', '.join(tables_of(given))}", code="unknown_table"
    )


def tables_of(given: Given) -> list[str]:
    """What entities, words and contexts are named by."""
    there = [*given.entities, *given.main.contexts]
    return there + [
        f"{t}:{x.name}" for t, known in given.attributes.items() for x in known.features
    ]


def told(given: Given, parts: Parts | None = None) -> Iterator[Told]:
    """(source, place, what it says, until when) of every part, or of some.

    A row says its relation, its ends, the words of its contexts and its time; a value its feature,
    whose it is, and the word or number. A pair of DATA without contexts is there once: its time,
    the last element, is no part of it.
    """
    for links in given.links:
        places = _chosen(len(links), parts, links.name)
        ends = [
            coded.ids.ids_of(coded.rows[places]).to_pylist() for coded in (links.heads, links.tails)
        ]
        contexts = []
        for said in links.contexts.values():
            names = [*said.values.ids.ids.to_pylist(), None]
            contexts.append([names[row] for row in one_word(said)[places].tolist()])
        times = [None] * places.size if links.times is None else links.times[places].tolist()
        once = links.name == MAIN and not links.contexts
        for place, time, *parts_said in zip(places.tolist(), times, *ends, *contexts, strict=True):
            name = ("row", links.name, *parts_said)
            yield links.name, place, name if once else (*name, time), time if once else None
    for table, known in given.attributes.items():
        for one in known.features:
            rows, words = one.entries
            places = _chosen(rows.size, parts, (table, one.name))
            ids = known.entities.ids.ids_of(known.entities.rows[rows[places]]).to_pylist()
            if isinstance(one, Words) and words is not None:
                held = one.values.ids.ids_of(words[places]).to_pylist()
            else:
                numbers: Any = one.values
                held = list(map(repr, numbers[rows[places]].tolist()))
            for place, id_, word in zip(places.tolist(), ids, held, strict=True):
                yield (table, one.name), place, ("value", table, one.name, id_, word), None


def _chosen(size: int, parts: Parts | None, source: Source) -> Array:
    return np.arange(size) if parts is None else np.flatnonzero(parts.masks[source])


__all__ = ["Lookup", "Named", "Parts", "Places", "Source", "owner_of", "tables_of", "told"]
