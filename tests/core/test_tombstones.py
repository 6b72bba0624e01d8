"""What was erased stays known through a file, and costs nothing to who never asks."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from alteraser.data.erased import HASH_BYTES
from alteraser.data.interactions import Interactions
from alteraser.engines.store.tombstones import Tombstones

KEY = b"k" * 32
KNOWN = st.dictionaries(
    st.binary(min_size=HASH_BYTES, max_size=HASH_BYTES),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    max_size=20,
)


@given(known=KNOWN)
def test_a_file_has_what_was_written_and_its_bytes_depend_on_nothing_else(
    known: dict[bytes, int | None], tmp_path_factory: object
) -> None:
    folder: Path = tmp_path_factory.mktemp("tombstones")  # type: ignore[attr-defined]
    first, second, third = (folder / name for name in ("first", "second", "third"))
    Tombstones.of(known).write(first)
    read = Tombstones.read(first)
    assert (read.known, len(read)) == (known, len(known))
    read.write(second)
    Tombstones.of(dict(reversed(known.items()))).write(third)
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()


def test_what_was_erased_is_known_after_reading_and_nothing_else_is(tmp_path: Path) -> None:
    gone = Interactions.from_pairs([(1, 1), (2, 3)])
    Tombstones().with_erased(KEY, gone).write(tmp_path / "kept")
    read = Tombstones.read(tmp_path / "kept")
    data = Interactions.from_pairs([(1, 1), (1, 2), (2, 3), (3, 1)])
    assert read.returned(KEY, data).tolist() == [True, False, True, False]
    assert not read.returned(b"other" * 7, data).any()
    assert not Tombstones().returned(KEY, data).any()
    more = read.with_erased(KEY, Interactions.from_pairs([(3, 1)]))
    assert more.returned(KEY, data).tolist() == [True, False, True, True]
    assert len(read) == 2
