"""A small state of the service, made once and copied for each test."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

import alteraser as ae
from alteraser.ledger import requests
from alteraser.ledger.asked import asked
from alteraser.models.relational.lightgcn import LinearLightGCN
from alteraser.service.state import State, create, open_state
from alteraser.service.worker import Worker
from alteraser.verbs.relational.train import train as train_linear

BASE = 7_305_118_246_091_000_000
"""Ids are long numbers that nothing else is"""


def table() -> pa.Table:
    """60 users and 40 items with times; who likes what is regular, with some noise."""
    rng = np.random.default_rng(0)
    likes = (np.arange(60)[:, None] + np.arange(40)) % 3 == 0
    u, v = np.nonzero(rng.random((60, 40)) < np.where(likes, 0.5, 0.1))
    return pa.table(
        {"user_id": BASE + u, "item_id": v + 100, "timestamp": 978_300_000 + 37 * np.arange(len(u))}
    )


STRANGE = (
    "ann",
    "Zo\u00eb",
    "Zoe\u0308",
    " ann",
    "ann\n",
    "..",
    "-1",
    "=cmd()",
    "'; DROP TABLE requests; --",
    "../../x",
    "two\nlines",
    "\x1b[31mred",
    "\u202eevil",
    "a/b%2fc?d#e",
    "\U0001f375",
)
"""Ids of text that something may take for something else"""


def text_table() -> pa.Table:
    """Each of ``STRANGE`` and twenty plain people with some of twelve items."""
    people = [*STRANGE, *(f"person-{n}" for n in range(20))]
    pairs = [(who, f"item-{v}") for n, who in enumerate(people) for v in range(12) if (n + v) % 3]
    return pa.table({"user_id": [u for u, _ in pairs], "item_id": [v for _, v in pairs]})


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data.csv and text.parquet, a model of each sort, and a state of each."""
    root = tmp_path_factory.mktemp("service")
    pacsv.write_csv(table(), root / "data.csv")
    data = ae.Interactions.read(root / "data.csv")
    ae.ENMF(factors=3, regularization=0.5, missing_weight=0.1).fit(data).save(root / "enmf")
    ae.ItemKNN(neighbors=5).fit(data).save(root / "knn")
    graph = LinearLightGCN(factors=3, regularization=0.1, missing_weight=0.1)
    train_linear(graph, data).save(root / "graph")
    for name in ("enmf", "knn", "graph"):
        create(root / f"state-{name}", root / name, root / "data.csv", rate=0)
    pq.write_table(text_table(), root / "text.parquet")
    words = ae.Interactions.read(root / "text.parquet")
    ae.ItemKNN(neighbors=5).fit(words).save(root / "text")
    create(root / "state-text", root / "text", root / "text.parquet", rate=0)
    return root


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder, in memory where there is one: what a killed process wrote is the system's there
    too, and nobody waits for a disk to keep it."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < 2**30:
        yield tmp_path
        return
    place = Path(tempfile.mkdtemp(prefix="alteraser-", dir=memory))
    yield place
    shutil.rmtree(place)


class Service:
    """A state with a worker that works when it is told to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state: State = open_state(root)
        self.worker = Worker(self.state, threads=1)
        self.worker.begin()

    def send(self, body: dict, name: str | None = None) -> str:
        """The id of a request."""
        text = json.dumps(body, sort_keys=True)
        sender = requests.Sender("client", name or text, text.encode())
        with self.state.database.writing() as connection:
            wanted = asked(body, self.state.declared)
            found, _ = requests.submit(
                connection, wanted, sender, secret=self.state.hashing, now=self.state.clock()
            )
        return str(found["request_id"])

    def work(self) -> None:
        """Until nothing is left to do."""
        while self.worker.once():
            pass

    def shown(self, name: str) -> dict:
        """A request's document."""
        with self.state.database.reading() as connection:
            return requests.document(requests.row_of(connection, name))

    @property
    def pairs(self) -> set[tuple[int, int]]:
        """The served interactions."""
        found = self.state.load_serving().data.to_table()
        return set(zip(found["user_id"].to_pylist(), found["item_id"].to_pylist(), strict=True))

    def close(self) -> None:
        self.worker.end()
        self.state.close()


@contextmanager
def copied(world: Path, place: Path, patch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A copy of a world of files, with its state open; paths are relative to it."""
    shutil.copytree(world, place / "world")
    patch.chdir(place / "world")
    service = Service(place / "world" / "state")
    try:
        yield service
    finally:
        service.close()


@pytest.fixture
def service(made: Path, tmp_path: Path) -> Iterator[Callable[[str], Service]]:
    """A function that opens a fresh copy of a state."""
    opened: list[Service] = []

    def copy(kind: str = "knn") -> Service:
        place = tmp_path / f"state-{len(opened)}"
        shutil.copytree(made / f"state-{kind}", place)
        opened.append(Service(place))
        return opened[-1]

    yield copy
    for each in opened:
        each.close()


def everything() -> dict[tuple[int, int], int]:
    """(user, item) → time of the original data."""
    rows = table().to_pylist()
    return {(row["user_id"], row["item_id"]): row["timestamp"] for row in rows}
