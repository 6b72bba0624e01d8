"""Models that a run of an experiment keeps for the next one."""

from __future__ import annotations

from pathlib import Path

import pytest

from alteraser import Interactions
from alteraser.bench.kept_models import KeptModels, kept
from alteraser.errors import InvalidInput
from alteraser.models.closed_form.popularity import Popularity

DATA = Interactions.from_pairs([(u, v) for u in range(5) for v in range(u % 2, 5, 2)])


def test_a_model_is_trained_once_and_read_afterward(tmp_path: Path) -> None:
    calls = []

    def find():  # type: ignore[no-untyped-def]
        calls.append(None)
        return Popularity().fit(DATA)

    first, seconds = KeptModels(tmp_path / "set").model("one", "these", find)
    second, same = KeptModels(tmp_path / "set").model("one", "these", find)
    assert len(calls) == 1
    assert second.digest == first.digest
    assert same == seconds


def test_one_of_something_else_is_refused(tmp_path: Path) -> None:
    models = KeptModels(tmp_path)
    models.model("one", "these", lambda: Popularity().fit(DATA))
    with pytest.raises(InvalidInput, match="other data, or otherwise"):
        models.model("one", "those", lambda: Popularity().fit(DATA))


def test_without_a_folder_nothing_stays(tmp_path: Path) -> None:
    with kept(None) as place:
        found = Path(place)
        assert found.is_dir()
    assert not found.exists()
    with kept(tmp_path) as place:
        assert place == tmp_path
    assert tmp_path.exists()
