"""What the shell completes after an option that takes one of a few values.

The values stand here as words, because most of the tables that they name import NumPy and compiled
kernels, and a shell asks at every press of the tabulator; a test holds them against the tables.
"""

from __future__ import annotations

from collections.abc import Callable

from alteraser.models.registry import KINDS, LINEAR

Complete = Callable[[str], list[str]]


def among(*values: str) -> Complete:
    """Completes to the ``values`` that begin with what is there.

    >>> among("joint", "cg")("j")
    ['joint']
    """

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


def several(*values: str) -> Complete:
    """The same for lists with commas: the last entry is completed, among those that are not there
    yet.

    >>> several("main", "local")("main,l")
    ['main,local']
    """

    def complete(incomplete: str) -> list[str]:
        head, comma, last = incomplete.rpartition(",")
        there = head.split(",")
        return [
            head + comma + value
            for value in values
            if value.startswith(last) and value not in there
        ]

    return complete


METHOD = among(
    "auto",
    "replay",
    "local",
    "converge",
    "alteraser",
    "retrain",
    "warm-start",
    "retrain-adamw",
    "influence",
    "global-newton",
)
SOLVER = among(
    "joint",
    "ah-newton",
    "cg",
    "torch",
    "hf-newton",
    "gauss-newton",
    "newton-cg",
    "trust-ncg",
    "trust-krylov",
    "bfgs",
    "l-bfgs",
    "nonlinear-cg",
    "adahessian",
    "adamw",
    "adam",
    "sgd",
)
FORMAT = among(
    "arrays", "cornac", "implicit", "keras", "lightfm", "recbole", "spark", "surprise", "torch"
)
LOSS = among("implicit-als", "lenskit-als", "explicit-als", "weighted-mf", "svd", "bpr")
LAYOUT = among("netflix", "adjacency")
DUPLICATES = among("refuse", "first", "last", "sum")
WEIGHTING = among("uniform", "popularity", "activity")
SCALING = among("none", "frequency")
DTYPE = among("float32", "float64")
KIND = among("enmf", "linear", *KINDS, *LINEAR)
GENERATED = among("household", "sessions", "baskets")
PUBLIC_SET = among(
    "ml-100k", "ml-1m", "ml-10m", "ml-20m", "gowalla", "amazon-electronics", "disease-gene"
)
PAPER_KIND = among("enmf", "gmf")
PAPER_METHODS = several(
    "main", "local", "joint", "first-order", "ablation", "influence", "solvers", "all"
)
SCENARIOS = several("noise", "true", "one", "users-1%")
STOPPINGS = several("validation", "test")
NEURAL_KINDS = several("gmf", "mlp", "neumf", "bpr", "lightgcn", "all")
