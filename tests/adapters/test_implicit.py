"""implicit's files: the contract, once for each kind, and what is particular to them."""

from __future__ import annotations

from contract import FIXTURES, AdapterContract

from alteraser.adapters import implicit

HERE = FIXTURES / "implicit"


class ImplicitContract(AdapterContract):
    adapter = implicit.ADAPTER
    shape = (40, 25, 6)


class TestALS(ImplicitContract):
    fixture = HERE / "als.npz"


class TestDoubleALS(ImplicitContract):
    fixture = HERE / "als_double.npz"


class TestBPR(ImplicitContract):
    fixture = HERE / "bpr.npz"


class TestLogisticMF(ImplicitContract):
    fixture = HERE / "lmf.npz"
