"""What is known of users and items, and graphs, beside interactions: accuracy, items nobody had,
and forgetting somebody, a word, an attribute or a node.

Of cold items every interaction is held out; they are ranked among themselves, beside chance and an
oracle that knows how often each is asked for, and among all items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser import evaluate
from alteraser.bench.common import clocked, load, table
from alteraser.bench.linear.case import Case, asking
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.data.side.attributes import read_attributes
from alteraser.data.side.deletion import Request
from alteraser.data.side.features import Words
from alteraser.data.side.given import ITEM, MAIN, USER, Given
from alteraser.data.side.relations import read_join, read_relation
from alteraser.data.side.spec import EntityFile, FeatureFile, RelationFile
from alteraser.errors import InvalidInput
from alteraser.models.relational.composite import CompositeModel
from alteraser.models.relational.setup import LinearSetup, RelationSetting
from alteraser.verbs.relational.train import train

Array = npt.NDArray[Any]

COLD, FEWEST, PEOPLE = 0.1, 5, 64
"""Share of the items that are cold, interactions that each of them has, and users who leave"""


def features(folder: str | None, asked: Case) -> None:
    """One set: a folder whose tables ``asked`` names columns of."""
    if folder is None or not (asked.item_features or asked.user_features or asked.graph):
        raise InvalidInput(
            "--case features: name a folder, and what of it is known beside its interactions "
            "(--item-features, --user-features, --graph with --nodes)"
        )
    name, whole = load(folder)
    fit, test = whole.split(0.2, seed=0)
    print(f"### {name}: {len(fit):,} interactions\n", flush=True)
    setup = LinearSetup(
        factors=asked.factors,
        regularization=asked.regularization,
        feature_scaling=asked.feature_scaling,
        relations={MAIN: RelationSetting(missing_weight=asked.missing_weight)},
    )
    rows, trained = [], []
    for what, given in _beside(fit, Path(folder), asked):
        model, spent, _ = clocked(lambda: train(setup, given))  # noqa: B023
        trained.append((model, given))
        found, run = evaluate(model, test, data=fit), model.training
        rows.append(
            (
                what,
                f"{found['ndcg@10']:.4f}",
                f"{found['recall@10']:.4f}",
                f"{run['passes']} and {run['products']}",
                f"{spent:.1f}",
            )
        )
    header = ("beside interactions", "NDCG@10", "Recall@10", "passes and products", "CPU s")
    table(header, rows)
    _cold(fit, Path(folder), setup, asked)
    _forgotten(*trained[-1], test)


def _beside(data: Interactions, folder: Path, asked: Case) -> Iterator[tuple[str, Given]]:
    """(what is beside the interactions, everything given): nothing, each alone, all of it."""
    alone = Given.of(data)
    yield "nothing", alone
    known = {}
    for side, text in ((ITEM, asked.item_features), (USER, asked.user_features)):
        if text is not None:
            file = FeatureFile.parse(str(folder / text), f"--{side}-features")
            known[side] = read_attributes(file, side, f"{side}_id", option=f"--{side}-features")
    if known:
        yield (
            "features of " + " and ".join(f"{side}s" for side in known),
            replace(alone, attributes=known),
        )
    links = alone.links
    if asked.graph is not None:
        entities = {USER: data.users, ITEM: data.items}
        joins = {}
        if asked.nodes is not None:
            nodes = EntityFile.parse(f"{ITEM}={folder / asked.nodes}")
            joins = {ITEM: read_join(nodes, "item_id")}
        graph = RelationFile("graph", folder / asked.graph)
        links = (*links, *read_relation(graph, entities, joins))
        yield f"a graph of {sum(len(x) for x in links[1:]):,} links", Given(links)
    if known and asked.graph is not None:
        yield "all of it", Given(links, known)


def _cold(fit: Interactions, folder: Path, setup: LinearSetup, asked: Case) -> None:
    """Items of whom every interaction is held out."""
    rng = np.random.default_rng(0)
    able = np.flatnonzero(fit.item_counts >= FEWEST)
    cold = np.sort(rng.choice(able, max(int(COLD * able.size), 1), replace=False))
    mask = np.isin(fit.indices, cold)
    warm, held = fit.keep(~mask), fit.keep(mask)
    warm = warm.compact()
    rows = []
    for what, given in _beside(warm, folder, asked):
        if what == "nothing":
            continue
        model = train(setup, given)
        if ITEM in given.attributes:
            model = model.with_items(given.attributes[ITEM])
        ids = fit.items.ids_of(cold)
        places = model.items.rows_of(ids)
        rows.append(
            (
                f"{what} ({int((places >= 0).sum())} of {cold.size} known)",
                *_ranked(model, places, ids, held, warm),
            )
        )
        last = model
    counts = fit.item_counts[cold].astype(np.float64)[:, None]
    chance = rng.normal(size=(cold.size, 8))
    users = rng.normal(size=(last.users.size, 8))
    for what, vectors in (
        ("chance", (users, chance)),
        ("how often each is asked for (an oracle)", (np.ones((last.users.size, 1)), counts)),
    ):
        rows.append((what, *_among(last, vectors, ids, held), "", ""))
    print(f"{cold.size} items are held out whole, {len(held):,} interactions\n")
    header = (
        "cold items",
        "NDCG@10 among them",
        "Recall@10",
        "NDCG@10 among all items",
        "Recall@10",
    )
    table(header, rows)


def _ranked(
    model: CompositeModel, places: Array, ids: Any, held: Interactions, seen: Interactions
) -> tuple[str, ...]:
    """NDCG and recall of cold items, among themselves and among all."""
    Z = np.zeros((places.size, model.vectors[1].shape[1]))
    Z[places >= 0] = model.vectors[1][places[places >= 0]]
    whole = evaluate(model, held, data=seen)
    return (
        *_among(model, (model.vectors[0], Z), ids, held),
        f"{whole['ndcg@10']:.4f}",
        f"{whole['recall@10']:.4f}",
    )


def _among(
    model: CompositeModel, vectors: tuple[Array, Array], ids: Any, held: Interactions
) -> tuple[str, ...]:
    """NDCG and recall where nothing but items with ``ids`` can be listed."""
    items = IdMap(ids, np.arange(len(ids)), len(ids))
    alone = replace(model, items=items, vectors=vectors)
    nothing = held.keep(np.zeros(len(held), bool)).in_rows_of(alone.users, alone.items)
    found = evaluate(alone, held, data=nothing)
    return f"{found['ndcg@10']:.4f}", f"{found['recall@10']:.4f}"


def _forgotten(model: CompositeModel, given: Given, test: Interactions) -> None:
    """Requests of every sort that there is something for."""
    rng = np.random.default_rng(1)
    people = rng.choice(model.users.ids.to_pylist(), PEOPLE, replace=False).tolist()
    requests = {
        f"{PEOPLE} users, everywhere": Request(entities=tuple((USER, str(x)) for x in people))
    }
    for side, known in given.known.items():
        for one in known.features:
            if isinstance(one, Words):
                counts = np.bincount(one.values.rows, minlength=one.values.ids.size)
                word = str(one.values.ids.ids[int(counts.argmax())])
                requests[f"{one.name} {word} of {side}s ({counts.max():,} have it)"] = Request(
                    entities=((f"{side}:{one.name}", word),)
                )
                requests[f"{one.name} of all {side}s"] = Request(attributes=((side, one.name),))
                break
    for links in given.links[1:2]:
        if links.target not in (USER, ITEM):
            counts = np.bincount(links.tails.rows)
            node = links.tails.ids.ids[int(counts.argmax())].as_py()
            requests[f"the node {node} ({counts.max():,} links of {links.name})"] = Request(
                entities=((links.target, str(node)),)
            )
    asking(model, given, requests, test)
