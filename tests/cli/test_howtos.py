"""The how-to guides run as they stand, on data such as they speak of."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pages import ROOT, blocks, obey

import alteraser as ae
from alteraser.cli.main import main
from alteraser.data.sets.public import CATALOG
from alteraser.errors import NotFound


@pytest.fixture
def ratings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """An empty folder but for ratings.csv, with timestamps, in which users 42 and 7 have items 661
    and 1193."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    u, v = np.nonzero(
        rng.random((60, 40))
        < np.where((np.arange(60)[:, None] + np.arange(40)) % 3 == 0, 0.6, 0.15)
    )
    drawn = pd.DataFrame(
        {"user_id": u + 1, "item_id": np.take([661, 1193, *range(2000, 2038)], v), "rating": 5}
    )
    told = pd.DataFrame({"user_id": [42, 42, 7, 7], "item_id": [661, 1193, 661, 1193], "rating": 5})
    table = pd.concat([told, drawn]).drop_duplicates(["user_id", "item_id"], ignore_index=True)
    table["timestamp"] = 978_300_000 + 37 * np.arange(len(table))
    table.to_csv("ratings.csv", index=False)
    return table


def test_one_request_after_the_other(ratings: pd.DataFrame) -> None:
    for day, user in (("monday", 5), ("tuesday", 9)):
        asked = ratings[ratings.user_id == user][["user_id", "item_id"]].head(3)
        asked.to_csv(f"{day}.csv", index=False)
    assert main(["train", "ratings.csv", "--factors", "6", "--out", "model", "-q"]) == 0
    (requests,) = blocks("docs/how-to/forget-a-user.md", "One request after the other", "console")
    (shown,) = blocks("docs/how-to/forget-a-user.md", "Show that it forgot", "console")
    assert obey(requests + "\n" + shown) == [0, 0, 0]
    assert len(pd.read_csv("remaining-2.csv")) == len(ratings) - 6


def test_requests_as_they_come(ratings: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["train", "ratings.csv", "--threshold", "4", "--factors", "6", "--out", "model", "-q"])
        == 0
    )
    (python,) = blocks("docs/how-to/stream.md", "Requests as they come", "python")
    exec(python, {})
    gone = (ratings.item_id == 661) | ((ratings.user_id == 7) & (ratings.item_id == 1193))
    gone |= (ratings.timestamp >= 978_300_000) & (ratings.timestamp < 978_310_000)
    given_back = (ratings.user_id == 42) & gone  # undone after the item and the window went
    kept = int(capsys.readouterr().out.split()[-1])
    assert kept == len(ratings[~gone | given_back])
    assert ae.load("model-2").parent == ae.load("model").digest


def events(name: str) -> pd.DataFrame:
    """Users with groups ``s0``, ``s1``, … of items that come again, in the column ``name``."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(160), rng.integers(1, 7, 160))
    return pd.DataFrame(
        {
            "user_id": groups % 40,
            name: [f"{name[0]}{group}" for group in groups],
            "item_id": (groups % 5) * 6 + rng.integers(0, 8, groups.size),
            "timestamp": 1_700_000_000 + 4000 * groups + np.arange(groups.size),
        }
    )


def test_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    events("session_id").to_csv("clicks.csv", index=False)
    for heading, codes in (
        ("Train, and continue a session", [0, 0]),
        ("Measure", [0, 0, 0]),
        ("Forget", [0, 0]),
    ):
        (block,) = blocks("docs/how-to/sessions.md", heading, "console")
        assert obey(block) == codes
    (python,) = blocks("docs/how-to/sessions.md", "Request after request", "python")
    exec(python, {})
    assert (
        ae.load("clicks-3").trained_on.interactions
        == (~events("session_id").user_id.isin([7, 8])).sum()
    )
    gone = events("session_id").session_id.isin(["s3", "s4"])
    assert len(pd.read_csv("rest.csv")) == (~gone).sum()


def test_next_baskets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    events("basket_id").to_csv("orders.csv", index=False)
    (block,) = blocks("docs/how-to/baskets.md", "Train, and fill the next basket", "console")
    assert obey(block) == [0, 0, 0]
    for heading, codes in (("Measure", [0, 0, 0]), ("Forget", [0, 0])):
        (block,) = blocks("docs/how-to/baskets.md", heading, "console")
        assert obey(block) == codes
    gone = events("basket_id").basket_id.isin(["b3", "b4"])
    assert len(pd.read_csv("rest.csv")) == (~gone).sum()


def test_features_contexts_and_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(4)
    u, v = rng.integers(0, 12, 90), rng.integers(0, 9, 90)
    sales = pd.DataFrame(
        {
            "user_id": u,
            "item_id": v,
            "timestamp": 1_700_000_000 + 86_400 * rng.integers(0, 14, 90),
            "device": rng.choice(["tv", "phone"], 90),
        }
    )
    sales.to_csv("sales.csv", index=False)
    sales.iloc[2:5].to_csv("gone.csv", index=False)
    items = np.arange(10)
    pd.DataFrame(
        {
            "item_id": items,
            "genre": np.take(["drama", "crime|noir", "noir"], items % 3),
            "year": 1980.0 + items,
            "node": 100 + items,
        }
    ).to_csv("items.csv", index=False)
    people = pd.DataFrame({"user_id": np.arange(12), "age": 20.5 + np.arange(12), "job": "x"})
    people.to_csv("users.csv", index=False)
    people.assign(user_id=[f"new{x}" for x in range(12)]).head(2).to_csv("new.csv", index=False)
    sales[["item_id", "user_id"]].head(30).to_csv("views.csv", index=False)
    pd.DataFrame({"head": 100 + items, "relation": "by", "tail": 500 + items % 2}).to_csv(
        "kg.csv", index=False
    )
    pd.DataFrame({"item_id": [9]}).to_csv("arrivals.csv", index=False)
    page = "docs/how-to/features-contexts-graphs.md"
    for heading, count in (("Train", 1), ("Recommend", 3), ("Forget", 4)):
        found = "\n".join(blocks(page, heading, "console"))
        assert obey(found) == [0] * count


def test_graphs_that_are_no_recommender(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a graph of the same form, which lies where its download would."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(5)
    near = np.arange(80)[:, None] % 5 == np.arange(30) % 5
    genes, diseases = np.nonzero(rng.random((80, 30)) < np.where(near, 0.7, 0.06))
    lines = ["# Disease ID\tDisease Name\tGene ID"]
    lines += [f"C{d:07d}\tdisease {d}\t{1400 + g}" for d, g in zip(diseases, genes, strict=True)]
    entry = CATALOG["disease-gene"]
    cache = tmp_path / "cache" / "alteraser"
    cache.mkdir(parents=True)
    (cache / f"{entry.name}-{entry.file}").write_bytes(gzip.compress("\n".join(lines).encode()))
    one, other = np.nonzero(np.triu(rng.random((80, 80)) < 0.05, 1))
    pd.DataFrame({"gene": 1400 + one, "with": 1400 + other}).to_csv("interacts.csv", index=False)

    page = "docs/how-to/graphs-that-are-no-recommender.md"
    for heading, codes in (("Get a graph", 1), ("Predict links", 10)):
        assert obey("\n".join(blocks(page, heading, "console"))) == [0] * codes
    (choose,) = blocks(page, "Forget a node, and links", "python")
    exec(choose, {})
    (forget,) = blocks(page, "Forget a node, and links", "console")
    assert obey(forget) == [0, 0]
    (shown,) = blocks(page, "Show that they are gone", "console")
    assert obey(shown) == [0, 0, 0]
    found = ae.verify(ae.load("graph-3"), ae.Interactions.read("rest-3.parquet"))
    assert found.certificate.kind == "C"

    links, gone = (
        pd.read_parquet("disease-gene/interactions.parquet"),
        pd.read_parquet("links.parquet"),
    )
    (node,) = pd.read_parquet("gene.parquet").user_id
    left = pd.read_parquet("rest-3.parquet")
    assert node not in set(left.user_id)
    assert len(left) == len(links) - (links.user_id == node).sum() - len(gone)
    assert not len(left.merge(gone))
    with pytest.raises(NotFound):
        ae.load("graph-2").recommend([node])
    capsys.readouterr()
    (scores,) = blocks(page, "Show that they are gone", "python")
    exec(scores, {})
    before, after = (
        [float(x) for x in line.split("[")[1].rstrip("]").split(",")]
        for line in capsys.readouterr().out.splitlines()
    )
    assert len(before) == len(gone)
    assert all(new < old for new, old in zip(after, before, strict=True))

    assert obey(blocks(page, "More sorts of links", "console")[0]) == [0, 0, 0]
    assert 1462 not in set(pd.read_parquet("rest/data.parquet").user_id)
    assert 1462 not in pd.read_parquet("rest/relation-interacts.parquet").to_numpy()
    assert 1462 in pd.read_csv("interacts.csv").to_numpy()


def test_choose_hyper_parameters(ratings: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    (asked,) = blocks("docs/how-to/tune.md", "Choose hyper-parameters", "console")
    few = " --factors 3 --missing-weight 0.1 --regularization 1,2 --no-refine --finalists 1"
    assert obey(asked.strip() + few) == [0]
    printed = " ".join(capsys.readouterr().out.split())
    assert Path("tuning/tune.json").exists()
    command = "alteraser train" + printed.partition("next alteraser train")[2]
    assert obey(command) == [0]


def test_choose_hyper_parameters_of_linear_kinds(
    ratings: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    items = sorted(set(ratings.item_id))
    pd.DataFrame({"item_id": items, "genre": [f"g{x % 3}" for x in range(len(items))]}).to_csv(
        "items.csv", index=False
    )
    (asked,) = blocks("docs/how-to/tune.md", "Kinds with settings of their own", "console")
    few = " --missing-weight 0.1 --regularization 1,2"
    for command in asked.strip().splitlines():
        assert obey(command + few) == [0]
        said = " ".join(capsys.readouterr().out.split())
        options = said.partition("train with ")[2].partition(" time ")[0]
        beside = " --item-features items.csv" if "items.csv" in command else ""
        train = f"alteraser train ratings.csv --threshold 4{beside} {options}"
        assert obey(f"{train} --out m{len(beside)}") == [0]


FIXTURES = ROOT / "tests" / "adapters" / "fixtures"
PICKLED = "Forget in a pickled model: implicit, Surprise, Cornac, LightFM"


@pytest.mark.parametrize(
    ("page", "heading", "files", "forget", "codes"),
    [
        (
            "keras",
            "Forget in a Keras model",
            {"keras/functional.keras": "model.keras", "keras/train.csv": "train.csv"},
            "train.csv",
            [0, 0],
        ),
        (
            "recbole",
            "Forget in a RecBole checkpoint",
            {
                "recbole/ENMF.pth": "saved/ENMF.pth",
                "recbole/train.csv": "train.csv",
                "recbole/toy.inter": "dataset/toy/toy.inter",
            },
            "train.csv",
            [0, 8],
        ),
        (
            "pickled-models",
            PICKLED,
            {"surprise/svd.dump": "svd.dump", "surprise/ratings.csv": "ratings.csv"},
            "ratings.csv",
            [8],
        ),
        (
            "pickled-models",
            PICKLED,
            {"cornac/BPR": "BPR", "cornac/ratings.csv": "events.csv"},
            "events.csv",
            [8],
        ),
        (
            "pickled-models",
            PICKLED,
            {"implicit/als.pickle": "als.pickle", "implicit/data.csv": "plays.csv"},
            "plays.csv",
            [0],
        ),
        (
            "pickled-models",
            PICKLED,
            {
                "lightfm/model.pickle": "lightfm.pickle",
                "lightfm/dataset.pickle": "dataset.pickle",
                "lightfm/interactions.csv": "events.csv",
            },
            "events.csv",
            [8],
        ),
        (
            "pickled-models",
            "PyTorch",
            {"torch/state.pt": "state.pt", "torch/train.csv": "train.csv"},
            "train.csv",
            [0],
        ),
    ],
)
def test_models_of_other_libraries(
    page: str,
    heading: str,
    files: dict[str, str],
    forget: str,
    codes: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the libraries wrote, under the names of the page; of a block with one line for each
    library, that one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for source, name in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        place = FIXTURES / source
        (shutil.copytree if place.is_dir() else shutil.copyfile)(place, name)
    pd.read_csv(forget).head(3)[["user_id", "item_id"]].to_csv("forget.csv", index=False)
    (block,) = blocks(f"docs/how-to/{page}.md", heading, "console")
    lines = block.replace("\\\n", " ").splitlines()
    mine = [line for line in lines if Path(line.split()[3]).exists()]
    assert obey("\n".join(mine)) == codes


def test_tables_that_other_libraries_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An implicit BM25 and EASE weights by their definitions, and a checkpoint that RecBole
    wrote."""
    from alteraser.adapters.tables.ease_weights import Weights
    from alteraser.adapters.tables.implicit_knn import Neighbors

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    users, items = np.nonzero(rng.random((30, 12)) < 0.4)
    plays = rng.integers(1, 9, users.size)
    table = pd.DataFrame({"user_id": users, "item_id": items + 100, "plays": plays})
    table.to_csv("plays.csv", index=False)
    names = sorted(table.item_id.unique())
    pd.DataFrame({"row": range(len(names)), "item_id": names}).to_csv("items.csv", index=False)
    Path("gone.csv").write_text("user_id\n3\n")
    for name in ("ease.pth", "toy.inter"):
        shutil.copy(ROOT / "tests/adapters/fixtures/recbole_ease" / name, name)
    Path("ease.pth").rename("EASE.pth")
    rated = ae.Interactions.read("plays.csv", confidence="plays")
    found = Neighbors("bm25", 20).table(rated)
    parts = {name: getattr(found, name) for name in ("data", "indices", "indptr", "shape")}
    np.savez("bm25.npz", K=20, **parts)
    np.save("ease.npy", Weights(500.0, "float64").table(ae.Interactions.read("plays.csv")))
    (block,) = blocks("docs/how-to/exact.md", "Tables that other libraries made", "console")
    assert obey(block) == [0] * 5
    assert 3 not in set(pd.read_csv("rest.csv").user_id)


def test_recommenders_that_forget_exactly(
    ratings: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    ratings[ratings.user_id == 5][["user_id", "item_id"]].head(3).to_csv("forget.csv", index=False)
    page = "docs/how-to/exact.md"
    (first,) = blocks(page, "Recommenders that forget exactly", "console")
    (fading,) = blocks(page, "Popularity that fades, and retention", "console")
    (lists,) = blocks(page, "Neighbors of people, and items that go together", "console")
    assert obey(f"{first}\n{fading}\n{lists}") == [0] * 11
    assert len(pd.read_csv("recent.csv")) == int(
        (ratings.timestamp >= ratings.timestamp.max() - 3600).sum()
    )
    capsys.readouterr()
    (python,) = blocks(page, "Requests as they come", "python")
    exec(python, {})
    assert int(capsys.readouterr().out.split()[-1]) == len(ratings) + 1
    grown = ae.Interactions.read("ratings.csv", threshold=4).add(
        ae.Interactions.from_pairs([(99, 661)])
    )
    assert ae.verify(ae.load("together-3"), grown).certificate.kind == "A"
