"""Rows of a further relation that a table names: read by the rules by which the relation was, so
that a row of its file means that row, and never more than it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from alteraser.data.readers import Hints, Raw, WantedColumns, identifiers, plain, read_raw
from alteraser.data.selection import Selection, Window
from alteraser.data.side.attributes import only_once
from alteraser.data.side.given import Given
from alteraser.data.side.links import Links
from alteraser.data.side.relations import TIME, TRIPLE, ids_by_table, pair_of, triples_of
from alteraser.data.side.sources import Sources, joins_of
from alteraser.data.side.spec import RelationFile
from alteraser.errors import InvalidInput

Joins = Mapping[str, tuple[pa.Array, pa.Array]]
SIDES = ("head", "tail")


@dataclass(frozen=True)
class Named:
    """Rows of relations: those of a name, of a sort of triples, between some tables."""

    selection: Selection
    """``users`` are heads, ``items`` tails"""
    relation: str
    """Of a file, or of one sort of its triples: ``kg``, ``kg/directed_by``"""
    sort: str | None = None
    source: str | None = None
    target: str | None = None

    def of(self, links: Links) -> bool:
        """Whether rows of ``links`` may be meant."""
        return (
            self.relation in (links.name, links.group)
            and self.sort in (None, links.sort)
            and self.source in (None, links.source)
            and self.target in (None, links.target)
        )


@dataclass(frozen=True)
class NamedIn:
    """A relation, as a model knows it, of which rows are asked for."""

    relation: str
    file: RelationFile
    """As it was given, its ``tables`` named where it is none of triples"""
    graph: bool
    joins: Joins

    def read(self, path: Path, *, heads: bool = True, tails: bool = True) -> list[Named]:
        """The rows that the table at ``path`` names.

        A row has both ids, of triples the sort as well, which without a column ``relation`` is
        every sort. One column alone is all rows of these heads, or tails; ``heads`` and ``tails``
        say which of two counts. Raises InvalidInput where it is not said which column is which.
        """
        file = replace(self.file, path=path)
        raw = read_raw(path, WantedColumns(None, frozenset(SIDES), Hints(SIDES)))
        columns = [name for name in raw.table.column_names if name != TIME]
        if self.graph and heads and tails and set(TRIPLE) <= set(columns):
            only_once(raw, TRIPLE)
            return [
                Named(
                    Selection(one.heads.ids.ids_of(one.heads.rows), _tails(one)),
                    self.relation,
                    one.sort,
                    one.source,
                    one.target,
                )
                for one in triples_of(file, raw, self.joins)
            ]
        names = self._columns(raw, columns, file)
        wanted = [name if used else None for name, used in zip(names, (heads, tails), strict=True)]
        only_once(raw, [name for name in wanted if name is not None])
        if wanted == [None, None]:
            raise self._unsaid(path, columns)
        return list(self._of_sides(raw, wanted))

    def _columns(
        self, raw: Raw, columns: list[str], file: RelationFile
    ) -> tuple[str | None, str | None]:
        """(the column of heads, that of tails); None where there is none."""
        if set(SIDES) & set(columns):
            return tuple(x if x in columns else None for x in SIDES)  # type: ignore[return-value]
        if self.graph or not columns:
            raise self._unsaid(file.path, columns)
        if len(columns) > 1:
            return pair_of(raw, file)
        sides = [columns[0] in (f"{table}_id", table) for table in file.tables]
        if sum(sides) != 1:
            raise self._unsaid(file.path, columns)
        return (columns[0], None) if sides[0] else (None, columns[0])

    def _of_sides(self, raw: Raw, names: list[str | None]) -> Iterator[Named]:
        """The rows of columns of ids, by the tables that these are of."""
        heads, tails = (self._split(raw, name) for name in names)
        for source, (mine, here) in heads.items():
            for target, (theirs, there) in tails.items():
                kept = pa.array(here & there)
                if kept.true_count:
                    ids = [x if x is None else x.filter(kept) for x in (mine, theirs)]
                    yield Named(Selection(ids[0], ids[1]), self.relation, None, source, target)

    def _split(self, raw: Raw, name: str | None) -> dict[str | None, tuple[Any, Any]]:
        """By table: a column in its ids, and which rows are of it; by None where any will do."""
        every = np.ones(raw.table.num_rows, bool)
        if name is None:
            return {None: (None, every)}
        ids = plain(identifiers(raw.table[name], name, raw.where))
        if not self.joins:
            return {None: (ids, every)}
        return dict(ids_by_table(ids, self.file.name, self.joins).items())

    def _unsaid(self, path: Any, columns: list[str]) -> InvalidInput:
        wanted = "head, relation and tail" if self.graph else "the two ids of every row"
        return InvalidInput(
            f"{path}: --from {self.relation} needs {wanted}, as in {self.file.path}: its columns "
            f"are {', '.join(columns) or 'none'}; name them {', '.join(SIDES)} (one of them alone: "
            "all rows of it)"
        )


def asked_of(relation: str, given: Given, sources: Sources, columns: Mapping[str, str]) -> NamedIn:
    """The relation of a name; InvalidInput, naming those there are, for none. ``columns``: of the
    ids of tables.
    """
    links = [x for x in given.links[1:] if relation in (x.name, x.group)]
    if not links:
        raise unknown(relation, given)
    file = next(x for x in sources.relations if x.name == links[0].group)
    if links[0].sort is not None:
        return NamedIn(relation, file, True, joins_of(sources, columns))
    return NamedIn(relation, replace(file, tables=(links[0].source, links[0].target)), False, {})


def unknown(relation: str, given: Given) -> InvalidInput:
    """Nothing is called so."""
    there = ", ".join(dict.fromkeys(x.group for x in given.links))
    return InvalidInput(f"--from {relation}: there are {there}")


def within(named: Named, window: Window | None, users: list[str] | None) -> Named:
    """The same in a window of time, and of some heads."""
    found = replace(named.selection, window=window)
    return replace(named, selection=found.of_users(users) if users else found)


def _tails(links: Links) -> pa.Array:
    return links.tails.ids.ids_of(links.tails.rows)
