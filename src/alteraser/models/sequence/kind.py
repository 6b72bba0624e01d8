"""What is the same of every network that says what comes next: how it is trained, how it forgets,
and how that is looked at.

Training is a function of the data, the settings and the seed, and of nothing else (``windows``,
``training``). So a network forgets exactly by the one way that there is for all of them: it is
trained again, from the same numbers, on what remains. What comes out is, byte for byte on the same
machine, what it would be had the rest been all there ever was; ``verify`` trains once more and
compares. On another processor, or under another version of torch, sums are added in another order:
then the last digits differ, and in float64 that is told from an event that was kept (``limit``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from alteraser.models.closed_form.rule import largest_difference
from alteraser.models.sessions.kind import SessionKind
from alteraser.runtime.extras import require
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from alteraser.data.deletion import Deletion
    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import ReadingOptions
    from alteraser.models.sequence import networks, training, windows
    from alteraser.models.sessions import histories

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    torch = late("torch")
    networks = late("alteraser.models.sequence.networks")
    training = late("alteraser.models.sequence.training")
    windows = late("alteraser.models.sequence.windows")
    histories = late("alteraser.models.sessions.histories")

WITHIN = {"float32": 0.0, "float64": 1e-9}
"""What training once more may differ by, of the largest entry of each array: see
``SequenceKind.limit``"""
TABLE = "items"
"""The array of items' rows"""


class Formed(NamedTuple):
    """A state, as lists are made of it."""

    weights: Mapping[str, Any]
    """float64 tensors by name; the table holds the items that occur alone"""
    rows: Array
    """(k,) the row of each of these"""
    places: Array
    """(n,) where each row is among them, −1 for one that does not occur"""


class SequenceKind(SessionKind):
    """``items`` (n, d), zeros for an item without an event; the network's parameters by their
    names.
    """

    extra: ClassVar[str | None] = "torch"
    again: ClassVar[str] = "by the same training once more"
    doing: ClassVar[str] = "training"

    factors: int = Field(default=64, ge=1, le=4096, description="Length of an item's row")
    length: int = Field(
        default=50, ge=1, le=10_000, description="Events that a prediction is made from, at most"
    )
    epochs: int = Field(default=10, ge=0, description="Passes over all sessions")
    batch: int = Field(
        default=32, ge=1, description="Windows of a session per step, at least, on average"
    )
    learning_rate: float = Field(
        default=0.005,
        gt=0.0,
        le=1e6,
        description="Adam's, at the start; it falls to 0",
    )
    regularization: float = Field(
        default=0.0, ge=0.0, allow_inf_nan=False, description="How fast weights decay (AdamW)"
    )
    dtype: Literal["float32", "float64"] = Field(
        default="float32", description="What it is trained and held in"
    )
    seed: int = Field(default=0, ge=0, description="Of the start and the order of sessions")

    @abstractmethod
    def encoder(self) -> networks.Encoder:
        """The network."""

    def course(self) -> training.Course:
        """How it is trained."""
        return training.Course(
            self.factors,
            self.epochs,
            self.batch,
            self.learning_rate,
            self.regularization,
            self.seed,
            self.dtype,
        )

    def check_reading(self, reading: ReadingOptions) -> None:
        """See ``Rule.check_reading``; DependencyMissing where torch is not installed."""
        super().check_reading(reading)
        self._require()

    def _require(self) -> None:
        require("torch", "torch", f"a model of kind {self.name}")

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """The trained network; DependencyMissing, NumericFailure. One thread, whatever ``threads``
        says.
        """
        self._require()
        items, found = self.prepared(data)
        weights = training.started(self.encoder(), items, self.course())
        if not len(found):  # nothing follows anything, so that nothing is known of any item
            weights = {name: torch.zeros_like(value) for name, value in weights.items()}
        return self.kept(training.trained(self.encoder(), weights, found, self.course()), items)

    def prepared(self, data: Interactions) -> tuple[windows.Items, windows.Windows]:
        """The items that occur, and what is trained on."""
        events = histories.events_of(data, self.name, ordered=True)
        items = windows.Items.of(data)
        return items, windows.Windows.of(data, events, items, self.length)

    def kept(self, weights: Mapping[str, Any], items: windows.Items) -> dict[str, Array]:
        """The state of ``weights``, whose table has a row for each of ``items``."""
        found = {name: value.numpy() for name, value in weights.items()}
        table = np.zeros((items.size, self.factors), self.dtype)
        table[items.rows] = found[TABLE]
        return found | {TABLE: table}

    def without(
        self,
        state: Mapping[str, Array],
        deletion: Deletion,
        *,
        threads: int = 0,
    ) -> dict[str, Array]:
        """The network trained again on what remains, from the same seed: nothing of ``state`` goes
        into it.
        """
        if not deletion.forgotten:
            return {name: array.copy() for name, array in state.items()}
        return self.state(deletion.removal.remaining, threads=threads)

    def limit(self, data: Interactions) -> float:
        """What processors and versions of torch may differ by.

        In float32 nothing, for rounding grows in training to what one event does: only the same
        ones can show anything.
        """
        return WITHIN[self.dtype]

    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """How far ``state`` is from that of training once more, array by array, of the largest
        entry.
        """
        return largest_difference(state, self.state(data))

    def formed(self, state: Mapping[str, Array], history: Interactions | None) -> Formed:
        """``state`` as tensors; DependencyMissing."""
        self._require()
        table = state[TABLE]
        rows = np.flatnonzero(table.any(axis=1))
        places = np.full(len(table), -1, np.int64)
        places[rows] = np.arange(rows.size)
        weights = {
            name: torch.from_numpy(value.astype(np.float64)) for name, value in state.items()
        }
        return Formed(
            weights | {TABLE: torch.from_numpy(table[rows].astype(np.float64))}, rows, places
        )

    def continued(self, state: Any, session: Array, owner: int = -1) -> Array:
        """(n,) float64 logits of what comes next; −∞ for items that do not occur, and for all where
        none of the session's does.
        """
        found = np.empty((1, state.places.size))
        self.continued_all(state, [session], found, [0])
        return np.asarray(found[0])

    def scores(self, state: Any, rows: Array, history: Interactions | None) -> Array:
        """See ``SessionKind.scores``; all sessions at once."""
        assert history is not None  # see needs_history
        events = histories.events_of(history, self.name)
        found = np.full((len(rows), history.shape[1]), -np.inf)
        last = histories.last_groups(events, rows)
        some = np.flatnonzero(last >= 0)
        sessions = [events.items[events.indptr[g] : events.indptr[g + 1]] for g in last[some]]
        self.continued_all(state, sessions, found, some.tolist())
        return found

    def continued_all(
        self, state: Any, sessions: list[Array], found: Array, rows: list[int]
    ) -> None:
        """``continued`` of each of ``sessions`` into these rows of ``found``, at once."""
        found[rows] = -np.inf
        known = [state.places[np.asarray(session, np.int64)] for session in sessions]
        known = [one[one >= 0][-self.length :] for one in known]
        some = np.array([at for at, one in enumerate(known) if one.size], np.int64)
        if not some.size:
            return
        ends = np.array([known[at].size for at in some])
        items = np.full((some.size, ends.max()), -1, np.int64)
        for row, at in enumerate(some):
            items[row, : ends[row]] = known[at]
        with training.alone(), torch.no_grad():
            hidden = training.encoded(self.encoder(), state.weights, items)
            last = hidden[torch.arange(some.size), torch.from_numpy(ends - 1)]
            scores = (last @ state.weights[TABLE].T).numpy()
        found[np.asarray(rows)[some][:, None], state.rows] = scores

    def matrix(self, state: Mapping[str, Array]) -> Any:
        """The items' rows."""
        return state[TABLE].astype(np.float64)

    def among(self, matrix: Any, rows: Array) -> Any:
        """Those of some items."""
        return matrix[rows]

    def shapes(self, items: int) -> Mapping[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes)} of the state of a model with so many item rows."""
        self._require()
        own = {name: shape for name, (shape, _) in self.encoder().shapes().items()}
        return {name: (shape, (self.dtype,)) for name, shape in own.items()} | {
            TABLE: ((items, self.factors), (self.dtype,))
        }
