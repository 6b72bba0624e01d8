"""RecBole's EASE checkpoints (``saved/EASE-<time>.pth``), without RecBole, without PyTorch, their
pickle not run.

The pickle holds, in ``other_parameter``, the weights B (``item_similarity``, float32, row and
column 0 for [PAD]) and the interactions they were made of (``interaction_matrix``), the training
part of the data set. Both are written anew, so nothing that was forgotten stays in the file; λ is
``reg_weight`` of the configuration. Facts of RecBole 1.2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters._pickled import array, put_array
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.tables._recbole_checkpoint import Checkpoint, names_model
from alteraser.adapters.tables._sparse import compressed, put_compressed
from alteraser.adapters.tables.contract import ItemTable
from alteraser.adapters.tables.ease_weights import Weights
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput

Array = npt.NDArray[Any]

WEIGHTS, PAIRS = "item_similarity", "interaction_matrix"


class RecBoleEase:
    """``recbole-ease``"""

    name = "recbole-ease"

    def recognizes(self, path: Path) -> bool:
        """A checkpoint of RecBole's whose beginning names its EASE."""
        return names_model(path, b"EASE", b"reg_weight")

    def read(self, path: Path, options: ForeignOptions) -> ItemTable:
        """See ``TableAdapter.read``; ids come from ``--users-map``, the ``.inter`` file or
        RecBole's data set.
        """
        checkpoint, other = Checkpoint.read(path, "EASE", {WEIGHTS, PAIRS})
        values, pairs = np.asarray(array(other[WEIGHTS], WEIGHTS)), _pairs(other[PAIRS], path)
        n = pairs.shape[1]
        if (
            values.shape != (n, n)
            or not np.all(np.isfinite(values))
            or values[0].any()
            or values[:, 0].any()
        ):
            raise IntegrityError(
                f"{path}: {WEIGHTS} is no table of its {n - 1:,} items; it is damaged",
                path=str(path),
            )
        users, items = checkpoint.ids(options, (pairs.shape[0] - 1, n - 1))
        return ItemTable(path, self.name, values[1:, 1:], items, users, pairs[1:, 1:], checkpoint)

    def rules(self, table: ItemTable, options: ForeignOptions) -> Sequence[Weights]:
        """EASE with the λ of the configuration."""
        ridge = float(table.state.config["reg_weight"])
        if options.regularization not in (None, ridge):
            raise InvalidInput(
                f"--regularization {options.regularization} contradicts {table.path}, which says "
                f"reg_weight = {ridge}; leave the option out",
                path=str(table.path),
            )
        return [Weights(ridge, "float32")]

    def write(self, table: ItemTable, values: Any, out: Path, remaining: Interactions) -> None:
        """See ``TableAdapter.write``; every other member stays byte for byte."""
        checkpoint: Checkpoint = table.state
        tree = checkpoint.tree()
        n = values.shape[0]
        weights = np.zeros((n + 1, n + 1), np.float32)
        weights[1:, 1:] = values
        other = tree["other_parameter"]
        put_array(other[WEIGHTS], weights)
        counts = np.ones(len(remaining)) if remaining.confidence is None else remaining.confidence
        indptr = np.concatenate([[0], remaining.indptr])
        put_compressed(other[PAIRS], counts, remaining.indices + 1, indptr)
        checkpoint.write(tree, out)


def _pairs(value: Any, path: Path) -> Any:
    """The interactions, (users + 1, items + 1), row and column 0 empty."""
    found = compressed(value, "csr", PAIRS, path)
    if found[[0]].nnz or found[:, [0]].nnz:
        raise IntegrityError(
            f"{path}: {PAIRS} has interactions of [PAD]; it is damaged", path=str(path)
        )
    return found


ADAPTER = RecBoleEase()
