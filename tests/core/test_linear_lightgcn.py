"""LightGCN with the full loss as a kind: forgetting is training without, and what is stale is
refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import toy_interactions
from scipy.optimize import minimize as by_scipy

import alteraser as ae
from alteraser import Interactions, forget
from alteraser.erasers.relational import converge
from alteraser.errors import InvalidInput
from alteraser.evidence.certificate.relational import PlainLinear
from alteraser.models.factorization.defaults import defaults
from alteraser.models.relational import LinearProblem, Point
from alteraser.models.relational.lightgcn import NODE, LinearLightGCN
from alteraser.models.relational.plain import PlainModel
from alteraser.solvers.limits import Limits
from alteraser.solvers.relational import Goal, evaluate, hessian_product, minimize
from alteraser.solvers.relational.collapse import critical_shares
from alteraser.verbs.compact import compact
from alteraser.verbs.relational.train import train
from alteraser.verbs.verify import verify

from test_relational import a_problem, anywhere  # isort: skip

KIND = LinearLightGCN(factors=3, regularization=0.2, missing_weight=0.2)
SHARP = Limits(distance=1e-10)


@pytest.fixture(scope="module")
def data() -> Interactions:
    return toy_interactions(25, 18, 0.25, lonely=False)


@pytest.fixture(scope="module")
def model(data: Interactions) -> PlainModel:
    return train(KIND, data)


@pytest.fixture(scope="module")
def gone(data: Interactions) -> Interactions:
    """Of many users a few interactions, all of two of them, and an item whole."""
    rng = np.random.default_rng(0)
    out = (rng.random(len(data)) < 0.1) | np.isin(data.user_rows, [2, 9]) | (data.indices == 4)
    return data.keep(out)


def table(problem: LinearProblem, point: Point) -> np.ndarray:
    relation = problem.relations[0]
    E = point.tables[NODE]
    return np.asarray(relation.left.apply(E) @ relation.right.apply(E).T)


def at(model: PlainModel, data: Interactions) -> Point:
    return model.point(model.posed(model.settings, data))


def started(kind: LinearLightGCN, data: Interactions) -> Point:
    return PlainModel.posed(kind, data).start(kind.seed)


def dense_loss(data: Interactions, kind: LinearLightGCN, E: np.ndarray) -> float:
    """As the paper and ENMF have it, from a dense graph and all cells."""
    m, n = data.shape
    R = np.zeros((m, n))
    R[data.user_rows, data.indices] = 1.0
    A = np.block([[np.zeros((m, m)), R], [R.T, np.zeros((n, n))]])
    degrees = A.sum(1)
    inverse = np.where(degrees > 0, 1.0 / np.sqrt(np.maximum(degrees, 1.0)), 0.0)
    walk = inverse[:, None] * A * inverse
    smooth = sum(np.linalg.matrix_power(walk, k) for k in range(kind.layers + 1))
    Z = smooth @ E / (kind.layers + 1)
    scores = Z[:m] @ Z[m:].T
    missing = np.ones(n)
    if kind.missing_weighting == "popularity":
        missing = R.sum(0) ** kind.weight_exponent
        missing /= missing.mean()
    weights = np.where(R > 0, 1.0, kind.missing_weight * missing)
    rho = np.ones(m + n)
    if kind.regularization_scaling == "frequency":
        others = np.repeat([n, m], [m, n])
        rho = (degrees + kind.scaling_offset * others) ** kind.scaling_exponent
    return float((weights * (R - scores) ** 2).sum()) + float(kind.regularization or 0) * float(
        rho @ (E**2).sum(1)
    )


WEIGHED = {
    "missing_weighting": "popularity",
    "regularization_scaling": "frequency",
    "scaling_offset": 0.1,
    "scaling_exponent": 0.5,
}
"""Everything that counts rows"""


@pytest.mark.parametrize("weighed", [{}, WEIGHED], ids=["plain", "weighed"])
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_loss_is_that_of_a_dense_graph_and_all_cells(
    data: Interactions, layers: int, weighed: dict[str, Any]
) -> None:
    kind = KIND.model_copy(update={"layers": layers, **weighed})
    problem = kind.problem(data)
    point = anywhere(problem)
    assert evaluate(problem, point).value == pytest.approx(
        dense_loss(data, kind, point.tables[NODE]), rel=1e-12
    )


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_forgetting_is_training_without(
    data: Interactions, gone: Interactions, layers: int
) -> None:
    """To 1e-8, from the original and from another seed; weights and λ by counts change as well."""
    kind = KIND.model_copy(
        update={"layers": layers, "missing_weighting": "popularity"}
        | ({"regularization_scaling": "frequency"} if layers != 2 else {})
    )
    remaining = data.remove(gone).remaining
    before, after = kind.problem(data), kind.problem(remaining)
    original = minimize(before, started(kind, data), Goal(SHARP), threads=1).point
    went = converge(
        after,
        original,
        kind.emptied(original, remaining),
        known=evaluate(before, original).gradient.vector,
        limits=SHARP,
    )
    other = kind.model_copy(update={"seed": 5})
    anew = minimize(after, started(other, remaining), Goal(SHARP), threads=1)
    assert went.reached.converged
    assert went.push > 0
    assert went.floor is not None
    assert went.floor < 1e-6
    np.testing.assert_allclose(
        table(after, went.reached.point), table(after, anew.point), atol=1e-8
    )
    assert not went.reached.point.tables[NODE][[2, 9, data.shape[0] + 4]].any()
    assert np.abs(table(after, original) - table(after, anew.point)).max() > 1e-2


def test_push_is_the_change_of_the_whole_gradient(data: Interactions, model: PlainModel) -> None:
    """One interaction of one user pushes rows of users that never met them: the graph changed."""
    remaining = data.keep(np.arange(len(data)) != 7)
    before, after = KIND.problem(data), KIND.problem(remaining)
    point = at(model, data)
    change = (
        evaluate(after, point).gradient.tables[NODE] - evaluate(before, point).gradient.tables[NODE]
    )
    pushed = np.abs(change).max(1) > 1e-8
    assert pushed.mean() > 0.9
    erasure = forget(model, data.keep(np.arange(len(data)) == 7), data=data)
    assert erasure.work.push is not None
    assert erasure.residual <= 1e-3
    assert erasure.kind == "C"


def test_two_seeds_train_one_model() -> None:
    rng = np.random.default_rng(1)
    near = (np.arange(30)[:, None] + np.arange(20)) % 3 == 0
    pairs = np.argwhere(rng.random((30, 20)) < np.where(near, 0.6, 0.05))
    data = Interactions.from_pairs(pairs.tolist())
    first, second = (train(KIND.model_copy(update={"seed": s}), data) for s in (0, 3))
    found = ae.compare(first, second, data=data)
    assert found["score_distance"] < 1e-6
    assert found["rbo@10"] == pytest.approx(1.0)


# ---------------------------------------------------------------------- verify


def test_certificate_evaluates_by_itself_what_the_solver_does() -> None:
    """Its own arithmetic against the kernels', for every form at once."""
    problem = a_problem()
    point, along = anywhere(problem), anywhere(problem, 2)
    plain, found = PlainLinear(problem), evaluate(problem, point)
    value, gradient = plain.gradient(point)
    assert value == pytest.approx(found.value, rel=1e-12)
    np.testing.assert_allclose(gradient, found.gradient.vector, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        plain.product(point, along.vector),
        hessian_product(problem, point, along).vector,
        rtol=1e-10,
        atol=1e-10,
    )


def test_distance_of_the_certificate_is_that_to_the_optimum(data: Interactions) -> None:
    rough = train(KIND.model_copy(update={"max_passes": 25}), data)
    problem = KIND.problem(data)
    point = at(rough, data)
    exact = minimize(problem, point, Goal(SHARP), threads=1).point
    certificate = verify(rough, data).certificate
    away = float(np.linalg.norm(table(problem, point) - table(problem, exact)))
    assert certificate.kind == "D"
    assert away > 0
    reference = by_scipy(
        lambda x: (lambda e: (e.value, e.gradient.vector))(evaluate(problem, problem.point(x))),
        point.vector,
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 0, "gtol": 1e-9, "maxiter": 5000},
    )
    assert reference.fun == pytest.approx(evaluate(problem, exact).value, rel=1e-10)


def scored_on(model: PlainModel, E: np.ndarray, data: Interactions) -> PlainModel:
    relation = model.settings.problem(data).relations[0]
    users, items = relation.left.apply(E), relation.right.apply(E)
    return replace(model, tables={NODE: E}, vectors=(users.copy(), items.copy()))


def test_mutants_are_refused(data: Interactions, gone: Interactions, model: PlainModel) -> None:
    erasure = forget(model, gone, data=data)
    remaining, erased = erasure.remaining, erasure.model
    assert verify(erased, remaining, before=model).certificate.kind == "C"

    def refused(mutant: PlainModel, check: str) -> None:
        found = verify(mutant, remaining, before=model).certificate
        assert found.kind == "D", check
        assert check in [one.name for one in found.checks if not one.passed]

    after, E = KIND.problem(remaining), erased.tables[NODE]
    refused(scored_on(erased, E, data), "composed")  # the old graph in the scores
    old = KIND.problem(data).relations[0]
    mixed = replace(after, relations=(replace(after.relations[0], left=old.left, right=old.right),))
    stale = minimize(mixed, at(erased, remaining), Goal(), threads=1).point
    refused(
        scored_on(erased, stale.tables[NODE], remaining), "distance"
    )  # trained on the old graph
    refused(scored_on(erased, model.tables[NODE], remaining), "distance")  # nothing done
    kept = E.copy()
    kept[2] = model.tables[NODE][2]  # who is gone, kept
    refused(scored_on(erased, kept, remaining), "absent")
    nearly = E + 1e-4 * np.random.default_rng(0).normal(size=E.shape) * (E != 0)
    refused(scored_on(erased, nearly, remaining), "distance")
    refused(replace(erased, settings=KIND.model_copy(update={"layers": 1})), "objective")


# ---------------------------------------------------------------------- as a kind


def test_folder_keeps_every_number(model: PlainModel, tmp_path: Path, data: Interactions) -> None:
    model.save(tmp_path / "model")
    again = ae.load(tmp_path / "model")
    assert isinstance(again, PlainModel)
    assert again.settings == model.settings
    np.testing.assert_array_equal(again.tables[NODE], model.tables[NODE])
    np.testing.assert_array_equal(again.vectors[0], model.vectors[0])
    assert forget(again, [(0, int(data.indices[0]))], data=data).kind == "C"


def test_compacted_it_is_still_at_its_optimum(
    data: Interactions, gone: Interactions, model: PlainModel
) -> None:
    erasure = forget(model, gone, data=data)
    smaller = compact(erasure.model)
    counts = erasure.remaining.user_counts, erasure.remaining.item_counts
    assert smaller.model.shape == tuple(int((count > 0).sum()) for count in counts)
    assert smaller.model.shape < data.shape
    rest = erasure.remaining.in_rows_of(smaller.model.users, smaller.model.items)
    assert verify(smaller.model, rest).certificate.kind == "C"  # type: ignore[arg-type]
    frequent = {"regularization_scaling": "frequency"}
    for counting_rows in (
        {"missing_weighting": "popularity"},
        {**frequent, "scaling_offset": 0.1},
    ):
        with pytest.raises(InvalidInput, match="cannot be compacted"):
            compact(replace(erasure.model, settings=KIND.model_copy(update=counting_rows)))
    again = train(KIND.model_copy(update=frequent), erasure.remaining)
    rest = erasure.remaining.in_rows_of(*(smaller.model.users, smaller.model.items))
    assert verify(compact(again).model, rest).certificate.kind == "C"  # type: ignore[arg-type]


def test_rows_of_nobody_have_a_penalty(data: Interactions, gone: Interactions) -> None:
    """Or what looks at columns would look at none."""
    kind = KIND.model_copy(update={"regularization_scaling": "frequency"})
    problem = kind.problem(data.remove(gone).remaining)
    assert np.all(problem.ridge[NODE] > 0)
    assert len(critical_shares(problem, 1)) == 1


@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize("more", [{}, {"scaling_offset": 0.3, "scaling_exponent": 0.7}])
def test_where_all_rows_are_as_frequent_the_default_is_the_same(
    layers: int, more: dict[str, Any]
) -> None:
    """λ has another unit where it grows with frequency; its default has it too."""
    data = Interactions.from_pairs([(u, (u + k) % 12) for u in range(12) for k in range(4)])
    frequent: dict[str, Any] = {"regularization_scaling": "frequency", **more}
    plain, scaled = (
        LinearLightGCN(factors=2, layers=layers, **kind).settled(data) for kind in ({}, frequent)
    )
    np.testing.assert_allclose(scaled.problem(data).ridge[NODE], plain.problem(data).ridge[NODE])
    assert scaled.regularization != plain.regularization
    rule = 1.4 * defaults(data).regularization
    assert plain.regularization == pytest.approx(rule / (layers + 1) ** 2)
    plain, scaled = (ae.ENMF(factors=2, **kind).objective(data) for kind in ({}, frequent))
    np.testing.assert_allclose(
        scaled.user_ridge(data.user_counts, 12), plain.user_ridge(data.user_counts, 12)
    )


@pytest.mark.parametrize(
    ("method", "message"),
    [("local", "its methods are auto, converge, retrain"), ("replay", "method 'replay' is for")],
)
def test_other_methods_are_refused(
    data: Interactions, model: PlainModel, method: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        forget(model, [(0, int(data.indices[0]))], data=data, method=method)


def test_retrain_and_converge_agree(
    data: Interactions, gone: Interactions, model: PlainModel
) -> None:
    ways = [forget(model, gone, data=data, method=way) for way in ("converge", "retrain")]
    assert {way.kind for way in ways} == {"C"}
    found = ae.compare(ways[0].model, ways[1].model, data=ways[0].remaining)
    assert found["score_distance"] < 1e-5
