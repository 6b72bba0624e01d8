"""A backup is the state, whole or refused; and restoring one brings nothing back that was erased
since."""

from __future__ import annotations

import errno
import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from alteraser.cli.main import main
from alteraser.engines.store import archive
from alteraser.errors import Conflict, IntegrityError, OutputExists, ResourceLimit
from alteraser.ledger import ingests, keys, requests
from alteraser.runtime.durable import watched
from alteraser.service.backup import backup
from alteraser.service.ingest import ingest
from alteraser.service.restore import restore
from alteraser.service.state import open_state

from .conftest import BASE, Service


def files(root: Path) -> dict[str, bytes]:
    """By name; the ledger's pages are compared by what they hold, elsewhere."""
    found = (path for path in root.rglob("*") if path.is_file())
    skipped = ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "serve.lock")
    return {
        str(path.relative_to(root)): path.read_bytes() for path in found if path.name not in skipped
    }


def status(root: Path, name: str) -> str:
    state = open_state(root)
    with state.database.reading() as connection:
        found = requests.row_of(connection, name).state
    state.close()
    return str(found)


def pairs(root: Path) -> set[tuple[int, int]]:
    state = open_state(root)
    found = state.load_serving().data.to_table()
    state.close()
    return set(zip(found["user_id"].to_pylist(), found["item_id"].to_pylist(), strict=True))


@pytest.mark.parametrize("kind", ["knn", "enmf"])
def test_round_trip(service: Callable[[str], Service], tmp_path: Path, kind: str) -> None:
    mine = service(kind)
    done = mine.send({"users": [BASE + 5]})
    mine.work()
    waits = mine.send({"users": [BASE + 6]})
    ingest(
        mine.state, mine.state.load_serving(), [{"user": 77, "item": 103, "timestamp": 978_400_000}]
    )
    head = backup(mine.root, tmp_path / "b")
    assert (head["requests"], head["receipts"], head["versions"]) == (2, 1, 1)
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    restore(tmp_path / "b", tmp_path / "new")
    assert files(tmp_path / "new") == files(mine.root), "all of it, and nothing else"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").glob("secrets/*")} == {0o600}
    mine.work()
    again = Service(tmp_path / "new")
    again.work()
    assert again.pairs == mine.pairs
    assert (77, 103) in again.pairs
    assert [again.shown(name)["status"] for name in (done, waits)] == ["completed", "completed"]
    again.close()
    with pytest.raises(OutputExists):
        restore(tmp_path / "b", tmp_path / "new")
    with pytest.raises(OutputExists):
        backup(mine.root, tmp_path / "b")


def test_versions_below_the_floor_are_left_out(
    service: Callable[[str], Service], tmp_path: Path
) -> None:
    mine = service("knn")
    mine.send({"users": [BASE + 5]})
    for _ in range(3):  # up to the publication; what is older is still on disk
        batch = mine.worker._current()
        assert batch is not None
        mine.worker._steps[batch.state](batch)
    assert len(list((mine.root / "versions").iterdir())) == 2
    assert backup(mine.root, tmp_path / "b")["versions"] == 1
    restore(tmp_path / "b", tmp_path / "new")
    again = Service(tmp_path / "new")
    again.work()
    mine.work()
    assert again.pairs == mine.pairs
    again.close()


@pytest.mark.parametrize("at", range(2, 40, 3))
def test_the_service_publishes_meanwhile(
    service: Callable[[str], Service], tmp_path: Path, at: int
) -> None:
    """A version that the ledger's copy names is destroyed before its turn comes: the backup is of
    one moment."""
    mine = service("knn")
    mine.send({"users": [BASE + 5]})
    left = iter(range(at, -1, -1))

    def watcher(operation: str, place: object) -> None:
        if next(left, -1) == 0:
            mine.work()

    with watched(watcher):
        backup(mine.root, tmp_path / "b")
    assert next(left, -1) == -1, "it did publish"
    restore(tmp_path / "b", tmp_path / "new")
    again = Service(tmp_path / "new")
    again.work()
    assert again.pairs == mine.pairs
    again.close()


def test_a_batch_under_way_goes_on(service: Callable[[str], Service], tmp_path: Path) -> None:
    mine = service("knn")
    name = mine.send({"users": [BASE + 5]})
    for step in range(5):
        batch = mine.worker._current()
        assert batch is not None
        mine.worker._steps[batch.state](batch)
        backup(mine.root, tmp_path / f"b{step}")
        restore(tmp_path / f"b{step}", tmp_path / f"new{step}")
        again = Service(tmp_path / f"new{step}")
        again.work()
        assert again.shown(name)["status"] == "completed", step
        assert not any(user == BASE + 5 for user, _ in again.pairs)
        again.close()


def test_what_was_erased_since_is_erased_again(
    service: Callable[[str], Service], tmp_path: Path
) -> None:
    mine = service("knn")
    waited, withdrawn = mine.send({"users": [BASE + 7]}), mine.send({"users": [BASE + 8]})
    backup(mine.root, tmp_path / "b")
    with mine.state.database.writing() as connection:
        requests.cancel(connection, withdrawn, mine.state.clock())
        lost = keys.make(connection, mine.state.clock(), ["submit"])
        keys.revoke(connection, lost.split("_")[1], mine.state.clock())
    done = mine.send({"users": [BASE + 5]})
    mine.work()
    opened = mine.send({"users": [BASE + 6]})
    before = mine.shown(opened)
    whole = restore(tmp_path / "b", tmp_path / "whole", mine.root, threads=1)
    assert (whole["complete"], whole["send_again"], whole["requests_taken_over"]) == (True, [], 1)
    assert whole["interactions_erased_again"] > 0
    mine.work()
    assert pairs(tmp_path / "whole") == mine.pairs
    assert any(user == BASE + 8 for user, _ in mine.pairs), "what was withdrawn is not done"
    assert [status(tmp_path / "whole", name) for name in (waited, withdrawn)] == [
        "completed",
        "cancelled",
    ]
    state = open_state(tmp_path / "whole")
    with state.database.reading() as connection:
        assert keys.find(connection, lost, state.clock()) is None, (
            "a key that was revoked since stays so"
        )
        after = requests.document(requests.row_of(connection, opened))
        assert not ingests.waiting(connection)
    state.close()
    assert (after["received"], after["due"]) == (before["received"], before["due"])

    part = restore(tmp_path / "b", tmp_path / "part", mine.root / "ledger.sqlite", threads=1)
    assert (part["complete"], sorted(part["send_again"])) == (False, sorted([done, opened]))
    assert any(user == BASE + 5 for user, _ in pairs(tmp_path / "part")), (
        "nobody knows what it named: it is listed"
    )
    counted = restore(tmp_path / "b", tmp_path / "counted", mine.root / "log", threads=1)
    assert (counted["complete"], counted["receipts_after"]) == (False, 3)


def test_a_ledger_of_another_state(
    service: Callable[[str], Service], tmp_path: Path, made: Path
) -> None:
    backup(service("knn").root, tmp_path / "b")
    with pytest.raises(Conflict, match="another state"):
        restore(tmp_path / "b", tmp_path / "new", made / "state-enmf")
    assert not (tmp_path / "new").exists()
    (tmp_path / "junk").write_bytes(b"SQLite format 3\0" + bytes(5000))
    with pytest.raises(IntegrityError):
        restore(tmp_path / "b", tmp_path / "new", tmp_path / "junk")


def test_flipped_and_cut(made: Path, tmp_path: Path) -> None:
    backup(made / "state-knn", tmp_path / "b")
    content, draw = (tmp_path / "b").read_bytes(), random.Random(0)
    places = [0, 100, 156, 257, *range(len(content) - 2048, len(content), 97)]
    places += [draw.randrange(len(content)) for _ in range(200)]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << draw.randrange(8)
        (tmp_path / "c").write_bytes(changed)
        with pytest.raises(IntegrityError, match="damaged"):
            restore(tmp_path / "c", tmp_path / "new")
    for cut in (b"", content[:700], content[:-1], content + b"\0", content[:-2048]):
        (tmp_path / "c").write_bytes(cut)
        with pytest.raises(IntegrityError, match="damaged"):
            restore(tmp_path / "c", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/tmp/evil",
        "secrets/../../evil",
        "versions/x/version.json",
        f"versions/{'a' * 64}/../../../evil",
        f"versions/{'a' * 64}/.hidden",
        "evil",
        "serve.lock",
        "added/x.parquet",
        "secrets/other.key",
        "state.json\n",
    ],
)
def test_names_that_lead_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The digest is right, the name is not: whoever made the file knew how."""
    monkeypatch.setattr(
        archive, "_header", lambda each, size: _any_header(each, size, tarfile.REGTYPE)
    )
    with open(tmp_path / "b", "wb") as file:
        writer = archive.ArchiveWriter(file)
        writer.add_bytes(name, b"evil")
        writer.end()
    with pytest.raises(IntegrityError, match="no backup has"):
        restore(tmp_path / "b", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_members_that_are_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bytes
) -> None:
    def header(each: str, size: int) -> bytes:
        return _any_header(each, size, tarfile.REGTYPE if each == "digest" else kind)

    monkeypatch.setattr(archive, "_header", header)
    with open(tmp_path / "b", "wb") as file:
        writer = archive.ArchiveWriter(file)
        writer.add_bytes("state.json", b"")
        writer.end()
    with pytest.raises(IntegrityError, match="no backup has"):
        restore(tmp_path / "b", tmp_path / "new")


def _any_header(name: str, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.linkname = (
        size,
        0o600,
        kind,
        "/etc/passwd" if kind in b"12" else "",
    )
    return info.tobuf(tarfile.USTAR_FORMAT)


def test_a_full_disk_at_any_operation(made: Path, tmp_path: Path) -> None:
    def failing(at: int) -> Callable[[str, object], None]:
        left = iter(range(at, -1, -1))

        def watcher(operation: str, place: object) -> None:
            if next(left, -1) == 0:
                raise OSError(errno.ENOSPC, "full")

        return watcher

    def operations(call: Callable[[], object]) -> int:
        seen: list[str] = []
        with watched(lambda operation, place: seen.append(operation)):
            call()
        return len(seen)

    shutil.copytree(made / "state-knn", tmp_path / "state")
    whole = tmp_path / "b"
    count = operations(lambda: backup(tmp_path / "state", whole))
    for at in range(0, count, 7):
        with watched(failing(at)), pytest.raises(ResourceLimit):
            backup(tmp_path / "state", tmp_path / "c")
    count = operations(lambda: restore(whole, tmp_path / "new"))
    for at in range(0, count, 7):
        with watched(failing(at)), pytest.raises(ResourceLimit):
            restore(whole, tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "new", "state"], (
        "nothing was left"
    )


def test_commands(
    service: Callable[[str], Service], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = service("knn")
    mine.send({"pairs": [[BASE + 1, 102]]})
    mine.send({"users": [BASE + 5]})
    mine.work()
    rows = [
        "user_id,item_id,timestamp",
        f"{BASE + 5},103,978300005",
        f"{BASE + 6},139,978400000",
        "77,103,978400000",
    ]
    (tmp_path / "new.csv").write_text("\n".join(rows) + "\n")
    capsys.readouterr()
    erased = sum(user == BASE + 5 and item == 103 for user, item in mine.pairs)
    assert erased == 0
    assert main(["ingest", str(tmp_path / "new.csv"), "--state", str(mine.root), "--json"]) == 0
    assert '"accepted"' in capsys.readouterr().out
    (tmp_path / "text.csv").write_text("user_id,item_id,timestamp\nanna,103,978300000\n")
    assert main(["ingest", str(tmp_path / "text.csv"), "--state", str(mine.root)]) == 2
    assert main(["backup", str(mine.root), "--out", str(tmp_path / "b"), "--json"]) == 0
    assert main(["restore", str(tmp_path / "b"), "--state", str(tmp_path / "new")]) == 0
    assert "send every request again that was made after" in capsys.readouterr().err
    assert main(["restore", str(tmp_path / "b"), "--state", str(tmp_path / "new")]) == 4
    (tmp_path / "b").write_bytes((tmp_path / "b").read_bytes()[:-5])
    assert main(["restore", str(tmp_path / "b"), "--state", str(tmp_path / "x")]) == 6
    assert main(["backup", str(tmp_path / "nothing"), "--out", str(tmp_path / "c")]) == 3


def test_a_file_brings_nothing_back(service: Callable[[str], Service], tmp_path: Path) -> None:
    """The data of the state itself, ingested once more after an erasure: known, or erased, never
    new."""
    import pyarrow.csv as pacsv

    from alteraser.service.ingest import read, take

    from .conftest import table

    mine = service("knn")
    mine.send({"users": [BASE + 5]})
    before = len(mine.pairs)
    mine.work()
    pacsv.write_csv(table(), tmp_path / "again.csv")
    version = mine.state.load_serving()
    counts = take(mine.state, version, read(mine.state, version, tmp_path / "again.csv"))
    assert counts == {
        "accepted": 0,
        "known": len(mine.pairs),
        "erased_before": before - len(mine.pairs),
        "left_out": 0,
    }
