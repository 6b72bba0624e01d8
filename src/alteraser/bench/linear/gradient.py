"""What a gradient of five relations costs, beside those of matrix factorization of each, and how it
grows with the data.

Generated: people have words and see things, which have words, are carried, bought and tagged; and
people know each other. How popular things are falls as a power law. A tenth of the rows are
purchases, two are carts, five views, one friends, one tags.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, eye_array, hstack
from threadpoolctl import threadpool_limits

from alteraser.bench.common import fresh, interleaved, numbers, table
from alteraser.bench.linear.case import Case
from alteraser.data.interactions import Interactions
from alteraser.models import Factors, Objective, Problem
from alteraser.models.relational import (
    Cells,
    Identity,
    LinearProblem,
    MissingWeights,
    Operator,
    Relation,
    Sparse,
    Table,
)
from alteraser.solvers.relational import evaluate, scores
from alteraser.solvers.stationarity import evaluate as of_factors

Array = npt.NDArray[Any]

PER_USER, USERS_PER_ITEM, ITEMS_PER_TAG = 20, 10, 10
SHARES = {"purchases": 0.1, "carts": 0.2, "views": 0.5, "friends": 0.1, "tags": 0.1}
"""Of all rows"""
WORDS, EACH, FEWEST = 500, 3, 20
"""Words on either side, how many of them each has, and rows of the smallest table"""
MISSING, RIDGE, ROUNDS = 0.05, 1.0, 3


def gradients(sizes: str, asked: Case) -> None:
    """Every size in a process of its own."""
    found = []
    for size in numbers(sizes, "--sizes"):
        one = fresh(measured, f"{int(size * 1e6)}", f"{asked.factors}")
        found.append(one)
        print(f"<!-- {json.dumps(one)} -->", flush=True)
    rows = [
        (
            f"{one['rows']:,}",
            f"{one['users']:,}",
            f"{one['items']:,}",
            f"{one['together']:.2f}",
            f"{one['apart']:.2f}",
            f"{one['together'] / one['apart']:.2f}",
            *(grown(before, one, name) for name in ("together", "apart")),
        )
        for before, one in zip([None, *found], found, strict=False)
    ]
    header = ("rows", "users", "items", "CPU s", "of five ENMF", "ratio", "exponent", "of ENMF")
    table(header, rows)


def grown(before: dict[str, Any] | None, one: dict[str, Any], name: str) -> str:
    """The power of the number of rows by which a time grew."""
    if before is None or before["rows"] == one["rows"]:
        return ""
    return f"{math.log(one[name] / before[name]) / math.log(one['rows'] / before['rows']):.2f}"


def measured(size: str, factors: str) -> dict[str, Any]:
    """CPU seconds of a gradient of all relations, and of those of factorizations of each."""
    problem = generated(int(size), int(factors))
    point = problem.random(0)
    apart = [factorization(problem, relation) for relation in problem.relations]
    found = [
        Factors(*scores(problem, point, relation), np.ones(problem.rank))
        for relation in problem.relations
    ]

    def of_each() -> None:
        for one, theta in zip(apart, found, strict=True):
            of_factors(one, theta, threads=1)

    with threadpool_limits(1):
        times = interleaved(
            {"together": lambda: evaluate(problem, point, threads=1), "apart": of_each}, ROUNDS
        )
    tables = {x.name: x.rows for x in problem.tables}
    return {
        "rows": sum(len(x.cells) for x in problem.relations),
        "users": tables["user"] - WORDS,
        "items": tables["item"] - WORDS,
        **times,
    }


def generated(size: int, rank: int, *, seed: int = 0) -> LinearProblem:
    """Five relations of about ``size`` rows together."""
    rng = np.random.default_rng(seed)
    users = max(size // PER_USER, FEWEST)
    items = max(users // USERS_PER_ITEM, FEWEST)
    tags = max(items // ITEMS_PER_TAG, FEWEST)
    sides: dict[str, Operator] = {
        "user": _with_words(users, rng),
        "item": _with_words(items, rng),
        "tag": Identity(tags),
    }
    between = {"friends": ("user", "user"), "tags": ("item", "tag")}
    relations = []
    for name, share in SHARES.items():
        source, target = between.get(name, ("user", "item"))
        left, right = sides[source], sides[target]
        shape = left.shape[0], right.shape[0]
        heads = rng.integers(0, shape[0], int(share * size))
        tails = (rng.random(heads.size) ** 2.5 * shape[1]).astype(np.int64)
        keys = np.unique(heads * np.int64(shape[1]) + tails)
        cells = Cells.at(keys // shape[1], keys % shape[1], shape)
        relations.append(
            Relation(name, source, target, left, right, cells, MissingWeights(MISSING))
        )
    tables = tuple(Table.numbered(name, side.shape[1]) for name, side in sides.items())
    ridge = {x.name: np.full(x.rows, RIDGE) for x in tables}
    return LinearProblem(tables, tuple(relations), ridge, rank)


def factorization(problem: LinearProblem, relation: Relation) -> Problem:
    """A relation's rows as those of ENMF."""
    cells = relation.cells
    ids = [Table.numbered("row", size).ids for size in cells.shape]
    data = Interactions(ids[0], ids[1], cells.indptr, cells.indices, None, None)
    return Problem(Objective(missing_weight=MISSING, regularization=RIDGE), data, np.float64)


def _with_words(size: int, rng: np.random.Generator) -> Sparse:
    """[I, F]: who is a row, and the mean of words."""
    rows = np.repeat(np.arange(size), EACH)
    words = rng.integers(0, WORDS, rows.size)
    matrix = csr_array((np.full(rows.size, 1.0 / EACH), (rows, words)), shape=(size, WORDS))
    return Sparse(csr_array(hstack([eye_array(size, format="csr"), matrix], format="csr")))
