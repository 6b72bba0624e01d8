"""RecBole's EASE checkpoints (``saved/EASE-<time>.pth``), without RecBole, without PyTorch, their
pickle not run.

The pickle holds, in ``other_parameter``, the weights B (``item_similarity``, float32, row and
column 0 for [PAD]) and the interactions they were made of (``interaction_matrix``), the training
part of the data set. Both are written anew, so nothing that was forgotten stays in the file; λ is
``reg_weight`` of the configuration. Facts of RecBole 1.2.1.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters._pickle import Call, protocol_of
from alteraser.adapters._pickled import NUMPY, array, put_array
from alteraser.adapters._pickling import dump
from alteraser.adapters._recbole_ids import maps, recbole_class
from alteraser.adapters._torch_zip import TENSORS, Archive, looks_like
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.tables.contract import ItemTable
from alteraser.adapters.tables.ease_weights import Weights
from alteraser.data.files import atomic_write
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput

Array = npt.NDArray[Any]

WEIGHTS, PAIRS = "item_similarity", "interaction_matrix"


@dataclass(frozen=True, eq=False)
class State:
    """What ``write`` needs to find again."""

    archive: Archive
    config: dict[str, Any]


class RecBoleEase:
    """``recbole-ease``"""

    name = "recbole-ease"

    def recognizes(self, path: Path) -> bool:
        """A checkpoint of RecBole's whose beginning names its EASE."""
        head = looks_like(path)
        return b"recbole.config.configurator" in head and b"EASE" in head and b"reg_weight" in head

    def read(self, path: Path, options: ForeignOptions) -> ItemTable:
        """See ``TableAdapter.read``; ids come from ``--users-map``, the ``.inter`` file or
        RecBole's data set.
        """
        archive = Archive(path)
        tree = archive.description(_allowed)
        config = (
            tree["config"].attributes.get("final_config_dict") if isinstance(tree, dict) else None
        )
        other = tree.get("other_parameter") if isinstance(tree, dict) else None
        if (
            not isinstance(config, dict)
            or not isinstance(other, dict)
            or not {WEIGHTS, PAIRS} <= other.keys()
        ):
            raise IntegrityError(
                f"{path} is no checkpoint of RecBole's EASE: it lacks {WEIGHTS}", path=str(path)
            )
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
        source = options.users_map or options.items_map
        if source is None:
            raise InvalidInput(
                f"{path} has no ids: give the .inter file as trained on, or the data set that "
                "RecBole saved, as --users-map",
                path=str(path),
            )
        users, items = maps(source, config, (pairs.shape[0] - 1, n - 1))
        return ItemTable(
            path, self.name, values[1:, 1:], items, users, pairs[1:, 1:], State(archive, config)
        )

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
        state: State = table.state
        content = state.archive.content("data.pkl")
        tree = state.archive.description(_allowed)  # a copy of its own to change
        n = values.shape[0]
        weights = np.zeros((n + 1, n + 1), np.float32)
        weights[1:, 1:] = values
        other = tree["other_parameter"]
        put_array(other[WEIGHTS], weights)
        counts = np.ones(len(remaining)) if remaining.confidence is None else remaining.confidence
        kept = other[PAIRS].attributes
        put_array(kept["data"], counts)
        put_array(kept["indices"], remaining.indices + 1)
        put_array(kept["indptr"], np.concatenate([[0], remaining.indptr]))
        with (
            zipfile.ZipFile(table.path) as old,
            atomic_write(out) as file,
            zipfile.ZipFile(file, "w") as new,
        ):
            for info in old.infolist():
                described = info.filename == f"{state.archive.root}/data.pkl"
                new.writestr(
                    info.filename,
                    dump(tree, protocol_of(content) or 4) if described else old.read(info),
                )


def _allowed(module: str, name: str) -> bool:
    known = (
        TENSORS
        | NUMPY
        | {
            ("yaml.loader", "FullLoader"),
            ("numpy", "matrix"),
            ("scipy.sparse._csr", "csr_matrix"),
            ("scipy.sparse.csr", "csr_matrix"),
        }
    )
    return (module, name) in known or recbole_class(module, name)


def _pairs(value: Any, path: Path) -> Any:
    """The interactions, (users + 1, items + 1), row and column 0 empty."""
    from scipy.sparse import csr_array

    attributes = value.attributes if isinstance(value, Call) else {}
    try:
        data, indices, indptr = (
            array(attributes[name], name) for name in ("data", "indices", "indptr")
        )
        m, n = attributes["_shape"]
        found = csr_array((data.astype(np.float64), indices, indptr), shape=(m, n))
        found.check_format(full_check=True)
    except (KeyError, ValueError, TypeError) as cause:
        raise IntegrityError(
            f"{path}: {PAIRS} is no sparse matrix ({cause}); it is damaged", path=str(path)
        ) from cause
    found.sort_indices()
    if found[[0]].nnz or found[:, [0]].nnz:
        raise IntegrityError(
            f"{path}: {PAIRS} has interactions of [PAD]; it is damaged", path=str(path)
        )
    return found


ADAPTER = RecBoleEase()
