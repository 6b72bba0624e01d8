"""A small world of several sources: purchases in a context, views, a graph, what is known of people
and things; written as files, trained, and made a state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from alteraser.cli.beside import Beside, with_sources
from alteraser.cli.main import main
from alteraser.service.state import create

PEOPLE, THINGS = 18, 12
COLD = (50, 51)
"""Items that nobody ever had"""
START = 1_700_000_000
OPTIONS = {
    "features": (
        "--user-features",
        "users.csv:age=number,job",
        "--item-features",
        "items.csv:genre",
    ),
    "contexts": ("--context", "place"),
    "relations": ("--relation", "views=views.csv"),
    "graph": ("--relation", "kg=kg.csv", "--entities", "item=items.csv:node"),
}
WHOLE = tuple(OPTIONS)


def person(number: int) -> str:
    return f"person-{number:02d}"


def write(folder: Path, *, finer: int = 1) -> None:
    """data.csv, views.csv, kg.csv, users.csv and items.csv; ``cold`` is in users.csv alone, the
    last two people and things in views.csv alone. The times of views are in a ``finer``-th of a
    second."""
    rng = np.random.default_rng(2)
    likes = (np.arange(PEOPLE + 2)[:, None] + np.arange(THINGS + 2)) % 3 == 0
    some = np.argwhere(rng.random(likes.shape) < np.where(likes, 0.5, 0.15))
    bought = some[(some[:, 0] < PEOPLE) & (some[:, 1] < THINGS)]
    viewed = np.argwhere(rng.random(likes.shape) < np.where(likes, 0.6, 0.15))
    for name, rows in (("data", bought), ("views", viewed)):
        columns = {
            "user_id": [person(u) for u in rows[:, 0]],
            "item_id": rows[:, 1],
            "timestamp": (START + 3_600 * rng.integers(0, 99, len(rows)))
            * (finer if name == "views" else 1),
        }
        if name == "data":
            columns["place"] = [("home", "work", "")[n] for n in rng.integers(0, 3, len(rows))]
        pacsv.write_csv(pa.table(columns), folder / f"{name}.csv")
    people = [*map(person, range(PEOPLE)), "cold"]
    jobs = [("cook", "clerk|cook", "")[n] for n in rng.integers(0, 3, len(people))]
    ages = [None if n == 4 else 20 + 3 * n for n in range(len(people))]
    pacsv.write_csv(pa.table({"user_id": people, "age": ages, "job": jobs}), folder / "users.csv")
    things = np.arange(THINGS)
    genres = [("jazz", "rock", "jazz|rock")[n % 3] for n in things]
    nodes = [f"n{n}" for n in things]
    items = {
        "item_id": [*things, *COLD],
        "genre": [*genres, "jazz", "rock"],
        "node": [*nodes, None, None],
    }
    pacsv.write_csv(pa.table(items), folder / "items.csv")
    by = [(f"n{n}", "by", f"maker-{n % 4}") for n in things]
    like = [(f"n{n}", "like", f"n{(n + 3) % THINGS}") for n in range(5)]
    head, relation, tail = map(list, zip(*by, *like, strict=True))
    graph = {"head": head, "relation": relation, "tail": tail}
    pacsv.write_csv(pa.table(graph), folder / "kg.csv")


def options(parts: tuple[str, ...] = WHOLE) -> list[str]:
    return [word for part in parts for word in OPTIONS[part]]


def train(parts: tuple[str, ...] = WHOLE, *more: str) -> None:
    """``model`` of the files in this folder."""
    line = ["train", "data.csv", "--model", "linear", "--factors", "2", "--regularization", "0.5"]
    assert main([*line, *options(parts), *more, "--out", "model", "-q"]) == 0


def beside(parts: tuple[str, ...] = WHOLE) -> Beside:
    """The options of ``parts`` that say what is beside DATA."""
    given = options(tuple(x for x in parts if x != "contexts"))
    pairs = list(zip(given[::2], given[1::2], strict=True))
    values = {name: [text for option, text in pairs if option == name] for name, _ in pairs}
    return Beside(
        item_features=next(iter(values.get("--item-features", [])), None),
        user_features=next(iter(values.get("--user-features", [])), None),
        relation=values.get("--relation"),
        entities=values.get("--entities"),
    )


def make(parts: tuple[str, ...] = WHOLE, *more: str, finer: int = 1) -> None:
    """Files, ``model`` and ``state`` in this folder."""
    here = Path.cwd()
    write(here, finer=finer)
    train(parts, *more)
    create(here / "state", here / "model", here / "data.csv", held(parts), rate=0)


def held(parts: tuple[str, ...] = WHOLE):
    return with_sources(Path("model"), beside(parts))[1]
