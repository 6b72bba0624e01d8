"""Tables and queries of a database, through ADBC: the rows arrive as Arrow, nobody exports a file.

    sqlite:///shop.db#ratings              a table; four slashes for a path from the root
    postgresql://me@host/shop#public.ratings
    sqlite:///shop.db#SELECT who AS user_id, what AS item_id FROM ratings WHERE stars > 3

What stands behind ``#`` is a table, or a query where it begins with SELECT or WITH. It is read in
one transaction, and nothing is written.
"""

from __future__ import annotations

import importlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from alteraser.errors import DependencyMissing, InvalidInput, NotFound
from alteraser.runtime.extras import require

_URL = re.compile(r"(sqlite|postgresql|postgres):/+(.*)", re.DOTALL)
"""A path folds ``//`` into ``/``; it is told all the same"""
_QUERY = re.compile(r"\s*(select|with)\s", re.IGNORECASE)


@dataclass(frozen=True)
class Sql:
    """What to ask whom."""

    driver: str
    """Of ADBC: sqlite or postgresql"""
    uri: str
    query: str
    name: str
    """As messages call it, without a password"""


def sql_of(source: str | os.PathLike[str]) -> Sql | None:
    """What ``source`` names; None where it is no URL of a database, InvalidInput for one without a
    table.
    """
    text = os.fspath(source)
    found = _URL.fullmatch(text)
    if found is None or Path(text).exists():
        return None
    kind, rest = found.groups()
    where, _, what = rest.partition("#")
    name = without_password(text)
    if not where or not what.strip():
        raise InvalidInput(
            f"{name}: expected a table or a query behind #, such as sqlite:///shop.db#ratings"
        )
    query = what if _QUERY.match(what) else f"SELECT * FROM {_quoted(what)}"
    if kind != "sqlite":
        return Sql("postgresql", f"postgresql://{where}", query, name)
    return Sql("sqlite", str(_file(where, text, name)), query, name)


def without_password(text: str) -> str:
    """``text`` with the password of a URL in it left out."""
    return re.sub(r"(:/+[^:/@#]*):[^@/#]*@", r"\1:***@", text)


def _file(where: str, text: str, name: str) -> Path:
    """One that is there: SQLite would make it. Where the slashes were folded both may be meant."""
    absolute = text.startswith("sqlite:////")
    tried = [Path("/" + where)] if absolute else [Path(where), Path("/" + where)]
    there = [path for path in tried if path.is_file()]
    if not there:
        raise NotFound(
            f"{name}: there is no such database file. Check the path.", path=str(tried[0])
        )
    return there[0]


def _quoted(table: str) -> str:
    return ".".join('"' + part.strip().replace('"', '""') + '"' for part in table.split("."))


def read_sql(asked: Sql) -> pa.Table:
    """The rows; InvalidInput with the database's words for what it does not take, DependencyMissing
    where it cannot be reached.
    """
    module = f"adbc_driver_{asked.driver}"
    for package in (module, "adbc_driver_manager"):
        require(package, "sql", f"reading {asked.driver}")
    driver: Any = importlib.import_module(f"{module}.dbapi")
    errors: Any = importlib.import_module("adbc_driver_manager")
    try:
        with driver.connect(asked.uri) as connection, connection.cursor() as cursor:
            cursor.execute(asked.query)
            found: pa.Table = cursor.fetch_arrow_table()
    except errors.OperationalError as cause:
        raise DependencyMissing(f"{asked.name}: {_words(cause)}", code="database") from cause
    except errors.Error as cause:
        raise InvalidInput(f"{asked.name}: {_words(cause)}") from cause
    return found


def _words(error: BaseException) -> str:
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return without_password(first.strip())
