"""Tables of items: implicit's neighborhood models and EASE weights, by the library and by NumPy,
there and back."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from scipy.sparse import csr_matrix

from alteraser.adapters.tables import find_table

USERS, ITEMS = 60, 25
RECOMMENDERS = {
    "cosine": "CosineRecommender",
    "tfidf": "TFIDFRecommender",
    "bm25": "BM25Recommender",
}


def matrix(weighted: bool = False) -> Any:
    rng = np.random.default_rng(5)
    x = (rng.random((USERS, ITEMS)) < 0.25) * (
        rng.integers(1, 6, (USERS, ITEMS)) if weighted else 1
    )
    x[:, 7] = 0
    x[3, 7] = 1  # user 3 alone had it
    return x.astype(float)


def write_data(path: Path, x: Any) -> None:
    rows = [f"{u},{v},{x[u, v]:g}" for u, v in zip(*np.nonzero(x), strict=True)]
    path.write_text("user_id,item_id,plays\n" + "\n".join(rows) + "\n")


def fitted(name: str, x: Any, length: int = 6) -> Any:
    library = pytest.importorskip("implicit.nearest_neighbours")
    model = getattr(library, RECOMMENDERS[name])(K=length)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(csr_matrix(x), show_progress=False)
    return model


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", RECOMMENDERS)
def test_implicit_there_and_back(name: str, weighted: bool, run: Run, tmp_path: Path) -> None:
    """The library loads the result, and it is what the library fits on the remaining data."""
    x = matrix(weighted)
    write_data(tmp_path / "data.csv", x)
    model = fitted(name, x)
    model.save("knn.npz")
    rating = "--rating plays " if weighted else ""
    (tmp_path / "users.csv").write_text("user_id\n3\n11\n")
    line = (
        f"forget knn.npz users.csv --data data.csv --rows-are-ids {rating}--out new.npz "
        "--remaining rest.csv --json"
    )
    code, out, err = run(line)
    assert code == 0, err
    document = json.loads(out)
    assert (document["class"], document["kind"]) == ("A", RECOMMENDERS[name])
    assert document["interactions_forgotten"] == int((x[[3, 11]] > 0).sum())
    assert (document["users_gone"], document["items_gone"]) == (2, 1)
    assert document["item_rows_of_others_changed"] > 0
    gone = x.copy()
    gone[[3, 11]] = 0
    wanted = fitted(name, gone).similarity.toarray()
    found = type(model).load("new.npz")
    assert found.K == 6
    got = found.similarity.toarray()
    # of equally near ones either
    np.testing.assert_allclose(np.sort(got, 1), np.sort(wanted, 1), atol=1e-12)
    both = (got != 0) & (wanted != 0)
    np.testing.assert_allclose(got[both], wanted[both], atol=1e-12)
    assert both.sum() > 0.8 * (wanted != 0).sum()
    items, _ = found.recommend(5, csr_matrix(gone)[5], N=4)
    assert len(items) == 4
    data = f"--data rest.csv --rows-are-ids {rating}"
    assert run(f"verify new.npz {data}--json")[0] == 0
    code, out, _ = run(f"verify knn.npz {data}--json")
    assert (code, json.loads(out)["class"]) == (8, "D")


def weights(x: Any, ridge: float) -> Any:
    inverse = np.linalg.inv(x.T @ x + ridge * np.eye(ITEMS))
    found = -inverse / np.diag(inverse)
    np.fill_diagonal(found, 0.0)
    return found


@pytest.mark.parametrize("form", ["npy", "npy by columns", "npz", "npz with ids"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_ease_weights_there_and_back(form: str, dtype: str, run: Run, tmp_path: Path) -> None:
    x = matrix()
    write_data(tmp_path / "data.csv", x)
    b = weights(x, 3.0).astype(dtype)
    path, ids = "b." + form[:3], "" if form == "npz with ids" else "--rows-are-ids "
    if form == "npz with ids":
        np.savez(path, item_ids=np.arange(ITEMS), weights=b, more=np.ones(3))
    elif form == "npz":
        np.savez(path, b)
    else:
        np.save(path, np.asfortranarray(b) if form == "npy by columns" else b)
    (tmp_path / "pairs.csv").write_text("user_id,item_id\n3,7\n" + f"5,{np.flatnonzero(x[5])[0]}\n")
    out = "new." + form[:3]
    line = (
        f"forget {path} pairs.csv --data data.csv {ids}--regularization 3 --out {out} "
        "--remaining rest.csv --json"
    )
    code, text, err = run(line)
    assert code == 0, err
    assert json.loads(text)["interactions_forgotten"] == 2
    left = x.copy()
    left[3, 7] = left[5, np.flatnonzero(x[5])[0]] = 0
    found = np.load(out)
    got = found if form[:3] == "npy" else found[found.files[-2 if form == "npz with ids" else 0]]
    assert got.dtype == b.dtype
    np.testing.assert_allclose(got, weights(left, 3.0), atol=1e-6 if dtype == "f4" else 1e-12)
    assert not got[7].any()
    assert run(f"verify {out} --data rest.csv {ids}--regularization 3")[0] == 0
    assert run(f"verify {path} --data rest.csv {ids}--regularization 3")[0] == 8


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (
            "forget b.npy pairs.csv --data data.csv --rows-are-ids --out n.npy",
            2,
            "but not the λ they were made with",
        ),
        (
            "forget b.npy pairs.csv --data data.csv --regularization 3 --out n.npy",
            2,
            "give the map that was used",
        ),
        (
            "forget b.npy pairs.csv --data data.csv --regularization 9 --rows-are-ids --out n.npy",
            6,
            "is not what its library makes of these data: EASE",
        ),
        (
            "forget knn.npz pairs.csv --data other.csv --rows-are-ids --out n.npz",
            6,
            "CosineRecommender (",
        ),
        (
            "forget knn.npz pairs.csv --data data.csv --rows-are-ids --out n.npz --method local",
            2,
            "exactly in one way",
        ),
        (
            "forget knn.npz pairs.csv --data data.csv --rows-are-ids --out n.npz --tolerance 0.1",
            2,
            "a table of items",
        ),
        (
            "forget knn.npz nobody.csv --data data.csv --rows-are-ids --out n.npz",
            3,
            "nothing to forget",
        ),
        (
            "forget cut.npz pairs.csv --data data.csv --rows-are-ids --out n.npz",
            6,
            "no table of the 6 nearest",
        ),
    ],
)
def test_what_is_wrong_is_said(
    line: str, code: int, message: str, run: Run, tmp_path: Path
) -> None:
    x = matrix()
    write_data(tmp_path / "data.csv", x)
    write_data(tmp_path / "other.csv", x[:50])
    np.save("b.npy", weights(x, 3.0))
    s = csr_matrix(np.eye(ITEMS))
    np.savez("knn.npz", K=6, shape=s.shape, data=s.data, indptr=s.indptr, indices=s.indices)
    np.savez("cut.npz", K=6, shape=s.shape, data=s.data[:-1], indptr=s.indptr, indices=s.indices)
    (tmp_path / "pairs.csv").write_text("user_id,item_id\n3,7\n")
    (tmp_path / "nobody.csv").write_text(
        "user_id,item_id\n3,8888\n" if "8888" in line else "user_id\n999\n"
    )
    before = sorted(path.name for path in tmp_path.iterdir())
    found, _, err = run(f"{line} --remaining rest.csv")
    assert (found, message in err) == (code, True), err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_dry_run_and_pairs_of_factors(run: Run, tmp_path: Path) -> None:
    x = matrix()
    write_data(tmp_path / "data.csv", x)
    np.save("b.npy", weights(x, 3.0))
    (tmp_path / "pairs.csv").write_text("user_id,item_id\n3,7\n")
    line = (
        "forget b.npy pairs.csv --data data.csv --rows-are-ids --regularization 3 --dry-run --json"
    )
    code, out, _ = run(line)
    assert (code, json.loads(out)["interactions_forgotten"]) == (0, 1)
    np.savez("als.npz", user_factors=np.ones((4, 4)), item_factors=np.ones((4, 4)))
    np.save("factors.npy", np.ones((4, 4)))
    assert find_table(tmp_path / "als.npz") is find_table(tmp_path / "factors.npy") is None


def test_who_was_erased_is_refused_again(run: Run, tmp_path: Path) -> None:
    x = matrix()
    write_data(tmp_path / "data.csv", x)
    np.save("b.npy", weights(x, 3.0))
    (tmp_path / "users.csv").write_text("user_id\n3\n")
    (tmp_path / "next.csv").write_text("user_id\n4\n")
    more = "--rows-are-ids --regularization 3"
    assert run(f"forget b.npy users.csv --data data.csv {more} --out n.npy")[0] == 0
    code, _, err = run(f"forget n.npy next.csv --data data.csv {more} --unchecked --out m.npy")
    assert code == 5, err


EASE = Path(__file__).parent / "fixtures" / "recbole_ease"


def ease(path: Path) -> tuple[Any, Any]:
    """(weights, interactions) of a checkpoint, [PAD] included."""
    from alteraser.adapters._pickled import array
    from alteraser.adapters._torch_zip import TorchArchive
    from alteraser.adapters.tables._recbole_checkpoint import allowed
    from alteraser.adapters.tables._sparse import compressed

    other = TorchArchive(path).description(allowed)["other_parameter"]
    pairs = compressed(other["interaction_matrix"], "csr", "it", path)
    return array(other["item_similarity"], "it"), pairs.toarray()


def test_recbole_there_and_back(run: Run, tmp_path: Path) -> None:
    """Both tables are those of what is left; the training part is the file's own, DATA has more."""
    inter = f"--data {EASE}/toy.inter --users-map {EASE}/toy.inter"
    rows = [line.split("\t") for line in (EASE / "toy.inter").read_text().splitlines()[1:]]
    order = [list(dict.fromkeys(row[side] for row in rows)) for side in (0, 1)]
    (tmp_path / "gone.csv").write_text(
        "user_id,item_id\n" + "".join(f"{u},{v}\n" for u, v in rows if u in ("3", "7"))
    )
    line = f"forget {EASE}/ease.pth gone.csv {inter} --out new.pth --remaining rest.inter --json"
    code, out, err = run(line)
    assert code == 0, err
    assert json.loads(out)["interactions_forgotten"] == sum(u in ("3", "7") for u, _ in rows)
    _, x = ease(EASE / "ease.pth")
    left = x.copy()
    left[[order[0].index(user) + 1 for user in ("3", "7")]] = 0
    assert left.sum() < x.sum() < len(rows)
    got, kept = ease(tmp_path / "new.pth")
    np.testing.assert_array_equal(kept, left)
    inverse = np.linalg.inv(left.T @ left + 10.0 * np.eye(left.shape[1]))
    wanted = -inverse / np.diag(inverse)
    np.fill_diagonal(wanted, 0.0)
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    rest = f"--data rest.inter --users-map {EASE}/toy.inter --json"
    assert run(f"verify new.pth {rest}")[0] == 0
    code, out, _ = run(f"verify {EASE}/ease.pth {rest}")
    assert code == 8
    held = {check["name"]: check["value"] for check in json.loads(out)["checks"]}["held"]
    assert held == x.sum() - left.sum()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("--data {e}/toy.inter", 2, "give the .inter file as trained on"),
        (
            "--data {e}/toy.inter --users-map {e}/toy.inter --regularization 3",
            2,
            "which says reg_weight = 10.0",
        ),
        ("--data less.inter --users-map {e}/toy.inter", 6, "interactions that are not in the data"),
        (
            "--data less.inter --users-map less.inter",
            6,
            "it is not the data set that the model was",
        ),
    ],
)
def test_recbole_and_what_does_not_belong_to_it(
    options: str, code: int, message: str, run: Run, tmp_path: Path
) -> None:
    lines = (EASE / "toy.inter").read_text().splitlines(keepends=True)
    (tmp_path / "less.inter").write_text("".join([lines[0], *lines[40:]]))
    (tmp_path / "gone.csv").write_text("user_id\n30\n")
    line = f"forget {EASE}/ease.pth gone.csv {options} --out new.pth".replace("{e}", str(EASE))
    found, _, err = run(line)
    assert (found, message in err) == (code, True), err
    assert not (tmp_path / "new.pth").exists()


def test_inspect_tells_what_a_table_is_and_checks_it(run: Run, tmp_path: Path) -> None:
    maps = f"--users-map {EASE}/toy.inter"
    code, out, err = run(f"inspect {EASE}/ease.pth {maps} --json")
    assert code == 0, err
    told = json.loads(out)
    assert told["kind"] == "table of items"
    assert told["rule"] is None
    assert told["interactions_held"] > 0
    assert told["id_maps"] == "in the file"
    code, out, err = run(f"inspect {EASE}/ease.pth --data {EASE}/toy.inter {maps} --json")
    assert code == 0, err
    assert json.loads(out)["rule"]["name"] == "EASE"
    x = matrix()
    write_data(tmp_path / "data.csv", x)
    np.save("b.npy", weights(x, 3.0))
    code, out, _ = run("inspect b.npy")
    assert code == 0
    assert "not in the file: --items-map, or --rows-are-ids" in out
    for given, wanted in (("3", 0), ("9", 6)):
        code, _, err = run(f"inspect b.npy --data data.csv --rows-are-ids --regularization {given}")
        assert code == wanted, err


def test_cornac_people_in_each_others_rows_are_no_table_of_items(run: Run) -> None:
    """UserKNN is told from ItemKNN, and refused with the reason."""
    source = Path(__file__).parent / "fixtures" / "cornac_knn"
    Path("ask.csv").write_text("user_id\nu3\n")
    line = f"forget {source}/user.pkl ask.csv --data {source}/data.csv --out new --allow-pickle"
    code, _, err = run(line)
    assert code == 2, err
    assert "is a UserKNN: people stand in each other's rows" in err
    assert not Path("new").exists()


def test_what_lies_beside_a_table_is_named(run: Run, tmp_path: Path) -> None:
    """As of models with factors: the data, maps, copies and what Cornac saved; not what was just
    written."""
    x = matrix()
    write_data(tmp_path / "data.csv", x)
    np.save("b.npy", weights(x, 3.0))
    np.save("items.npy", np.arange(ITEMS))
    for name in ("b.pkl.trainset", "older.npz", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "users.csv").write_text("user_id\n3\n")
    about = "--data data.csv --items-map items.npy"
    line = f"forget b.npy users.csv {about} --regularization 3 --out new.npy --remaining rest.csv"
    code, out, err = run(f"{line} --json")
    assert code == 0, err
    siblings = {Path(each["path"]).name: each for each in json.loads(out)["siblings"]}
    assert set(siblings) >= {"data.csv", "items.npy", "b.pkl.trainset", "older.npz", "users.csv"}
    assert not {"new.npy", "rest.csv", "b.npy", "notes.txt"} & set(siblings)
    assert siblings["data.csv"]["what"] == "the interactions"
    assert siblings["items.npy"]["what"] == "the map of item ids"
    assert siblings["users.csv"]["what"].startswith("FORGET")
    code, out, err = run(f"inspect b.npy {about} --regularization 3 --json")
    assert code == 0, err
    named = [Path(each["path"]).name for each in json.loads(out)["siblings"]]
    assert named[0] == "data.csv"
    assert "b.pkl.trainset" in named
    code, out, err = run(f"inspect b.npy {about} --regularization 3")
    assert "also look at" in out + err
