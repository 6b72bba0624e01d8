"""Which files a composite model learns from, and everything that they give together.

A TOML file says it for bigger set-ups, paths relative to it:

    factors = 64
    context = ["weekday", "daytime"]

    [features.item]
    file = "items.parquet"
    columns = ["genres", "year=number"]

    [relations.views]
    file = "views.parquet"
    tables = ["user", "item"]
    weight = 0.5

    [relations.kg]
    file = "kg.parquet"

    [entities.item]
    file = "items.parquet"
    column = "kg_entity"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from alteraser.data.ids import IdKind
from alteraser.data.readers import ReadingOptions
from alteraser.data.sheet import Sheet
from alteraser.data.side.attributes import Attributes, read_attributes
from alteraser.data.side.contexts import context_columns
from alteraser.data.side.given import ITEM, MAIN, USER, Given
from alteraser.data.side.links import Links
from alteraser.data.side.reach import stranded
from alteraser.data.side.relations import read_join, read_relation, rows_of, tables_of_graphs
from alteraser.data.side.spec import EntityFile, FeatureFile, Kind, RelationFile, check_name
from alteraser.errors import InvalidInput, NotFound
from alteraser.settings import Configured


class FeaturesEntry(Configured):
    """``[features.TABLE]``"""

    file: str
    columns: tuple[str, ...] = ()


class RelationEntry(Configured):
    """``[relations.NAME]``"""

    file: str
    tables: tuple[str, ...] = ()
    weight: float | None = None
    missing_weight: float | None = None
    prediction: float | None = None


class EntityEntry(Configured):
    """``[entities.TABLE]``"""

    file: str
    column: str


class SetupFile(Configured):
    """A TOML file of a set-up; what is not said is as without it."""

    context: tuple[str, ...] = ()
    factors: int | None = None
    regularization: float | None = None
    missing_weight: float | None = None
    biases: bool | None = None
    feature_scaling: float | None = None
    continuation: float | None = None
    features: dict[str, FeaturesEntry] = Field(default_factory=dict)
    relations: dict[str, RelationEntry] = Field(default_factory=dict)
    entities: dict[str, EntityEntry] = Field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> SetupFile:
        """NotFound where there is none, InvalidInput, naming the entry, for what it cannot say."""
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NotFound(f"there is no file {path}; check the path", path=str(path)) from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
            raise InvalidInput(f"{path} cannot be read as TOML: {cause}") from cause
        try:
            return cls.model_validate(found)
        except InvalidInput as cause:
            said = cause.message.removeprefix(f"{cls.__name__}: ")
            raise InvalidInput(f"{path}: {said}") from cause

    def settings(self) -> dict[str, Any]:
        """What it says of the model, by the names of ``LinearSetup``."""
        found: dict[str, Any] = {
            name: value
            for name in ("factors", "regularization", "biases", "feature_scaling", "continuation")
            if (value := getattr(self, name)) is not None
        }
        relations = {
            name: {
                key: value
                for key in ("weight", "missing_weight", "prediction")
                if (value := getattr(entry, key)) is not None
            }
            for name, entry in self.relations.items()
        }
        if self.missing_weight is not None:
            relations[MAIN] = {"missing_weight": self.missing_weight}
        return found | {"relations": {name: x for name, x in relations.items() if x}}


@dataclass(frozen=True)
class Sources:
    """Files beside DATA."""

    features: Mapping[str, FeatureFile] = field(default_factory=dict)
    """By table"""
    relations: tuple[RelationFile, ...] = ()
    entities: tuple[EntityFile, ...] = ()
    contexts: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether there is anything beside DATA."""
        return bool(self.features or self.relations or self.entities or self.contexts)

    @classmethod
    def of(cls, file: SetupFile, path: Path) -> Sources:
        """Those of the TOML file at ``path``, their paths relative to it; InvalidInput names it."""
        try:
            return cls._of(file, path.parent)
        except InvalidInput as cause:
            raise InvalidInput(f"{path}: {cause.message}") from cause

    @classmethod
    def _of(cls, file: SetupFile, folder: Path) -> Sources:
        features = {}
        for table, entry in file.features.items():
            features[table] = FeatureFile.of(
                folder / entry.file, entry.columns, f"features.{table}"
            )
        relations = []
        for name, one in file.relations.items():
            check_name(name, f"relations.{name}")
            if one.tables and len(one.tables) != 2:
                raise InvalidInput(f"relations.{name}: tables are two, not {len(one.tables)}")
            relations.append(RelationFile(name, folder / one.file, one.tables))
        entities = tuple(
            EntityFile(table, folder / x.file, x.column) for table, x in file.entities.items()
        )
        return cls(features, tuple(relations), entities, file.context)

    def and_(self, other: Sources) -> Sources:
        """With those of the command line as well, which come before what a file says."""
        named = {x.name for x in other.relations}
        tables = {x.table for x in other.entities}
        return Sources(
            {**self.features, **other.features},
            (*(x for x in self.relations if x.name not in named), *other.relations),
            (*(x for x in self.entities if x.table not in tables), *other.entities),
            other.contexts or self.contexts,
        )

    def settled(
        self, features: Mapping[str, Mapping[str, Kind]], contexts: tuple[str, ...]
    ) -> Sources:
        """With the columns and contexts that a model settled on; InvalidInput for others."""
        found = {}
        for table, file in self.features.items():
            known = features.get(table, {})
            other = [name for name in file.columns if name not in known]
            if other:
                raise InvalidInput(
                    f"{file.path}: the model was not trained with {', '.join(other)} of a {table}; "
                    f"its features are {', '.join(known) or 'none'}"
                )
            found[table] = FeatureFile(file.path, tuple(known), tuple(known.items()))
        if self.contexts and set(self.contexts) != set(contexts):
            raise InvalidInput(
                f"the model was trained with the contexts {', '.join(contexts) or '(none)'}, not "
                f"{', '.join(self.contexts)}"
            )
        return replace(self, features=found, contexts=contexts)


def given_of(sheet: Sheet, sources: Sources) -> Given:
    """``read_given`` of what a model is known to have learned from, whoever is left in it."""
    columns = {USER: sheet.reading.user_column, ITEM: sheet.reading.item_column}
    joins = joins_of(sources, columns)
    links = [main_links(sheet, sources.contexts)]
    for file in sources.relations:
        links += rows_of(file, joins)
    return Given(tuple(links), _attributes(sources, columns)).of_kinds()


def joins_of(sources: Sources, columns: Mapping[str, str]) -> dict[str, tuple[pa.Array, pa.Array]]:
    """By table, which nodes are which of its entities; ``columns``: of the ids of tables."""
    return {x.table: read_join(x, columns.get(x.table, f"{x.table}_id")) for x in sources.entities}


def _attributes(sources: Sources, columns: Mapping[str, str]) -> dict[str, Attributes]:
    return {
        table: read_attributes(
            file, table, columns.get(table, f"{table}_id"), option=f"--{table}-features"
        )
        for table, file in sources.features.items()
    }


def read_given(
    sheet: Sheet,
    sources: Sources,
    main: Links | None = None,
    kinds: Mapping[str, IdKind] | None = None,
) -> Given:
    """Everything together: DATA, which is read with every column where there are contexts, and the
    files. ``main``: what DATA are instead; ``kinds``: of the ids of tables, where a model has some.

    A relation's file without rows is one of which everything is forgotten. Raises InvalidInput,
    naming the file, for what cannot be read or is of nobody in the data.
    """
    main = (main or main_links(sheet, sources.contexts)).of_kinds(kinds or {})
    columns = {USER: sheet.reading.user_column, ITEM: sheet.reading.item_column}
    known, joins = {USER: main.heads.ids, ITEM: main.tails.ids}, joins_of(sources, columns)
    links, emptied = [main], False
    for file in sources.relations:
        of_file = read_relation(file, known, joins)
        links, emptied = links + of_file, emptied or not of_file
    for entity in sources.entities:
        if not emptied and entity.table not in tables_of_graphs(links):
            raise InvalidInput(
                f"--entities {entity.table}={entity.path}:{entity.column}: none of its nodes is in "
                "a graph, a relation whose columns are head, relation and tail. Add the graph "
                "(--relation NAME=FILE), or leave this out"
            )
    attributes = _attributes(sources, columns)
    given = Given(tuple(links), attributes).of_kinds(kinds)
    for table, found in given.attributes.items():
        if table not in given.entities:
            if emptied:
                continue
            raise InvalidInput(
                f"{found.name}: there is no table {table}; there are {', '.join(given.entities)}"
            )
        none = not found.entities.ids.size  # all that was known is forgotten: a file without rows
        if (
            not none
            and not (given.entities[table].rows_of(found.entities.ids.ids, found.name) >= 0).any()
        ):
            raise InvalidInput(
                f"{found.name}: none of its {found.entities.ids.size:,} ids is one of table "
                f"{table} in the data. Write ids as in the data"
            )
    return given


def main_links(sheet: Sheet, contexts: tuple[str, ...]) -> Links:
    """DATA as links: rows as they are where there are contexts, else the distinct pairs."""
    _check_contexts(contexts, sheet.reading)
    columns, kept = sheet.settled.columns, sheet.settled.kept
    places = np.arange(len(sheet.users.rows)) if kept is None else kept
    if contexts:
        for name in ("confidence", "target"):
            if name in columns:
                raise InvalidInput(
                    f"--{name} with --context: a cell is a user in a context, and every row of it "
                    "counts 1; leave one of them out"
                )
        found = context_columns(contexts, sheet.raw, sheet.reading.timestamp_column)
        users, items = sheet.kept
        return Links(
            MAIN,
            USER,
            ITEM,
            users,
            items,
            {name: words.take(places) for name, words in found.items()},
            times=_array(columns.get("timestamp")),
            places=places,
        )
    return Links.of(MAIN, USER, ITEM, sheet.interactions())


def _check_contexts(contexts: tuple[str, ...], reading: ReadingOptions) -> None:
    """InvalidInput for one that is named twice, and for the ids of users or items, which say who
    and what it was, not when or where.
    """
    for name in contexts:
        if contexts.count(name) > 1:
            raise InvalidInput(f"context {name} is named twice")
        if name in (reading.user_column, reading.item_column):
            raise InvalidInput(
                f"context {name}: that column holds ids, which are what lists are made for and of; "
                "name a column of what was so at the time"
            )


def notes(given: Given) -> list[str]:
    """What of the files says nothing, in words, with what is done about it."""
    found = []
    for name, words in given.main.contexts.items():
        if words.missing.size:
            found.append(
                f"context {name}: {words.missing.size:,} row(s) without a value, which count as "
                "without that context"
            )
    for table, known in given.known.items():
        whole = given.attributes[table]
        unknown = whole.entities.ids.size - int(
            (given.entities[table].rows_of(whole.entities.ids.ids, table) >= 0).sum()
        )
        if unknown:
            found.append(
                f"{whole.name}: {unknown:,} id(s) that occur nowhere in the data: "
                "nothing is learned of them, recommend takes them from the file"
            )
        for one in known.features:
            if one.missing.size == one.rows:
                found.append(f"{table} {one.name}: no {table} in the data has one; left out")
            elif one.missing.size:
                found.append(
                    f"{table} {one.name}: missing of {one.missing.size:,} {table}(s), which count "
                    "as the average (a number) or without a word"
                )
            if one.missing.size < one.rows and _one_value(one):
                found.append(f"{table} {one.name}: one value throughout, it tells nobody apart")
    for table, count in stranded(given).items():
        found.append(
            f"{table}: {count:,} that no chain of rows links to anybody in DATA: they are kept, "
            "and tell of users and items only that nothing links them"
        )
    return found


def _one_value(feature: Any) -> bool:
    from alteraser.data.side.features import Numbers

    if isinstance(feature, Numbers):
        return feature.scale()[1] == 0.0
    return bool(feature.values.ids.size == 1 and not feature.missing.size)


def _array(column: pa.Array | None) -> Any:
    return None if column is None else np.asarray(column.to_numpy(), np.int64)


def reading_with(sources: Sources, reading: ReadingOptions) -> ReadingOptions:
    """``reading``, repeated pairs kept where they differ in context."""
    if sources.contexts and reading.duplicates == "refuse":
        return reading.model_copy(update={"duplicates": "first"})
    return reading
