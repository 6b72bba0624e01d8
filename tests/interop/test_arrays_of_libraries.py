"""Real implicit and LensKit write; the command forgets; they read what it wrote (``make
test-interop``)."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pytest
import side

from alteraser.adapters import find
from alteraser.adapters.options import ForeignOptions
from alteraser.cli.main import main

pytestmark = pytest.mark.interop
HERE = Path(__file__).parent


def forget(folder: Path, model: str, options: str, tolerance: str, code: int = 0) -> None:
    """User 5 whole and nobody else, by the command line, which ends with ``code``."""
    (folder / "user.csv").write_text("user_id\n5\n")
    line = (
        f"forget {folder}/{model} {folder}/user.csv --data {folder}/data.csv --rating plays "
        f"{options}"
    )
    out = f"--out {folder}/new{Path(model).suffix} --remaining {folder}/rest.csv -q"
    method = ["--method", "converge", "--tolerance", tolerance]
    assert main([*line.split(), *method, *out.split()]) == code


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("implicit")
    side.run("implicit", side.FIXTURES / "implicit" / "make_implicit.py", folder)
    return folder


def test_the_fixtures_are_what_the_library_writes(written: Path) -> None:
    for path in sorted((side.FIXTURES / "implicit").glob("*.npz")):
        with np.load(path) as kept, np.load(written / path.name) as fresh:
            assert kept.files == fresh.files
            assert [kept[name].dtype for name in kept.files] == [
                fresh[name].dtype for name in fresh.files
            ]
    assert pacsv.read_csv(written / "data.csv").equals(
        pacsv.read_csv(side.FIXTURES / "implicit" / "data.csv")
    )


@pytest.mark.parametrize("name", ["als", "als_cholesky", "als_double", "bpr", "lmf"])
def test_implicit_reads_and_uses_the_result(written: Path, tmp_path: Path, name: str) -> None:
    for file in (f"{name}.npz", "data.csv"):
        shutil.copyfile(written / file, tmp_path / file)
    kind = name.split("_")[0]
    # of a sampled loss nothing but the empty rows can be told from the files: class D, exit 8
    tolerance, code = ("1e-4", 0) if kind == "als" else ("0.05", 8)
    forget(tmp_path, f"{name}.npz", "--rows-are-ids", tolerance, code)
    found = side.answer("implicit", HERE / "read_implicit.py", tmp_path, kind)
    ours = find(tmp_path / "new.npz").read(tmp_path / "new.npz", ForeignOptions())
    d = ours.shape[2]
    users = np.array(found["users"], found["dtype"])
    np.testing.assert_array_equal(users[:, :d], ours.users)
    np.testing.assert_array_equal(np.array(found["items"], found["dtype"])[:, :d], ours.items)
    assert not users[5, :d].any()
    seen = pacsv.read_csv(tmp_path / "rest.csv")
    for user, items in enumerate(found["recommended"]):
        assert not set(items) & set(
            seen["item_id"].filter(np.equal(seen["user_id"], user)).to_pylist()
        )
    if kind == "als":
        # the library's own least squares on what remains leaves our rows where they are
        assert max(found["moves"]) < 1e-3


def test_lenskit_reads_and_uses_the_result(tmp_path: Path) -> None:
    side.run("lenskit", side.FIXTURES / "arrays" / "make_lenskit.py", tmp_path)
    shutil.copyfile(side.FIXTURES / "implicit" / "data.csv", tmp_path / "data.csv")
    maps = f"--users-map {tmp_path}/lenskit_users.json --items-map {tmp_path}/lenskit_items.json"
    forget(
        tmp_path,
        "lenskit.safetensors",
        f"--loss lenskit-als --alpha 2 --regularization 0.5 {maps}",
        "1e-4",
    )
    found = side.answer("lenskit", HERE / "read_lenskit.py", tmp_path)
    for user, (folded, stored) in found["folded"].items():
        if user == "5":
            assert not np.any(stored)
        else:
            # its own solve of the user, from what remains
            np.testing.assert_allclose(folded, stored, atol=2e-3)
    assert np.allclose(found["scores"]["5"], 0)
