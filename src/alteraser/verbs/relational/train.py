"""Training a composite model: to the optimum, from a random start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alteraser.data.side.given import Given
from alteraser.models.relational.composite import CompositeModel
from alteraser.models.relational.setup import LinearSetup
from alteraser.runtime import events
from alteraser.runtime.workers import default_threads
from alteraser.solvers.limits import DEFAULT, Limits
from alteraser.solvers.relational import Goal, Reached, minimize
from alteraser.solvers.trace import OnPass

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions


def train(
    setup: LinearSetup,
    given: Given,
    *,
    seed: int = 0,
    max_passes: int = 5000,
    limits: Limits = DEFAULT,
    reading: ReadingOptions | None = None,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> tuple[CompositeModel, Reached]:
    """The model at the optimum for ``given``, and how the run ended."""
    setup = setup.settled(given)
    assembled = setup.assemble(given)
    reached = minimize(
        assembled.problem,
        assembled.problem.random(seed),
        Goal(limits, max_passes=max_passes),
        threads=threads or default_threads(),
        on_pass=events.passes(on_pass),
    )
    training = {"method": "train", "seed": seed, **told(reached)}
    return CompositeModel.at(
        setup, given, assembled, reached.point, reading=reading, training=training
    ), reached


def told(reached: Reached) -> dict[str, object]:
    """What a model keeps of the run that made it."""
    return {
        "passes": reached.passes,
        "products": reached.products,
        "objective": reached.value,
        "residual": reached.residual,
        "distance": reached.distance if reached.valley else None,
        "converged": reached.converged,
    }
