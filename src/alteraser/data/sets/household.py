"""A made-up household service that streams videos and sells things, with stories worth forgetting.

Nothing is downloaded and nothing is licensed: everything follows from the seed. The data has what
real interactions have and recommenders need: few items with most of the clicks, few accounts with
most of the activity, and tastes that hang together (who buys baby care watches toddler cartoons),
down to the shelves inside a category. Three stories are written into it, each with the interactions
to forget.

>>> data = generate_household(seed=0, users=200, items=300)
>>> data.interactions.column_names
['user_id', 'item_id', 'timestamp']
>>> [story.name for story in data.stories]
['child', 'gifts', 'ring']
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from alteraser.data.sets._names import CATEGORIES, LEANINGS, title
from alteraser.errors import InvalidInput, OutputExists

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

YEAR = 2025
HOUR, DAY = 3_600, 86_400  # seconds
SHELVES = 4  # per category
LEAST_ACTIVITY = 12  # interactions of the quietest account, where the catalog allows it

CHILD_CATEGORY = "Gaming videos"
GIFT_CATEGORIES = ("Building toys", "Perfume", "Jewelry", "Headphones", "Board games")
PARENT_TASTES = {
    "Cooking shows": 0.30,
    "Nature documentaries": 0.25,
    "Garden tools": 0.25,
    "Kitchen": 0.12,
    "Period dramas": 0.08,
}
GIVER_TASTES = {"Crime series": 0.40, "Running gear": 0.35, "Sports highlights": 0.25}


@dataclass(frozen=True)
class Story:
    """Something that happened on some accounts, and what should be forgotten because of it."""

    name: str  # short, for file names and options
    title: str
    text: str  # two or three sentences for a reader who knows nothing yet
    users: tuple[str, ...]  # the accounts concerned; the text is about the first
    forget: pa.Table  # user_id, item_id


@dataclass(frozen=True)
class HouseholdData:
    """The generated data: what a service would have logged, its catalog, and the stories in it."""

    interactions: pa.Table  # user_id, item_id, timestamp (UTC, epoch seconds), in order of time
    items: pa.Table  # item_id, title, category, department
    stories: tuple[Story, ...]

    def story(self, name: str) -> Story:
        """The story of that name; `InvalidInput` names the ones there are."""
        for story in self.stories:
            if story.name == name:
                return story
        known = ", ".join(story.name for story in self.stories)
        raise InvalidInput(f"no story is called {name!r}; there are {known}", story=name)

    def write(self, folder: str | Path) -> Path:
        """Write Parquet files and ``stories.json`` into a folder, new or without files of these
        names.
        """
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise OutputExists(f"{folder} is a file; give a folder to write into", path=str(folder))
        tables = {"interactions.parquet": self.interactions, "items.parquet": self.items}
        tables |= {f"forget-{story.name}.parquet": story.forget for story in self.stories}
        there = [name for name in (*tables, "stories.json") if (folder / name).exists()]
        if there:
            raise OutputExists(
                f"{folder} already holds {', '.join(there)}; nothing is overwritten, choose "
                "another folder",
                path=str(folder),
                files=there,
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            pq.write_table(table, folder / name)
        stories = [
            {
                "name": story.name,
                "title": story.title,
                "text": story.text,
                "users": list(story.users),
                "forget": f"forget-{story.name}.parquet",
                "interactions": story.forget.num_rows,
            }
            for story in self.stories
        ]
        (folder / "stories.json").write_text(json.dumps(stories, indent=2) + "\n", encoding="utf-8")
        return folder


def generate_household(
    seed: int = 0, users: int = 2000, items: int = 1500, interactions_per_user: float | None = None
) -> HouseholdData:
    """Generate a household service's year.

    Args:
        seed: everything follows from it; equal arguments give equal bytes.
        users: accounts in all, at least 100. The stories' accounts are among them.
        items: catalog size, at least 200.
        interactions_per_user: mean activity aimed at, stories apart; between 15 and a tenth of
            ``items``, and 60 (or the tenth, if that is less) when not given.

    Raises:
        InvalidInput: an argument outside these bounds.
    """
    _check_arguments(seed, users, items, interactions_per_user)
    per_user = min(60.0, items / 10) if interactions_per_user is None else interactions_per_user
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)]
    catalog = _Catalog(items, rngs[0])
    cast = _Cast(users, rngs[1])

    user, item = _everyday_interactions(catalog, cast, per_user, rngs[2])
    time = _everyday_times(len(user), rngs[2])
    clicks = np.bincount(item, minlength=items)
    plots = [
        _child(catalog, cast, rngs[3]),
        _gifts(catalog, cast, rngs[3]),
        _ring(catalog, cast, clicks, rngs[3]),
    ]

    user = np.concatenate([user, *(plot.user for plot in plots)])
    item = np.concatenate([item, *(plot.item for plot in plots)])
    time = np.concatenate([time, *(plot.time for plot in plots)])
    order = np.lexsort((item, user, time))
    user_ids = pa.array([f"acct-{u:05d}" for u in range(users)])
    table = _pairs(user_ids, user[order], catalog.ids, item[order])
    return HouseholdData(
        interactions=table.append_column("timestamp", pa.array(time[order], pa.int64())),
        items=catalog.table(),
        stories=tuple(plot.told(user_ids, catalog.ids) for plot in plots),
    )


def _check_arguments(seed: Any, users: Any, items: Any, interactions_per_user: Any) -> None:
    for name, value, least in (("seed", seed, 0), ("users", users, 100), ("items", items, 200)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise InvalidInput(f"{name} must be a whole number, not {value!r}", argument=name)
        if value < least:
            raise InvalidInput(f"{name} is {value}; it must be at least {least}", argument=name)
    if interactions_per_user is None:
        return
    number = isinstance(interactions_per_user, int | float | np.number)
    if not number or not 15 <= interactions_per_user <= items / 10:
        raise InvalidInput(
            f"interactions_per_user is {interactions_per_user!r}; with {items} items it must lie "
            f"between 15 and {items / 10:g}",
            argument="interactions_per_user",
        )


# --- the catalog and the accounts -----------------------------------------------------------------


class _Catalog:
    """Items, their shelves, and how popular each is on its shelf.

    A shelf's items are numbered from most to least popular; ``members[start[s]:start[s + 1]]`` are
    the items of shelf s in that order, and ``cumulative`` runs over ``members`` from s to s + 1
    within shelf s.
    """

    def __init__(self, items: int, rng: np.random.Generator) -> None:
        share = np.repeat([category.share for category in CATEGORIES], SHELVES)
        share = share * rng.uniform(0.7, 1.3, len(share))
        size = _apportion(items, share)
        self.start: Ints = np.concatenate([[0], np.cumsum(size)])
        shelf = np.repeat(np.arange(len(size)), size)
        rank = np.arange(items) - self.start[shelf]

        # Zipf–Mandelbrot along the shelf; the offset keeps the first item from taking everything.
        weight = 1.0 / (rank + 2.0) ** 1.7 * rng.uniform(0.8, 1.25, items)
        total = np.add.reduceat(weight, self.start[:-1])
        self.weight: Floats = weight / total[shelf]
        ends = np.cumsum(self.weight)
        self.cumulative: Floats = ends - np.concatenate([[0.0], ends])[self.start[shelf]] + shelf
        self.shelf_popularity: Floats = share * rng.gamma(2.0, 0.5, len(share))
        self.shelf_popularity /= self.shelf_popularity.sum()

        self.members: Ints = rng.permutation(items)
        self.shelf_of: Ints = np.empty(items, np.int64)
        self.shelf_of[self.members] = shelf
        number = np.empty(items, np.int64)
        # Which title an item gets has nothing to do with its popularity.
        number[self.members] = rank[np.lexsort((rng.random(items), shelf))]
        category_of = (self.shelf_of // SHELVES).tolist()
        self.categories = [CATEGORIES[c] for c in category_of]
        self.titles = [
            title(CATEGORIES[c], s % SHELVES, n)
            for c, s, n in zip(category_of, self.shelf_of.tolist(), number.tolist(), strict=True)
        ]
        prefix = {"video": "vid", "shop": "shop"}
        self.ids = pa.array(
            [f"{prefix[c.department]}-{i:05d}" for i, c in enumerate(self.categories)]
        )

    def table(self) -> pa.Table:
        """The items as a reader of the data sees them."""
        return pa.table(
            {
                "item_id": self.ids,
                "title": self.titles,
                "category": [category.name for category in self.categories],
                "department": [category.department for category in self.categories],
            }
        )

    def of(self, category: str) -> tuple[Ints, Floats]:
        """A category's items, and their shares of its popularity."""
        c = _category(category)
        inside = slice(self.start[c * SHELVES], self.start[(c + 1) * SHELVES])
        items = self.members[inside]
        weight = self.weight[inside] * self.shelf_popularity[self.shelf_of[items]]
        return items, weight / weight.sum()


class _Cast:
    """Who plays in which story, drawn from all accounts without overlap."""

    def __init__(self, users: int, rng: np.random.Generator) -> None:
        self.users = users
        few = users // 20
        sizes = [min(25, few), min(25, few), min(40, few)]
        drawn = rng.choice(users, sum(sizes), replace=False)
        self.parents, self.givers, self.ring = np.split(drawn, np.cumsum(sizes)[:-1])
        self.gift_categories = _take_some(len(self.givers), len(GIFT_CATEGORIES), 3, rng)
        self.gift_categories[0] = [0, 1, 2]


def _everyday_tastes(
    catalog: _Catalog, cast: _Cast, first: int, last: int, rng: np.random.Generator
) -> Floats:
    """Shares of the shelves in what accounts ``first`` to ``last`` choose; one row per account."""
    loadings = np.array(
        [[category.leanings.get(name, 0.02) for name in LEANINGS] for category in CATEGORIES]
    )
    rows = last - first
    # one or two leanings make the household
    leaning = rng.standard_gamma(0.25, (rows, len(LEANINGS)))
    leaning /= leaning.sum(axis=1, keepdims=True) + 1e-12
    taste = (leaning @ loadings.T) ** 2.0 * rng.standard_gamma(0.5, (rows, len(CATEGORIES)))
    told = ((cast.parents[0], PARENT_TASTES), (cast.givers[0], GIVER_TASTES))
    for account, tastes in told:
        if first <= account < last:
            taste[account - first] = [tastes.get(category.name, 0.0) for category in CATEGORIES]
    taste /= taste.sum(axis=1, keepdims=True) + 1e-12

    within = rng.standard_gamma(0.25, (rows, len(CATEGORIES), SHELVES))  # and one or two shelves
    for account, _ in told:
        if first <= account < last:
            within[account - first] = 1.0
    within /= within.sum(axis=2, keepdims=True) + 1e-12
    shares: Floats = (0.92 * taste[:, :, None] * within).reshape(
        rows, -1
    ) + 0.08 * catalog.shelf_popularity

    by_category = shares.reshape(rows, len(CATEGORIES), SHELVES)
    for account in cast.parents[(cast.parents >= first) & (cast.parents < last)]:
        by_category[account - first, _category(CHILD_CATEGORY)] = 0.0
    for account, chosen in zip(cast.givers, cast.gift_categories, strict=True):
        if first <= account < last:
            by_category[account - first, [_category(GIFT_CATEGORIES[g]) for g in chosen]] = 0.0
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def _everyday_interactions(
    catalog: _Catalog, cast: _Cast, per_user: float, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """What the accounts choose for themselves, in no particular order. The ring's accounts choose
    nothing.
    """
    items = len(catalog.members)
    spread = 1.1  # of the logarithm of the activity
    activity = rng.lognormal(np.log(per_user - LEAST_ACTIVITY) - spread**2 / 2, spread, cast.users)
    wanted = (LEAST_ACTIVITY + np.minimum(activity, items // 4)).astype(np.int64)
    wanted[cast.parents] = np.maximum(wanted[cast.parents], min(40, items // 12))
    wanted[cast.parents[0]] = min(110, items // 10)
    wanted[cast.givers[0]] = min(70, items // 10)
    wanted[cast.ring] = 0

    chunk = 10_000  # accounts whose tastes are held at once
    parts = []
    for first in range(0, cast.users, chunk):
        last = min(first + chunk, cast.users)
        tastes = _everyday_tastes(catalog, cast, first, last, rng)
        parts.append(_choose(catalog, tastes, wanted[first:last], rng) + first * items)
    key = np.concatenate(parts)
    return key // items, key % items


def _choose(catalog: _Catalog, tastes: Floats, wanted: Ints, rng: np.random.Generator) -> Ints:
    """Distinct items for each account, as keys account · items + item.

    Shelf by taste, item by popularity on the shelf, again and again; repetitions do not count. An
    account whose shelves are nearly exhausted after five rounds keeps what it has.
    """
    items, shelves = len(catalog.members), tastes.shape[1]
    ends = np.minimum(np.cumsum(tastes, axis=1), 1.0)
    ends[:, -1] = 1.0
    ends += np.arange(len(tastes))[:, None]
    ends = ends.ravel()
    done: list[Ints] = []
    keys: Ints = np.empty(0, np.int64)
    missing = wanted
    for _ in range(5):
        user = np.repeat(np.arange(len(tastes)), missing + missing // 2 + (missing > 0))
        cell = np.searchsorted(ends, user + rng.random(len(user)), side="right")
        shelf = np.minimum(cell, user * shelves + shelves - 1) - user * shelves
        place = np.searchsorted(catalog.cumulative, shelf + rng.random(len(user)), side="right")
        place = np.clip(place, catalog.start[shelf], catalog.start[shelf + 1] - 1)
        keys = _first_of_each(
            np.concatenate([keys, user * items + catalog.members[place]]), items, wanted
        )
        missing = np.where(
            missing > 0, wanted - np.bincount(keys // items, minlength=len(wanted)), 0
        )
        full = missing[keys // items] == 0
        done.append(keys[full])
        keys = keys[~full]
        if not missing.any():
            break
    return np.concatenate([*done, keys])


def _first_of_each(keys: Ints, items: int, wanted: Ints) -> Ints:
    """The keys without repetitions, in the order drawn, at most ``wanted`` per account."""
    _, first = np.unique(keys, return_index=True)
    keys = keys[np.sort(first)]
    user = keys // items
    order = np.argsort(user, kind="stable")
    user = user[order]
    count = np.bincount(user, minlength=len(wanted))
    place = np.arange(len(user)) - (np.cumsum(count) - count)[user]
    return keys[order[place < wanted[user]]]


def _everyday_times(count: int, rng: np.random.Generator) -> Ints:
    """Any day of the year, mostly in the evening."""
    by_hour = np.array(
        [2, 1, 1, 1, 1, 2, 4, 6, 6, 5, 5, 5, 6, 6, 5, 5, 6, 8, 11, 14, 15, 13, 9, 5], float
    )
    hour = rng.choice(24, count, p=by_hour / by_hour.sum())
    day = rng.integers(0, 365, count)
    times: Ints = _epoch(1, 1) + day * DAY + hour * HOUR + rng.integers(0, HOUR, count)
    return times


# --- the stories ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plot:
    """A story before accounts and items have their ids; ``text`` names the first account as
    {account}.
    """

    name: str
    title: str
    text: str
    accounts: Ints
    user: Ints
    item: Ints
    time: Ints

    def told(self, user_ids: pa.Array, item_ids: pa.Array) -> Story:
        order = np.lexsort((self.item, self.time, self.user))
        users = tuple(user_ids.take(pa.array(self.accounts)).to_pylist())
        forget = _pairs(user_ids, self.user[order], item_ids, self.item[order])
        return Story(self.name, self.title, self.text.format(account=users[0]), users, forget)


def _child(catalog: _Catalog, cast: _Cast, rng: np.random.Generator) -> _Plot:
    items, weight = catalog.of(CHILD_CATEGORY)
    most = min(60, len(items) // 2)
    counts = rng.integers(most - most // 6, most + 1, len(cast.parents))
    counts[0] = most
    chosen = [_weighted_sample(items, weight, count, rng) for count in counts]
    user = np.repeat(cast.parents, counts)
    day, second = rng.integers(0, 31, len(user)), rng.integers(12 * HOUR, 19 * HOUR, len(user))
    others = len(cast.parents) - 1
    return _Plot(
        "child",
        "A child's month on a parent's account",
        "In July, school was out and {account}'s child watched "
        f"{counts[0]} gaming videos on the family tablet. The parent cooks, gardens, and watches "
        "nature documentaries; since then the recommendations are about gaming. "
        f"The parent, and {others} other accounts with a month like it, ask that it be forgotten.",
        cast.parents,
        user,
        np.concatenate(chosen),
        _epoch(7, 1) + day * DAY + second,
    )


def _gifts(catalog: _Catalog, cast: _Cast, rng: np.random.Generator) -> _Plot:
    user, item = [], []
    for account, chosen in zip(cast.givers, cast.gift_categories, strict=True):
        for gift in chosen:
            items, weight = catalog.of(GIFT_CATEGORIES[gift])
            count = min(int(rng.integers(4, 8)), len(items))
            item.append(_weighted_sample(items, weight, count, rng))
            user.append(np.full(count, account))
    users = np.concatenate(user)
    day, second = rng.integers(0, 23, len(users)), rng.integers(17 * HOUR, 23 * HOUR, len(users))
    presents = int(np.count_nonzero(users == cast.givers[0]))
    named = " and ".join(
        ", ".join(GIFT_CATEGORIES[g].lower() for g in part)
        for part in (cast.gift_categories[0][:-1], cast.gift_categories[0][-1:])
    )
    return _Plot(
        "gifts",
        "Presents for other people",
        "{account} likes crime series and running. "
        f"In December the account looked through {presents} presents for others: {named}. "
        f"None of it says anything about the account's own taste, nor on {len(cast.givers) - 1} "
        "further accounts that went shopping for presents.",
        cast.givers,
        users,
        np.concatenate(item),
        _epoch(12, 1) + day * DAY + second,
    )


def _ring(catalog: _Catalog, cast: _Cast, clicks: Ints, rng: np.random.Generator) -> _Plot:
    """Everybody clicks on the same obscure items of the shop, and on popular ones so as to look
    normal.
    """
    in_shop = np.array([category.department == "shop" for category in catalog.categories])
    obscure = np.argsort(np.where(in_shop, clicks, clicks.max() + 1), kind="stable")[:30]
    targets = rng.choice(obscure, 15, replace=False)
    popular = np.argsort(-clicks, kind="stable")[: len(clicks) // 10]
    user, item = [], []
    for account in cast.ring:
        cover = _weighted_sample(popular, clicks[popular], int(rng.integers(10, 19)), rng)
        clicked = np.union1d(targets, cover)
        item.append(rng.permutation(clicked))
        user.append(np.full(len(clicked), account))
    users = np.concatenate(user)
    time = _epoch(10, 14) + rng.integers(1 * HOUR, 5 * HOUR, len(users))
    return _Plot(
        "ring",
        "A ring of fake accounts",
        f"One night in October, {len(cast.ring)} accounts that nobody lives behind, {{account}} "
        "among them, clicked on the same 15 obscure items, to have the shop recommend them, and "
        "on a few popular ones so as not to stand out. Everything these accounts did is to be "
        "forgotten.",
        cast.ring,
        users,
        np.concatenate(item),
        time,
    )


# --- small helpers --------------------------------------------------------------------------------


def _category(name: str) -> int:
    return next(c for c, category in enumerate(CATEGORIES) if category.name == name)


def _apportion(total: int, share: Floats) -> Ints:
    """Whole numbers that sum to ``total``, at least 1 each, in proportion to ``share``."""
    exact = (total - len(share)) * share / share.sum()
    size: Ints = exact.astype(np.int64)
    size[np.argsort(size - exact, kind="stable")[: total - len(share) - size.sum()]] += 1
    size += 1
    return size


def _take_some(rows: int, choices: int, some: int, rng: np.random.Generator) -> Ints:
    """In each row ``some`` different ones of ``range(choices)``, in ascending order."""
    taken: Ints = np.sort(np.argsort(rng.random((rows, choices)), axis=1)[:, :some], axis=1)
    return taken


def _weighted_sample(
    items: Ints, weight: Floats | Ints, count: int, rng: np.random.Generator
) -> Ints:
    """``count`` different items by weight, without replacement (Efraimidis and Spirakis 2006)."""
    sample: Ints = items[
        np.argsort(rng.standard_exponential(len(items)) / weight, kind="stable")[:count]
    ]
    return sample


def _epoch(month: int, day: int) -> int:
    return int(datetime(YEAR, month, day, tzinfo=UTC).timestamp())


def _pairs(user_ids: pa.Array, user: Ints, item_ids: pa.Array, item: Ints) -> pa.Table:
    columns: Sequence[pa.Array] = (user_ids.take(pa.array(user)), item_ids.take(pa.array(item)))
    return pa.table(list(columns), names=["user_id", "item_id"])
