"""Spark's ALSModel folders as Spark wrote them: read, checked, forgotten in, written back."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import tree
from contract import FIXTURES, AdapterContract

from alteraser.adapters import ForeignOptions, spark
from alteraser.adapters.contract import CONTAINER, Changed, Foreign
from alteraser.adapters.forget import forget_foreign, open_foreign
from alteraser.adapters.spark_loss import spark_als
from alteraser.cli.main import main
from alteraser.data.interactions import Interactions
from alteraser.data.readers import ReadingOptions
from alteraser.errors import AltEraserError, IntegrityError, InvalidInput
from alteraser.solvers.kernels import twins

SPARK = FIXTURES / "spark"
EVENTS = SPARK / "events.parquet"
NUMBERS = ReadingOptions(user_column="user", item_column="item")
NAMES = ReadingOptions(user_column="user_name", item_column="item_name")
IMPLICIT = ForeignOptions(
    regularization=0.05, alpha=2.0, implicit=True, rating="plays", reading=NUMBERS
)
EXPLICIT = ForeignOptions(regularization=0.05, implicit=False, rating="stars", reading=NUMBERS)
PIPELINE = IMPLICIT.model_copy(update={"reading": NAMES})
CASES = {"implicit": IMPLICIT, "explicit": EXPLICIT, "pipeline": PIPELINE}


class SparkContract(AdapterContract):
    adapter = spark.ADAPTER
    shape = (24, 14, 3)


class BareModel(SparkContract):
    def test_a_user_erased_whole_is_absent_and_rows_do_not_move(
        self, copy: Path, tmp_path: Path
    ) -> None:
        """Rows are ids here: the erased one has none any more, all others have their own."""
        out = tmp_path / "out"
        foreign = self.read(copy)
        changed = self.changed(foreign, [2], erased=[3])
        self.adapter.write(foreign, changed, out)
        again = self.read(out)
        kept = [row for row in range(24) if row != 3]
        assert foreign.user_ids is not None
        assert again.user_ids is not None
        assert again.user_ids.ids.to_pylist() == foreign.user_ids.ids_of(kept).to_pylist()
        assert changed.users is not None
        np.testing.assert_array_equal(again.users, changed.users[kept].astype(np.float32))


class TestImplicit(BareModel):
    fixture = SPARK / "implicit"
    options = IMPLICIT


class TestExplicit(BareModel):
    fixture = SPARK / "explicit"
    options = EXPLICIT


class TestPipeline(SparkContract):
    fixture = SPARK / "pipeline"
    options = PIPELINE


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The implicit model in a folder of its own."""
    return Path(shutil.copytree(SPARK / "implicit", tmp_path / "models" / "implicit"))


def read(path: Path, options: ForeignOptions = IMPLICIT) -> Foreign:
    return spark.ADAPTER.read(path, options)


def edit_metadata(folder: Path, **changes: Any) -> None:
    """Other metadata, with the checksum that Spark would have written left out."""
    (path,) = (folder / "metadata").glob("part-*")
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not None}))
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)


# ---------------------------------------------------------------- reading


def test_hyperparameters_library_and_ids() -> None:
    foreign = read(SPARK / "implicit")
    assert foreign.library == "Spark 4.3.0"
    assert foreign.hyperparameters == {
        "rank": 3,
        "userCol": "user",
        "itemCol": "item",
        "blockSize": 4096,
        "coldStartStrategy": "nan",
        "regParam": 0.05,
        "implicitPrefs": True,
        "alpha": 2.0,
    }
    assert foreign.user_ids is not None
    assert foreign.user_ids.ids.to_pylist() == list(range(5, 75, 3))
    assert foreign.item_ids is not None
    assert foreign.item_ids.ids.to_pylist() == list(range(100, 192, 7))[:14]
    assert foreign.ids_from == CONTAINER
    assert foreign.holds == ()


def test_names_of_a_pipeline_come_from_its_indexers() -> None:
    """Most frequent first: not sorted, and no function of what remains."""
    foreign = read(SPARK / "pipeline", PIPELINE)
    assert foreign.user_ids is not None
    names = foreign.user_ids.ids.to_pylist()
    assert sorted(names) == [f"user-{u:02d}" for u in range(24)]
    counts = pq.read_table(EVENTS)["user_name"].value_counts().to_pylist()
    frequency = {entry["values"]: entry["counts"] for entry in counts}
    assert [frequency[name] for name in names] == sorted(frequency.values(), reverse=True)
    assert names != sorted(names)
    bare = read(SPARK / "implicit")
    assert bare.user_ids is not None
    # other numbers, other random start, but one model: the scores of people agree
    numbers = [bare.user_ids.rows_of([5 + 3 * int(name[-2:])])[0] for name in names]
    assert foreign.users.shape == bare.users[numbers].shape
    assert foreign.holds[0].name.endswith("/data")


@pytest.mark.parametrize("name", CASES)
def test_the_users_solve_their_normal_equations(name: str) -> None:
    opened = open_foreign(SPARK / name, EVENTS, CASES[name])
    check = opened.foreign.loss.check(opened.foreign, opened.data)
    assert check.passed
    assert max(measure.value for measure in check.measures) < 5e-6


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("implicit", {"alpha": 2.2}),
        ("implicit", {"regularization": 0.06}),
        ("implicit", {"rating": "stars"}),
        ("implicit", {"implicit": False, "alpha": None}),
        ("explicit", {"regularization": 0.1}),
        ("explicit", {"implicit": True, "alpha": 1.0}),
        ("pipeline", {"alpha": 1.0}),
    ],
)
def test_a_wrong_guess_is_seen_at_once(name: str, change: dict[str, Any]) -> None:
    opened = open_foreign(SPARK / name, EVENTS, CASES[name].model_copy(update=change))
    check = opened.foreign.loss.check(opened.foreign, opened.data)
    with pytest.raises(IntegrityError, match=r"does not fit these data.*median residual"):
        check.require(SPARK / name)


def test_plays_below_zero_are_no_positives_and_do_not_count() -> None:
    """Two events have r ≤ 0: with them counted in the ridge the rows of these users would be
    off."""
    opened = open_foreign(SPARK / "implicit", EVENTS, IMPLICIT)
    assert opened.data.target is not None
    assert (opened.data.target <= 0).sum() == 2
    problem = opened.foreign.loss.problem(opened.data, np.float64)  # type: ignore[attr-defined]
    positive = np.bincount(opened.data.user_rows[opened.data.target > 0], minlength=24)
    np.testing.assert_allclose(problem.users.ridge, 0.05 * positive)
    assert (positive != opened.data.user_counts).sum() == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regularization": None}, r"does not say its regParam: give it with --regularization"),
        ({"alpha": None}, r"does not say its alpha: give it with --alpha"),
        (
            {"implicit": None},
            r"does not say its implicitPrefs: give it with --implicit or --explicit",
        ),
        ({"implicit": False}, r"--alpha 2 means nothing with --explicit"),
        ({"missing_weight": 0.1}, r"--missing-weight means nothing to a Spark ALSModel"),
        ({"loss": "bpr"}, r"--loss means nothing"),
    ],
)
def test_what_the_file_lacks_is_asked_for(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(SPARK / "implicit", IMPLICIT.model_copy(update=change))


# ---------------------------------------------------------------- refused


def test_local_saving_mode(model: Path) -> None:
    """Metadata and factors are plain files then."""
    (path,) = (model / "metadata").glob("part-*")
    text = path.read_bytes()
    shutil.rmtree(model / "metadata")
    (model / "metadata").write_bytes(text)
    assert spark.ADAPTER.recognizes(model), "so that the message is heard without --format"
    with pytest.raises(InvalidInput, match=r"local saving mode.*save it again with that mode off"):
        read(model)
    (model / "metadata").write_text("{}")
    assert not spark.ADAPTER.recognizes(model)


def test_factors_that_are_no_folder_of_parts(model: Path) -> None:
    shutil.rmtree(model / "userFactors")
    with pytest.raises(InvalidInput, match="userFactors is missing"):
        read(model)
    (model / "userFactors").write_bytes(bytes(8))
    with pytest.raises(InvalidInput, match="local saving mode"):
        read(model)
    (model / "userFactors").unlink()
    (model / "userFactors").mkdir()
    (model / "userFactors" / "ids").write_bytes(bytes(8))
    with pytest.raises(InvalidInput, match=r"holds ids, where Spark has part-\*\.parquet"):
        read(model)


def test_mixed_versions(model: Path) -> None:
    edit_metadata(model, sparkVersion="3.5.1")
    with pytest.raises(
        IntegrityError, match=r"written by Spark 4\.3\.0, but the metadata by Spark 3\.5\.1"
    ):
        read(model)


def test_parts_of_two_saves(model: Path) -> None:
    for path in (SPARK / "explicit" / "userFactors").glob("part-00000*"):
        shutil.copyfile(path, model / "userFactors" / path.name)
    with pytest.raises(IntegrityError, match="parts of 2 writes"):
        read(model)


def test_an_id_twice(model: Path) -> None:
    first, second, *_ = sorted((model / "userFactors").glob("part-*"))
    shutil.copyfile(first, second)
    second.with_name(f".{second.name}.crc").unlink()
    with pytest.raises(IntegrityError, match="has the id 8 twice"):
        read(model)


@pytest.mark.parametrize(
    ("rank", "message"), [(4, "row 0 has 3 factors.*rank 4"), (0, "rank 0"), ("3", "rank '3'")]
)
def test_a_rank_that_does_not_fit(model: Path, rank: Any, message: str) -> None:
    edit_metadata(model, rank=rank)
    with pytest.raises(IntegrityError, match=message):
        read(model)


def test_a_file_that_does_not_fit_its_checksum(model: Path) -> None:
    path = sorted((model / "itemFactors").glob("part-*"))[2]
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        IntegrityError, match=r"does not fit its checksum .*\.crc.*Spark would refuse it too"
    ):
        read(model)


def test_other_columns(model: Path) -> None:
    path = sorted((model / "userFactors").glob("part-*"))[0]
    pq.write_table(pa.table({"id": [1], "features": [[1.0]]}), path)
    path.with_name(f".{path.name}.crc").unlink()
    with pytest.raises(
        InvalidInput, match=r"columns id int64, features list.*where an ALSModel has id int32"
    ):
        read(model)


def test_nonnegative_factors(model: Path) -> None:
    foreign = read(model)
    rows = (np.arange(24), np.arange(14))
    spark.ADAPTER.write(
        foreign,
        Changed(np.abs(foreign.users), np.abs(foreign.items), user_rows=rows[0], item_rows=rows[1]),
        model.with_name("positive"),
    )
    with pytest.raises(InvalidInput, match="trained with nonnegative=True"):
        read(model.with_name("positive"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ml.recommendation.ALS", "an estimator that was not fitted"),
        ("ml.tuning.CrossValidatorModel", "name .*bestModel"),
        ("mllib.recommendation.MatrixFactorizationModel", "older RDD API"),
        ("ml.classification.LinearSVCModel", "a LinearSVCModel, not an ALSModel"),
    ],
)
def test_other_objects_of_spark(model: Path, name: str, message: str) -> None:
    edit_metadata(model, **{"class": f"org.apache.spark.{name}"})
    with pytest.raises(InvalidInput, match=message):
        read(model)


def test_a_pipeline_without_a_stage(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(SPARK / "pipeline", tmp_path / "pipeline"))
    shutil.rmtree(next((copy / "stages").glob("0_*")))
    with pytest.raises(IntegrityError, match="is missing; restore it"):
        read(copy, PIPELINE)


def test_stage_names_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(SPARK / "pipeline", tmp_path / "pipeline"))
    edit_metadata(copy, paramMap={"stageUids": ["/../../../x"]})
    with pytest.raises(IntegrityError, match="is missing; restore it"):
        read(copy, PIPELINE)


# ---------------------------------------------------------------- writing


def test_only_parts_with_a_changed_row_are_written_again(model: Path, tmp_path: Path) -> None:
    foreign, before = read(model), tree(model)
    users = np.array(foreign.users)
    users[[0, 4]] += 1  # ids 5 and 17: both in the block of ids 1 mod 4
    out = tmp_path / "out"
    spark.ADAPTER.write(
        foreign, Changed(users, np.array(foreign.items), user_rows=np.array([0, 4])), out
    )
    after = tree(out)
    changed = {name for name in before if before[name] != after.get(name)}
    assert len(changed) == 2
    assert all(name.startswith("userFactors/") and "part-00001" in name for name in changed)
    (gone,) = changed - set(after)
    assert gone.startswith("userFactors/.part-00001"), "the stale checksum"
    assert set(after) < set(before)
    again = read(out)
    np.testing.assert_array_equal(again.users, users.astype(np.float32))
    part = next((out / "userFactors").glob("part-00001*"))
    original = next((model / "userFactors").glob("part-00001*"))
    assert pq.read_schema(part).equals(pq.read_schema(original), check_metadata=True)
    assert pq.read_table(part)["id"].to_pylist() == pq.read_table(original)["id"].to_pylist()
    assert tree(model) == before


def test_the_output_is_not_inside_the_model(model: Path) -> None:
    with pytest.raises(InvalidInput, match="is inside of"):
        spark.ADAPTER.write(read(model), Changed(), model / "new")
    assert not (model / "new").exists()


def test_a_part_that_changed_meanwhile(model: Path, tmp_path: Path) -> None:
    foreign = read(model)
    users = np.array(foreign.users) + 1
    first, second, *_ = sorted((model / "userFactors").glob("part-*"))
    shutil.copyfile(second, first)
    with pytest.raises(IntegrityError, match="changed while it was read"):
        spark.ADAPTER.write(foreign, Changed(users, user_rows=np.arange(24)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_the_name_of_an_erased_user_leaves_the_indexer(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(SPARK / "pipeline", tmp_path / "pipeline"))
    foreign = read(copy, PIPELINE)
    assert foreign.user_ids is not None
    names = foreign.user_ids.ids.to_pylist()
    users = np.array(foreign.users)
    users[3] = 0
    out = tmp_path / "out"
    changed = Changed(
        users, np.array(foreign.items), user_rows=np.array([3]), erased_users=np.array([3])
    )
    spark.ADAPTER.write(foreign, changed, out)
    (data,) = out.glob("stages/0_*/data/*.parquet")
    assert pq.read_table(data)["labelsArray"].to_pylist() == [
        [[*names[:3], "__erased_3__", *names[4:]]]
    ]
    assert not any(
        names[3].encode() in path.read_bytes() for path in out.rglob("*") if path.is_file()
    )
    again = read(out, PIPELINE)
    assert again.user_ids == foreign.user_ids.without([3])
    assert tree(copy) == tree(SPARK / "pipeline")


def test_siblings_are_other_models_and_parquet_folders(model: Path) -> None:
    shutil.copytree(model, model.parent / "als-2025")
    shutil.copytree(EVENTS, model.parent / "events.parquet")
    (model.parent / "notes").mkdir()
    found = {sibling.path.name: sibling for sibling in spark.ADAPTER.siblings(model)}
    assert set(found) == {"als-2025", "events.parquet"}
    assert "older version" in found["als-2025"].what
    assert "--remaining" in found["events.parquet"].advice


# ---------------------------------------------------------------- repeated pairs


def repeated(rng: np.random.Generator, *, negative: bool = False) -> pa.Table:
    """200 rows over 12 × 8 pairs, so that most pairs occur more than once."""
    r = rng.integers(-1 if negative else 1, 6, 200).astype(float)
    return pa.table(
        {"user_id": rng.integers(0, 12, 200), "item_id": rng.integers(0, 8, 200), "target": r}
    )


@pytest.mark.parametrize("alpha", [None, 2.0])
def test_repeated_pairs_are_separate_ratings(alpha: float | None) -> None:
    """Merged rows give the system that Spark builds from them one after the other."""
    rng = np.random.default_rng(0)
    table = repeated(rng)
    merged = Interactions.from_table(
        table.rename_columns(["user_id", "item_id", "confidence"]), duplicates="sum"
    )
    merged = replace(merged, confidence=None, target=merged.confidence)
    assert merged.multiplicity is not None
    assert merged.multiplicity.sum() == 200
    assert merged.multiplicity.max() > 1
    items = rng.standard_normal((8, 3))
    problem = spark_als(0.05, alpha).problem(merged, np.float64)
    u, v, r = (table[name].to_numpy() for name in table.column_names)
    assert problem.interactions.shape == (12, 8)
    expected = reference(u, v, r, items, alpha, range(12))
    for row in range(12):
        A, b = twins.system(problem.users.arrays, items, row)
        np.testing.assert_allclose(np.linalg.solve(A, b), expected[row], rtol=1e-9)
    np.testing.assert_allclose(problem.items.ridge, 0.05 * np.bincount(v, minlength=8))


def test_repeated_pairs_of_both_signs_are_refused() -> None:
    table = repeated(np.random.default_rng(1), negative=True)
    merged = Interactions.from_table(
        table.rename_columns(["user_id", "item_id", "confidence"]), duplicates="sum"
    )
    merged = replace(merged, confidence=None, target=merged.confidence - 5)
    with pytest.raises(InvalidInput, match=r"occur several times.*which the sum no longer tells"):
        spark_als(0.05, 1.0).problem(merged, np.float64)


# ---------------------------------------------------------------- end to end


def reference(
    u: Any, v: Any, r: Any, items: np.ndarray, alpha: float | None, rows: Any
) -> np.ndarray:
    """Users by the normal equations as Spark states them, one rating after the other."""
    d = items.shape[1]
    out = []
    for row in rows:
        A = np.zeros((d, d)) if alpha is None else items.T @ items
        b, count = np.zeros(d), 0
        for place in np.flatnonzero(u == row):
            z = items[v[place]]
            if alpha is None:
                A, b, count = A + np.outer(z, z), b + r[place] * z, count + 1
                continue
            c1 = alpha * abs(r[place])
            A = A + c1 * np.outer(z, z)
            if r[place] > 0:
                b, count = b + (1 + c1) * z, count + 1
        out.append(np.linalg.solve(A + 0.05 * count * np.eye(d), b))
    return np.array(out)


@pytest.mark.parametrize("name", CASES)
def test_forgetting_end_to_end(name: str, tmp_path: Path) -> None:
    opened = open_foreign(SPARK / name, EVENTS, CASES[name])
    data = opened.data
    whole = data.users.ids_of([7])[0].as_py()
    rows = np.flatnonzero((data.user_rows == 7) | (np.arange(len(data)) % 17 == 3))
    pairs = [
        (
            data.users.ids_of([data.user_rows[at]])[0].as_py(),
            data.items.ids_of([data.indices[at]])[0].as_py(),
        )
        for at in rows
    ]
    done = forget_foreign(
        opened, pairs, tmp_path / "out", method="converge", tolerance=1e-3, max_passes=500
    )
    assert done.model.erased.converged
    assert len(done.removed) == len(pairs)
    assert done.model.changed.erased_users.tolist() == [7]
    again = read(tmp_path / "out", CASES[name])
    assert again.user_ids is not None
    assert whole not in again.user_ids.ids.to_pylist()
    remaining = opened.data.remove(pairs).remaining
    known = [row for row in range(24) if row != 7]
    alpha = CASES[name].alpha
    users = again.users if name == "pipeline" else np.insert(again.users, 7, 0, axis=0)
    r = np.ones(len(remaining)) if remaining.target is None else remaining.target
    expected = reference(
        remaining.user_rows, remaining.indices, r, again.items.astype(np.float64), alpha, known
    )
    np.testing.assert_allclose(users[known], expected, rtol=2e-4, atol=2e-5)
    # and its own data vouch for it: what remains, by the ids that remain
    table = remaining.to_table().rename_columns(
        {"user_id": "user", "item_id": "item"}
        | ({"target": CASES[name].rating} if remaining.target is not None else {})
    )
    options = CASES[name].model_copy(update={"reading": NUMBERS})
    reopened = open_foreign(tmp_path / "out", table, options)
    reopened.foreign.loss.check(reopened.foreign, reopened.data).require(tmp_path / "out")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "forget.csv").write_text("user_name\nuser-06\n")
    known = (
        "--implicit --regularization 0.05 --rating plays --user-column user_name "
        "--item-column item_name"
    )
    line = (
        f"forget {SPARK}/pipeline {tmp_path}/forget.csv --data {EVENTS} {known} --out "
        f"{tmp_path}/new --json"
    )
    assert main(line.split()) == 2
    assert "give it with --alpha" in capsys.readouterr().out
    assert main([*line.split(), "--alpha", "3"]) == 6
    assert not (tmp_path / "new").exists()
    capsys.readouterr()
    assert main([*line.split(), "--alpha", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["interactions_forgotten"] == 6
    again = read(tmp_path / "new", PIPELINE)
    assert again.user_ids is not None
    assert "user-06" not in again.user_ids.ids.to_pylist()


def test_forgetting_all_of_an_item_takes_its_row(tmp_path: Path) -> None:
    """Retraining on what remains gives an item without interactions no row."""
    opened = open_foreign(SPARK / "explicit", EVENTS, EXPLICIT)
    data = opened.data
    item = data.items.ids_of([2])[0].as_py()
    pairs = [(data.users.ids_of([u])[0].as_py(), item) for u in data.user_rows[data.indices == 2]]
    done = forget_foreign(opened, pairs, tmp_path / "out", max_passes=500)
    assert np.isfinite(done.model.erased.residual)
    again = read(tmp_path / "out", EXPLICIT)
    assert again.item_ids is not None
    assert item not in again.item_ids.ids.to_pylist()
    assert again.shape == (24, 13, 3)


def test_a_user_with_nothing_positive_left_keeps_a_row_of_zeros(tmp_path: Path) -> None:
    """Spark's training would give one: the user is in the data."""
    opened = open_foreign(SPARK / "implicit", EVENTS, IMPLICIT)
    data = opened.data
    assert data.target is not None
    user = int(data.user_rows[np.flatnonzero(data.target <= 0)[0]])
    liked = np.flatnonzero((data.user_rows == user) & (data.target > 0))
    pairs = [
        (data.users.ids_of([user])[0].as_py(), data.items.ids_of([data.indices[at]])[0].as_py())
        for at in liked
    ]
    done = forget_foreign(opened, pairs, tmp_path / "out")
    assert not done.model.changed.erased_users.size
    again = read(tmp_path / "out")
    assert again.shape == (24, 14, 3)
    assert not again.users[user].any()


def test_interactions_from_a_folder_that_spark_wrote() -> None:
    """Several snappy parts, _SUCCESS and hidden checksums beside them."""
    data = Interactions.read(EVENTS, user_column="user", item_column="item", target="plays")
    assert data.shape == (24, 14)
    assert len(data) == pq.read_table(EVENTS).num_rows
    assert len(list(EVENTS.glob("*.parquet"))) == 3
    named = Interactions.read(EVENTS, NAMES)
    assert len(named) == len(data)


@pytest.mark.parametrize("name", CASES)
def test_damage_anywhere_is_an_error_of_ours(name: str, tmp_path: Path) -> None:
    """One flipped byte in any file is found by its checksum; without checksums it is an error or
    another number."""
    copy = Path(shutil.copytree(SPARK / name, tmp_path / name))
    rng = np.random.default_rng(0)
    for path in sorted(path for path in copy.rglob("part-*") if path.is_file()):
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 0x55
        path.write_bytes(damaged)
        with pytest.raises(AltEraserError, match="does not fit its checksum"):
            read(copy, CASES[name])
        sums = path.with_name(f".{path.name}.crc")
        content = sums.read_bytes()
        sums.unlink()
        for at in rng.integers(len(whole), size=3):
            damaged = bytearray(whole)
            damaged[at] ^= 0x55
            path.write_bytes(damaged)
            with contextlib.suppress(AltEraserError):
                read(copy, CASES[name])
        path.write_bytes(whole)
        sums.write_bytes(content)
    read(copy, CASES[name])
