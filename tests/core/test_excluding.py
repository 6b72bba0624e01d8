"""Lists without some items: the whole lists with these struck out, and none of them longer than it
has to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.models.excluding import Excluded
from alteraser.models.ranking import Embeddings, fill_best, left_out

M, N = 5, 9


@st.composite
def worlds(draw: Any) -> tuple[Embeddings, Interactions]:
    """Embeddings with equal scores and zero rows, and what was seen."""
    values = st.integers(-2, 2)
    users, items = (
        np.array(draw(st.lists(values, min_size=2 * n, max_size=2 * n)), np.float32).reshape(n, 2)
        for n in (M, N)
    )
    cells = st.sets(st.tuples(st.integers(0, M - 1), st.integers(0, N - 1)), min_size=1)
    seen = sorted(draw(cells))
    table = pa.table({"user_id": [u for u, _ in seen], "item_id": [v for _, v in seen]})
    maps = (IdMap.build(pa.array(range(size)))[0] for size in (M, N))
    return Embeddings.of(users, items), Interactions.from_table(table).with_maps(*maps)


def ids(most: int) -> Any:
    return st.sets(st.integers(0, most - 1), min_size=1)


@given(worlds(), st.integers(1, N), ids(N), st.booleans(), st.booleans())
def test_they_are_the_whole_ones_with_some_struck_out(
    world: tuple[Embeddings, Interactions], k: int, some: set[int], pairs: bool, other: bool
) -> None:
    embeddings, seen = world
    rows, asked = np.arange(M), []
    own = [(u, v) for u in range(M) for v in some if (u + v) % 2] if pairs else []
    selection = Selection.of(own) if own else None
    excluded = Excluded.of(selection, seen.users, seen.items, sorted(some) if other else None)
    if not other and not own:
        excluded = Excluded.of(Selection.of(sorted(some), whole_items=True), seen.users, seen.items)

    def lists(rows: Any, **how: Any) -> Any:
        asked.append(how["k"])
        return embeddings.lists(rows, **how)

    found, scores = excluded.lists(lists, rows, k, seen)
    every, values = embeddings.lists(rows, k=N, seen=seen)
    for u in range(M):
        out = {v for w, v in own if w == u}
        out |= (set(range(N)) - some if other else set()) if other or own else some
        kept = [
            (v, s)
            for v, s in zip(every[u].tolist(), values[u].tolist(), strict=True)
            if v >= 0 and v not in out
        ][:k]
        assert [v for v in found[u].tolist() if v >= 0] == [v for v, _ in kept]
        assert [s for s in scores[u].tolist() if s == s] == [s for _, s in kept]
    most = max([sum(w == u for w, _ in own) for u in range(M)], default=0)
    assert max(asked) <= k + most, "no longer than a list and what one user has struck out"


@given(ids(N), st.integers(1, N))
def test_a_view_of_a_model_stays_as_it_is(some: set[int], k: int) -> None:
    """Whole numbers too, which have no infinity."""
    counts = np.arange(N)[::-1]
    block = np.broadcast_to(counts, (M, N))
    lists, scores = np.full((M, k), -1, np.int64), np.full((M, k), np.nan)
    fill_best(left_out(block, np.array(sorted(some))), lists, scores)
    kept = [v for v in range(N) if v not in some][:k]
    assert lists.tolist() == [kept + [-1] * (k - len(kept))] * M
    assert (counts == np.arange(N)[::-1]).all()
    assert left_out(block, None) is block
