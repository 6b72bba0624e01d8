"""One contract for every differentiated row solver, on rows that are quadratic and on rows that are
not."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conftest import OBJECTIVES, random_factors, toy_interactions  # noqa: E402

from alteraser.erasers import Settings, run_passes  # noqa: E402
from alteraser.errors import InvalidInput  # noqa: E402
from alteraser.models import Objective, Problem  # noqa: E402
from alteraser.solvers import SOLVERS, AHNewton  # noqa: E402
from alteraser.solvers.differentiable.cells import ScoredProblem, rows_of  # noqa: E402
from alteraser.solvers.kernels import twins  # noqa: E402
from alteraser.solvers.rows.differentiated import Differentiated, Minimizer  # noqa: E402
from alteraser.solvers.rows.first_order import FirstOrderRows  # noqa: E402
from alteraser.solvers.rows.hf_newton import HFNewton  # noqa: E402
from alteraser.solvers.rows.protocol import padded  # noqa: E402
from alteraser.solvers.rows.scipy_rows import SCIPY, SciPyRows  # noqa: E402

pytestmark = pytest.mark.torch

SECOND_ORDER: dict[str, Minimizer] = {
    "hf-newton": HFNewton(steps=25, small=1e-10),
    "gauss-newton": HFNewton("gauss-newton", steps=25, small=1e-10),
    **{name: SciPyRows(name, iterations=300, small=1e-9) for name in SCIPY},
}
FIRST_ORDER: dict[str, Minimizer] = {
    "sgd": FirstOrderRows("sgd", steps=300, learning_rate=1.0),
    "adam": FirstOrderRows("adam", steps=300, learning_rate=0.05),
    "adamw": FirstOrderRows("adamw", steps=300, learning_rate=0.05),
    "adahessian": FirstOrderRows("adahessian", steps=300, learning_rate=0.02),
}
ALL = SECOND_ORDER | FIRST_ORDER
LOSSES = ("squared", "logistic")


def available(name: str) -> None:
    if name == "adahessian":
        pytest.importorskip("pytorch_optimizer")


def build(objective: str, loss: str, *, weighted: bool = False, dtype: type = np.float64):
    data = toy_interactions(7, 6, weighted=weighted)
    squared = Problem(OBJECTIVES[objective], data, dtype)
    return squared, (
        squared if loss == "squared" else ScoredProblem(OBJECTIVES[objective], data, dtype)
    )


def batch_of(objective: str, loss: str, rows=None, **more):
    squared, problem = build(objective, loss, **more)
    theta = random_factors(squared, 3)
    batch = rows_of(problem.users).batch(torch.from_numpy(theta.items), rows)
    start = torch.from_numpy(theta.users if rows is None else theta.users[rows])
    return squared, theta, batch, start


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("objective", ["uniform", "popularity", "heavy missing"])
@pytest.mark.parametrize("name", SECOND_ORDER)
def test_second_order_reaches_the_minimum_of_every_row(
    name: str, objective: str, loss: str
) -> None:
    squared, theta, batch, start = batch_of(objective, loss)
    found = SECOND_ORDER[name].minimize(batch, start)
    gradient = batch.gradient(found.x)[1].abs().max()
    assert float(gradient) < 1e-4 * float(batch.gradient(start)[1].abs().max())
    if loss == "squared":
        expected, _, _ = twins.exact_rows(
            squared.users.arrays, theta.items, theta.users, np.arange(squared.users.rows)
        )
    else:
        # a strictly convex row has one minimum: the most careful of them is the oracle of the
        # others
        expected = SECOND_ORDER["hf-newton"].minimize(batch, start).x.numpy()
    np.testing.assert_allclose(found.x.numpy(), expected, atol=2e-4)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", FIRST_ORDER)
def test_first_order_gets_closer_with_more_steps(name: str, loss: str) -> None:
    available(name)
    _, _, batch, start = batch_of("uniform", loss)
    lowest = batch.values(SECOND_ORDER["hf-newton"].minimize(batch, start).x)
    method = FIRST_ORDER[name]
    few = FirstOrderRows(method.optimizer, steps=5, learning_rate=method.learning_rate).minimize(
        batch, start
    )
    many = method.minimize(batch, start)
    begin, after_few, after_many = (
        float((batch.values(x) - lowest).sum()) for x in (start, few.x, many.x)
    )
    assert after_many < after_few < begin
    assert after_many < 0.05 * begin


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ALL)
def test_no_row_ends_above_its_start_and_the_start_stays(name: str, loss: str) -> None:
    available(name)
    _, _, batch, start = batch_of("activity", loss, dtype=np.float32)
    before, kept = batch.values(start), start.clone()
    found = ALL[name].minimize(batch, start)
    assert found.x.dtype == torch.float32
    assert bool((batch.values(found.x) <= before).all())
    assert torch.equal(start, kept)


@pytest.mark.parametrize("name", ALL)
def test_rows_do_not_see_each_other(name: str) -> None:
    available(name)
    rows = np.array([4, 2])
    _, _, everything, start = batch_of("uniform", "logistic")
    _, _, some, part = batch_of("uniform", "logistic", rows)
    whole = ALL[name].minimize(everything, start).x[rows]
    np.testing.assert_allclose(ALL[name].minimize(some, part).x, whole, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_a_row_without_interactions_is_pulled_to_zero(name: str) -> None:
    available(name)
    _, _, batch, start = batch_of("uniform", "squared", np.array([0]))
    found = ALL[name].minimize(batch, start)
    assert float(found.x.norm()) < 0.2 * float(start.norm())


@pytest.mark.parametrize(
    "name", [name for name, make in SOLVERS.items() if isinstance(make(), Differentiated)]
)
@pytest.mark.parametrize("rows_at_a_time", [0, 2])
def test_only_the_asked_rows_move(name: str, rows_at_a_time: int) -> None:
    available(name)
    squared, problem = build("uniform", "squared", dtype=np.float32)
    theta = random_factors(squared, 3)
    solver = SOLVERS[name]()
    assert isinstance(solver, Differentiated)
    assert solver.name == name
    solver.rows_at_a_time = rows_at_a_time
    x = padded(theta.users)
    before = x.copy()
    rows = np.array([1, 3, 5])
    report = solver.solve(problem.users, padded(theta.items), x, rows, rank=3, threads=2)
    untouched = np.setdiff1d(np.arange(squared.users.rows), rows)
    np.testing.assert_array_equal(x[untouched], before[untouched])
    assert np.all(x[:, 3:] == 0)
    assert np.all(np.any(x[rows] != before[rows], axis=1))
    assert report.rows == 3
    assert report.decrement > 0


@pytest.mark.parametrize("name", ["hf-newton", "trust-ncg", "l-bfgs"])
def test_passes_with_a_differentiated_solver_reach_what_exact_rows_reach(name: str) -> None:
    objective = Objective(missing_weight=0.2, regularization=1.5)
    problem = Problem(objective, toy_interactions(), np.float64)
    start = random_factors(problem, 3)
    solver = Differentiated(name, SECOND_ORDER[name])
    ours, exact = (
        run_passes(problem, start, Settings(s, 0.0, 4, memory=0)) for s in (solver, AHNewton())
    )
    assert ours.objective == pytest.approx(exact.objective, rel=1e-8)
    np.testing.assert_allclose(ours.factors.users, exact.factors.users, atol=1e-3)
    assert ours.rows_updated == exact.rows_updated


def test_damping_makes_newton_safe_where_the_loss_bends_down() -> None:
    """Rows of a non-convex loss, 1 − exp(−|x|²/2) with a tilt: pure Newton would run to the top."""
    from alteraser.autograd import RowBatch

    def losses(outputs, x):
        return 1 - torch.exp(-0.5 * (x**2).sum(1)) + 0.01 * (x**2).sum(1)

    batch = RowBatch(lambda x: (x,), losses)
    start = torch.tensor([[2.5, 0.0], [0.1, 0.2], [1.2, -1.2]], dtype=torch.float64)
    found = HFNewton(steps=60).minimize(batch, start)
    assert bool((batch.values(found.x) <= batch.values(start)).all())
    assert float(found.x[1].norm()) < 1e-3


@pytest.mark.parametrize("start", [30.0, 300.0])
def test_a_saturated_row_that_hardly_bends_still_moves(start: float) -> None:
    """log(1 + exp(-a x)) + x²·1e-6: from the wrong side, nothing bends and Newton's step overshoots
    by far."""
    from alteraser.autograd import RowBatch

    def losses(outputs, x):
        return torch.nn.functional.softplus(-x).sum(1) + 1e-6 * (x**2).sum(1)

    batch = RowBatch(lambda x: (x,), losses)
    at = torch.tensor([[-start], [start]], dtype=torch.float64)
    found = HFNewton(steps=60, small=1e-10, damping=1e-6).minimize(batch, at)
    lowest = SECOND_ORDER["bfgs"].minimize(batch, torch.ones_like(at)).x
    assert torch.allclose(found.x, lowest, atol=0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HFNewton(steps=0), "at least 1"),
        (lambda: SciPyRows("nelder-mead"), "there are bfgs"),
        (lambda: FirstOrderRows("lion"), "there are adamw"),
        (lambda: FirstOrderRows(learning_rate=0.0), "above 0"),
        (lambda: Differentiated("x", HFNewton(), rows_at_a_time=-1), "at least 0"),
    ],
)
def test_senseless_settings_are_refused(make, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()
