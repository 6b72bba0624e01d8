"""``read_table``: from whatever the user has to the columns that the rest of the package works
on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from alteraser.data.id_columns import described
from alteraser.data.notes import CONVERTED, GROUPED, UNRATED
from alteraser.data.readers._ids import identifiers, plain, take
from alteraser.data.readers._locate import ArrowStream, missing_column, read_raw
from alteraser.data.readers._options import ReadingOptions, column_of, confidence_rule, target_rule
from alteraser.data.readers._raw import Raw, WantedColumns, Where
from alteraser.data.readers._times import times
from alteraser.data.readers._values import confidences, numbers, numbers_or_nothing, targets
from alteraser.data.readers._writing import ID
from alteraser.errors import InvalidInput

_OPTIONS: dict[str, str | None] = {
    "user_column": "--user-column",
    "item_column": "--item-column",
    "threshold_column": "--threshold-column",
    "confidence": "--confidence",
    "target": "--target",
    "timestamp_column": "--timestamp-column",
    "session_column": "--session-column",
    "basket_column": "--basket-column",
    "position_column": "--position-column",
    "segment_column": "--segment-column",
    "column_names": "--columns",
}


def read_table(
    source: str | os.PathLike[str] | ArrowStream,
    options: ReadingOptions | None = None,
    *,
    names: Mapping[str, str | None] | None = None,
) -> pa.Table:
    """Read interactions from a file, a folder or a table in memory. ``names`` says which option
    stands for a field of ``options`` in messages, where it is not the usual one; None: no option
    does.

    Returns
    -------
    pyarrow.Table
        One row an interaction, in the order of the source, every column in one chunk without nulls:

        Rows below the threshold are dropped, and so are rows without a value to hold against it
        (null, or the NaN of pandas): what is missing is not at least the threshold. They are
        counted in the schema's metadata, under ``UNRATED``.

        - ``user_id`` and ``item_id``: int64, or ``dictionary(int32, string)`` whose dictionary
          holds every id that occurs exactly once, in no particular order; what else they were
          stored as (``id_columns``) is in the schema's metadata, under ``CONVERTED``;
        - ``confidence`` and ``target`` (float64) and ``timestamp`` (int64) where the options ask
          for them;
        - ``group`` (ids of sessions or baskets) and ``position`` (float64) likewise: rows are then
          events, and how they are grouped is in the schema's metadata, under ``GROUPED``;
        - ``segment`` (ids of segments) likewise.

    >>> rows = {"user_id": [1, 1, 2], "item_id": ["a", "b", "a"], "rating": [5, 2, 4]}
    >>> table = read_table(pa.table(rows), ReadingOptions(threshold=4))
    >>> table.to_pydict()
    {'user_id': [1, 2], 'item_id': ['a', 'a']}
    """
    options = options or ReadingOptions()
    found = settle(parse(source, options, names=names), options)
    users, items = (ids if found.kept is None else take(ids, found.kept) for ids in found.ids)
    return pa.table(
        {"user_id": users, "item_id": items, **found.columns}, metadata=found.notes or None
    )


def parse(
    source: str | os.PathLike[str] | ArrowStream,
    options: ReadingOptions,
    *,
    every_column: bool = False,
    names: Mapping[str, str | None] | None = None,
) -> Raw:
    """The rows of ``source`` as they are stored, with the columns that ``options`` name, or with
    all that there are.

    Raises InvalidInput for a column that is not there or there twice; ``names`` as for
    ``read_table``.
    """
    wanted = _wanted(options, options.columns)
    raw = read_raw(source, replace(wanted, columns=None) if every_column else wanted)
    twice = next((name for name in options.columns if list(raw.columns).count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(
            f"{raw.name}: the column {twice!r} is there twice. Rename one of them.", path=raw.name
        )
    _require(raw, options, _OPTIONS | dict(names or {}))
    return raw


@dataclass(frozen=True, eq=False)
class Settled:
    """The columns of interactions, checked."""

    ids: tuple[pa.Array, pa.Array]
    """Users and items of all rows, as ``identifiers`` gives them"""
    kept: np.ndarray | None
    """Places of the rows that are interactions; None: all"""
    columns: dict[str, pa.Array]
    """Of these rows, what the options ask for of confidence, target and timestamp"""
    notes: dict[bytes, str]
    """For the metadata of a table"""


def settle(raw: Raw, options: ReadingOptions) -> Settled:
    """What ``read_table`` says of ``raw``, which has the columns that ``options`` name."""
    table, where, kept, unrated = raw.table, raw.where, None, 0
    sides = (options.user_column, options.item_column)
    users, items = (identifiers(table[name], name, where) for name in sides)
    if options.threshold is not None:
        ratings, rated = numbers_or_nothing(
            table[options.threshold_column], options.threshold_column, where, options.decimal
        )
        unrated = table.num_rows - len(rated)
        above = rated[ratings >= options.threshold]
        if len(above) < table.num_rows:
            ids = set(sides) - {options.group_column, options.segment_column}
            others = [
                name for name in options.columns if name in table.column_names and name not in ids
            ]
            table, where, kept = table.select(others).take(above), _moved(raw.where, above), above
    result = {}
    if options.confidence is not None:
        rule = confidence_rule(options.confidence)
        name = column_of(options.confidence)
        values = numbers(table[name], name, where, options.decimal)
        result["confidence"] = pa.array(confidences(values, rule, where))
    if options.target is not None:
        name = column_of(options.target, "target")
        values = numbers(table[name], name, where, options.decimal)
        result["target"] = pa.array(targets(values, target_rule(options.target), where))
    if options.timestamp_column is not None:
        result["timestamp"] = times(
            table[options.timestamp_column], options.timestamp_column, where
        )
    if options.group_column is not None:
        result["group"] = identifiers(table[options.group_column], options.group_column, where)
    if options.segment_column is not None:
        result["segment"] = identifiers(
            table[options.segment_column], options.segment_column, where
        )
    if options.position_column is not None:
        values = numbers(
            table[options.position_column], options.position_column, where, options.decimal
        )
        result["position"] = pa.array(values)
    notes = {UNRATED: str(unrated)} if unrated else {}
    if options.grouping is not None:
        notes[GROUPED] = json.dumps(options.grouping.to_document())
    kinds = zip(
        ("user_id", "item_id"),
        (described(raw.table.schema.field(name).type) for name in sides),
        strict=True,
    )
    if converted := {side: words for side, words in kinds if words is not None}:
        notes[CONVERTED] = json.dumps(converted)
    return Settled((users, items), kept, result, notes)


@dataclass(frozen=True)
class ForgetTable:
    """What is to be forgotten: pairs of user and item, whole users, whole items, or sessions or
    baskets.
    """

    users: pa.Array | None
    """int64 or string. One entry a row; where ``items`` is None, each user once in order of
    appearance. None: everything of these items."""

    items: pa.Array | None
    """The same for items. None: everything of these users."""

    rows: int
    """Rows in the file."""

    path: str
    """The file, for messages."""

    groups: pa.Array | None = None
    """Sessions or baskets, where the file has their column: with users and items row by row theirs
    alone."""

    @property
    def whole_users(self) -> bool:
        """Whether everything of these users is to be forgotten."""
        return self.items is None and self.groups is None

    @property
    def whole_items(self) -> bool:
        """Whether everything of these items is to be forgotten."""
        return self.users is None and self.groups is None


def read_forget_table(
    source: str | os.PathLike[str] | ArrowStream,
    options: ReadingOptions | None = None,
    *,
    whole_users: bool = False,
    whole_items: bool = False,
    names: Mapping[str, str | None] | None = None,
) -> ForgetTable:
    """Read what is to be forgotten; only the two id columns of ``options`` are looked at.

    Whole users are meant only where the user column is the file's one column, or where
    ``whole_users`` says so; whole items likewise, by the item column and ``whole_items``. Otherwise
    a missing column or an empty id is refused: a mistyped file never widens an erasure. ``names``
    as for ``read_table``.

    >>> read_forget_table(pa.table({"user_id": [7, 7, 3]})).users.to_pylist()
    [7, 3]
    """
    options = options or ReadingOptions()
    if whole_users and whole_items:
        raise InvalidInput(
            "whole users and whole items contradict each other: forget one after the other"
        )
    # what names columns is about the data, not about this file
    option = dict.fromkeys(_OPTIONS) | dict(names or {})
    asked = (options.user_column, options.item_column, options.group_column or options.user_column)
    raw = read_raw(source, _wanted(options, asked))
    if not whole_users and not whole_items and _names_groups(raw, options):
        return _forget_groups(raw, options)
    if whole_items or (not whole_users and list(raw.columns) == [options.item_column]):
        if options.item_column not in raw.columns:
            raise missing_column(raw, options.item_column, option["item_column"])
        items = identifiers(raw.table[options.item_column], options.item_column, raw.where)
        return ForgetTable(None, plain(items).unique(), raw.table.num_rows, raw.name)
    if options.user_column not in raw.columns:
        error = missing_column(raw, options.user_column, option["user_column"])
        whole = (
            " To forget everything of these items, pass --whole-items."
            if options.item_column in raw.columns
            else ""
        )
        raise InvalidInput(f"{error.message}{whole}", **error.details)
    users = identifiers(raw.table[options.user_column], options.user_column, raw.where)
    if whole_users or list(raw.columns) == [options.user_column]:
        return ForgetTable(plain(users).unique(), None, raw.table.num_rows, raw.name)
    if options.item_column not in raw.columns:
        error = missing_column(raw, options.item_column, option["item_column"])
        raise InvalidInput(
            f"{error.message} To forget everything of these users, pass --whole-users.",
            **error.details,
        )
    items = identifiers(raw.table[options.item_column], options.item_column, raw.where)
    return ForgetTable(plain(users), plain(items), raw.table.num_rows, raw.name)


def _names_groups(raw: Raw, options: ReadingOptions) -> bool:
    """Whether a forget table has the column of sessions or baskets, as something else than that of
    the users.
    """
    return options.group_column in raw.columns and options.group_column not in (
        options.user_column,
        options.item_column,
    )


def _forget_groups(raw: Raw, options: ReadingOptions) -> ForgetTable:
    columns = {
        name: plain(identifiers(raw.table[name], name, raw.where)) if name in raw.columns else None
        for name in (options.user_column, options.item_column, options.group_column)
        if name is not None
    }
    users, items, groups = columns.values()
    alone = users is None and items is None
    of = groups.unique() if alone else groups  # type: ignore[union-attr]
    return ForgetTable(users, items, raw.table.num_rows, raw.name, of)


def read_rows(
    source: str | os.PathLike[str] | ArrowStream, options: ReadingOptions | None = None
) -> pa.Table:
    """The whole table with every column and type untouched, to write some of its rows elsewhere.

    Rows are those of `read_table` without a threshold, in the same order. Text becomes numbers only
    where the numbers are written back as the same text; the rest stays strings. ``options`` names
    the id columns.
    """
    options = options or ReadingOptions()
    return as_rows(read_raw(source, WantedColumns(None, _ids(options), options.hints)), options)


def as_rows(raw: Raw, options: ReadingOptions) -> pa.Table:
    """``raw`` as ``read_rows`` gives it: columns of ids that text spells another way are marked."""
    table = raw.table
    for i, field in enumerate(table.schema):
        if field.name in _ids(options) and described(field.type) is not None:
            marked = field.with_metadata({**(field.metadata or {}), ID: b""})
            table = table.set_column(i, marked, table.column(i))
    return table


def _wanted(options: ReadingOptions, columns: tuple[str, ...]) -> WantedColumns:
    return WantedColumns(frozenset(columns), _ids(options), options.hints)


def _ids(options: ReadingOptions) -> frozenset[str]:
    """The columns that hold ids."""
    groups = (options.group_column, options.segment_column)
    return frozenset(
        {options.user_column, options.item_column, *(name for name in groups if name is not None)}
    )


def _require(raw: Raw, options: ReadingOptions, names: Mapping[str, str | None]) -> None:
    asked = {
        "user_column": options.user_column,
        "item_column": options.item_column,
        "threshold_column": options.threshold_column if options.threshold is not None else None,
        "confidence": column_of(options.confidence) if options.confidence is not None else None,
        "target": column_of(options.target, "target") if options.target is not None else None,
        "timestamp_column": options.timestamp_column,
        "session_column": options.session_column,
        "basket_column": options.basket_column,
        "position_column": options.position_column,
        "segment_column": options.segment_column,
    }
    for key, name in asked.items():
        if name is not None and name not in raw.columns:
            ids = options.hints.ids if names["column_names"] else None
            raise missing_column(raw, name, names[key], ids=ids)


def _moved(where: Where, kept: np.ndarray) -> Where:
    return lambda row: where(int(kept[row]))


__all__ = ["ForgetTable", "read_forget_table", "read_rows", "read_table"]
