"""``alteraser bench linear``: a case of the family on every set that is named."""

from __future__ import annotations

from typing import Annotated

import typer

from alteraser.bench.common import MissingWeight, Regularization, Sets, each, numbers
from alteraser.bench.linear.case import Case
from alteraser.bench.linear.factorization import factorization
from alteraser.bench.linear.lightgcn import lightgcn
from alteraser.errors import InvalidInput

CASES = {"lightgcn": lightgcn, "enmf": factorization}
"""By name: what is run on a set"""


def linear(
    sets: Sets = None,
    case: Annotated[str, typer.Option("--case", help=f"Which: {', '.join(CASES)}.")] = "lightgcn",
    layers: Annotated[
        str, typer.Option("--layers", help="Values of K, with commas; of lightgcn.")
    ] = "2,3",
    factors: Annotated[int, typer.Option("--factors", min=1, help="d.")] = 64,
    missing_weight: MissingWeight = None,
    regularization: Regularization = None,
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
) -> int:
    """A linear model in a scenario of its own: agreement with a retrain, accuracy, CPU time.

    lightgcn: the paper's scenario. enmf: matrix factorization as a case of the family, beside ENMF.

    Example: alteraser bench linear ml-100k --layers 2 --factors 32

    Example: alteraser bench linear ml-1m --case enmf --factors 32
    """
    if case not in CASES:
        raise InvalidInput(f"--case {case!r}: there are {', '.join(CASES)}")
    asked = Case(
        factors=factors,
        layers=tuple(int(x) for x in numbers(layers, "--layers")),
        missing_weight=missing_weight,
        regularization=regularization,
        tuned=tuned,
        beside=beside,
    )
    for folder in each(sets):
        CASES[case](folder, asked)
    return 0
