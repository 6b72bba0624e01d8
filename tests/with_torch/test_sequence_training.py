"""What sequence models are trained on and how, by second routes: loops, autograd and torch's own
AdamW."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from test_sequence_models import KINDS, READINGS, rows  # noqa: E402

from alteraser.data.interactions import Interactions  # noqa: E402
from alteraser.errors import NumericFailure  # noqa: E402
from alteraser.models.networks import next_item, training  # noqa: E402
from alteraser.models.networks.order import Present, batches, bits  # noqa: E402
from alteraser.models.networks.windows import Windows  # noqa: E402

pytestmark = pytest.mark.torch


def present(data: Interactions) -> Present:
    return Present.of(data.items, data.item_counts)


def windows_of(data: Interactions, length: int = 3) -> Windows:
    assert data.events is not None
    return Windows.of(data, data.events, present(data), length)


def sessions_of(data: Interactions) -> list[list[int]]:
    events = data.events
    assert events is not None
    places = present(data).places()
    return [list(places[part]) for part in np.split(events.items, events.indptr[1:-1])]


@settings(max_examples=60)
@given(
    options=st.sampled_from(READINGS),
    size=st.integers(1, 60),
    seed=st.integers(0, 999),
    length=st.integers(1, 5),
)
def test_every_step_of_a_session_is_in_one_window(
    options: dict[str, Any], size: int, seed: int, length: int
) -> None:
    """Each pair of neighbors once, with no more before it than ``length``; nothing across
    sessions."""
    data = Interactions.read(rows(size, seed), **options)
    found = windows_of(data, length)
    items, following = found.padded(np.arange(len(found)))
    pairs = sorted(zip(items[items >= 0], following[following >= 0], strict=True))
    expected = sorted(step for one in sessions_of(data) for step in pairwise(one))
    assert pairs == expected
    assert np.array_equal(items >= 0, following >= 0)
    assert items.shape[1] <= length
    inner = items[:, 1:] >= 0
    assert np.array_equal(following[:, :-1][inner], items[:, 1:][inner])


@settings(max_examples=40)
@given(seed=st.integers(0, 999), number=st.integers(0, 5), batch=st.integers(1, 6))
def test_batches_hold_every_window_once(seed: int, number: int, batch: int) -> None:
    found = windows_of(Interactions.read(rows(80, seed), session_column="group"))
    order = list(batches(found.keys, batch, seed=seed, number=number))
    assert len(order) == 1 << bits(len(found), batch)
    assert sorted(np.concatenate(order)) == list(range(len(found)))
    assert len(found) / len(order) >= min(batch, len(found))


@settings(max_examples=40)
@given(seed=st.integers(0, 999), user=st.integers(0, 4), number=st.integers(0, 3))
def test_who_goes_leaves_the_batches_of_others_as_they_were(
    seed: int, user: int, number: int
) -> None:
    """The order of a pass without somebody is that with them, less their windows; unless the
    number of batches is another."""
    options = {"session_column": "group"}
    table = rows(80, seed)
    whole = Interactions.read(table, **options)
    rest = whole.remove([user], whole_users=True).remaining
    first, second = windows_of(whole), windows_of(rest)
    if bits(len(first), 4) != bits(len(second), 4):
        return
    for one, other in zip(
        batches(first.keys, 4, seed=7, number=number),
        batches(second.keys, 4, seed=7, number=number),
        strict=True,
    ):
        stay = [key for key in first.keys[one] if key in set(second.keys)]
        assert stay == list(second.keys[other])


def test_ids_as_text_and_rows_in_another_order_train_the_same() -> None:
    """Everything is a function of what is in the data, not of where it is."""
    table = rows(60, 3)
    text = table.set_column(1, "item_id", table["item_id"].cast(pa.string()))
    shuffled = table.take(np.random.default_rng(0).permutation(60))
    options = {"session_column": "group", "timestamp_column": "timestamp"}
    for kind in KINDS:
        states = [
            kind.state(Interactions.read(one, **(options | {"position_column": "place"})))
            for one in (table, text, shuffled)
        ]
        for name, array in states[0].items():
            assert np.array_equal(array, states[1][name])
            if name != "items":
                assert array.dtype == np.dtype(kind.dtype)
            assert np.array_equal(array, states[2][name])


@pytest.mark.parametrize("cells", [1, 20, 1 << 22])
def test_softmax_is_what_autograd_says(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_item, "CELLS", cells)
    generator = torch.Generator().manual_seed(0)
    hidden, table = (
        torch.randn(size, 3, generator=generator, dtype=torch.float64, requires_grad=True)
        for size in (11, 7)
    )
    wanted = torch.randint(0, 7, (11,), generator=generator)
    expected = torch.nn.functional.cross_entropy(hidden @ table.T, wanted)
    expected.backward()
    loss, slope, gradient = next_item.softmax(hidden.detach(), table.detach(), wanted)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-12)
    assert torch.allclose(slope, hidden.grad, rtol=1e-11, atol=1e-14)
    assert torch.allclose(gradient, table.grad, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_place_sees_nothing_that_follows_it(kind: Any) -> None:
    """Nor what is behind the end of a shorter window beside it."""
    encoder = kind.encoder()
    items = Present(np.arange(9), np.arange(9, dtype=np.uint64) * 1000, 9)
    weights = training.started(encoder.shapes(), kind.course())
    weights |= {"items": training.rows(items, kind.course())}
    rng = np.random.default_rng(1)
    one = rng.integers(0, 9, (2, kind.length))
    other = one.copy()
    other[:, 2:] = (other[:, 2:] + 4) % 9
    first, second = (next_item.encoded(encoder, weights, each) for each in (one, other))
    assert torch.allclose(first[:, :2], second[:, :2], atol=1e-12)
    assert not torch.allclose(first[:, 2:], second[:, 2:], atol=1e-3)
    short = np.where(np.arange(kind.length) < 2, one, -1)
    assert torch.allclose(next_item.encoded(encoder, weights, short)[:, :2], first[:, :2])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_training_is_that_of_torch(kind: Any) -> None:
    """Cross-entropy through autograd, and AdamW of torch with a rate that falls, over the same
    batches."""
    kind = kind.model_copy(update={"dtype": "float64", "regularization": 0.05, "epochs": 3})
    data = Interactions.read(rows(90, 2), session_column="group")
    task = kind.task(data)
    encoder, course, found, begun = task.encoder, task.course, task.windows, task.start()
    weights = {name: value.clone().requires_grad_() for name, value in begun.items()}
    optimizer = torch.optim.AdamW(
        weights.values(), lr=course.learning_rate, weight_decay=course.decay
    )
    steps = course.epochs << bits(len(found), course.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step / steps)
    for number in range(course.epochs):
        for chosen in batches(found.keys, course.batch, seed=course.seed, number=number):
            assert chosen.size
            places, following = found.padded(chosen)
            logits = next_item.encoded(encoder, weights, places) @ weights["items"].T
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), torch.from_numpy(following).flatten(), ignore_index=-1
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    ours = training.trained(task)
    for name, value in weights.items():
        assert torch.allclose(ours[name], value.detach(), rtol=1e-8, atol=1e-10), name


def test_what_diverges_is_said() -> None:
    kind = KINDS[0].model_copy(update={"regularization": 1e30})
    with pytest.raises(NumericFailure, match="lower --learning-rate"):
        kind.state(Interactions.read(rows(60, 1), session_column="group"))
