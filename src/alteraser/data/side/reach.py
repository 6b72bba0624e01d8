"""Who is linked to DATA: a part of a graph that touches none of their users and items."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from alteraser.data.side.given import Given


def stranded(given: Given) -> Mapping[str, int]:
    """By table, how many entities no chain of rows links to anybody in DATA; tables without such
    ones are left out. O(rows).
    """
    starts, size = {}, 0
    for table, ids in given.entities.items():
        starts[table], size = size, size + ids.size
    pairs = []
    for one in given.links:
        sides = ((one.source, one.heads), (one.target, one.tails))
        pairs.append(
            [
                starts[table] + given.entities[table].rows_of(coded.ids.ids, table)[coded.rows]
                for table, coded in sides
            ]
        )
    heads, tails = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    edges = coo_array((np.ones(heads.size, np.int8), (heads, tails)), shape=(size, size))
    _, component = connected_components(edges, directed=False)
    apart = ~np.isin(component, component[np.concatenate(pairs[0])])
    found = {
        table: int(apart[start : start + given.entities[table].size].sum())
        for table, start in starts.items()
    }
    return {table: count for table, count in found.items() if count}
