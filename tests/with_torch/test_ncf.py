"""NCF over all cells: the loss by loops, that training again gives the same bytes, and what
forgetting leaves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow.csv as pacsv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

torch = pytest.importorskip("torch")

from conftest import Run, toy_interactions  # noqa: E402
from test_sequence_models import _with_tensors, document, same  # noqa: E402

import alteraser as ae  # noqa: E402
from alteraser.data.interactions import Interactions  # noqa: E402
from alteraser.engines.session import ExactSession  # noqa: E402
from alteraser.models.networks import all_cells, training  # noqa: E402
from alteraser.models.networks.ncf import NCF  # noqa: E402
from alteraser.verbs.compact import compact  # noqa: E402

pytestmark = pytest.mark.torch

KIND = NCF(factors=4, epochs=2, batch=3, learning_rate=0.02)


def by_hand(weights: Any, task: Any, chosen: Any, missing: float) -> float:
    """The loss of these users, cell by cell."""
    w = {name: value.detach().numpy() for name, value in weights.items()}
    data, total = task.data, 0.0
    for place in chosen:
        row = task.users.rows[place]
        mine = slice(data.indptr[row], data.indptr[row + 1])
        own = np.ones(len(data)) if data.confidence is None else data.confidence
        had = dict(zip(data.indices[mine].tolist(), own[mine].tolist(), strict=True))
        for at, item in enumerate(task.items.rows.tolist()):
            first = (
                w["users"][place] @ w["first.user"]
                + w["items"][at] @ w["first.item"]
                + w["first.bias"]
            )
            second = np.maximum(first, 0) @ w["second"] + w["second.bias"]
            score = float(np.maximum(second, 0) @ w["last"] + w["last.bias"][0])
            if item in had:
                total += had[item] * math.log1p(math.exp(-score))
            else:
                total += missing * math.log1p(math.exp(score))
    return total / len(chosen)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cells", [1, 100, 1 << 22])
def test_the_loss_is_that_of_every_cell(
    weighted: bool, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its gradient is that of differences, however users are cut into chunks."""
    monkeypatch.setattr(all_cells, "CELLS", cells)
    data = toy_interactions(weighted=weighted)
    if weighted:
        data = Interactions(data.users, data.items, data.indptr, data.indices, data.confidence)
    kind = KIND.model_copy(update={"dtype": "float64", "missing_weight": 0.3})
    task = kind.task(data)
    progress = training.TrainingProgress.at(task.start())
    chosen = np.array([2, 0, 5])
    found = task.backward(progress.weights, chosen)
    assert found == pytest.approx(by_hand(progress.weights, task, chosen, 0.3), rel=1e-12)
    rng = np.random.default_rng(0)
    for value in progress.weights.values():
        slope = value.grad.numpy().copy()
        way = rng.standard_normal(slope.shape)
        with torch.no_grad():
            ends = []
            for step in (1e-6, -2e-6):
                value.add_(torch.from_numpy(way) * step)
                ends.append(by_hand(progress.weights, task, chosen, 0.3))
            value.add_(torch.from_numpy(way) * 1e-6)
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(float((slope * way).sum()), abs=1e-7)


@settings(max_examples=25)
@given(seed=st.integers(0, 999), whole=st.sampled_from(["users", "items", None]), draw=st.data())
def test_forgetting_is_training_without(seed: int, whole: str | None, draw: Any) -> None:
    """The bytes of training on the rest, in these rows or in fewer; zeros where nothing is left."""
    data = toy_interactions(8, 7, 0.4, seed=seed, lonely=False)
    model = KIND.fit(data)
    table = data.to_table().to_pylist()
    some = draw.draw(st.lists(st.sampled_from(table), min_size=1, max_size=3))
    gone: list[Any] = [(one["user_id"], one["item_id"]) for one in some]
    if whole is not None:
        gone = [one[f"{whole[:-1]}_id"] for one in some]
    erasure = ae.forget(
        model, gone, data=data, whole_users=whole == "users", whole_items=whole == "items"
    )
    rest, state = erasure.remaining, erasure.model.state
    assert erasure.kind == "A"
    assert same(dict(state), KIND.state(rest))
    assert not state["users"][rest.user_counts == 0].any()
    assert not state["items"][rest.item_counts == 0].any()
    if len(rest):
        fresh = KIND.state(Interactions.from_table(rest.to_table()))
        assert np.array_equal(fresh["users"], state["users"][rest.user_counts > 0])
        assert np.array_equal(fresh["items"], state["items"][rest.item_counts > 0])
        smaller = compact(erasure.model).model
        assert np.array_equal(smaller.state["users"], fresh["users"])


def test_a_warm_process_publishes_the_same() -> None:
    data = toy_interactions(8, 7, 0.4, lonely=False)
    model = KIND.fit(data)
    session = ExactSession(model, data)
    session.forget([1], whole_users=True)
    expected = ae.forget(model, [1], data=data, whole_users=True).model
    assert same(dict(session.publish().state), dict(expected.state))


def test_the_command_line(run: Run, world: Any, tmp_path: Any) -> None:
    """Trained, forgotten, verified, refused where numbers are the old ones, listed and measured."""
    options = "--model ncf --factors 4 --epochs 2"
    document(run, f"train {{w}}/data.csv {options} --out old")
    answer = document(
        run, "forget old {w}/forget.csv --data {w}/data.csv --out new --remaining rest.csv"
    )
    assert (answer["class"], answer["interactions_forgotten"]) == ("A", 30)
    assert document(run, "verify new --data rest.csv --before old")["apart"] == 0.0
    document(run, f"train rest.csv {options} --out again")
    agreed = document(run, "compare new again --data rest.csv")
    assert (agreed["score_distance"], agreed["model_distance"]) == (0.0, 0.0)
    lists = document(run, "recommend new --all --data rest.csv -k 5")["recommendations"]
    had = {(row["user_id"], row["item_id"]) for row in pacsv.read_csv("rest.csv").to_pylist()}
    for one in lists:
        assert not any((one["user_id"], item["item_id"]) in had for item in one["items"])
    _with_tensors(tmp_path / "new", load_file(tmp_path / "old" / "model.safetensors"))
    assert document(run, "verify new --data rest.csv", 8)["class"] == "D"
