"""The models, how they are trained here, and the ways to get one without the forget set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from alteraser.errors import InvalidInput

KINDS = ("gmf", "mlp", "neumf", "bpr", "lightgcn")
"""Names of the models, as in ``alteraser.neural.modules``, without importing torch."""

LABELS = {"gmf": "GMF", "mlp": "MLP", "neumf": "NeuMF", "bpr": "BPR-MF", "lightgcn": "LightGCN"}

LARGE = 200_000
"""Interactions from which larger mini-batches are taken."""


@dataclass(frozen=True)
class NeuralSetting:
    """Hyper-parameters of one model, chosen on the validation cut of one split; the same for every
    data set.
    """

    learning_rate: float
    regularization: float
    batch: int = 1024
    large_batch: int = 8192
    factors: int = 32
    max_epochs: int = 40
    patience: int = 4
    fast_epochs: int = 6
    """Epochs of the fast retraining, whose learning rate rises to ten times as much and falls to
    nothing."""


SETTINGS: dict[str, NeuralSetting] = {
    "gmf": NeuralSetting(3e-3, 2.0),
    "mlp": NeuralSetting(5e-3, 1.0),
    "neumf": NeuralSetting(3e-3, 2.0),
    "bpr": NeuralSetting(5e-3, 1.0),
    "lightgcn": NeuralSetting(5e-3, 0.1, batch=4096, large_batch=32768, fast_epochs=10),
}


@dataclass(frozen=True)
class NeuralMethod:
    """One way: a run of AdamW, or an erasure of the original."""

    name: str
    label: str
    what: Literal["train", "erase"]
    data: Literal["before", "after"] = "after"
    start: Literal["random", "original"] = "random"
    seed: int = 1
    fast: bool = False
    erasing: dict[str, Any] = field(default_factory=dict)
    """Fields of ``Alternating``."""
    kinds: tuple[str, ...] = KINDS


METHODS: dict[str, NeuralMethod] = {
    method.name: method
    for method in (
        NeuralMethod("retrain", "Retrain (AdamW)", "train"),
        NeuralMethod("original", "Original", "train", data="before"),
        NeuralMethod("retrain-star", "Retrain*, other training seed", "train", seed=2),
        NeuralMethod("retrain-fast", "Retrain (AdamW, one cycle)", "train", seed=4, fast=True),
        NeuralMethod("warm-start", "Warm-Start (AdamW)", "train", start="original", seed=3),
        NeuralMethod("alteraser", "AltEraser", "erase"),
        NeuralMethod(
            "alteraser-users",
            "AltEraser, users only",
            "erase",
            erasing={"items": False, "phi": False},
        ),
        NeuralMethod(
            "alteraser-phi",
            "AltEraser, with the Φ step",
            "erase",
            erasing={"phi": True},
            kinds=("gmf", "mlp", "neumf"),
        ),
        NeuralMethod(
            "alteraser-pass",
            "AltEraser, one pass over all rows more",
            "erase",
            erasing={"passes": 1},
        ),
        NeuralMethod(
            "alteraser-plain", "AltEraser, not anchored", "erase", erasing={"anchored": False}
        ),
    )
}
"""In the order they are run: the first two are needed by all others."""


def choose(
    names: tuple[str, ...], known: dict[str, Any] | tuple[str, ...], what: str
) -> tuple[str, ...]:
    """``names`` in the order of ``known``, all of them for ``all``. InvalidInput for another
    name.
    """
    if names == ("all",):
        return tuple(known)
    for name in names:
        if name not in known:
            raise InvalidInput(f"unknown {what} {name!r}; there are all, {', '.join(known)}")
    return tuple(name for name in known if name in names)
