"""Search indexes are known by their first bytes, and word vectors are refused with what to do."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from contract import FIXTURES

from alteraser.adapters import ForeignOptions, find
from alteraser.adapters.forget import forget_foreign, found_siblings, open_foreign
from alteraser.adapters.indexes import index_at, search_indexes
from alteraser.errors import IntegrityError, InvalidInput

HERE = FIXTURES / "indexes"
WORDS = {
    "flat.faiss": "a FAISS index of 12 vectors of 4 numbers",
    "named.faiss": "a FAISS index of 12 vectors of 4 numbers",
    "graph.faiss": "a FAISS index of 12 vectors of 4 numbers",
    "binary.bin": "a binary FAISS index of 12 vectors",
    "points.bin": "an hnswlib index of 12 vectors of 4 numbers",
    "trees.ann": "an Annoy index (by its name)",
}


@pytest.mark.parametrize("name", WORDS)
def test_an_index_is_known_by_its_first_bytes(tmp_path: Path, name: str) -> None:
    anywhere = tmp_path / ("unnamed" if name != "trees.ann" else name)
    shutil.copyfile(HERE / name, anywhere)
    index = index_at(anywhere)
    assert index is not None
    assert index.words == WORDS[name]


def test_nothing_else_is_an_index(tmp_path: Path) -> None:
    for path in FIXTURES.rglob("*"):
        if path.is_file() and path.name not in WORDS:
            assert index_at(path) is None, path
    whole = (HERE / "points.bin").read_bytes()
    for name, content in (
        ("zeros", bytes(200)),
        ("short", whole[:60]),
        ("text", b"IxFI says nothing here" * 9),
        ("numbers", b"IxFI" + struct.pack("<iq", 8, 50) + bytes(90)),
        ("other", whole[:32] + b"\1" + whole[33:]),
    ):
        (tmp_path / name).write_bytes(content)
        assert index_at(tmp_path / name) is None
    assert index_at(tmp_path / "nowhere") is None
    (tmp_path / "old.faiss").write_bytes(b"?")
    found = index_at(tmp_path / "old.faiss")
    assert found is not None
    assert found.words == "a FAISS index (by its name)"


def test_indexes_beside_any_model_are_named_first(tmp_path: Path) -> None:
    for name in ("als.npz", "data.csv"):
        shutil.copyfile(FIXTURES / "implicit" / name, tmp_path / name)
    for name in WORDS:
        shutil.copyfile(HERE / name, tmp_path / name)
    options = ForeignOptions(rows_are_ids=True, rating="plays")
    opened = open_foreign(tmp_path / "als.npz", tmp_path / "data.csv", options)
    erasure = forget_foreign(opened, [(1, 4)], tmp_path / "new.npz")
    named = {sibling.path.name: sibling for sibling in erasure.model.written.siblings}
    assert set(WORDS) <= set(named)
    for name, words in WORDS.items():
        assert named[name].what == f"{words}, a copy of vectors"
        assert "still serves what was erased" in named[name].advice
    order = [sibling.path.name for sibling in found_siblings(opened)]
    assert order[0] == "data.csv"
    assert set(order[1 : 1 + len(WORDS)]) == set(WORDS)


def test_indexes_inside_a_folder_that_is_a_model(tmp_path: Path) -> None:
    model = tmp_path / "pair"
    shutil.copytree(FIXTURES / "arrays" / "pair", model)
    shutil.copyfile(HERE / "flat.faiss", model / "inside.faiss")
    shutil.copyfile(HERE / "flat.faiss", tmp_path / "beside.faiss")
    assert [sibling.path.name for sibling in search_indexes(model)] == [
        "beside.faiss",
        "inside.faiss",
    ]


@pytest.mark.parametrize("name", ["words.model", "words.kv", "words.txt", "words.bin"])
def test_vectors_of_gensim_are_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(
        InvalidInput, match=rf"{name} .*item2vec.* is not forgotten in here.*Train it again"
    ):
        find(HERE / name)


def test_an_index_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput,
        match=r"FAISS index of 12 vectors .* Forget in the model, then build the index",
    ):
        find(HERE / "flat.faiss")
    (tmp_path / "m.joblib").write_bytes(b"\x80\x04\x8c\x13joblib.numpy_pickle\x94.")
    with pytest.raises(InvalidInput, match=r"was written by joblib\.dump"):
        find(tmp_path / "m.joblib")


def test_other_pickles_and_files_that_were_cut_off_are_told(tmp_path: Path) -> None:
    """A pickle of another library says what to save in its place; damage is no other format."""
    (tmp_path / "pipeline.pkl").write_bytes(
        b"\x80\x04\x95\x20\x00\x00\x00\x00\x00\x00\x00\x8c\x16lenskit.pipeline._impl\x94."
    )
    with pytest.raises(InvalidInput, match=r"none of the libraries .* lenskit-als"):
        find(tmp_path / "pipeline.pkl")
    np.savez(tmp_path / "als.npz", user_factors=np.ones((9, 2)), item_factors=np.ones((5, 2)))
    content = (tmp_path / "als.npz").read_bytes()
    for kept, words in ((0, "is empty"), (4, "cut off"), (len(content) // 2, "cut off")):
        (tmp_path / "als.npz").write_bytes(content[:kept])
        with pytest.raises(IntegrityError, match=words):
            find(tmp_path / "als.npz")
