"""Views, carts and purchases of a household service (generated): what further relations give, and
what they keep when purchases are forgotten.

Of everything that happened three tenths were purchases, twice as many reached a cart, and all of it
was viewed. DATA are the purchases.
"""

from __future__ import annotations

import numpy as np

from alteraser import evaluate
from alteraser.bench.common import clocked, load, table
from alteraser.bench.linear.case import Case, asking
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.data.side.deletion import Request
from alteraser.data.side.given import ITEM, MAIN, USER, Given
from alteraser.data.side.links import Links
from alteraser.models.closed_form.popularity import Popularity
from alteraser.models.relational.setup import LinearSetup, RelationSetting
from alteraser.verbs.relational.train import train

BOUGHT, IN_CART, PEOPLE = 0.3, 0.6, 64
"""Shares of what was viewed, and users who have their purchases forgotten"""


def relations(folder: str | None, asked: Case) -> None:
    """One set, of which every interaction is a view."""
    name, viewed = load(folder)
    luck = np.random.default_rng(0).random(len(viewed))
    fit, test = viewed.keep(luck < BOUGHT).split(0.2, seed=0)
    # what was held out was not viewed either, or it would be there to be seen
    there = test.locate(viewed.user_rows, viewed.indices) < 0
    known, cart = viewed.keep(there), viewed.keep(there & (luck < IN_CART))
    print(
        f"### {name}: {len(fit):,} purchases, {len(cart):,} in carts, {len(known):,} views\n",
        flush=True,
    )
    setup = LinearSetup(
        factors=asked.factors,
        regularization=asked.regularization,
        relations={MAIN: RelationSetting(missing_weight=asked.missing_weight)},
    )
    alone = Given.of(fit)
    more = (_links("carts", cart), _links("views", known))
    rows = [("popularity", _accuracy(Popularity().fit(fit), test, fit), "", "")]
    for what, given in (
        ("purchases", alone),
        ("and carts", Given((*alone.links, more[0]))),
        ("and views", Given((*alone.links, *more))),
    ):
        model, spent, _ = clocked(lambda: train(setup, given))  # noqa: B023
        run = model.training
        rows.append(
            (
                what,
                _accuracy(model, test, fit),
                f"{run['passes']} and {run['products']}",
                f"{spent:.1f}",
            )
        )
    table(("learned from", "NDCG@10 of purchases", "passes and products", "CPU s"), rows)
    able = np.flatnonzero((test.user_counts > 0) & (fit.user_counts > 0))
    people = fit.users.ids_of(
        np.sort(np.random.default_rng(1).choice(able, min(PEOPLE, able.size), replace=False))
    )
    requests = {
        f"the purchases of {len(people)} users": Request(Selection(people)),
        f"the views of {len(people)} users": Request(Selection(people), "views"),
        f"{len(people)} users, everywhere": Request(
            entities=tuple((USER, str(x)) for x in people.to_pylist())
        ),
    }
    asking(model, given, requests, test, people)


def _links(name: str, data: Interactions) -> Links:
    """A relation of those that occur in it."""
    found = Links.of(name, USER, ITEM, data)
    return found.keep(np.ones(len(found), bool))


def _accuracy(model: object, test: Interactions, seen: Interactions) -> str:
    return f"{evaluate(model, test, data=seen)['ndcg@10']:.4f}"  # type: ignore[arg-type]
