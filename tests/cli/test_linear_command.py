"""Kind linear from the command line: commands, requests, and what is wrong and said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import Run

FILES = (
    "--item-features {w}/items.csv --user-features {w}/users.csv --relation views={w}/views.csv "
    "--relation kg={w}/kg.csv --entities item={w}/items.csv:node"
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Purchases in contexts, features, views and a graph; and a model of all of it."""
    from alteraser.cli.main import main

    w = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(0)
    lines = ["user_id,item_id,timestamp,device"]
    for _ in range(150):
        u, i = rng.integers(0, 15), rng.integers(0, 12)
        when = 1_700_000_000 + int(rng.integers(0, 30 * 86_400))
        if (u + i) % 3 == 0 or rng.random() < 0.1:
            lines.append(f"{u},{i},{when},{['tv', 'phone', ''][rng.integers(0, 3)]}")
    (w / "data.csv").write_text("\n".join(lines) + "\n")
    items = ["item_id,genre,year,node,size"]
    items += [f"{i},{'abc'[i % 3]}|{'xy'[i % 2]},{1980 + i}.0,{100 + i},1.5" for i in range(12)]
    items += ["20,c|x,,,1.5", "21,z,1990.0,,1.5"]
    (w / "items.csv").write_text("\n".join(items) + "\n")
    users = ["user_id,age,job"] + [f"{i},{20 + i * 1.5},{'kl'[i % 2]}" for i in range(17)]
    (w / "users.csv").write_text("\n".join(users) + "\n")
    pairs = {(int(rng.integers(0, 15)), int(rng.integers(0, 12))) for _ in range(60)}
    views = [f"{u},{i}" for u, i in sorted(pairs)]
    (w / "views.csv").write_text("\n".join(["user_id,item_id", *views]) + "\n")
    graph = [f"{100 + i},by,{500 + i % 4}" for i in range(12)]
    (w / "kg.csv").write_text("\n".join(["head,relation,tail", *graph]) + "\n")
    (w / "gone.csv").write_text("\n".join([lines[0], *lines[3:7]]) + "\n")
    (w / "viewed.csv").write_text("\n".join(["user_id,item_id", *views[2:5]]) + "\n")
    (w / "two.csv").write_text("user_id\n1\n2\n")
    columns = FILES.format(w=w).replace("items.csv ", "items.csv:genre,year=number ")
    line = f"train {w}/data.csv {columns} --context weekday,device --factors 3 --out {w}/m"
    assert main(f"{line} --threads 1 -q".split()) == 0
    return w


def document(run: Run, line: str, code: int = 0) -> dict[str, Any]:
    found, out, err = run(f"{line} --threads 1 --json")
    assert found == code, err + out
    return json.loads(out)  # type: ignore[no-any-return]


WHOLE = {
    "--entity user=3": ("user", "user_id", 3),
    "--entity item=2": ("item", "item_id", 2),
}
REQUESTS = {
    "{w}/gone.csv": "data",
    "{w}/two.csv": "data",
    "--since 2023-12-01 --timestamp-column timestamp": "data",
    "{w}/viewed.csv --from views": "relation views",
    "--entity kg=501": "relation kg",
    "--entity weekday=sunday": "data",
    "--entity genre=a": "item features",
    "--attributes user:age": "user features",
    "{w}/two.csv --attributes user:age": "user features",
    **{request: "data" for request in WHOLE},
}


@pytest.mark.parametrize("request_", REQUESTS)
def test_what_is_asked_goes_and_verify_finds_it(shop: Path, run: Run, request_: str) -> None:
    files, asked = FILES.format(w=shop), request_.format(w=shop)
    folder = any(f"--{x} " in f"{asked} " for x in ("from", "entity", "attributes"))
    rest = "rest" if folder else "rest.csv"
    done = document(
        run, f"forget {shop}/m {asked} --data {shop}/data.csv {files} --out new --remaining {rest}"
    )
    assert (done["class"], done["kind"]) == ("C", "linear")
    assert REQUESTS[request_] in done["sources_changed"]
    beside = f"--data {rest}/data.parquet --setup {rest}/setup.toml"
    if not folder:
        beside = f"--data {rest} {files}"
    found = document(run, f"verify new {beside} --before {shop}/m")
    assert found["class"] == "C", found
    # the model from before has not forgotten it, whatever it says of itself
    code, _, err = run(f"verify {shop}/m {beside}")
    assert code == 6
    assert "not what the model was trained on" in err
    if request_ in WHOLE:
        table, column, gone = WHOLE[request_]
        for name in ("data", f"{table}-features", "relation-views"):
            if not Path(f"{rest}/{name}.parquet").exists():
                continue
            left = pq.read_table(f"{rest}/{name}.parquet")
            if column in left.column_names:
                assert gone not in [int(x) for x in left[column].to_pylist()]


def test_forgetting_is_training_again(shop: Path, run: Run) -> None:
    files = FILES.format(w=shop)
    run(f"forget {shop}/m {shop}/gone.csv --data {shop}/data.csv {files} --out f --remaining r.csv")
    columns = files.replace("items.csv ", "items.csv:genre,year=number ")
    settings = json.loads((shop / "m" / "model.json").read_text())["setup"]
    ridge = settings["ridge"]["user"]
    assert ridge == settings["ridge"]["item"]
    code, _, err = run(
        f"forget {shop}/m {shop}/gone.csv --data {shop}/data.csv {files} --method retrain --out t"
    )
    assert code == 0, err
    found = document(run, f"compare f t --data r.csv {columns.split(' --relation')[0]}")
    assert found["rbo@10"] > 0.999
    assert found["score_distance"] < 1e-4


def test_lists_for_contexts_cold_items_and_somebody_new(shop: Path, run: Run) -> None:
    plain, context, cold = (
        document(run, f"recommend {shop}/m --user 3 -k 14 {more}")["recommendations"][0]["items"]
        for more in (
            "",
            "--context weekday=monday,device=tv",
            f"--item-features {shop}/items.csv",
        )
    )
    scores = [{x["item_id"]: x["score"] for x in items} for items in (plain, context, cold)]
    assert scores[0].keys() == scores[1].keys()
    assert scores[0] != scores[1]
    # 21 has words that nobody had, and a year; 20 is in no data either
    assert scores[2].keys() - scores[0].keys() == {20, 21}
    (shop / "new.csv").write_text("user_id,age,job\nzoe,30,k\nbob,,q\n")
    code, out, err = run(f"recommend {shop}/m --features {shop}/new.csv -k 3 --json")
    assert code == 0, err
    lists = {x["user_id"]: x["items"] for x in json.loads(out)["recommendations"]}
    assert len(lists["zoe"]) == 3
    for row in ("zoe,30,k", "bob,,q"):  # whatever the order of the file
        (shop / "new.csv").write_text(f"user_id,age,job\n{row}\n")
        alone = document(run, f"recommend {shop}/m --features {shop}/new.csv -k 3")
        (found,) = alone["recommendations"]
        others = lists[found["user_id"]]
        assert [x["item_id"] for x in found["items"]] == [x["item_id"] for x in others]
        assert [x["score"] for x in found["items"]] == pytest.approx([x["score"] for x in others])
    code, _, err = run(f"recommend {shop}/m --user 16")
    assert code == 3
    assert "16 is not in the model" in err.replace("'", "")
    assert document(run, f"recommend {shop}/m --user 16 --user-features {shop}/users.csv -k 2")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("recommend {w}/m --user 3 --context weekday=noday", "never occurred in the data"),
        ("recommend {w}/m --user 3 --context place=home", "tells nothing of place"),
        ("recommend {w}/m --user 3 --context monday", "expected NAME=VALUE"),
        ("forget {w}/m {w}/gone.csv --data {w}/data.csv --out x", "trained with"),
        ("forget {w}/m --entity user=99 --data {w}/data.csv {files} --out x", "nothing of the"),
        ("forget {w}/m --entity shop=9 --data {w}/data.csv {files} --out x", "no such table"),
        ("forget {w}/m --entity user --data {w}/data.csv {files} --out x", "expected TABLE=ID"),
        ("forget {w}/m --from views --data {w}/data.csv {files} --out x", "give FORGET"),
        (
            "train {w}/data.csv --duplicates first --relation likes={w}/other.csv --out x",
            "none of its ids occurs",
        ),
        (
            "train {w}/data.csv --duplicates first --item-features {w}/other.csv --out x",
            "none of its",
        ),
        (
            "train {w}/data.csv --duplicates first --item-features {w}/nothing.csv --out x",
            "nothing.csv: it has no rows, so nothing is known of anybody; leave it out",
        ),
        (
            "train {w}/data.csv --duplicates first --relation likes={w}/nobody.csv --out x",
            "--relation likes={w}/nobody.csv: it has no rows, so nothing is known of anybody",
        ),
        (
            "train {w}/data.csv --duplicates first --item-features {w}/items.csv:colour --out x",
            "no column 'colour'",
        ),
        ("train {w}/data.csv --context place --out x", "no column 'place'"),
        ("train {w}/data.csv --biases --memory 3 --out x", "--memory means nothing"),
        (
            "train {w}/data.csv --model item-knn --context weekday --out x",
            "--context means nothing",
        ),
        (
            "train {w}/data.csv --duplicates first --setup {w}/bad.toml --out x",
            "relations.views.size: there is no such setting",
        ),
        (
            "train {w}/data.csv --duplicates first --setup {w}/weight.toml --out x",
            "weight.toml: relations.views.weight: Input should be a finite number, not nan",
        ),
        (
            "train {w}/data.csv --duplicates first --setup {w}/top.toml --out x",
            "top.toml: factors: Input should be greater than or equal to 1, not 0; missing_weight:",
        ),
        (
            "train {w}/data.csv --duplicates first --biases --missing-weight nan --out x",
            "--missing-weight: Input should be",
        ),
        (
            "train {w}/data.csv --duplicates first --entities item={w}/items.csv:node --out x",
            "items.csv:node: none of its nodes is in a graph, a relation whose columns are head",
        ),
        (
            "train {w}/data.csv --duplicates first --relation views={w}/views.csv "
            "--entities item={w}/items.csv:node --out x",
            "Add the graph (--relation NAME=FILE), or leave this out",
        ),
        (
            "train {w}/data.csv --duplicates first --relation kg={w}/kg.csv "
            "--entities item={w}/items.csv:node --entities user={w}/nodes.csv:node --out x",
            "--entities user={w}/nodes.csv:node: none of its nodes is in a graph",
        ),
        (
            "train {w}/data.csv --duplicates first --relation kg={w}/kg.csv "
            "--entities item={w}/twice.csv:node --out x",
            "twice.csv, line 4, column 'node': 101 has a row before already: a node is one item. "
            "Keep the row of the item that it is",
        ),
        (
            "verify {w}/m --data {w}/data.csv {files} --before {w}/m --forgotten {w}/gone.csv",
            "--forgotten means nothing to a model of kind linear",
        ),
        (
            "verify {w}/m --data {w}/data.csv {files} --forgotten {w}/gone.csv",
            "give --before alone to measure what is left of the original",
        ),
    ],
)
def test_what_cannot_be_is_named(shop: Path, run: Run, line: str, message: str) -> None:
    (shop / "other.csv").write_text("user_id,item_id\n900,901\n")
    (shop / "nothing.csv").write_text("item_id,colour\n")
    (shop / "nobody.csv").write_text("user_id,item_id\n")
    (shop / "bad.toml").write_text('[relations.views]\nfile = "views.csv"\nsize = 3\n')
    (shop / "weight.toml").write_text('[relations.views]\nfile = "views.csv"\nweight = nan\n')
    (shop / "top.toml").write_text("factors = 0\nmissing_weight = -1.0\n")
    (shop / "nodes.csv").write_text("user_id,node\n3,901\n")
    (shop / "twice.csv").write_text("item_id,node\n1,101\n2,102\n3,101\n")
    code, _, err = run(line.format(w=shop, files=FILES.format(w=shop)))
    assert code not in (0, 1), err
    assert message.format(w=shop) in " ".join(err.split())
    assert not Path("x").exists()


def test_what_says_nothing_is_named_in_training(shop: Path, run: Run) -> None:
    found = document(
        run,
        f"train {shop}/data.csv --item-features {shop}/items.csv:size=number,year=number "
        "--context device --factors 2 --out n",
    )
    notes = " ".join(found["notes"])
    for said in ("size: one value throughout", "row(s) without a value", "occur nowhere"):
        assert said in notes


def test_parts_of_a_graph_that_touch_nobody_are_named(shop: Path, run: Run) -> None:
    """And only these: a node two steps from an item is none of them."""
    rows = (shop / "kg.csv").read_text() + "500,near,600\n901,by,902\n902,by,903\n"
    (shop / "wide.csv").write_text(rows)
    files = f"--relation kg={shop}/wide.csv --entities item={shop}/items.csv:node"
    line = f"train {shop}/data.csv --duplicates first {files} --factors 2 --out isolated"
    said = [note for note in document(run, line)["notes"] if "chain" in note]
    assert [note.split(" that ")[0] for note in said] == ["kg: 3"]
    line = line.replace("wide.csv", "kg.csv").replace("isolated", "whole")
    assert not [note for note in document(run, line)["notes"] if "chain" in note]


def test_a_graph_that_is_gone_whole_is_no_longer_joined(shop: Path, run: Run) -> None:
    """What is left names no table of nodes where no graph is left to hold them."""
    (shop / "one.csv").write_text("head,relation,tail\n102,by,501\n")
    files = f"--relation kg={shop}/one.csv --entities item={shop}/items.csv:node"
    few = "--factors 2 --missing-weight 0.1 --regularization 0.1"
    line = f"train {shop}/data.csv --duplicates first {files} {few} --threads 1 -q --out g"
    assert run(line)[0] == 0
    asked = f"forget g --entity kg=501 --data {shop}/data.csv {files} --out h --remaining left"
    assert document(run, asked)["class"] == "C"
    assert "entities" not in Path("left/setup.toml").read_text()
    line = "verify h --data left/data.parquet --setup left/setup.toml --before g"
    assert document(run, line)["class"] == "C"


def test_a_model_of_zeros_has_forgotten(shop: Path, run: Run) -> None:
    """Where λ outweighs the data zero is the optimum, before and after: as `forget` says, so
    `verify`."""
    line = f"train {shop}/data.csv --duplicates first --model linear --factors 2 --out z"
    assert run(f"{line} --regularization 50 --threads 1 -q")[0] == 0
    line = f"forget z {shop}/two.csv --data {shop}/data.csv --out zz --remaining left.csv"
    assert document(run, line)["class"] == "C"
    found = document(run, "verify zz --data left.csv --before z")
    assert (found["class"], found["size"]) == ("C", 0.0)


@pytest.mark.parametrize(
    "kind",
    [
        "linear",
        "linear-lightgcn",
        "linear --item-features {s}/items.csv --relation views={s}/views.csv",
    ],
)
def test_a_model_whose_every_score_is_zero_is_told_of(shop: Path, run: Run, kind: str) -> None:
    """On stderr, under --quiet too, and in the document; at the λ that it offers there are some."""
    line = f"train {shop}/data.csv --duplicates first --factors 2 --model {kind.format(s=shop)}"
    code, _, err = run(f"{line} --regularization 500 --out zeros -q")
    assert code == 0
    said = " ".join(err.split())
    assert "every score is 0: λ = 500 outweighs these data. From λ = " in said
    found = document(run, f"{line} --regularization 500 --out zeros2")
    assert found["warnings"] == [said.removeprefix("warning: ")]
    offered = said.partition("try --regularization ")[2].split(",")[0]
    assert document(run, f"{line} --regularization {offered} --out some")["warnings"] == []
    for name in ("zeros", "zeros2", "some"):
        shutil.rmtree(name)


def test_a_file_says_what_options_say(shop: Path, run: Run) -> None:
    (shop / "setup.toml").write_text(
        'context = ["weekday", "device"]\nfactors = 3\n'
        '[features.item]\nfile = "items.csv"\ncolumns = ["genre", "year=number"]\n'
        '[features.user]\nfile = "users.csv"\n'
        '[relations.views]\nfile = "views.csv"\nweight = 1.0\n'
        '[relations.kg]\nfile = "kg.csv"\n'
        '[entities.item]\nfile = "items.csv"\ncolumn = "node"\n'
    )
    found = document(run, f"train {shop}/data.csv --setup {shop}/setup.toml --out s")
    assert found["sources"] == document(run, f"inspect {shop}/m")["sources"]
    shutil.rmtree("s")


@pytest.mark.parametrize("mutant", ["scale", "average", "table"])
def test_a_model_that_kept_something_is_refused(shop: Path, run: Run, mutant: str) -> None:
    """Statistics and tables of the data from before, in a model that says it forgot."""
    from dataclasses import replace

    from alteraser.models.folder import load_model
    from alteraser.models.relational.composite import CompositeModel

    files = FILES.format(w=shop)
    line = f"forget {shop}/m {shop}/two.csv --data {shop}/data.csv {files} --out f"
    assert run(f"{line} --remaining r.csv -q")[0] == 0
    after, before = (load_model(Path(x)) for x in ("f", f"{shop}/m"))
    assert isinstance(after, CompositeModel)
    assert isinstance(before, CompositeModel)
    if mutant == "scale":
        blocks = {
            table: tuple(
                block if block.scale is None else replace(block, scale=(1.0, 2.0))
                for block in whole
            )
            for table, whole in after.blocks.items()
        }
        after = replace(after, blocks=blocks)
    elif mutant == "average":
        after = replace(after, average=before.average)
    else:
        after = replace(after, tables=before.tables, vectors=before.vectors)
    after.save("mutant")
    found = document(run, f"verify mutant --data r.csv {files}", code=8)
    assert found["class"] == "D"


def test_evaluate_ranks_by_user_and_context(shop: Path, run: Run) -> None:
    """Contexts of TEST where it has them, else the average; one of another set is not ranked."""
    lines = (shop / "data.csv").read_text().splitlines()
    (shop / "train.csv").write_text("\n".join([lines[0], *lines[1:-12]]) + "\n")
    held = [*lines[-12:], f"3,2,{1_700_000_000},watch"]
    (shop / "test.csv").write_text("\n".join([lines[0], *held]) + "\n")
    pairs = {",".join(line.split(",")[:2]) for line in held}
    (shop / "pairs.csv").write_text("\n".join(["user_id,item_id", *sorted(pairs)]) + "\n")
    for name, more in (("with", "--context weekday,device"), ("without", "--duplicates first")):
        line = f"train {shop}/train.csv --model linear {more} --factors 2 --out {name} -q"
        assert run(line)[0] == 0
    asked = f"--test {shop}/test.csv --data {shop}/train.csv"
    found = document(run, f"evaluate with {asked}")
    assert found["contexts"] == ["weekday", "device"]
    assert found["test_interactions_of_unseen_contexts"] == 1
    assert found["test_interactions"] == 13
    assert found["trained_on"] == "data"
    assert any("never occurred in training" in words for words in found["warnings"])
    assert found["users"] <= found["queries"] <= 12
    same = document(run, f"evaluate without {asked} --context weekday,device")
    assert same["contexts"] == found["contexts"]
    # to it a context is nothing that could be unseen: the row counts
    assert same["queries"] == found["queries"] + 1
    plain = document(run, f"evaluate without {asked}")
    assert "queries" not in plain
    code, out, err = run(f"evaluate with --test {shop}/pairs.csv --data {shop}/train.csv --json")
    assert code == 0, err
    assert "says nothing of weekday, device" in " ".join(err.split())
    assert "queries" not in json.loads(out)
    code, _, err = run(f"evaluate with --test {shop}/pairs.csv --data {shop}/train.csv --context x")
    assert code == 2
    assert "no column 'x'" in err


def _same(first: str, second: str) -> None:
    from alteraser.models.folder import load_model
    from alteraser.models.relational.composite import CompositeModel

    a, b = load_model(Path(first)), load_model(Path(second))
    assert isinstance(a, CompositeModel)
    assert isinstance(b, CompositeModel)
    assert a.sources == b.sources
    for name, E in a.tables.items():
        np.testing.assert_array_equal(E, b.tables[name])


@pytest.mark.parametrize(
    "request_", ["{w}/pairs-gone.csv", "{w}/two.csv", "{w}/item.csv --whole-items"]
)
def test_data_may_be_without_forget_already(shop: Path, run: Run, request_: str) -> None:
    """The same model as from the whole data, by its bytes."""
    lines = (shop / "data.csv").read_text().splitlines()
    pairs = sorted({tuple(line.split(",")[:2]) for line in lines[1:]})
    (shop / "all.csv").write_text("\n".join(["user_id,item_id", *map(",".join, pairs)]) + "\n")
    some = [lines[0].replace(",timestamp,device", ""), *map(",".join, pairs[3:9])]
    (shop / "pairs-gone.csv").write_text("\n".join(some) + "\n")
    (shop / "item.csv").write_text("item_id\n2\n")
    views = f"--relation views={shop}/views.csv"
    if not (shop / "p").exists():
        line = f"train {shop}/all.csv {views} --factors 2 --missing-weight 0.1 --regularization 0.1"
        assert run(f"{line} --threads 1 -q --out {shop}/p")[0] == 0
    asked = f"forget {shop}/p {request_.format(w=shop)} {views}"
    whole = document(run, f"{asked} --data {shop}/all.csv --out a --remaining rest.csv")
    again = document(run, f"{asked} --data rest.csv --out b --remaining rest-2.csv")
    assert again["interactions_forgotten"] == whole["interactions_forgotten"] > 0
    assert again["interactions_missing"] == again["interactions_forgotten"]
    assert whole["interactions_missing"] == 0
    for name in ("a", "b"):
        assert document(run, f"verify {name} --data rest.csv {views} --before {shop}/p")
    _same("a", "b")
    assert sorted(Path("rest.csv").read_text().splitlines()) == sorted(
        Path("rest-2.csv").read_text().splitlines()
    )
    # what the request does not name may not be missing
    short = Path("rest.csv").read_text().splitlines()
    Path("short.csv").write_text("\n".join([short[0], *short[2:]]) + "\n")
    code, _, err = run(f"{asked} --data short.csv --out c")
    assert code == 6
    assert "DATA are not what the model was trained on" in err
    assert not Path("c").exists()


def test_of_contexts_forget_says_which_rows_are_missing(shop: Path, run: Run) -> None:
    files, lines = FILES.format(w=shop), (shop / "data.csv").read_text().splitlines()
    pairs = {tuple(line.split(",")[:2]) for line in lines[3:7]}
    rows = [line for line in lines[1:] if tuple(line.split(",")[:2]) in pairs]
    (shop / "rows.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    asked = f"forget {shop}/m {shop}/rows.csv {files}"
    whole = document(run, f"{asked} --data {shop}/data.csv --out a --remaining rest.csv")
    again = document(run, f"{asked} --data rest.csv --out b --remaining rest-2.csv")
    assert again["interactions_forgotten"] == whole["interactions_forgotten"]
    _same("a", "b")
    assert Path("rest.csv").read_bytes() == Path("rest-2.csv").read_bytes()
    assert document(run, f"verify b --data rest-2.csv {files} --before {shop}/m")["class"] == "C"
    # the pairs alone do not say in which contexts they were
    bare = [",".join(x.split(",")[:2]) for x in (lines[0], *rows)]
    Path("bare.csv").write_text("\n".join(bare) + "\n")
    code, _, err = run(f"forget {shop}/m bare.csv {files} --data rest.csv --out c")
    assert code == 6
    assert "DATA are not what the model was trained on" in err


@pytest.mark.parametrize(
    "line",
    [
        "recommend nowhere --user 3 --context device=tv",
        "evaluate nowhere --test {s}/data.csv --data {s}/data.csv --context device",
    ],
)
def test_a_model_that_is_not_there_is_what_is_said(shop: Path, run: Run, line: str) -> None:
    """And not that it knows no contexts."""
    code, _, err = run(line.format(s=shop))
    assert code == 3
    assert "there is no model at nowhere" in " ".join(err.split())


def test_features_of_a_model_without_any_say_nothing(shop: Path, run: Run) -> None:
    line = f"train {shop}/data.csv --duplicates first --model linear --factors 2 --out bare"
    assert run(f"{line} --threads 1 -q")[0] == 0
    code, _, err = run(f"recommend bare --user 3 --item-features {shop}/items.csv")
    assert code == 2
    assert "--item-features: the model was trained without features of items" in err
    shutil.rmtree("bare")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--context ,", "--context ,: expected names, each once"),
        ("--context user_id", "context user_id: that column holds ids"),
        ("--context device,item_id", "context item_id: that column holds ids"),
        ("--setup twice.toml", "context device is named twice"),
        ("--setup one.toml", "one.toml: relations.v: tables are two, not 1"),
        ("--setup same.toml", "same.toml: features.item: the column genre is nam"),
        ("--setup name.toml", "name.toml: relations.data: 'data' is no name of a relation"),
        ("--setup much.toml", "much.toml: feature_scaling: Input should be less than or equal"),
        ("--setup down.toml", "down.toml: continuation: Input should be greater than or equal"),
        ("--setup zero.toml", "zero.toml: regularization: a penalty of 0 cannot come down"),
        ("--continuation 0.5 --biases", "--continuation: Input should be greater than or equal"),
    ],
)
def test_what_cannot_be_learned_from_names_the_file(
    shop: Path, run: Run, line: str, message: str
) -> None:
    for name, text in {
        "twice": 'context = ["device", "device"]',
        "one": "[relations.v]\nfile = 'views.csv'\ntables = ['user']",
        "same": "[features.item]\nfile = 'items.csv'\ncolumns = ['genre', 'genre']",
        "name": "[relations.data]\nfile = 'views.csv'",
        "much": "feature_scaling = 9",
        "down": "continuation = 0.5",
        "zero": "continuation = 8\nregularization = 0",
    }.items():
        Path(f"{name}.toml").write_text(text + "\n")
    code, _, err = run(f"train {shop}/data.csv {line} --factors 2 --out m")
    assert code == 2
    assert message in " ".join(err.split())
    assert not Path("m").exists()


def test_a_penalty_that_comes_down_is_a_setting_of_the_model(shop: Path, run: Run) -> None:
    """Of the file as of the option, which comes before it; and stays in forgetting."""
    files = f"--relation views={shop}/views.csv"
    (shop / "falling.toml").write_text(
        'continuation = 6\nregularization = 0.05\n[relations.views]\nfile = "views.csv"\n'
    )
    line = f"train {shop}/data.csv --duplicates first --setup {shop}/falling.toml --factors 2"
    found = document(run, f"{line} --out down")
    assert found["hyper_parameters"]["continuation"] == 6.0
    assert 1.0 < found["continuation"] <= 6.0
    found = document(run, f"{line} --continuation 3 --out less")
    assert found["hyper_parameters"]["continuation"] == 3.0
    assert 1.0 < found["continuation"] <= 3.0
    assert document(run, "inspect down")["hyperparameters"]["continuation"] == 6.0
    line = f"forget down {shop}/two.csv --data {shop}/data.csv {files}"
    assert document(run, f"{line} --out gone --remaining rest.csv")["class"] == "C"
    found = document(run, "inspect gone")
    assert found["hyperparameters"]["continuation"] == 6.0
    assert 1.0 < found["training"]["continuation"] <= 6.0
    assert document(run, f"verify gone --data rest.csv {files} --before down")["class"] == "C"
    # where it goes straight, that is said
    line = f"train {shop}/data.csv --duplicates first --model linear --continuation 8"
    for name, more, said in (
        ("up", "--regularization 0.05", "λ came down from"),
        ("flat", "--regularization 90", "straight: at λ itself"),
    ):
        code, out, err = run(f"{line} {more} --factors 2 --threads 1 --out {name}")
        assert code == 0, err
        assert said in " ".join((out + err).split())


def test_columns_and_words_may_be_named_as_they_are(shop: Path, tmp_path: Path, run: Run) -> None:
    """With the signs that options are cut at: what forget leaves is read back, and all of it can be
    named.
    """
    pairs = [line.split(",")[:2] for line in (shop / "data.csv").read_text().splitlines()[1:]]
    lines = ["user_id,item_id,city"]
    lines += [f'{u},{i},"{("Washington, DC", "Bonn")[n % 2]}"' for n, (u, i) in enumerate(pairs)]
    (tmp_path / "d.csv").write_text("\n".join(lines) + "\n")
    rows = [f'{i},{"kl"[i % 2]},{"pq"[i % 2]},"t, u"' for i in range(12)]
    (tmp_path / "i.csv").write_text("\n".join(['item_id,size:cm,a=b,"c,d"', *rows]) + "\n")
    files = f"--item-features {tmp_path}/i.csv"
    document(run, f"train {tmp_path}/d.csv {files} --context city --factors 2 --out {tmp_path}/m")
    for number, asked in enumerate(
        (
            "--entity a=b=p",
            "--entity item:a=b=p",
            "--entity item:size:cm=k",
            "--attributes item:c,d",
        )
    ):
        new, left = tmp_path / f"m{number}", tmp_path / f"rest{number}"
        line = f"forget {tmp_path}/m {asked} --data {tmp_path}/d.csv {files}"
        document(run, f"{line} --out {new} --remaining {left}")
        document(run, f"verify {new} --data {left}/data.parquet --setup {left}/setup.toml")
    from alteraser.cli.main import main

    line = f"recommend {tmp_path}/m --user 3 --context".split()
    assert main([*line, "city=Washington, DC"]) == 0
    assert main([*line, "city=Washington"]) == 3


def test_ids_are_what_they_were_whoever_is_left_in_a_file(tmp_path: Path, run: Run) -> None:
    """A file of which every id reads as a number is of the same people as one of which one does
    not: beside DATA, and after the one that does not is gone from it.
    """
    rng = np.random.default_rng(3)
    users, items = [*map(str, range(15)), "x"], [*map(str, range(100, 110)), "y", "007"]
    pairs = [(u, i) for u in users for i in items if rng.random() < 0.4]
    tagged = [(i, n % 3) for n, i in enumerate(items[:10])] + [("y", "q")]
    for name, header, rows in (
        ("d.csv", "user_id,item_id", pairs),
        ("v.csv", "user_id,item_id", [p for p in pairs[::3] if p[0] != "x" and p[1] < "2"]),
        ("i.csv", "item_id,g", [(i, "ab"[n % 2]) for n, i in enumerate(items[:10])]),
        ("t.csv", "item_id,tag_id", tagged),
        ("q.csv", "item_id,tag_id", tagged[:-1]),
        ("gone.csv", "item_id", [("y",), ("007",)]),
    ):
        lines = [header, *(",".join(map(str, row)) for row in rows)]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    w = tmp_path
    files = f"--item-features {w}/i.csv --relation views={w}/v.csv --relation tags="
    document(run, f"train {w}/d.csv {files}{w}/t.csv --factors 2 --out {w}/m")
    forget = f"forget {w}/m --data {w}/d.csv {files}{w}/t.csv"
    document(run, f"{forget} {w}/gone.csv --out {w}/a --remaining {w}/rest.csv")
    assert "007" not in (w / "rest.csv").read_text()
    document(run, f"verify {w}/a --data {w}/rest.csv {files}{w}/t.csv --before {w}/m")
    document(run, f"{forget} --entity tag=q --out {w}/b")
    document(run, f"verify {w}/b --data {w}/d.csv {files}{w}/q.csv --before {w}/m")


def test_of_somebody_new_a_part_may_be_known(shop: Path, tmp_path: Path, run: Run) -> None:
    """What the table does not say is not known, as where a cell is empty; a table that says nothing
    of what the model knows is refused.
    """
    for name, text in (
        ("part", "user_id,job\nx,k\n"),
        ("empty", "user_id,age,job\nx,,k\n"),
        ("other", "user_id,shoe\nx,44\n"),
    ):
        (tmp_path / name).write_text(text)
    line = f"recommend {shop}/m -k 5 --features {tmp_path}"
    part, empty = (document(run, f"{line}/{name}") for name in ("part", "empty"))
    assert part["recommendations"] == empty["recommendations"]
    code, _, err = run(f"{line}/other")
    assert code == 2
    assert "has none of the columns age, job" in err


def test_triples_stay_what_they_were_when_those_of_other_tables_go(
    shop: Path, tmp_path: Path, run: Run
) -> None:
    """Of one sort between items, and between items and nodes, the latter go with their node."""
    graph = [f"{100 + i},by,{(101 + i) if i < 6 else 500}" for i in range(10)]
    (tmp_path / "kg.csv").write_text("\n".join(["head,relation,tail", *graph]) + "\n")
    w, files = tmp_path, f"--relation kg={tmp_path}/kg.csv --entities item={shop}/items.csv:node"
    document(run, f"train {shop}/data.csv --duplicates first {files} --factors 2 --out {w}/m")
    line = f"forget {w}/m --entity kg=500 --data {shop}/data.csv {files} --out {w}/a"
    assert document(run, f"{line} --remaining {w}/rest")["rows_forgotten"] == {"kg/by/item-kg": 4}
    left = f"--data {w}/rest/data.parquet --setup {w}/rest/setup.toml"
    document(run, f"verify {w}/a {left} --before {w}/m")
    document(run, f"forget {w}/a --entity user=3 {left} --out {w}/b --remaining {w}/last")
    left = f"--data {w}/last/data.parquet --setup {w}/last/setup.toml"
    document(run, f"verify {w}/b {left} --before {w}/a")
