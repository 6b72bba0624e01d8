"""The sampled loss in the time of the full one: when a budget is used up, what is chosen on what,
and what is printed.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")

from conftest import Run  # noqa: E402

from alteraser.bench import equal_time as measured  # noqa: E402
from alteraser.bench.equal_time import Budget, equal_time  # noqa: E402
from alteraser.bench.pairwise import MOST  # noqa: E402
from alteraser.bench.pairwise import pairwise as until_it_rises_no_more  # noqa: E402
from alteraser.bench.trials import TRIALS, PairTrial, trials_for  # noqa: E402
from alteraser.data.interactions import Interactions  # noqa: E402
from alteraser.neural.loss import Loss  # noqa: E402
from alteraser.neural.modules import LightGCN  # noqa: E402
from alteraser.neural.ranking import Ranker  # noqa: E402
from alteraser.neural.training import Training, train  # noqa: E402

pytestmark = pytest.mark.torch


def clicks(seed: int = 0) -> np.ndarray:
    """People who like a third of the things."""
    rng = np.random.default_rng(seed)
    likes = (np.arange(90)[:, None] + np.arange(40)) % 3 == 0
    return np.argwhere(rng.random(likes.shape) < np.where(likes, 0.5, 0.05))


class Clock:
    """Stands still but for what it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_budget_counts_training_alone_and_ends_with_the_pass_that_uses_it_up() -> None:
    clock, scored = Clock(), count(1)

    def score() -> float:
        clock.now += 1000.0
        return float(next(scored))

    budget = Budget(10.0, (0.25, 0.5, 1.0), score, clock)
    ends = []
    for number in range(1, 6):
        clock.now += 2.3
        ends.append(budget(number, 0.0))
    assert ends == [False, False, False, False, True]
    assert [(x.share, x.passes, x.ndcg) for x in budget.marks] == [
        (0.25, 2, 1.0),
        (0.5, 3, 2.0),
        (1.0, 5, 3.0),
    ]
    assert [x.seconds for x in budget.marks] == pytest.approx([4.6, 6.9, 11.5])


def test_a_pass_longer_than_several_shares_is_scored_once_for_all_of_them() -> None:
    clock, scored = Clock(), count(1)
    budget = Budget(10.0, (0.25, 0.5, 1.0), lambda: float(next(scored)), clock)
    clock.now += 30.0
    assert budget(1, 0.0)
    assert [(x.share, x.passes, x.seconds, x.ndcg) for x in budget.marks] == [
        (0.25, 1, 30.0, 1.0),
        (0.5, 1, 30.0, 1.0),
        (1.0, 1, 30.0, 1.0),
    ]


def test_training_ends_where_it_is_told_to_with_what_so_many_epochs_give() -> None:
    data = Interactions.from_pairs(clicks().tolist())
    stopped, whole = (LightGCN(*data.shape, 3, seed=4) for _ in range(2))
    asked: list[int] = []

    def enough(epoch: int, _: float) -> bool:
        asked.append(epoch)
        return epoch == 3

    done = train(stopped, data, Loss(), Training(max_epochs=9), on_epoch=enough)
    train(whole, data, Loss(), Training(max_epochs=3))
    assert (done.epochs, done.best_epoch, asked) == (3, 3, [1, 2, 3])
    for mine, other in zip(stopped.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_what_holds_out_best_is_trained_on_everything_and_scored_on_the_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every pass costs a second here, so what is reported can be worked out by other means."""
    ticks = count()

    class ByPasses(Budget):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, clock=lambda: float(next(ticks)))  # type: ignore[arg-type]

        def __call__(self, passes: int, loss: float) -> bool:
            self.clock = lambda: self._begun + passes
            return super().__call__(passes, loss)

    monkeypatch.setattr(measured, "Budget", ByPasses)
    data, test = Interactions.from_pairs(clicks().tolist()).split(0.2, seed=0)
    nothing, some, more = (PairTrial(rate, 0.01, 256) for rate in (1e-12, 0.01, 0.03))
    found = equal_time(data, test, 16.0, layers=1, factors=4, trials=(nothing, some, more))

    rounds = {x: [(m.passes, m.seconds) for m in marks] for x, marks in found.tried.items()}
    assert rounds == {nothing: [(1, 1.0)], some: [(1, 1.0), (4, 4.0)], more: [(1, 1.0), (4, 4.0)]}
    assert found.chosen == max((some, more), key=lambda x: found.tried[x][-1].ndcg)
    assert [(x.share, x.passes) for x in found.marks] == [
        (1 / 8, 2),
        (1 / 4, 4),
        (1 / 2, 8),
        (1, 16),
    ]
    everybody = np.arange(data.shape[0])
    for mark in found.marks:
        module = LightGCN(*data.shape, 4, layers=1, seed=1)
        training = Training(
            learning_rate=found.chosen.learning_rate, batch=256, max_epochs=mark.passes, seed=1
        )
        train(module, data, Loss(regularization=0.01, seed=0), training)
        assert mark.ndcg == Ranker(module, data).accuracy(everybody, test, data, (10,))["ndcg@10"]
    assert found.marks[-1].ndcg > 0.2  # a third of the things is what somebody likes


def test_the_trial_that_holds_out_best_is_trained_until_it_rises_no_more() -> None:
    data, test = Interactions.from_pairs(clicks().tolist()).split(0.2, seed=0)
    nothing, some = (PairTrial(rate, 0.01, 256) for rate in (1e-12, 0.02))
    found = until_it_rises_no_more(data, test, layers=1, factors=4, trials=(nothing, some))
    assert found.chosen == some
    assert 1 <= found.passes <= MOST
    assert found.ndcg > 0.2
    assert 0.0 < found.agreement < 1.0


def test_small_sets_are_given_steps_of_fewer_pairs() -> None:
    small = Interactions.from_pairs(clicks().tolist())
    for one, other in zip(trials_for(small), TRIALS, strict=True):
        assert one == replace(other, batch=one.batch)
        assert one.batch < other.batch


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    rows = clicks()
    table = pa.table({"user_id": rows[:, 0], "item_id": rows[:, 1]})
    (tmp_path / "tiny").mkdir()
    pq.write_table(table, tmp_path / "tiny" / "interactions.parquet")
    return tmp_path / "tiny"


def test_the_sampled_loss_gets_the_seconds_that_the_full_one_took(
    tiny: Path, tmp_path: Path, run: Run
) -> None:
    line = f"bench linear {tiny} --layers 1 --factors 3 --no-forget --bpr-equal --max-passes 9"
    code, out, err = run(f"{line} --keep {tmp_path / 'kept'}")
    assert code == 0, err
    ((ndcg, told, passes),) = re.findall(
        r"on the clean data NDCG@10 (\d\.\d{4}), (\d+\.\d) CPU s \((\d+) passes", out
    )
    assert passes == "9"
    assert f"BPR, K = 1, in the {told} CPU s of the full loss." in out
    rows = [
        x.strip("| ").split(" | ") for x in out[out.index("On all of the clean") :].splitlines()
    ]
    marks = [[float(cell) for cell in row] for row in rows if re.match(r"[\d.]+$", row[0])]
    assert [row[0] for row in marks] == [0.125, 0.25, 0.5, 1.0]
    assert all(a[1] <= b[1] and a[2] <= b[2] for a, b in pairwise(marks))
    assert marks[-1][1] >= float(told) - 0.05
    assert marks[-1][2] >= 1
    assert marks[-1][4:] == [float(told), float(passes), float(ndcg)]
    stopped = [row[5] for row in marks]
    np.testing.assert_allclose(stopped, [x * int(passes) for x in (1 / 8, 1 / 4, 1 / 2, 1)], atol=1)
    assert "forget" not in out[out.index("BPR") :]
    assert not (tmp_path / "kept" / "tiny" / "k1-original").exists()
