"""What grows a little at a time, at the cost of what comes: ids, and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.ids import IdMap

Array = npt.NDArray[Any]


class GrowingArray:
    """An array that never changes, and behind it what came since.

    >>> column = GrowingArray(np.array([3, 1]))
    >>> column.append(np.array([4, 1, 5]))
    >>> column[np.array([0, 2, 4])].tolist(), column.size, column.all().tolist()
    ([3, 4, 5], 5, [3, 1, 4, 1, 5])
    """

    def __init__(self, first: Array) -> None:
        self.first = first
        self._more, self._count = first[:0].copy(), 0

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self.first.size + self._count

    @property
    def more(self) -> Array:
        """What came since."""
        return self._more[: self._count]

    def append(self, values: Array) -> None:
        """Put ``values`` behind the last; room is doubled, so that each is moved twice at most."""
        count = self._count + values.size
        if count > self._more.size:
            room = np.empty(max(2 * self._more.size, count), self.first.dtype)
            room[: self._count] = self.more
            self._more = room
        self._more[self._count : count] = values
        self._count = count

    def __getitem__(self, places: Array | slice) -> Array:
        if isinstance(places, slice):
            return self.all()[places]
        late = places >= self.first.size
        if not late.any():
            return self.first[places]
        found = np.empty(places.size, self.first.dtype)
        found[~late] = self.first[places[~late]]
        found[late] = self._more[places[late] - self.first.size]
        return found

    def __setitem__(self, places: Array, value: Any) -> None:
        late = places >= self.first.size
        self.first[places[~late]] = value
        self._more[places[late] - self.first.size] = value

    def all(self) -> Array:
        """All of it, one behind the other."""
        return self.first if not self._count else np.concatenate([self.first, self.more])


class GrowingIds:
    """An id map, and ids that came since, in rows behind it."""

    def __init__(self, known: IdMap) -> None:
        self.known, self._new = known, IdMap.build(known.ids.slice(0, 0))[0]

    @property
    def more(self) -> int:
        """How many came since."""
        return len(self._new)

    def rows_of(self, values: Any, what: str = "ids") -> Array:
        """The row of each, −1 where it is unknown."""
        rows = self.known.rows_of(values, what)
        if self.more and (rows < 0).any():
            new = self._new.rows_of(values)
            rows = np.where((rows < 0) & (new >= 0), self.known.size + new, rows)
        return rows

    def grown(self, values: Any) -> Array:
        """The row of each, new ones included."""
        unknown = self.rows_of(values) < 0
        if unknown.any():
            self._new = self._new.extended(values.filter(pa.array(unknown)))
        return self.rows_of(values)

    def ids_of(self, rows: Array) -> pa.Array:
        """The id of each row."""
        if not self.more:
            return self.known.ids_of(rows)
        late = rows >= self.known.size
        both = pa.concat_arrays(
            [self.known.ids_of(rows[~late]), self._new.ids_of(rows[late] - self.known.size)]
        )
        return both.take(
            pa.array(np.argsort(np.concatenate([np.flatnonzero(~late), np.flatnonzero(late)])))
        )

    def merged(self) -> tuple[IdMap, Array]:
        """A map of all ids in their order, and the new row of every row; −1 of one without an
        id. Where nothing came all rows stay, those without an id too: a state may count by them.
        """
        if not self.more:
            return self.known, np.arange(self.known.size)
        both = pa.concat_arrays([self.known.ids, self._new.ids])
        ids, rows = IdMap.build(both)
        moved = np.full(self.known.size + self._new.size, -1, np.int64)
        moved[np.concatenate([self.known.rows, self.known.size + self._new.rows])] = rows
        return ids, moved

    def appended(self) -> IdMap:
        """A map of all ids, in the rows that they have."""
        if not self.more:
            return self.known
        return IdMap(
            pa.concat_arrays([self.known.ids, self._new.ids]),
            np.concatenate([self.known.rows, self.known.size + self._new.rows]),
            self.known.size + self._new.size,
        )
