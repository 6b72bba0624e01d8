"""RecBole's Pop checkpoints: ``item_cnt`` (n + 1, 1) and ``max_cnt`` (1,), tensors of int64.

What RecBole counts are batches: an item that is twice in one counts once, and of the negatives that
it draws by default each counts as well. Which batches there were is nowhere kept, so what training
on the rest would give is known only where every interaction was a batch of its own, without
negatives (``train_batch_size: 1``, ``train_neg_sample_args: None``): there the counts are those of
the interactions, which is looked at. Facts of RecBole 1.2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.tables._recbole_checkpoint import Checkpoint, names_model
from alteraser.adapters.tables.contract import ItemTable
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError

Array = npt.NDArray[Any]

COUNTS, LARGEST = "item_cnt", "max_cnt"


@dataclass(frozen=True)
class Counts:
    """A count of interactions, of each item."""

    name = "Pop"
    limit = 1e-12
    formula = "how many interactions each item has, and the most that any has"
    hint = (
        "RecBole's Pop counts batches (an item that is twice in one once, negatives that it draws "
        "too), and which there were is not kept: only of one trained with train_batch_size 1 and "
        "train_neg_sample_args None is it known what training on the rest gives"
    )

    def table(self, data: Interactions, *, threads: int = 0) -> Any:
        """(n, 1) int64."""
        return data.item_counts.astype(np.int64)[:, None]

    def apart(self, values: Any, data: Interactions) -> float:
        """Over the largest count."""
        counts = np.zeros((data.shape[1], 1), np.int64)
        np.add.at(counts[:, 0], data.indices, 1)
        if values.shape != counts.shape:
            return np.inf
        return float(np.abs(values - counts).max(initial=0)) / max(int(counts.max(initial=0)), 1)


class RecBolePop:
    """``recbole-pop``"""

    name = "recbole-pop"

    def recognizes(self, path: Path) -> bool:
        """A checkpoint of RecBole's with counts of items."""
        return names_model(path, COUNTS.encode(), LARGEST.encode())

    def read(self, path: Path, options: ForeignOptions) -> ItemTable:
        """See ``TableAdapter.read``."""
        checkpoint, other = Checkpoint.read(path, "Pop", {COUNTS, LARGEST})
        counts, largest = (
            checkpoint.archive.array(checkpoint.archive.located(other[name], name))
            for name in (COUNTS, LARGEST)
        )
        whole = (
            counts.ndim == 2
            and counts.shape[0] > 1
            and counts.shape[1] == 1
            and counts.dtype.kind == largest.dtype.kind == "i"
            and counts.min() >= 0
            and largest.shape == (1,)
            and largest[0] == counts.max()
        )
        if not whole:
            raise IntegrityError(
                f"{path}: {COUNTS} and {LARGEST} are no counts of items and the largest; the file "
                "is damaged",
                path=str(path),
            )
        if counts[0, 0]:
            raise IntegrityError(
                f"{path}: {COUNTS} has {int(counts[0, 0])} of [PAD]; it is damaged", path=str(path)
            )
        users, items = checkpoint.ids(options, (None, counts.shape[0] - 1))
        return ItemTable(path, self.name, np.asarray(counts[1:]), items, users, state=checkpoint)

    def rules(self, table: ItemTable, options: ForeignOptions) -> Sequence[Counts]:
        """The one."""
        return [Counts()]

    def write(self, table: ItemTable, values: Any, out: Path, remaining: Interactions) -> None:
        """See ``TableAdapter.write``; every other byte stays."""
        checkpoint: Checkpoint = table.state
        other = checkpoint.tree()["other_parameter"]
        counts, largest = (
            checkpoint.archive.located(other[name], name) for name in (COUNTS, LARGEST)
        )
        new = np.vstack([np.zeros((1, 1), np.int64), values])
        checkpoint.archive.write(out, {counts: new, largest: new.max(axis=0)})


ADAPTER = RecBolePop()
