"""What somebody had most often, and behind that what most had: the baseline that next baskets are
hard to predict better than (GP-TopFreq; Li et al., "A Next Basket Recommendation Reality Check",
TOIS 2023).

    score(u, v) = c_uv + Σ_w c_wv / (1 + max over items of Σ_w c_w)

with c_uv the number of u's baskets that hold v: the second term is below 1, so that it decides
among equals and lists what u never had. The state is c, integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from alteraser.models.closed_form.kind import ExactKind, Protocol
from alteraser.models.closed_form.needs import BASKETS, Need
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.deletion import Deletion
    from alteraser.data.events import Events
    from alteraser.data.interactions import Interactions
    from alteraser.models.sessions import histories, user_rows

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    histories = late("alteraser.models.sessions.histories")
    user_rows = late("alteraser.models.sessions.user_rows")


class TopFrequency(ExactKind):
    """``indptr``, ``items``, ``values``: c, sparse, int64; ``holders`` (n,), how many users have
    each item.
    """

    name: ClassVar[str] = "top-frequency"
    needs_history: ClassVar[bool] = False
    repeats: ClassVar[bool] = True
    protocol: ClassVar[Protocol] = "baskets"
    summary: ClassVar[str] = "counts of the baskets in which each user had each item"
    needs: ClassVar[tuple[Need, ...]] = (BASKETS,)

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """{``indptr``, ``items``, ``values``, ``holders``}."""
        events = histories.events_of(data, self.name)
        return user_rows.summed(events, _ones(events), data.shape[0]).to_state(data.shape[1])

    def without(
        self,
        state: Mapping[str, Array],
        deletion: Deletion,
        *,
        threads: int = 0,
    ) -> dict[str, Array]:
        """``state`` with the counts of whom something goes made anew."""
        users, remaining = deletion.touched_users, deletion.removal.remaining
        m, n = remaining.shape
        events = histories.of_users(histories.events_of(remaining, self.name), users)
        fresh = user_rows.summed(events, _ones(events), m)
        return user_rows.exchanged(user_rows.UserRows.of(state), fresh, users).to_state(n)

    def part(self, events: Events) -> Any:
        """(items, values) of one user's row."""
        return user_rows.part(events, _ones)

    def merged(
        self, state: Mapping[str, Array], parts: Mapping[int, Any], shape: tuple[int, int]
    ) -> dict[str, Array] | None:
        """``state`` with other rows of some users."""
        return user_rows.merged(state, parts, shape)

    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """The largest relative difference from what SciPy adds up of distinct (basket, item)."""
        from scipy.sparse import csr_array

        events = histories.events_of(data, self.name)
        distinct = np.unique(np.stack([events.numbers, events.items.astype(np.int64)]), axis=1)
        users = events.owners[distinct[0]]
        return user_rows.rows_apart(
            state, csr_array((np.ones(users.size), (users, distinct[1])), data.shape)
        )

    def scores(
        self, state: Mapping[str, Array], rows: Array, history: Interactions | None
    ) -> Array:
        """(len(rows), n) float64; −∞ for an item that nobody has."""
        counts = user_rows.UserRows.of(state).matrix(state["holders"].size)
        totals = np.bincount(state["items"], state["values"], state["holders"].size)
        found: Array = counts[rows].toarray() + totals / (1.0 + totals.max(initial=0.0))
        found[:, totals == 0] = -np.inf
        return found

    def matrix(self, state: Mapping[str, Array]) -> Any:
        """How many baskets hold each item, (n, 1)."""
        from scipy.sparse import csr_array

        return csr_array(
            np.bincount(state["items"], state["values"], state["holders"].size)[:, None]
        )

    def shapes(self, items: int) -> Mapping[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes)} of the state of a model with so many item rows; None: any
        number.
        """
        return user_rows.shapes(items, "int64")

    def compacted(self, state: Mapping[str, Array], users: Array) -> Mapping[str, Array]:
        """The rows of ``users`` alone; the others are empty."""
        return {
            **state,
            "indptr": np.append(state["indptr"][users], state["items"].size).astype(np.int64),
        }

    def check_state(self, state: Mapping[str, Array], shape: tuple[int, int]) -> None:
        """ValueError where the arrays are no rows of users."""
        user_rows.check_rows(state, shape)


def _ones(events: Events) -> Array:
    """Every basket counts once."""
    return np.ones(events.owners.size, np.int64)
