"""The tool that counts circles finds what there is to find."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("circles", ROOT / "tools" / "circles.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / "thing" / name.replace("__init__", "/__init__").replace("0", "/")
        path.with_suffix(".py").parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".py").write_text(text)
    return folder / "thing"


def test_this_package_has_the_circles_that_are_known(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main([]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "back",
    ["import thing.a", "def f():\n    from thing import a", "if TYPE_CHECKING:\n    from thing.a import A"],
    ids=["at the top", "late", "for types"],
)
def test_a_circle_is_found_however_it_is_imported(
    back: str, tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = package(tmp_path, a="from thing.b import B", b=back, c="from thing import a, b")
    assert tool.main([str(root)]) == 1
    assert "circle: thing.a, thing.b\n" in capsys.readouterr().out


def test_another_packages_private_file_is_found(tool: ModuleType, tmp_path: Path) -> None:
    root = package(
        tmp_path, room0a="from thing.room import _own", room0_own="x = 1", door="from thing.room._own import x"
    )
    (root / "room" / "__init__.py").write_text("")
    (root / "room" / "under").mkdir()
    (root / "room" / "under" / "below.py").write_text("from thing.room._own import x")
    _, private = tool.graph(tool.modules(root))
    assert [line.partition(": ")[2] for line in private] == ["thing.room._own.x is private to thing.room"]
