"""The one result of forgetting, whatever forgot: what was asked, found and done, and what may be
said of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pyarrow as pa

from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions
from alteraser.erasers.driver import Outcome
from alteraser.evidence.certificate.words import Class
from alteraser.evidence.claims import Evidence
from alteraser.solvers.stationarity import Push
from alteraser.verbs.lists import Aftermath

M_co = TypeVar("M_co", covariant=True)


@dataclass(frozen=True)
class Way:
    """Which way was taken, of which was asked for, and why."""

    method: str
    """The one that was taken"""
    asked: str
    why: str | None = None
    """None: it is the one that was asked for"""
    tolerance: float | None = None
    """What it was to reach"""
    binding: bool = False
    """Whether missing ``tolerance`` is falling short also where nobody asked for one"""
    refit_seconds: float | None = None
    """Predicted for training on what remains from the start; None where nothing tells"""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further entries of a document about the choice"""

    def document(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "method": self.method,
            "method_asked": self.asked,
            "why": self.why,
            "refit_seconds_predicted": self.refit_seconds,
            **self.details,
        }


@dataclass(frozen=True)
class Work:
    """What was computed, and where that ended."""

    solver: str | None = None
    passes: int = 0
    products: int = 0
    rows_updated: int = 0
    residual: float = 0.0
    """Share of the deletion's push that is still unresolved, in the stored numbers; after a local
    way the anchored residual; NaN where it was not measured"""
    converged: bool = True
    """Whether ``residual`` is within the tolerance"""
    reason: str | None = None
    """Why it ended, as in ``erasers.driver.Outcome``"""
    route: tuple[str, ...] = ()
    """What it took, in order"""
    objective_before: float | None = None
    """L_{D_r}(Θ_a); None for what minimizes nothing"""
    objective_after: float | None = None
    """L_{D_r}(Θ_u)"""
    push: float | None = None
    """‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖, the scale of the residual"""
    training_floor: float | None = None
    """What the original's training had left of its own gradient, over the push; above 1 the
    original was not trained far enough to tell this deletion from noise (forgetting then also
    finishes the training)"""
    trace: tuple[Any, ...] = ()
    """A record per pass"""

    @classmethod
    def of(cls, done: Outcome, start: Push, *, solver: str | None) -> Work:
        """What the loop did from ``start``."""
        return cls(
            solver,
            done.passes,
            done.products,
            done.rows_updated,
            done.residual,
            done.converged,
            done.reason,
            done.route,
            start.objective,
            done.objective,
            start.norm,
            start.floor,
            done.trace,
        )

    def document(self) -> dict[str, Any]:
        """JSON values."""
        return vars(self) | {
            "residual": None if math.isnan(self.residual) else self.residual,
            "route": list(self.route),
            "trace": [vars(record) for record in self.trace],
        }


@dataclass(frozen=True, kw_only=True)
class Erasure(Generic[M_co]):
    """The result of forgetting in a model of any kind."""

    model: M_co
    """What came out: a model of the same kind, or what is to be written into another library's
    file"""
    deletion: Deletion
    """What was asked for, and what of it was found"""
    way: Way
    evidence: Evidence
    """What may be said of it; ``verify`` says it from the files alone"""
    work: Work = Work()
    aftermath: Aftermath = field(default_factory=Aftermath)
    details: Mapping[str, Any] = field(default_factory=dict)
    """What this kind of model has further to say, by the names of a document"""
    on_save: Callable[[Any], None] | None = None
    """Told what ``save`` has written"""
    seconds: float = 0.0

    @property
    def remaining(self) -> Interactions:
        """D_r."""
        return self.deletion.remaining

    @property
    def removed(self) -> Interactions:
        """D_f, what was found."""
        return self.deletion.removed

    @property
    def unmatched(self) -> pa.Table:
        """Rows of the forget set that match no interaction; nothing was done for them."""
        return self.deletion.unmatched

    @property
    def forgotten(self) -> int:
        """Interactions that went, those that the data did not have any more included; ``removed``
        has what is known.
        """
        return self.deletion.forgotten

    @property
    def method(self) -> str:
        """The way that was taken."""
        return self.way.method

    @property
    def residual(self) -> float:
        """Share of the deletion's push still unresolved in the new model's stored numbers."""
        return self.work.residual

    @property
    def converged(self) -> bool:
        """True when the residual is within the tolerance."""
        return self.work.converged

    @property
    def trace(self) -> tuple[Any, ...]:
        """One record per pass."""
        return self.work.trace

    @property
    def kind(self) -> Class:
        """The class, one letter: A for a replay, a retrain, or an exact kind, C within the limits,
        L for the deletion's effect alone within the tolerance, D for anything else.

        ``alteraser.verbs.verify.verify`` recomputes it from the files alone, and says which class
        may be claimed.
        """
        return self.evidence.kind

    @property
    def class_name(self) -> str:
        """``replayed``, ``measured``, ``local`` or ``not forgotten``."""
        return self.evidence.name

    @property
    def sentence(self) -> str:
        """The class in words."""
        return self.evidence.sentence

    @property
    def effect_left(self) -> float | None:
        """Estimated from above, of a local erasure: how far the new model is from the point that
        ``local`` looks for, over how far it went; None for other methods, and where it is not
        known. Of another library's model, whose trainer stops long before an optimum: how far the
        deletion would move it on, had training gone on to its end, over how far it went.
        """
        return self.evidence.left

    def reached(self, asked_tolerance: float | None = None) -> bool:
        """Whether the level that was asked for, or the default one, is reached: what exit code 0
        says.

        Class D never is one. A tolerance that was asked for is a level of its own; a replay reaches
        its own by having run, a retrain by converging or being class C.
        """
        if not self.evidence.passed or self.method == "replay":
            return self.evidence.passed
        return self.converged or not (
            asked_tolerance is not None or self.way.binding or self.kind == "A"
        )

    def save(self, path: Any) -> Any:
        """``model.save(path)``, and of a replay it is remembered that its training gives these very
        bytes here.

        The next request to the file then repeats the training as well. Raises OutputExists.
        """
        saved = self.model.save(path)  # type: ignore[attr-defined]
        if self.on_save is not None:
            self.on_save(saved)
        return saved

    def document(self) -> dict[str, Any]:
        """What there is to say, as JSON values: the same names for every kind of model, and what it
        says further.
        """
        gone = self.deletion
        return {
            **self.way.document(),
            **self.work.document(),
            **self.aftermath.document(),
            "converged": self.reached(),
            "class": self.kind,
            "class_name": self.class_name,
            "sentence": self.sentence,
            "effect_left": self.effect_left,
            "interactions_before": self.remaining.count + self.forgotten,
            "interactions_forgotten": self.forgotten,
            "interactions_added": gone.added,
            "users_added": gone.joined[0],
            "items_added": gone.joined[1],
            "interactions_readmitted": 0 if gone.returned is None else len(gone.returned),
            "users_erased_whole": int(gone.removal.emptied_users.size),
            "rows_without_rating": gone.data.unrated,
            "users": int((self.remaining.user_counts > 0).sum()),
            "items": int((self.remaining.item_counts > 0).sum()),
            **self.details,
        }
