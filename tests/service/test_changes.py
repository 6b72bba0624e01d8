"""What a version says of what became different: the tables against lists and rows worked out from
the versions themselves."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from alteraser.engines.store.changes import LISTS, MOVED, ROWS
from alteraser.service.serving import Serving

from .conftest import BASE, Service, everything

REQUESTS = [
    {"users": [BASE + 5, BASE + 11]},
    {"pairs": [list(min(everything()))]},
    {"items": [103]},
    {"users": [BASE + 20]},
]


def lists(version) -> dict[int, list[int]]:
    data, model = version.data, version.model
    users = [user for user in model.users.ids.to_pylist() if user in set(data_users(version))]
    found = model.recommend(users, k=10, seen=data).to_list()
    return {each["user_id"]: [item["item_id"] for item in each["items"]] for each in found}


def data_users(version) -> list[int]:
    return version.data.to_table()["user_id"].unique().to_pylist()


def rows(version) -> dict[tuple[str, int], np.ndarray]:
    factors, table = version.model.factors, version.data.to_table()
    found = {}
    for side, ids, matrix in (
        ("user_id", version.model.users, factors.users),
        ("item_id", version.model.items, factors.items),
    ):
        for name in table[side].unique().to_pylist():
            found[side, name] = matrix[ids.rows_of([name])[0]].astype(float)
    return found


def history(opened: Service) -> list:
    versions = [opened.state.load_serving()]
    for body in REQUESTS:
        opened.send(body)
        opened.work()
        versions.append(opened.state.load_serving())
    return versions


@pytest.mark.parametrize("kind", ["knn", "enmf"])
def test_whose_lists_changed_since_each_version(service, kind: str) -> None:
    opened = service(kind)
    versions = history(opened)
    every = [lists(version) for version in versions]
    serving = Serving(opened.state)
    for start, version in enumerate(versions):
        answer = serving.changes(version.id)
        steps = range(start, len(versions) - 1)
        changed = {
            user
            for user in every[-1]
            if any(every[at].get(user) != every[at + 1].get(user) for at in steps)
        }
        assert (answer["all"], set(answer["users"])) == (False, changed), start
        assert answer["version"] == versions[-1].id
    assert serving.changes("0" * 64)["all"] is True
    last = pq.read_table(versions[-1].folder / LISTS).to_pylist()
    left = {item for each in every[-1].values() for item in each} | set(
        versions[-1].data.to_table()["item_id"].to_pylist()
    )
    for row in last:
        assert row["items"] == every[-1][row["user_id"]]
        if row["version"] == len(versions) - 1:
            before = [item if item in left else None for item in every[-2][row["user_id"]]]
            assert row["before"] == before
        else:
            assert row["before"] is None
    assert {103} & {item for row in last for item in (row["before"] or []) + row["items"]} == set()


def test_which_rows_moved(service) -> None:
    opened = service("enmf")
    versions = history(opened)
    every = [rows(version) for version in versions]
    told: dict[tuple[str, int], int] = {}
    drift: dict[tuple[str, int], float] = {}
    for depth, (before, after) in enumerate(itertools.pairwise(every), 1):
        for name, row in after.items():
            step = np.linalg.norm(row - before[name]) / np.linalg.norm(before[name])
            drift[name] = drift.get(name, 0.0) + step
            if drift[name] > MOVED:
                told[name], drift[name] = depth, 0.0
    table = pq.read_table(versions[-1].folder / ROWS).to_pylist()
    found = {
        (side, row[side]): row for row in table for side in ("user_id", "item_id") if row[side]
    }
    assert {name for name, row in found.items() if row["version"]} == told.keys() & every[-1].keys()
    for name, row in found.items():
        assert row["version"] == told.get(name, 0)
        assert row["drift"] == pytest.approx(drift[name], rel=1e-9, abs=1e-15)
    answer = Serving(opened.state).changes(versions[-2].id)["rows"]
    last = len(versions) - 1
    for side, key in (("user_id", "users"), ("item_id", "items")):
        wanted = {name for (of, name), at in told.items() if of == side and at == last}
        assert set(answer[key]) == wanted & {name for of, name in every[-1] if of == side}
    assert answer["all"] is False


def test_kinds_without_rows_have_none(service) -> None:
    opened = service("knn")
    first, *_, last = history(opened)
    assert not (last.folder / ROWS).exists()
    assert Serving(opened.state).changes(first.id)["rows"] is None


def test_a_version_from_before_the_tables(service, monkeypatch) -> None:
    """Nothing is known of what was before it: everything may have changed; from then on it is
    known."""
    from dataclasses import replace

    from alteraser.service import erasing

    opened = service("knn")
    first = opened.state.load_serving()
    whole = erasing.erase

    def older(*arguments, **named):
        content, work = whole(*arguments, **named)
        return replace(content, changes=None), work

    monkeypatch.setattr(erasing, "erase", older)
    opened.send(REQUESTS[0])
    opened.work()
    second = opened.state.load_serving()
    serving = Serving(opened.state)
    assert serving.changes(first.id)["all"] is True
    assert serving.changes(second.id)["all"] is False
    monkeypatch.setattr(erasing, "erase", whole)
    opened.send(REQUESTS[1])
    opened.work()
    serving.install(opened.state.load_serving())
    assert serving.changes(first.id)["all"] is True
    assert serving.changes(second.id)["all"] is False


def test_the_how_to_patches_an_index(service, tmp_path, monkeypatch) -> None:
    """As it stands, with a client that asks this state: the index has who is left, where they are
    now, and nobody else."""
    pytest.importorskip("hnswlib", reason="hnswlib is not installed: pip install hnswlib")
    import alteraser.client as client

    opened = service("enmf")
    serving = Serving(opened.state)
    page = Path(__file__).parents[2] / "docs" / "how-to" / "patch-an-index.md"
    code = page.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    names: dict = {}
    exec(code, names)
    names["STATE"] = opened.root

    class Asks(client.Client):
        def changes(self, since):
            return serving.changes(since)

    names["Client"] = Asks
    first = since = opened.state.load_serving().id
    index, labels = names["build"](since)
    for body in REQUESTS:
        opened.send(body)
        opened.work()
        since = names["patch"](index, labels, since)
        assert since == opened.state.load_serving().id
        vectors = names["items_of"](since)
        assert labels.keys() == vectors.keys()
        for item, label in labels.items():
            held = index.get_items([label], return_type="numpy")[0]
            step = np.linalg.norm(held - vectors[item])
            assert step <= 1.01 * MOVED * np.linalg.norm(held)
        found, _ = index.knn_query(np.ones(index.dim), k=len(labels))
        assert set(found[0].tolist()) == set(labels.values())
    assert first != since
