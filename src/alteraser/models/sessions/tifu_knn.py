"""Next baskets by how often and how lately, of oneself and of the nearest others (TIFU-kNN: Hu et
al., SIGIR 2020).

The baskets of a user, in order, are cut into groups of ``group_size`` m from the latest back; the
oldest group holds the rest. With |g| baskets b in group g, G groups, and b_v 1 where the basket
holds v, else 0,

    in a group    x_gv = 1/|g| Σ_{i = 1..|g|} r_b^(|g| − i) b_iv
        r_b = ``within_decay``, i = |g| the latest
    of a user     u_v  = 1/G Σ_{g = 1..G} r_g^(G − g) x_gv
        r_g = ``group_decay``, g = G the latest
    score         α u_v + (1 − α) mean of w_v over the ``neighbors`` K nearest other users w

nearest by Euclidean distance; equally near ones: the lower row first. (In the paper's code the
number of groups is given, not their size; the paper speaks of the size, as here.)

The state is the vectors u. That of a user is of their baskets alone, so forgetting makes those anew
of whom something goes: sums of the same terms in the same order, in every bit what fitting on the
rest gives. Who is near whom is found when lists are asked for, so nobody's vector is left in
others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from alteraser.models.closed_form.kind import ROUNDED, ExactKind, Protocol
from alteraser.models.closed_form.needs import BASKETS, Need
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.deletion import Deletion
    from alteraser.data.events import Events
    from alteraser.data.interactions import Interactions
    from alteraser.models import ranking
    from alteraser.models.sessions import histories, user_rows

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    ranking = late("alteraser.models.ranking")
    histories = late("alteraser.models.sessions.histories")
    user_rows = late("alteraser.models.sessions.user_rows")

DISTANCES = 1 << 23
"""Most distances at a time"""


class FormedVectors(NamedTuple):
    """What distances are made of: vectors (m, n), sparse, their transpose, and ‖u‖² (m,), ∞ for who
    has no basket.
    """

    vectors: Any
    flipped: Any
    squares: Array


class TIFUKNN(ExactKind):
    """``indptr``, ``items``, ``values``, the vectors of users, sparse; ``holders`` (n,), how many
    have each item: see ``UserRows``.
    """

    name: ClassVar[str] = "tifu-knn"
    needs_history: ClassVar[bool] = False
    repeats: ClassVar[bool] = True
    protocol: ClassVar[Protocol] = "baskets"
    summary: ClassVar[str] = "a vector of how often and how lately for each user"
    needs: ClassVar[tuple[Need, ...]] = (BASKETS,)
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "neighbors": (100, 300),
        "group_size": (3, 7),
        "alpha": (0.3, 0.7),
    }

    neighbors: int = Field(
        default=300, ge=0, le=100_000, description="K, how many of the nearest users are averaged"
    )
    group_size: int = Field(default=7, ge=1, description="How many baskets of a user are a group")
    within_decay: float = Field(
        default=0.9,
        gt=0.0,
        le=1.0,
        description="What a basket counts for beside the next one in its group",
    )
    group_decay: float = Field(
        default=0.7,
        gt=0.0,
        le=1.0,
        description="What a group of baskets counts for beside the next one",
    )
    alpha: float = Field(
        default=0.7,
        ge=0.0,
        le=1.0,
        description="How much a user's own baskets count; the rest is the neighbors'",
    )

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """{``indptr``, ``items``, ``values``, ``holders``}."""
        events = histories.events_of(data, self.name)
        return user_rows.summed(events, self.weights(events), data.shape[0]).to_state(data.shape[1])

    def weights(self, events: Events) -> Array:
        """(groups,) what each basket counts for in its user's vector."""
        owners = events.owners
        counts = np.bincount(owners) if owners.size else np.empty(0, np.int64)
        ends = np.cumsum(counts)
        back = ends[owners] - 1 - np.arange(owners.size)  # 0: the latest of its user
        group, place = np.divmod(back, self.group_size)
        groups = -(-counts // self.group_size)[owners]
        size = np.where(
            group == groups - 1, counts[owners] - group * self.group_size, self.group_size
        )
        return np.asarray(
            np.power(self.within_decay, place)
            * np.power(self.group_decay, group)
            / (size * groups).astype(np.float64)
        )

    def without(
        self,
        state: Mapping[str, Array],
        deletion: Deletion,
        *,
        threads: int = 0,
    ) -> dict[str, Array]:
        """``state`` with the vectors of whom something goes made anew."""
        users = deletion.touched_users
        remaining = deletion.removal.remaining
        m, n = remaining.shape
        events = histories.of_users(histories.events_of(remaining, self.name), users)
        fresh = user_rows.summed(events, self.weights(events), m)
        return user_rows.exchanged(user_rows.UserRows.of(state), fresh, users).to_state(n)

    def part(self, events: Events) -> Any:
        """(items, values) of one user's row."""
        return user_rows.part(events, self.weights)

    def merged(
        self, state: Mapping[str, Array], parts: Mapping[int, Any], shape: tuple[int, int]
    ) -> dict[str, Array] | None:
        """``state`` with other rows of some users."""
        return user_rows.merged(state, parts, shape)

    def limit(self, data: Interactions) -> float:
        """Rounding: other code adds up in another order."""
        return ROUNDED

    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """The largest relative difference from vectors that are decayed basket by basket, from the
        first one on.
        """
        events = histories.events_of(data, self.name)
        owners, baskets = events.owners.tolist(), np.split(events.items, events.indptr[1:-1])
        rows: list[dict[int, float]] = [{} for _ in range(data.shape[0])]
        of_user: list[list[Any]] = [[] for _ in range(data.shape[0])]
        for owner, basket in zip(owners, baskets, strict=False):
            of_user[owner].append(set(basket.tolist()))
        for row, mine in zip(rows, of_user, strict=True):
            first = len(mine) % self.group_size or self.group_size
            groups = [mine[:first]] if mine else []
            groups += [
                mine[at : at + self.group_size] for at in range(first, len(mine), self.group_size)
            ]
            for group in groups:
                _decay(row, self.group_decay)
                part: dict[int, float] = {}
                for held in group:
                    _decay(part, self.within_decay)
                    for item in held:
                        part[item] = part.get(item, 0.0) + 1.0
                for item, value in part.items():
                    row[item] = row.get(item, 0.0) + value / len(group)
            for item in row:
                row[item] /= len(groups)
        return user_rows.rows_apart(state, _sparse(rows, data.shape))

    def formed(self, state: Mapping[str, Array], history: Interactions | None) -> Any:
        """What distances are made of."""
        rows = user_rows.UserRows.of(state)
        vectors = rows.matrix(state["holders"].size)
        squares = np.asarray((vectors * vectors).sum(axis=1)).ravel()
        squares[np.diff(rows.indptr) == 0] = np.inf
        return FormedVectors(vectors, vectors.T.tocsr(), squares)

    def scores(self, state: Any, rows: Array, history: Interactions | None) -> Array:
        """(len(rows), n) float64; −∞ for an item that neither a user nor a neighbor had."""
        own = state.vectors[rows]
        found: Array = self.alpha * own.toarray()
        if self.alpha < 1.0 and self.neighbors:
            step = max(DISTANCES // max(state.squares.size, 1), 1)
            for start in range(0, len(rows), step):
                part = slice(start, start + step)
                found[part] += (1.0 - self.alpha) * self._others(state, np.asarray(rows)[part])
        found[found <= 0] = -np.inf
        return found

    def _others(self, state: Any, rows: Array) -> Array:
        """(len(rows), n) the mean of each user's neighbors; 0 for who has no basket."""
        from scipy.sparse import csr_array

        near = 2.0 * (state.vectors[rows] @ state.flipped).toarray() - state.squares
        near[np.arange(rows.size), rows] = -np.inf
        near[~np.isfinite(state.squares[rows])] = -np.inf
        lists = np.full((rows.size, min(self.neighbors, near.shape[1])), -1, np.int64)
        ranking.fill_best(near, lists, np.zeros(lists.shape))
        held = lists >= 0
        counts = held.sum(axis=1)
        shares = np.repeat(1.0 / np.maximum(counts, 1), counts)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        mean = csr_array((shares, lists[held], indptr), (rows.size, near.shape[1])) @ state.vectors
        return np.asarray(mean.toarray())

    def matrix(self, state: Mapping[str, Array]) -> Any:
        """What all users' vectors are together, (n, 1)."""
        from scipy.sparse import csr_array

        return csr_array(
            np.bincount(state["items"], state["values"], state["holders"].size)[:, None]
        )

    def shapes(self, items: int) -> Mapping[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes)} of the state of a model with so many item rows; None: any
        number.
        """
        return user_rows.shapes(items, "float64")

    def compacted(self, state: Mapping[str, Array], users: Array) -> Mapping[str, Array]:
        """The rows of ``users`` alone; the others are empty."""
        return {
            **state,
            "indptr": np.append(state["indptr"][users], state["items"].size).astype(np.int64),
        }

    def check_state(self, state: Mapping[str, Array], shape: tuple[int, int]) -> None:
        """ValueError where the arrays are no rows of users."""
        user_rows.check_rows(state, shape)


def _decay(row: dict[int, float], factor: float) -> None:
    for item in row:
        row[item] *= factor


def _sparse(rows: list[dict[int, float]], shape: tuple[int, int]) -> Any:
    from scipy.sparse import coo_array

    users = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    items = np.array([item for row in rows for item in row], np.int64)
    values = np.array([value for row in rows for value in row.values()], np.float64)
    return coo_array((values, (users, items)), shape).tocsr()
