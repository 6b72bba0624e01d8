"""What every adapter of a table of items must do, whichever library's: recognized by content,
checked on the data, forgetting is making it of the rest, in one step or two, and a damaged file or
other data leave nothing behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import Run

from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.tables import TABLES, find_table
from alteraser.adapters.tables.cosine_lists import Cosines, means
from alteraser.adapters.tables.ease_weights import Weights
from alteraser.adapters.tables.implicit_knn import Neighbors
from alteraser.data.interactions import Interactions

FIXTURES = Path(__file__).parent / "fixtures"
MODEL = "given.model"


@dataclass(frozen=True)
class Case:
    """A file of a format with the data that it was made of: ``make`` puts both here."""

    format: str
    make: Callable[[], None]
    data: str
    options: str


def _toy() -> Interactions:
    rng = np.random.default_rng(5)
    users, items = np.nonzero(rng.random((30, 12)) < 0.3)
    Path("data.csv").write_text(
        "user_id,item_id\n" + "".join(f"{u},{v}\n" for u, v in zip(users, items, strict=True))
    )
    return Interactions.from_table(pa.table({"user_id": users, "item_id": items}))


def _implicit() -> None:
    table = Neighbors("cosine", 4).table(_toy())
    with open(MODEL, "wb") as file:
        np.savez(file, K=4, shape=table.shape, data=table.data, indptr=table.indptr,
                 indices=table.indices)  # fmt: skip


def _lenskit(explicit: bool, length: int | None) -> Callable[[], None]:
    def make() -> None:
        data = _toy()
        ratings = np.random.default_rng(6).integers(2, 11, len(data)) / 2
        if explicit:
            rows = zip(Path("data.csv").read_text().splitlines(), ["rating", *ratings], strict=True)
            Path("data.csv").write_text("".join(f"{row},{rating}\n" for row, rating in rows))
            data = Interactions.read("data.csv", confidence="rating")
        table = Cosines(explicit, length).table(data)
        beside = {"item_means": means(data).astype(np.float32)} if explicit else {}
        with open(MODEL, "wb") as file:
            np.savez(file, shape=table.shape, data=table.data, indptr=table.indptr,
                     indices=table.indices, format="csr", item_ids=data.items.ids,
                     **beside)  # fmt: skip

    return make


def _ease() -> None:
    with open(MODEL, "wb") as file:
        np.save(file, Weights(3.0, "float64").table(_toy()))


def _fixture(folder: str, name: str) -> Callable[[], None]:
    def make() -> None:
        shutil.copyfile(FIXTURES / folder / name, MODEL)
        shutil.copyfile(FIXTURES / folder / "toy.inter", "toy.inter")

    return make


def _cornac() -> None:
    shutil.copyfile(FIXTURES / "cornac_ease" / "ease.pkl", MODEL)
    shutil.copyfile(FIXTURES / "cornac_ease" / "data.csv", "data.csv")


def _cornac_knn(name: str) -> Callable[[], None]:
    def make() -> None:
        shutil.copyfile(FIXTURES / "cornac_knn" / f"{name}.pkl", MODEL)
        shutil.copyfile(FIXTURES / "cornac_knn" / "data.csv", "data.csv")

    return make


IN_ROWS = "--rows-are-ids"
BY_RECBOLE = "--users-map toy.inter"
CASES = [
    Case("implicit-knn", _implicit, "data.csv", IN_ROWS),
    Case("ease-weights", _ease, "data.csv", f"{IN_ROWS} --regularization 3"),
    Case("lenskit-itemknn", _lenskit(False, None), "data.csv", ""),
    Case("lenskit-itemknn", _lenskit(False, 3), "data.csv", ""),
    Case("lenskit-itemknn", _lenskit(True, None), "data.csv", "--rating rating"),
    Case("lenskit-itemknn", _lenskit(True, 2), "data.csv", "--rating rating"),
    Case("recbole-ease", _fixture("recbole_ease", "ease.pth"), "toy.inter", BY_RECBOLE),
    Case("recbole-itemknn", _fixture("recbole_tables", "itemknn.pth"), "toy.inter", BY_RECBOLE),
    Case("cornac-ease", _cornac, "data.csv", "--rating plays --allow-pickle"),
    *(
        Case("cornac-itemknn", _cornac_knn(name), "data.csv", "--rating plays --allow-pickle")
        for name in ("cosine", "centered_bm25", "pearson_idf", "ones")
    ),
    Case("recbole-pop", _fixture("recbole_tables", "pop.pth"), "toy.inter", BY_RECBOLE),
]


@pytest.fixture(params=CASES, ids=[f"{at}-{case.format}" for at, case in enumerate(CASES)])
def case(request: pytest.FixtureRequest, run: Run) -> Case:
    found: Case = request.param
    found.make()
    return found


def _rows(case: Case) -> tuple[str, list[list[str]]]:
    lines = Path(case.data).read_text().splitlines()
    separator = "\t" if case.data.endswith(".inter") else ","
    return separator, [line.split(separator) for line in lines[1:]]


def _ask(name: str, rows: list[list[str]]) -> str:
    Path(name).write_text("".join(",".join(row) + "\n" for row in rows))
    return name


def _forget(case: Case, model: str, ask: str, data: str, out: str, rest: str) -> str:
    return (
        f"forget {model} {ask} --data {data} {case.options} --out {out} --remaining {rest} --json"
    )


def _numbers(case: Case, path: str, data: str) -> np.ndarray:
    """The table in a file."""
    adapter = find_table(Path(path))
    assert adapter is not None
    options = ForeignOptions(allow_pickle=True)
    if BY_RECBOLE in case.options:
        options = options.model_copy(update={"users_map": Path("toy.inter")})
    values = adapter.read(Path(path), options).values
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)


def test_every_format_has_a_case() -> None:
    assert {case.format for case in CASES} == set(TABLES)


def test_it_is_recognized_by_content(case: Case) -> None:
    adapter = find_table(Path(MODEL))
    assert adapter is not None
    assert adapter.name == case.format
    Path("other").write_bytes(b"PK\x03\x04" + bytes(80))
    assert find_table(Path("other")) is None
    assert find_table(Path("missing")) is None


def test_forgetting_is_what_the_rest_gives(case: Case, run: Run) -> None:
    before = Path(MODEL).read_bytes()
    _, rows = _rows(case)
    ask = _ask("ask.csv", [["user_id"], [rows[0][0]], [rows[-1][0]]])
    rest = "rest." + case.data.split(".")[-1]
    code, out, err = run(_forget(case, MODEL, ask, case.data, "new.model", rest))
    assert code == 0, err
    document = json.loads(out)
    gone = sum(row[0] in (rows[0][0], rows[-1][0]) for row in rows)
    assert (document["class"], document["format"]) == ("A", case.format)
    assert (document["interactions_forgotten"], document["users_gone"]) == (gone, 2)
    assert Path(MODEL).read_bytes() == before
    known = f"--data {rest} {case.options}"
    assert run(f"verify new.model {known}")[0] == 0
    assert run(f"verify {MODEL} {known}")[0] == 8
    assert run(f"inspect new.model {known}")[0] == 0


@pytest.mark.parametrize("what", ["pairs", "items"])
def test_two_steps_are_one(case: Case, run: Run, what: str) -> None:
    _, rows = _rows(case)
    end = "." + case.data.split(".")[-1]
    if what == "pairs":
        head, parts = ["user_id", "item_id"], [[rows[2][:2]], [rows[7][:2], rows[9][:2]]]
    else:
        names = list(dict.fromkeys(row[1] for row in rows))
        head, parts = ["item_id"], [[[names[0]]], [[names[3]]]]
    asks = [_ask(f"ask{at}.csv", [head, *part]) for at, part in enumerate(parts)]
    both = _ask("both.csv", [head, *parts[0], *parts[1]])
    steps = [
        _forget(case, MODEL, asks[0], case.data, "one.model", f"one{end}"),
        _forget(case, "one.model", asks[1], f"one{end}", "two.model", f"two{end}"),
        _forget(case, MODEL, both, case.data, "at-once.model", f"at-once{end}"),
    ]
    for step in steps:
        code, _, err = run(step)
        assert code == 0, err
    assert Path(f"two{end}").read_bytes() == Path(f"at-once{end}").read_bytes()
    found, wanted = (_numbers(case, path, case.data) for path in ("two.model", "at-once.model"))
    np.testing.assert_array_equal(found, wanted)


def test_other_data_are_refused_and_nothing_is_written(case: Case, run: Run) -> None:
    separator, rows = _rows(case)
    head = Path(case.data).read_text().splitlines()[0]
    other = "fewer." + case.data.split(".")[-1]
    Path(other).write_text(
        "\n".join([head, *(separator.join(row) for row in rows[: len(rows) // 2])]) + "\n"
    )
    ask = _ask("ask.csv", [["user_id"], [rows[0][0]]])
    code, _, err = run(_forget(case, MODEL, ask, other, "new.model", "rest.csv"))
    assert code == 6, err
    assert not Path("new.model").exists()
    assert not Path("rest.csv").exists()


@pytest.mark.parametrize("left", [0.3, 0.9])
def test_a_damaged_file_is_refused(case: Case, run: Run, left: float) -> None:
    content = Path(MODEL).read_bytes()
    Path(MODEL).write_bytes(content[: int(left * len(content))])
    _, rows = _rows(case)
    ask = _ask("ask.csv", [["user_id"], [rows[0][0]]])
    code, _, err = run(_forget(case, MODEL, ask, case.data, "new.model", "rest.csv"))
    assert code in (2, 3, 6), err
    assert "Traceback" not in err
    assert not Path("new.model").exists()
