"""Sequence models: that training again gives the same bytes, what forgetting leaves, and what
verify refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

torch = pytest.importorskip("torch")

from conftest import Run  # noqa: E402

import alteraser as ae  # noqa: E402
from alteraser.data.interactions import Interactions  # noqa: E402
from alteraser.engines.session import EventSession  # noqa: E402
from alteraser.errors import DependencyMissing, IntegrityError  # noqa: E402
from alteraser.evidence.certificate.exact import certify  # noqa: E402
from alteraser.models.networks import next_item, training  # noqa: E402
from alteraser.models.networks.gru4rec import GRU4Rec  # noqa: E402
from alteraser.models.networks.sasrec import SASRec  # noqa: E402

pytestmark = pytest.mark.torch

SMALL: dict[str, Any] = {"factors": 4, "length": 4, "epochs": 2, "batch": 4, "learning_rate": 0.02}
KINDS: list[Any] = [GRU4Rec(**SMALL), SASRec(**SMALL, blocks=1)]
READINGS: list[dict[str, Any]] = [
    {"session_column": "group"},
    {"session_column": "group", "timestamp_column": "timestamp", "position_column": "place"},
    {"session_gap": "20", "timestamp_column": "timestamp"},
]
OPTIONS = "--session-column s --timestamp-column t --factors 4 --length 6 --epochs 2 --batch 8"


def rows(count: int, seed: int) -> pa.Table:
    """Few users, items, groups and times, so that everything repeats and ties."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "user_id": rng.integers(0, 5, count),
            "item_id": rng.integers(0, 7, count),
            "group": [f"g{each}" for each in rng.integers(0, 6, count)],
            "timestamp": rng.integers(0, 90, count),
            "place": rng.permutation(count),
        }
    )


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        a.dtype == b.dtype and a.tobytes() == b.tobytes()
        for a, b in ((first[name], second[name]) for name in first)
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_training_again_gives_the_same_bytes(kind: Any) -> None:
    """Whatever torch's threads and generators are at, and another seed gives others."""
    data = Interactions.read(rows(80, 1), **READINGS[1])
    state = kind.state(data)
    torch.manual_seed(5)
    torch.set_num_threads(2)
    assert same(state, kind.state(data, threads=2))
    assert torch.get_num_threads() == 2
    assert not torch.are_deterministic_algorithms_enabled()
    assert not same(state, kind.model_copy(update={"seed": 1}).state(data))


@settings(max_examples=25)
@given(
    kind=st.sampled_from(KINDS),
    options=st.sampled_from(READINGS),
    size=st.integers(1, 50),
    seed=st.integers(0, 999),
    draw=st.data(),
)
def test_forgetting_is_training_without(
    kind: Any, options: dict[str, Any], size: int, seed: int, draw: Any
) -> None:
    """Any requests, one after the other, to the last event: the bytes of training on the rest, in
    these rows or in fewer; rows of items that are gone are zero."""
    now = Interactions.read(rows(size, seed), **options)
    model = kind.fit(now)
    for _ in range(2):
        if not len(now):
            break
        asked = draw.draw(
            st.sampled_from([("users", "user_id", True, False), ("items", "item_id", False, True)])
        )
        ids = sorted(set(now.to_table()[asked[1]].to_pylist()))
        gone = draw.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=2, unique=True))
        erasure = ae.forget(model, gone, data=now, whole_users=asked[2], whole_items=asked[3])
        model, now = erasure.model, erasure.remaining
        assert erasure.kind == "A"
        assert same(dict(model.state), kind.state(now))
        kind.check_state(model.state, now.shape)
        table = model.state["items"]
        vanished = now.item_counts == 0
        assert not table[vanished].any()
        if not len(now):
            continue
        fresh = kind.state(Interactions.read(now.to_table(), **_written(options)))
        assert np.array_equal(fresh["items"], table[~vanished])
        assert all(
            np.array_equal(fresh[name], model.state[name]) for name in fresh.keys() - {"items"}
        )


def _written(options: dict[str, Any]) -> dict[str, Any]:
    """The same reading of what ``to_table`` writes."""
    found = {name: value for name, value in options.items() if name != "session_column"}
    if "session_column" in options:
        found["session_column"] = "group"
    if "session_gap" not in options:
        found["position_column"] = "position"
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_erased_are_in_no_batch(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch of the training that forgets holds steps of remaining sessions alone, and each
    of these once per pass."""
    data = Interactions.read(rows(80, 4), **READINGS[1])
    model = kind.fit(data)
    seen: list[tuple[int, int]] = []
    real = next_item.NextItem.backward

    def watched(task: Any, weights: Any, chosen: Any) -> float:
        items, following = task.windows.padded(chosen)
        there = following >= 0
        seen.extend(zip(items[there].tolist(), following[there].tolist(), strict=True))
        return float(real(task, weights, chosen))

    monkeypatch.setattr(next_item.NextItem, "backward", watched)
    erasure = ae.forget(model, [3], data=data, whole_items=True)
    events = erasure.remaining.events
    assert events is not None
    rows_of = {row: place for place, row in enumerate(_order(kind, erasure.remaining))}
    expected = [
        (rows_of[a], rows_of[b])
        for one in np.split(events.items, events.indptr[1:-1])
        for a, b in zip(one[:-1].tolist(), one[1:].tolist(), strict=True)
    ]
    assert sorted(seen) == sorted(expected * kind.epochs)
    assert "3" not in {str(each) for each in erasure.model.items.ids.to_pylist()}


def _order(kind: Any, data: Interactions) -> list[int]:
    return [int(row) for row in kind.task(data).items.rows]


def test_nothing_that_follows_anything_gives_no_list() -> None:
    """Sessions of one event say nothing of what comes next."""
    data = Interactions.read(
        pa.table({"user_id": [1, 2], "item_id": [5, 6], "s": [1, 2]}), session_column="s"
    )
    for kind in KINDS:
        model = kind.fit(data)
        assert not model.state["items"].any()
        assert model.recommend([1], seen=data).to_list()[0]["items"] == []
        assert certify(kind, model.state, data).passed


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_float64_tells_rounding_from_an_event(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums added in another order, as another processor would, pass; any event that was kept does
    not."""
    kind = kind.model_copy(update={"dtype": "float64"})
    data = Interactions.read(rows(60, 6), **READINGS[1])
    state = kind.state(data)
    for gone in range(0, 60, 7):
        rest = data.keep_events(np.arange(60) != gone)
        if sorted(_steps(kind, rest)) != sorted(_steps(kind, data)):
            assert not certify(kind, state, rest).passed
    order = training.batches
    monkeypatch.setattr(training, "batches", lambda *a, **k: (one[::-1] for one in order(*a, **k)))
    seen = certify(kind, state, data)
    assert seen.passed
    assert 0.0 < seen.apart < 1e-11
    assert "to rounding" not in seen.sentence or seen.kind == "A"
    refused = certify(kind.model_copy(update={"dtype": "float32"}), state, data)
    assert not refused.passed
    assert "train with --dtype float64" in refused.checks[0].meaning
    assert "--dtype" not in certify(kind, state, rest).checks[0].meaning


def _steps(kind: Any, data: Interactions) -> list[tuple[int, ...]]:
    found = kind.task(data).windows
    return [tuple(one) for one in np.concatenate(found.padded(np.arange(len(found))), axis=1)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_warm_process_publishes_the_same(kind: Any) -> None:
    data = Interactions.read(rows(60, 3), **READINGS[1])
    model = kind.fit(data)
    session = EventSession(model, data)
    session.forget([1], whole_users=True)
    done = session.forget([3], whole_users=True)
    session.undo(done)
    published = session.publish()
    expected = ae.forget(model, [1], data=data, whole_users=True).model
    assert same(dict(published.state), dict(expected.state))


def test_lists_are_logits_of_the_whole_table() -> None:
    """All sessions at once give what each gives alone, and that is E h."""
    data = Interactions.read(rows(60, 8), **READINGS[1])
    for kind in KINDS:
        model = kind.fit(data)
        formed = kind.formed(model.state, data)
        sessions = [np.array([0, 3, 2]), np.array([5]), np.array([1, 1, 1, 1, 1, 4])]
        found = np.zeros((4, 7))
        kind.continued_all(formed, sessions, found, [0, 1, 3])
        for row, session in zip((0, 1, 3), sessions, strict=True):
            alone = kind.continued(formed, session)
            assert np.allclose(found[row], alone, atol=1e-12)
            places = formed.places[session][-kind.length :]
            hidden = next_item.encoded(kind.encoder(), formed.weights, places[None])[0, -1]
            assert np.allclose(alone[formed.rows], formed.weights["items"] @ hidden, atol=1e-12)
        assert not found[2].any()


# ---------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events of 30 users in sessions, a forget set, and a model of each kind."""
    from alteraser.cli.main import main

    folder = tmp_path_factory.mktemp("sequences")
    rng = np.random.default_rng(0)
    events = [
        (user, (begin + step) % 12, f"s{user}-{session}", user * 100 + session * 20 + step)
        for user in range(30)
        for session in range(3)
        for begin in [int(rng.integers(0, 12))]
        for step in range(int(rng.integers(1, 6)))
    ]
    names = ("user_id", "item_id", "s", "t")
    table = pa.table(dict(zip(names, zip(*events, strict=True), strict=True)))
    pacsv.write_csv(table, folder / "data.csv")
    pacsv.write_csv(table.slice(10, 8).select(["user_id", "item_id"]), folder / "pairs.csv")
    (folder / "users.csv").write_text("user_id\n7\n8\n")
    (folder / "items.csv").write_text("item_id\n5\n")
    for kind in ("gru4rec", "sasrec"):
        line = f"train {folder}/data.csv --model {kind} {OPTIONS} --out {folder}/{kind} -q"
        assert main(line.split()) == 0
    return folder


@pytest.fixture(params=["gru4rec", "sasrec"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def document(run: Run, line: str, code: int = 0) -> dict[str, Any]:
    found, out, err = run(f"{line} --json")
    assert found == code, err
    return dict(json.loads(out))


@pytest.mark.parametrize("request_", ["users.csv", "pairs.csv", "items.csv", "--session s3-1"])
def test_forgets_as_if_it_had_never_been_told(
    name: str, request_: str, trained: Path, run: Run, tmp_path: Path
) -> None:
    asked = request_ if request_.startswith("-") else f"{trained}/{request_}"
    answer = document(
        run,
        f"forget {trained}/{name} {asked} --data {trained}/data.csv --out new --remaining rest.csv",
    )
    assert answer["class"] == "A"
    assert answer["interactions_forgotten"] > 0
    seen = document(run, f"verify new --data rest.csv --before {trained}/{name}")
    assert (seen["class"], seen["apart"], seen["descends"]) == ("A", 0.0, True)
    document(run, f"train rest.csv --model {name} {OPTIONS} --out again")
    agreed = document(run, "compare new again --data rest.csv")
    assert agreed["rbo@10"] == pytest.approx(1.0, abs=1e-9)
    assert (agreed["score_distance"], agreed["model_distance"]) == (0.0, 0.0)
    other = document(run, f"compare {trained}/{name} again --data rest.csv")
    assert other["model_distance"] > 0.0
    if request_ == "users.csv":
        code, _, err = run("recommend new --user 7 --data rest.csv")
        assert code == 3
        assert "user '7' is not in the model" in err
    if request_ == "items.csv":
        lists = document(run, "recommend new --all --data rest.csv -k 20")["recommendations"]
        assert all(one["item_id"] != 5 for entry in lists for one in entry["items"])


def test_recommends_evaluates_and_shows(name: str, trained: Path, run: Run, tmp_path: Path) -> None:
    lists = document(run, f"recommend {trained}/{name} --all --data {trained}/data.csv -k 3")
    assert len(lists["recommendations"]) == 30
    reading = "--session-column s --timestamp-column t"
    document(run, f"data split {trained}/data.csv {reading} --out parts")
    document(run, f"train parts/train.parquet --model {name} {OPTIONS} --out early")
    found = document(run, "evaluate early --test parts/test.parquet --data parts/train.parquet")
    assert 0.0 < found["recall@10"] <= 1.0
    shown = document(run, f"inspect {trained}/{name} --data {trained}/data.csv")
    assert shown["kind"] == name


def test_a_folder_is_read_as_it_was_written(name: str, trained: Path, tmp_path: Path) -> None:
    """Bytes and lists; nothing in it is a pickle; what does not fit is refused."""
    model = ae.load(trained / name)
    assert {path.suffix for path in (trained / name).iterdir()} <= {
        ".safetensors",
        ".parquet",
        ".json",
    }
    saved = ae.load(model.save(tmp_path / "copy") and tmp_path / "copy")
    assert same(dict(model.state), dict(saved.state))
    data = Interactions.read(trained / "data.csv", model.reading)
    assert saved.recommend(seen=data).to_list() == model.recommend(seen=data).to_list()
    _with_tensors(tmp_path / "copy", {**saved.state, "items": saved.state["items"][:, :3].copy()})
    with pytest.raises(IntegrityError, match="items is float32"):
        ae.load(tmp_path / "copy")


def _with_tensors(folder: Path, tensors: dict[str, Any]) -> None:
    """Other numbers in a model's folder, digests in order."""
    from alteraser.data.files import sha256_file
    from alteraser.models.folder import TENSORS, digest_of

    save_file(tensors, folder / TENSORS)
    manifest = json.loads((folder / "model.json").read_text("utf-8"))
    manifest["files"][TENSORS] = sha256_file(folder / TENSORS)
    manifest["digest"] = digest_of(manifest)
    (folder / "model.json").write_text(json.dumps(manifest), "utf-8")


def test_verify_refuses_what_training_does_not_give(
    name: str, trained: Path, run: Run, tmp_path: Path
) -> None:
    """The original's numbers; a row that was kept; one number that is another by its last bit."""
    from alteraser.models.folder import TENSORS

    document(
        run,
        f"forget {trained}/{name} {trained}/items.csv --data {trained}/data.csv --out new "
        "--remaining rest.csv",
    )
    honest, old = (load_file(folder / TENSORS) for folder in (tmp_path / "new", trained / name))
    kept, nudged = ({key: value.copy() for key, value in honest.items()} for _ in range(2))
    gone = np.flatnonzero(~honest["items"].any(axis=1))
    assert gone.size == 1
    kept["items"][gone] = old["items"][gone]
    nudged["items"][0, 0] = np.nextafter(nudged["items"][0, 0], np.float32(9))
    for number, mutant in enumerate((old, kept, nudged)):
        folder = tmp_path / f"mutant{number}"
        shutil.copytree(tmp_path / "new", folder)
        _with_tensors(folder, mutant)
        assert document(run, f"verify {folder} --data rest.csv", 8)["class"] == "D"
    assert document(run, "verify new --data rest.csv")["class"] == "A"


def test_what_is_missing_is_said(
    name: str, trained: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run(f"train {trained}/data.csv --model {name} --out x")
    assert code == 2
    assert "--session-column or --session-gap" in err
    asked = f"forget {trained}/{name} {trained}/users.csv --data {trained}/data.csv --out x"
    code, _, err = run(f"{asked} --method local")
    assert code == 2
    from alteraser.runtime import extras

    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    code, _, err = run(f"train nowhere.csv --model {name} {OPTIONS} --out x")
    assert code == DependencyMissing.exit_code
    assert 'pip install "alteraser[torch]"' in err
