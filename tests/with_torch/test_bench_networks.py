"""The table of `alteraser bench networks`: what its rows must say whatever the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

torch = pytest.importorskip("torch")

from conftest import Run  # noqa: E402

from alteraser.bench.neural.networks import PairsHeldOut, Sessions, best, trained  # noqa: E402
from alteraser.data.interactions import Interactions  # noqa: E402
from alteraser.models.networks.gru4rec import GRU4Rec  # noqa: E402
from alteraser.models.networks.ncf import NCF  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture
def events(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = [
        (user, (begin + step) % 9, f"s{user}-{session}", user * 100 + session * 20 + step)
        for user in range(20)
        for session in range(2)
        for begin in [int(rng.integers(0, 9))]
        for step in range(int(rng.integers(2, 7)))
    ]
    names = ("user_id", "item_id", "s", "t")
    table = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
    pacsv.write_csv(table, tmp_path / "events.csv")
    return tmp_path / "events.csv"


def test_the_reference_agrees_with_itself(events: Path, run: Run) -> None:
    line = f"bench networks {events} --models gru4rec --users 4 --epochs 2 --passes 1"
    code, out, err = run(f"{line} --session-column s --timestamp-column t")
    assert code == 0, err
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for cells in (each.split("|") for each in out.splitlines() if each.startswith("| "))
    }
    assert rows["**trained again, same seed**"][:6] == ["1.000"] * 4 + ["0.00", "+0.000"]
    assert rows["original"][4] == "1.00"
    assert {"trained again, other seed", "warm start, 1 pass", "rewound by 1 pass"} < rows.keys()
    code, _, err = run(f"{line} --session-column s --passes 2")
    assert code == 2
    assert "expected 1 to 1" in err


def test_what_is_trained_step_by_step_is_what_is_trained(events: Path) -> None:
    """The marks that rewinding begins at are of the very training that the model has."""
    data = Interactions.read(events, session_column="s", timestamp_column="t")
    scene = Sessions.of(data, 4)
    pairs = Interactions.read(events, duplicates="first")
    for kind, before in ((GRU4Rec(factors=4), scene.before), (NCF(factors=4), pairs)):
        found = trained(kind, before, {})
        assert all(np.array_equal(found[name], x) for name, x in kind.state(before).items())


def test_what_is_to_go_is_gone_and_what_is_held_out_is_in_neither(events: Path) -> None:
    data = Interactions.read(events, session_column="s", timestamp_column="t")
    scene = Sessions.of(data, 4)
    before, after = scene.before.events, scene.after.events
    assert before is not None
    assert after is not None
    assert len(before) > len(after)
    assert set(np.unique(before.items)) == set(np.unique(after.items))
    assert len(scene.shown) == len(scene.wanted) == len(scene.asked)
    pairs = PairsHeldOut.of(Interactions.read(events, duplicates="first"), 4)
    assert (pairs.after.locate(*pairs.gone) < 0).all()
    assert (pairs.before.locate(*pairs.gone) >= 0).all()
    assert (pairs.before.locate(pairs.rows, pairs.wanted) < 0).all()


def test_best_are_the_largest() -> None:
    block = np.random.default_rng(0).random((3, 30))
    expected = np.argsort(-block, axis=1)[:, :10]
    assert np.array_equal(best(block.copy()), expected)
