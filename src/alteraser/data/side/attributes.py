"""What is known of users or items: a table with an id column, read into features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from alteraser.data.ids import Coded, IdMap
from alteraser.data.readers import (
    Hints,
    Raw,
    WantedColumns,
    identifiers,
    missing_column,
    plain,
    read_raw,
    spaced,
)
from alteraser.data.side.digests import digest
from alteraser.data.side.features import Feature, feature, kind_of_text
from alteraser.data.side.spec import FeatureFile, Kind
from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Attributes:
    """Features of the entities of one table."""

    table: str
    entities: Coded
    """The entity of every row, each once"""
    features: tuple[Feature, ...]
    name: str = ""
    """The file, for messages"""

    def feature(self, name: str) -> Feature:
        """By its name; InvalidInput, naming those there are."""
        for one in self.features:
            if one.name == name:
                return one
        raise InvalidInput(
            f"{self.table} has no feature {name!r}; there are "
            f"{', '.join(one.name for one in self.features) or 'none'}"
        )

    def places(self, ids: Any) -> Array:
        """Rows of entities by their ids; unknown ones have none."""
        wanted = self.entities.ids.rows_of(ids, self.table)
        return np.flatnonzero(np.isin(self.entities.rows, wanted[wanted >= 0]))

    def at(self, rows: Array) -> Attributes:
        """Of the entities in some rows alone."""
        features = tuple(one.take(rows) for one in self.features)
        return replace(self, entities=self.entities.take(rows), features=features)

    def of(self, ids: IdMap) -> Attributes:
        """In the rows of ``ids``; of whom nothing is known there is nothing, who is not in ``ids``
        is left out.
        """
        rows = self.entities.within(ids, f"{self.name}: {self.table}")
        inside = np.flatnonzero(rows >= 0)
        places = np.full(ids.size, -1, np.int64)
        places[rows[inside]] = inside
        known = places >= 0
        order = np.where(known, places, 0)
        gone = np.flatnonzero(~known)
        if not self.entities.rows.size:
            nothing = tuple(one.nothing(ids.size) for one in self.features)
            return replace(self, entities=Coded(ids, ids.rows), features=nothing)
        features = tuple(one.take(order).without(gone) for one in self.features)
        return replace(self, entities=Coded(ids, ids.rows), features=tuple(map(_fresh, features)))

    def changed(self, features: Mapping[str, Feature]) -> Attributes:
        """With other columns in the place of some."""
        return replace(self, features=tuple(features.get(x.name, x) for x in self.features))

    def without(self, entities: Array) -> Attributes:
        """Nothing known of some rows."""
        return replace(self, features=tuple(_fresh(x.without(entities)) for x in self.features))

    @property
    def digest(self) -> str:
        """Of entities of whom something is known, and what."""
        order = np.argsort(self.entities.rows, kind="stable")
        taken = order[self._known[order]]
        ids = self.entities.take(taken).ids.ids if taken.size else pa.array([], pa.int64())
        parts: list[Any] = ["attributes", self.table, ids]
        for one in sorted(self.features, key=lambda x: x.name):
            parts += [one.name, *one.take(taken).parts()]
        return digest(*parts)

    def to_table(self, id_column: str) -> pa.Table:
        """Ids and features, one row an entity of whom something is known."""
        known = np.flatnonzero(self._known)
        ids = self.entities.ids.ids_of(self.entities.rows[known])
        columns = {one.name: one.take(known).shown() for one in self.features}
        return pa.table({id_column: ids, **columns})

    @property
    def _known(self) -> Array:
        """Of which rows something is known, (rows,)."""
        found = np.zeros(self.entities.rows.size, bool)
        for one in self.features:
            found[np.setdiff1d(np.arange(one.rows), one.missing)] = True
        return found


def _fresh(one: Feature) -> Feature:
    """Without words that nobody has."""
    return one.take(np.arange(one.rows))


def read_attributes(
    file: FeatureFile,
    table: str,
    id_column: str,
    *,
    kinds: Mapping[str, Kind] | None = None,
    option: str = "",
    partly: bool = False,
) -> Attributes:
    """The features of a file; ``kinds`` are those that a model settled on. ``partly``: of the
    columns that are asked for those that it has, one at least.

    Raises InvalidInput for a column that is not there, an id that is there twice, and values that
    are no features.
    """
    raw, column = read_with_ids(file.path, (id_column, f"{table}_id", table, "id"), option)
    names = _features(raw, file.columns, column, option, partly=partly)
    known = {**dict(file.kinds), **(kinds or {})}
    only_once(raw, (column, *names))
    entities = Coded(*IdMap.build(plain(identifiers(raw.table[column], column, raw.where))))
    check_once(
        entities,
        raw,
        column,
        "one row an entity; several words of one are a list, or text with | between them",
    )
    for name in raw.untyped.intersection(names):
        known.setdefault(name, kind_of_text(raw.table[name]))
    found = (feature(x, _column(raw, x), raw.where, known.get(x)) for x in names)
    return Attributes(table, entities, tuple(found), raw.name)


def _features(
    raw: Raw, asked: tuple[str, ...], column: str, option: str, *, partly: bool
) -> tuple[str, ...]:
    """The names of the columns that are features, ``column`` being the ids; see
    ``read_attributes``.
    """
    there = raw.table.column_names
    names = asked or tuple(x for x in there if x != column)
    if not names:
        raise InvalidInput(
            f"{raw.name} has no column but {column!r}: there is nothing to learn from it. Give a "
            "file with features, or leave it out"
        )
    lacking = [x for x in names if x not in there]
    if partly and len(lacking) == len(names):
        raise InvalidInput(f"{option}: {raw.name} has none of the columns {', '.join(names)}")
    if lacking and not partly:
        raise missing_column(raw, lacking[0], option or None, before=f"{raw.name}:")
    if column in names:
        raise InvalidInput(f"{raw.name}: {column} holds the ids, it is no feature")
    return tuple(x for x in names if x in there)


def _column(raw: Raw, name: str) -> pa.ChunkedArray:
    """A column; one that its file says to be words with spaces between them as lists of these."""
    column = raw.table[name]
    if not spaced(raw.table.schema.field(name)):
        return column
    return pc.utf8_split_whitespace(column.cast(pa.string()))


def read_with_ids(path: Any, candidates: tuple[str, ...], option: str) -> tuple[Raw, str]:
    """A whole table, and which of ``candidates`` is its column of ids; InvalidInput for none."""
    raw = read_raw(
        path, WantedColumns(None, frozenset(candidates), Hints(ids=(candidates[0], candidates[0])))
    )
    for name in candidates:
        if name in raw.table.column_names:
            only_once(raw, [name])
            return raw, name
    raise missing_column(raw, candidates[0])


def only_once(raw: Raw, columns: Iterable[str]) -> None:
    """InvalidInput for one of ``columns`` that a table has twice: which is meant is not said."""
    there = raw.table.column_names
    for name in columns:
        if there.count(name) > 1:
            raise InvalidInput(
                f"{raw.name} has {there.count(name)} columns {name!r}: rename all but one",
                column=name,
            )


def check_once(entities: Coded, raw: Raw, column: str, why: str) -> None:
    """InvalidInput, which ends in ``why``, for an id that has two rows."""
    counts = np.bincount(entities.rows, minlength=entities.ids.size)
    if (counts > 1).any():
        twice = int(np.flatnonzero(counts > 1)[0])
        second = int(np.flatnonzero(entities.rows == twice)[1])
        raise InvalidInput(
            f"{raw.where(second)}, column {column!r}: "
            f"{entities.ids.ids[twice].as_py()!r} has a row before already: {why}",
            column=column,
        )
