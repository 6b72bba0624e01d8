"""Tuning of kinds that forget exactly: every setting of a grid fitted once, the most accurate one
chosen.

There is nothing else to weigh: whatever the settings, such a model forgets to the last digit and
depends on no seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from alteraser.errors import InvalidInput
from alteraser.verbs.evaluate import evaluate

if TYPE_CHECKING:
    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import ReadingOptions
    from alteraser.models.closed_form.kind import ExactKind

METRIC = "ndcg@10"


@dataclass(frozen=True)
class ExactTrial:
    """One setting, how good its lists are, and what it took."""

    settings: ExactKind
    metrics: Mapping[str, float]
    seconds: float
    """Of fitting and evaluating"""

    def to_document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "settings": self.settings.model_dump(),
            "metrics": dict(self.metrics),
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class ExactTuned:
    """The answer."""

    trials: tuple[ExactTrial, ...]
    """All of them, best NDCG@10 first, equal ones in the order of the grid"""

    @property
    def chosen(self) -> ExactTrial:
        """The first."""
        return self.trials[0]


def grid_of(kind: type[ExactKind], given: Mapping[str, Sequence[Any]]) -> list[ExactKind]:
    """Every combination of the values that are ``given`` and, of other settings, of ``kind.grid``.

    Raises InvalidInput for a value that a setting cannot have, and where there is nothing to choose
    from.
    """
    values = {name: tuple(found) for name, found in {**kind.grid, **given}.items()}
    points = [kind(**dict(zip(values, point, strict=True))) for point in product(*values.values())]
    distinct = list(dict.fromkeys(points))
    if len(distinct) < 2:
        raise InvalidInput(
            f"{kind.name} has nothing to choose from: give values to try, such as "
            + (
                ", ".join(f"--{name.replace('_', '-')} a,b" for name in kind.model_fields)
                or "of another --model"
            )
        )
    return distinct


def tune_exact(
    points: Sequence[ExactKind],
    data: Interactions,
    *,
    reading: ReadingOptions | None = None,
    validation: float = 0.2,
    seed: int = 0,
    threads: int = 0,
    on_trial: Callable[[str, int, int], None] | None = None,
) -> ExactTuned:
    """Fit each of ``points`` on ``data`` but the share ``validation`` of every user, and evaluate
    it on that.

    Raises InvalidInput where the data lack what a setting needs, are of sessions or baskets, or
    hold nothing to try on.
    """
    if len(data) == 0:
        raise InvalidInput("there are no interactions to tune on")
    if data.events is not None:
        raise InvalidInput(
            "tune cuts pairs: of sessions and baskets evaluate a held-out file of their own"
        )
    train, held = data.split(validation, seed=seed)
    if len(held) == 0:
        raise InvalidInput(
            f"no user has enough interactions to hold out {validation:.0%} of them; raise "
            "--validation, or give more data"
        )
    trials = []
    for number, settings in enumerate(points):
        if on_trial is not None:
            on_trial(words(settings), number, len(points))
        began = time.perf_counter()
        model = settings.fit(train, reading=reading, threads=threads)
        trials.append(
            ExactTrial(settings, evaluate(model, held, data=train), time.perf_counter() - began)
        )
    return ExactTuned(tuple(sorted(trials, key=lambda trial: -trial.metrics[METRIC])))


def words(settings: ExactKind) -> str:
    """``similarity cosine, neighbors 20``"""
    return ", ".join(f"{name} {value}" for name, value in settings.model_dump().items())
