"""What every kind of recommender does from the command line: one suite, run over the table of
kinds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Run

import alteraser as ae
from alteraser.models.registry import KINDS, LINEAR

OPTIONS = {
    "enmf": "--factors 4 --regularization 0.5 --missing-weight 0.3",
    "popularity": "",
    "item-knn": "--neighbors 7",
    "user-knn": "--neighbors 20 --similarity bm25",
    "cooccurrence": "--neighbors 7",
    "ease": "--regularization 5",
    "vs-knn": "--session-column user_id",
    "slist": "--session-column rating --regularization 3",
    "tifu-knn": "--basket-column rating --neighbors 5",
    "top-frequency": "--basket-column rating",
    "linear-lightgcn": "--factors 4 --layers 2 --regularization 0.3 --missing-weight 0.3",
}

ROUNDED = {"enmf": 1e-4, "ease": 1e-12, "slist": 1e-12, "linear-lightgcn": 1e-5}
"""How far the result may be from a retrained model; the others in no bit"""
FORGET = "forget {kind} {{w}}/forget.csv --data {{w}}/data.csv --out new --remaining rest.csv"


@pytest.fixture(scope="module", params=list(OPTIONS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def models(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of every kind, by its name."""
    from alteraser.cli.main import main

    folder = tmp_path_factory.mktemp("kinds")
    for name, options in OPTIONS.items():
        line = f"train {world}/data.csv --model {name} {options} --out {folder}/{name} -q"
        assert main(line.split()) == 0
    return folder


def document(run: Run, line: str, code: int = 0) -> dict[str, object]:
    found, out, err = run(f"{line} --json")
    assert found == code, err
    return json.loads(out)  # type: ignore[no-any-return]


def test_every_kind_is_tried() -> None:
    exact = [name for name, kind in KINDS.items() if not kind.extra]
    assert set(OPTIONS) == {"enmf", *exact, *LINEAR}


def test_forgets_as_if_it_had_never_been_told(
    kind: str, models: Path, run: Run, tmp_path: Path
) -> None:
    """The answer, verify's class, and that the lists are those of a model trained on the rest."""
    answer = document(
        run,
        f"forget {models}/{kind} {{w}}/forget.csv --data {{w}}/data.csv --out new --remaining "
        "rest.csv",
    )
    assert answer["converged"] is True
    assert answer["interactions_forgotten"] == 30
    assert answer["class"] in ("A", "C")
    seen = document(
        run, f"verify new --data rest.csv --before {models}/{kind} --forgotten {{w}}/data.csv"
    )
    assert seen["class"] == answer["class"] or {seen["class"], answer["class"]} == {"B", "C"}
    assert seen["descends"] is True
    document(
        run,
        f"train rest.csv --model {kind} {OPTIONS[kind]} --out retrained"
        + " --to-rest" * (kind == "enmf"),
    )
    agreed = document(run, "compare new retrained --data rest.csv")
    assert agreed["rbo@10"] == pytest.approx(1.0, abs=1e-9)
    assert agreed["score_distance"] == pytest.approx(0.0, abs=ROUNDED.get(kind, 0.0))
    assert agreed["model_distance"] == pytest.approx(0.0, abs=ROUNDED.get(kind, 0.0))


def test_what_has_not_forgotten_is_refused(
    kind: str, models: Path, run: Run, tmp_path: Path
) -> None:
    """The old numbers under the new model's name, digests in order."""
    from alteraser.data.files import sha256_file
    from alteraser.models.folder import TENSORS, digest_of

    document(run, FORGET.format(kind=f"{models}/{kind}"))
    shutil.copy(models / kind / TENSORS, tmp_path / "new" / TENSORS)
    path = tmp_path / "new" / "model.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["files"][TENSORS] = sha256_file(tmp_path / "new" / TENSORS)
    manifest["digest"] = digest_of(manifest)
    path.write_text(json.dumps(manifest), "utf-8")
    assert document(run, "verify new --data rest.csv", 8)["class"] == "D"
    code, _, err = run("verify new --data {w}/data.csv")
    assert code == 6
    assert "are not what the model was trained on" in err


def test_recommends_evaluates_and_shows(kind: str, models: Path, run: Run, world: Path) -> None:
    lists = document(run, f"recommend {models}/{kind} --all --data {{w}}/data.csv -k 5")[
        "recommendations"
    ]
    data = ae.Interactions.read(world / "data.csv")
    had = {(row["user_id"], row["item_id"]) for row in data.to_table().to_pylist()}
    assert isinstance(lists, list)
    assert len(lists) == 60
    for entry in lists:
        scores = [item["score"] for item in entry["items"]]
        assert scores == sorted(scores, reverse=True)
        again = any((entry["user_id"], item["item_id"]) in had for item in entry["items"])
        assert not again or (kind in KINDS and KINDS[kind].repeats)
    model = ae.load(models / kind)
    train, test = ae.Interactions.read(world / "data.csv", model.reading).split(0.3, seed=1)
    found = ae.evaluate(model, test, data=train)
    assert 0.0 < found["recall@10"] <= 1.0
    assert document(run, f"inspect {models}/{kind} --data {{w}}/data.csv")["kind"] == kind


def test_a_user_erased_whole_is_gone(kind: str, models: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("user_id\n7\n8\n")
    document(
        run,
        f"forget {models}/{kind} users.csv --data {{w}}/data.csv --out new --remaining rest.csv",
    )
    code, _, err = run("recommend new --user 7 --data rest.csv")
    assert code == 3
    assert "user '7' is not in the model" in err
    model = ae.load(tmp_path / "new")
    assert model.shape == (60, 40)
    assert len(model.users) == 58
    assert document(run, "verify new --data rest.csv")["class"] in ("A", "B", "C")
    code, _, err = run("forget new {w}/forget.csv --data {w}/data.csv --grown --out again")
    assert code == 5
    assert "were erased from this model before" in err


def test_what_joined_since_is_learned(
    kind: str, models: Path, run: Run, world: Path, tmp_path: Path
) -> None:
    text = (world / "data.csv").read_text() + "61,100,5\n61,103,5\n3,999,4\n"
    (tmp_path / "grown.csv").write_text(text)
    answer = document(
        run,
        f"forget {models}/{kind} {{w}}/forget.csv --data grown.csv --grown --out new --remaining "
        "r.csv",
    )
    assert (answer["interactions_added"], answer["users_added"], answer["items_added"]) == (3, 1, 1)
    assert document(run, "verify new --data r.csv")["class"] in ("A", "B", "C")


def test_nothing_is_written_by_a_dry_run(kind: str, models: Path, run: Run, tmp_path: Path) -> None:
    answer = document(
        run, f"forget {models}/{kind} {{w}}/forget.csv --data {{w}}/data.csv --dry-run"
    )
    assert answer["interactions_forgotten"] == 30
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (
            "train {w}/data.csv --model item-nnn --out x",
            2,
            f"there are enmf, linear, {', '.join((*KINDS, *LINEAR))}",
        ),
        (
            "train {w}/data.csv --model item-knn --factors 3 --out x",
            2,
            "--factors means nothing to --model item-knn",
        ),
        (
            "train {w}/data.csv --neighbors 3 --out x",
            2,
            "--neighbors means nothing to --model enmf",
        ),
        (
            "train {w}/data.csv --model popularity --shrinkage 1 --out x",
            2,
            "--shrinkage means nothing to --model popu",
        ),
        (
            "train {w}/data.csv --model item-knn --neighbors 0 --out x",
            2,
            "--neighbors: Input should be greater",
        ),
        (
            "train {w}/data.csv --model item-knn --similarity dice --out x",
            2,
            "--similarity: Input should be 'cosine'",
        ),
        (
            "train {w}/data.csv --model ease --regularization 0 --out x",
            2,
            "--regularization: Input should be greater",
        ),
        (
            "train {w}/data.csv --model ease --seed 3 --out x",
            2,
            "--seed means nothing to --model ease",
        ),
        ("train {w}/data.csv --model vs-knn --out x", 2, "give --session-column or --session-gap"),
        (
            "train {w}/data.csv --model vs-knn --session-gap 30m --out x",
            2,
            "name the column of times",
        ),
        (
            "train {w}/data.csv --model vs-knn --session-gap 1x --timestamp-column rating --out x",
            2,
            "--session-gap: '1x'",
        ),
        ("train {w}/data.csv --model vs-knn --session-column s --out x", 2, "no column 's'"),
        (
            "train {w}/data.csv --model ease --session-column user_id --out x",
            2,
            "has no sessions: leave --session-col",
        ),
        ("train {w}/data.csv --basket-column user_id --out x", 2, "--model enmf is of pairs"),
        (
            "train {w}/data.csv --model tifu-knn --out x",
            2,
            "give --basket-column or --session-gap or --session-column",
        ),
        (
            "forget {m}/item-knn --session 3 --data {w}/data.csv --out x",
            2,
            "have no column of sessions",
        ),
        (
            "forget {m}/vs-knn --basket 3 --data {w}/data.csv --out x",
            2,
            "it is a model of sessions",
        ),
        (
            "forget {m}/vs-knn {w}/forget.csv --session 3 --data {w}/data.csv --out x",
            2,
            "names what FORGET would name",
        ),
        ("train {w}/header.csv --model popularity --out x", 2, "holds no interactions"),
        (
            "train {w}/data.csv --model popularity --target rating --out x",
            2,
            "has no use for a target",
        ),
        (
            "forget {m}/item-knn {w}/forget.csv --data {w}/data.csv --out x --method local",
            2,
            "forgets exactly in one way",
        ),
        (
            "forget {m}/item-knn {w}/forget.csv --data {w}/data.csv --out x --tolerance 0.1",
            2,
            "--tolerance means nothing",
        ),
        ("forget {m}/item-knn {w}/nobody.csv --data {w}/data.csv --out x", 3, "nothing to forget"),
        ("recommend {m}/item-knn --user 5", 2, "keeps nobody's history"),
    ],
)
def test_what_is_wrong_is_said(
    line: str, code: int, message: str, models: Path, run: Run, tmp_path: Path
) -> None:
    found, out, err = run(line.replace("{m}", str(models)))
    assert (found, out) == (code, "")
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_another_kind_is_no_original(models: Path, run: Run) -> None:
    document(run, FORGET.format(kind=f"{models}/item-knn"))
    for before in ("enmf", "popularity"):
        code, _, err = run(f"verify new --data rest.csv --before {models}/{before}")
        assert code in (2, 6)
        assert "is not its original" in err or "ancestor" in err
    assert "score_distance" not in document(run, f"compare new {models}/popularity --data rest.csv")


def test_the_same_from_python(models: Path, world: Path) -> None:
    data = ae.Interactions.read(world / "data.csv")
    pairs = [(row["user_id"], row["item_id"]) for row in data.to_table().slice(0, 9).to_pylist()]
    model = ae.ItemKNN(similarity="jaccard", neighbors=5, shrinkage=2).fit(data)
    erasure = ae.forget(model, pairs, data=data)
    again = ae.ItemKNN(similarity="jaccard", neighbors=5, shrinkage=2).fit(erasure.remaining)
    for name, array in again.state.items():
        np.testing.assert_array_equal(erasure.model.state[name], array)
    assert ae.verify(erasure.model, erasure.remaining).certificate.kind == "A"
