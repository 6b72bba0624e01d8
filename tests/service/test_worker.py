"""From a request to a receipt: what is served is what brute force leaves, and the receipt says so
and no more."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

import alteraser as ae
from alteraser.cli.main import main
from alteraser.engines.store import version as on_disk
from alteraser.errors import Conflict, IntegrityError, InvalidInput, NumericFailure, RefusedByPolicy
from alteraser.ledger import log, merkle, receipts, requests, versions
from alteraser.ledger.canonical import canonical
from alteraser.service import erasing
from alteraser.service.faults import Unnamed
from alteraser.service.ingest import ingest
from alteraser.service.state import create, open_state, same_model
from alteraser.service.worker import Worker

from .conftest import BASE, Service, everything


def receipt_of(service, name: str) -> bytes:
    with service.state.database.reading() as connection:
        found = log.receipt(connection, name, service.state.signer.public)
    assert found is not None
    return found


CLASSES = {"knn": "A", "enmf": "B", "graph": "C"}


@pytest.mark.parametrize("kind", CLASSES)
def test_what_is_served_is_what_is_left(service, kind: str, capsys) -> None:
    opened, whole = service(kind), everything()
    mine = [(user, item) for user, item in whole if user == BASE + 9]
    bodies = {
        "users": ({"users": [BASE + 5, BASE + 7]}, lambda u, v, t: u in (BASE + 5, BASE + 7)),
        "items": ({"items": [101]}, lambda u, v, t: v == 101),
        "pairs": ({"pairs": [list(mine[0]), [BASE + 9, 99]]}, lambda u, v, t: (u, v) == mine[0]),
        "window": (
            {"user": BASE + 11, "since": "2000-12-31T22:00:00Z", "until": 978_307_000},
            lambda u, v, t: u == BASE + 11 and 978_300_000 <= t < 978_307_000,
        ),
        "nobody": ({"users": [5]}, lambda u, v, t: False),
        "kept": (
            {"users": [BASE + 9], "hold": [list(mine[1])]},
            lambda u, v, t: u == BASE + 9 and (u, v) != mine[1],
        ),
    }
    sent = {name: opened.send(body) for name, (body, _) in bodies.items()}
    before = opened.state.load_serving()
    opened.work()
    for name, (_, goes) in bodies.items():
        hit = {(u, v) for (u, v), t in whole.items() if goes(u, v, t)}
        shown = opened.shown(sent[name])
        assert shown["status"] == ("completed" if hit else "completed_nothing_found"), name
        assert shown["counts"]["interactions"] == len(hit), name
    left = {
        pair for pair, t in whole.items() if not any(goes(*pair, t) for _, goes in bodies.values())
    }
    assert opened.pairs == left
    version = opened.state.load_serving()
    assert version.document["parent"] == before.id
    found = ae.verify(version.model, version.data).certificate
    assert found.kind == CLASSES[kind]
    arguments = [
        str(version.folder / "model"),
        "--data",
        str(version.folder / "interactions.parquet"),
        "-q",
    ]
    assert main(["verify", *arguments]) == 0, "anybody who has the version can check it"
    checked = receipts.check(
        receipt_of(opened, sent["users"]), log=log.Log(opened.state.folders.log)
    )
    said = checked.predicate
    assert said["certificate"]["class"] == found.kind
    assert said["model"]["after"] == version.model.digest
    assert said["counts"]["interactions"] == len(
        [pair for pair in whole if pair[0] in (BASE + 5, BASE + 7)]
    )
    assert said["model"]["older_versions"] == "destroyed"
    assert [path.name for path in opened.state.folders.versions.iterdir()] == [version.id]
    assert set(said["limits"]) <= receipts.LIMITS.keys()
    assert ("BASIN_NOT_PROVED" in said["limits"]) == (found.kind != "A")


@pytest.mark.parametrize("kind", ["knn", "graph"])
def test_erased_ids_are_nowhere(service, kind: str) -> None:
    opened = service(kind)
    user = BASE + 5
    for body in ({"users": [user]}, {"users": [BASE + 5_000]}):
        opened.send(body)
    opened.work()
    opened.close()
    for path in opened.root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for each in (user, BASE + 5_000):
                forms = (
                    str(each).encode(),
                    each.to_bytes(8, "little"),
                    each.to_bytes(8, "big"),
                    f"{each:x}".encode(),
                )
                assert not any(form in content for form in forms), path.relative_to(opened.root)
    opened.__init__(opened.root)


def test_nothing_found_changes_nothing_but_the_floor(service) -> None:
    opened = service("enmf")
    before = opened.state.load_serving()
    name = opened.send({"users": [1]})
    opened.work()
    assert opened.state.load_serving().id == before.id
    with opened.state.database.reading() as connection:
        assert versions.serving(connection).floor > 0
    said = receipts.check(receipt_of(opened, name)).predicate
    assert (said["status"], said["certificate"]) == ("completed_nothing_found", None)
    assert said["model"]["before"] == said["model"]["after"]


def test_made_up_requests_do_nothing(service) -> None:
    opened = service("knn")
    before = opened.state.load_serving()
    opened.send({"users": list(range(1, 10_001))})
    opened.send({"pairs": [[BASE + 1, 99], [5, 101]]})
    opened.work()
    assert opened.state.load_serving().model.digest == before.model.digest


def test_everything_goes(service) -> None:
    opened = service("knn")
    name = opened.send({"users": sorted({user for user, _ in everything()})})
    opened.work()
    assert (opened.shown(name)["status"], opened.pairs) == ("completed", set())


def test_what_was_erased_does_not_come_back_and_what_is_new_does(service) -> None:
    opened, whole = service("knn"), everything()
    gone = {pair for pair in whole if pair[0] in (BASE + 5, BASE + 6) or pair[1] == 104}
    opened.send({"users": [BASE + 5, BASE + 6]})
    opened.send({"items": [104]})
    opened.work()
    rows = [{"user": user, "item": item, "timestamp": time} for (user, item), time in whole.items()]
    counts = ingest(opened.state, opened.state.load_serving(), rows)
    assert counts == {
        "accepted": 0,
        "known": len(whole) - len(gone),
        "erased_before": len(gone),
        "left_out": 0,
    }
    item = min(item for user, item in gone if user == BASE + 5)
    later = [
        {"user": BASE + 5, "item": item, "timestamp": 1_700_000_000},
        {"user": BASE + 5, "item": 104},
        {"user": 77, "item": 1234, "timestamp": "2026-03-01T00:00:00Z"},
    ]
    assert ingest(opened.state, opened.state.load_serving(), later)["accepted"] == 3
    assert opened.pairs == whole.keys() - gone
    opened.send({"users": [BASE + 8]})
    opened.work()
    gone |= {pair for pair in whole if pair[0] == BASE + 8}
    assert opened.pairs == (whole.keys() - gone) | {(BASE + 5, item), (BASE + 5, 104), (77, 1234)}
    opened.send({"users": [77]})
    opened.work()
    assert (77, 1234) not in opened.pairs
    assert not list(opened.state.folders.added.iterdir())


@pytest.mark.parametrize("kind", ["enmf", "graph"])
def test_additions_are_learned_by_a_model_with_factors(service, kind: str) -> None:
    opened, whole = service(kind), everything()
    ingest(
        opened.state,
        opened.state.load_serving(),
        [{"user": 77, "item": 101}, {"user": 77, "item": 555}],
    )
    opened.send({"users": [BASE + 5]})
    opened.work()
    assert opened.pairs == {p for p in whole if p[0] != BASE + 5} | {(77, 101), (77, 555)}
    version = opened.state.load_serving()
    assert ae.verify(version.model, version.data).certificate.passed


def test_an_erasure_reaches_what_is_not_learned_yet(service) -> None:
    opened = service("knn")
    ingest(
        opened.state,
        opened.state.load_serving(),
        [{"user": 77, "item": 101}, {"user": 78, "item": 101}],
    )
    name = opened.send({"users": [77]})
    opened.work()
    assert opened.shown(name)["counts"]["interactions"] == 1
    assert {pair for pair in opened.pairs if pair[0] in (77, 78)} == {(78, 101)}


def test_a_check_that_fails_is_followed_by_a_retrain(service, monkeypatch) -> None:
    opened = service("enmf")
    real, methods = erasing.certify, []

    def certify(whole, start, version, *, threads):
        methods.append(version.model.training["method"])
        found = real(whole, start, version, threads=threads)
        return found if len(methods) > 1 else found | {"class": "D"}

    monkeypatch.setattr(erasing, "certify", certify)
    name = opened.send({"users": [BASE + 5]})
    opened.work()
    assert methods == ["converge", "retrain"]
    assert opened.shown(name)["status"] == "completed"
    assert receipts.check(receipt_of(opened, name)).predicate["method"]["method"] == "retrain"


def test_what_was_added_keeps_nobody_from_being_forgotten(service, monkeypatch) -> None:
    """Interactions that no model can be made with are dropped: requests are done without them, all
    in one batch, those for people who are in these alone as well, and nothing comes back."""
    opened = service("knn")
    real, seen = erasing.erase, []

    def erase(data, start, gone, **more):
        seen.append(data.count)
        if (data.users.rows_of([77]) >= 0).any() and data.user_counts[data.users.rows_of([77])[0]]:
            raise NumericFailure("a row has no solution")
        return real(data, start, gone, **more)

    monkeypatch.setattr(erasing, "erase", erase)
    before = opened.pairs
    ingest(opened.state, opened.state.load_serving(), [{"user": 77, "item": 101}])
    names = [opened.send({"users": [BASE + 5]}), opened.send({"users": [77]})]
    opened.work()
    assert len(seen) == 2, "once with, once without"
    shown = [opened.shown(name)["status"] for name in names]
    assert shown == ["completed", "completed_nothing_found"]
    after = {pair for pair in before if pair[0] != BASE + 5}
    assert opened.pairs == after
    assert not list(opened.state.folders.added.iterdir())
    opened.send({"users": [BASE + 6]})
    opened.work()
    assert opened.pairs == {pair for pair in after if pair[0] != BASE + 6}
    # who is alone there, and nobody else asks
    ingest(opened.state, opened.state.load_serving(), [{"user": 77, "item": 101}])
    name = opened.send({"users": [77]}, "again")
    opened.work()
    assert opened.shown(name)["status"] == "completed_nothing_found"
    assert not list(opened.state.folders.added.iterdir())


def test_values_that_no_model_learns_from_are_refused(tmp_path: Path) -> None:
    rows = [
        {"user": u, "item": v, "plays": 1 + (u + v) % 3} for u in range(9) for v in range(u % 4, 6)
    ]
    pacsv.write_csv(pa.Table.from_pylist(rows), tmp_path / "data.csv")
    words = (
        "--model item-knn --neighbors 3 --confidence plays --user-column user --item-column item"
    )
    command = [
        "train",
        str(tmp_path / "data.csv"),
        *words.split(),
        "--out",
        str(tmp_path / "model"),
    ]
    assert main([*command, "-q"]) == 0
    create(tmp_path / "state", tmp_path / "model", tmp_path / "data.csv", rate=0)
    opened = Service(tmp_path / "state")
    served = opened.state.load_serving()
    for value, words in ((-5, "above zero"), (0, "above zero"), (1e300, "range"), (1e-40, "range")):
        with pytest.raises(InvalidInput, match=words):
            ingest(opened.state, served, [{"user": 1, "item": 77, "value": value}])
    assert ingest(opened.state, served, [{"user": 1, "item": 77, "value": 2}])["accepted"] == 1
    name = opened.send({"users": [3]})
    opened.work()
    assert opened.shown(name)["status"] == "completed"
    opened.close()


def test_what_never_passes_fails_alone(service, monkeypatch) -> None:
    opened, whole = service("knn"), everything()
    before = opened.state.load_serving().id
    real = erasing.erase

    def erase(data, start, gone, **more):
        if (data.keep(gone).user_rows == data.users.rows_of([BASE + 5])[0]).any():
            raise NumericFailure("a row has no solution")
        return real(data, start, gone, **more)

    monkeypatch.setattr(erasing, "erase", erase)
    bad, good = opened.send({"users": [BASE + 5]}), opened.send({"users": [BASE + 6]})
    opened.work()
    assert (opened.shown(bad)["status"], opened.shown(bad)["reason"]) == ("failed", "numeric")
    assert opened.shown(good)["status"] == "completed"
    assert opened.state.load_serving().document["parent"] == before
    assert opened.pairs == {pair for pair in whole if pair[0] != BASE + 6}


# ---------------------------------------------------------------- receipts


def test_a_receipt_with_any_byte_changed_is_refused(service) -> None:
    opened = service("knn")
    name = opened.send({"users": [BASE + 5]})
    opened.send({"users": [BASE + 6]})
    opened.work()
    content = receipt_of(opened, name)
    receipts.check(content)
    for place in range(0, len(content), 7):
        for change in (1, 0x20):
            broken = content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]
            with pytest.raises(IntegrityError):
                receipts.check(broken)
    for cut in (0, 1, len(content) // 2, len(content) - 1):
        with pytest.raises(IntegrityError):
            receipts.check(content[:cut])


def test_a_receipt_is_about_its_request_and_of_its_issuer(service) -> None:
    opened, other = service("knn"), service("enmf")
    body = {"users": [BASE + 5]}
    name = opened.send(body)
    shown = opened.shown(name)
    opened.work()
    content = receipt_of(opened, name)
    asked = f'{{"kind":"users","names":[{BASE + 5}]}}'
    assert receipts.check(content, request=(shown["salt"], asked)).opened
    for request in ((shown["salt"], asked.replace("users", "items")), ("00" * 16, asked)):
        with pytest.raises(IntegrityError) as caught:
            receipts.check(content, request=request)
        assert caught.value.details["step"] == "commitment"
    assert receipts.check(content, public=opened.state.signer.public).trusted
    assert not receipts.check(content).trusted
    with pytest.raises(IntegrityError) as caught:
        receipts.check(content, public=other.state.signer.public)
    assert caught.value.details["step"] == "key"
    other.send(body)
    other.work()
    with pytest.raises(IntegrityError):
        receipts.check(content, log=log.Log(other.state.folders.log))


def test_a_forked_log_is_found_out(service) -> None:
    opened = service("knn")
    names = [opened.send({"users": [BASE + i]}) for i in range(3)]
    opened.work()
    folder = opened.state.folders.log
    content = receipt_of(opened, names[1])
    assert receipts.check(content, log=log.Log(folder)).leaf == 1
    leaves = (folder / log.LEAVES).read_text().split()
    (folder / log.LEAVES).write_text("\n".join([leaves[0], leaves[2]]) + "\n")
    with pytest.raises(IntegrityError, match="not those of the checkpoint"):
        log.Log(folder)
    signer = opened.state.signer
    hashes = [bytes.fromhex(each) for each in (leaves[0], leaves[2])]
    forged = signer.sign(
        log.CHECKPOINT, canonical(log.head(merkle.Tree([], hashes), "x", opened.state.clock()))
    )
    (folder / log.HEAD).write_bytes(canonical(forged))
    with pytest.raises(IntegrityError) as caught:
        receipts.check(content, log=log.Log(folder))
    assert caught.value.details["step"] in ("log", "consistency")


def test_the_command_that_checks_receipts(service, tmp_path: Path, capsys) -> None:
    opened = service("knn")
    name = opened.send({"users": [BASE + 5]})
    opened.work()
    path = tmp_path / "receipt.json"
    path.write_bytes(receipt_of(opened, name))
    state_log = str(opened.state.folders.log)
    assert main(["receipt", "verify", str(path), "--log", state_log, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["valid"], document["in_log"], document["key_trusted"]) == (True, True, True)
    assert main(["receipt", "verify", str(path), "--key", f"{state_log}/public.key"]) == 0
    assert "compare it with the issuer's" not in capsys.readouterr().out
    path.write_bytes(path.read_bytes().replace(b'"leaf":0', b'"leaf":1'))
    assert main(["receipt", "verify", str(path)]) == 6
    assert main(["receipt", "verify", str(tmp_path / "none.json")]) == 3


# ---------------------------------------------------------------- the state directory


def test_a_damaged_version_is_never_served(service) -> None:
    opened = service("enmf")
    folder = opened.state.load_serving().folder
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            whole = path.read_bytes()
            for place in {0, len(whole) // 2, len(whole) - 1}:
                path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
                with pytest.raises(IntegrityError):
                    on_disk.load(folder)
            path.write_bytes(whole)
    (folder / "model" / "note.txt").write_text("hello")
    with pytest.raises(IntegrityError, match="no part of the version"):
        on_disk.load(folder)


def test_an_older_ledger_beside_newer_versions_is_refused(service, tmp_path: Path) -> None:
    opened = service("knn")
    opened.state.database.copy_of(opened.state.folders.ledger, tmp_path / "old.sqlite")
    opened.send({"users": [BASE + 5]})
    opened.work()
    opened.close()
    for path in opened.root.glob("ledger.sqlite*"):
        path.unlink()
    with pytest.raises(IntegrityError, match="is missing"):
        open_state(opened.root)
    shutil.copy(tmp_path / "old.sqlite", opened.root / "ledger.sqlite")
    with pytest.raises(RefusedByPolicy) as caught:
        open_state(opened.root)
    assert caught.value.details["code"] == "ledger_behind"


def test_a_state_is_of_one_model(made: Path, service, tmp_path: Path) -> None:
    opened = service("knn")
    same_model(opened.state, made / "knn")
    with pytest.raises(Conflict) as caught:
        same_model(opened.state, made / "enmf")
    assert caught.value.details["code"] == "other_model"
    lines = (made / "data.csv").read_text().splitlines()
    (tmp_path / "less.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(IntegrityError, match="not what the model was trained on"):
        create(tmp_path / "new", made / "knn", tmp_path / "less.csv")
    assert not (tmp_path / "new").exists()


def test_secrets_are_private(service) -> None:
    opened = service("knn")
    for path in (
        opened.state.folders.admin_key,
        *(opened.root / "secrets").iterdir(),
        opened.state.folders.ledger,
    ):
        assert path.stat().st_mode & 0o077 == 0, path.name


def test_only_one_works(service) -> None:
    opened = service("knn")
    other = open_state(opened.root)
    with other.database.writing() as connection:
        from alteraser.ledger import leases

        with pytest.raises(Conflict, match="another worker"):
            leases.acquire(connection, "worker", holder="elsewhere:1:1")
    taken = Worker(other, threads=1)
    taken.begin()  # the same process: it may take its own lease again, and the first one is fenced
    opened.send({"users": [BASE + 5]})
    with pytest.raises(Conflict, match="another worker took over"):
        opened.worker.once()
    while taken.once():
        pass
    other.close()
    with opened.state.database.reading() as connection:
        assert requests.counted(connection)["completed"] == 1


def test_a_fault_of_ours_is_logged_by_its_place_and_names_nobody(
    service, caplog: pytest.LogCaptureFixture
) -> None:
    here = service()

    def fails() -> bool:
        raise RuntimeError(f"user {BASE + 5} again")

    here.worker.once = fails
    assert here.worker._safely() is False
    assert here.worker.stop.is_set()
    assert here.state.halted == "RuntimeError"
    assert "stopping: RuntimeError" in caplog.text
    assert "in fails" in caplog.text, "where it was"
    assert str(BASE + 5) not in caplog.text


def test_a_traceback_of_the_server_names_nobody(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tests.service.unnamed")
    logger.addFilter(Unnamed())
    try:
        raise ValueError(f"user {BASE + 5}")
    except ValueError:
        logger.exception("Exception in ASGI application\n")
    assert "ValueError" in caplog.text
    assert "test_a_traceback" in caplog.text
    assert str(BASE + 5) not in caplog.text


def test_everybody_may_go_from_a_model_of_a_graph(service) -> None:
    opened = service("graph")
    opened.send({"users": sorted({user for user, _ in everything()})})
    opened.work()
    assert opened.pairs == set()
    assert not any(x.any() for x in opened.state.load_serving().model.vectors)
