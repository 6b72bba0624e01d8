"""Forgetting by a model that is counts or a closed form: what comes out is what counting the rest gives."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from alteraser.data.erased import Erased, Returned
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Near
from alteraser.data.sums import Missing
from alteraser.errors import InvalidInput
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.closed_form.scrubbed import Scrubbed
from alteraser.models.protocol import TrainedOn
from alteraser.verbs.lists import LENGTH, ListedAgain, ListsChanged, listed_again, lists_changed

if TYPE_CHECKING:
    from alteraser.verbs.forget import Matched

METHODS = ("auto", "exact")
"""Names of the one way that there is"""


NOTHING = Scrubbed(0, 0, 0)


@dataclass(frozen=True)
class ExactErasure:
    """The result of forgetting exactly."""

    model: ExactModel
    """What counting ``remaining`` gives, with the maps and settings of the original"""
    remaining: Interactions
    """D_r"""
    removed: Interactions
    """D_f, what was found"""
    unmatched: pa.Table
    """Rows of the forget set that match no interaction; nothing was done for them."""
    added: int = 0
    """Interactions learned along (``grown``)"""
    joined: tuple[int, int] = (0, 0)
    """Users and items among them that the original had no row of"""
    returned: Returned | None = None
    """What of them was erased before (``readmit``)"""
    missing: Missing | None = None
    """What of the deletion the data did not have any more; None: nothing"""
    forgotten: int = 0
    """Interactions that went, those that the data did not have any more included"""
    near: tuple[Near, ...] = ()
    """Ids of the forget set that are nearly those of the data; not taken."""
    below: pa.Table | None = None
    """Rows of the forget set that are in the source below the threshold"""
    asked: str = "auto"
    lists: ListsChanged | None = None
    """Top-10 lists of users of whom nothing was forgotten, before and after"""
    again: ListedAgain | None = None
    """Which forgotten items are in the lists of who asked"""
    scrubbed: Scrubbed = NOTHING
    """What went beside the interactions: names, frequencies, ages, lists"""
    seconds: float = 0.0

    method: Literal["exact"] = "exact"
    kind: Literal["A"] = "A"
    """Class A: computed without the data; ``alteraser.verify`` counts anew by other code."""
    converged: Literal[True] = True
    residual: float = 0.0

    def reached(self, asked_tolerance: float | None = None) -> bool:
        """True: there is no level beyond this one."""
        return True

    def save(self, path: str | Path) -> ExactModel:
        """``model.save(path)``; OutputExists."""
        return self.model.save(path)


def check_method(kind: str, method: Any) -> str:
    """``method`` by its name; InvalidInput for one that is for models with factors."""
    name = method if isinstance(method, str) else getattr(method, "name", "auto")
    if name not in METHODS:
        raise InvalidInput(
            f"method {name!r} is for models with factors: {kind} forgets exactly in one way, which has the names "
            f"{' and '.join(METHODS)}"
        )
    return name


def forget_exactly(
    model: ExactModel, found: Matched, record: Erased, *, method: Any = "auto", threads: int = 0
) -> ExactErasure:
    """``model`` without what ``found`` removes; ``record`` is whom the new model has erased.

    With additions everything is computed anew. Raises InvalidInput for another method, or where targets are given.
    """
    began = time.perf_counter()
    asked = check_method(model.kind, method)
    data, removal = found.data, found.removal
    known = data.digest == model.trained_on.digest
    if any(found.joined):  # equal scores are in the order of ids, so new ones must not stand behind all others
        remaining = removal.remaining.compact()
        state = model.settings.state(remaining, threads=threads)
    else:
        users, items = data.users.without(removal.emptied_users), data.items.without(removal.emptied_items)
        remaining = removal.remaining.with_maps(users, items)
        state = (
            model.settings.without(model.state, data, removal, threads=threads)
            if known
            else model.settings.state(remaining, threads=threads)
        )
    training = {"method": "exact", "interactions_forgotten": removal.count}
    unlearned = replace(
        model, state=state, users=remaining.users, items=remaining.items, trained_on=TrainedOn.of(remaining),
        training=training, parent=model.digest, ancestors=model.lineage, digest=None, erased=record,
    )  # fmt: skip
    lists = None
    if not any(found.joined):
        asking = np.isin(np.arange(remaining.shape[0]), removal.touched_users)
        lists = lists_changed(model, unlearned, remaining, asking)
    return ExactErasure(
        unlearned, remaining, removal.removed, removal.unmatched,
        near=removal.near, below=removal.below,
        added=found.added, joined=found.joined, returned=found.returned, missing=found.missing,
        forgotten=removal.count,
        asked=asked, lists=lists,
        again=listed_again(
            lambda rows: unlearned.top_items(rows, k=LENGTH, seen=remaining)[0], remaining,
            _in_rows(removal.removed, remaining) if any(found.joined) else removal.removed,
        ),
        scrubbed=Scrubbed(
            removal.emptied_users.size, removal.emptied_items.size, removal.touched_items.size,
            **(model.settings.scrubbed(model.state, state, data, removal) if known else {}),
        ),
        seconds=time.perf_counter() - began,
    )  # fmt: skip


def _in_rows(removed: Interactions, remaining: Interactions) -> Interactions:
    """The pairs that went, in the rows of what remains, as far as these know them."""
    u = remaining.users.rows_of(removed.users.ids_of(removed.user_rows))
    v = remaining.items.rows_of(removed.items.ids_of(removed.indices))
    known = (u >= 0) & (v >= 0)
    return Interactions._assemble(
        remaining.users, remaining.items, u[known], v[known], None, None, None, "first"
    )  # fmt: skip
