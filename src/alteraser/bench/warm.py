"""Exact kinds in a warm process, on generated data: one person forgotten, while people grow and
items do not.

CPU time. A request takes one person out of the counts; ``publish`` forms lists, hashes the data,
and is what a model to save costs, whatever was asked before it.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
import typer

from alteraser import Interactions
from alteraser.bench.common import table, words
from alteraser.data.events import Events, Groups
from alteraser.data.grouping import Grouping
from alteraser.data.ids import IdMap
from alteraser.engines.session import EventSession, ExactSession
from alteraser.models.closed_form.popularity import Popularity
from alteraser.models.neighbors.cooccurrence import Cooccurrence
from alteraser.models.neighbors.item_knn import ItemKNN
from alteraser.models.neighbors.user_knn import UserKNN
from alteraser.models.sessions.tifu_knn import TIFUKNN
from alteraser.models.sessions.top_frequency import TopFrequency
from alteraser.models.sessions.vs_knn import VSKNN

ITEMS, MEAN, FIRST = 2_000, 60, 20
"""Items, about how many a person has, and requests before those that are timed"""
KINDS: dict[str, Any] = {
    "popularity": Popularity(),
    "popularity-half-life": Popularity(half_life=30.0),
    "item-knn": ItemKNN(),
    "user-knn": UserKNN(similarity="bm25"),
    "cooccurrence": Cooccurrence(),
}

OF_EVENTS: dict[str, Any] = {
    "vs-knn": VSKNN(),
    "tifu-knn": TIFUKNN(),
    "top-frequency": TopFrequency(),
}
NAMES = *KINDS, *OF_EVENTS
MONTH = 30 * 86_400
"""What is one session or basket of somebody, in seconds"""


def warm(
    users: Annotated[
        list[int] | None, typer.Option("--users", min=100, help="How many people; may be repeated.")
    ] = None,
    requests: Annotated[
        int, typer.Option("--requests", min=1, help="People forgotten, one by one.")
    ] = 200,
    only: Annotated[
        str | None, typer.Option("--only", help=f"Kinds, with commas: {', '.join(NAMES)}.")
    ] = None,
) -> int:
    """What one person costs an exact kind in a warm process, at sizes apart.

    Example: alteraser bench warm --users 3000 --users 300000
    """
    kinds = NAMES if only is None else words(only, "--only", NAMES)
    for count in users or [3_000, 30_000]:
        data = generated(count)
        print(f"### {count:,} people, {ITEMS:,} items, {len(data):,} interactions\n")
        rows = [_measured(name, KINDS[name], data, requests) for name in kinds if name in KINDS]
        if OF_EVENTS.keys() & set(kinds):
            happened = with_events(data)
            rows += [
                _measured(name, OF_EVENTS[name], happened, requests)
                for name in kinds
                if name in OF_EVENTS
            ]
        table(["kind", "fit, s", "open, s", "one person p50, ms", "p99, ms", "publish, s"], rows)
    return 0


def generated(users: int, seed: int = 0) -> Interactions:
    """Popular items and active people, log-normal; times over a year."""
    rng = np.random.default_rng(seed)
    weight = np.cumsum(1.0 / np.arange(1, ITEMS + 1) ** 0.7)
    counts = np.clip(rng.lognormal(np.log(MEAN) - 0.3, 0.8, users), 2, ITEMS // 4).astype(np.int64)
    people = np.repeat(np.arange(users), counts)
    items = np.minimum(np.searchsorted(weight / weight[-1], rng.random(people.size)), ITEMS - 1)
    keys = np.unique(people * ITEMS + items)
    names, goods = (IdMap.build(np.arange(size))[0] for size in (users, ITEMS))
    times = rng.integers(0, 365 * 86_400, keys.size) + 10**9
    indptr = np.searchsorted(keys, np.arange(users + 1) * ITEMS).astype(np.int64)
    return Interactions(names, goods, indptr, (keys % ITEMS).astype(np.int32), timestamp=times)


def with_events(data: Interactions) -> Interactions:
    """The same as events, every fifth of them once more ten days later, in sessions or baskets of a
    month.
    """
    users, items, times = data.user_rows, data.indices.astype(np.int64), data.timestamp
    assert times is not None
    users, items = (np.concatenate([rows, rows[::5]]) for rows in (users, items))
    times = np.concatenate([times, times[::5] + 10 * 86_400])
    months, rows = IdMap.build(times // MONTH)
    events = Events.assemble(users, items, Grouping(), groups=Groups(months, rows), time=times)
    return Interactions.of_events(data.users, data.items, events)


def _measured(name: str, kind: Any, data: Interactions, requests: int) -> list[str]:
    spent: dict[str, float] = {}

    def timed(what: str, call: Any) -> Any:
        began = time.process_time()
        found = call()
        spent[what] = time.process_time() - began
        return found

    model = timed("fit", lambda: kind.fit(data))
    opened: Any = ExactSession if data.events is None else EventSession
    session = timed("open", lambda: opened(model, data))
    who = np.random.default_rng(1).choice(data.shape[0], FIRST + requests, replace=False).tolist()
    each = []
    for user in who:
        began = time.process_time()
        session.forget([user], whole_users=True)
        each.append(1e3 * (time.process_time() - began))
    timed("publish", session.publish)
    p50, p99 = np.quantile(each[FIRST:], [0.5, 0.99])
    return [
        name,
        f"{spent['fit']:.2f}",
        f"{spent['open']:.2f}",
        f"{p50:.2f}",
        f"{p99:.2f}",
        f"{spent['publish']:.2f}",
    ]
