"""The MLP of neural collaborative filtering (X. He et al., WWW 2017): layers 2d → d → d/2 → 1 over
the rows of a user and an item (section 3.3).

Its logistic loss is taken over all cells, those of what somebody did not have counting
``missing_weight``, in the place of four drawn ones: then training again gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from alteraser.models.networks.kind import ITEMS, NetworkKind
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from alteraser.data.interactions import Interactions
    from alteraser.models.networks import all_cells, encoders, order, training

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    torch = late("torch")
    all_cells = late("alteraser.models.networks.all_cells")
    training = late("alteraser.models.networks.training")

USERS = "users"
"""The array of users' rows"""


class NCF(NetworkKind):
    """``users`` (m, d), ``items`` (n, d), zeros for those without an interaction; the layers by
    name.
    """

    name: ClassVar[str] = "ncf"
    needs_history: ClassVar[bool] = False
    summary: ClassVar[str] = "a network over the rows of a user and an item"

    factors: int = Field(default=32, ge=1, le=4096, description="Length of a row")
    epochs: int = Field(default=20, ge=0, description="Passes over all of the data")
    batch: int = Field(default=4, ge=1, description="Users per step: at least so many, on average")
    learning_rate: float = Field(
        default=0.01, gt=0.0, le=1e6, description="Adam's, at the start; it falls to 0"
    )
    missing_weight: float = Field(
        default=0.1, gt=0.0, le=1e6, description="What a cell of nothing counts beside one of 1"
    )

    def parameters(self) -> encoders.Shapes:
        """The layers."""
        return all_cells.shapes(self.factors)

    def task(self, data: Interactions) -> all_cells.AllCells:
        """The logistic loss over all cells."""
        return all_cells.AllCells(data, self.missing_weight, self.course())

    def tables(self, task: Any) -> Mapping[str, order.Present]:
        """Users and items."""
        return {USERS: task.users, ITEMS: task.items}

    def formed(self, state: Mapping[str, Array], history: Interactions | None) -> Any:
        """(tensors, rows of the items that occur, n); DependencyMissing."""
        self._require()
        rows = np.flatnonzero(state[ITEMS].any(axis=1))
        weights = {name: torch.from_numpy(x.astype(np.float64)) for name, x in state.items()}
        some = {ITEMS: weights[ITEMS][torch.from_numpy(rows)]}
        return weights | some, rows, len(state[ITEMS])

    def scores(self, state: Any, rows: Array, history: Interactions | None) -> Array:
        """(len(rows), n) float64 logits; −∞ for items that do not occur."""
        weights, items, size = state
        found = np.full((len(rows), size), -np.inf)
        with training.alone(), torch.no_grad():
            for place, row in enumerate(np.asarray(rows, np.int64)):
                users = weights[USERS][torch.from_numpy(np.array([row]))]
                found[place, items] = all_cells.scores(weights, users)[0].numpy()
        return found

    def compacted(self, state: Mapping[str, Array], users: Array) -> Mapping[str, Array]:
        """The rows of ``users`` alone."""
        return {**state, USERS: state[USERS][users]}

    def shapes(self, items: int) -> Mapping[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """See ``Rule.shapes``."""
        return {**super().shapes(items), USERS: ((None, self.factors), (self.dtype,))}

    def check_state(self, state: Mapping[str, Array], shape: tuple[int, int]) -> None:
        """ValueError where there is not a row for each user."""
        if len(state[USERS]) != shape[0]:
            raise ValueError(f"users must have {shape[0]} rows")
