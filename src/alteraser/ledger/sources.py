"""What a request may name where the model learned from several sources: relations, entities of any
table, words, and what is known of somebody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alteraser.errors import InvalidInput
from alteraser.ledger.ids import Id, IdType, id_of

SEVERAL = ("entity", "entities", "attributes")
"""Fields of a body that name what only several sources have"""
OF_ONE = ("users", "items", "pairs", "user")
"""Those that ``from`` may stand beside"""


@dataclass(frozen=True)
class DeclaredSources:
    """What there is beside DATA, by the names that requests may use."""

    relations: Mapping[str, tuple[frozenset[IdType], frozenset[IdType]]]
    """By name, what the ids of heads and tails are; ``data`` is one"""
    tables: Mapping[str, IdType]
    words: frozenset[str]
    """Features and contexts whose words are named like entities"""
    attributes: frozenset[str]
    """``table:feature``"""
    times: Mapping[str, int]
    """By relation, the largest of its times, which tells their unit; those that have times"""


def source_of(body: Mapping[str, Any], scope: str, sources: DeclaredSources | None) -> str | None:
    """The relation of which alone something is asked for; InvalidInput where there are no sources
    beside the interactions, none of that name, or it means nothing.
    """
    source = body.get("from")
    if source is None and scope not in SEVERAL:
        return None
    if source is not None and not isinstance(source, str):
        raise _invalid("from", "from: expected the name of a relation")
    if sources is None:
        words = "from" if source is not None else scope
        raise _invalid(
            "one_source",
            f"{words}: the model here learned from interactions alone; name users, items or pairs",
        )
    if source is None:
        return None
    if scope not in OF_ONE:
        raise _invalid("from", f"from goes with {', '.join(OF_ONE)}, not with {scope}")
    if source not in sources.relations:
        raise _invalid("unknown_relation", f"from: there are {', '.join(sources.relations)}")
    return source


def entity(given: Any, sources: DeclaredSources | None) -> tuple[str, Id]:
    """(table, id) of an entity, or of a word."""
    assert sources is not None
    if not isinstance(given, Mapping) or set(given) != {"table", "id"}:
        raise _invalid("type", 'entity: expected {"table": …, "id": …}')
    table = given["table"]
    if not isinstance(table, str) or table not in sources.tables.keys() | sources.words:
        there = ", ".join([*sources.tables, *sorted(sources.words - sources.tables.keys())])
        raise _invalid("unknown_table", f"entity: there is no such table; there are {there}")
    return table, id_of(given["id"], sources.tables.get(table, "string"), "entity")


def attribute(given: Any, sources: DeclaredSources | None) -> str:
    """``table:feature``"""
    assert sources is not None
    if not isinstance(given, str) or given not in sources.attributes:
        there = ", ".join(sorted(sources.attributes)) or "none"
        raise _invalid("unknown_attribute", f"attributes: there are {there}")
    return given


def ends(pair: Any, sources: DeclaredSources | None, source: str) -> tuple[Id, Id]:
    """(head, tail) of a relation."""
    assert sources is not None
    if not isinstance(pair, list) or len(pair) != 2:
        raise _invalid("type", "pairs: expected [head, tail] for each")
    head, tail = (
        id_of(value, _fitting(value, kinds), "pairs")
        for value, kinds in zip(pair, sources.relations[source], strict=True)
    )
    return head, tail


def in_order(names: tuple[Id, ...]) -> list[tuple[bool, Id]]:
    """Numbers before text."""
    return [(isinstance(name, str), name) for name in names]


def _fitting(value: Any, kinds: frozenset[IdType]) -> IdType:
    """Of the kinds that ids may be of, the one that a value is of, if any is."""
    own: IdType = "string" if isinstance(value, str) else "int64"
    return own if own in kinds else min(kinds)


def _invalid(code: str, message: str) -> InvalidInput:
    return InvalidInput(message, code=code)
