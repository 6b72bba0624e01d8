"""Readers while versions come and go and the worker is killed: every list is of one version, the
one that it names."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from alteraser.ledger import schema
from alteraser.service.serving import Serving
from alteraser.service.state import open_state

from .conftest import BASE, Service, everything

READERS = 8
FRESH = multiprocessing.get_context("forkserver")
"""Processes that begin without this one's threads, and with what they need"""
FRESH.set_forkserver_preload([__name__])
WATCHED = [BASE + user for user in range(4)]
"""Whose lists are looked at: of them nothing is forgotten"""


def lists_of(version: Any) -> dict[str, list[int]]:
    """By user, as a version by itself has it."""
    model, found = version.model, {}
    for user in WATCHED:
        rows = model.users.rows_of(pa.array([user]))
        items, _ = model.top_items(np.asarray(rows), k=10, seen=version.data)
        found[str(user)] = model.items.ids_of(items[0][items[0] >= 0]).to_pylist()
    return found


def publishing(root: Path, out: Path, bodies: list[dict]) -> None:
    """A process that does one request after the other, each a version, and writes down what each
    has."""
    service = Service(root)
    with out.open("a", encoding="ascii") as file:

        def note() -> None:
            version = service.state.load_serving()
            print(json.dumps({"version": version.id} | lists_of(version)), file=file, flush=True)

        service.work()  # what was under way when it was killed
        note()
        for body in bodies:
            service.send(body)  # which was sent already where it was killed after that
            service.work()
            note()
    service.close()


@pytest.mark.parametrize(
    ("publishes", "kills", "loads"),
    [(6, 1, 2_000), pytest.param(500, 100, 1_000_000, marks=pytest.mark.faults)],
)
def test_no_list_is_of_two_versions(
    made: Path, in_memory: Path, publishes: int, kills: int, loads: int
) -> None:
    """``loads`` lists, as many in each life of the publishing process."""
    root, out = in_memory / "state", in_memory / "lists"
    shutil.copytree(made / "state-knn", root)
    pairs = [pair for pair in sorted(everything()) if pair[0] not in WATCHED]
    draw = random.Random(publishes)
    draw.shuffle(pairs)
    bodies = [{"pairs": [list(pair)]} for pair in pairs[:publishes]]
    assert len(bodies) == publishes
    state = open_state(root)
    serving = Serving(state)
    seen: list[set[tuple[str, int, tuple[int, ...]]]] = [set() for _ in range(READERS)]
    counts, ended = [0] * READERS, threading.Event()
    faults: list[BaseException] = []

    def reading(mine: int) -> None:
        try:
            while not ended.is_set():
                user = WATCHED[counts[mine] % len(WATCHED)]
                found = serving.recommend(str(user), 10)
                items = tuple(entry["item_id"] for entry in found["items"])
                seen[mine].add((found["version"], user, items))
                counts[mine] += 1
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=reading, args=(mine,)) for mine in range(READERS)]
    threads.append(threading.Thread(target=serving.follow, args=(ended,)))
    done = 0
    try:
        for number in range(kills + 1):
            child = FRESH.Process(target=publishing, args=(root, out, bodies[done:]))
            child.start()
            if number == 0:
                for thread in threads:
                    thread.start()
            if number < kills:
                wanted = done + publishes // (kills + 1)
                while done < wanted:
                    assert child.is_alive()
                    time.sleep(0.02)
                    done = published(state)
                time.sleep(draw.uniform(0, 0.1))
                child.kill()
            child.join()
            assert child.exitcode == (-signal.SIGKILL if number < kills else 0)
            done = published(state)
            while sum(counts) < loads * (number + 1) // (kills + 1):
                assert not faults
                time.sleep(0.02)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not faults
    assert done == publishes
    state.close()
    expected = {}
    for line in out.read_text().splitlines():
        known = json.loads(line)
        expected[known.pop("version")] = known
    assert sum(counts) >= loads
    assert min(counts) > 0
    looked = {entry for each in seen for entry in each}
    known = [entry for entry in looked if entry[0] in expected]
    assert len({entry[0] for entry in known}) > publishes // 10, "of many versions"
    for version, user, items in known:
        assert list(items) == expected[version][str(user)]


def test_a_version_that_is_gone_by_now_is_answered_by_the_next(service) -> None:
    opened = service()
    serving = Serving(opened.state)
    opened.send({"users": [BASE + 20]})
    opened.work()
    with opened.state.database.reading() as connection:
        look = serving.look(connection, str(BASE))
    assert look is not None
    opened.send({"users": [BASE + 21]})
    opened.work()
    assert not (opened.state.folders.versions / look.version).exists()
    found = serving.recommend(str(BASE), 10, look=look)
    assert found == Serving(opened.state).recommend(str(BASE), 10)
    assert found["version"] != look.version


def published(state: Any) -> int:
    """Versions that there have been since the first."""
    with state.database.reading() as connection:
        return len(connection.execute(schema.versions.select()).all()) - 1
