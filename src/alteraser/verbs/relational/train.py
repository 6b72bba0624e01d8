"""Training a linear model of any kind: to the optimum, from a random start.

>>> from alteraser import Interactions, forget, verify
>>> from alteraser.models.relational.lightgcn import LinearLightGCN
>>> data = Interactions.from_pairs([(u, v) for u in range(9) for v in range(u % 3, 9, 3)])
>>> model = train(LinearLightGCN(factors=2, regularization=0.1, missing_weight=0.1), data)
>>> erasure = forget(model, [(0, 0)], data=data)
>>> erasure.kind, verify(erasure.model, erasure.remaining, before=model).certificate.kind
('C', 'C')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from alteraser.data.interactions import Interactions
from alteraser.data.side.given import Given
from alteraser.erasers.optimum import reach
from alteraser.errors import InvalidInput
from alteraser.models.closed_form.rule import of_pairs
from alteraser.models.relational.composite import CompositeModel
from alteraser.models.relational.kind import LinearKind
from alteraser.models.relational.model import LinearModel
from alteraser.models.relational.plain import PlainModel
from alteraser.models.relational.setup import LinearSetup
from alteraser.runtime import events
from alteraser.runtime.workers import default_threads
from alteraser.solvers.limits import DEFAULT, Limits
from alteraser.solvers.relational import Goal, Reached
from alteraser.solvers.trace import OnPass

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions


@overload
def train(
    settings: LinearKind,
    data: Interactions,
    *,
    limits: Limits = ...,
    reading: ReadingOptions | None = None,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> PlainModel: ...


@overload
def train(
    settings: LinearSetup,
    data: Given | Interactions,
    *,
    limits: Limits = ...,
    reading: ReadingOptions | None = None,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> CompositeModel: ...


@events.verb("train", "kind")
def train(
    settings: Any,
    data: Any,
    *,
    limits: Limits = DEFAULT,
    reading: ReadingOptions | None = None,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> Any:
    """The model at the optimum for ``data``, or as far as ``settings.max_passes`` go.

    ``data`` are interactions, or for a ``LinearSetup`` everything given. Raises InvalidInput if
    there are no interactions, or if these are in sessions or baskets.
    """
    if isinstance(data, Interactions) and data.events is not None:
        raise InvalidInput(of_pairs(settings.name, data.events.grouping.name))
    if not len(data if isinstance(data, Interactions) else data.main):
        raise InvalidInput("there are no interactions to train on")
    made: type[LinearModel] = CompositeModel if isinstance(settings, LinearSetup) else PlainModel
    data = Given.of(data) if made is CompositeModel else data
    settings = settings.settled(data)
    posed = made.posed(settings, data)
    reached = reach(
        posed.problem,
        posed.start(settings.seed),
        Goal(limits, max_passes=settings.max_passes, continuation=settings.continuation),
        threads=threads or default_threads(),
        on_pass=events.passes(on_pass),
    )
    training = {"method": "train", "seed": settings.seed, **told(reached)}
    return made.at(posed, reached.point, reading=reading, training=training)


def told(reached: Reached) -> dict[str, Any]:
    """What a model keeps of the run that made it."""
    return {
        "passes": reached.passes,
        "products": reached.products,
        "objective": reached.value,
        "residual": reached.residual,
        "distance": float(reached.distance) if reached.valley else None,
        "converged": reached.converged,
        "continuation": reached.strongest,
    }
