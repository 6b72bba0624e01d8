"""A state that was damaged, or put together from several, is refused by everything that opens it,
in the same words and with the same exit code, and nothing is written to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alteraser.cli.main import main
from alteraser.errors import AltEraserError
from alteraser.ledger import kinds
from alteraser.ledger.schema import VERSION
from alteraser.service.run import _examine
from alteraser.service.serving import Serving
from alteraser.service.state import open_state
from alteraser.service.worker import Worker

from .conftest import BASE, Service


@dataclass(frozen=True)
class Damage:
    """What was done to a state, and how it is answered: exit code, and words of the message."""

    name: str
    do: Callable[[Path], None]
    exit: int
    says: str


def version(root: Path) -> Path:
    """The folder of the version that is served."""
    with sqlite3.connect(root / "ledger.sqlite") as connection:
        (name,) = connection.execute("SELECT version FROM pointer").fetchone()
    connection.close()
    return root / "versions" / name


def ledger(root: Path, statement: str) -> None:
    with sqlite3.connect(root / "ledger.sqlite") as connection:
        connection.execute(statement)
    connection.close()


def flipped(path: Path, place: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def tensors(root: Path) -> Path:
    """The largest file of the served model."""
    return max((version(root) / "model").iterdir(), key=lambda path: path.stat().st_size)


class Evil:
    """Does something where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str, ...]]:
        return os.mkdir, ("unpickled",)


def resigned(root: Path, change: Callable[[dict], None]) -> None:
    """The version's document changed, its folder named by the new digest, the ledger told of it:
    as somebody would who may write everywhere."""
    old = version(root)
    document = json.loads((old / "version.json").read_text())
    change(document)
    text = json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"
    (old / "version.json").write_bytes(text)
    name = hashlib.sha256(text).hexdigest()
    old.rename(old.with_name(name))
    ledger(root, f"UPDATE versions SET id = '{name}' WHERE id = '{old.name}'")
    ledger(root, f"UPDATE pointer SET version = '{name}'")


def above(root: Path) -> None:
    """A version on disk that was made after the last thing that the ledger knows of."""
    extra = root / "versions" / "x"
    extra.mkdir()
    text = json.dumps({**json.loads((version(root) / "version.json").read_text()), "floor": 10**6})
    (extra / "version.json").write_text(text)
    extra.rename(extra.with_name(hashlib.sha256(text.encode()).hexdigest()))


DAMAGES = [
    Damage("no ledger", lambda root: (root / "ledger.sqlite").unlink(), 6, "is missing: without"),
    Damage("an empty ledger", lambda root: (root / "ledger.sqlite").write_bytes(b""), 6, "damaged"),
    Damage("no database", lambda root: (root / "ledger.sqlite").write_text("x" * 9000), 6, "damag"),
    Damage("half a ledger", lambda root: os.truncate(root / "ledger.sqlite", 20_000), 6, "damag"),
    Damage(
        "a later ledger",
        lambda root: ledger(root, f"UPDATE meta SET value = '{VERSION + 1}' WHERE name = 'schema'"),
        6,
        "upgrade",
    ),
    Damage("a table less", lambda root: ledger(root, "DROP TABLE receipts"), 6, "damaged"),
    Damage("nothing is served", lambda root: ledger(root, "DELETE FROM pointer"), 6, "damaged"),
    Damage("an older ledger", above, 5, "an older copy"),
    Damage("no version", lambda root: shutil.rmtree(version(root)), 6, "is missing; restore it"),
    Damage("no state.json", lambda root: (root / "state.json").unlink(), 3, "is no state"),
    Damage("half of state.json", lambda root: os.truncate(root / "state.json", 20), 6, "restore"),
    Damage("a list", lambda root: (root / "state.json").write_text("[]") and None, 6, "state.json"),
    Damage("bytes", lambda root: (root / "state.json").write_bytes(b"\xff{}") and None, 6, "state"),
    Damage(
        "a later state",
        lambda root: (root / "state.json").write_text('{"format": 99}') and None,
        6,
        "upgrade",
    ),
    Damage("a bit of the model", lambda root: flipped(tensors(root)), 6, "digest"),
    Damage(
        "a bit of its data", lambda root: flipped(version(root) / "interactions.parquet"), 6, ""
    ),
    Damage(
        "a bit of a document", lambda root: flipped(version(root) / "version.json"), 6, "digest"
    ),
    Damage("half of the model", lambda root: os.truncate(tensors(root), 100), 6, "digest"),
    Damage(
        "a pickle for a model",
        lambda root: tensors(root).write_bytes(pickle.dumps(Evil())) and None,
        6,
        "digest",
    ),
    Damage(
        "a pickle whose digest is right",
        lambda root: resigned(
            root,
            lambda document: document["files"].update(
                {
                    str(tensors(root).relative_to(version(root))): (
                        tensors(root).write_bytes(pickle.dumps(Evil()))
                        and hashlib.sha256(pickle.dumps(Evil())).hexdigest()
                    )
                }
            ),
        ),
        6,
        "",
    ),
    Damage(
        "a file too many", lambda root: (version(root) / "x").write_text("x") and None, 6, "no part"
    ),
    Damage(
        "another model's digest",
        lambda root: resigned(root, lambda document: document.update(model="0" * 64)),
        6,
        "not that of the version",
    ),
    Damage(
        "a later version",
        lambda root: resigned(root, lambda document: document.update(format=99)),
        6,
        "upgrade",
    ),
    Damage(
        "no signing key", lambda root: (root / "secrets" / "signing.key").unlink(), 6, "signing.key"
    ),
    Damage(
        "half a signing key",
        lambda root: os.truncate(root / "secrets" / "signing.key", 9),
        6,
        "signing.key",
    ),
    Damage(
        "no key of hashes", lambda root: (root / "secrets" / "hashing.key").unlink(), 6, "hashing"
    ),
    Damage(
        "half a key of hashes",
        lambda root: os.truncate(root / "secrets" / "hashing.key", 9),
        6,
        "hashing",
    ),
    Damage(
        "a secret that is none",
        lambda root: (root / "secrets" / "salt.key").write_text("zz" * 32) and None,
        6,
        "salt",
    ),
    Damage("no folder of versions", lambda root: shutil.rmtree(root / "versions"), 6, "versions"),
    Damage("a file for a folder", lambda root: file_for(root / "log"), 6, "log"),
]


def file_for(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("x")


@pytest.fixture(scope="module")
def used(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state that has done a request, and has another waiting."""
    place = tmp_path_factory.mktemp("used") / "state"
    shutil.copytree(made / "state-knn", place)
    opened = Service(place)
    opened.send({"users": [BASE + 5]})
    opened.work()
    opened.send({"users": [BASE + 6]})
    opened.close()
    opened.state.database.truncate()
    opened.state.database.close()
    return place


def content(root: Path) -> dict[str, str]:
    """Everything in a folder but what readers leave of a database, and who has the lease."""
    return rows(root / "ledger.sqlite") | {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(("ledger.sqlite", "serve.lock"))
    }


def rows(file: Path) -> dict[str, str]:
    """What a ledger holds, as text; its bytes where it cannot be read."""
    if not file.exists():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(file)) as connection:
            lines = [each for each in connection.iterdump() if '"leases"' not in each]
        return {"ledger": "\n".join(lines)}
    except sqlite3.DatabaseError:
        return {"ledger": hashlib.sha256(file.read_bytes()).hexdigest()}


def commanded(*words: str) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        return main(list(words)), " ".join(said.getvalue().split())


def opened(root: Path) -> None:
    """All that a service looks at before it serves."""
    state = open_state(root)
    try:
        _ = state.signer, state.hashing, state.salt
        Serving(state)
        Worker(state, threads=1).begin()
    finally:
        state.close()


@pytest.fixture(params=DAMAGES, ids=[each.name for each in DAMAGES])
def damaged(
    request: pytest.FixtureRequest, used: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Damage]:
    root = tmp_path / "state"
    shutil.copytree(used, root)
    request.param.do(root)
    monkeypatch.chdir(tmp_path)
    return root, request.param


def test_it_is_refused_whoever_opens_it(damaged: tuple[Path, Damage], tmp_path: Path) -> None:
    root, damage = damaged
    before = content(root)
    with pytest.raises(AltEraserError) as raised:
        opened(root)
    for command in (["worker", "--once"], ["serve", "--port", "0"]):
        code, said = commanded(*command, "--state", str(root))
        assert (code, damage.says in said) == (damage.exit, True), (command, said)
        assert "Traceback" not in said
    assert raised.value.exit_code == damage.exit
    assert damage.says in raised.value.message
    assert content(root) == before, "nothing was written, nothing was mended"
    assert not (tmp_path / "unpickled").exists()


def test_a_large_ledger_is_examined_while_it_is_used(
    damaged_page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opens it does not read it whole first; the service and the worker do beside or before
    their work, and a copy is not made of it."""
    monkeypatch.setattr(kinds, "SOON", 0)
    state = open_state(damaged_page)
    assert state.halted is None
    _examine(state)
    assert state.halted == "integrity"
    state.close()
    before = content(damaged_page)
    for line in (
        ["worker", "--state", str(damaged_page), "--once"],
        ["backup", str(damaged_page), "--out", f"{damaged_page}.tar"],
    ):
        code, said = commanded(*line)
        assert (code, "is damaged" in said) == (6, True), said
    assert content(damaged_page) == before
    assert not Path(f"{damaged_page}.tar").exists()


def test_a_ledger_of_which_all_is_well_is_examined_once(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Any] = []
    whole = kinds.SQLite.check
    monkeypatch.setattr(kinds.SQLite, "check", lambda *given: (looks.append(1), whole(*given)))
    shutil.copytree(made / "state-knn", tmp_path / "state")
    for soon, after_opening in ((kinds.SOON, 1), (0, 0)):
        monkeypatch.setattr(kinds, "SOON", soon)
        looks.clear()
        state = open_state(tmp_path / "state")
        assert len(looks) == after_opening
        for _ in range(2):
            _examine(state)
            assert (len(looks), state.halted) == (1, None)
        state.close()


@pytest.fixture
def damaged_page(made: Path, tmp_path: Path) -> Path:
    """A state with a page of its ledger that no longer is one, which nobody reads to open it."""
    root = tmp_path / "state"
    shutil.copytree(made / "state-knn", root)
    with contextlib.closing(sqlite3.connect(root / "ledger.sqlite")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        question = "SELECT rootpage FROM sqlite_master WHERE name = 'idempotency'"
        (page,) = connection.execute(question).fetchone()
    pages = bytearray((root / "ledger.sqlite").read_bytes())
    pages[(page - 1) * size] ^= 0xFF
    (root / "ledger.sqlite").write_bytes(pages)
    return root
