"""A linear model as it is asked for: settings that are kept in it, and the problem they make of
data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationInfo, field_validator
from scipy.sparse import csr_array, eye_array, hstack

from alteraser.data.ids import IdMap
from alteraser.data.order import distinct
from alteraser.data.side.attributes import Attributes
from alteraser.data.side.features import Feature, Words
from alteraser.data.side.given import ITEM, MAIN, USER, Given
from alteraser.data.side.links import Links, one_word
from alteraser.models.factorization.defaults import Defaults, of_counts
from alteraser.models.relational.kind import LinearSettings
from alteraser.models.relational.operators import Identity, Operator, Sparse
from alteraser.models.relational.problem import LinearProblem, Point
from alteraser.models.relational.relations import NONE, Cells, MissingWeights, Relation
from alteraser.models.relational.tables import Table
from alteraser.settings import Configured

Array = npt.NDArray[Any]

SCARCE = 1e-3
"""Least N of a word: a number that hardly differs is still penalized"""


class FeatureSetting(Configured):
    """A column of features."""

    column: str
    kind: Literal["category", "number"]


class RelationSetting(Configured):
    """How a relation counts."""

    weight: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """β"""
    missing_weight: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    """w₀; None: from the data"""
    prediction: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """λ_h, where h is trained; None: h = 1"""


class LinearSetup(LinearSettings):
    """What a model of kind ``linear`` is, but for its data."""

    name: ClassVar[str] = "linear"
    summary: ClassVar[str] = "features, contexts, graphs and relations, a loss over all cells"

    regularization: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    """λ of every table; None: from the data"""
    biases: bool = False
    """Whether a score of DATA is also the sum of a number per row on either side"""
    feature_scaling: float = Field(default=1.0, ge=0.0, le=2.0)
    """ν: λ of a word is λ N^ν, N being how many have it (of those who have several, its share
    squared). At 1 a word weighs as much as the own vectors of all who have it, so that what can be
    said of each by itself is not said of all"""
    features: dict[str, tuple[FeatureSetting, ...]] = Field(default_factory=dict)
    """By table"""
    contexts: tuple[str, ...] = ()
    relations: dict[str, RelationSetting] = Field(default_factory=dict)
    """By the name of their file; DATA is ``data``"""
    ridge: dict[str, float] = Field(default_factory=dict)
    """λ by table, once settled"""
    missing: dict[str, float] = Field(default_factory=dict)
    """w₀ by relation, once settled"""

    @field_validator("regularization")
    @classmethod
    def _comes_down(cls, value: float | None, info: ValidationInfo) -> float | None:
        """Multiples of 0 are 0."""
        times = info.data.get("continuation", 1.0)
        if value == 0.0 and times > 1.0:
            raise ValueError(
                f"a penalty of 0 cannot come down from {times:g} times itself (continuation): "
                "give one above 0, or leave continuation at 1"
            )
        return value

    def settled(self, given: Given) -> LinearSetup:
        """With everything that the data decide decided: forgetting does not change it.

        λ of a table is that of the first relation it occurs in.
        """
        ridge, missing = dict(self.ridge), dict(self.missing)
        for links in given.links:
            rule = _rule(links)
            own = self.relation(links).missing_weight
            missing.setdefault(links.name, rule.missing_weight if own is None else own)
            for table in (links.source, links.target):
                own = self.regularization
                ridge.setdefault(table, rule.regularization if own is None else own)
        features = {
            table: tuple(
                FeatureSetting(column=x.name, kind="category" if isinstance(x, Words) else "number")
                for x in attributes.features
            )
            for table, attributes in given.attributes.items()
        }
        return self.model_copy(
            update={
                "ridge": ridge,
                "missing": missing,
                "features": features,
                "contexts": tuple(given.main.contexts),
            }
        )

    @property
    def of_data(self) -> tuple[float, float]:
        """See ``LinearSettings``."""
        return self.missing[MAIN], self.ridge[USER]

    def changed(self, values: Mapping[str, Any]) -> LinearSetup:
        """See ``LinearSettings``; w₀ is that of DATA, λ that of every table."""
        given = {**self.own(), **values}
        weight = given.pop("missing_weight", None)
        if weight is not None:
            weight = RelationSetting(missing_weight=weight).missing_weight
            entry = given["relations"].get(MAIN, {})
            given["relations"] = {
                **given["relations"],
                MAIN: {**entry, "missing_weight": weight},
            }
        return LinearSetup.model_validate(given)

    def relation(self, links: Links) -> RelationSetting:
        """Its settings, or the defaults."""
        return self.relations.get(links.group, RelationSetting())

    def assemble(self, given: Given) -> Assembled:
        """The problem that a settled setup makes of data."""
        sides = {
            table: TableSide.of(
                table,
                ids,
                given.known.get(table),
                given.main.contexts if table == given.main.source else {},
            )
            for table, ids in given.entities.items()
        }
        relations = tuple(self._relation(links, sides) for links in given.links)
        tables = tuple(Table.numbered(name, side.size) for name, side in sides.items())
        ridge = {
            name: self.ridge[name] * side.frequencies(self.feature_scaling)
            for name, side in sides.items()
        }
        problem = LinearProblem(tables, relations, ridge, self.factors)
        return Assembled(self, given, problem, sides)

    def _relation(self, links: Links, sides: Mapping[str, TableSide]) -> Relation:
        own = self.relation(links)
        source, target = sides[links.source], sides[links.target]
        left, rows = source.rows(links.heads.within(source.ids), links.contexts)
        right, columns = target.rows(links.tails.within(target.ids), {})
        return Relation(
            links.name,
            links.source,
            links.target,
            left,
            right,
            _cells(links, rows, columns, (left.shape[0], right.shape[0])),
            MissingWeights(self.missing[links.name]),
            own.weight,
            own.prediction,
            self.biases and links.name == MAIN,
        )


@dataclass(frozen=True)
class Block:
    """Rows of a table that are of one sort: its entities, the words of a feature or of a context,
    the slope of a number.
    """

    name: str
    """Of the table, the column or the context"""
    sort: Literal["entity", "feature", "context"]
    start: int
    ids: IdMap
    """A number has one, without a name"""
    scale: tuple[float, float] | None = None
    """Mean and deviation of a number"""

    @property
    def stop(self) -> int:
        """Behind its last row."""
        return self.start + self.ids.size


@dataclass(frozen=True, eq=False)
class TableSide:
    """A table: its blocks, and what an entity is of its rows."""

    table: str
    blocks: tuple[Block, ...]
    matrix: csr_array
    """(entities, rows of the table): 1 at an entity's own row, and its features"""
    average: Array
    """(rows of the table,): the mean over DATA of what contexts add"""

    @classmethod
    def of(
        cls, table: str, ids: IdMap, known: Attributes | None, contexts: Mapping[str, Words]
    ) -> TableSide:
        """Entities, then features, then contexts."""
        blocks = [Block(table, "entity", 0, ids)]
        matrices = [eye_array(ids.size, format="csr")]
        for feature in () if known is None else known.features:
            blocks.append(_block(feature, "feature", blocks[-1].stop))
            matrices.append(feature.matrix())
        shares = [np.zeros(blocks[-1].stop)]
        for words in contexts.values():
            blocks.append(_block(words, "context", blocks[-1].stop))
            size = words.values.ids.size
            shares.append(np.bincount(words.values.rows, minlength=size) / max(words.rows, 1))
            matrices.append(csr_array((ids.size, size)))
        whole = csr_array(hstack(matrices, format="csr"))
        return cls(table, tuple(blocks), whole, np.concatenate(shares))

    @property
    def size(self) -> int:
        """Rows of the table."""
        return self.blocks[-1].stop

    @property
    def ids(self) -> IdMap:
        """Of its entities."""
        return self.blocks[0].ids

    @property
    def plain(self) -> bool:
        """Whether an entity is its own row, and nothing else."""
        return len(self.blocks) == 1

    def rows(self, entities: Array, contexts: Mapping[str, Words]) -> tuple[Operator, Array]:
        """(the distinct rows that some entities in their contexts are, which of them each is)."""
        words = [one_word(x) for x in contexts.values()]
        of = _numbered(entities)
        for word in words:
            of = np.unique(of * (word.max(initial=0) + 2) + word + 1, return_inverse=True)[
                1
            ].ravel()
        first = np.zeros(of.max(initial=-1) + 1, np.int64)
        first[of[::-1]] = np.arange(of.size)[::-1]  # where each is first
        rows = entities[first]
        if self.plain and rows.size == self.size:
            return Identity(self.size), of
        matrix = csr_array(self.matrix[rows])
        starts = {block.name: block.start for block in self.blocks if block.sort == "context"}
        for name, word in zip(contexts, words, strict=True):
            there = np.flatnonzero(word[first] >= 0)
            places = word[first][there] + starts[name]
            ones = csr_array((np.ones(there.size), (there, places)), shape=matrix.shape)
            matrix = csr_array(matrix + ones)
        return Sparse(matrix), of

    def frequencies(self, exponent: float) -> Array:
        """ρ of every row of the table: (Σ_i A_ij²)^ν of features, 1 of entities and contexts."""
        found = np.ones(self.size)
        counts = np.asarray(self.matrix.multiply(self.matrix).sum(axis=0)).ravel()
        for block in self.blocks:
            if block.sort == "feature":
                inside = slice(block.start, block.stop)
                found[inside] = np.maximum(counts[inside], SCARCE) ** exponent
        return found

    def vectors(self, E: Array) -> Array:
        """What entities are, (entities, width): sums of rows of E, and what contexts add on
        average.
        """
        return np.asarray(self.matrix @ E + self.average @ E)


@dataclass(frozen=True, eq=False)
class Assembled:
    """The problem that a setup makes of everything given, and what its tables' rows are
    (``Posed``).
    """

    settings: LinearSetup
    given: Given
    problem: LinearProblem
    sides: Mapping[str, TableSide]

    def start(self, seed: int) -> Point:
        """See ``Posed``."""
        return self.problem.random(seed)

    def emptied(self, point: Point) -> Point:
        """See ``Posed``: who has nothing left has no row."""
        return point

    def composed(self, point: Point) -> tuple[Array, Array]:
        """See ``Posed``."""
        users, items = (self.sides[x].vectors(point.tables[x]) for x in (USER, ITEM))
        return users, items

    def carried(self, before: Assembled, vector: Array, *, h: float = 1.0) -> Array:
        """See ``Posed``: by ids."""
        old, found = before.problem.point(vector), np.zeros(self.problem.size)
        new = self.problem.point(found)
        for name, side in self.sides.items():
            earlier = before.sides.get(name)
            if earlier is None:
                continue
            of = {(block.sort, block.name): block for block in earlier.blocks}
            for block in side.blocks:
                there = of.get((block.sort, block.name))
                if there is None:
                    continue
                rows = there.ids.rows_of(block.ids.ids, name) + there.start
                known = rows >= there.start
                width = min(new.tables[name].shape[1], old.tables[name].shape[1])
                new.tables[name][block.start : block.stop][known, :width] = old.tables[name][
                    rows[known], :width
                ]
        for name, prediction in new.predictions.items():
            prediction[:] = old.predictions.get(name, h)
        return found


def _numbered(entities: Array) -> Array:
    """Which of the distinct values each of some small whole numbers is, in their order."""
    there = np.bincount(entities) > 0
    return (np.cumsum(there) - 1)[entities]


def composed(blocks: tuple[Block, ...], known: Attributes, E: Array) -> Array:
    """What somebody is of whom only features are known, (entities, width): the sum over them.

    Words that the table does not have add nothing; numbers are standardised as the table's.
    """
    total = np.zeros((known.entities.rows.size, E.shape[1]))
    for block in blocks:
        feature = next((x for x in known.features if x.name == block.name), None)
        if block.sort != "feature" or feature is None:
            continue
        words = isinstance(feature, Words)
        part = feature.matrix(block.ids) if words else feature.matrix(block.scale)  # type: ignore[arg-type]
        total += part @ E[block.start : block.stop]
    return total


def _block(feature: Feature, sort: Literal["feature", "context"], start: int) -> Block:
    if isinstance(feature, Words):
        return Block(feature.name, sort, start, feature.values.ids)
    return Block(feature.name, sort, start, IdMap.build([""])[0], feature.scale())


def _rule(links: Links) -> Defaults:
    """As for a matrix of its heads and tails."""
    pairs = distinct(links.heads.rows * np.int64(max(links.tails.ids.size, 1)) + links.tails.rows)
    return of_counts(links.heads.ids.size, links.tails.ids.size, pairs[0].size)


def _cells(links: Links, rows: Array, columns: Array, shape: tuple[int, int]) -> Cells:
    """Each once; of cells that stand there again the first one counts."""
    first = distinct(rows * np.int64(max(shape[1], 1)) + columns)[1]
    values = [NONE if x is None else x[first] for x in (links.confidence, links.aim)]
    return Cells.at(rows[first], columns[first], shape, *values)


def dense_scores(assembled: Assembled, vector: Array, relation: str = MAIN) -> Array:
    """All scores of a relation, by dense arithmetic: for tests and small data."""
    problem = assembled.problem
    point = problem.point(vector)
    r = next(x for x in problem.relations if x.name == relation)
    X, Z = r.left.apply(point.tables[r.source]), r.right.apply(point.tables[r.target])
    h = point.prediction(r)
    d = problem.rank
    found = (X[:, :d] if h is None else X[:, :d] * h) @ Z[:, :d].T
    return np.asarray(found + X[:, d:] + Z[:, d:].T if r.biases else found)


__all__ = [
    "USER",
    "Assembled",
    "Block",
    "FeatureSetting",
    "LinearSetup",
    "RelationSetting",
    "TableSide",
    "composed",
    "dense_scores",
]
