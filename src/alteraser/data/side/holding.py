"""Everything that a model of several sources learned from, as tables of its own: written to a
folder, and read from there as the command line reads files.

interactions.parquet   DATA: ids, contexts, and times, confidences and targets where there are some
relations-N.parquet    a further relation, in the columns of its file that are used
features-N.parquet     what is known of the entities of a table
entities-N.parquet     which node of a graph is which of them
setup.toml             which of these files is what, as ``--setup`` takes it
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from alteraser.data.readers import ReadingOptions
from alteraser.data.sheet import Sheet
from alteraser.data.side.contexts import context_columns
from alteraser.data.side.given import ITEM, MAIN, USER, Given
from alteraser.data.side.links import Links, one_word
from alteraser.data.side.parts import Lookup
from alteraser.data.side.relations import read_used, rows_of
from alteraser.data.side.sources import SetupFile, Sources, given_of, joins_of
from alteraser.data.side.spec import EntityFile, Kind, RelationFile
from alteraser.errors import IntegrityError, InvalidInput

DATA, SETUP = "interactions.parquet", "setup.toml"
ADDED = b"alteraser.added"

Settled = Mapping[str, Mapping[str, Kind]]
"""By table, the features that a model has and what they are"""


@dataclass(frozen=True, eq=False)
class Addition:
    """Further rows of a relation, or of DATA, in its columns."""

    relation: str
    table: pa.Table
    tables: tuple[str, ...] = ()
    """Whose ids its columns hold, where that is said"""

    def to_table(self) -> pa.Table:
        """The rows, with the relation they are of in what Parquet keeps beside them."""
        said = {"relation": self.relation, "tables": list(self.tables)}
        return self.table.replace_schema_metadata({ADDED: json.dumps(said)})

    @classmethod
    def of_table(cls, table: pa.Table) -> Addition:
        """From ``to_table``."""
        said = json.loads(table.schema.metadata[ADDED])
        plain = table.replace_schema_metadata(None)
        return cls(said["relation"], plain, tuple(said["tables"]))


@dataclass(frozen=True, eq=False)
class HeldSources:
    """Everything given, and the tables that it is read from."""

    given: Given
    sources: Sources
    """What is beside DATA; its files are tables in memory"""
    reading: ReadingOptions
    """Of the table of DATA"""

    @classmethod
    def of(cls, given: Given, sources: Sources, reading: ReadingOptions) -> HeldSources:
        """Of what was read from the files of ``sources``, DATA by ``reading``."""
        columns = {USER: reading.user_column, ITEM: reading.item_column}
        joins = joins_of(sources, columns)
        held = Sources(
            sources.features,
            tuple(replace(file, path=read_used(file)) for file in sources.relations),
            sources.entities,
            sources.contexts,
        )
        return cls._made(given, held, _canonical(given, sources), joins)

    @classmethod
    def _made(
        cls,
        given: Given,
        sources: Sources,
        reading: ReadingOptions,
        joins: Mapping[str, tuple[pa.Array, pa.Array]],
    ) -> HeldSources:
        """Of ``given``; the tables of relations are theirs already."""
        columns = {USER: reading.user_column, ITEM: reading.item_column}
        features = {
            table: replace(
                file,
                path=given.attributes[table].to_table(columns.get(table, f"{table}_id")),
                columns=tuple(x.name for x in given.attributes[table].features),
            )
            for table, file in sources.features.items()
        }
        entities = tuple(
            replace(file, path=_join_table(file, columns, *joins[file.table]))
            for file in sources.entities
        )
        whole = replace(sources, features=features, entities=entities)
        return cls.parsed(_data_table(given.main, reading), whole, reading)

    @classmethod
    def parsed(cls, data: pa.Table, sources: Sources, reading: ReadingOptions) -> HeldSources:
        """Of tables."""
        sheet = Sheet.read(data, reading, every_column=True)
        return cls(given_of(sheet, sources), sources, reading)

    @cached_property
    def lookup(self) -> Lookup:
        """Its parts by what they are of."""
        return Lookup(self.given)

    @property
    def joins(self) -> dict[str, tuple[pa.Array, pa.Array]]:
        """By table, which nodes are which of its entities."""
        columns = {USER: self.reading.user_column, ITEM: self.reading.item_column}
        return joins_of(self.sources, columns)

    # ------------------------------------------------------------------ what becomes of it

    def left(self, rest: Given) -> HeldSources:
        """What ``rest`` leaves of it, which is of its rows. A relation of which nothing is left
        stays as a table without rows: new ones may come.
        """
        relations = []
        for file in self.sources.relations:
            before, after = (
                [x for x in g.links if x.group == file.name] for g in (self.given, rest)
            )
            kept = kept_places(before, after, file.path.num_rows)
            relations.append(replace(file, path=file.path.filter(pa.array(kept))))
        joins = {}
        for table, (nodes, ids) in self.joins.items():
            here = pa.array(_present(ids, table, self.given, rest))
            joins[table] = nodes.filter(here), ids.filter(here)
        sources = replace(self.sources, relations=tuple(relations))
        return self._made(rest, sources, self.reading, joins)

    def joined(self, added: Sequence[Addition]) -> HeldSources:
        """With further rows, each once; what is there already stays as it is."""
        whole = self
        for each in added:
            fresh = each.table.filter(pa.array(~whole.known(each)))
            if fresh.num_rows:
                whole = whole._with(replace(each, table=fresh))
        return whole

    def _with(self, added: Addition) -> HeldSources:
        data, relations = _data_table(self.given.main, self.reading), self.sources.relations
        if added.relation == MAIN:
            data = pa.concat_tables([data, added.table])
        else:
            relations = tuple(
                replace(file, path=pa.concat_tables([file.path, added.table]))
                if file.name == added.relation
                else file
                for file in relations
            )
        return self.parsed(data, replace(self.sources, relations=relations), self.reading)

    def known(self, added: Addition) -> npt.NDArray[np.bool_]:
        """Which rows say what is there already, or what one before them says, (rows,)."""
        found = np.zeros(added.table.num_rows, bool)
        of = {x.name: x for x in self.given.links}
        for links in self.rows(added):
            there: set[Any] = set()
            if links.name in of:
                mine = of[links.name]
                near = np.flatnonzero(mine.holding(links.source, links.heads.ids.ids))
                there = set(_said(mine, near))
            assert links.places is not None
            for place, said in zip(
                links.places.tolist(), _said(links, np.arange(len(links))), strict=True
            ):
                found[place] = said in there
                there.add(said)
        return found

    def rows(self, added: Addition) -> list[Links]:
        """The relations that rows are of; InvalidInput for rows that cannot be read."""
        if added.relation != MAIN:
            file = RelationFile(added.relation, added.table, added.tables)
            return rows_of(file, self.joins)
        sheet = Sheet.read(added.table, self.reading, every_column=True)
        contexts = context_columns(self.sources.contexts, sheet.raw, self.reading.timestamp_column)
        times = None if self.reading.timestamp_column is None else sheet.times
        places = np.arange(added.table.num_rows)
        return [
            Links(MAIN, USER, ITEM, sheet.users, sheet.items, contexts, times=times, places=places)
        ]

    def addition(self, relation: str, table: pa.Table) -> Addition:
        """Rows of a relation, or of DATA; InvalidInput for one that is not there."""
        if relation == MAIN:
            return Addition(MAIN, table)
        file = next((x for x in self.sources.relations if x.name == relation), None)
        if file is not None:
            return Addition(relation, table, file.tables)
        there = ", ".join([MAIN, *(x.name for x in self.sources.relations)])
        raise InvalidInput(
            f"there is no relation {relation}; there are {there}", code="unknown_relation"
        )

    def table_of(self, main: Links) -> pa.Table:
        """Rows of DATA in the columns of its table."""
        return _data_table(main, self.reading)

    def columns(self, relation: str) -> pa.Schema:
        """The columns of a relation, or of DATA; InvalidInput for one that is not there."""
        self.addition(relation, pa.table({}))
        if relation == MAIN:
            return _data_table(self.given.main, self.reading).schema
        files = {file.name: file for file in self.sources.relations}
        return files[relation].path.schema

    # ------------------------------------------------------------------ the folder

    def write(self, folder: Path) -> None:
        """Its files, into a folder that is there."""
        sources, files = self.sources, {DATA: _data_table(self.given.main, self.reading)}
        sections: list[tuple[str, str, dict[str, Any]]] = []
        entries: dict[str, list[tuple[str, Any]]] = {
            "features": list(sources.features.items()),
            "relations": [(x.name, x) for x in sources.relations],
            "entities": [(x.table, x) for x in sources.entities],
        }
        for sort, of_sort in entries.items():
            for number, (name, file) in enumerate(of_sort):
                path = f"{sort}-{number}.parquet"
                files[path] = file.path
                sections.append((sort, name, {"file": path} | _further(file)))
        for path, table in files.items():
            pq.write_table(table, folder / path, compression="zstd")
        text = setup_toml(sources.contexts, sections)
        (folder / SETUP).write_text(text, encoding="utf-8")

    @classmethod
    def read(
        cls, folder: Path, reading: ReadingOptions, features: Settled, contexts: tuple[str, ...]
    ) -> HeldSources:
        """From a folder, with the features and contexts of the model that stands for it; NotFound,
        InvalidInput, or IntegrityError for files that are none of it.
        """
        sources = Sources.of(SetupFile.read(folder / SETUP), folder / SETUP)
        sources = sources.settled(features, contexts)
        tables: list[Any] = [
            *sources.features.values(),
            *sources.relations,
            *sources.entities,
        ]
        if any(file.path.parent != folder for file in tables):
            raise IntegrityError(f"{folder / SETUP} names files elsewhere")
        return cls.parsed(
            pq.read_table(folder / DATA),
            Sources(
                {name: _in_memory(file) for name, file in sources.features.items()},
                tuple(map(_in_memory, sources.relations)),
                tuple(map(_in_memory, sources.entities)),
                sources.contexts,
            ),
            reading,
        )


def _said(links: Links, places: Any) -> list[tuple[Any, ...]]:
    """(head, tail, word of every context) of some rows."""
    part = links.taken(places)
    columns = [x.ids.ids_of(x.rows).to_pylist() for x in (part.heads, part.tails)]
    for said in part.contexts.values():
        names = [*said.values.ids.ids.to_pylist(), None]
        columns.append([names[row] for row in one_word(said).tolist()])
    return list(zip(*columns, strict=True))


def setup_toml(contexts: Sequence[str], sections: Iterable[tuple[str, str, dict[str, Any]]]) -> str:
    """The text of a set-up: ``[SORT."NAME"]`` with what is said of each.

    >>> print(setup_toml(["weekday"], [("relations", "views", {"file": "views.parquet"})]), end="")
    context = ["weekday"]
    <BLANKLINE>
    [relations."views"]
    file = "views.parquet"
    """
    lines = [f"context = {_quoted(list(contexts))}"] if contexts else []
    for sort, name, said in sections:
        lines += ["", f"[{sort}.{_quoted(name)}]"]
        lines += [f"{key} = {_quoted(value)}" for key, value in said.items()]
    return "\n".join(lines).lstrip("\n") + "\n"


def kept_places(before: list[Links], after: list[Links], size: int) -> np.ndarray:
    """Which rows of a file are still in one of its relations, or never were."""
    found = np.ones(size, bool)
    for links, stays in (*((x, False) for x in before), *((x, True) for x in after)):
        assert links.places is not None
        found[links.places[links.places >= 0]] = stays
    return found


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _further(file: Any) -> dict[str, Any]:
    if isinstance(file, EntityFile):
        return {"column": file.column}
    tables = getattr(file, "tables", ())
    return {"tables": list(tables)} if tables else {}


def _in_memory(file: Any) -> Any:
    return replace(file, path=pq.read_table(file.path))


def _present(ids: pa.Array, table: str, given: Given, rest: Given) -> np.ndarray:
    """Which entities a table that joins nodes to them still has: those who did not go."""
    was, left = (
        np.zeros(len(ids), bool)
        if g.entities.get(table) is None
        else g.entities[table].rows_of(ids, table) >= 0
        for g in (given, rest)
    )
    return np.asarray(~was | left)


def _join_table(
    file: EntityFile, columns: Mapping[str, str], nodes: pa.Array, ids: pa.Array
) -> pa.Table:
    return pa.table({columns.get(file.table, f"{file.table}_id"): ids, file.column: nodes})


def _canonical(given: Given, sources: Sources) -> ReadingOptions:
    """How the table of DATA is read; its columns are called like nothing else that is read with
    them.
    """
    main, taken = given.main, {*sources.contexts, *(x.column for x in sources.entities)}
    taken |= {x.name for known in given.attributes.values() for x in known.features}
    names = {}
    for name in ("user_id", "item_id", "timestamp", "confidence", "target"):
        names[name] = name
        while names[name] in taken:
            names[name] += "_"
    return ReadingOptions(
        user_column=names["user_id"],
        item_column=names["item_id"],
        timestamp_column=None if main.times is None else names["timestamp"],
        confidence=None if main.confidence is None else names["confidence"],
        target=None if main.aim is None else names["target"],
        duplicates="first" if main.contexts else "refuse",
    )


def _data_table(main: Links, reading: ReadingOptions) -> pa.Table:
    """The rows of DATA, a word of every context each."""
    columns = {
        reading.user_column: main.heads.ids.ids_of(main.heads.rows),
        reading.item_column: main.tails.ids.ids_of(main.tails.rows),
    }
    for name, said in main.contexts.items():
        word = one_word(said)
        columns[name] = said.values.ids.ids.take(pa.array(word, mask=word < 0))
    for column, values in (
        (reading.timestamp_column, main.times),
        (reading.confidence, main.confidence),
        (reading.target, main.aim),
    ):
        if column is not None:
            columns[column] = pa.array(np.ones(len(main)) if values is None else values)
    return pa.table(columns)
