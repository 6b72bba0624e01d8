"""Files of further relations: two columns of ids, or heads, relations and tails of a graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from alteraser.data.ids import Coded, IdKind, IdMap, convert_ids, id_kind
from alteraser.data.readers import (
    Hints,
    Raw,
    WantedColumns,
    identifiers,
    is_text,
    missing_column,
    plain,
    read_raw,
    times,
)
from alteraser.data.side.attributes import check_once, only_once, read_with_ids
from alteraser.data.side.links import Links
from alteraser.data.side.spec import EntityFile, RelationFile
from alteraser.errors import InvalidInput

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

TIME = "timestamp"
TRIPLE = ("head", "relation", "tail")


def read_relation(
    file: RelationFile,
    known: Mapping[str, IdMap],
    joins: Mapping[str, tuple[pa.Array, pa.Array]] | None = None,
) -> list[Links]:
    """The relations of a file: one of two columns, or of a graph one for every sort of triple.

    A column ``user_id`` or ``user`` is of the table ``user``. Heads of triples are items and tails
    nodes of a table of the file's name; with ``joins``, (ids of nodes, ids of a table) by table,
    those are entities that these name, on either side, and all others nodes. A column
    ``timestamp`` says when each row was. ``known`` are the ids of tables that there are. Raises
    InvalidInput for a relation that has none of them.
    """
    links = rows_of(file, joins)
    if links:
        _check_overlap(file, links, known)
    return links


def rows_of(
    file: RelationFile, joins: Mapping[str, tuple[pa.Array, pa.Array]] | None = None
) -> list[Links]:
    """``read_relation``, whoever its ids are; none of a file without rows, of which all is
    forgotten.
    """
    raw = _raw(file)
    if not raw.table.num_rows:
        return []
    if set(TRIPLE) <= set(raw.table.column_names):
        only_once(raw, TRIPLE)
        return triples_of(file, raw, joins or {})
    first, second = pair_of(raw, file)
    only_once(raw, (first, second))
    tables = file.tables or (_table(first), _table(second))
    heads, tails = (
        Coded(*IdMap.build(plain(identifiers(raw.table[name], name, raw.where))))
        for name in (first, second)
    )
    places = np.arange(raw.table.num_rows)
    return [Links(file.name, tables[0], tables[1], heads, tails, times=_times(raw), places=places)]


def kinds_of_ends(
    file: RelationFile, joins: Mapping[str, tuple[pa.Array, pa.Array]]
) -> tuple[frozenset[IdKind], frozenset[IdKind]]:
    """What the ids of heads and of tails may be, by the columns of a file that has no rows."""
    raw = _raw(file)
    graph = set(TRIPLE) <= set(raw.table.column_names)
    names = ("head", "tail") if graph else pair_of(raw, file)
    entities = {id_kind(ids.type) for _, ids in joins.values()} if graph else set()
    first, second = (frozenset({id_kind(raw.table[name].type), *entities}) for name in names)
    return first, second


def tables_of_pair(file: RelationFile) -> tuple[str, str]:
    """Whose ids the two columns of a file hold, with or without rows."""
    if file.tables:
        return file.tables[0], file.tables[1]
    first, second = pair_of(_raw(file), file)
    return _table(first), _table(second)


def read_used(file: RelationFile) -> pa.Table:
    """The columns of a file that say anything of the relation, all its rows."""
    raw = _raw(file)
    names = TRIPLE if set(TRIPLE) <= set(raw.table.column_names) else pair_of(raw, file)
    only_once(raw, names)
    found = {name: plain(identifiers(raw.table[name], name, raw.where)) for name in names}
    moments = _times(raw)
    return pa.table(found if moments is None else {**found, TIME: pa.array(moments)})


def _raw(file: RelationFile) -> Raw:
    columns = ("user_id", "item_id")
    wanted = frozenset({*columns, "head", "tail"})
    return read_raw(file.path, WantedColumns(None, wanted, Hints(columns)))


def read_join(file: EntityFile, id_column: str) -> tuple[pa.Array, pa.Array]:
    """(ids of nodes, ids of the table's entities), of rows that have both."""
    raw, column = read_with_ids(
        file.path, (id_column, f"{file.table}_id", file.table, "id"), "--entities"
    )
    if file.column not in raw.table.column_names:
        raise missing_column(raw, file.column, "--entities", before=f"{file.table}={file.path}:")
    only_once(raw, [file.column])
    there = pc.is_valid(raw.table[file.column])
    if is_text(raw.table[file.column].type):
        there = pc.and_(there, pc.not_equal(raw.table[file.column], "").fill_null(False))
    part = raw.table.filter(there)
    nodes, entities = (
        plain(identifiers(part[name], name, raw.where)) for name in (file.column, column)
    )
    check_once(
        Coded(*IdMap.build(nodes)),
        raw,
        file.column,
        f"a node is one {file.table}. Keep the row of the {file.table} that it is",
    )
    return nodes, entities


def tables_of_graphs(links: Iterable[Links]) -> set[str]:
    """Of which tables heads and tails of triples are."""
    triples = [x for x in links if x.name != x.group and len(x)]
    return {table for one in triples for table in (one.source, one.target)}


def pair_of(raw: Raw, file: RelationFile) -> tuple[str, str]:
    """The two columns of ids: the first two, or those that are named after the tables. InvalidInput
    where there are no two.
    """
    names = raw.table.column_names
    if len(names) < 2 or raw.guess:
        raise missing_column(raw, "head")
    if file.tables and file.tables[0] != file.tables[1]:
        found = [next((x for x in (f"{t}_id", t) if x in names), None) for t in file.tables]
        if None not in found:
            return str(found[0]), str(found[1])
    if {"user_id", "item_id"} <= set(names) and not file.tables:
        return "user_id", "item_id"
    ids = [name for name in names if name != TIME]
    return (ids[0], ids[1]) if len(ids) > 1 else (names[0], names[1])


def _table(column: str) -> str:
    return column.removesuffix("_id")


def _times(raw: Raw) -> Rows | None:
    """When each row was, where a column ``timestamp`` says it."""
    if TIME not in raw.table.column_names:
        return None
    only_once(raw, (TIME,))
    return np.asarray(times(raw.table[TIME], TIME, raw.where).to_numpy())


def triples_of(
    file: RelationFile, raw: Raw, joins: Mapping[str, tuple[pa.Array, pa.Array]]
) -> list[Links]:
    """The rows of a table of heads, relations and tails, by relation and tables."""
    sides = [plain(identifiers(raw.table[x], x, raw.where)) for x in ("head", "tail")]
    sorts = plain(identifiers(raw.table["relation"], "relation", raw.where)).cast(pa.string())
    every = np.ones(len(sorts), bool)
    source, target = file.tables or ("item", file.name)
    split = [{source: (sides[0], every)}, {target: (sides[1], every)}]
    if joins:
        split = [ids_by_table(side, file.name, joins) for side in sides]
    found, moments = [], _times(raw)
    named: dict[str, str] = {}
    for sort in pc.unique(sorts).sort().to_pylist():
        of_sort = pc.equal(sorts, sort).to_numpy(zero_copy_only=False)
        name = f"{file.name}/{str(sort).replace('/', '.')}"
        first = named.setdefault(name, sort)
        if first != sort:
            raise InvalidInput(
                f"{raw.name}: the relations {first!r} and {sort!r} would both be called {name}, "
                "for a slash parts a name from that of its file. Rename one of them"
            )
        parts = []
        for source, (heads, is_head) in split[0].items():
            for target, (tails, is_tail) in split[1].items():
                rows = np.flatnonzero(of_sort & is_head & is_tail)
                if rows.size:
                    one, other = (
                        Coded(*IdMap.build(x.take(pa.array(rows)))) for x in (heads, tails)
                    )
                    when = None if moments is None else moments[rows]
                    parts.append(Links(name, source, target, one, other, times=when, places=rows))
        found += (
            parts
            if len(parts) == 1
            else [replace(x, name=f"{name}/{x.source}-{x.target}") for x in parts]
        )
    return found


def ids_by_table(
    ids: pa.Array,
    own: str,
    joins: Mapping[str, tuple[pa.Array, pa.Array]],
) -> dict[str, tuple[pa.Array, Mask]]:
    """By table: the column in its ids, and which rows are of it; nodes are what is left."""
    found: dict[str, tuple[pa.Array, Mask]] = {}
    rest = np.ones(len(ids), bool)
    for table, (nodes, entities) in joins.items():
        try:
            nodes = convert_ids(nodes, IdMap.build(ids)[0].kind, table)
        except InvalidInput:
            continue  # ids of another form are other ids
        places = pc.index_in(ids, value_set=nodes)
        named = entities.take(places.fill_null(0)) if len(entities) else ids
        mask = rest & places.is_valid().to_numpy(zero_copy_only=False)
        found[table] = named, mask
        rest = rest & ~mask
    found[own] = ids, rest
    return found


def _check_overlap(file: RelationFile, links: list[Links], known: Mapping[str, IdMap]) -> None:
    """InvalidInput for a relation that shares nobody with the data: it could not teach anything."""
    tables = {x for one in links for x in (one.source, one.target)} & known.keys()
    for one in links:
        for table, coded in ((one.source, one.heads), (one.target, one.tails)):
            if table in tables and (known[table].rows_of(coded.ids.ids, one.name) >= 0).any():
                return
    what = " and ".join(sorted(tables)) or "user and item"
    raise InvalidInput(
        f"--relation {file.name}={file.path}: none of its ids occurs among those of {what} in the "
        "data, so it would teach nothing. Write ids as in the data, name the tables of its columns "
        f"(--relation {file.name}={file.path}:user,item), or say which nodes are which items "
        "(--entities item=FILE:COLUMN)"
    )
