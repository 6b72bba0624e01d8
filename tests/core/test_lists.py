"""What is listed again after forgetting, against a count by hand."""

from __future__ import annotations

import json

import numpy as np
from conftest import Run, toy_interactions
from hypothesis import given
from hypothesis import strategies as st

from alteraser.verbs.lists import listed_again


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_listed_again_counts_pairs_whose_item_is_in_their_user_s_list(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    data = toy_interactions(seed=seed % 7)
    pairs = list(zip(data.user_rows.tolist(), data.indices.tolist(), strict=True))
    asked = {pairs[at] for at in rng.choice(len(pairs), 12, replace=False)}
    removal = data.remove(sorted(asked))
    lists = rng.integers(-1, data.shape[1], (data.shape[0], k))
    found = listed_again(lambda users: lists[users], removal.remaining, removal.removed)
    left = set(pairs) - asked
    counted = [
        (u, v) for u, v in asked if any(a == u for a, _ in left) and any(b == v for _, b in left)
    ]
    assert found.interactions == len(counted)
    assert found.listed == sum(v in lists[u] for u, v in counted)
    assert found.users == len({u for u, _ in asked if any(a == u for a, _ in left)})


def test_the_answer_says_what_may_come_back_and_what_training_again_would_take(run: Run) -> None:
    line = "forget {w}/model {w}/forget.csv --data {w}/data.csv --out "
    document = json.loads(run(line + "one --json")[1])
    again = document["listed_again"]
    assert 0 <= again["listed"] <= again["interactions"] <= 30
    assert document["refit_seconds_predicted"] > 0
    words = " ".join(run(line + "two")[1].split())
    assert f"of {again['interactions']} forgotten items are in the top-10 of who asked" in words
    assert "training again without the data would take about" in words
    assert "other users changed" in words
