"""The tables. One tenant per state directory; every identifier of a person lies in
``named`` alone, and is gone from there once the request is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    func,
    inspect,
    select,
)

from alteraser.errors import IntegrityError
from alteraser.ledger import merkle, states

VERSION = 5
"""Of the tables; a newer ledger is not touched by an older program, an older one is brought up to
it when it is opened"""

tables = MetaData()

Whole = BigInteger().with_variant(Integer, "sqlite")
"""64 bits in every database"""


def _table(name: str, *columns: Column[int] | Column[str] | UniqueConstraint | Index) -> Table:
    return Table(name, tables, *columns, sqlite_strict=True)


meta = _table("meta", Column("name", Text, primary_key=True), Column("value", Text, nullable=False))
"""schema, and what the state was made from"""

requests = Table(
    "requests",
    tables,
    Column("sequence", Whole, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("salt", Text, nullable=False),
    Column("commitment", Text, nullable=False),
    Column("sameness", Text, nullable=False),
    Column("regulation", Text, nullable=False),
    Column("received", Text, nullable=False),
    Column("verified", Text),
    Column("due", Text, nullable=False),
    Column("due_asked", Whole, nullable=False),
    Column("asserted_by", Text, nullable=False),
    Column("batch", Whole),
    Column("attempts", Whole, nullable=False),
    Column("reason", Text),
    Column("points_to", Text),
    Column("counts", Text),
    Column("version", Text),
    Column("changed", Text, nullable=False),
    Index("requests_by_state", "state", "sequence"),
    Index("requests_by_sameness", "sameness"),
    Index("requests_by_batch", "batch"),
    Index("requests_by_first", "points_to"),
    Index("requests_by_due", "state", "due"),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)
"""``sequence`` orders them"""

named = _table(
    "named", Column("request", Text, primary_key=True), Column("selection", Text, nullable=False)
)
"""What each request is about that is not done, as JSON. A table of its own, so that a server can
write it anew after each batch, whatever else the ledger holds"""

events = Table(
    "events",
    tables,
    Column("sequence", Whole, primary_key=True),
    Column("at", Text, nullable=False),
    Column("request", Text),
    Column("batch", Whole),
    Column("event", Text, nullable=False),
    Column("detail", Text),
    Index("events_by_request", "request"),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)
"""Only ever added to"""

idempotency = _table(
    "idempotency",
    Column("key_id", Text, primary_key=True),
    Column("given", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("request", Text, nullable=False),
)
"""Keyed hashes of what a client called a request and of what it sent"""

batches = _table(
    "batches",
    Column("number", Whole, primary_key=True),
    Column("state", Text, nullable=False),
    Column("floor", Whole, nullable=False),
    Column("start_version", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("started", Text, nullable=False),
    Column("version", Text),
    Column("certificate", Text),
    Column("work", Text),
    Column("published", Text),
)
"""Membership is in ``requests.batch``; the rest is the plan, durable before work begins, and what
came of it"""

versions = _table(
    "versions",
    Column("id", Text, primary_key=True),
    Column("number", Whole, nullable=False, unique=True),
    Column("parent", Text),
    Column("batch", Whole),
    Column("floor", Whole, nullable=False),
    Column("document", Text, nullable=False),
    Column("published", Text, nullable=False),
    Column("destroyed", Text),
)

pointer = _table(
    "pointer",
    Column("name", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("floor", Whole, nullable=False),
)
"""Which version is served, and the erasure floor: no version below it is ever served again"""

ingests = Table(
    "ingests",
    tables,
    Column("sequence", Whole, primary_key=True),
    Column("file", Text, nullable=False),
    Column("rows", Whole, nullable=False),
    Column("at", Text, nullable=False),
    Column("batch", Whole),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)
"""Interactions that were added and are not learned yet; ``batch``: the one that learns them"""

leases = _table(
    "leases",
    Column("name", Text, primary_key=True),
    Column("token", Whole, nullable=False),
    Column("holder", Text, nullable=False),
    Column("until", Text, nullable=False),
)

keys = _table(
    "keys",
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("rate", Whole, nullable=False),
    Column("expires", Text),
    Column("revoked", Text),
    Column("made", Text, nullable=False),
)

retired = _table(
    "retired",
    Column("key_id", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("until", Text, nullable=False),
)
"""Secrets that a key had before the one it has, and until when each is still taken"""

writes = _table(
    "writes",
    Column("key_id", Text, primary_key=True),
    Column("minute", Whole, nullable=False),
    Column("number", Whole, nullable=False),
)
"""Writes of each key in its last minute"""

receipts = _table(
    "receipts",
    Column("leaf", Whole, primary_key=True, autoincrement=False),
    Column("request", Text, nullable=False, unique=True),
    Column("hash", Text, nullable=False),
    Column("envelope", Text, nullable=False),
    Column("size", Whole, nullable=False),
    Column("checkpoint", Text, nullable=False),
)
"""Envelopes in the order of the log; ``size``: leaves of the tree that ``checkpoint`` was signed
for"""

subtrees = Table(
    "subtrees",
    tables,
    Column("number", Whole, primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
    sqlite_strict=True,
)
"""Roots of the log's whole groups of leaves, see ``merkle.Tree``, so that nobody reads a long log
for one proof"""

ended = _table(
    "ended", Column("state", Text, primary_key=True), Column("number", Whole, nullable=False)
)
"""How many requests have each status that ends them: the database counts along, as nobody could
count them for every look"""

subscriptions = Table(
    "subscriptions",
    tables,
    Column("number", Whole, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("form", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("request", Text),
    Column("fields", Text, nullable=False),
    Column("cursor", Whole, nullable=False),
    Column("told", Text),
    Column("attempts", Whole, nullable=False),
    Column("next", Text, nullable=False),
    Column("made", Text, nullable=False),
    Column("ended", Text),
    Column("reason", Text),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)
"""Who is called back: of one request, or of all (null). ``events`` are what there is to tell, and
``cursor`` is the last one that was told and answered, so that a change and the duty to tell of it
are one commit"""

outside_names = _table(
    "outside_names",
    Column("protocol", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("given", Text, primary_key=True),
    Column("request", Text, nullable=False),
)
"""What a protocol's sender calls a request, by the key that sent it"""

NUMBERED = (
    (requests, "sequence"),
    (events, "sequence"),
    (ingests, "sequence"),
    (subscriptions, "number"),
)
"""Tables that the database numbers, and the column"""

APPENDED = ("events", "receipts", "subtrees")
"""Tables that are only ever added to: the database refuses anything else"""

event.listen(
    tables,
    "before_create",
    DDL(  # type: ignore[no-untyped-call]
        "CREATE OR REPLACE FUNCTION alteraser_refuse() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RAISE integrity_constraint_violation USING MESSAGE = "
        "TG_TABLE_NAME || ' are only ever added to'; END $$"
    ).execute_if(dialect="postgresql"),
)
for _name in APPENDED:
    for _what in ("UPDATE", "DELETE"):
        _head = f"CREATE TRIGGER {_name}_no_{_what.lower()} BEFORE {_what} ON {_name} "
        for _dialect, _rest in (
            ("sqlite", f"BEGIN SELECT RAISE(ABORT, '{_name} are only ever added to'); END"),
            ("postgresql", "FOR EACH ROW EXECUTE FUNCTION alteraser_refuse()"),
        ):
            _refusal = DDL(_head + _rest)  # type: ignore[no-untyped-call]
            event.listen(
                tables.tables[_name], "after_create", _refusal.execute_if(dialect=_dialect)
            )


def _counting() -> Iterator[tuple[str, str]]:
    """(dialect, statement)s that keep ``ended`` at what ``requests`` are."""
    one = "UPDATE ended SET number = number + 1 WHERE state = NEW.state"
    less = "UPDATE ended SET number = number - 1 WHERE state = OLD.state"
    final = ", ".join(f"'{state}'" for state in sorted(states.FINAL))
    came, moved = f"NEW.state IN ({final})", f"OLD.state IN ({final}) OR NEW.state IN ({final})"
    for name, when, counts, work in (
        ("came", "AFTER INSERT", came, one),
        ("moved", "AFTER UPDATE OF state", moved, f"{less}; {one}"),
    ):
        trigger = f"CREATE TRIGGER requests_{name} {when} ON requests"
        yield "sqlite", f"{trigger} WHEN {counts} BEGIN {work}; END"
        yield (
            "postgresql",
            f"CREATE OR REPLACE FUNCTION alteraser_{name}() RETURNS trigger LANGUAGE plpgsql "
            f"AS $$ BEGIN {work}; RETURN NULL; END $$",
        )
        yield (
            "postgresql",
            f"{trigger} FOR EACH ROW WHEN ({counts}) EXECUTE FUNCTION alteraser_{name}()",
        )


def _count(connection: Connection) -> None:
    """From here on the database counts requests that have ended."""
    for dialect, statement in _counting():
        if dialect == connection.dialect.name:
            connection.exec_driver_sql(statement)
    found = connection.execute(
        select(requests.c.state, func.count())
        .where(requests.c.state.in_(sorted(states.FINAL)))
        .group_by(requests.c.state)
    )
    there = dict.fromkeys(sorted(states.FINAL), 0) | {state: count for state, count in found}
    rows = [{"state": state, "number": count} for state, count in there.items()]
    connection.execute(ended.insert(), rows)


def _apart(connection: Connection) -> None:
    """What requests are about goes from their table into one of its own."""
    connection.exec_driver_sql(
        "INSERT INTO named (request, selection) "
        "SELECT id, selection FROM requests WHERE selection IS NOT NULL"
    )
    connection.exec_driver_sql("ALTER TABLE requests DROP COLUMN selection")


def _group(connection: Connection) -> None:
    """The roots of the groups of a log that has none."""
    hashes = connection.execute(select(receipts.c.hash).order_by(receipts.c.leaf)).scalars()
    tree = merkle.Tree()
    for each in hashes:
        tree.add(bytes.fromhex(each))
    if tree.groups:
        rows = [{"number": n, "hash": each.hex()} for n, each in enumerate(tree.groups)]
        connection.execute(subtrees.insert(), rows)


def create(connection: Connection) -> None:
    """All tables, in an empty database."""
    tables.create_all(connection)
    _count(connection)
    connection.execute(meta.insert().values(name="schema", value=str(VERSION)))


def check(connection: Connection) -> None:
    """IntegrityError unless the database has the tables of the version that it says it has, and
    that is no later than this.
    """
    query = select(meta.c.value).where(meta.c.name == "schema")
    said = connection.execute(query).scalar_one_or_none()
    if said is None or not said.isdigit():
        raise IntegrityError(
            "the ledger is damaged: it does not say of which schema it is; restore it from a "
            "backup",
            code="ledger",
        )
    found = int(said)
    if found > VERSION:
        raise IntegrityError(
            f"the ledger has schema {found}, this AltEraser knows up to {VERSION}: upgrade it; "
            "nothing was written",
            code="schema_newer",
        )
    _complete(set(inspect(connection).get_table_names()), found)


def _complete(there: set[str], version: int) -> None:
    """IntegrityError where a table is missing that a ledger of ``version`` has."""
    later = {each.name for brought, more in ADDED.items() if brought > version for each in more}
    missing = sorted(set(tables.tables) - later - there)
    if missing:
        raise IntegrityError(
            f"the ledger is damaged: it has no table {missing[0]}; restore it from a backup",
            code="ledger",
        )


def _indexes(name: str) -> tuple[Index, ...]:
    return tuple(each for each in requests.indexes if each.name == name)


ADDED: dict[int, tuple[Table | Index, ...]] = {
    2: (subscriptions, outside_names),
    3: (retired,),
    4: _indexes("requests_by_first"),
    5: (subtrees, ended, named, *_indexes("requests_by_due")),
}
"""Version → tables and indexes that it brought; 4 brought batches that are gathering as well"""

FILLED: dict[int, tuple[Callable[[Connection], None], ...]] = {5: (_apart, _count, _group)}
"""Version → what is put into what it brought"""


def upgrade(connection: Connection) -> None:
    """Bring an older ledger up to this version, in the caller's transaction; nothing for one that
    is.
    """
    number = select(meta.c.value).where(meta.c.name == "schema")
    for version in range(int(connection.execute(number).scalar_one()) + 1, VERSION + 1):
        for each in ADDED[version]:
            each.create(connection, checkfirst=True)
        for fill in FILLED.get(version, ()):
            fill(connection)
    connection.execute(meta.update().where(meta.c.name == "schema").values(value=str(VERSION)))


def outdated(connection: Connection) -> bool:
    """Whether ``upgrade`` has something to do."""
    number = select(meta.c.value).where(meta.c.name == "schema")
    return int(connection.execute(number).scalar_one()) < VERSION


def origin(connection: Connection) -> str | None:
    """Of which state the ledger is, where it lies apart from it."""
    found: str | None = connection.execute(
        select(meta.c.value).where(meta.c.name == "origin")
    ).scalar_one_or_none()
    return found


ROWS = 5_000
"""Rows that ``copy`` takes at a time"""


def copy(source: Connection, target: Connection) -> None:
    """Every row of the ledger ``source`` into the empty database ``target``, which may be of
    another kind; the tables are made.
    """
    tables.create_all(target)
    _count(target)
    for table in tables.sorted_tables:
        if table is ended:  # counted along
            continue
        found = source.execute(select(table), execution_options={"yield_per": ROWS})
        for rows in found.mappings().partitions(ROWS):
            target.execute(table.insert(), [dict(row) for row in rows])
    if target.dialect.name == "postgresql":  # what is added next comes after what is there
        for numbered, column in NUMBERED:
            last = target.execute(select(func.max(numbered.c[column]))).scalar_one()
            if last is not None:
                serial = func.pg_get_serial_sequence(numbered.name, column)
                target.execute(select(func.setval(serial, last)))
