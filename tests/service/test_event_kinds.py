"""Models of sessions served: who asks goes with every session; a window, which a pair does not
have, is refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

import alteraser as ae
from alteraser.cli.main import main
from alteraser.errors import InvalidInput
from alteraser.service.state import create

from .conftest import Service


def test_users_go_with_their_sessions_and_a_window_is_refused(tmp_path: Path) -> None:
    events = [(u, s, i) for u in range(8) for s in range(3) for i in range(4)]
    rows = [(u, 10 * u + s, (u + s + i) % 7, 1000 * u + 10 * s + i) for u, s, i in events]
    user, session, item, timestamp = map(list, zip(*rows, strict=True))
    table = pa.table(
        {"user_id": user, "session_id": session, "item_id": item, "timestamp": timestamp}
    )
    data, model = tmp_path / "data.csv", tmp_path / "model"
    pacsv.write_csv(table, data)
    asked = [
        "train",
        data,
        "--model",
        "vs-knn",
        "--session-column",
        "session_id",
        "--out",
        model,
        "--quiet",
    ]
    assert main([str(word) for word in asked]) == 0
    create(tmp_path / "state", model, data, rate=0)
    service = Service(tmp_path / "state")
    try:
        with pytest.raises(InvalidInput, match="several times"):
            service.send({"user": 3, "since": 0})
        name = service.send({"users": [3]})
        service.work()
        assert service.shown(name)["status"] == "completed"
        left = service.state.load_serving()
    finally:
        service.close()
    original = ae.load(model)
    wanted = ae.forget(
        original, [3], data=ae.Interactions.read(data, original.reading), whole_users=True
    )
    assert left.data.digest == wanted.remaining.digest
    assert left.model.settings.apart(left.model.state, wanted.remaining) == 0
