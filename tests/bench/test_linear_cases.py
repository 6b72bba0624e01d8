"""The cases of `bench linear` on sets of a few hundred interactions: what they print is all there,
finite, and a retrain agrees.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run

from alteraser.bench.linear import gradient, places
from alteraser.models import Factors
from alteraser.solvers.relational import evaluate, scores
from alteraser.solvers.stationarity import evaluate as of_factors

NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[+-]\d+)?")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of people who like a third of the things, things with words and nodes, a graph."""
    folder = tmp_path_factory.mktemp("sets") / "tiny"
    folder.mkdir()
    rng = np.random.default_rng(0)
    likes = (np.arange(90)[:, None] + np.arange(40)) % 3 == 0
    rows = np.argwhere(rng.random(likes.shape) < np.where(likes, 0.5, 0.05))
    pq.write_table(
        pa.table({"user_id": rows[:, 0], "item_id": rows[:, 1]}), folder / "interactions.parquet"
    )
    things = np.arange(40)
    items = {
        "item_id": things,
        "genre": [["a", "b", "c"][t % 3] for t in things],
        "year": [1980.0 + t for t in things],
        "node": things + 100,
    }
    pq.write_table(pa.table(items), folder / "items.parquet")
    people = np.arange(90)
    users = {"user_id": people, "sort": [["x", "y", "z"][-p % 3] for p in people]}
    pq.write_table(pa.table(users), folder / "users.parquet")
    graph = {"head": things + 100, "relation": ["by"] * 40, "tail": things % 3}
    pq.write_table(pa.table(graph), folder / "kg.parquet")
    return folder


def tables(text: str) -> list[tuple[list[str], list[list[str]]]]:
    """Every table of Markdown in ``text``: (its header, its rows)."""
    found: list[tuple[list[str], list[list[str]]]] = []
    before = ""
    for line in text.splitlines():
        cells = [x.strip() for x in line.strip("|").split("|")] if line.startswith("|") else []
        if cells and set(line) <= set("|-: "):
            found[-1] = (found[-1][0], [])
        elif cells and not before.startswith("|"):
            found.append((cells, []))
        elif cells:
            found[-1][1].append(cells)
        before = line
    return found


def figures(text: str) -> list[float]:
    """Every number in a cell."""
    return [float(x.replace(",", "")) for x in NUMBER.findall(text)]


def run_case(run: Run, line: str) -> list[tuple[list[str], list[list[str]]]]:
    code, out, err = run(f"bench linear {line}")
    assert code == 0, err
    found = tables(out)
    for header, rows in found:
        assert rows, header
        for row in rows:
            assert len(row) == len(header), (header, row)
            assert all(math.isfinite(x) for cell in row for x in figures(cell))
            assert not any("nan" in cell.lower() or cell == "inf" for cell in row), row
    return found


def column(table: tuple[list[str], list[list[str]]], name: str) -> list[float]:
    header, rows = table
    return [figures(row[header.index(name)])[0] for row in rows]


def test_enmf_as_a_case_is_the_same_model(tiny: Path, run: Run) -> None:
    (found,) = run_case(run, f"{tiny} --case enmf --factors 3")
    assert [row[0] for row in found[1]] == ["trained", "forgotten"]
    distances = [figures(row[-1])[0] for row in found[1]]
    assert max(distances) < 1e-5


def test_features_tell_cold_items_apart_and_are_forgotten(tiny: Path, run: Run) -> None:
    beside, cold, forgotten = run_case(
        run,
        f"{tiny} --case features --item-features items.parquet:genre,year --user-features "
        "users.parquet:sort --graph kg.parquet --nodes items.parquet:node --factors 3 "
        "--regularization 0.3 --feature-scaling 0.5",
    )
    assert [row[0] for row in beside[1]] == [
        "nothing",
        "features of items and users",
        "a graph of 40 links",
        "all of it",
    ]
    among = column(cold, "NDCG@10 among them")
    names = [row[0] for row in cold[1]]
    assert names[-2:] == ["chance", "how often each is asked for (an oracle)"]
    assert all(0.0 <= x <= 1.0 for x in among)
    # what somebody likes is a word here
    assert min(among[:3]) > among[names.index("chance")]
    assert {row[1] for row in forgotten[1]} == {"C"}
    assert min(column(forgotten, "RBO@10")) > 0.99
    assert len(forgotten[1]) == 6  # people, a word and an attribute on either side, a node


def test_relations_are_each_worth_what_is_printed(tiny: Path, run: Run) -> None:
    learned, forgotten = run_case(run, f"{tiny} --case relations --factors 2")
    assert [row[0] for row in learned[1]][:2] == ["popularity", "purchases"]
    assert {row[1] for row in forgotten[1]} == {"C"}
    assert min(column(forgotten, "RBO@10")) > 0.99
    assert [row[-1] for row in forgotten[1]][-1] == "gone"


def test_lightgcn_forgets_to_where_a_retrain_ends(tiny: Path, run: Run) -> None:
    found = run_case(run, f"{tiny} --layers 2 --factors 3")
    agreed = [row for header, rows in found for row in rows if "RBO@10, who asked" in header]
    (header,) = {tuple(header) for header, _ in found if "RBO@10, who asked" in header}
    place = header.index("RBO@10, who asked")
    original, *others = [(row[0], figures(row[place])) for row in agreed if figures(row[place])]
    assert original[1][0] < 1.0
    assert all(values[0] > 0.99 for _, values in others)


def test_weights_are_lightgcns_and_of_enmf_with_and_without(tiny: Path, run: Run) -> None:
    weighed = (
        "--missing-weighting popularity --missing-weight 0.07 --regularization-scaling frequency "
        "--scaling-exponent 0.5"
    )
    code, out, err = run(f"bench linear {tiny} --layers 1 --factors 3 {weighed} --no-forget")
    assert code == 0, err
    plain, same = [line for line in out.splitlines() if line.startswith("ENMF: NDCG@10")]
    assert "w0 = 0.07 by popularity" in same
    assert "growing with frequency" in same
    assert "0.07" not in plain
    assert "growing" not in plain
    assert "K = 1, d = 3, w0 = 0.07, " in out


def test_defaults_are_shares_of_the_rule(tiny: Path, run: Run) -> None:
    found = run_case(run, f"{tiny} --case defaults --layers 1 --factors 2")
    shares = [x[0] for x in (figures(row[0]) for _, rows in found for row in rows) if x]
    assert 1.4 in shares


@pytest.mark.parametrize("case", ["enmf", "lightgcn", "relations", "defaults"])
def test_a_set_that_is_not_there_is_said(run: Run, case: str) -> None:
    code, _, err = run(f"bench linear nowhere --case {case}")
    assert code == 3, err
    assert "nowhere" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--item-features items.parquet:colour", "colour"),
        ("--item-features nothing.parquet", "nothing.parquet"),
        ("--graph kg.parquet --nodes items.parquet:nothing", "nothing"),
        ("", "--case features: name a folder"),
    ],
)
def test_what_a_set_lacks_is_said(tiny: Path, run: Run, options: str, message: str) -> None:
    code, _, err = run(f"bench linear {tiny} --case features --factors 2 {options}")
    assert code in (2, 3), err
    assert message in err


def test_a_gradient_beside_those_of_factorizations(run: Run) -> None:
    code, out, err = run("bench linear --case gradient --sizes 0.002,0.02 --factors 2")
    assert code == 0, err
    (found,) = tables(out)
    assert column(found, "rows")[1] > 8 * column(found, "rows")[0]
    assert min(column(found, "CPU s") + column(found, "of five ENMF")) >= 0.0
    assert found[1][0][-2:] == ["", ""]
    assert all(figures(cell) for cell in found[1][1][-2:])
    before, after = {"rows": 10, "apart": 2.0}, {"rows": 1_000, "apart": 2_000.0}
    assert gradient.grown(before, after, "apart") == "1.50"  # a thousand times, of a hundred
    code, _, err = run("bench linear ml-1m --case gradient")
    assert (code, "leave ml-1m out" in err) == (2, True)


def test_what_the_gradient_is_measured_against_is_the_same_arithmetic() -> None:
    """At rows that are sums, the losses of five factorizations are that of the five relations, but
    for what is penalized."""
    problem = gradient.generated(2_000, 3)
    point = problem.random(1)
    apart = 0.0
    for relation in problem.relations:
        one = gradient.factorization(problem, relation)
        X, Z = scores(problem, point, relation)
        found = of_factors(one, Factors(X, Z, np.ones(3)), threads=1)
        apart += found.objective - gradient.RIDGE * float((X**2).sum() + (Z**2).sum())
    penalty = gradient.RIDGE * float(sum((E**2).sum() for E in point.tables.values()))
    assert evaluate(problem, point).value == pytest.approx(apart + penalty, rel=1e-10)
    assert len(problem.relations) == 5


def test_places_are_looked_at_from_several_starts(
    tiny: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "PARTS", 2)
    ((header, rows),) = run_case(run, f"{tiny} --case places --layers 1 --factors 8 --users 60")
    assert header == list(places.HEADER)
    assert [(row[0], row[2]) for row in rows] == [
        ("1", "1 λ"),
        ("1", "8 λ"),
        ("2", "1 λ"),
        ("2", "8 λ"),
    ]
    for row in rows:
        agreed, distance, forgotten, other = (float(x) for x in row[3:7])
        one, two, three = (float(x) for x in row[7].split(", "))
        # whatever the place, models at one L agree
        assert abs(one - two) > 1e-3 or (agreed > 0.999 and distance < 1e-5)
        assert abs(one - three) > 1e-3 or (forgotten > 0.999 and other < 1e-5)
