"""What an eraser is given: what a deletion does to the objective of a model with factors.

An eraser knows no ids and no files, only the original Θ_a, the objective on D_a and on D_r, and the
rows between them: so it forgets as well in models whose interactions nobody else has seen, of
losses of one's own, and the choice of a way, the eraser and who judges it share one push.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions
from alteraser.erasers.driver import OnPass, Outcome, Watch
from alteraser.models import Factors, Problem
from alteraser.runtime.workers import default_threads
from alteraser.solvers.stationarity import Push, evaluate, gradient_norm, push

Array = npt.NDArray[Any]

ADDED, GONE = "interactions were added since", "some of what is to go was not in the data any more"
"""Why the interactions that a model was trained on may not be known"""


@dataclass(frozen=True)
class Shift:
    """The objective of ``original``, shifted by a deletion from L on D_a to L on D_r."""

    original: Factors
    """Θ_a"""
    before: Problem | None
    """L on D_a; None where D_a is not known exactly: ``unknown`` says why"""
    after: Problem
    """L on D_r"""
    touched_users: Array
    """Rows of the users in D_f (and in additions, if any), int64."""
    touched_items: Array
    threads: int = 0
    """0: every processor this process may use."""
    watch: Watch | None = None
    """Looks at the model after each pass or epoch and may end the run there: early stopping, curves
    over passes."""
    unknown: str = ADDED
    """Why ``before`` is None: ``ADDED`` or ``GONE``"""

    @classmethod
    def of(
        cls,
        deletion: Deletion,
        original: Factors,
        problem: Callable[[Interactions], Any],
        *,
        threads: int = 0,
    ) -> Shift:
        """``deletion`` of a model with the factors ``original`` and the objective ``problem``.

        Rows that joined the data since are touched as well.
        """
        joined = (
            np.arange(rows - new, rows)
            for rows, new in zip(deletion.data.shape, deletion.joined, strict=True)
        )
        touched = (deletion.touched_users, deletion.touched_items)
        users, items = (np.concatenate(both) for both in zip(touched, joined, strict=True))
        return cls(
            original=original,
            before=problem(deletion.data) if deletion.known else None,
            after=problem(deletion.removal.remaining),
            touched_users=cls.rows(users),
            touched_items=cls.rows(items),
            threads=threads,
            unknown=ADDED if deletion.missing is None else GONE,
        )

    @property
    def workers(self) -> int:
        """Threads to use."""
        return self.threads or default_threads()

    @cached_property
    def start(self) -> Push:
        """The deletion's push and what goes with it, computed once."""
        return push(self.before, self.after, self.original, threads=self.workers)

    @property
    def push(self) -> float:
        """The scale of the residual, ‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖_{B⁻¹}."""
        return self.start.norm

    @staticmethod
    def rows(changed: Array) -> Array:
        """Distinct rows, sorted, int64."""
        return np.unique(np.asarray(changed, dtype=np.int64))


def measured(shift: Shift, factors: Factors) -> tuple[float, float]:
    """(‖∇L_{D_r}‖_{B⁻¹} over the push, or as it is where the deletion pushes nothing; L_{D_r}) of
    ``factors``.
    """
    here = evaluate(shift.after, factors, threads=shift.workers)
    norm = gradient_norm(
        shift.after, factors, here.user_gradient, here.item_gradient, threads=shift.workers
    )
    return norm / shift.push if shift.push > 0 else norm, here.objective


class Eraser(Protocol):
    """A method that unlearns."""

    @property
    def name(self) -> str:
        """Its name on the command line."""
        ...

    def erase(self, shift: Shift, on_pass: OnPass | None = None) -> Outcome:
        """Θ_u for ``shift``; the outcome's residual is relative to ``shift.push``."""
        ...
