"""Lists without some items: for everybody, which any kind leaves out of its lists; or each user's
own, by asking it for longer ones; or of some items alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.ids import IdMap
from alteraser.data.selection import Selection
from alteraser.errors import InvalidInput, NotFound

Array = npt.NDArray[Any]
Lists = tuple[Array, Array]

USERS_AT_A_TIME = 1024


@dataclass(frozen=True, eq=False)
class Excluded:
    """Items that are in nobody's list, and (user, item) rows that are not in that user's."""

    items: Array
    """Rows, increasing"""
    keys: Array
    """user row · width + item row, increasing"""
    width: int
    most: int
    """Most entries of ``keys`` that one user has"""

    @classmethod
    def of(
        cls, selection: Selection | None, users: IdMap, items: IdMap, among: Any = None
    ) -> Excluded:
        """The items of a selection of items, or the pairs of one of pairs, and all items but those
        ``among`` which to choose (ids); what the model does not know is passed over.

        Raises InvalidInput for whole users, who name no item, and for a window, NotFound where
        there is nothing to choose among.
        """
        found = cls._of(selection, users, items)
        if among is None:
            return found
        listed = items.rows_of(among, "item_id")
        if not (listed >= 0).any():
            raise NotFound(
                f"none of the {len(listed):,} items to choose among is in the model. Write ids as "
                "in the data; of items that nobody had, a model of kind linear needs the features"
            )
        others = np.setdiff1d(np.arange(items.size), listed)
        return replace(found, items=np.union1d(found.items, others))

    @classmethod
    def _of(cls, selection: Selection | None, users: IdMap, items: IdMap) -> Excluded:
        nothing, width = np.empty(0, np.int64), max(items.size, 1)
        if selection is None:
            return cls(nothing, nothing, width, 0)
        if selection.kind not in ("items", "pairs") or selection.window is not None:
            raise InvalidInput(
                "expected items, or pairs of user and item: whole users name nothing to leave out"
            )
        v = items.rows_of(selection.items, "item_id")
        if selection.kind == "items":
            return cls(np.unique(v[v >= 0]), nothing, width, 0)
        u = users.rows_of(selection.users, "user_id")
        known = (u >= 0) & (v >= 0)
        keys = np.unique(u[known] * np.int64(width) + v[known])
        most = int(np.bincount(keys // width).max(initial=0)) if keys.size else 0
        return cls(nothing, keys, width, most)

    def lists(self, top_items: Callable[..., Lists], rows: Array, k: int, seen: Any) -> Lists:
        """What ``top_items`` gives for ``rows`` with these left out, (users, min(k, items))."""
        longer = k + self.most
        length = min(k, self.width)
        items, scores = (
            np.full((len(rows), length), -1, np.int64),
            np.full((len(rows), length), np.nan),
        )
        for start in range(0, len(rows), USERS_AT_A_TIME):
            part = rows[start : start + USERS_AT_A_TIME]
            found, values = top_items(part, k=longer, seen=seen, without=self.items)
            out = np.isin(part[:, None] * np.int64(self.width) + found, self.keys)
            out |= found < 0
            order = np.argsort(out, axis=1, kind="stable")[:, :length]
            gone = np.take_along_axis(out, order, axis=1)
            here = slice(start, start + len(part))
            items[here] = np.where(gone, -1, np.take_along_axis(found, order, axis=1))
            scores[here] = np.where(gone, np.nan, np.take_along_axis(values, order, axis=1))
        return items, scores
