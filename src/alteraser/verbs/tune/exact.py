"""Tuning of kinds that forget exactly: every setting of a grid fitted once, the most accurate one
chosen.

There is nothing else to weigh: whatever the settings, such a model forgets to the last digit and
depends on no seed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from alteraser.errors import InvalidInput
from alteraser.runtime import events
from alteraser.verbs.evaluate import evaluate
from alteraser.verbs.tune.cut import cut

if TYPE_CHECKING:
    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import ReadingOptions
    from alteraser.models.closed_form.kind import ExactKind, Protocol

METRICS: Mapping[Protocol, str] = {
    "held out": "ndcg@10",
    "sessions": "ndcg@20",
    "baskets": "ndcg@10",
}
"""What settings are chosen by, as each protocol is mostly reported"""


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
    """All of them, the best by ``metric_of`` first, equal ones in the order of the grid"""

    @property
    def chosen(self) -> ExactTrial:
        """The first."""
        return self.trials[0]


def metric_of(kind: ExactKind | type[ExactKind]) -> str:
    """The name of what settings of ``kind`` are chosen by."""
    return METRICS[kind.protocol]


def grid_of(kind: type[ExactKind], given: Mapping[str, Sequence[Any]]) -> list[ExactKind]:
    """Every combination of the values that are ``given`` and, of other settings, of ``kind.grid``.

    A kind that has no settings is one point: measured as it is, the figure for others to beat.
    Raises InvalidInput for a value that a setting cannot have, and where there is nothing to choose
    from.
    """
    values = {name: tuple(found) for name, found in {**kind.grid, **given}.items()}
    points = [kind(**dict(zip(values, point, strict=True))) for point in product(*values.values())]
    distinct = list(dict.fromkeys(points))
    if len(distinct) < 2 and kind.model_fields:
        raise InvalidInput(
            f"{kind.name} has nothing to choose from: give values to try, such as "
            + ", ".join(f"--{name.replace('_', '-')} a,b" for name in kind.model_fields)
        )
    return distinct


@events.verb("tune")
def tune_exact(
    points: Sequence[ExactKind],
    data: Interactions,
    *,
    reading: ReadingOptions | None = None,
    validation: float = 0.2,
    seed: int = 0,
    threads: int = 0,
) -> ExactTuned:
    """Fit each of ``points`` on ``data`` but what ``cut`` holds out of it, and evaluate it on that.

    Raises InvalidInput where the data lack what a setting needs, or hold nothing to try on.
    """
    if len(data) == 0:
        raise InvalidInput("there are no interactions to tune on")
    for settings in points:
        settings.check_data(data)
    train, held = cut(data, validation, seed=seed)
    metric = metric_of(points[0])
    trials = []
    for number, settings in enumerate(points):
        what = f"{number + 1} of {len(points)}: {words(settings)}"
        events.emit("step", what=what, share=number / len(points))
        began = time.perf_counter()
        model = settings.fit(train, reading=reading, threads=threads)
        trials.append(
            ExactTrial(settings, evaluate(model, held, data=train), time.perf_counter() - began)
        )
    return ExactTuned(tuple(sorted(trials, key=lambda trial: -trial.metrics[metric])))


def words(settings: ExactKind) -> str:
    """``similarity cosine, neighbors 20``"""
    said = ", ".join(f"{name} {value}" for name, value in settings.model_dump().items())
    return said or "there are none"
