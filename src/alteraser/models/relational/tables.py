"""A table of entities: users, items, tags, values of a feature, or users and items together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from alteraser.data.ids import IdMap


@dataclass(frozen=True)
class Table:
    """A name, and the ids of its rows; E_t has ``rows`` rows, those without an id included."""

    name: str
    ids: IdMap

    @property
    def rows(self) -> int:
        """N_t."""
        return self.ids.size

    @classmethod
    def numbered(cls, name: str, rows: int) -> Table:
        """A table whose ids are its row numbers, or that nobody names from outside.

        >>> Table.numbered("node", 3).ids.ids.to_pylist()
        [0, 1, 2]
        """
        numbers = np.arange(rows, dtype=np.int64)
        return cls(name, IdMap(pa.array(numbers), numbers, rows))
