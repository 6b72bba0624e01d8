"""Linear models from what is given: the loss against direct arithmetic over all cells, form by
form.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from alteraser import Interactions
from alteraser.data.ids import Coded, IdMap
from alteraser.data.side.attributes import Attributes
from alteraser.data.side.contexts import of_each
from alteraser.data.side.features import Numbers, Words, words
from alteraser.data.side.given import Given
from alteraser.data.side.links import Links, one_word
from alteraser.models import Objective, Problem
from alteraser.models.factorization.defaults import defaults
from alteraser.models.relational import LinearProblem
from alteraser.models.relational.composite import CompositeModel
from alteraser.models.relational.setup import LinearSetup, RelationSetting, composed, dense_scores
from alteraser.solvers.relational import evaluate


def coded(values: list[str]) -> Coded:
    return Coded(*IdMap.build(values))


def some_links(seed: int, name: str, source: str, target: str, n: int = 25) -> Links:
    rng = np.random.default_rng(seed)
    heads, tails = rng.integers(0, 7, n), rng.integers(0, 6, n)
    context = of_each("day", np.array([["mon", "tue", ""][x] for x in rng.integers(0, 3, n)]))
    only = words("day", pa.chunked_array([[[x] for x in _words(context)]], pa.list_(pa.string())))
    return Links(
        name,
        source,
        target,
        coded([f"{source}{x}" for x in heads]),
        coded([f"{target}{x}" for x in tails]),
        {"day": only} if name == "data" else {},
    )


def _words(context: Words) -> list[str]:
    return [x[0] for x in context.shown().to_pylist()]


def some_attributes(table: str, seed: int) -> Attributes:
    rng = np.random.default_rng(seed)
    ids = coded([f"{table}{x}" for x in range(9)])
    lists = [list(rng.choice(["p", "q", "r"], rng.integers(0, 3), replace=False)) for _ in range(9)]
    values = rng.normal(size=9)
    values[2] = np.nan
    tags = words("tags", pa.chunked_array([lists], pa.list_(pa.string())))
    return Attributes(table, ids, (tags, Numbers("age", values)))


def everything() -> Given:
    return Given(
        (
            some_links(0, "data", "user", "item"),
            some_links(1, "views", "user", "item"),
            some_links(2, "kg/by", "item", "kg", 9),
            some_links(3, "friends", "user", "user"),
        ),
        {"user": some_attributes("user", 5), "item": some_attributes("item", 6)},
    )


SETUP = LinearSetup(
    factors=3,
    biases=True,
    regularization=0.3,
    relations={"views": RelationSetting(weight=0.5, prediction=0.7, missing_weight=0.2)},
)


def by_hand(given: Given, setup: LinearSetup, vector: np.ndarray) -> float:
    """Σ over all cells, entity by entity, without one sparse matrix."""
    assembled = setup.assemble(given)
    point, sides = assembled.problem.point(vector), assembled.sides
    total = 0.0
    for name, E in point.tables.items():
        side, unit = sides[name], SimpleNamespace(tables={name: np.eye(len(E))})
        made_of = np.array([entity(given, sides, unit, name, x.as_py(), "") for x in side.ids.ids])
        counts = (made_of**2).sum(0) ** setup.feature_scaling
        for block in side.blocks:
            inside = slice(block.start, block.stop)
            rho = counts[inside] if block.sort == "feature" else 1.0
            total += setup.ridge[name] * float((rho * (E[inside] ** 2).sum(1)).sum())
    for links in given.links:
        rows: dict[tuple[str, str], np.ndarray] = {}
        tails = {}
        cells = set()
        days = one_word(links.contexts["day"]) if links.contexts else np.full(len(links), -1)
        for place in range(len(links)):
            head = links.heads.ids.ids[int(links.heads.rows[place])].as_py()
            tail = links.tails.ids.ids[int(links.tails.rows[place])].as_py()
            day = (
                ""
                if days[place] < 0
                else str(links.contexts["day"].values.ids.ids[int(days[place])])
            )
            rows[head, day] = entity(given, sides, point, links.source, head, day)
            tails[tail] = entity(given, sides, point, links.target, tail, "")
            cells.add((head, day, tail))
        own = setup.relation(links)
        h = point.predictions.get(links.name, np.ones(setup.factors))
        if own.prediction is not None:
            total += own.prediction * float(((h - 1) ** 2).sum())
        for (head, day), x in rows.items():
            for tail, z in tails.items():
                score = float(x[:3] * h @ z[:3])
                score += float(x[3] + z[3]) if links.name == "data" else 0.0
                seen = (head, day, tail) in cells
                weight = 1.0 if seen else setup.missing[links.name]
                total += own.weight * weight * (float(seen) - score) ** 2
    return total


def entity(given, sides, point, table, name, day):  # type: ignore[no-untyped-def]
    side, E = sides[table], point.tables[table]
    total = E[side.ids.rows_of([name])[0]].copy()
    known = given.attributes.get(table)
    present = [x.as_py() for x in side.ids.ids]
    for block in side.blocks[1:]:
        if block.sort == "context":
            if day:
                total += E[block.start + block.ids.rows_of([day])[0]]
            continue
        one = known.feature(block.name)
        row = known.entities.ids.rows_of([name])[0]
        if isinstance(one, Words):
            mine = one.shown().to_pylist()[row]
            for word in mine:
                total += E[block.start + block.ids.rows_of([word])[0]] / len(mine)
        elif row >= 0:
            inside = [
                one.values[known.entities.ids.rows_of([x])[0]]
                for x in present
                if not np.isnan(one.values[known.entities.ids.rows_of([x])[0]])
            ]
            if not np.isnan(one.values[row]):
                total += (one.values[row] - np.mean(inside)) / np.std(inside) * E[block.start]
    return total


FORMS = {
    "features": lambda g: Given(g.links[:1], g.attributes),
    "contexts": lambda g: Given(g.links[:1]),
    "relations": lambda g: Given(g.links[:2]),
    "graph": lambda g: Given((g.links[0], g.links[2])),
    "friends": lambda g: Given((g.links[0], g.links[3])),
    "everything": lambda g: g,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scaling", [0.0, 0.7, 1.0])
def test_the_loss_is_that_of_direct_arithmetic_over_all_cells(form: str, scaling: float) -> None:
    given = FORMS[form](everything())
    setup = SETUP.changed({"feature_scaling": scaling}).settled(given)
    assembled = setup.assemble(given)
    vector = np.random.default_rng(1).normal(size=assembled.problem.size)
    found = evaluate(assembled.problem, assembled.problem.point(vector)).value
    assert found == pytest.approx(by_hand(given, setup, vector), rel=1e-12)


def test_data_alone_are_matrix_factorization() -> None:
    main = some_links(0, "data", "user", "item", 40)
    given = Given((Links("data", "user", "item", main.heads, main.tails),))
    setup = LinearSetup(factors=3).settled(given)
    data = given.interactions()
    rule = defaults(data)
    assert setup.missing["data"] == pytest.approx(rule.missing_weight)
    assert setup.ridge["user"] == setup.ridge["item"] == pytest.approx(rule.regularization)
    objective = Objective(missing_weight=rule.missing_weight, regularization=rule.regularization)
    plain = LinearProblem.factorization(Problem(objective, data, np.dtype("float64")), 3)
    ours = setup.assemble(given).problem
    vector = ours.random(3).vector
    first, second = (evaluate(x, x.point(vector)) for x in (ours, plain))
    assert first.value == pytest.approx(second.value, rel=1e-13)
    assert np.allclose(first.gradient.vector, second.gradient.vector, atol=1e-12)


def test_a_point_is_carried_over_by_ids_and_vectors_are_what_relations_see() -> None:
    given = everything()
    setup = SETUP.settled(given)
    before = setup.assemble(given)
    vector = before.problem.random(2).vector
    rest = given.without_entities("user", ["user3"]).without_values("item", "tags", ["item1"])
    after = setup.assemble(rest)
    carried = after.problem.point(after.carried(before, vector))
    old = before.problem.point(vector)
    for name, side in after.sides.items():
        for block in side.blocks:
            there = next(
                x for x in before.sides[name].blocks if (x.sort, x.name) == (block.sort, block.name)
            )
            rows = there.start + there.ids.rows_of(block.ids.ids)
            assert np.array_equal(
                carried.tables[name][block.start : block.stop], old.tables[name][rows]
            )
    assert after.sides["user"].ids.rows_of(["user3"])[0] == -1
    assert np.array_equal(before.carried(before, vector), vector)
    side = before.sides["item"]
    relation = before.problem.relations[0]
    wanted = relation.right.apply(old.tables["item"])
    assert np.allclose(
        side.vectors(old.tables["item"])[side.ids.rows_of(given.main.tails.ids.ids)], wanted
    )


def test_somebody_new_is_the_sum_of_their_features() -> None:
    given = everything()
    setup = SETUP.settled(given)
    assembled = setup.assemble(given)
    point = assembled.problem.point(assembled.problem.random(0).vector)
    side, E = assembled.sides["item"], point.tables["item"]
    own = E[: side.ids.size]
    known = given.attributes["item"].of(side.ids)
    assert np.allclose(composed(side.blocks, known, E) + own, side.vectors(E))
    scores = dense_scores(assembled, point.vector)
    assert scores.shape == assembled.problem.relations[0].cells.shape


def test_interactions_are_the_distinct_pairs() -> None:
    given = everything()
    data = given.interactions()
    assert isinstance(data, Interactions)
    pairs = set(
        zip(
            given.main.heads.ids.ids_of(given.main.heads.rows).to_pylist(),
            given.main.tails.ids.ids_of(given.main.tails.rows).to_pylist(),
            strict=True,
        )
    )
    assert len(data) == len(pairs)


def test_lists_are_by_the_factors_biases_and_predictions_included() -> None:
    """By brute force, also for who asks again and again."""
    given, setup = (
        everything(),
        SETUP.model_copy(update={"relations": {"data": RelationSetting(prediction=0.7)}}),
    )
    settled = setup.settled(given)
    posed = settled.assemble(given)
    point = posed.problem.random(3)
    point.vector[:] = np.random.default_rng(4).standard_normal(posed.problem.size)
    model = CompositeModel.at(posed, point)
    h, (X, Z) = model.predictions["data"], model.vectors
    assert not np.allclose(h, 1.0)
    whole = (X[:, :3] * h) @ Z[:, :3].T + X[:, 3:] + Z[:, 3:].T
    rows = np.arange(len(X))
    items, scores = model.ranking()(rows, k=len(Z))
    assert np.allclose(scores, np.take_along_axis(whole, items, axis=1))
    assert (np.diff(scores, axis=1) <= 0).all()
    assert np.array_equal(items, model.top_items(rows, k=len(Z))[0])
