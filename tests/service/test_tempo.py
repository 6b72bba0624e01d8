"""When batches begin: nothing late, and no dearer than it has to be."""

from __future__ import annotations

import random
from datetime import UTC, datetime, time, timedelta
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.errors import InvalidInput
from alteraser.service import tempo
from alteraser.service.tempo import MARGIN, SAFETY, Cost, Hours, Tempo

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
MOST = 2_000


def simulated(
    sent: list[tuple[datetime, datetime]], when: Tempo, cost: Cost, took
) -> tuple[list[datetime], list[tuple[datetime, int]]]:
    """(when each request of (sent, due) was done, (begin, size) of each batch), by a clock that
    jumps to what happens next."""
    todo, queue, done, now, batches = sorted(sent), [], {}, BEGIN, []
    while todo or queue:
        while todo and todo[0][0] <= now:
            queue.append(todo.pop(0))
        if not queue:
            now = todo[0][0]
            continue
        start = when.start(now, len(queue), min(due for _, due in queue), cost, MOST)
        if start > now:
            now = min(start, todo[0][0]) if todo else start
            continue
        taken, queue = queue[:MOST], queue[MOST:]
        batches.append((now, len(taken)))
        now += timedelta(seconds=took(len(taken)))
        done |= {each: now for each in taken}
    return [done[each] for each in sorted(sent)], batches


def month(count: int, draw: random.Random) -> list[tuple[datetime, datetime]]:
    """Requests through a month; a tenth is due earlier than in thirty days."""
    found = set()
    while len(found) < count:
        at = BEGIN + timedelta(seconds=draw.uniform(0, 30 * 86_400))
        days = draw.uniform(1, 10) if draw.random() < 0.1 else 30
        found.add((at, at + timedelta(days=days)))
    return sorted(found)


@pytest.mark.parametrize("hours", [None, "22:00-06:00", "03:00-04:00"])
@pytest.mark.parametrize("wait", [False, True])
def test_a_month_of_ten_thousand_requests(wait: bool, hours: str | None) -> None:
    draw = random.Random(0)
    sent = month(10_000, draw)
    cost, when = Cost(120.0, 0.5, 30.0), Tempo(wait, hours and Hours.read(hours))
    noise = random.Random(1)
    done, batches = simulated(sent, when, cost, lambda n: cost.of(n) * noise.uniform(0.7, 1.3))
    assert all(at <= due for at, (_, due) in zip(done, sent, strict=True)), "none late"
    assert sum(size for _, size in batches) == 10_000
    if hours and not wait:
        within = [when.hours.has(at) for at, _ in batches]
        assert sum(within) / len(within) > 0.9
    if wait:
        each = sum(cost.of(size) for _, size in batches)
        alone = sum(cost.of(1) for _ in sent)
        assert each < alone / 50


@given(st.integers(0, 10_000), st.integers(1, 9))
def test_as_cheap_as_the_best_batching(seed: int, count: int) -> None:
    """Against every set of beginnings that keeps the same margin before each due date: where the
    cost is one of the batch and one of each request, the fewest batches."""
    draw = random.Random(seed)
    sent, cost = month(count, draw), Cost(60.0, 1.0)
    kept = timedelta(seconds=SAFETY * cost.of(count)) + MARGIN
    latest = sorted(due - kept for _, due in sent)
    best = next(
        size
        for size in range(1, count + 1)
        for starts in combinations(latest, size)
        if all(any(at <= start <= due - kept for start in starts) for at, due in sent)
    )
    _, batches = simulated(sent, Tempo(wait=True), cost, cost.of)
    assert len(batches) * 60.0 + count <= 1.2 * (best * 60.0 + count)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 3, 1)), st.booleans(), st.data())
def test_hours_are_a_part_of_every_day(at: datetime, wait: bool, data: st.DataObject) -> None:
    minutes = st.integers(0, 1439).map(lambda m: time(m // 60, m % 60))
    begin, end = data.draw(st.tuples(minutes, minutes).filter(lambda each: each[0] != each[1]))
    hours, at = Hours(begin, end), at.replace(tzinfo=UTC)
    assert Hours.read(str(hours)) == hours
    following, before = hours.next(at), hours.last(at)
    assert hours.has(following)
    assert hours.has(before)
    assert before <= at <= following < at + timedelta(days=1)
    assert at - before <= timedelta(days=1)
    if following > at:
        assert not hours.has(following - timedelta(seconds=1))
    due = at + timedelta(days=data.draw(st.floats(0, 5)))
    start = Tempo(wait, hours).start(at, 1, due, Cost(), MOST)
    latest = due - SAFETY * timedelta(seconds=60) - MARGIN
    assert start <= max(latest, at), "no due date is missed for them"


@pytest.mark.parametrize("text", ["", "22-6", "25:00-01:00", "10:00-10:00", "22:00-06:00 "])
def test_hours_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="such as 22:00-06:00"):
        Hours.read(text)


def test_the_cost_is_that_of_past_batches() -> None:
    found = Cost.fitted([1, 10, 100], [61.0, 70.0, 160.0])
    assert (found.fixed, found.each, found.batches) == (60.0, 1.0, 3)
    assert found.error == pytest.approx(0, abs=1e-6)
    assert Cost.fitted([5], [10.0]).of(5) == 10.0
    assert Cost.fitted([1, 100], [90.0, 10.0]).each == 0.0
    assert Cost.fitted([], []).batches == 0


def test_the_worker_waits_until_a_due_date_is_near(service) -> None:
    opened = service()
    clock = [opened.state.clock()]
    opened.state.clock = lambda: clock[0]
    opened.worker.tempo = Tempo(wait=True)
    first = opened.send({"users": [7_305_118_246_091_000_005]})
    clock[0] += timedelta(days=20)
    second = opened.send({"users": [7_305_118_246_091_000_006]})
    opened.work()
    assert opened.shown(first)["status"] == "queued"
    clock[0] += timedelta(days=10) - timedelta(minutes=30)
    opened.work()
    assert {opened.shown(each)["status"] for each in (first, second)} == {"completed"}
    assert opened.shown(first)["batch"] == opened.shown(second)["batch"] == 1
    assert opened.shown(first)["changed"] <= opened.shown(first)["due"]
    with opened.state.database.reading() as connection:
        assert tempo.cost(connection).batches == 1
