"""What ``bench exact`` counts: the sets of users, the split, and the two forms of NDCG, by their
definitions."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from conftest import Run, toy_interactions

from alteraser.bench.exact import groups, scores_of_lists, split
from alteraser.errors import InvalidInput


def test_groups_are_the_most_and_least_active_and_random_ones() -> None:
    data = toy_interactions(40, 20, 0.3, lonely=False)
    found = groups(data, 0.1)
    assert {name: len(users) for name, users in found.items()} == dict.fromkeys(
        ("most active", "least active", "random"), 4
    )
    counts = data.user_counts
    others = np.delete(np.arange(40), found["most active"])
    assert counts[found["most active"]].min() >= counts[others].max()
    others = np.delete(np.arange(40), found["least active"])
    assert counts[found["least active"]].max() <= counts[others].min()


def test_of_every_user_four_in_five_are_trained_on() -> None:
    data = toy_interactions(40, 20, 0.5, lonely=False)
    train, test = split(data)
    whole = data.k_core(5).compact()
    np.testing.assert_array_equal(train.user_counts, np.floor(0.8 * whole.user_counts))
    pairs = [
        set(map(tuple, part.to_table().to_pandas()[["user_id", "item_id"]].to_numpy()))
        for part in (train, test)
    ]
    assert not pairs[0] & pairs[1]
    assert len(pairs[0] | pairs[1]) == len(whole)


def test_lists_are_scored_by_either_formula() -> None:
    test = toy_interactions(3, 9, 0.5, lonely=False)
    lists = np.array([[0, 1, 2], [3, 4, 5], [8, -1, -1]])
    wanted: dict[str, list[float]] = {"ndcg": [], "ndcg_usual": [], "hr": []}
    for user in np.flatnonzero(test.user_counts):
        mine = set(test.indices[test.indptr[user] : test.indptr[user + 1]].tolist())
        ranks = [rank for rank, item in enumerate(lists[user].tolist(), 1) if item in mine]
        gain = sum(1 / log2(rank + 1) for rank in ranks)
        wanted["ndcg"].append(gain / sum(1 / log2(rank + 1) for rank in range(1, len(mine) + 1)))
        wanted["ndcg_usual"].append(
            gain / sum(1 / log2(rank + 1) for rank in range(1, min(3, len(mine)) + 1))
        )
        wanted["hr"].append(len(ranks) / len(mine))
    assert scores_of_lists(lists, test, 3) == pytest.approx(
        {name: np.mean(x) for name, x in wanted.items()}
    )
    with pytest.raises(InvalidInput, match="nothing to test on"):
        scores_of_lists(lists, test.keep(np.zeros(len(test), bool)), 3)


def test_a_part_that_is_not_there_is_refused(run: Run) -> None:
    code, _, err = run("bench exact --only share,everything")
    assert code == 2
    assert "--only 'everything': there are fit, share" in err
