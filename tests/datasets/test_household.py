"""The generated household: what a story promises, the data keeps."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alteraser.data.sets import household
from alteraser.data.sets._names import CATEGORIES, LEANINGS, title
from alteraser.data.sets.household import HouseholdData, Story, generate_household
from alteraser.errors import InvalidInput, OutputExists


@pytest.fixture(scope="module")
def data() -> HouseholdData:
    return generate_household(seed=0)


def pairs(table: pa.Table) -> list[tuple[str, str]]:
    return list(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))


def category_of(data: HouseholdData) -> dict[str, str]:
    return dict(
        zip(data.items["item_id"].to_pylist(), data.items["category"].to_pylist(), strict=True)
    )


def times(data: HouseholdData, story: Story) -> list[datetime]:
    """When the interactions of a story took place."""
    forgotten = set(pairs(story.forget))
    stamps = data.interactions["timestamp"].to_pylist()
    return [
        datetime.fromtimestamp(t, UTC)
        for pair, t in zip(pairs(data.interactions), stamps, strict=True)
        if pair in forgotten
    ]


def as_bytes(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_same_seed_same_bytes_other_seed_others(tmp_path):
    sizes = {"users": 150, "items": 300}
    first = generate_household(seed=5, **sizes).write(tmp_path / "first")
    again = generate_household(seed=5, **sizes).write(tmp_path / "again")
    other = generate_household(seed=6, **sizes).write(tmp_path / "other")
    assert as_bytes(first) == as_bytes(again)
    assert all(as_bytes(first)[name] != content for name, content in as_bytes(other).items())


def test_the_tables_have_the_promised_columns(data):
    text = pa.string()
    assert data.interactions.schema == pa.schema(
        {"user_id": text, "item_id": text, "timestamp": pa.int64()}.items()
    )
    assert data.items.schema == pa.schema(
        {"item_id": text, "title": text, "category": text, "department": text}.items()
    )


def test_no_interaction_occurs_twice(data):
    assert len(set(pairs(data.interactions))) == data.interactions.num_rows


def test_ids_belong_to_the_catalog(data):
    items = data.items["item_id"].to_pylist()
    assert len(set(items)) == len(items) == 1500
    assert set(data.interactions["item_id"].to_pylist()) <= set(items)
    for item, department in zip(items, data.items["department"].to_pylist(), strict=True):
        assert item.startswith({"video": "vid-", "shop": "shop-"}[department])


def test_titles_are_unique_even_in_a_large_catalog():
    titles = generate_household(users=100, items=20_000).items["title"].to_pylist()
    assert len(set(titles)) == len(titles)


def test_categories_are_well_formed():
    assert len(CATEGORIES) == 24
    assert len({category.name for category in CATEGORIES}) == 24
    for category in CATEGORIES:
        assert set(category.leanings) <= set(LEANINGS)
        assert len(category.shelves) == household.SHELVES
        combinations = len(category.heads) * len(category.shelves[0])
        assert len({title(category, 0, number) for number in range(combinations)}) == combinations


def test_order_and_year(data):
    stamps = data.interactions["timestamp"].to_numpy()
    assert (np.diff(stamps) >= 0).all()
    assert {datetime.fromtimestamp(int(t), UTC).year for t in (stamps[0], stamps[-1])} == {
        household.YEAR
    }


def test_few_items_have_most_of_the_clicks(data):
    counts = sorted(Counter(data.interactions["item_id"].to_pylist()).values(), reverse=True)
    assert sum(counts[:150]) > 0.3 * sum(counts)


def test_few_accounts_have_most_of_the_activity(data):
    counts = sorted(Counter(data.interactions["user_id"].to_pylist()).values())
    assert len(counts) == 2000
    assert counts[0] >= household.LEAST_ACTIVITY
    assert np.mean(counts) > 1.2 * np.median(counts)


def test_tastes_hang_together(data):
    """Toddler cartoons and baby care attract the same accounts; toddler cartoons and camping do
    not."""
    category = category_of(data)
    names = [c.name for c in CATEGORIES]
    users = {
        user: row for row, user in enumerate(sorted(set(data.interactions["user_id"].to_pylist())))
    }
    share = np.zeros((len(users), len(names)))
    for user, item in pairs(data.interactions):
        share[users[user], names.index(category[item])] += 1
    share /= share.sum(axis=1, keepdims=True)
    correlation = np.corrcoef(share.T)
    toddler, baby, camping = (names.index(n) for n in ("Toddler cartoons", "Baby care", "Camping"))
    assert correlation[toddler, baby] > 0.2 > correlation[toddler, camping]


@pytest.mark.parametrize("name", ["child", "gifts", "ring"])
def test_everything_to_forget_is_there(data, name):
    story = data.story(name)
    assert set(pairs(story.forget)) <= set(pairs(data.interactions))
    assert set(story.forget["user_id"].to_pylist()) == set(story.users)
    assert story.users[0] in story.text
    assert "{" not in story.text


def test_stories_share_no_account(data):
    users = [user for story in data.stories for user in story.users]
    assert len(set(users)) == len(users)


def test_the_childs_month_is_a_month_of_gaming_videos_on_accounts_without_any(data):
    story, category = data.story("child"), category_of(data)
    assert {category[item] for _, item in pairs(story.forget)} == {household.CHILD_CATEGORY}
    when = times(data, story)
    assert max(when) - min(when) < timedelta(days=31)
    assert len(story.users) == 25

    own = set(pairs(data.interactions)) - set(pairs(story.forget))
    kept = [(user, category[item]) for user, item in own if user in set(story.users)]
    assert household.CHILD_CATEGORY not in {name for _, name in kept}
    parent = Counter(name for user, name in kept if user == story.users[0])
    assert parent.total() >= 80
    assert sum(parent[name] for name in household.PARENT_TASTES) > 0.7 * parent.total()
    assert Counter(user for user, _ in pairs(story.forget))[story.users[0]] == 60


def test_gifts_are_december_purchases_without_any_taste_for_them(data):
    story, category = data.story("gifts"), category_of(data)
    assert {(t.year, t.month) for t in times(data, story)} == {(household.YEAR, 12)}
    given = {(user, category[item]) for user, item in pairs(story.forget)}
    own = set(pairs(data.interactions)) - set(pairs(story.forget))
    assert given.isdisjoint((user, category[item]) for user, item in own)


def test_the_ring_acts_in_one_night_on_the_same_items_and_does_nothing_else(data):
    story = data.story("ring")
    when = times(data, story)
    assert len(story.users) == 40
    assert max(when) - min(when) < timedelta(hours=5)
    clicks = Counter(item for _, item in pairs(story.forget))
    targets = {item for item, count in clicks.items() if count == len(story.users)}
    assert len(targets) >= 15
    everybody = Counter(data.interactions["item_id"].to_pylist())
    obscure = [everybody[item] - clicks[item] for item in targets]
    assert np.median(obscure) < 0.3 * np.median(list(everybody.values()))
    everything = [pair for pair in pairs(data.interactions) if pair[0] in set(story.users)]
    assert sorted(everything) == sorted(pairs(story.forget))


@pytest.mark.parametrize(
    "sizes", [(100, 200, 15), (100, 200, 20), (300, 400, 30), (500, 2000, 100)]
)
def test_sizes_follow_the_arguments(sizes):
    users, items, mean = sizes
    data = generate_household(users=users, items=items, interactions_per_user=mean)
    counts = Counter(data.interactions["user_id"].to_pylist())
    assert len(counts) == users
    assert data.items.num_rows == items
    assert 0.7 * mean < data.interactions.num_rows / users < 1.4 * mean
    assert len(set(pairs(data.interactions))) == data.interactions.num_rows
    assert all(story.forget.num_rows for story in data.stories)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"users": 99}, "users"),
        ({"items": 199}, "items"),
        ({"seed": -1}, "seed"),
        ({"users": 1e4}, "users"),
        ({"items": True}, "items"),
        ({"interactions_per_user": 14}, "interactions_per_user"),
        ({"interactions_per_user": 151}, "interactions_per_user"),
        ({"interactions_per_user": float("nan")}, "interactions_per_user"),
        ({"items": 300, "interactions_per_user": 31}, "interactions_per_user"),
        ({"interactions_per_user": "60"}, "interactions_per_user"),
    ],
)
def test_impossible_arguments_are_refused_by_name(arguments, named):
    with pytest.raises(InvalidInput, match=named):
        generate_household(**arguments)


def test_an_unknown_story_is_refused_with_the_known_ones(data):
    with pytest.raises(InvalidInput, match="child, gifts, ring"):
        data.story("dog")


def test_what_is_written_can_be_read(tmp_path, data):
    folder = data.write(tmp_path / "new" / "folder")
    assert sorted(path.name for path in folder.iterdir()) == [
        "forget-child.parquet",
        "forget-gifts.parquet",
        "forget-ring.parquet",
        "interactions.parquet",
        "items.parquet",
        "stories.json",
    ]
    assert pq.read_table(folder / "interactions.parquet").equals(data.interactions)
    assert pq.read_table(folder / "items.parquet").equals(data.items)
    for told, story in zip(
        json.loads((folder / "stories.json").read_text()), data.stories, strict=True
    ):
        assert told["text"] == story.text
        assert pq.read_table(folder / told["forget"]).equals(story.forget)
        assert told["interactions"] == story.forget.num_rows


def test_nothing_is_overwritten(tmp_path, data):
    (tmp_path / "stories.json").write_text("mine")
    with pytest.raises(OutputExists, match=r"stories\.json"):
        data.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["stories.json"]
    with pytest.raises(OutputExists, match="is a file"):
        data.write(tmp_path / "stories.json")
