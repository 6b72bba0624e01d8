"""What an adapter reads, what it is given back, and what it must be able to do.

    read(path)  →  Foreign  →  Loss.check(data)  →  Loss.forget(data)  →  Changed  →  write(out)

A ``Foreign`` is the model as its container holds it: arrays without bias columns, in the
container's dtype, possibly memory-mapped and never written to. Its ``ForeignLoss`` is what the
trainer minimized; it knows how to check that the factors came from some data, and how to forget. A
``Changed`` is what goes back. Rows never move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.selfcheck import SelfCheck
from alteraser.data.deletion import Deletion
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.erasers.driver import OnPass, PassRecord
from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]

Method = Literal["replay", "local", "converge", "rows"]
"""What was done: the same training on what remains; the deletion's effect alone; on to an optimum
for what remains; or no more than the rows of the deletion (what is erased is absent, its effect on
others is not)."""

Level = Literal["A", "B", "C", "L", "D"]

CONTAINER = "the container"
NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Holding:
    """Something in the container, apart from the factors, that the training data went into."""

    name: str
    """Its name there, such as ``optimizer.exp_avg`` or ``trainset.ur``."""
    what: str
    """In words, for people: what it tells about whom."""
    scrubbed: str
    """What ``write`` does about it."""


@dataclass(frozen=True)
class Sibling:
    """Another file near the model that may still hold what was erased."""

    path: Path
    what: str
    """In words: ``interactions``, ``an older version of the model``, …"""
    advice: str = ""
    """What to do about it, where ``--scrub`` does not know how."""
    scrub: Callable[[Foreign, Changed], None] | None = None
    """Rewrites the file in place, all or nothing, without what was erased; None where nobody knows
    how."""


@dataclass(frozen=True, eq=False)
class Foreign:
    """Somebody else's model as its container holds it."""

    path: Path
    format: str
    """The adapter's name, such as ``implicit``."""
    kind: str
    """``als``, ``bpr``, ``lmf``, ``svd``, ``enmf``, …"""
    users: Array
    """(m, d) embeddings, bias and constant columns left out; the container's dtype; read-only."""
    items: Array
    """(n, d)"""
    loss: ForeignLoss
    """What its trainer minimized."""
    library: str = ""
    """Who wrote it, with the version where the file says so."""
    user_biases: Array | None = None
    """(m,)"""
    item_biases: Array | None = None
    """(n,)"""
    offset: float = 0.0
    """A constant in every score (a global mean)."""
    further: Mapping[str, Array] = field(default_factory=dict)
    """Other parameters that training learned (Φ), by their names in the container."""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    """As found, and what the user had to supply."""
    user_ids: IdMap | None = None
    """Where the container has them, or a file named by the user; ``size`` is m."""
    item_ids: IdMap | None = None
    ids_from: str | None = None
    """``CONTAINER`` or, in words, where else the maps came from."""
    trainer: ForeignTrainer | None = None
    """The training run, where the container tells enough of it to repeat it."""
    holds: tuple[Holding, ...] = ()
    """What else in the container carries data."""
    state: Any = None
    """Whatever the adapter wants to find again in ``write``."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(m, n, d)"""
        return int(self.users.shape[0]), int(self.items.shape[0]), int(self.users.shape[1])

    @property
    def maps(self) -> tuple[IdMap, IdMap]:
        """The maps of both sides, once they are resolved."""
        assert self.user_ids is not None
        assert self.item_ids is not None
        return self.user_ids, self.item_ids

    @property
    def nbytes(self) -> int:
        """Bytes of the embeddings."""
        return int(self.users.nbytes + self.items.nbytes)


@dataclass(frozen=True, eq=False)
class Changed:
    """What goes back into the container; None: as it was. ``Changed()`` writes the same bytes
    again.
    """

    users: Array | None = None
    """(m, d), like ``Foreign.users``; rows of ``erased_users`` are zero."""
    items: Array | None = None
    user_biases: Array | None = None
    item_biases: Array | None = None
    offset: float | None = None
    further: Mapping[str, Array] = field(default_factory=dict)
    """The parameters of ``Foreign.further`` that differ."""
    user_rows: Rows = field(default_factory=NONE.copy)
    """Rows whose embedding or bias differs from the original's, increasing: only these need to be
    written, and auxiliary state of these is stale."""
    item_rows: Rows = field(default_factory=NONE.copy)
    erased_users: Rows = field(default_factory=NONE.copy)
    """Users of whom nothing remains, increasing: they get the container's own form of absence, and
    lose their id where the container has ids."""
    removed: tuple[Rows, Rows] = field(default_factory=lambda: (NONE.copy(), NONE.copy()))
    """(user rows, item rows) of the forgotten interactions, for containers that hold
    interactions."""

    @property
    def nothing(self) -> bool:
        """True when there is nothing to write but the same bytes again."""
        arrays = (self.users, self.items, self.user_biases, self.item_biases, self.offset)
        return all(a is None for a in arrays) and not self.further and not self.removed[0].size


@dataclass(frozen=True, eq=False)
class ForeignErasing:
    """A deletion that is to be erased from another library's model, and how far to go.

    ``target`` of its interactions is r as the data say, None where it is 1 throughout.
    """

    foreign: Foreign
    deletion: Deletion
    tolerance: float = 1e-2
    """Share of the deletion's push that may stay."""
    max_passes: int = 200
    threads: int = 0
    """0: every processor this process may use."""
    seed: int = 0
    """For losses whose negatives are drawn."""
    on_pass: OnPass | None = None

    @property
    def before(self) -> Interactions:
        """D_a, in the model's rows; no more than what was in the data where D_a is not known."""
        return self.deletion.data

    @property
    def after(self) -> Interactions:
        """D_r, in the same rows."""
        return self.deletion.removal.remaining

    @property
    def removed(self) -> Interactions:
        """D_f, as far as the data have it."""
        return self.deletion.removed


@dataclass(frozen=True)
class Standing:
    """A class, and what may be said of a model of that class."""

    level: Level
    sentence: str


@dataclass(frozen=True, eq=False)
class ForeignOutcome:
    """What ``ForeignLoss.forget`` arrived at. Arrays as in ``Foreign``, dtype included; None where
    the kind has none.
    """

    users: Array
    items: Array
    user_biases: Array | None = None
    item_biases: Array | None = None
    offset: float | None = None
    further: Mapping[str, Array] = field(default_factory=dict)
    method: Method = "converge"
    residual: float = 0.0
    """Share of the push that stays, on the arrays as returned. After ``local`` and ``rows`` it is
    the anchored one, ‖∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a)‖ / push: 1 where nothing was done, 0 where the
    deletion has had its effect and what training had left is as it was."""
    damped: bool = False
    """``residual`` counts as done what damping holds back: it tells how far the damped rows were
    solved, and class L cannot be claimed on it."""
    converged: bool = True
    """True when ``residual`` is within the erasing's tolerance, and is one that a class may rest
    on."""
    passes: int = 0
    products: int = 0
    rows_updated: int = 0
    reason: str = "tolerance"
    """As in ``erasers.driver.Outcome``."""
    route: tuple[str, ...] = ()
    solver: str = ""
    push: float = 0.0
    """‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖ in the norm that the residual is taken in."""
    training_floor: float | None = None
    """What the original's training had left of its own gradient, over the push."""
    objective_before: float | None = None
    """L_{D_r}(Θ_a)"""
    objective_after: float | None = None
    """L_{D_r}(Θ_u)"""
    trace: tuple[PassRecord, ...] = ()
    standing: Standing | None = None
    """After ``converge``: the class that was measured"""
    left: tuple[Array, Array] | None = None
    """Half of ∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a), (m, d) and (n, d), where it is at hand"""

    @property
    def level(self) -> Level:
        """What may be said of it, which is what ``verify`` says of the file."""
        if self.method == "replay":
            return "A"
        if self.method == "converge" and self.standing is not None:
            return self.standing.level
        return "L" if self.converged and self.method == "local" else "D"

    @property
    def reached(self) -> bool:
        """Whether it got where it was to go: a class, and what of the residual was allowed to
        stay.
        """
        return self.level != "D" and (self.method == "replay" or self.converged)


class ForeignLoss(Protocol):
    """What a trainer minimized: a value object; it is printed by ``inspect``."""

    @property
    def name(self) -> str:
        """``implicit ALS``, ``BPR``, …"""
        ...

    @property
    def formula(self) -> str:
        """One line: the loss, with its hyper-parameters as numbers."""
        ...

    @property
    def ranks(self) -> bool:
        """True when scores rank items as the inner products of the embeddings, plus item biases,
        do.
        """
        ...

    def check(self, foreign: Foreign, data: Interactions, *, threads: int = 0) -> SelfCheck:
        """Did these factors come from ``data`` (``target`` is r) by minimizing this loss? Never
        raises for a no.
        """
        ...

    def forget(self, erasing: ForeignErasing) -> ForeignOutcome:
        """The factors that minimize this loss on ``erasing.after``, starting from the original's.

        Raises NumericFailure for a row without a solution, Interrupted for Ctrl-C; changes nothing
        of the erasing.
        """
        ...

    @property
    def effects(self) -> tuple[Method, ...]:
        """What ``local`` may end as, the ``method`` of its outcome; known before it begins."""
        ...

    @property
    def shown(self) -> bool:
        """Whether a class better than D can come of anything but a replay."""
        ...

    def rests(self, erasing: ForeignErasing) -> bool:
        """Is the original at rest: has training left so little that going on to an optimum is no
        other training?
        """
        ...

    def pass_seconds(
        self, foreign: Foreign, data: Interactions, *, threads: int = 0
    ) -> float | None:
        """About how long a pass over all rows takes here, measured on a few of them; None where
        nothing tells.
        """
        ...

    def local(self, erasing: ForeignErasing) -> ForeignOutcome:
        """The original with the deletion's effect, what training had left of its gradient as it
        was.

        ``method`` of the answer is ``local``, or ``rows`` where no way beyond the rows of the
        deletion brings a model nearer to its retrain. Raises as ``forget`` does.
        """
        ...

    def effect_left(self, erasing: ForeignErasing, erased: ForeignOutcome) -> float | None:
        """Estimated share of the deletion's effect that ``erased``, made by ``local``, lacks; see
        ``solvers.missing``.

        None for losses that are no least squares, and where there is no telling.
        """
        ...


class ForeignTrainer(Protocol):
    """The training run that made a model: everything but the data. It is run again by our
    kernels.
    """

    @property
    def words(self) -> str:
        """For people: ``15 iterations of 3 conjugate-gradient steps from seed 42``."""
        ...

    @property
    def passes(self) -> int:
        """How many there are in the run."""
        ...

    @property
    def ways(self) -> tuple[str, ...]:
        """Ways to take its sums, the quickest first. All compute the same but for rounding."""
        ...

    def run(
        self, way: str, data: Interactions, *, threads: int = 0, on_pass: OnPass | None = None
    ) -> tuple[Array, Array]:
        """The users' and items' embeddings of the same training on ``data`` (``target`` is r), (m,
        d) and (n, d).
        """
        ...


class Adapter(Protocol):
    """One format. Stateless; a module's ``ADAPTER``."""

    @property
    def name(self) -> str:
        """Its name in ``ADAPTERS`` and for ``--format``."""
        ...

    def recognizes(self, path: Path) -> bool:
        """Is this such a file or folder? By a few of its bytes, running nothing and never
        raising.
        """
        ...

    def read(self, path: Path, options: ForeignOptions) -> Foreign:
        """The model at ``path``.

        Raises InvalidInput for another format or version, for options that contradict the file, for
        hyper-parameters that neither says, and for a pickle that was not allowed; IntegrityError
        for a damaged file (shapes that do not fit, sizes that lie); NumericFailure for entries that
        are not finite.
        """
        ...

    def write(self, foreign: Foreign, changed: Changed, out: Path) -> None:
        """The container again at ``out`` (which must not exist), with the changed rows and
        auxiliary state scrubbed.

        All or nothing; ``foreign.path`` is read again and not touched. With ``Changed()`` the same
        bytes.
        """
        ...

    def siblings(self, path: Path) -> tuple[Sibling, ...]:
        """Files near ``path`` that may hold the same data, found by their names and first bytes."""
        ...


def settled(name: str, option: str, found: Any, asked: Any, path: Path, default: Any = None) -> Any:
    """A hyper-parameter: what the container says, else what the user says, else ``default``.

    Raises InvalidInput where both speak and differ, or neither does and there is no default.

    >>> settled("alpha", "--alpha", None, 40.0, Path("m.npz"))
    40.0
    >>> settled("alpha", "--alpha", 1.0, 40.0, Path("m.npz"))
    Traceback (most recent call last):
    alteraser.errors.InvalidInput: --alpha 40.0 contradicts m.npz, which says alpha = 1.0;
    leave the option out
    """
    if found is not None and asked is not None and found != asked:
        raise InvalidInput(
            f"{option} {asked} contradicts {path}, which says {name} = {found}; leave the option "
            "out",
            path=str(path),
        )
    for value in (found, asked, default):
        if value is not None:
            return value
    raise InvalidInput(f"{path} does not say its {name}: give it with {option}", path=str(path))
