"""The worker: plans a batch, forgets, has it checked, publishes, writes receipts; killed anywhere,
it goes on.

    gathering ─→ planned ─ erase ─→ scrubbed ─ check ─→ checked ─ publish ─→ published
    ─ receipts ─→ receipted ─ complete ─→ done

Each arrow ends in one transaction of the ledger, and its requests move in that or, where they are
many, in more of them, between which others write (``batches.CHUNK``). What is done before that is
files under names that nobody reads yet, and is done again, to the same bytes, where the transaction
did not come about.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, select

from alteraser.data.files import remove_tree
from alteraser.engines.store import version as on_disk
from alteraser.engines.store.version import Version
from alteraser.errors import (
    AltEraserError,
    Conflict,
    DependencyMissing,
    IntegrityError,
    Interrupted,
    ResourceLimit,
)
from alteraser.ledger import batches, ingests, leases, log, states, versions
from alteraser.ledger.batches import Batch
from alteraser.ledger.due import written
from alteraser.ledger.leases import Lease
from alteraser.ledger.schema import events
from alteraser.ledger.schema import requests as request_table
from alteraser.models.factorization.model import Model
from alteraser.models.relational.model import LinearModel
from alteraser.runtime.workers import default_threads
from alteraser.service import erasing, tempo, tracing
from alteraser.service.faults import told
from alteraser.service.state import State, added_rows, summary
from alteraser.service.statements import Publication, statement
from alteraser.service.tempo import Tempo

NAME = "worker"
IDLE = 1.0
"""Seconds between two looks for something to do, where nobody wakes it"""
AT_ONCE = Tempo()
LONGEST_TURN = 0.05
"""Seconds that the worker lets others have between two of its transactions"""
AGAIN = 5.0
"""Seconds until work is tried again that the machine had no room for"""

logger = logging.getLogger("alteraser.service")


class Worker:
    """Does what the ledger says is to be done. ``published`` is told of every version from the
    moment it is served.
    """

    def __init__(
        self,
        state: State,
        *,
        threads: int = 0,
        published: Callable[[Version], None] | None = None,
        when: Tempo = AT_ONCE,
    ) -> None:
        self.state, self.threads, self.tempo = state, threads or default_threads(), when
        self.stop = threading.Event()
        self.stopped_by_parent = False
        self._published = published or (lambda version: None)
        self._lease: Lease | None = None
        self._versions: dict[str, Version] = {}
        self._steps: dict[str, Callable[[Batch], Batch]] = {
            "gathering": self._gather,
            "planned": self._erase,
            "scrubbed": self._check,
            "checked": self._publish,
            "published": self._receipts,
            "receipted": self._complete,
        }

    # ------------------------------------------------------------------ running

    def run(self) -> None:
        """Work until ``stop`` is set, or another worker takes over. Conflict ``locked`` where one
        has the state.
        """
        if self._lease is None:
            self.begin()
        keeper = threading.Thread(target=self._keep, name="alteraser-lease", daemon=True)
        keeper.start()
        try:
            while not self.stop.is_set():
                self.state.wake.clear()
                if not self._safely():
                    self.state.wake.wait(IDLE)
        finally:
            self.stop.set()
            keeper.join(timeout=1)
            self.end()

    def begin(self) -> None:
        """Take the lease, and remove what a process that was killed left behind."""
        with self.state.database.writing() as connection:
            self._lease = leases.acquire(connection, NAME)
        with self.state.database.reading() as connection:
            batch = batches.current(connection)
            known = {
                each["version"] for each in versions.listed(connection) if each["destroyed"] is None
            }
        if batch is not None and batch.version is not None:
            known.add(batch.version)
        for name in sorted(self.state.folders.versions.iterdir()):
            if name.name not in known:
                remove_tree(name)
        self.state.export_log(anew=True)

    def end(self) -> None:
        """Give the lease up; where the ledger cannot be reached it ends by itself."""
        if self._lease is not None:
            with suppress(DependencyMissing), self.state.database.writing() as connection:
                leases.release(connection, self._lease)

    def _keep(self) -> None:
        assert self._lease is not None
        while not self.stop.wait(leases.SECONDS / 5):
            try:
                with self.state.database.writing() as connection:
                    leases.renew(connection, self._lease)
            except Conflict:
                self.stop.set()
            except (
                AltEraserError
            ) as error:  # the database is busy or full: the lease lasts a few tries
                logger.warning("the lease was not renewed: %s", error.message)

    def _safely(self) -> bool:
        """``once``, where a failure of one batch is not the end of all; whether there may be more
        to do at once.
        """
        try:
            return self.once()
        except Interrupted:
            return False
        except Conflict as error:
            logger.error("stopping: %s", error.message)
            self.stop.set()
            return False
        except (ResourceLimit, DependencyMissing) as error:
            logger.error("will be tried again: %s", error.message)
            self.stop.wait(AGAIN)
            return True
        except (
            Exception
        ) as error:  # a disk that fails, or a fault of ours: no promise can be given any more
            logger.error("stopping: %s", told(error))
            self.state.halted = type(error).__name__
            self.stop.set()
            return False

    def once(self) -> bool:
        """Do one batch to its end, the one that is under way first; False where there was nothing
        to do.
        """
        batch = self._current()
        if batch is None:
            return False
        while not batch.over:
            if self.stop.is_set():
                return False
            try:
                with tracing.span("batch", step=batch.state, batch=batch.number):
                    self._follow(batch)
                    batch = self._steps[batch.state](batch)
            except (Conflict, Interrupted, ResourceLimit, DependencyMissing):
                raise
            except Exception as error:
                self._check_lease()  # who took over has removed files that this one was writing
                reason = error.code if isinstance(error, AltEraserError) else None
                # damage of the state is no fault of a request
                damage = reason is None or isinstance(error, IntegrityError)
                if damage or batch.state not in ("planned", "scrubbed"):
                    raise
                logger.error("batch %d: %s", batch.number, reason)
                self._abandon(batch, str(reason))
                return True
        return True

    def _current(self) -> Batch | None:
        with self.state.database.reading() as connection:
            found = batches.current(connection)
            waiting = connection.execute(
                select(request_table.c.attempts)
                .where(request_table.c.state == "queued")
                .order_by(request_table.c.sequence)
                .limit(1)
            ).scalar_one_or_none()
            added = ingests.rows_waiting(connection)
        if found is not None or waiting is None:
            return found
        # what failed is tried without what was added, and then alone: that may be the only fault
        learn = waiting != 1 or not added
        most = 1 if waiting and learn else batches.MOST
        how = self._due(most)
        if how is None:
            return None
        serving = self._version(self._serving())
        retrained = isinstance(serving.model, Model | LinearModel)
        methods = ["auto", "retrain"] if retrained else ["auto"]
        how |= {"methods": methods, "threads": self.threads}
        with self.state.database.writing() as connection:
            return batches.plan(
                connection, self._mine(), self.state.clock(), how, most=most, learn=learn
            )

    def _due(self, most: int) -> dict[str, Any] | None:
        """What is predicted of a batch that is to begin now; None where it is not."""
        now = self.state.clock()
        with self.state.database.reading() as connection:
            count, first = tempo.waiting(connection)
            cost = tempo.cost(connection)
        if first is None or self.tempo.start(now, count, first, cost, batches.MOST) > now:
            return None
        predicted = {"seconds": round(cost.of(min(count, most)), 3), "batches": cost.batches}
        return {"predicted": predicted}

    # ------------------------------------------------------------------ steps

    @contextmanager
    def _turn(self) -> Iterator[Connection]:
        """A transaction of several in a row: after it whoever submits has as long as it took."""
        with self.state.database.writing() as connection:
            began = time.monotonic()
            yield connection
        self.stop.wait(min(time.monotonic() - began, LONGEST_TURN))

    def _follow(self, batch: Batch) -> None:
        """Its requests are where the batch is."""
        while self._behind(batch):
            with self._turn() as connection:
                batches.follow(connection, self._mine(), batch, self.state.clock())

    def _behind(self, batch: Batch) -> bool:
        with self.state.database.reading() as connection:
            return batches.behind(connection, batch)

    def _gather(self, batch: Batch) -> Batch:
        with self._turn() as connection:
            return batches.gather(connection, self._mine(), batch, self.state.clock())

    def _erase(self, batch: Batch) -> Batch:
        start = self._version(batch.start_version)
        with self.state.database.reading() as connection:
            members = batches.members(connection, batch.number)
            files = [row.file for row in ingests.of_batch(connection, batch.number)]
        whole = erasing.learned(start.held, added_rows(self.state, start, files))
        found = erasing.find(whole, [member.asked for member in members])
        counts = {member.id: each for member, each in zip(members, found.counts, strict=True)}
        if not found.gone.any():
            return self._advance(
                batch, "scrubbed", version=start.id, work={"counts": counts, "nothing": True}
            )
        method = batch.plan["methods"][batch.plan.get("attempt", 0)]
        content, work = erasing.erase(
            whole,
            start,
            found.gone,
            method=method,
            threads=batch.plan["threads"],
            key=self.state.hashing,
            watch=erasing.stopping(self.stop),
        )
        what = {"batch": batch.number, "floor": batch.floor, "parent": start.id}
        version = on_disk.write(self.state.folders.versions, content, what, salt=self.state.salt)
        self._versions[version.id] = version
        return self._advance(batch, "scrubbed", version=version.id, work=work | {"counts": counts})

    def _check(self, batch: Batch) -> Batch:
        assert batch.version is not None
        if batch.version == batch.start_version:
            return self._advance(
                batch, "checked", certificate={"class": "none", "sentence": "nothing was found"}
            )
        start, version = self._version(batch.start_version), self._version(batch.version)
        with self.state.database.reading() as connection:
            files = [row.file for row in ingests.of_batch(connection, batch.number)]
        whole = erasing.learned(start.held, added_rows(self.state, start, files))
        certificate = erasing.certify(whole, start, version, threads=batch.plan["threads"])
        if certificate["class"] != "D":
            return self._advance(batch, "checked", certificate=certificate)
        logger.error("batch %d: the check failed", batch.number)
        if batch.plan.get("attempt", 0) + 1 < len(batch.plan["methods"]):
            with self.state.database.writing() as connection:
                return batches.again(connection, self._mine(), batch, self.state.clock())
        self._abandon(batch, "class_d")
        return replace(batch, state="abandoned")

    def _publish(self, batch: Batch) -> Batch:
        assert batch.version is not None
        assert batch.work is not None
        version = self._version(batch.version)
        with self.state.database.writing() as connection:
            now = self.state.clock()
            versions.publish(
                connection,
                version.id,
                summary(version),
                batch=batch.number,
                floor=batch.floor,
                now=now,
            )
            if batch.work.get("nothing"):
                batches.unlearn(connection, batch.number)
            dropped = batches.drop(connection, batch, now)
            done = batches.advance(
                connection, self._mine(), batch, "published", now, published=written(now)
            )
        if dropped:
            logger.error(
                "batch %d: %d added interactions are dropped: no version could be made with them",
                batch.number,
                dropped,
            )
        self._published(version)
        return done

    def _receipts(self, batch: Batch) -> Batch:
        self._destroy(batch)
        published, origin = self._publication(batch), self.state.document["origin"]
        with self.state.database.reading() as connection:
            tree = log.tree(connection)
        while batch.state == "published":
            with self.state.database.reading() as connection:
                rows = batches.rows_in(connection, batch.number, states.PUBLISHED)
            now = self.state.clock()
            envelopes = log.signed(
                [
                    (
                        row.id,
                        statement(
                            dict(row._mapping) | {"counts": json.loads(row.counts)}, published, now
                        ),
                    )
                    for row in rows
                ],
                self.state.signer,
            )
            receipts = log.grown(tree, envelopes, self.state.signer, origin, now)
            with self._turn() as connection:
                log.append(connection, receipts)
                batch = batches.receipted(connection, self._mine(), batch, now)
        return batch

    def _publication(self, batch: Batch) -> Publication:
        """What all receipts of a batch have in common."""
        assert batch.version is not None
        with self.state.database.reading() as connection:
            span = connection.execute(
                select(func.min(events.c.sequence), func.max(events.c.sequence)).where(
                    events.c.sequence >= batch.floor,
                    events.c.batch == batch.number,
                    events.c.event != states.RECEIPTED,
                )
            ).one()
            destroyed = not versions.outdated(connection)
            start = versions.row_of(connection, batch.start_version)
        return Publication(
            batch,
            self.state.document["origin"],
            json.loads(start.document),
            self._version(batch.version).document,
            batch.version,
            batch.start_version,
            destroyed,
            (span[0], span[1]),
            isinstance(self.state.database.place, str),
        )

    def _complete(self, batch: Batch) -> Batch:
        self._check_lease()  # who took over writes the log's files
        self.state.export_log()
        while not batch.over:
            with self._turn() as connection:
                batch = batches.complete(connection, self._mine(), batch, self.state.clock())
        self.state.database.truncate()
        return batch

    # ------------------------------------------------------------------ parts of steps

    def _destroy(self, batch: Batch) -> None:
        """Versions below the floor, and files of what was learned, are removed; then it is written
        down.
        """
        with self.state.database.reading() as connection:
            outdated = versions.outdated(connection)
            needed = ingests.files_kept(connection)
            learned = [row.file for row in ingests.of_batch(connection, batch.number)]
        for name in outdated:
            self._versions.pop(name, None)
            remove_tree(self.state.folders.versions / name)
        for name in learned:
            if name not in needed:
                (self.state.folders.added / name).unlink(missing_ok=True)
        if outdated:
            with self.state.database.writing() as connection:
                leases.check(connection, self._mine())
                for name in outdated:
                    versions.destroyed(connection, name, self.state.clock())

    def _advance(self, batch: Batch, to: str, **values: Any) -> Batch:
        with self.state.database.writing() as connection:
            return batches.advance(
                connection, self._mine(), batch, to, self.state.clock(), **values
            )

    def _abandon(self, batch: Batch, reason: str) -> None:
        with self.state.database.writing() as connection:
            batches.abandon(connection, self._mine(), batch, reason, self.state.clock())

    def _check_lease(self) -> None:
        """Conflict where another worker took over."""
        with suppress(DependencyMissing, OSError), self.state.database.reading() as connection:
            leases.check(connection, self._mine())

    def _mine(self) -> Lease:
        if self._lease is None:
            raise Conflict("this worker has no lease", code="fenced")
        return self._lease

    def _serving(self) -> str:
        with self.state.database.reading() as connection:
            return str(versions.serving(connection).version)

    def _version(self, name: str) -> Version:
        if name not in self._versions:
            self._versions[name] = self.state.load(name)
        return self._versions[name]
