"""Tuning of linear kinds: a grid of settings, along paths of falling λ, each point from the
solution before it; the most accurate one on a validation cut is chosen.

λ of a kind is tried around what it takes from the data, since what a rule errs by differs from set
to set and accuracy hangs on little else. Trials go as far as accuracy can tell, not to the optimum.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from alteraser.data.interactions import Interactions
from alteraser.data.side.given import MAIN, Given
from alteraser.data.side.links import Links
from alteraser.erasers.optimum import reach
from alteraser.errors import InvalidInput
from alteraser.models.relational.composite import CompositeModel
from alteraser.models.relational.kind import LinearSettings
from alteraser.models.relational.model import LinearModel
from alteraser.models.relational.plain import PlainModel
from alteraser.models.relational.problem import Point
from alteraser.runtime import events
from alteraser.runtime.workers import default_threads
from alteraser.solvers.limits import Limits
from alteraser.solvers.relational import Goal
from alteraser.verbs.evaluate import evaluate
from alteraser.verbs.relational.evaluate import evaluate_in_contexts
from alteraser.verbs.tune.cut import cut

METRIC = "ndcg@10"
"""What settings are chosen by"""
NEAR, PASSES = Limits(distance=1e-2), 150
"""How far a trial goes: lists do not change by what is left, and iterations at most"""
LEFT = frozenset({"seed", "max_passes"})
"""Settings that are not tried"""
RIDGES, WEIGHTS = (8.0, 4.0, 2.0, 1.0, 0.5), (1.0 / 3.0, 1.0)
"""Multiples of λ, largest first, and of w₀, of the data that are tried where none are given"""


@dataclass(frozen=True)
class LinearTrial:
    """One setting, how good its lists are, and what it took."""

    settings: LinearSettings
    metrics: Mapping[str, float]
    passes: int
    seconds: float
    """Of training and evaluating"""

    def to_document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "settings": self.settings.own(),
            "metrics": dict(self.metrics),
            "passes": self.passes,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class LinearTuned:
    """The answer."""

    trials: tuple[LinearTrial, ...]
    """All of them, the best first, equal ones in the order of the grid"""

    @property
    def chosen(self) -> LinearTrial:
        """The first."""
        return self.trials[0]


Path = tuple[LinearSettings, ...]
"""Settings that differ in λ alone, which falls"""


def paths_of(
    base: LinearSettings, given: Mapping[str, Sequence[Any]], data: Interactions | Given
) -> list[Path]:
    """A path for every combination of the values that are ``given`` and, of other settings, of
    ``base.grid``; λ and w₀ around what ``base`` takes from ``data``.

    Raises InvalidInput for a value that a setting cannot have.
    """
    values = {name: tuple(dict.fromkeys(x)) for name, x in {**base.grid, **given}.items()}
    ridges, weights = values.pop("regularization", None), values.pop("missing_weight", None)
    found = []
    for point in product(*values.values()):
        one = base.changed(dict(zip(values, point, strict=True)))
        weight, penalty = one.settled(data).of_data
        tried = weights or [_written(min(1.0, weight * share)) for share in WEIGHTS]
        falling = _falling(one, ridges or [_written(penalty * share) for share in RIDGES])
        found += [
            tuple(one.changed({"missing_weight": w, "regularization": x}) for x in falling)
            for w in tried
        ]
    return found


def _falling(one: LinearSettings, values: Sequence[Any]) -> list[float | None]:
    """Values of λ, largest first; None, the data's own, before them."""
    read = {one.changed({"regularization": x}).own()["regularization"] for x in values}
    return sorted(read, key=lambda x: -np.inf if x is None else -x)


def _written(value: float) -> float:
    """As it is printed: the same digits on the command line are the same model."""
    return float(f"{value:.6g}")


@events.verb("tune")
def tune_linear(
    paths: Sequence[Path],
    data: Interactions | Given,
    *,
    validation: float = 0.2,
    seed: int = 0,
    threads: int = 0,
) -> LinearTuned:
    """Train each setting of ``paths`` on ``data`` but a share of everybody's pairs, and evaluate it
    on that; of data in contexts on a share of the rows, every query a user in a context.

    Raises InvalidInput where the data hold nothing to try on.
    """
    if not len(data if isinstance(data, Interactions) else data.main):
        raise InvalidInput("there are no interactions to tune on")
    held = _held(data, validation, seed)
    count, trials, at = sum(len(path) for path in paths), [], 0
    for path in paths:
        for trial in _along(path, held, threads or default_threads()):
            trials.append(trial)
            at += 1
            events.emit("step", what=f"{at} of {count}: {words(trial.settings)}", share=at / count)
    return LinearTuned(tuple(sorted(trials, key=lambda trial: -trial.metrics[METRIC])))


def words(settings: LinearSettings) -> str:
    """As options: ``--factors 32 --layers 2 --missing-weight 0.3 --regularization 1.2``."""
    return " ".join(
        f"--{name.replace('_', '-')} {value}" for name, value in tried(settings).items()
    )


def tried(settings: LinearSettings) -> dict[str, Any]:
    """What a trial set, by the names of options."""
    kind = type(settings)
    found = {
        name: value
        for name, value in settings.own().items()
        if not (name in LEFT or isinstance(value, dict | list))
        and (name in kind.grid or value != kind.model_fields[name].default)
    }
    relations = settings.own().get("relations", {})
    if MAIN in relations:
        found["missing_weight"] = relations[MAIN]["missing_weight"]
    return {"factors": settings.factors, **found}


@dataclass(frozen=True)
class _Held:
    """What is trained on, and what is held out of it."""

    fit: Any
    """Interactions or Given"""
    test: Interactions | Links

    def measured(self, model: Any) -> dict[str, float]:
        """Accuracy on what is held out."""
        if isinstance(self.test, Links):
            return evaluate_in_contexts(model, self.test, data=self.fit.main)[0]
        seen = self.fit if isinstance(self.fit, Interactions) else self.fit.interactions()
        return evaluate(model, self.test, data=seen)


def _held(data: Interactions | Given, share: float, seed: int) -> _Held:
    if isinstance(data, Interactions):
        return _Held(*cut(data, share, seed=seed))
    main = data.main
    if main.contexts:
        if not 0.0 < share < 1.0:
            raise InvalidInput(
                f"--validation {share}: expected a share between 0 and 1, for example 0.2"
            )
        mask = np.random.default_rng(seed).random(len(main)) < share
        if mask.all() or not mask.any():
            raise InvalidInput(
                f"there are too few rows to hold out {share:.0%} of them; raise --validation, or "
                "give more data"
            )
        return _Held(data.kept({MAIN: ~mask}), main.keep(mask))
    pairs = data.interactions()
    held = cut(pairs, share, seed=seed)[1]
    rows = (
        coded.within(ids) for coded, ids in ((main.heads, held.users), (main.tails, held.items))
    )
    return _Held(data.kept({MAIN: held.locate(*rows) < 0}), held)


def _along(path: Path, held: _Held, threads: int) -> Iterator[LinearTrial]:
    """A trial for every point of a path."""
    kind: type[LinearModel] = PlainModel if isinstance(held.fit, Interactions) else CompositeModel
    start: Point | None = None
    for settings in path:
        began = time.perf_counter()
        posed = kind.posed(settings.settled(held.fit), held.fit)
        here = posed.start(settings.seed) if start is None else posed.problem.point(start.vector)
        found = reach(posed.problem, here, Goal(NEAR, max_passes=PASSES), threads=threads)
        # nothing leads on from zeros, which are where too much λ ends
        start = found.point if np.any(found.point.vector) else None
        measured = held.measured(kind.at(posed, found.point))
        yield LinearTrial(settings, measured, found.passes, time.perf_counter() - began)
