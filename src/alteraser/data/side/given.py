"""Everything that a linear model learns from, together: the rows of its relations, and what is
known of entities that occur in them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.ids import IdKind, IdMap
from alteraser.data.interactions import Interactions
from alteraser.data.side.attributes import Attributes
from alteraser.data.side.features import Words
from alteraser.data.side.links import Links, union

Array = npt.NDArray[Any]

MAIN = "data"
"""Name of the relation that DATA is; its tables are ``user`` and ``item``"""
USER, ITEM = "user", "item"


@dataclass(frozen=True, eq=False)
class Given:
    """Relations by name, the first of them DATA, and attributes by table."""

    links: tuple[Links, ...]
    attributes: Mapping[str, Attributes] = field(default_factory=dict)

    @classmethod
    def of(
        cls, data: Interactions | Given, attributes: Mapping[str, Attributes] | None = None
    ) -> Given:
        """DATA alone, with what is known of users and items; what is given already as it is."""
        if isinstance(data, Given):
            return data
        return cls((Links.of(MAIN, USER, ITEM, data),), attributes or {})

    @property
    def main(self) -> Links:
        """DATA."""
        return self.links[0]

    @cached_property
    def entities(self) -> Mapping[str, IdMap]:
        """By table, who occurs in any relation: sorted ids."""
        maps: dict[str, list[tuple[IdMap, str]]] = {}
        for one in self.links:
            for table, coded in ((one.source, one.heads), (one.target, one.tails)):
                maps.setdefault(table, []).append((coded.ids, f"relation {one.name}: {table}"))
        return {table: union(found) for table, found in maps.items()}

    def of_names(self, names: Collection[str]) -> Given:
        """With the names of the relations of a model. Triples of one sort that are between several
        tables are relations of their own, and stay what they were when those of the other tables
        are gone.
        """
        found = []
        for one in self.links:
            own = f"{one.name}/{one.source}-{one.target}"
            lost = one.name not in names and own in names
            found.append(replace(one, name=own) if lost else one)
        return replace(self, links=tuple(found))

    def of_kinds(self, kinds: Mapping[str, IdKind] | None = None) -> Given:
        """With the ids of a table of one kind, whatever of it is in which file: that of ``kinds``,
        else of the first relation that it is in. Raises InvalidInput where an id would be changed.
        """
        wanted = {table: ids.kind for table, ids in self.entities.items()} | dict(kinds or {})
        links = tuple(x.of_kinds(wanted) for x in self.links)
        attributes = {
            table: replace(x, entities=x.entities.converted(wanted[table], f"{x.name}: {table}"))
            if table in wanted
            else x
            for table, x in self.attributes.items()
        }
        return replace(self, links=links, attributes=attributes)

    @cached_property
    def known(self) -> Mapping[str, Attributes]:
        """Attributes in the rows of ``entities``: nothing of who occurs nowhere."""
        return {
            table: attributes.of(self.entities[table])
            for table, attributes in self.attributes.items()
            if table in self.entities
        }

    @cached_property
    def digests(self) -> dict[str, str]:
        """By source: ``data``, ``relation NAME`` (all that a file gave), ``user features``, …"""
        found: dict[str, Any] = {MAIN: self.main.digest}
        for group in dict.fromkeys(one.group for one in self.links[1:]):
            parts = sorted((x.name, x.digest) for x in self.links[1:] if x.group == group)
            found[f"relation {group}"] = _joined(parts)
        for table, attributes in sorted(self.known.items()):
            found[f"{table} features"] = attributes.digest
        return found

    def interactions(self) -> Interactions:
        """The distinct pairs of DATA, in the rows of ``entities``."""
        main = self.main
        values = {"confidence": main.confidence, "target": main.aim, "timestamp": main.times}
        columns = {name: pa.array(x) for name, x in values.items() if x is not None}
        known = self.entities[USER], self.entities[ITEM]
        return Interactions.from_coded(
            main.heads, main.tails, columns, duplicates="first", known=known
        )

    def kept(self, masks: Mapping[str, Array]) -> Given:
        """The rows for which the mask of their relation is true; relations that are empty then are
        gone.
        """
        found = [x.keep(masks[x.name]) if x.name in masks else x for x in self.links]
        return replace(self, links=(found[0], *(x for x in found[1:] if len(x))))

    def without_entities(self, table: str, ids: Any) -> Given:
        """Without everything of some entities: rows of relations, and what is known of them."""
        masks = {x.name: ~x.holding(table, ids) for x in self.links}
        attributes = dict(self.attributes)
        if table in attributes:
            attributes[table] = attributes[table].without(attributes[table].places(ids))
        return replace(self.kept(masks), attributes=attributes)

    def without_words(self, table: str, feature: str, words: list[str]) -> Given:
        """Without some words of a feature."""
        attributes = self.attributes[table]
        found = attributes.feature(feature)
        for word in words:
            assert isinstance(found, Words)
            found = found.without_word(word)
        return self._with(table, attributes.changed({feature: found}))

    def without_context(self, name: str, words: list[str]) -> Given:
        """Without the rows of DATA that were in a context."""
        mask = np.ones(len(self.main), bool)
        for word in words:
            mask[self.main.contexts[name].holders(word)] = False
        return self.kept({self.main.name: mask})

    def without_values(self, table: str, feature: str, ids: Any = None) -> Given:
        """Without a feature of some entities, or of all."""
        attributes = self.attributes[table]
        found, rows = attributes.feature(feature), np.arange(attributes.entities.rows.size)
        if ids is not None:
            rows = attributes.places(ids)
        return self._with(table, attributes.changed({feature: found.without(rows)}))

    def _with(self, table: str, attributes: Attributes) -> Given:
        return replace(self, attributes={**self.attributes, table: attributes})


def _joined(parts: list[tuple[str, str]]) -> str:
    from alteraser.data.side.digests import digest

    return digest(*(text for part in parts for text in part))
