"""Cornac's EASE (``<dir>/EASEᴿ/<time>.pkl``), its pickle not run.

The pickle holds the weights ``B``, the ratings ``U`` that they were made of, λ (``lamb``), whether
negative weights were put to 0 (``posB``, so unless told otherwise), the ids, and the mean and the
range of the ratings. All of it is made anew; something that no id can be takes the place of an
erased user's, because Cornac reads positions off the order of ``uid_map``. Facts of Cornac 3.0.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alteraser.adapters._cornac_ids import ids_of, leave
from alteraser.adapters._pickle import Call, load, protocol_of
from alteraser.adapters._pickled import (
    array,
    mentions,
    names,
    put_array,
    read_pickle,
    scalar,
    write_pickle,
)
from alteraser.adapters._pickling import dump
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.tables._sparse import FORMS, compressed, put_compressed
from alteraser.adapters.tables.contract import ItemTable
from alteraser.adapters.tables.ease_weights import Weights
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput

EASE = ("cornac.models.ease.recom_ease", "EASE")
KNOWN = names(EASE, *FORMS)
WEIGHTS, PAIRS = "B", "U"


class CornacEase:
    """``cornac-ease``"""

    name = "cornac-ease"

    def recognizes(self, path: Path) -> bool:
        """A pickle that begins with Cornac's EASE."""
        return mentions(path, EASE[0].encode())

    def read(self, path: Path, options: ForeignOptions) -> ItemTable:
        """See ``TableAdapter.read``; pickles are read only with ``--allow-pickle``."""
        attributes = _attributes(read_pickle(path, KNOWN, allow=options.allow_pickle), path)
        values = array(attributes[WEIGHTS], f"{path}: {WEIGHTS}")
        pairs = compressed(attributes[PAIRS], "csr", f"{path}: {PAIRS}", path)
        n = pairs.shape[1]
        if values.shape != (n, n) or values.dtype.kind != "f" or not np.isfinite(values).all():
            raise IntegrityError(
                f"{path}: {WEIGHTS} is no table of its {n:,} items; it is damaged", path=str(path)
            )
        users, items = (
            ids_of(attributes, name, size, path)
            for name, size in zip(("uid_map", "iid_map"), pairs.shape, strict=True)
        )
        return ItemTable(path, self.name, values, items, users, pairs, attributes)

    def rules(self, table: ItemTable, options: ForeignOptions) -> Sequence[Weights]:
        """EASE with the λ of the file."""
        ridge = float(scalar(table.state["lamb"], "lamb"))
        if options.regularization not in (None, ridge):
            raise InvalidInput(
                f"--regularization {options.regularization} contradicts {table.path}, which says "
                f"lamb = {ridge:g}; leave the option out",
                path=str(table.path),
            )
        positive = bool(scalar(table.state.get("posB", False), "posB"))
        return [Weights(ridge, table.values.dtype.name, positive)]

    def write(self, table: ItemTable, values: Any, out: Path, remaining: Interactions) -> None:
        """See ``TableAdapter.write``."""
        content = table.path.read_bytes()
        tree = load(content, str(table.path), KNOWN)
        attributes = _attributes(tree, table.path)
        ratings = np.ones(len(remaining)) if remaining.confidence is None else remaining.confidence
        put_array(attributes[WEIGHTS], values)
        put_compressed(attributes[PAIRS], ratings, remaining.indices, remaining.indptr)
        gone = (np.diff(table.pairs.indptr) > 0) & (remaining.user_counts == 0)
        leave(attributes["uid_map"], np.flatnonzero(gone).tolist())
        attributes["_Recommender__user_ids"] = None
        if ratings.size:
            told = (("global_mean", np.mean), ("max_rating", np.max), ("min_rating", np.min))
            attributes.update({name: float(of(ratings)) for name, of in told})
        for name in ("train_set", "val_set", "test_set"):
            if name in attributes:
                attributes[name] = None
        write_pickle(out, dump(tree, protocol_of(content) or 5))


def _attributes(tree: Any, path: Path) -> dict[str, Any]:
    """What the model holds. Raises InvalidInput for one that was not fitted."""
    found = tree.attributes if isinstance(tree, Call) else {}
    if any(found.get(name) is None for name in (WEIGHTS, PAIRS, "uid_map", "iid_map", "lamb")):
        raise InvalidInput(
            f"{path} is not an EASE of Cornac's that was fitted; check the path", path=str(path)
        )
    return found


ADAPTER = CornacEase()
