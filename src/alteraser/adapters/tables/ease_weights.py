"""EASE weights (Steck, WWW 2019) as NumPy saves them: a square ``.npy``, or an ``.npz`` with it and
perhaps item ids.

    B = I − P diag(P)⁻¹,  P = (XᵀX + λI)⁻¹,      scores X B, items in columns

What somebody's notebook, RecBole's ``EASE.item_similarity`` or Cornac's ``EASE.B`` holds. λ is not
in the file: ``--regularization`` says it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.adapters import npz
from alteraser.adapters.mapped import map_region
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.tables.contract import ItemTable
from alteraser.data.files import atomic_write
from alteraser.data.ids import IdMap, as_id_array
from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput
from alteraser.models.ease.ease import EASE

Array = npt.NDArray[Any]

IDS = ("item_ids", "items", "ids")
"""Names of an array of ids beside the weights, row by row"""
HEAD = b"\x93NUMPY"


@dataclass(frozen=True)
class Weights:
    """EASE with its λ, in the file's digits."""

    regularization: float
    dtype: str
    positive: bool = False
    """Whether negative weights were put to 0, as Cornac does unless told otherwise (``posB``)"""

    hint = ""

    @property
    def name(self) -> str:
        """``EASE``"""
        return "EASE without negative weights" if self.positive else "EASE"

    @property
    def limit(self) -> float:
        """Rounding of float32, in which most of these are computed, or of float64."""
        return 1e-3 if self.dtype == "float32" else 1e-6

    @property
    def formula(self) -> str:
        """One line."""
        found = f"B = I − P diag(P)⁻¹, P = (XᵀX + {self.regularization:g} I)⁻¹"
        return f"{found}, what is negative put to 0" if self.positive else found

    def table(self, data: Interactions, *, threads: int = 0) -> Any:
        """In float64, then rounded."""
        kind = EASE(regularization=self.regularization)
        found = kind.matrix(kind.state(data, threads=threads)).astype(self.dtype)
        return np.maximum(found, 0.0) if self.positive else found

    def apart(self, values: Any, data: Interactions) -> float:
        """By NumPy's inverse."""
        from scipy.sparse import csr_array

        n = data.shape[1]
        if values.shape != (n, n):
            return np.inf
        counts = np.ones(len(data)) if data.confidence is None else data.confidence
        x = csr_array((counts, data.indices, data.indptr), shape=data.shape)
        inverse = np.linalg.inv((x.T @ x).toarray() + self.regularization * np.eye(n))
        wanted = -inverse / np.diag(inverse)
        np.fill_diagonal(wanted, 0.0)
        if self.positive:
            wanted[wanted < 0] = 0.0
        largest = float(np.abs(wanted).max(initial=0.0))
        return float(np.abs(wanted - values).max(initial=0.0)) / (largest or 1.0)


class EaseWeights:
    """``ease-weights``"""

    name = "ease-weights"

    def recognizes(self, path: Path) -> bool:
        """A square array of floats with nothing on its diagonal, alone or in an ``.npz``."""
        try:
            return self._square(path) is not None
        except Exception:
            return False

    def read(self, path: Path, options: ForeignOptions) -> ItemTable:
        """See ``TableAdapter.read``."""
        found = self._square(path)
        assert found is not None
        archive, name, values = found
        if not np.all(np.isfinite(values)):
            raise InvalidInput(
                f"{path} holds NaN or infinite entries; such a model is not used", path=str(path)
            )
        ids = None if archive is None else ids_beside(archive, len(values), path, but=name)
        return ItemTable(path, self.name, values, ids, state=(archive, name))

    def rules(self, table: ItemTable, options: ForeignOptions) -> Sequence[Weights]:
        """With the λ that was given, and without negative weights where there are none."""
        if options.regularization is None or not options.regularization > 0:
            raise InvalidInput(
                f"{table.path} holds the weights of EASE, but not the λ they were made with: give "
                "it with --regularization",
                path=str(table.path),
            )
        forms = [False, True] if table.values.min() >= 0 else [False]
        kind = table.values.dtype.name
        return [Weights(options.regularization, kind, positive) for positive in forms]

    def write(self, table: ItemTable, values: Any, out: Path, remaining: Interactions) -> None:
        """See ``TableAdapter.write``; whatever else is in an ``.npz`` stays."""
        archive, name = table.state
        if archive is not None:
            npz.rewrite(archive, {name: values}, out)
            return
        with atomic_write(out) as file:
            np.save(file, np.asfortranarray(values) if table.values.flags.f_contiguous else values)

    def _square(self, path: Path) -> tuple[npz.NpzArchive | None, str, Array] | None:
        """(archive, name, array) of the weights at ``path``; None where there are none."""
        if npz.is_npz(path):
            archive = npz.open_npz(path)
            square = [
                name
                for name, member in archive.members.items()
                if _is_square(member.shape, member.dtype)
            ]
            if len(square) != 1:
                return None
            values = archive.array(square[0])
            return (archive, square[0], values) if not np.diag(values).any() else None
        if not path.is_file():
            return None
        with open(path, "rb") as file:
            if file.read(len(HEAD)) != HEAD:
                return None
            file.seek(0)
            shape, fortran, dtype = npz.npy_header(file, str(path))
            if not _is_square(shape, dtype):
                return None
            values = map_region(path, file.tell(), dtype, shape, "F" if fortran else "C")
        return (None, "", values) if not np.diag(values).any() else None


def ids_beside(archive: npz.NpzArchive, count: int, path: Path, *, but: str = "") -> IdMap | None:
    """The ids of ``count`` items, row by row, of an array beside their table; None where there is
    none. ``but``: the name of the table.
    """
    named = [each for each in IDS if each in archive.members and each != but]
    if not named:
        return None
    array = as_id_array(pa.array(archive.array(named[0]).tolist()), f"{path}: {named[0]}")
    if len(array) != count or len(array.unique()) != len(array):
        raise InvalidInput(f"{path}: {named[0]} are not the ids of {count:,} items", path=str(path))
    return IdMap(array, np.arange(count, dtype=np.int64), count)


def _is_square(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return len(shape) == 2 and shape[0] == shape[1] > 1 and dtype.kind == "f"


ADAPTER = EaseWeights()
