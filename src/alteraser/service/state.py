"""A state directory, open: its folders, its ledger, its secrets, and what its ids are."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import func, select

from alteraser.data.files import atomic_directory, replace_file
from alteraser.data.interactions import Interactions
from alteraser.data.readers import ReadingOptions
from alteraser.data.sheet import Sheet
from alteraser.data.side.features import Words
from alteraser.data.side.given import Given
from alteraser.data.side.holding import Addition, HeldSources
from alteraser.data.side.relations import kinds_of_ends
from alteraser.data.side.sources import Sources, read_given
from alteraser.data.side.windows import times_of
from alteraser.engines.store import version as versions_on_disk
from alteraser.engines.store.changes import StoredChanges
from alteraser.engines.store.folders import Folders
from alteraser.engines.store.held import Held
from alteraser.engines.store.tombstones import Tombstones
from alteraser.engines.store.version import Content, Version
from alteraser.errors import Conflict, IntegrityError, InvalidInput, RefusedByPolicy
from alteraser.ledger import ingests, keys, log, versions
from alteraser.ledger.asked import Declared
from alteraser.ledger.database import Database
from alteraser.ledger.envelope import Signer
from alteraser.ledger.schema import events
from alteraser.ledger.sources import DeclaredSources
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.factorization.model import Model
from alteraser.models.folder import load_model, read_manifest
from alteraser.models.protocol import Recommender
from alteraser.models.relational.composite import CompositeModel
from alteraser.models.relational.plain import PlainModel
from alteraser.service.place import open_ledger
from alteraser.verbs.forget import belongs
from alteraser.verbs.relational.deleting import belongs as belongs_to_sources


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


@dataclass
class State:
    """An open state. ``halted`` says why nothing is taken in any more, where the disk can no longer
    be trusted.
    """

    folders: Folders
    database: Database
    clock: Callable[[], datetime] = utc_now
    halted: str | None = None
    wake: threading.Event = field(default_factory=threading.Event)
    """Set where there is something new to do"""

    @cached_property
    def signer(self) -> Signer:
        """Of receipts."""
        return Signer.load(self.folders.signing_key)

    @cached_property
    def hashing(self) -> bytes:
        """The key of tombstones and repeated requests."""
        return self.folders.secret("hashing")

    @cached_property
    def salt(self) -> bytes:
        """The key of the data's root."""
        return self.folders.secret("salt")

    @cached_property
    def document(self) -> dict[str, Any]:
        """``state.json``."""
        return self.folders.document()

    @cached_property
    def reading(self) -> ReadingOptions:
        """How interactions are read that come from outside."""
        return ReadingOptions(**self.document["reading"])

    @cached_property
    def declared(self) -> Declared:
        """What the ids are, from the version that is served when this is first asked."""
        return declared_by(self.load_serving())

    def load(self, version: str) -> Version:
        """A version, checked."""
        return versions_on_disk.load(self.folders.versions / version)

    def load_serving(self) -> Version:
        """The version that is served."""
        with self.database.reading() as connection:
            return self.load(versions.serving(connection).version)

    def export_log(self, *, anew: bool = False) -> None:
        """Write what is not there yet of the files of the receipts' log; ``anew``: look at all of
        them.
        """
        written = -1
        while True:  # what this writes may be in the place of what another wrote meanwhile
            with self.database.reading() as connection:
                if log.size(connection) == written:
                    return
                written = log.export(connection, self.folders.log, self.signer.public, anew=anew)

    def sweep(self) -> None:
        """Remove what a process that was killed left of interactions that nobody was told were
        taken in.

        For the one process that takes them in, before it does.
        """
        with self.database.writing() as connection:  # nobody is told of anything meanwhile
            needed = ingests.files_kept(connection)
            for folder, kept in (
                (self.folders.added, needed),
                (self.folders.log, {log.LEAVES, log.HEAD, log.PUBLIC}),
            ):
                for path in sorted(folder.iterdir()):
                    if path.name not in kept:
                        path.unlink()

    def close(self) -> None:
        """End all connections."""
        self.database.close()


def create(
    root: Path,
    model_path: Path,
    data_path: Path,
    beside: Sources | None = None,
    *,
    rate: int = keys.WRITES_A_MINUTE,
) -> None:
    """A new state from a model and what it was trained on, whole or not at all: interactions, and
    what is ``beside`` them.

    Raises OutputExists where ``root`` holds something, IntegrityError where model and data do not
    belong together, InvalidInput for a model that is not served.
    """
    model = load_model(model_path)
    held: Held
    if isinstance(model, CompositeModel):
        held = hold_for(model, data_path, beside or Sources())
    elif not isinstance(model, Model | ExactModel | PlainModel):
        raise InvalidInput(
            f"{model_path}: a model of kind {model.kind} forgets by training again, whole; use "
            "alteraser forget, or Python"
        )
    elif beside is not None and beside.any:
        raise InvalidInput(
            f"{model_path}: a model of kind {model.kind} knows DATA alone: leave features, "
            "relations and entities out"
        )
    else:
        held = read_for(model, data_path)
    if root.is_dir() and not any(root.iterdir()):
        root.rmdir()
    now = utc_now()
    source, ancestors = model.digest, model.lineage
    begun = _renewed(model, parent=source, ancestors=ancestors)
    root.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(root) as temporary:
        temporary.chmod(0o700)
        folders = Folders(temporary)
        folders.prepare()
        signer = Signer.make(folders.signing_key)
        what = {"batch": 0, "floor": 0, "parent": None}
        first = versions_on_disk.write(
            folders.versions,
            Content(begun, held, Tombstones(), StoredChanges.none(begun)),
            what,
            salt=folders.secret("salt"),
        )
        database = Database.create(folders.ledger)
        with database.writing() as connection:
            versions.first(connection, first.id, summary(first), now)
            admin = keys.make(connection, now, ["admin"], rate=rate)
        with database.reading() as connection:
            log.export(connection, folders.log, signer.public)
        database.truncate()
        database.close()
        replace_file(folders.admin_key, admin.encode() + b"\n", private=True)
        folders.write_document(os.urandom(16).hex(), source, _reading_of(model, held))


def open_state(root: Path, *, clock: Callable[[], datetime] = utc_now) -> State:
    """The state in ``root``, checked.

    Raises NotFound where there is none, IntegrityError for one that is damaged, RefusedByPolicy
    ``ledger_behind`` where the ledger is older than the versions beside it.
    """
    folders = Folders(root)
    folders.document()
    folders.check()
    database = open_ledger(folders)
    try:
        found = State(folders, database, clock)
        _ = found.signer, found.hashing, found.salt  # nothing is begun without them
        with database.reading() as connection:
            last = connection.execute(
                select(func.coalesce(func.max(events.c.sequence), 0))
            ).scalar_one()
            serving = versions.serving(connection)
        behind = {name: floor for name, floor in folders.floors().items() if floor > last}
        if behind:
            raise RefusedByPolicy(
                f"{root}: a version on disk was made after the ledger's last event ({last}): the "
                "ledger is an older copy, and would serve what was erased since. Restore ledger "
                "and versions from the same backup",
                code="ledger_behind",
            )
        if not (folders.versions / serving.version).is_dir():
            raise IntegrityError(
                f"{root}: the served version {serving.version[:12]} is missing; restore it",
                code="data",
            )
    except BaseException:
        database.close()
        raise
    return found


def same_model(state: State, model_path: Path) -> None:
    """Conflict unless the state was made from the model at ``model_path``."""
    given = read_manifest(model_path)["digest"]
    if given != state.document["model"]:
        raise Conflict(
            f"{state.folders.root} was made from another model "
            f"({str(state.document['model'])[:12]}), not from {model_path} ({given[:12]}); leave "
            "--model out, or choose another --state",
            code="other_model",
        )


def read_for(model: Recommender, source: Path) -> Interactions:
    """The interactions that ``model`` was trained on, with their times where the file has a column
    ``timestamp``.
    """
    reading = model.reading or ReadingOptions()
    data = Interactions.read(source, reading, users=model.users, items=model.items)
    belongs(model, data)
    if data.timestamp is None and data.multiplicity is None:
        timed = reading.model_copy(update={"timestamp_column": "timestamp"})
        try:
            found = Interactions.read(source, timed, users=model.users, items=model.items)
        except (InvalidInput, IntegrityError):
            return data
        return found if found.digest == data.digest else data
    return data


def hold_for(model: CompositeModel, source: Path, beside: Sources) -> HeldSources:
    """Everything that ``model`` was trained on, with times where DATA have a column ``timestamp``.

    Raises IntegrityError, naming the source that differs.
    """
    reading = model.reading or ReadingOptions()
    timed = reading.model_copy(update={"timestamp_column": "timestamp"})
    sheet = Sheet.read(source, reading, every_column=True)
    if reading.timestamp_column is None and "timestamp" in sheet.raw.table.column_names:
        with suppress(InvalidInput):  # a column of that name that holds no times
            sheet = Sheet.read(source, timed, every_column=True)
    given = read_given(sheet, beside)
    belongs_to_sources(model, given)
    return HeldSources.of(given, beside, sheet.reading)


def _reading_of(model: Recommender, data: Held) -> ReadingOptions:
    reading = model.reading or ReadingOptions()
    if isinstance(data, HeldSources):
        timed = data.reading.timestamp_column is not None
        if timed and reading.timestamp_column is None:
            return reading.model_copy(update={"timestamp_column": "timestamp"})
        return reading
    if data.timestamp is not None and reading.timestamp_column is None:
        reading = reading.model_copy(update={"timestamp_column": "timestamp"})
    return reading


def _renewed(model: Any, **values: Any) -> Any:
    return replace(model, digest=None, **values)


def summary(version: Version) -> dict[str, Any]:
    """What the ledger keeps of a version."""
    document = version.document
    return {"kind": document["kind"], "model": document["model"], "data": document["data"]}


def added_rows(state: State, version: Version, files: list[str]) -> list[Any]:
    """What was added and is not learned yet, without what was erased meanwhile: interactions, or
    rows of a source.
    """
    found: list[Any] = []
    for name in files:
        path = state.folders.added / name
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as cause:
            raise IntegrityError(
                f"{path} is missing or damaged; restore it from a backup"
            ) from cause
        if isinstance(version.held, HeldSources):
            added = Addition.of_table(table)
            back = erased_before(state, version, added)
            found.append(replace(added, table=added.table.filter(pa.array(~back))))
            continue
        data = Interactions.from_table(table)
        back = version.content.tombstones.returned(state.hashing, data)
        found.append(data.keep_rows(~back))
    return found


def erased_before(state: State, version: Version, added: Addition) -> npt.NDArray[np.bool_]:
    """Which rows that are added were erased, (rows,)."""
    assert isinstance(version.held, HeldSources)
    links, found = version.held.rows(added), np.zeros(added.table.num_rows, bool)
    back = version.content.tombstones.parts(state.hashing, Given(tuple(links)))
    for each in links:
        assert each.places is not None
        found[each.places[back.masks[each.name]]] = True
    return found


def declared_by(version: Version) -> Declared:
    """What the ids of a version are."""
    data = version.data
    times = None if data.timestamp is None else int(np.abs(data.timestamp).max(initial=0))
    users, items = version.model.users.kind, version.model.items.kind
    if not isinstance(version.held, HeldSources):
        return Declared(users, items, times, _groups(data))
    return Declared(users, items, times, sources=_sources(version.held))


def _sources(held: HeldSources) -> DeclaredSources:
    given = held.given
    columns = [(t, x) for t, known in given.attributes.items() for x in known.features]
    words = [f"{t}:{x.name}" for t, x in columns if isinstance(x, Words)]
    plain = [x.name for _, x in columns if isinstance(x, Words)]
    return DeclaredSources(
        _relations(held),
        {table: ids.kind for table, ids in given.entities.items()},
        frozenset([*words, *(x for x in plain if plain.count(x) == 1), *given.main.contexts]),
        frozenset(f"{t}:{x.name}" for t, x in columns),
        _times(held),
    )


def _times(held: HeldSources) -> dict[str, int]:
    """By relation, the largest of its times; 0 where no row of it is left to tell, and new ones may
    be on the way.
    """
    there = {x.group for x in held.given.links if len(x)}
    found = {x.name: 0 for x in held.sources.relations if x.name not in there}
    return found | {name: int(np.abs(times).max()) for name, times in times_of(held.given).items()}


def _relations(held: HeldSources) -> dict[str, tuple[frozenset[Any], frozenset[Any]]]:
    given = held.given
    found: dict[str, tuple[frozenset[Any], frozenset[Any]]] = {}
    for links in given.links:
        ends = [frozenset({given.entities[t].kind}) for t in (links.source, links.target)]
        for name in {links.name, links.group}:
            known = found.get(name, (frozenset(), frozenset()))
            found[name] = (known[0] | ends[0], known[1] | ends[1])
    for file in held.sources.relations:  # nothing may be left of one, and new rows on the way
        if file.name not in found:
            found[file.name] = kinds_of_ends(file, held.joins)
    return found


def _groups(data: Interactions) -> tuple[str, Any] | None:
    """``sessions`` or ``baskets`` and what their ids are, where a column says them."""
    if data.events is None or data.events.groups is None:
        return None
    return f"{data.events.grouping.name}s", data.events.groups.ids.kind
