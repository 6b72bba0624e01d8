"""A request, resolved once against the data of a model: what goes, what matched nothing, who is
left with nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.erased import Erased, Returned, erasing
from alteraser.data.interactions import Interactions, Removal
from alteraser.data.selection import Near, Selection
from alteraser.data.sums import Missing


@dataclass(frozen=True)
class Deletion:
    """D_f = D_a \\ D_r in the rows of a model, with what the data had more or less than it was
    trained on.

    >>> data = Interactions.from_pairs([("ann", "tea"), ("bob", "tea"), ("bob", "jam")])
    >>> gone = Deletion(data, data.remove(["ann"], whole_users=True))
    >>> gone.forgotten, gone.asking.tolist(), gone.remaining.users.ids.to_pylist()
    (1, [True, False], ['bob'])
    """

    data: Interactions
    """D_a, with additions where there are some"""
    removal: Removal
    """What its selection takes out of them"""
    joined: tuple[int, int] = (0, 0)
    """Users and items that the model has no row of"""
    returned: Returned | None = None
    """What of the data was erased before, and is let in again"""
    added: int = 0
    """Interactions that were added since"""
    known: bool = True
    """Whether ``data`` are D_a to the last number"""
    missing: Missing | None = None
    """What of the deletion the data did not have any more, known by the model's sums; None:
    nothing"""
    put_back: int = 0
    """Interactions of the request that the data did not have any more, taken from the request"""
    reweighted: bool = False
    """Numbers of interactions that stay are others in what remains: a statistic of all the data, as
    in BM25"""
    left: Interactions | None = None
    """D_r as a model has numbered it that does not keep its rows, or keeps ids of fewer items"""

    @property
    def selection(self) -> Selection:
        """What was asked for, its window in the unit of the data's times."""
        return self.removal.selection

    @cached_property
    def remaining(self) -> Interactions:
        """D_r in the rows of the new model; users of whom nothing is left have no id there."""
        if self.left is not None:
            return self.left
        users = self.data.users.without(self.removal.emptied_users)
        return self.removal.remaining.with_maps(users, self.data.items)

    @property
    def removed(self) -> Interactions:
        """D_f, as far as the data have it."""
        return self.removal.removed

    @property
    def touched_users(self) -> npt.NDArray[np.int64]:
        """Rows of the users of whom something goes, increasing."""
        return self.removal.touched_users

    @property
    def touched_items(self) -> npt.NDArray[np.int64]:
        """Rows of the items of which something goes."""
        return self.removal.touched_items

    @property
    def forgotten(self) -> int:
        """Interactions that go, those included that the data did not have any more."""
        return self.removal.count

    @property
    def unmatched(self) -> pa.Table:
        """Rows of the request that match no interaction; nothing is done for them."""
        return self.removal.unmatched

    @property
    def near(self) -> tuple[Near, ...]:
        """Ids of ``unmatched`` that the data have but for their form."""
        return self.removal.near

    @property
    def below(self) -> pa.Table | None:
        """Rows of the request that are in the file below the threshold; None: nobody looked."""
        return self.removal.below

    @cached_property
    def asking(self) -> npt.NDArray[np.bool_]:
        """Of which users something goes, (m,)."""
        flags = np.zeros(self.data.users.size, bool)
        flags[self.touched_users] = True
        return flags

    @cached_property
    def items(self) -> tuple[int | str, ...]:
        """Ids of the items that were to go whole, at all times, and are in the data, as they are
        written there.
        """
        selection, known = self.selection, self.data.items
        if selection.kind != "items" or selection.window is not None:
            return ()
        rows = known.rows_of(selection.items, "item_id")
        return tuple(known.ids_of(rows[rows >= 0]).to_pylist())

    @property
    def said(self) -> dict[str, Any]:
        """What there is to say of it further, by the names of a document."""
        return {}

    def recorded(self, record: Erased) -> Erased:
        """``record`` of whom a model has erased, with what goes now and without what is let in
        again.
        """
        kept = record if self.returned is None else record.without(self.returned)
        return erasing(kept, self.removal, self.items)
