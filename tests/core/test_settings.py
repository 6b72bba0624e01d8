"""Settings that are wrong are told in this package's words, wherever they come from."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import pytest

import alteraser as ae
from alteraser.adapters import ForeignOptions
from alteraser.data.readers import ReadingOptions
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.models import folder


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: ae.ENMF(factors=0),
            "ENMF: factors: Input should be greater than or equal to 1, not 0",
        ),
        (lambda: ae.ENMF(factor=3), "ENMF: factor: there is no such setting"),
        (lambda: ae.ENMF(solver="x"), "ENMF: solver: unknown solver 'x'; there are joint"),
        (
            lambda: ReadingOptions(duplicates="all"),
            "duplicates: Input should be 'refuse', 'first', 'last' or 'sum'",
        ),
        (
            lambda: ForeignOptions(reading={"user_column": ""}),
            "reading.user_column: String should have at least",
        ),
        (
            lambda: ae.Interactions.read("x.csv", thresholds=3),
            "thresholds: there is no such setting",
        ),
        (
            lambda: ae.ENMF.model_validate({"factors": 0}),
            "ENMF: factors: Input should be greater than or equal",
        ),
        (
            lambda: ae.ENMF.model_validate_json('{"seed": -1}'),
            "ENMF: seed: Input should be greater than or equal",
        ),
        (lambda: ae.ENMF.model_validate_json("{"), "ENMF: Invalid JSON"),
        (lambda: ae.Objective(missing_weight=0.1), "Objective: regularization: is missing"),
    ],
)
def test_a_wrong_setting_is_named_without_a_web_address(make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInput) as caught:
        make()
    assert words in str(caught.value)
    assert "http" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_damaged_manifest_is_told_without_a_web_address(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "model", tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["objective"]["regularization"] = -1.0
    manifest["digest"] = folder.digest_of(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(
        IntegrityError, match="regularization: Input should be greater than or equal to 0"
    ) as caught:
        ae.load(tmp_path / "model")
    assert "http" not in str(caught.value)


def test_every_set_of_settings_is_told_so() -> None:
    """No class takes pydantic's base itself, whose errors carry links."""
    plain = []
    for path in sorted(Path(ae.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any(
                ast.unparse(base) == "BaseModel" for base in node.bases
            ):
                plain.append(f"{path.name}: {node.name}")
    assert plain == ["settings.py: Configured"]
