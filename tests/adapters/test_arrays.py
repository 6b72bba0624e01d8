"""Pairs of arrays: the contract, once for each container."""

from __future__ import annotations

from contract import FIXTURES, AdapterContract

from alteraser.adapters import ForeignOptions, arrays

HERE = FIXTURES / "arrays"


class ArraysContract(AdapterContract):
    adapter = arrays.ADAPTER
    shape = (40, 25, 6)
    options = ForeignOptions(loss="implicit-als", alpha=2.0, regularization=0.5)


class TestNpz(ArraysContract):
    fixture = HERE / "pair.npz"


class TestSafetensors(ArraysContract):
    fixture = HERE / "pair.safetensors"


class TestFolder(ArraysContract):
    fixture = HERE / "pair"


class TestLensKit(ArraysContract):
    fixture = HERE / "lenskit.safetensors"
    shape = (39, 24, 6)
    options = ForeignOptions(loss="lenskit-als", alpha=2.0, regularization=0.5)
