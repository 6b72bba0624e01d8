"""What is the same of every network that says what comes next in a session."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from alteraser.models.networks.kind import ITEMS, NetworkKind
from alteraser.models.sessions.kind import SessionKind
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from alteraser.data.interactions import Interactions
    from alteraser.models.networks import encoders, next_item, order, training, windows
    from alteraser.models.sessions import histories

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    torch = late("torch")
    next_item = late("alteraser.models.networks.next_item")
    order = late("alteraser.models.networks.order")
    training = late("alteraser.models.networks.training")
    windows = late("alteraser.models.networks.windows")
    histories = late("alteraser.models.sessions.histories")


class FormedNetwork(NamedTuple):
    """A state, as lists are made of it."""

    weights: Mapping[str, Any]
    """float64 tensors by name; the table holds the items that occur alone"""
    rows: Array
    """(k,) the row of each of these"""
    places: Array
    """(n,) where each row is among them, −1 for one that does not occur"""


class SequenceKind(NetworkKind, SessionKind):
    """``items`` (n, d), zeros for an item without an event; the network's parameters by their
    names.
    """

    length: int = Field(
        default=50, ge=1, le=10_000, description="Events that a prediction is made from, at most"
    )

    @abstractmethod
    def encoder(self) -> encoders.Encoder:
        """The network."""

    def parameters(self) -> encoders.Shapes:
        """Those of the network."""
        return self.encoder().shapes()

    def task(self, data: Interactions) -> next_item.NextItem:
        """The next item, over all items."""
        events = histories.events_of(data, self.name, ordered=True)
        items = order.Present.of(data.items, data.item_counts)
        found = windows.Windows.of(data, events, items, self.length)
        return next_item.NextItem(self.encoder(), items, found, self.course())

    def tables(self, task: Any) -> Mapping[str, order.Present]:
        """The items."""
        return {ITEMS: task.items}

    def formed(self, state: Mapping[str, Array], history: Interactions | None) -> FormedNetwork:
        """``state`` as tensors; DependencyMissing."""
        self._require()
        table = state[ITEMS]
        rows = np.flatnonzero(table.any(axis=1))
        places = np.full(len(table), -1, np.int64)
        places[rows] = np.arange(rows.size)
        weights = {name: torch.from_numpy(x.astype(np.float64)) for name, x in state.items()}
        return FormedNetwork(
            weights | {ITEMS: weights[ITEMS][torch.from_numpy(rows)]}, rows, places
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
            hidden = next_item.encoded(self.encoder(), state.weights, items)
            last = hidden[torch.arange(some.size), torch.from_numpy(ends - 1)]
            scores = (last @ state.weights[ITEMS].T).numpy()
        found[np.asarray(rows)[some][:, None], state.rows] = scores
