"""The tools that count circles and sizes find what there is to find."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return loaded("circles")


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
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


def test_this_package_has_none(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main([]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "back",
    [
        "import thing.a",
        "def f():\n    from thing import a",
        "if TYPE_CHECKING:\n    from thing.a import A",
    ],
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
        tmp_path,
        room0a="from thing.room import _own",
        room0_own="x = 1",
        door="from thing.room._own import x",
    )
    (root / "room" / "__init__.py").write_text("")
    (root / "room" / "under").mkdir()
    (root / "room" / "under" / "below.py").write_text("from thing.room._own import x")
    _, private = tool.graph(tool.modules(root))
    assert [line.partition(": ")[2] for line in private] == [
        "thing.room._own.x is private to thing.room"
    ]


LARGE = """
class Big:
    def __init__(self, a):
        {stored}

    def many(self, {taken}):
        return {chosen}
"""


def test_what_is_over_a_limit_is_named_with_its_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = loaded("sizes")
    text = LARGE.format(
        stored="; ".join(f"self.a{k} = a" for k in range(19)),
        taken=", ".join(f"b{k}" for k in range(13)),
        chosen=" or ".join(f"b{k % 13}" for k in range(16)),
    )
    for name in ("file.py", "kernels.py", "cli/command.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    sizes = {"Big attributes": 19, "Big.many complexity": 16, "Big.many parameters": 13}
    over = {f"file.py:{what}": size for what, size in sizes.items()}
    over |= {
        f"cli/command.py:{what}": size for what, size in sizes.items() if "parameters" not in what
    }
    over["cli/command.py and file.py and kernels.py:Big classes"] = 3
    assert tool.main([str(tmp_path)]) == 1
    assert [line.partition(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"{what} {over[what]}" for what in sorted(over)
    ]
    for name in ("file.py", "cli/command.py"):
        (tmp_path / name).unlink()
    assert tool.main([str(tmp_path)]) == 0
