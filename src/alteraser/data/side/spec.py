"""What an option says of a file: ``items.parquet:genres,year=number``, ``NAME=FILE:user,item``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from alteraser.errors import InvalidInput

Kind = Literal["category", "number"]


@dataclass(frozen=True)
class FeatureFile:
    """A file, and which columns of it are features; none named: every column but the ids."""

    path: Any
    """A path; or a table in memory"""
    columns: tuple[str, ...] = ()
    kinds: tuple[tuple[str, Kind], ...] = ()
    """What columns are, where it is said"""

    @classmethod
    def parse(cls, text: str, option: str) -> FeatureFile:
        """``FILE`` or ``FILE:COLUMN,COLUMN=KIND``; a colon inside a path that exists is part of it.

        >>> FeatureFile.parse("users.csv:gender,age=number", "--user-features").columns
        ('gender', 'age')
        """
        path, columns = _split(text)
        return cls.of(path, columns, f"{option} {text}")

    @classmethod
    def of(cls, path: Any, columns: Sequence[str], where: str) -> FeatureFile:
        """``COLUMN`` or ``COLUMN=KIND`` each, whatever else is in a name.

        >>> FeatureFile.of("x.csv", ["size:cm", "a=b=number"], "").columns
        ('size:cm', 'a=b')
        """
        names, kinds = [], []
        for part in columns:
            before, equals, kind = part.rpartition("=")
            name = before if equals else part
            if equals and kind not in ("", *get_args(Kind)):
                raise InvalidInput(
                    f"{where}: {name} is said to be {kind!r}; there are "
                    f"{' and '.join(get_args(Kind))}"
                )
            names.append(name)
            if equals and kind:
                kinds.append((name, cast("Kind", kind)))
        _once(names, where, "column")
        return cls(path, tuple(names), tuple(kinds))


@dataclass(frozen=True)
class RelationFile:
    """A further relation: its name, its file, and which tables its two id columns are of."""

    name: str
    path: Any
    tables: tuple[str, ...] = ()
    """None: told by the columns"""

    @classmethod
    def parse(cls, text: str) -> RelationFile:
        """``NAME=FILE`` or ``NAME=FILE:TABLE,TABLE``.

        >>> RelationFile.parse("friends=friends.csv:user,user").tables
        ('user', 'user')
        """
        name, equals, rest = text.partition("=")
        if not (name and equals and rest):
            raise InvalidInput(f"--relation {text}: expected NAME=FILE, such as views=views.csv")
        check_name(name, f"--relation {text}")
        path, tables = _split(rest)
        if tables and len(tables) != 2:
            raise InvalidInput(
                f"--relation {text}: {len(tables)} table(s) are named, a relation is between two"
            )
        return cls(name, path, tuple(tables))


@dataclass(frozen=True)
class EntityFile:
    """A table that says which node of a graph an item or a user is: ``item=items.csv:entity``."""

    table: str
    path: Any
    column: str

    @classmethod
    def parse(cls, text: str) -> EntityFile:
        """``TABLE=FILE:COLUMN``.

        >>> EntityFile.parse("item=items.parquet:kg_entity").column
        'kg_entity'
        """
        table, equals, rest = text.partition("=")
        path, columns = _split(rest)
        if not (table and equals and len(columns) == 1):
            raise InvalidInput(
                f"--entities {text}: expected TABLE=FILE:COLUMN, such as "
                "item=items.parquet:kg_entity"
            )
        return cls(table, path, columns[0])


def words_of(text: str, option: str = "--context") -> dict[str, str]:
    """``weekday=monday,daytime=evening``; what has no name is of the word before. InvalidInput.

    >>> words_of("weekday=monday, place=Washington, DC")
    {'weekday': 'monday', 'place': 'Washington, DC'}
    """
    found: dict[str, str] = {}
    parts: list[str] = []
    for part in text.split(","):
        if parts and "=" not in part:  # Washington, DC
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    for part in parts:
        name, equals, word = (x.strip() for x in part.partition("="))
        if not (equals and name and word) or name in found:
            raise InvalidInput(
                f"{option} {text}: expected NAME=VALUE,…, such as weekday=monday,daytime=evening"
            )
        found[name] = word
    return found


def check_name(name: str, what: str) -> None:
    """InvalidInput for a name that would be taken for something else."""
    if not name or any(letter in name for letter in "/=:, ") or name == "data":
        raise InvalidInput(
            f"{what}: {name!r} is no name of a relation: use letters, digits, - and _, and not "
            "'data', which is DATA itself"
        )


def _split(text: str) -> tuple[Path, list[str]]:
    """(the path, the names behind its last colon)."""
    head, colon, tail = text.rpartition(":")
    if not colon or Path(text).exists() or "/" in tail or len(head) < 2:
        return Path(text), []
    return Path(head), [name.strip() for name in tail.split(",") if name.strip()]


def _once(names: list[str], where: str, what: str) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"{where}: the {what} {twice} is named twice")
