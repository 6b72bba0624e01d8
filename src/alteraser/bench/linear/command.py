"""``alteraser bench linear``: a case of the family on every set that is named."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alteraser.bench.common import MissingWeight, Regularization, Sets, each, numbers
from alteraser.bench.linear.case import Case
from alteraser.bench.linear.defaults import shares
from alteraser.bench.linear.factorization import factorization
from alteraser.bench.linear.features import features
from alteraser.bench.linear.gradient import gradients
from alteraser.bench.linear.lightgcn import lightgcn
from alteraser.bench.linear.places import places
from alteraser.bench.linear.relations import relations
from alteraser.cli import completion
from alteraser.errors import InvalidInput
from alteraser.runtime.extras import require

CASES = {
    "lightgcn": lightgcn,
    "enmf": factorization,
    "features": features,
    "relations": relations,
    "places": places,
}
"""By name: what is run on a set"""
DEFAULTS, GRADIENT = "defaults", "gradient"
"""The case that is of all sets together, and the one that is of none"""
NAMES = (*CASES, DEFAULTS, GRADIENT)


def linear(
    sets: Sets = None,
    case: Annotated[str, typer.Option("--case", help=f"Which: {', '.join(NAMES)}.")] = "lightgcn",
    layers: Annotated[
        str, typer.Option("--layers", help="Values of K, with commas; of lightgcn.")
    ] = "2,3",
    factors: Annotated[int, typer.Option("--factors", min=1, help="d.")] = 64,
    item_features: Annotated[
        str | None,
        typer.Option(
            "--item-features", metavar="FILE:COLUMN,…", help="Of a file of SET; of features."
        ),
    ] = None,
    user_features: Annotated[
        str | None,
        typer.Option("--user-features", metavar="FILE:COLUMN,…", help="Likewise of users."),
    ] = None,
    graph: Annotated[
        str | None,
        typer.Option(
            "--graph", metavar="FILE", help="Heads, relations and tails, of SET; of features."
        ),
    ] = None,
    nodes: Annotated[
        str | None,
        typer.Option("--nodes", metavar="FILE:COLUMN", help="Which node of it an item is."),
    ] = None,
    sizes: Annotated[
        str,
        typer.Option("--sizes", help="Millions of rows, with commas or spaces; of gradient."),
    ] = "1,3,10",
    users: Annotated[
        int, typer.Option("--users", min=50, help="Users of a cut of SET; of places.")
    ] = 3000,
    feature_scaling: Annotated[float, typer.Option("--feature-scaling", help="ν.")] = 1.0,
    missing_weight: MissingWeight = None,
    regularization: Regularization = None,
    missing_weighting: Annotated[
        str | None,
        typer.Option(
            "--missing-weighting",
            autocompletion=completion.WEIGHTING,
            help="uniform, popularity or activity; of lightgcn and places, as are the next three.",
        ),
    ] = None,
    weight_exponent: Annotated[
        float | None, typer.Option("--weight-exponent", help="α of the missing weights.")
    ] = None,
    regularization_scaling: Annotated[
        str | None,
        typer.Option(
            "--regularization-scaling", autocompletion=completion.SCALING, help="none or frequency."
        ),
    ] = None,
    scaling_exponent: Annotated[
        float | None, typer.Option("--scaling-exponent", help="ν of that scaling.")
    ] = None,
    continuation: Annotated[
        float,
        typer.Option("--continuation", help="How many times λ to come down from; of lightgcn."),
    ] = 1.0,
    max_passes: Annotated[
        int, typer.Option("--max-passes", min=1, help="Cap on iterations, of lightgcn.")
    ] = 5000,
    tuned: Annotated[
        bool,
        typer.Option(
            "--tuned",
            help="Choose w0 and λ, of every model its own, on a validation cut of the clean data; "
            "of lightgcn.",
        ),
    ] = False,
    beside: Annotated[
        bool,
        typer.Option(
            "--bpr", help="Train LightGCN with sampled pairs beside it (extra: torch); of lightgcn."
        ),
    ] = False,
    equal: Annotated[
        bool,
        typer.Option(
            "--bpr-equal",
            help="Likewise, for as many CPU seconds as training with the full loss took, by the "
            "settings of AdamW that do best on a held-out tenth; of lightgcn.",
        ),
    ] = False,
    forgetting: Annotated[
        bool,
        typer.Option("--forget/--no-forget", help="Or accuracy alone; of lightgcn."),
    ] = True,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            help="Folder for trained models: a later run goes on from them; of lightgcn.",
        ),
    ] = None,
) -> int:
    """A linear model in a scenario of its own: agreement with a retrain, accuracy, CPU time.

    lightgcn: the paper's scenario. enmf: matrix factorization as a case of the family, beside ENMF.
    features: what is known of users and items, and a graph; items nobody had. relations: views,
    carts and purchases, drawn from the interactions of a set, generated without one. places: where
    LightGCN comes to rest, from several starts, on cuts of a set. defaults: what shares of ENMF's λ
    are worth to LightGCN, on validation cuts of all sets. gradient: what one of five generated
    relations costs beside those of ENMF, by size; no set is read.

    Example: alteraser bench linear ml-100k --layers 2 --factors 32

    Example: alteraser bench linear ml-1m --layers 2 --factors 32 --no-forget --bpr-equal

    Example: alteraser bench linear gowalla --layers 2 --missing-weighting popularity
    --missing-weight 0.006 --regularization-scaling frequency --scaling-exponent 0.5
    --max-passes 100 --no-forget --bpr-equal

    Example: alteraser bench linear ml-1m --case enmf --factors 32

    Example: alteraser bench linear ml-1m --case features --item-features items.parquet:genres,year
    --graph kg.parquet --nodes items.parquet:kg_entity

    Example: alteraser bench linear --case relations

    Example: alteraser bench linear gowalla --case places --layers 2 --factors 16

    Example: alteraser bench linear ml-100k ml-1m --case defaults --layers 2,3 --factors 32
    """
    if case not in NAMES:
        raise InvalidInput(f"--case {case!r}: there are {', '.join(NAMES)}")
    for wanted, option in ((beside, "--bpr"), (equal, "--bpr-equal")):
        if wanted:
            require("torch", "torch", f"bench linear {option}")
    asked = Case(
        factors=factors,
        layers=tuple(int(x) for x in numbers(layers, "--layers")),
        missing_weight=missing_weight,
        regularization=regularization,
        item_features=item_features,
        user_features=user_features,
        graph=graph,
        nodes=nodes,
        users=users,
        feature_scaling=feature_scaling,
        weighing={
            name: value
            for name, value in (
                ("missing_weighting", missing_weighting),
                ("weight_exponent", weight_exponent),
                ("regularization_scaling", regularization_scaling),
                ("scaling_exponent", scaling_exponent),
            )
            if value is not None
        },
        continuation=continuation,
        max_passes=max_passes,
        tuned=tuned,
        beside=beside,
        equal=equal,
        forgetting=forgetting,
        keep=keep,
    )
    if case == GRADIENT:
        if sets:
            raise InvalidInput(f"--case gradient generates its data: leave {sets[0]} out")
        for _ in each(None):
            gradients(sizes, asked)
        return 0
    if case == DEFAULTS:
        shares(each(sets), asked)
        return 0
    for folder in each(sets):
        CASES[case](folder, asked)
    return 0
