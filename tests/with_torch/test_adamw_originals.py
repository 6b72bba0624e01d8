"""Models that AdamW trained, stopped early as always: ``auto`` and ``local`` take them like any
other of ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import alteraser as ae  # noqa: E402
from alteraser.cli.main import main  # noqa: E402
from alteraser.data.interactions import Interactions  # noqa: E402
from alteraser.data.selection import Selection  # noqa: E402
from alteraser.erasers import eraser  # noqa: E402
from alteraser.errors import DependencyMissing  # noqa: E402
from alteraser.solvers import SOLVERS  # noqa: E402
from alteraser.verbs.choose import Auto, trained  # noqa: E402
from alteraser.verbs.forget import match, plan  # noqa: E402

pytestmark = pytest.mark.torch

SETTINGS = {"factors": 3, "missing_weight": 0.2, "regularization": 2.0, "dtype": "float64"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def toy() -> Interactions:
    rng = np.random.default_rng(3)
    tastes = rng.choice(3, 40)[:, None] == rng.choice(3, 25)[None, :]
    u, v = np.nonzero(rng.random((40, 25)) < np.where(tastes, 0.6, 0.1))
    return Interactions.from_pairs(list(zip(u.tolist(), v.tolist(), strict=True)))


def of(data: Interactions, user: int) -> list[tuple[int, int]]:
    return [(user, int(item)) for item in data.indices[data.user_rows == user]]


def originals(data: Interactions) -> dict[str, ae.Model]:
    """From ``train``'s rows by AdamW, and from whole-model AdamW."""
    rows = ae.ENMF(**SETTINGS, solver="adamw", max_passes=2).fit(data)  # type: ignore[arg-type]
    first = ae.ENMF(**SETTINGS).fit(data)  # type: ignore[arg-type]
    whole = ae.forget(
        first, of(data, 7)[:1], data=data, method=eraser("retrain-adamw", max_passes=60)
    )
    return {"rows": rows, "whole": whole.model}


@pytest.mark.parametrize("made", ["rows", "whole"])
def test_auto_takes_the_effect_alone_and_verify_agrees(made: str) -> None:
    data = toy()
    model = originals(data)[made]
    data = data if made == "rows" else data.remove(of(data, 7)[:1]).remaining
    erasure = ae.forget(model, of(data, 5), data=data, method=Auto(tolerance=0.05))
    assert (erasure.method, erasure.way.asked) == ("local", "auto")
    assert str(erasure.way.why).startswith("not at rest")
    assert erasure.kind == ("L" if erasure.converged else "D")
    assert erasure.residual < 0.5
    assert erasure.aftermath.lists is not None
    found = ae.verify(
        erasure.model, erasure.remaining, before=model, forgotten=of(data, 5)
    ).certificate
    assert found.kind == erasure.kind
    assert erasure.way.refit_seconds is None, "nothing tells what AdamW's passes take"
    assert trained(erasure.model.training) is None


def test_a_training_by_adamw_is_replayed_bit_for_bit() -> None:
    data = toy()
    model = originals(data)["rows"]
    erasure = ae.forget(model, of(data, 5), data=data, method="replay")
    again = ae.ENMF(**SETTINGS, solver="adamw", max_passes=2).fit(erasure.remaining)  # type: ignore[arg-type]
    np.testing.assert_array_equal(erasure.model.factors.items, again.factors.items)
    assert ae.verify(erasure.model, erasure.remaining).certificate.kind == "A"


def test_a_replay_that_cannot_run_here_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = toy()
    model = originals(data)["rows"].save(tmp_path / "model")
    ae.forget(model, of(data, 5), data=data, method="replay")
    removal = match(model, Selection.of(of(data, 5)), data)
    chosen = plan(model, removal, "auto")
    assert chosen is not None
    assert chosen.method == "replay"

    def missing() -> None:
        raise DependencyMissing("solver adamw needs torch, which is not installed")

    monkeypatch.setitem(SOLVERS, "adamw", missing)
    chosen = plan(model, removal, "auto")
    assert chosen is not None
    assert chosen.method == "local"
    with pytest.raises(DependencyMissing):
        ae.forget(model, of(data, 5), data=data, method="replay")


def test_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = toy()
    pairs = list(zip(data.user_rows.tolist(), data.indices.tolist(), strict=True))
    for name, chosen in (("data.csv", pairs), ("gone.csv", of(data, 5))):
        Path(name).write_text("user_id,item_id\n" + "\n".join(f"{u},{v}" for u, v in chosen) + "\n")
    train = (
        "train data.csv --out adam --solver adamw --factors 3 --missing-weight 0.2 "
        "--regularization 2"
    )
    assert main(f"{train} --max-passes 5 -q".split()) == 0
    capsys.readouterr()
    for number, method in enumerate(("auto", "local")):
        line = (
            f"forget adam gone.csv --data data.csv --out new-{number} --remaining "
            f"left-{number}.csv --json"
        )
        code = main(f"{line} --method {method} --tolerance 0.3".split())
        found = json.loads(capsys.readouterr().out)
        assert (code, found["method"], found["class"], found["method_asked"]) == (
            0,
            "local",
            "L",
            method,
        )
        line = (
            f"verify new-{number} --data left-{number}.csv --before adam --forgotten gone.csv "
            "--json"
        )
        assert main(line.split()) == 0
        assert json.loads(capsys.readouterr().out)["class"] == "L"
